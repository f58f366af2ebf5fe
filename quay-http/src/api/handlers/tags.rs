//! Tags and their history (`quay-api.md`, 3.7).

use http::StatusCode;
use quay_core::metadata::{TagEntry, TagNames, TagPosition};
use quay_core::registry::{Condition, Expiration, HistoryRequest, TagChange};
use quay_core::runtime::Timestamp;
use quay_core::{Digest, Error, ErrorKind, Reference, Tag};
use serde_json::{Map, Value, json};

use super::super::dates::rfc2822;
use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::lists::{next_page, place};
use super::{told, wrong, wrong_read};

/// Rows on a page at the most.
const PAGE: i64 = 100;

/// Children of an index that are told one by one at the most; all are counted.
const CHILDREN: usize = 1000;

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

fn seconds(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(1000)
}

/// The tag that the path names.
pub(super) fn tag(exchange: &Exchange) -> Result<Tag, Error> {
    Tag::new(exchange.path.get("tag")).map_err(|_| {
        invalid(
            "Tag must be alphanumeric, dots, dashes and underscores, 128 characters at the most, and begin with none \
             of dot and dash",
        )
    })
}

/// A digest in the body, if there is one.
pub(super) fn digest(exchange: &Exchange) -> Result<Option<Digest>, Error> {
    match exchange.text("manifest_digest") {
        None => Ok(None),
        // What is no digest is no manifest's.
        Some(text) => match text.parse() {
            Ok(digest) => Ok(Some(digest)),
            Err(_) => Err(Error::new(ErrorKind::NotFound, "Not Found")),
        },
    }
}

fn row(entry: &TagEntry) -> Value {
    let tag = &entry.tag;
    let is_list = super::manifests::is_list(&entry.media_type);
    let mut view = json!({
        "name": tag.name.as_str(),
        "reversion": tag.reversion,
        "start_ts": seconds(tag.start),
        "manifest_digest": tag.digest,
        "is_manifest_list": is_list,
        "size": entry.layers_size,
        "immutable": tag.immutable,
        "last_modified": rfc2822(tag.start),
    });
    if let Some(end) = tag.end {
        view["end_ts"] = seconds(end).into();
        view["expiration"] = rfc2822(end).into();
    }
    if is_list {
        let present = entry.children.iter().filter(|(_, present)| *present).count();
        let presence: Map<String, Value> = entry
            .children
            .iter()
            .take(CHILDREN)
            .map(|(digest, present)| (digest.to_string(), (*present).into()))
            .collect();
        view["is_sparse"] = (present < entry.children.len()).into();
        view["child_manifest_count"] = entry.children.len().into();
        view["present_child_count"] = present.into();
        if entry.children.len() <= CHILDREN {
            view["child_manifests_presence"] = presence.into();
        }
    }
    view
}

/// Which names are asked for.
fn names(exchange: &Exchange) -> Result<Option<TagNames>, Error> {
    let text = |name: &str| exchange.query.text(name).filter(|text| !text.is_empty());
    if let Some(name) = text("specificTag") {
        return Ok(Some(TagNames::Exactly(name.to_owned())));
    }
    let Some(filter) = text("filter_tag_name") else {
        return Ok(None);
    };
    match filter.split_once(':') {
        Some(("like", part)) => Ok(Some(TagNames::Holding(part.to_owned()))),
        Some(("eq", name)) => Ok(Some(TagNames::Exactly(name.to_owned()))),
        _ => Err(invalid("filter_tag_name must be like:TEXT or eq:TAG")),
    }
}

pub(super) async fn list(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let number = |name: &str, default: i64| exchange.query.integer(name).unwrap_or(default);
    let limit = usize::try_from(number("limit", 50).clamp(1, PAGE)).unwrap_or(1);
    let page = number("page", 1).max(1);
    let after: Option<TagPosition> = place(&exchange);
    let skip = match after {
        Some(_) => 0,
        None => usize::try_from(page - 1)
            .unwrap_or(usize::MAX)
            .saturating_mul(limit),
    };
    let names = match names(&exchange) {
        Ok(names) => names,
        Err(error) => return Err(wrong_read(&exchange, error).await),
    };
    let request = HistoryRequest::new(limit)
        .with_children(true)
        .with_alive(exchange.query.flag("onlyActiveTags") == Some(true))
        .with_names(names)
        .with_start(after, skip);
    let found = exchange
        .state
        .registry
        .tag_history(name, &request, &exchange.caller)
        .await;
    let found = found.map_err(|error| told(error, &exchange))?;
    let mut body = json!({
        "tags": found.entries.iter().map(row).collect::<Vec<_>>(),
        "page": page,
        "has_additional": found.more,
    });
    if let Some(last) = found.entries.last().filter(|_| found.more) {
        body["next_page"] = next_page(&exchange, TagPosition::from(&last.tag));
    }
    Ok(Reply::ok(&body))
}

/// When a tag is to end, as the body says.
fn expiration(exchange: &Exchange) -> Result<Expiration, Error> {
    match exchange.body.get("expiration") {
        None => Ok(Expiration::Kept),
        Some(Value::Null) => Ok(Expiration::Never),
        Some(time) => {
            let seconds = time.as_f64().filter(|seconds| seconds.is_finite());
            let seconds = seconds.ok_or_else(|| invalid("expiration must be a number of seconds"))?;
            // Beyond the year 9999 nothing differs.
            let seconds = seconds.clamp(0.0, 253_402_300_799.0);
            #[expect(clippy::cast_possible_truncation, reason = "it is within bounds")]
            let millis = (seconds * 1000.0) as i64;
            Ok(Expiration::At(Timestamp::from_millis(millis)))
        }
    }
}

/// What is to become of which tag.
fn asked(exchange: &Exchange) -> Result<(Tag, TagChange), Error> {
    let immutable = exchange.body.get("immutable").and_then(Value::as_bool);
    let change = TagChange::new(expiration(exchange)?, digest(exchange)?).with_immutable(immutable);
    Ok((tag(exchange)?, change))
}

pub(super) async fn change(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let (tag, change) = match asked(&exchange) {
        Ok(asked) => asked,
        Err(error) => return Err(wrong(&exchange, error).await),
    };
    let caller = exchange.state.accounts.described(&exchange.caller).await?;
    exchange
        .state
        .registry
        .change_tag(name, &tag, change, &caller)
        .await
        .map_err(|error| told(error, &exchange))?;
    Ok(Reply::json(StatusCode::CREATED, &"Updated".into()))
}

pub(super) async fn delete(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let tag = match tag(&exchange) {
        Ok(tag) => tag,
        Err(error) => return Err(wrong(&exchange, error).await),
    };
    let caller = exchange.state.accounts.described(&exchange.caller).await?;
    exchange
        .state
        .registry
        .delete_manifest(name, &Reference::Tag(tag), &Condition::None, &caller)
        .await
        .map_err(|error| told(error, &exchange))?;
    Ok(Reply::no_content())
}

pub(super) async fn restore(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let missing = || invalid("Missing manifest_digest");
    let asked = tag(&exchange).and_then(|tag| Ok((tag, digest(&exchange)?.ok_or_else(missing)?)));
    let (tag, target) = match asked {
        Ok(asked) => asked,
        Err(error) => return Err(wrong(&exchange, error).await),
    };
    let caller = exchange.state.accounts.described(&exchange.caller).await?;
    exchange
        .state
        .registry
        .restore_tag(name, &tag, &target, &caller)
        .await
        .map_err(|error| told(error, &exchange))?;
    Ok(Reply::ok(&json!({})))
}
