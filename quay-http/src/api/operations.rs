//! What the API consists of, read once from `operations.json`.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use jsonschema::Validator;
use serde::Deserialize;
use serde_json::Value;

/// Every path, whether or not this version serves it.
#[expect(
    clippy::expect_used,
    reason = "the document is compiled in, and a test reads it"
)]
static PATHS: LazyLock<Vec<ApiPath>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("operations.json")).expect("operations.json describes operations")
});

/// Every path of Quay's API, in the order of its documentation.
pub(crate) fn paths() -> &'static [ApiPath] {
    &PATHS
}

/// The operations that this version serves, with their paths and methods.
pub(crate) fn served() -> impl Iterator<Item = (&'static ApiPath, &'static str, &'static Operation)> {
    paths().iter().flat_map(|path| {
        let served = path.methods.iter().filter(|(_, operation)| operation.served);
        served.map(move |(method, operation)| (path, method.as_str(), operation))
    })
}

/// A path and what can be done there.
#[derive(Debug, Deserialize)]
pub(crate) struct ApiPath {
    /// With parameters in braces.
    pub(crate) path: String,
    /// What it is about: a section of the documentation.
    pub(crate) area: String,
    /// By what Quay's own pages know it: a module and a class.
    pub(crate) x_name: Option<String>,
    /// The path that does the same for the caller's own account.
    pub(crate) x_user_related: Option<String>,
    pub(crate) methods: BTreeMap<String, Operation>,
}

impl ApiPath {
    /// Quay's name for the part of the API that this belongs to.
    pub(crate) fn tag(&self) -> &str {
        let module = self.x_name.as_deref().and_then(|name| name.rsplit('.').nth(1));
        module.unwrap_or(&self.area)
    }
}

/// What one method does at one path.
#[derive(Debug, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) since: Since,
    /// Whether this version serves it. What is not served answers like what is switched off.
    #[serde(default)]
    pub(crate) served: bool,
    /// Whether anybody may ask.
    #[serde(default)]
    pub(crate) anonymous: bool,
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    #[serde(default)]
    pub(crate) auth: Vec<AuthFlag>,
    /// Keys of the configuration, all of which must be on.
    #[serde(default)]
    pub(crate) features: Vec<String>,
    #[serde(default)]
    pub(crate) query: Vec<QueryParameter>,
    /// The schema of the request's body; none where a body is not looked at.
    pub(crate) request: Option<Value>,
    #[serde(default)]
    pub(crate) request_optional: bool,
    pub(crate) success: Vec<u16>,
    /// The shape of the answer: see [`shape`](super::shape).
    pub(crate) response: Value,
    #[serde(default)]
    pub(crate) errors: Vec<u16>,
    #[serde(skip)]
    validator: OnceLock<Option<Validator>>,
}

impl Operation {
    pub(crate) fn is(&self, flag: AuthFlag) -> bool {
        self.auth.contains(&flag)
    }

    /// What checks the request's body, compiled at the first request.
    pub(crate) fn validator(&self) -> Option<&Validator> {
        let compile = || {
            self.request
                .as_ref()
                .and_then(|schema| jsonschema::validator_for(schema).ok())
        };
        self.validator.get_or_init(compile).as_ref()
    }
}

/// The first version of Quay that has an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Since {
    #[serde(rename = "3.3")]
    V3_3,
    #[serde(rename = "later")]
    Later,
}

/// What is particular about who may ask and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthFlag {
    /// The password must have been checked lately.
    FreshLogin,
    /// Described only to those who ask for it.
    Internal,
    /// Described to nobody.
    Undescribed,
    /// Open to anonymous callers even where anonymous access is off.
    AnonymousEvenWhenDisabled,
    /// Works while the registry takes no writes.
    AllowedInReadonlyMode,
    /// Takes a name and a password with each request.
    AcceptsHttpBasic,
    /// Needs no token against forged requests.
    NoCsrf,
    /// Refuses with a message and no type.
    BareDenial,
    /// Its answers say that it will go.
    Deprecated,
    /// Something that concerns the handler, if anybody.
    #[serde(other)]
    Other,
}

/// A parameter after the question mark.
#[derive(Debug, Deserialize)]
pub(crate) struct QueryParameter {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: QueryType,
    #[serde(default)]
    pub(crate) required: bool,
    #[serde(default)]
    pub(crate) default: Value,
}

/// How a parameter is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum QueryType {
    String,
    Boolean,
    Integer,
    Number,
}

impl QueryType {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_schema_compiles_and_every_served_operation_has_a_name_of_its_own() {
        let mut names = HashSet::new();
        for (path, method, operation) in served() {
            let checked = operation.validator().is_some();
            let compiled = operation.request.as_ref().map(jsonschema::validator_for);
            assert_eq!(
                checked,
                operation.request.is_some(),
                "{method} {} {compiled:?}",
                path.path
            );
            assert!(names.insert(operation.id.as_str()), "{}", operation.id);
            let answers = !operation.success.is_empty() || operation.errors.contains(&410);
            assert!(answers, "{}", operation.id);
        }
        assert!(names.contains("getLoggedInUser"));
    }
}
