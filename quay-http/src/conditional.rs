//! Entity tags and the conditions made of them (RFC 9110, section 13). An entity tag is the quoted digest
//! of the representation.

use http::HeaderMap;
use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE};
use quay_core::registry::Condition;
use quay_core::{Digest, Error, ErrorKind};

/// The entity tag of a digest.
pub(crate) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

enum Tags {
    Any,
    /// Tags that are no digests of ours match nothing and are left out.
    Of(Vec<Digest>),
}

/// Reads all lines of a header. `weak` says whether weak tags count.
fn tags(headers: &HeaderMap, name: &HeaderName, weak: bool) -> Result<Option<Tags>, Error> {
    let unreadable = || {
        Error::new(
            ErrorKind::InvalidRequest,
            format!("the header {name} cannot be read"),
        )
    };
    let mut present = false;
    let mut digests = Vec::new();
    for value in headers.get_all(name) {
        present = true;
        let value = value.to_str().map_err(|_| unreadable())?;
        for tag in value.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            if tag == "*" {
                return Ok(Some(Tags::Any));
            }
            let (tag, is_weak) = tag.strip_prefix("W/").map_or((tag, false), |tag| (tag, true));
            let tag = tag
                .strip_prefix('"')
                .and_then(|tag| tag.strip_suffix('"'))
                .ok_or_else(unreadable)?;
            if let (Ok(digest), true) = (tag.parse(), weak || !is_weak) {
                digests.push(digest);
            }
        }
    }
    Ok(present.then_some(Tags::Of(digests)))
}

/// The condition that a change of a tag is made under.
pub(crate) fn condition(headers: &HeaderMap) -> Result<Condition, Error> {
    let must_match = tags(headers, &IF_MATCH, false)?.map(|tags| match tags {
        Tags::Any => Condition::Exists,
        Tags::Of(digests) => Condition::Is(digests),
    });
    let must_not_match = tags(headers, &IF_NONE_MATCH, true)?.map(|tags| match tags {
        Tags::Any => Condition::Absent,
        Tags::Of(digests) => Condition::IsNot(digests),
    });
    Ok(match (must_match, must_not_match) {
        // RFC 9110, 13.2.2: both count, If-Match first.
        (Some(first), Some(second)) => Condition::Both(Box::new(first), Box::new(second)),
        (Some(condition), None) | (None, Some(condition)) => condition,
        (None, None) => Condition::None,
    })
}

/// Whether a reader has this representation already.
pub(crate) fn not_modified(headers: &HeaderMap, digest: &Digest) -> bool {
    match tags(headers, &IF_NONE_MATCH, true) {
        Ok(Some(Tags::Any)) => true,
        Ok(Some(Tags::Of(digests))) => digests.contains(digest),
        // A read answers in full what it does not understand.
        Ok(None) | Err(_) => false,
    }
}

/// Whether a range is asked for of another representation than this one, so that all of it is wanted.
pub(crate) fn range_is_stale(headers: &HeaderMap, digest: &Digest) -> bool {
    headers
        .get(IF_RANGE)
        .is_some_and(|value| value.as_bytes() != etag(digest).as_bytes())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use quay_core::Algorithm;

    use super::*;

    #[test]
    fn conditions() {
        let digest = Digest::of(Algorithm::Sha256, b"a");
        let tag = etag(&digest);
        let none = Vec::new();
        for (header, value, expected) in [
            (IF_MATCH, "*".to_owned(), Some(Condition::Exists)),
            (IF_MATCH, tag.clone(), Some(Condition::Is(vec![digest]))),
            (
                IF_MATCH,
                format!("\"other\", {tag}"),
                Some(Condition::Is(vec![digest])),
            ),
            (IF_MATCH, format!("W/{tag}"), Some(Condition::Is(none.clone()))),
            (IF_NONE_MATCH, "*".to_owned(), Some(Condition::Absent)),
            (
                IF_NONE_MATCH,
                format!("W/{tag}"),
                Some(Condition::IsNot(vec![digest])),
            ),
            (IF_MATCH, "unquoted".to_owned(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header, HeaderValue::from_str(&value).unwrap());
            assert_eq!(condition(&headers).ok(), expected, "{value}");
        }
        assert_eq!(condition(&HeaderMap::new()).unwrap(), Condition::None);
    }
}
