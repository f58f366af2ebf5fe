//! Addresses of applications, with an answer added to them.

use http::header::HeaderValue;
use quay_core::{Error, ErrorKind};

use super::super::reply::Reply;

/// Where in the address the answer stands: servers see the query, pages alone see the fragment.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Query,
    Fragment,
}

/// Sends the user to an address with fields added to it. The address must have been compared with the
/// application's before.
///
/// # Errors
/// `Rejected` for what no browser could be sent to.
pub(crate) fn send(address: &str, place: Place, fields: &[(&str, Option<&str>)]) -> Result<Reply, Error> {
    check(address)?;
    Ok(Reply::redirect(&with_fields(address, place, fields)))
}

/// Whether somebody could be sent to an address.
///
/// # Errors
/// As [`send`].
pub(crate) fn check(address: &str) -> Result<(), Error> {
    if is_absolute(address) && HeaderValue::from_str(address).is_ok() {
        return Ok(());
    }
    let message = "The application's address cannot be used";
    Err(Error::new(ErrorKind::Rejected, message))
}

/// Whether an address names a scheme that runs nothing here.
fn is_absolute(address: &str) -> bool {
    let Some((scheme, rest)) = address.split_once(':') else {
        return false;
    };
    let named = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let runs = ["javascript", "data", "vbscript"]
        .iter()
        .any(|runs| scheme.eq_ignore_ascii_case(runs));
    named && !runs && !rest.is_empty()
}

/// The source expression (CSP) of the place that an address leads to, as far as it has one: browsers take
/// the answer to a form for part of where the form goes.
pub(crate) fn source(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once(':').filter(|_| is_absolute(address))?;
    if !matches!(scheme, "http" | "https") {
        return Some(format!("{scheme}:"));
    }
    let authority = rest.strip_prefix("//")?.split(['/', '?', '#']).next()?;
    let sound = !authority.is_empty()
        && authority
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte));
    sound.then(|| format!("{scheme}://{authority}"))
}

fn with_fields(address: &str, place: Place, fields: &[(&str, Option<&str>)]) -> String {
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        if let Some(value) = value {
            encoded.append_pair(name, value);
        }
    }
    let encoded = encoded.finish();
    let (base, _) = address.split_once('#').unwrap_or((address, ""));
    let join = match place {
        Place::Fragment => "#",
        Place::Query if base.ends_with(['?', '&']) => "",
        Place::Query if base.contains('?') => "&",
        Place::Query => "?",
    };
    format!("{base}{join}{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_added() {
        let fields = [("code", Some("a&b=c d")), ("state", None)];
        for (address, place, expected) in [
            ("https://a/cb", Place::Query, "https://a/cb?code=a%26b%3Dc+d"),
            (
                "https://a/cb?x=1",
                Place::Query,
                "https://a/cb?x=1&code=a%26b%3Dc+d",
            ),
            ("https://a/cb?", Place::Query, "https://a/cb?code=a%26b%3Dc+d"),
            ("https://a/cb#x", Place::Query, "https://a/cb?code=a%26b%3Dc+d"),
            (
                "https://a/cb?x#y",
                Place::Fragment,
                "https://a/cb?x#code=a%26b%3Dc+d",
            ),
        ] {
            assert_eq!(with_fields(address, place, &fields), expected);
        }
    }

    #[test]
    fn addresses() {
        for (address, expected) in [
            ("https://a.example:8443/cb?x", Some("https://a.example:8443")),
            ("http://localhost/cb", Some("http://localhost")),
            ("my.app:/cb", Some("my.app:")),
            ("https://a;script-src *", None),
            ("https://user@a/", None),
            ("https:///x", None),
            ("/cb", None),
            ("javascript:alert(1)", None),
            ("JavaScript:alert(1)", None),
        ] {
            assert_eq!(source(address).as_deref(), expected, "{address}");
        }
        for address in [
            "",
            "/cb",
            "//evil.example",
            "javascript:1",
            "data:text/html,x",
            "https://a/\r\nx: y",
        ] {
            assert!(send(address, Place::Query, &[]).is_err(), "{address}");
        }
        assert!(send("https://user@a/", Place::Query, &[]).is_ok());
    }
}
