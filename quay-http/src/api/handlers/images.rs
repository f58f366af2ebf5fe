//! Images by the ids that Docker's first protocol knows them by (`quay-api.md`, 3.8), deprecated since 3.3.

use quay_core::manifest::V1Image;
use quay_core::registry::Lists;
use quay_core::{Error, ErrorKind, Tag};
use serde_json::{Value, json};

use super::super::dates::{parse_rfc3339, rfc2822};
use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::{told, wrong_read};

/// One image, and the ids of those that it was made from, the nearest first.
fn view(image: &V1Image, ancestors: &[String]) -> Value {
    let created = image.created.as_deref().and_then(parse_rfc3339);
    json!({
        "id": image.id,
        "created": created.map(rfc2822),
        "comment": image.comment,
        "command": image.command,
        "size": image.size,
        "uploading": false,
        "sort_index": ancestors.len(),
        "ancestors": format!("/{}/", ancestors.join("/")),
    })
}

/// A chain, the oldest first, as views of its images, the newest first.
fn views(chain: &[V1Image]) -> Vec<Value> {
    let ids: Vec<String> = chain.iter().rev().map(|image| image.id.clone()).collect();
    let images = chain.iter().rev().enumerate();
    images
        .map(|(index, image)| view(image, ids.get(index + 1..).unwrap_or_default()))
        .collect()
}

pub(super) async fn list(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let found = exchange.state.registry.images(name, &exchange.caller).await;
    let found = found.map_err(|error| told(error, &exchange))?;
    let images: Vec<Value> = found
        .iter()
        .map(|listed| {
            let mut view = view(&listed.image, &listed.ancestors);
            let tags = listed.tags.iter().map(Tag::as_str);
            view["tags"] = tags.collect::<Vec<_>>().into();
            view
        })
        .collect();
    Ok(Reply::ok(&json!({ "images": images })))
}

pub(super) async fn get(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let id = exchange.path.get("image_id");
    let found = exchange.state.registry.image(name, id, &exchange.caller).await;
    let found = found.map_err(|error| told(error, &exchange))?;
    let mut views = views(&found.images).into_iter();
    let missing = || Error::new(ErrorKind::NotFound, "Not Found");
    let mut image = views.next().ok_or_else(missing)?;
    image["history"] = views.collect::<Vec<_>>().into();
    Ok(Reply::ok(&image))
}

pub(super) async fn of_tag(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let registry = &exchange.state.registry;
    let Ok(tag) = Tag::new(exchange.path.get("tag")) else {
        let missing = Error::new(ErrorKind::NotFound, "Not Found");
        return Err(wrong_read(&exchange, missing).await);
    };
    let found = registry
        .tag_image(name, &tag, Lists::Refused, &exchange.caller)
        .await;
    let found = found.map_err(|error| told(error, &exchange))?;
    let mut views = views(&found.images);
    if exchange.query.flag("owned") == Some(true) {
        let own = registry.images_of_tag_alone(name, &tag, &exchange.caller).await;
        let own = own.map_err(|error| told(error, &exchange))?;
        views.retain(|view| view["id"].as_str().is_some_and(|id| own.contains(id)));
    }
    Ok(Reply::ok(&json!({ "images": views })))
}
