//! Which tags stay as they are.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pattern::TagPattern;
use crate::error::Error;

/// A policy that makes tags immutable: those whose whole name is as a pattern says, or the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImmutabilityRule(TagPattern);

/// The policy as it is stored (`data-model.md`, immutability).
#[derive(Serialize, Deserialize)]
struct Stored {
    tag_pattern: String,
    #[serde(default = "yes")]
    tag_pattern_matches: bool,
}

const fn yes() -> bool {
    true
}

impl ImmutabilityRule {
    /// A policy as its owner wrote it. Without `matches`, the names count that the pattern fits.
    ///
    /// # Errors
    /// As [`TagPattern::whole`].
    pub fn parse(tag_pattern: &str, matches: Option<bool>) -> Result<Self, Error> {
        Ok(Self(TagPattern::whole(tag_pattern, matches.unwrap_or(true))?))
    }

    /// Reads a policy that was stored; `None` for what is none.
    #[must_use]
    pub fn from_stored(content: &str) -> Option<Self> {
        let stored: Stored = serde_json::from_str(content).ok()?;
        Self::parse(&stored.tag_pattern, Some(stored.tag_pattern_matches)).ok()
    }

    /// The policy as it is stored, in Quay's form.
    #[must_use]
    pub fn stored(&self) -> Value {
        serde_json::json!({
            "tag_pattern": self.0.text(),
            "tag_pattern_matches": self.0.matches(),
        })
    }

    /// The pattern.
    #[must_use]
    pub const fn pattern(&self) -> &TagPattern {
        &self.0
    }

    /// Whether a tag of that name stays as it is.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        self.0.counts(name)
    }
}
