//! Undoing what happened to a repository's tags, and erasing what is remembered of one.

use quay_core::registry::{Erasure, TagUndo, UndoMode};
use quay_core::runtime::Timestamp;
use quay_core::{Error, ErrorKind, Tag};
use serde_json::{Value, json};

use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::lists::{next_page, opened};
use super::tags::{digest, tag};
use super::{told, wrong};

fn shown(undo: &TagUndo) -> Value {
    json!({
        "name": undo.tag.as_str(),
        "action": undo.action.as_str(),
        "manifest_digest": undo.then,
        "current_manifest_digest": undo.now,
    })
}

/// The point in time that the body names, in seconds.
fn point(exchange: &Exchange) -> Result<Timestamp, Error> {
    let seconds = exchange.body.get("at").and_then(Value::as_f64);
    let seconds = seconds.filter(|seconds| seconds.is_finite()).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidRequest,
            "at must be a number of seconds since 1970",
        )
    })?;
    // Beyond the year 9999 nothing differs.
    let seconds = seconds.clamp(0.0, 253_402_300_799.0);
    #[expect(clippy::cast_possible_truncation, reason = "it is within bounds")]
    let millis = (seconds * 1000.0) as i64;
    // Times are told in whole seconds: such a one means its end, with all that happened within it.
    let within = if seconds.fract() == 0.0 { 999 } else { 0 };
    let now = exchange.state.runtime.clock.now().as_millis();
    let ends = millis.saturating_add(within);
    let millis = if millis <= now { ends.min(now) } else { millis };
    Ok(Timestamp::from_millis(millis))
}

/// Where a call goes on that did not reach the end. What is no such token is refused: an undo that began at the
/// first tag again would look as if it were done.
fn after(exchange: &Exchange) -> Result<Option<Tag>, Error> {
    let Some(token) = exchange.text("next_page") else {
        return Ok(None);
    };
    let place: Option<String> = opened(exchange, token);
    let tag = place.and_then(|place| Tag::new(&place).ok());
    tag.map(Some)
        .ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "next_page is not what an answer told"))
}

pub(super) async fn undo(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let (at, after) = match point(&exchange).and_then(|at| Ok((at, after(&exchange)?))) {
        Ok(asked) => asked,
        Err(error) => return Err(wrong(&exchange, error).await),
    };
    let dry_run = exchange.body.get("dry_run") == Some(&Value::Bool(true));
    let mode = if dry_run {
        UndoMode::Preview
    } else {
        UndoMode::Apply
    };
    let caller = exchange.state.accounts.described(&exchange.caller).await?;
    let undone = exchange
        .state
        .registry
        .undo(name, at, after, mode, &caller)
        .await
        .map_err(|error| told(error, &exchange))?;
    let mut body = json!({
        "at": at.as_millis().div_euclid(1000),
        "dry_run": dry_run,
        "restored": undone.restored,
        "ended": undone.ended,
        "collected": undone.collected,
        "immutable": undone.immutable,
        "tags": undone.tags.iter().map(shown).collect::<Vec<_>>(),
    });
    if let Some(next) = undone.next {
        body["next_page"] = next_page(&exchange, next.as_str());
    }
    Ok(Reply::ok(&body))
}

/// What the body says is to be erased.
fn erasure(exchange: &Exchange) -> Result<Erasure, Error> {
    let digest = digest(exchange)?;
    match digest {
        digest if exchange.body.get("is_alive") == Some(&Value::Bool(true)) => Ok(Erasure::Present(digest)),
        Some(digest) => Ok(Erasure::Past(digest)),
        None => Err(Error::new(
            ErrorKind::InvalidRequest,
            "Missing manifest_digest: it is needed unless is_alive is true",
        )),
    }
}

pub(super) async fn erase(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let asked = tag(&exchange).and_then(|tag| Ok((tag, erasure(&exchange)?)));
    let (tag, erasure) = match asked {
        Ok(asked) => asked,
        Err(error) => return Err(wrong(&exchange, error).await),
    };
    let caller = exchange.state.accounts.described(&exchange.caller).await?;
    exchange
        .state
        .registry
        .erase_tag(name, &tag, erasure, &caller)
        .await
        .map_err(|error| told(error, &exchange))?;
    Ok(Reply::ok(&"".into()))
}
