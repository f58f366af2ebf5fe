//! Manifests and their labels (`quay-api.md`, 3.8).

use http::StatusCode;
use http::header::LOCATION;
use quay_core::manifest::ManifestLayer;
use quay_core::metadata::LabelRecord;
use quay_core::{Digest, Error, ErrorKind, MediaType};
use serde_json::{Value, json};

use super::super::dates::{parse_rfc3339, rfc2822};
use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::{text, told, wrong, wrong_read};

/// Whether a media type is that of an index or list.
pub(super) fn is_list(media_type: &MediaType) -> bool {
    matches!(media_type.as_str(), MediaType::OCI_INDEX | MediaType::DOCKER_LIST)
}

/// The manifest that the path names.
fn digest(exchange: &Exchange) -> Result<Digest, Error> {
    let text = exchange.path.get("manifestref");
    text.parse()
        .map_err(|_| Error::new(ErrorKind::NotFound, "Not Found"))
}

fn layer(index: usize, layer: &ManifestLayer) -> Value {
    let created = layer.created.as_deref().and_then(parse_rfc3339);
    json!({
        "index": index,
        "compressed_size": layer.size,
        "is_remote": !layer.urls.is_empty(),
        "urls": if layer.urls.is_empty() { Value::Null } else { json!(layer.urls) },
        "command": layer.command,
        "comment": layer.comment,
        "author": layer.author,
        "blob_digest": layer.digest,
        "created_datetime": created.map(rfc2822),
    })
}

pub(super) async fn get(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let digest = match digest(&exchange) {
        Ok(digest) => digest,
        Err(error) => return Err(wrong_read(&exchange, error).await),
    };
    let found = exchange
        .state
        .registry
        .view_manifest(name, &digest, &exchange.caller)
        .await;
    let (record, view) = found.map_err(|error| told(error, &exchange))?;
    let layers = view.layers.map(|layers| {
        let layers = layers.iter().enumerate();
        layers
            .map(|(index, found)| layer(index, found))
            .collect::<Vec<_>>()
    });
    Ok(Reply::ok(&json!({
        "digest": record.digest,
        "is_manifest_list": view.is_list,
        "manifest_data": String::from_utf8_lossy(&record.bytes),
        "config_media_type": view.config_media_type,
        "layers": layers,
        "layers_compressed_size": view.layers_size,
    })))
}

fn label(label: &LabelRecord) -> Value {
    json!({
        "id": label.uuid,
        "key": label.key,
        "value": label.value,
        "source_type": label.source.as_str(),
        "media_type": label.media_type,
    })
}

pub(super) async fn labels(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let digest = match digest(&exchange) {
        Ok(digest) => digest,
        Err(error) => return Err(wrong_read(&exchange, error).await),
    };
    let prefix = exchange.query.text("filter").unwrap_or_default();
    let found = exchange
        .state
        .registry
        .labels(name, &digest, prefix, &exchange.caller)
        .await;
    let found = found.map_err(|error| told(error, &exchange))?;
    let labels: Vec<Value> = found.iter().map(label).collect();
    Ok(Reply::ok(&json!({ "labels": labels })))
}

pub(super) async fn get_label(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let digest = match digest(&exchange) {
        Ok(digest) => digest,
        Err(error) => return Err(wrong_read(&exchange, error).await),
    };
    let uuid = exchange.path.get("labelid");
    let found = exchange
        .state
        .registry
        .label(name, &digest, uuid, &exchange.caller)
        .await;
    Ok(Reply::ok(&label(&found.map_err(|error| told(error, &exchange))?)))
}

pub(super) async fn add_label(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let digest = match digest(&exchange) {
        Ok(digest) => digest,
        Err(error) => return Err(wrong(&exchange, error).await),
    };
    let (key, value) = (text(&exchange, "key"), text(&exchange, "value"));
    let caller = exchange.state.accounts.described(&exchange.caller).await?;
    let added = exchange
        .state
        .registry
        .add_label(name, &digest, key, value, exchange.text("media_type"), &caller)
        .await;
    let added = added.map_err(|error| told(error, &exchange))?;
    let base = &exchange.state.options.base_url;
    let location = format!(
        "{base}/api/v1/repository/{}/manifest/{digest}/labels/{}",
        name.path(),
        added.uuid
    );
    let reply = Reply::json(StatusCode::CREATED, &json!({ "label": label(&added) }));
    Ok(reply.with_header(LOCATION, &location))
}

pub(super) async fn delete_label(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let digest = match digest(&exchange) {
        Ok(digest) => digest,
        Err(error) => return Err(wrong(&exchange, error).await),
    };
    let uuid = exchange.path.get("labelid");
    let caller = exchange.state.accounts.described(&exchange.caller).await?;
    exchange
        .state
        .registry
        .delete_label(name, &digest, uuid, &caller)
        .await
        .map_err(|error| told(error, &exchange))?;
    Ok(Reply::no_content())
}
