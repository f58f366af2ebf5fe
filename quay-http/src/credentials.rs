//! The `Authorization` header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use quay_core::auth::Credentials;

/// Credentials taken out of a request. Holds secrets, so it prints nothing.
pub(crate) enum Presented {
    None,
    Basic(String, String),
    Bearer(String),
    Unreadable,
}

impl Presented {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Self::None;
        };
        // Two answers to the question who is calling are none.
        if values.next().is_some() {
            return Self::Unreadable;
        }
        let Some((scheme, rest)) = value.to_str().ok().and_then(|value| value.trim().split_once(' ')) else {
            return Self::Unreadable;
        };
        if scheme.eq_ignore_ascii_case("basic") {
            let pair = STANDARD
                .decode(rest.trim())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            match pair.as_deref().and_then(|pair| pair.split_once(':')) {
                Some((username, password)) => Self::Basic(username.to_owned(), password.to_owned()),
                None => Self::Unreadable,
            }
        } else if scheme.eq_ignore_ascii_case("bearer") {
            Self::Bearer(rest.trim().to_owned())
        } else {
            Self::Unreadable
        }
    }

    /// Whether it is a user's password: robots and tokens have names of their own, and secrets that nobody
    /// guesses.
    pub(crate) fn is_password(&self) -> bool {
        matches!(self, Self::Basic(username, _)
            if !username.starts_with('$') && (username.contains('@') || !username.contains('+')))
    }

    pub(crate) fn as_credentials(&self) -> Credentials<'_> {
        match self {
            Self::None => Credentials::None,
            Self::Basic(username, password) => Credentials::Basic { username, password },
            Self::Bearer(token) => Credentials::Bearer(token),
            Self::Unreadable => Credentials::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn table() {
        for (value, expected) in [
            ("Basic dXNlcjpwOmE=", "user p:a"),
            ("basic dXNlcjo=", "user "),
            ("Bearer abc", "bearer abc"),
            ("Basic !!!", "unreadable"),
            ("Basic dXNlcg==", "unreadable"),
            ("Digest x", "unreadable"),
            ("Basic", "unreadable"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            let seen = match Presented::from_headers(&headers) {
                Presented::None => "none".to_owned(),
                Presented::Basic(username, password) => format!("{username} {password}"),
                Presented::Bearer(token) => format!("bearer {token}"),
                Presented::Unreadable => "unreadable".to_owned(),
            };
            assert_eq!(seen, expected, "{value}");
        }
        let mut twice = HeaderMap::new();
        twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert!(matches!(Presented::from_headers(&twice), Presented::Unreadable));
    }
}
