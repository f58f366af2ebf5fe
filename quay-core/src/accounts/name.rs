//! Names of accounts and teams, and what a password must be.

use crate::error::{Error, ErrorKind};

/// Whether a text may name a user, an organization, a team or the short half of a robot's name:
/// `^([a-z0-9]+(?:[._-][a-z0-9]+)*)$`, 2 to 255 characters (data-model, section 1).
#[must_use]
pub fn is_account_name(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (2..=255).contains(&text.len()) && text.split(['.', '_', '-']).all(part)
}

/// Checks the name of a user, organization or team.
pub(crate) fn check_name(text: &str, what: &str) -> Result<(), Error> {
    if is_account_name(text) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidRequest,
        format!(
            "Invalid {what} \"{text}\": 2 to 255 lower-case letters and digits are allowed, with single dots, \
             dashes or underscores between them"
        ),
    ))
}

/// Checks a password: at least 8 characters, no white space.
pub(crate) fn check_password(password: &str) -> Result<(), Error> {
    if password.chars().count() < 8 || password.chars().any(char::is_whitespace) {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            "Invalid password, password must be at least 8 characters and contain no whitespace.",
        ));
    }
    // bcrypt reads no further, so that what comes behind would be worth nothing.
    if password.len() > LONGEST_PASSWORD {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            "Invalid password, password must be at most 72 bytes long.",
        ));
    }
    Ok(())
}

/// Bytes of a password that count.
const LONGEST_PASSWORD: usize = 72;

/// Whether a text could be an e-mail address. Whether it is one is for a mail to show.
#[must_use]
pub fn is_email(text: &str) -> bool {
    let sound = |part: &str| {
        !part.is_empty()
            && !part.contains(|character: char| {
                character.is_whitespace() || character.is_control() || "<>()[]\\,;:\"".contains(character)
            })
    };
    text.len() <= 255
        && text.split_once('@').is_some_and(|(local, host)| {
            sound(local) && sound(host) && !host.contains('@') && host.contains('.')
        })
}

/// The full name of a robot: `owner+short`.
#[must_use]
pub fn robot_name(owner: &str, short: &str) -> String {
    format!("{owner}+{short}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_names() {
        for name in ["ab", "a.b", "a-b_c.d", "12"] {
            assert!(is_account_name(name), "{name}");
        }
        for name in [
            "",
            "a",
            "A1",
            "a..b",
            "a__b",
            "-ab",
            "ab-",
            "a+b",
            "a b",
            "äb",
            "a/b",
            &"a".repeat(256),
        ] {
            assert!(!is_account_name(name), "{name}");
        }
    }

    #[test]
    fn passwords_and_addresses() {
        assert!(check_password("longenough").is_ok());
        assert!(check_password("short").is_err());
        assert!(check_password("long enough").is_err());
        assert!(check_password(&"x".repeat(72)).is_ok());
        assert!(check_password(&"x".repeat(73)).is_err());
        assert!(is_email("a@example.com"));
        for text in [
            "a",
            "a@b",
            "@example.com",
            "a@b@c.d",
            "a b@example.com",
            "a@exam\nple.com",
        ] {
            assert!(!is_email(text), "{text}");
        }
    }
}
