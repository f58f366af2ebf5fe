//! Patterns of tags' names.

use regex::bytes::{Regex, RegexBuilder};

use super::invalid;
use crate::error::Error;

/// Longest pattern, in characters (`data-model.md`, immutability).
const LONGEST: usize = 256;

/// Bytes that a pattern may take once it is compiled. What is larger repeats something too often.
const COMPILED: usize = 128 << 10;

/// A regular expression, and whether the names count that it fits or the others. Looking takes time that follows
/// the name's length, whatever the pattern is; look-around and back-references are therefore not offered.
#[derive(Debug, Clone)]
pub struct TagPattern {
    text: String,
    matches: bool,
    regex: Regex,
}

impl PartialEq for TagPattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.matches, self.regex.as_str()) == (&other.text, other.matches, other.regex.as_str())
    }
}

impl Eq for TagPattern {}

fn compiled(pattern: &str) -> Result<Regex, Error> {
    // Names of tags are ASCII (distribution-spec, "Pulling manifests").
    RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(COMPILED)
        .dfa_size_limit(COMPILED)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => invalid("the tag pattern repeats something too often"),
            error => {
                // The last line says what is wrong, those before show where.
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default();
                let reason = reason.strip_prefix("error: ").unwrap_or(reason);
                invalid(format!("the tag pattern is no regular expression: {reason}"))
            }
        })
}

fn checked(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(invalid("the tag pattern must not be empty"));
    }
    if text.chars().count() > LONGEST {
        return Err(invalid(format!(
            "the tag pattern has {LONGEST} characters at the most"
        )));
    }
    Ok(())
}

impl TagPattern {
    /// A pattern that fits names in which it is found anywhere.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) for one that is empty, too long, or no regular
    /// expression.
    pub fn anywhere(text: &str, matches: bool) -> Result<Self, Error> {
        checked(text)?;
        Ok(Self {
            regex: compiled(text)?,
            text: text.to_owned(),
            matches,
        })
    }

    /// A pattern that fits names as a whole.
    ///
    /// # Errors
    /// As [`anywhere`](Self::anywhere).
    pub fn whole(text: &str, matches: bool) -> Result<Self, Error> {
        checked(text)?;
        // By itself first: what only the parentheses around it make whole is no pattern.
        compiled(text)?;
        Ok(Self {
            regex: compiled(&format!("\\A(?:{text})\\z"))?,
            text: text.to_owned(),
            matches,
        })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the names count that it fits; otherwise those that it does not fit.
    #[must_use]
    pub const fn matches(&self) -> bool {
        self.matches
    }

    /// Whether a name counts.
    #[must_use]
    pub fn counts(&self, name: &str) -> bool {
        self.regex.is_match(name.as_bytes()) == self.matches
    }
}
