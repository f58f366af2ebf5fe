//! What came of a suite.

use std::fmt::Write as _;

use crate::error::StoreError;

/// Why a case did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// Which guarantee broke, and what was seen.
    Broken(String),
    /// The store lacks an ability that the case is about.
    NotApplicable(&'static str),
}

impl Failure {
    pub(super) fn new(message: String) -> Self {
        Self::Broken(message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        Self::Broken(format!(
            "a call failed that should not: {error} ({:?}; {})",
            error.kind(),
            cause.unwrap_or_default()
        ))
    }
}

/// What came of each case of a suite.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Report {
    /// Names of cases that passed.
    pub passed: Vec<&'static str>,
    /// Names of cases that failed, with the reason.
    pub failed: Vec<(&'static str, String)>,
    /// Names of cases about abilities that the store does not have.
    pub not_applicable: Vec<(&'static str, &'static str)>,
}

impl Report {
    pub(super) fn add(&mut self, name: &'static str, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => self.passed.push(name),
            Err(Failure::Broken(message)) => self.failed.push((name, message)),
            Err(Failure::NotApplicable(ability)) => self.not_applicable.push((name, ability)),
        }
    }

    /// Panics with all failures unless every case passed that applies, and some did.
    ///
    /// # Panics
    /// As said.
    pub fn assert_passed(&self) {
        let mut message = String::new();
        for (name, reason) in &self.failed {
            let _ = write!(message, "\n  {name}: {reason}");
        }
        assert!(
            self.failed.is_empty() && !self.passed.is_empty(),
            "{} cases passed, {} failed:{message}",
            self.passed.len(),
            self.failed.len()
        );
    }
}
