//! Which tags are pruned.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::invalid;
use super::pattern::TagPattern;
use crate::config::duration;
use crate::error::Error;
use crate::runtime::Timestamp;

/// A policy as its owner writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PruneInput {
    /// `number_of_tags` or `creation_date`.
    pub method: String,
    /// A number of tags, or a duration such as `30d`.
    pub value: Value,
    /// Which names it is about; all when absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_pattern: Option<String>,
    /// Whether it is about the names that the pattern fits, as it is when absent, or about the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_pattern_matches: Option<bool>,
    /// A duration: what was pulled within it is kept. Quay has no such member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_pulled_within: Option<String>,
}

impl PruneInput {
    /// A policy about all tags.
    #[must_use]
    pub fn new(method: impl Into<String>, value: Value) -> Self {
        Self {
            method: method.into(),
            value,
            ..Self::default()
        }
    }

    /// Limits it to some names.
    #[must_use]
    pub fn with_pattern(mut self, pattern: Option<String>, matches: Option<bool>) -> Self {
        self.tag_pattern = pattern;
        self.tag_pattern_matches = matches;
        self
    }

    /// Keeps what was pulled within a duration.
    #[must_use]
    pub fn with_keep_pulled_within(mut self, duration: Option<String>) -> Self {
        self.keep_pulled_within = duration;
        self
    }
}

/// By what tags are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two methods of Quay's policies")]
pub enum PruneMethod {
    /// All but the newest, so many.
    NumberOfTags(u64),
    /// Those that began longer ago.
    CreationDate(Duration),
}

impl PruneMethod {
    /// The method's name in Quay's policies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NumberOfTags(_) => "number_of_tags",
            Self::CreationDate(_) => "creation_date",
        }
    }
}

/// An auto-prune policy that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneRule {
    input: PruneInput,
    method: PruneMethod,
    pattern: Option<TagPattern>,
    keep_pulled_within: Option<Duration>,
}

/// A duration of some length.
fn span(text: &str, what: &str) -> Result<Duration, Error> {
    let span = duration::parse(text).ok_or_else(|| {
        invalid(format!(
            "{what} must be a whole number and a unit, which is s, m, h, d, w or y, such as 30d"
        ))
    })?;
    if span.is_zero() {
        return Err(invalid(format!("{what} must be longer than nothing")));
    }
    Ok(span)
}

impl PruneRule {
    /// Looks whether a policy makes sense.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest), saying what does not: an unknown method, a
    /// number below one, a duration without a known unit or of no length, a pattern that is no regular expression.
    pub fn parse(input: PruneInput) -> Result<Self, Error> {
        let method = match (input.method.as_str(), &input.value) {
            ("number_of_tags", value) => {
                // A number without a fraction is whole, however it is written.
                let whole = value.as_u64().or_else(|| {
                    let number = value.as_f64()?;
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "it is whole and within bounds"
                    )]
                    (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
                });
                let count = whole.filter(|count| *count > 0).ok_or_else(|| {
                    invalid(
                        "Invalid value given for method type: number_of_tags takes a whole number above zero",
                    )
                })?;
                PruneMethod::NumberOfTags(count)
            }
            ("creation_date", Value::String(text)) => {
                let what = "Invalid value given for method type: creation_date takes a duration, which";
                PruneMethod::CreationDate(span(text, what)?)
            }
            ("creation_date", _) => {
                return Err(invalid(
                    "Invalid value given for method type: creation_date takes a duration such as 30d",
                ));
            }
            _ => {
                return Err(invalid(
                    "Invalid method provided: it must be number_of_tags or creation_date",
                ));
            }
        };
        let pattern = input.tag_pattern.as_deref().filter(|text| !text.is_empty());
        let matches = input.tag_pattern_matches.unwrap_or(true);
        let pattern = pattern
            .map(|text| TagPattern::anywhere(text, matches))
            .transpose()?;
        let keep = input.keep_pulled_within.as_deref();
        let keep_pulled_within = keep.map(|text| span(text, "keepPulledWithin")).transpose()?;
        Ok(Self {
            input,
            method,
            pattern,
            keep_pulled_within,
        })
    }

    /// Reads a policy that was stored; `None` for what is none.
    #[must_use]
    pub fn from_stored(content: &str) -> Option<Self> {
        Self::parse(serde_json::from_str(content).ok()?).ok()
    }

    /// The policy as it is stored, in Quay's form.
    #[must_use]
    pub fn stored(&self) -> Value {
        json!(self.input)
    }

    /// The policy as its owner wrote it.
    #[must_use]
    pub const fn input(&self) -> &PruneInput {
        &self.input
    }

    /// By what it tells tags apart.
    #[must_use]
    pub const fn method(&self) -> PruneMethod {
        self.method
    }

    /// Whether it is about tags of that name.
    #[must_use]
    pub fn is_about(&self, name: &str) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.counts(name))
    }

    /// Why a tag goes that goes by this policy.
    #[must_use]
    pub fn reason(&self) -> String {
        let mut text = match self.method {
            PruneMethod::NumberOfTags(1) => "there is a newer tag".to_owned(),
            PruneMethod::NumberOfTags(count) => format!("there are {count} newer tags"),
            PruneMethod::CreationDate(_) => {
                format!(
                    "it is older than {}",
                    self.input.value.as_str().unwrap_or_default()
                )
            }
        };
        if let Some(pattern) = &self.pattern {
            let verb = if pattern.matches() { "fits" } else { "does not fit" };
            text.extend([", and its name ", verb, " the pattern ", pattern.text()]);
        }
        if let Some(keep) = &self.input.keep_pulled_within {
            text.extend([", and it was not pulled within ", keep]);
        }
        text
    }
}

/// A tag that may be pruned.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a str,
    /// Since when it points at what it points at.
    pub start: Timestamp,
    /// Whether it stays as it is, whatever policies say.
    pub immutable: bool,
    /// When it was last pulled, as far as that is known.
    pub pulled: Option<Timestamp>,
}

impl<'a> Candidate<'a> {
    /// A tag that was never pulled.
    #[must_use]
    pub const fn new(name: &'a str, start: Timestamp) -> Self {
        Self {
            name,
            start,
            immutable: false,
            pulled: None,
        }
    }

    /// Says that it stays as it is.
    #[must_use]
    pub const fn with_immutable(mut self, immutable: bool) -> Self {
        self.immutable = immutable;
        self
    }

    /// Says when it was last pulled.
    #[must_use]
    pub const fn with_pulled(mut self, pulled: Option<Timestamp>) -> Self {
        self.pulled = pulled;
        self
    }
}

/// Several policies on the tags of one repository, which are shown to it one by one, the newest first and of one
/// moment by name.
///
/// It is as if each policy had looked at all tags that those before it left: what prunes a tag depends on newer ones
/// alone. Immutable tags and those that were pulled lately are passed over, and count among the newest all the same.
#[derive(Debug)]
pub struct Pruning<'a> {
    rules: &'a [PruneRule],
    /// For each policy, how many tags it has seen that it is about.
    seen: Vec<u64>,
    now: Timestamp,
}

impl<'a> Pruning<'a> {
    /// Begins at the newest tag. The policies are asked in their order.
    #[must_use]
    pub fn new(rules: &'a [PruneRule], now: Timestamp) -> Self {
        Self {
            seen: vec![0; rules.len()],
            rules,
            now,
        }
    }

    /// Goes on where an earlier one stopped, by its [`seen`](Self::seen); `None` if that was about other policies.
    #[must_use]
    pub fn resumed(rules: &'a [PruneRule], seen: Vec<u64>, now: Timestamp) -> Option<Self> {
        (seen.len() == rules.len()).then_some(Self { rules, seen, now })
    }

    /// How many tags each policy has seen that it is about.
    #[must_use]
    pub fn seen(&self) -> &[u64] {
        &self.seen
    }

    /// The policy by which the next tag goes, if it goes.
    pub fn judge(&mut self, tag: &Candidate<'_>) -> Option<&'a PruneRule> {
        for (rule, seen) in self.rules.iter().zip(&mut self.seen) {
            if !rule.is_about(tag.name) {
                continue;
            }
            *seen = seen.saturating_add(1);
            let due = match rule.method {
                PruneMethod::NumberOfTags(count) => *seen > count,
                PruneMethod::CreationDate(age) => tag.start < self.now.minus(age),
            };
            let pulled = rule.keep_pulled_within.zip(tag.pulled);
            let kept = pulled.is_some_and(|(within, pulled)| pulled >= self.now.minus(within));
            if due && !tag.immutable && !kept {
                return Some(rule);
            }
        }
        None
    }
}
