//! How docker clients are sent for a token (registry-protocol, section 2).

/// The value of `WWW-Authenticate`.
pub(crate) fn challenge(base_url: &str, hostname: &str, scope: Option<&str>) -> String {
    let (base_url, hostname) = (quotable(base_url), quotable(hostname));
    let mut challenge = format!("Bearer realm=\"{base_url}/v2/auth\",service=\"{hostname}\"");
    if let Some(scope) = scope {
        challenge.push_str(",scope=\"");
        challenge.push_str(&quotable(scope));
        challenge.push('"');
    }
    challenge
}

/// Names from outside must not end the quotes.
pub(crate) fn quotable(text: &str) -> String {
    text.chars()
        .filter(|&character| (' '..='~').contains(&character) && !"\"\\".contains(character))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_clients_know_it() {
        assert_eq!(
            challenge("https://quay.example", "quay.example", None),
            r#"Bearer realm="https://quay.example/v2/auth",service="quay.example""#
        );
        assert_eq!(
            challenge(
                "https://quay.example",
                "quay.example",
                Some("repository:a/b:pull,push")
            ),
            r#"Bearer realm="https://quay.example/v2/auth",service="quay.example",scope="repository:a/b:pull,push""#
        );
        assert!(challenge("x", "y", Some("a\",b=\"\r\n\\ä")).ends_with(",scope=\"a,b=\""));
    }
}
