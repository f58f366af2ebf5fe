//! How long tags live, as rules: which of them are pruned, and which stay as they are (`data-model.md`, auto-prune
//! and immutability).
//!
//! Everything here is a function of what was looked up: policies as their owners wrote them, and tags with what is
//! known of them. [`Registry`](crate::Registry) carries it out, [`Accounts`](crate::accounts::Accounts) lets owners
//! change it.

mod immutability;
mod pattern;
mod prune;
#[cfg(test)]
mod tests;

pub use immutability::ImmutabilityRule;
pub use pattern::TagPattern;
pub use prune::{Candidate, PruneInput, PruneMethod, PruneRule, Pruning};

use crate::error::{Error, ErrorKind};

/// What is wrong with a policy.
fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, reason)
}
