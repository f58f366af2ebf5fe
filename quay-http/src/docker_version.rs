//! Versions of docker that are told that there is no version 2 here (registry-protocol, section 2): they
//! fall back to what they understand.

use semver::{Version, VersionReq};

/// What docker before 1.6 called itself.
const UNNAMED: &str = "Go 1.1 package http";

/// Whether the client is a docker of a version that is refused. Who does not say is not.
pub(crate) fn is_refused(user_agent: Option<&str>, refused: Option<&VersionReq>) -> bool {
    let (Some(user_agent), Some(refused)) = (user_agent, refused) else {
        return false;
    };
    version(user_agent).is_some_and(|version| refused.matches(&version))
}

/// The version in a `User-Agent`: `docker/([0-9]+(?:\.[0-9]+){1,2})`, wherever it stands.
fn version(user_agent: &str) -> Option<Version> {
    if user_agent == UNNAMED {
        return Some(Version::new(1, 5, 0));
    }
    user_agent.split("docker/").skip(1).find_map(number)
}

/// Two or three numbers at the beginning of a text.
fn number(text: &str) -> Option<Version> {
    let mut numbers = [0; 3];
    let mut rest = text;
    let mut found = 0;
    for number in &mut numbers {
        let dotted = match found {
            0 => Some(rest),
            _ => rest.strip_prefix('.'),
        };
        let Some(digits) = dotted else { break };
        let end = digits
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(digits.len());
        let Some((digits, after)) = digits.split_at_checked(end).filter(|_| end > 0) else {
            break;
        };
        // Zeros in front are dropped; what no number holds is newer than anything that is refused.
        *number = digits.parse().unwrap_or(u64::MAX);
        rest = after;
        found += 1;
    }
    let [major, minor, patch] = numbers;
    (found >= 2).then(|| Version::new(major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (user_agent, expected) in [
            ("docker/1.6.0 go/go1.4.2 git-commit/4749651", Some((1, 6, 0))),
            ("docker/1.5", Some((1, 5, 0))),
            ("docker/17.03.1-ce go/go1.7.5", Some((17, 3, 1))),
            (
                "docker/24.0.5 UpstreamClient(Docker-Client/24.0.5 \\(linux\\))",
                Some((24, 0, 5)),
            ),
            ("something docker/1.06.007", Some((1, 6, 7))),
            ("docker/x docker/1.7.", Some((1, 7, 0))),
            ("docker/1.2.3.4", Some((1, 2, 3))),
            ("docker/99999999999999999999.1", Some((u64::MAX, 1, 0))),
            ("Go 1.1 package http", Some((1, 5, 0))),
            ("Go 1.1 package http ", None),
            ("docker/1", None),
            ("docker/", None),
            ("Docker/1.5.0", None),
            ("containerd/1.5.0", None),
            ("", None),
        ] {
            let expected = expected.map(|(major, minor, patch)| Version::new(major, minor, patch));
            assert_eq!(version(user_agent), expected, "{user_agent}");
        }
    }

    #[test]
    fn refusals() {
        let refused = VersionReq::parse("<1.6.0").unwrap();
        for (user_agent, expected) in [
            (Some("docker/1.5.0"), true),
            (Some("Go 1.1 package http"), true),
            (Some("docker/1.6.0"), false),
            (Some("docker/1.6.0-rc1"), false),
            (Some("skopeo/1.9"), false),
            (None, false),
        ] {
            assert_eq!(is_refused(user_agent, Some(&refused)), expected, "{user_agent:?}");
        }
        assert!(!is_refused(Some("docker/1.5.0"), None));
    }
}
