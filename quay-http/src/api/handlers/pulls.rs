//! How often tags and manifests were pulled (`quay-api.md`, 3.7 and 3.8).

use quay_core::{Digest, Error, ErrorKind, Tag};
use serde_json::json;

use super::super::dates::rfc2822;
use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::{told, wrong_read};

fn missing() -> Error {
    Error::new(ErrorKind::NotFound, "Not Found")
}

pub(super) async fn of_tag(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let Ok(tag) = Tag::new(exchange.path.get("tag")) else {
        return Err(wrong_read(&exchange, missing()).await);
    };
    let registry = &exchange.state.registry;
    let found = registry.tag_pulls(name, &tag, &exchange.caller).await;
    let found = found.map_err(|error| told(error, &exchange))?;
    Ok(Reply::ok(&json!({
        "tag_name": tag.as_str(),
        "tag_pull_count": found.of_tag.pulls,
        "last_tag_pull_date": found.of_tag.last.map(rfc2822),
        "current_manifest_digest": found.digest,
        "manifest_pull_count": found.of_manifest.pulls,
        "last_manifest_pull_date": found.of_manifest.last.map(rfc2822),
    })))
}

pub(super) async fn of_manifest(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let Ok(digest) = exchange.path.get("manifestref").parse::<Digest>() else {
        return Err(wrong_read(&exchange, missing()).await);
    };
    let registry = &exchange.state.registry;
    let found = registry.manifest_pulls(name, &digest, &exchange.caller).await;
    let found = found.map_err(|error| told(error, &exchange))?;
    Ok(Reply::ok(&json!({
        "manifest_digest": digest,
        "manifest_pull_count": found.pulls,
        "last_manifest_pull_date": found.last.map(rfc2822),
    })))
}
