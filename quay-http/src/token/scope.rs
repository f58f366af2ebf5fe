//! Scopes of tokens for the registry protocol.

use quay_core::accounts::{AskedActions, AskedScope};
use quay_core::{Error, ErrorKind, Registry};

/// Each costs a few statements. Clients that copy between repositories ask for two or three.
const MOST: usize = 64;

/// Reads the values of `scope`. Each may hold several scopes with spaces between them, as the
/// distribution's specification of tokens allows. Empty ones ask for nothing.
///
/// # Errors
/// `InvalidRequest` for a scope outside the grammar, `NameInvalid` for a name that no repository can have.
pub(crate) fn parse(values: &[String], registry: &Registry, host: &str) -> Result<Vec<AskedScope>, Error> {
    let mut scopes = Vec::new();
    for text in values.iter().flat_map(|value| value.split(' ')) {
        if text.is_empty() {
            continue;
        }
        if scopes.len() == MOST {
            let message = format!("More than {MOST} scopes are asked for");
            return Err(Error::new(ErrorKind::InvalidRequest, message));
        }
        let (written, actions) = parts(text, host).ok_or_else(|| {
            let message = format!("Unable to decode repository and actions: {text}");
            Error::new(ErrorKind::InvalidRequest, message)
        })?;
        let name = registry.parse_name(without_host(written, host))?;
        scopes.push(AskedScope {
            written: written.to_owned(),
            name,
            actions,
        });
    }
    Ok(scopes)
}

/// A name without the registry's host in front of it.
fn without_host<'a>(name: &'a str, host: &str) -> &'a str {
    let rest = name.strip_prefix(host).and_then(|rest| rest.strip_prefix('/'));
    rest.unwrap_or(name)
}

/// The name and the actions of one scope:
/// `repository:((?:HOST\/)?((?:[\.a-zA-Z0-9_\-]+\/)*[\.a-zA-Z0-9_\-]+)):((?:push|pull|\*)(?:,(?:push|pull|\*))*)`.
fn parts<'a>(text: &'a str, host: &str) -> Option<(&'a str, AskedActions)> {
    let (name, actions) = text.strip_prefix("repository:")?.rsplit_once(':')?;
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if !without_host(name, host).split('/').all(part) {
        return None;
    }
    let mut asked = AskedActions::default();
    for action in actions.split(',') {
        match action {
            "pull" => asked.pull = true,
            // Whoever may push may delete. Quay knows no such action and refuses it, but clients of today
            // ask for it before they delete, and would get no token at all.
            "push" | "delete" => asked.push = true,
            "*" => asked.all = true,
            _ => return None,
        }
    }
    Some((name, asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        let actions = |pull, push, all| AskedActions { pull, push, all };
        let host = "quay.example:8443";
        for (text, expected) in [
            ("repository:a/b:pull", Some(("a/b", actions(true, false, false)))),
            (
                "repository:a/b:pull,push",
                Some(("a/b", actions(true, true, false))),
            ),
            (
                "repository:a/b:push,push,*",
                Some(("a/b", actions(false, true, true))),
            ),
            (
                "repository:a/b:delete",
                Some(("a/b", actions(false, true, false))),
            ),
            ("repository:b:pull", Some(("b", actions(true, false, false)))),
            (
                "repository:A/B/c:pull",
                Some(("A/B/c", actions(true, false, false))),
            ),
            (
                "repository:quay.example:8443/a/b:pull",
                Some(("quay.example:8443/a/b", actions(true, false, false))),
            ),
            ("repository:other.example:8443/a/b:pull", None),
            ("repository:quay.example:8443/:pull", None),
            ("repository:quay.example:8443:pull", None),
            ("repository:a/b:", None),
            ("repository:a/b", None),
            ("repository:a/b:pull,", None),
            ("repository:a/b:PULL", None),
            ("repository:a//b:pull", None),
            ("repository:/a:pull", None),
            ("repository:a/b/:pull", None),
            ("repository:a/b:pull\n", None),
            ("repository:ä/b:pull", None),
            ("repository(plugin):a/b:pull", None),
            ("registry:catalog:*", None),
            (" repository:a/b:pull", None),
            ("", None),
        ] {
            assert_eq!(parts(text, host), expected, "{text}");
        }
    }
}
