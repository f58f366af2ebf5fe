//! What a handler is given.

use std::fmt::{self, Debug};
use std::sync::Arc;

use quay_core::{Caller, Error, ErrorKind, RepositoryName};
use serde_json::Value;

use super::operations::Operation;
use super::query::Query;
use super::session::Session;
use super::state::ApiState;

/// One request, checked as far as that can be done without knowing what the operation does.
pub(crate) struct Exchange {
    /// What all requests share.
    pub(crate) state: Arc<ApiState>,
    pub(crate) operation: &'static Operation,
    pub(crate) caller: Caller,
    /// The client's session, or a new one that it has not been told of.
    pub(crate) session: Session,
    pub(crate) path: PathParameters,
    pub(crate) query: Query,
    /// The request's body, valid by the operation's schema. Null where none is expected, and where one may
    /// be left out and was.
    pub(crate) body: Value,
}

impl Debug for Exchange {
    /// Bodies hold passwords, and queries may hold tokens.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Exchange");
        shown
            .field("operation", &self.operation.id)
            .finish_non_exhaustive()
    }
}

impl Exchange {
    /// The repository that the path names.
    ///
    /// # Errors
    /// `Internal` where the path names none: a mistake in the table of operations.
    pub(crate) fn repository(&self) -> Result<&RepositoryName, Error> {
        let missing = || Error::new(ErrorKind::Internal, "the path names no repository");
        self.path.repository.as_ref().ok_or_else(missing)
    }

    /// A member of the body that is a text.
    pub(crate) fn text(&self, member: &str) -> Option<&str> {
        self.body.get(member)?.as_str()
    }
}

/// The parameters of a path, decoded.
#[derive(Debug, Default)]
pub(crate) struct PathParameters {
    pub(crate) values: Vec<(String, String)>,
    /// `{repository}`, where the path has it.
    pub(crate) repository: Option<RepositoryName>,
}

impl PathParameters {
    /// A parameter by the name that the path gives it.
    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.values.iter().find(|(known, _)| known == name);
        debug_assert!(found.is_some(), "the path has no parameter {name}");
        found.map_or("", |(_, value)| value)
    }
}
