//! Whether the registry works (`quay-api.md`, 8).

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::reply::Reply;

/// How long a check may take. Probes ask every few seconds and do not wait longer.
const TIME: Duration = Duration::from_secs(5);

/// Looks after one thing that the registry depends on. The host has one for each.
#[async_trait]
pub trait HealthCheck: Debug + Send + Sync + 'static {
    /// What it is called, such as `database`.
    fn service(&self) -> &str;

    /// Who must know when it does not work.
    fn level(&self) -> HealthLevel;

    /// Finds out whether it works, within five seconds.
    ///
    /// # Errors
    /// Why it does not, for superusers to read.
    async fn check(&self) -> Result<(), String>;
}

/// Who must know when something does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthLevel {
    /// Who starts and stops instances: another instance might do better.
    Instance,
    /// Who looks after the whole installation: every instance fails alike.
    Global,
    /// Who reads warnings: nothing fails yet.
    Warning,
}

/// Which checks are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Instance,
    EndToEnd,
    Warning,
}

impl Scope {
    fn holds(self, level: HealthLevel) -> bool {
        match self {
            Self::Instance => level == HealthLevel::Instance,
            Self::EndToEnd => level != HealthLevel::Warning,
            Self::Warning => level == HealthLevel::Warning,
        }
    }
}

/// What superusers are told besides.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) hostname: String,
    pub(crate) key_id: Option<String>,
}

/// Runs the checks, all at once. With `expanded`, the reasons are told, and whose they are.
pub(crate) async fn health(
    checks: &[Arc<dyn HealthCheck>],
    scope: Scope,
    expanded: Option<Instance>,
) -> Reply {
    let asked = checks.iter().filter(|check| scope.holds(check.level()));
    let results = join_all(asked.map(|check| async move {
        let late = || Err("no answer in time".to_owned());
        let result = tokio::time::timeout(TIME, check.check()).await;
        (check.service(), result.unwrap_or_else(|_| late()))
    }))
    .await;
    let well = results.iter().all(|(_, result)| result.is_ok());
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let services: Map<String, Value> = results
        .iter()
        .map(|(service, result)| ((*service).to_owned(), result.is_ok().into()))
        .collect();
    let mut data = json!({ "services": services });
    if let Some(instance) = expanded {
        data["services_expanded"] = results.iter().map(expand).collect::<Map<_, _>>().into();
        data["notes"] = json!([]);
        data["is_testing"] = false.into();
        // As Quay calls a configuration that it reads from a directory.
        data["config_provider"] = "file".into();
        data["local_service_key_id"] = instance.key_id.into();
        data["hostname"] = instance.hostname.into();
    }
    Reply::json(status, &json!({ "data": data, "status_code": status.as_u16() }))
}

fn expand((service, result): &(&str, Result<(), String>)) -> (String, Value) {
    let told = match result {
        Ok(()) => json!({ "status": true }),
        Err(reason) => json!({ "status": false, "failure": reason }),
    };
    ((*service).to_owned(), told)
}
