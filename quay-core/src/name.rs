//! Names: namespaces, repositories, tags and references, each parsed once at the edge.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::digest::{Digest, InvalidDigest};

/// Longest repository path accepted, in bytes (distribution-spec: clients limit host plus name to 255).
const MAX_PATH: usize = 255;
/// Longest tag accepted, in bytes (distribution-spec, "Pulling manifests").
const MAX_TAG: usize = 128;

/// A name that does not follow its grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what}: {reason}")]
pub struct InvalidName {
    what: &'static str,
    reason: &'static str,
}

impl InvalidName {
    /// What was being parsed: `repository name`, `namespace` or `tag`.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }
}

/// Checks one component: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` (distribution-spec, "Pulling manifests").
fn is_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut position = 0;
    loop {
        let start = position;
        while position < bytes.len() && alphanumeric(bytes[position]) {
            position += 1;
        }
        if position == start {
            return false;
        }
        if position == bytes.len() {
            return true;
        }
        let separator = position;
        while position < bytes.len() && bytes[position] == bytes[separator] {
            position += 1;
        }
        let run = position - separator;
        let allowed = match bytes[separator] {
            b'.' => run == 1,
            b'_' => run <= 2,
            b'-' => true,
            _ => false,
        };
        if !allowed {
            return false;
        }
    }
}

/// The first component of a repository's path: the user or organization that owns it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Parses a namespace.
    ///
    /// # Errors
    /// [`InvalidName`] when the text is not one component of a repository name.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        if text.len() <= MAX_PATH && is_component(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName {
                what: "namespace",
                reason: "use lower-case letters and digits, separated by '.', '_', '__' or '-'",
            })
        }
    }

    /// The namespace as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A repository's name: a namespace and a rest, split at the first `/`.
///
/// The rest may hold further slashes (nested names). A name of one component belongs to the
/// library namespace; it is stored under `library/name` and echoed as it was asked for.
#[derive(Debug, Clone)]
pub struct RepositoryName {
    /// `namespace/rest`, always with the namespace.
    path: Arc<str>,
    /// Length of the namespace in `path`.
    namespace_len: usize,
    /// Whether the caller left the namespace out.
    short: bool,
}

impl RepositoryName {
    /// Parses a repository name; one component alone means `library/<component>`.
    ///
    /// # Errors
    /// [`InvalidName`] when the text does not follow the distribution-spec's grammar, or when it has
    /// one component and `library` is `None`.
    pub fn parse(text: &str, library: Option<&Namespace>) -> Result<Self, InvalidName> {
        let invalid = |reason| InvalidName {
            what: "repository name",
            reason,
        };
        if text.len() > MAX_PATH {
            return Err(invalid("longer than 255 characters"));
        }
        if !text.split('/').all(is_component) {
            return Err(invalid(
                "each part between slashes is lower-case letters and digits, separated by '.', '_', '__' or '-'",
            ));
        }
        if let Some(slash) = text.find('/') {
            return Ok(Self {
                path: text.into(),
                namespace_len: slash,
                short: false,
            });
        }
        let Some(library) = library else {
            return Err(invalid("a namespace is required, as in namespace/name"));
        };
        if library.0.len() + 1 + text.len() > MAX_PATH {
            return Err(invalid("longer than 255 characters"));
        }
        let path = format!("{library}/{text}");
        Ok(Self {
            path: path.into(),
            namespace_len: library.0.len(),
            short: true,
        })
    }

    /// Restores a name from its stored path, `namespace/rest`.
    ///
    /// # Errors
    /// [`InvalidName`] when the path holds no namespace or does not follow the grammar.
    pub fn from_path(path: &str) -> Result<Self, InvalidName> {
        Self::parse(path, None)
    }

    /// The namespace: what stands before the first slash.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.path.get(..self.namespace_len).unwrap_or_default()
    }

    /// The rest: what stands after the first slash, further slashes included.
    #[must_use]
    pub fn rest(&self) -> &str {
        self.path.get(self.namespace_len + 1..).unwrap_or_default()
    }

    /// The path under which the repository is stored: `namespace/rest`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name as the caller wrote it.
    #[must_use]
    pub fn as_asked(&self) -> &str {
        if self.short { self.rest() } else { &self.path }
    }
}

impl PartialEq for RepositoryName {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for RepositoryName {}

impl PartialOrd for RepositoryName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RepositoryName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.path.cmp(&other.path)
    }
}

impl std::hash::Hash for RepositoryName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.path.hash(state);
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_asked())
    }
}

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec, "Pulling manifests").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Parses a tag.
    ///
    /// # Errors
    /// [`InvalidName`] when the text does not follow the grammar.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let bytes = text.as_bytes();
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let valid = bytes.len() <= MAX_TAG
            && bytes.first().is_some_and(|&first| word(first))
            && bytes
                .iter()
                .all(|&byte| word(byte) || byte == b'.' || byte == b'-');
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName {
                what: "tag",
                reason: "use up to 128 letters, digits, '_', '.' and '-', the first a letter, digit or '_'",
            })
        }
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

/// What a manifest is asked for by: a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the specification knows these two")]
pub enum Reference {
    /// A name that may move.
    Tag(Tag),
    /// The content itself.
    Digest(Digest),
}

/// A reference that is neither a tag nor a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReference {
    /// It holds a colon, so it was meant as a digest.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// It was meant as a tag.
    #[error(transparent)]
    Tag(#[from] InvalidName),
}

impl Reference {
    /// Parses a reference: with a colon it is a digest, without one a tag.
    ///
    /// # Errors
    /// [`InvalidReference`] says which of the two it failed to be.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(Tag::new(text)?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(formatter),
            Self::Digest(digest) => digest.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_what_the_grammar_accepts() {
        let library = Namespace::new("library").unwrap();
        for (text, namespace, rest) in [
            ("a/b", "a", "b"),
            ("a/b/c", "a", "b/c"),
            ("my-org/my__repo.x-1", "my-org", "my__repo.x-1"),
            ("busybox", "library", "busybox"),
            ("a---b/c", "a---b", "c"),
        ] {
            let name = RepositoryName::parse(text, Some(&library)).unwrap();
            assert_eq!((name.namespace(), name.rest()), (namespace, rest));
            assert_eq!(name.to_string(), text, "a name is echoed as asked");
        }
    }

    #[test]
    fn refuses_what_the_grammar_refuses() {
        let library = Namespace::new("library").unwrap();
        let long = "a".repeat(256);
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A/b",
            "a/../b",
            "..",
            ".",
            "a/.b",
            "a/b.",
            "a/b..c",
            "a/b___c",
            "a/b_",
            "-a/b",
            "a b",
            "a/%2e%2e",
            "ä/b",
            long.as_str(),
        ] {
            assert!(RepositoryName::parse(text, Some(&library)).is_err(), "{text:?}");
        }
        assert!(RepositoryName::parse("single", None).is_err());
    }

    #[test]
    fn references_tell_tags_from_digests() {
        assert!(matches!(Reference::parse("v1.0-rc_1"), Ok(Reference::Tag(_))));
        assert!(matches!(
            Reference::parse(&format!("sha256:{}", "a".repeat(64))),
            Ok(Reference::Digest(_))
        ));
        assert!(matches!(
            Reference::parse("sha256:abc"),
            Err(InvalidReference::Digest(_))
        ));
        for text in ["", ".a", "-a", "a/b", "a b", &"a".repeat(129)] {
            assert!(
                matches!(Reference::parse(text), Err(InvalidReference::Tag(_))),
                "{text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_to_itself_or_fails(text in "\\PC{0,300}") {
            if let Ok(name) = RepositoryName::parse(&text, None) {
                prop_assert_eq!(name.to_string(), text.clone());
                prop_assert_eq!(format!("{}/{}", name.namespace(), name.rest()), text.clone());
            }
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(reference.to_string(), text);
            }
        }

        #[test]
        fn valid_names_are_accepted(text in "[a-z0-9]{1,5}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,5}){1,4}") {
            prop_assert!(RepositoryName::parse(&text, None).is_ok());
        }
    }
}
