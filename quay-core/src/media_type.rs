//! Media types, compared without parameters and without regard to case.

use std::fmt;
use std::sync::Arc;

/// A media type: `type/subtype`, lower case, parameters removed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaType(Arc<str>);

macro_rules! known {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl MediaType {
            $($(#[$doc])* pub const $name: &'static str = $text;)*
        }
    };
}

known! {
    /// OCI image manifest.
    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    OCI_INDEX = "application/vnd.oci.image.index.v1+json";
    /// OCI image configuration.
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
    /// The empty JSON object `{}` as a descriptor.
    OCI_EMPTY = "application/vnd.oci.empty.v1+json";
    /// Docker image manifest, schema 2.
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker image manifest, schema 1, unsigned.
    DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json";
    /// Docker image manifest, schema 1, signed.
    DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// Bytes of no declared type.
    OCTET_STREAM = "application/octet-stream";
}

impl MediaType {
    /// Longest media type kept, in bytes (RFC 6838, 4.2: 127 for each of the two names).
    const MAX: usize = 255;

    /// Takes the type out of a `Content-Type` value: parameters and case are dropped. `None` when it
    /// is not `type/subtype`.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let essence = header.split(';').next().unwrap_or_default().trim();
        let (kind, subtype) = essence.split_once('/')?;
        let token = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        if essence.len() > Self::MAX || !token(kind) || !token(subtype) {
            return None;
        }
        Some(Self(essence.to_ascii_lowercase().into()))
    }

    /// A type known to be well formed, such as one of the constants or one read from storage.
    #[must_use]
    pub fn known(text: &str) -> Self {
        Self(text.into())
    }

    /// The type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl PartialEq<str> for MediaType {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_are_dropped() {
        let parsed = MediaType::parse(" Application/JSON ; charset=utf-8").unwrap();
        assert_eq!(parsed.as_str(), "application/json");
        for text in ["", "json", "a/", "/b", "a/b c", "a/\"b\""] {
            assert_eq!(MediaType::parse(text), None, "{text:?}");
        }
    }
}
