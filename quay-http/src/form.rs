//! Names and values as queries and forms have them.

use std::fmt::{self, Debug};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// What a form may hold.
pub(crate) const LARGEST_FORM: u64 = 64 << 10;

/// The fields of a query or form, decoded. Holds secrets, so it prints nothing.
pub(crate) struct Fields(Vec<(String, String)>);

impl Debug for Fields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fields(..)")
    }
}

impl Fields {
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        let fields = form_urlencoded::parse(encoded);
        Self(
            fields
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    pub(crate) fn of_query(query: Option<&str>) -> Self {
        Self::parse(query.unwrap_or_default().as_bytes())
    }

    /// The fields of a body; `None` when it is no form.
    pub(crate) fn of_body(headers: &HeaderMap, body: &Bytes) -> Option<Self> {
        is_form(headers).then(|| Self::parse(body))
    }

    /// Whether a value holds a zero byte, which not every database takes.
    pub(crate) fn hold_zero(&self) -> bool {
        self.0.iter().any(|(_, value)| value.contains('\0'))
    }

    /// A field's value, the first one if there are several.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let fields = Fields::of_query(Some("a=1&b=x+y%2Fz&a=2&c"));
        assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(
            (fields.get("a"), fields.get("b"), fields.get("c"), fields.get("d")),
            (Some("1"), Some("x y/z"), Some(""), None)
        );
        assert_eq!(format!("{fields:?}"), "Fields(..)");
        assert!(Fields::of_query(None).get("a").is_none());
    }
}
