//! What is wrong with images (`quay-api.md`, section 5; `scanning.md`, section 7).

use http::StatusCode;
use quay_core::registry::Security;
use quay_core::scanner::{Feature, Report, Severity, Vulnerability};
use quay_core::{Digest, Error, ErrorKind, RepositoryName};
use serde_json::{Value, json};

use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::{told, wrong_read};

fn vulnerability(found: &Vulnerability) -> Value {
    json!({
        "Severity": found.severity.map(Severity::as_str),
        "NamespaceName": found.namespace,
        "Link": found.link,
        "FixedBy": found.fixed_by,
        "Description": found.description,
        "Name": found.name,
        "Metadata": found.metadata,
    })
}

fn feature(found: &Feature, vulnerabilities: bool) -> Value {
    let wrong = found.vulnerabilities.iter().filter(|_| vulnerabilities);
    json!({
        "Name": found.name,
        "VersionFormat": found.version_format,
        "NamespaceName": found.namespace,
        "AddedBy": found.added_by,
        "Version": found.version,
        "BaseScores": found.base_scores,
        "CVEIds": found.cve_ids,
        "Vulnerabilities": wrong.map(vulnerability).collect::<Vec<_>>(),
    })
}

fn data(report: &Report, vulnerabilities: bool) -> Value {
    let features = report.features.iter();
    json!({ "Layer": {
        "Name": report.name,
        "ParentName": report.parent,
        "NamespaceName": report.namespace,
        "IndexedByVersion": report.indexed_by,
        "Features": features.map(|found| feature(found, vulnerabilities)).collect::<Vec<_>>(),
    } })
}

fn shown(exchange: &Exchange, security: &Security) -> Reply {
    let vulnerabilities = exchange.query.flag("vulnerabilities") == Some(true);
    Reply::ok(&json!({
        "status": security.status.as_str(),
        "data": security.report.as_ref().map(|report| data(report, vulnerabilities)),
    }))
}

/// Quay's answer while the scanner does not answer.
fn unreachable(exchange: &Exchange) -> Reply {
    const MESSAGE: &str = "the security scanner does not answer, try again later";
    let kind = "downstream_issue";
    let base = &exchange.state.options.base_url;
    let body = json!({
        "detail": MESSAGE,
        "error_message": MESSAGE,
        "error_type": kind,
        "title": kind,
        "type": format!("{base}/api/v1/error/{kind}"),
        "status": 520,
    });
    let status = StatusCode::from_u16(520).unwrap_or(StatusCode::BAD_GATEWAY);
    Reply::json(status, &body)
}

pub(super) async fn of_manifest(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let Ok(digest) = exchange.path.get("manifestref").parse::<Digest>() else {
        let error = Error::new(ErrorKind::NotFound, "Not Found");
        return Err(wrong_read(&exchange, error).await);
    };
    answer(&exchange, name, &digest).await
}

/// What is wrong with the manifest that an image is in: images have no scans of their own.
pub(super) async fn of_image(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let id = exchange.path.get("imageid");
    let found = exchange.state.registry.image(name, id, &exchange.caller).await;
    let digest = found.map_err(|error| told(error, &exchange))?.digest;
    answer(&exchange, name, &digest).await
}

async fn answer(exchange: &Exchange, name: &RepositoryName, digest: &Digest) -> Result<Reply, Error> {
    let registry = &exchange.state.registry;
    match registry.security(name, digest, &exchange.caller).await {
        Ok(security) if security.unreachable.is_some() => Ok(unreachable(exchange)),
        Ok(security) => Ok(shown(exchange, &security)),
        Err(error) => Err(told(error, exchange)),
    }
}
