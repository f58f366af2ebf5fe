//! Repositories: lists, what is said of them, who may see them, their end.

use http::StatusCode;
use quay_core::accounts::{ListedRepository, RepositoryList, RepositoryRole, RepositoryView};
use quay_core::metadata::{PageRequest, RepositoryRecord, RepositoryState, TagEntry, Visibility};
use quay_core::registry::HistoryRequest;
use quay_core::runtime::Timestamp;
use quay_core::{Error, ErrorKind, Principal, RepositoryName};
use serde_json::{Map, Value, json};

use super::super::dates::{iso8601, rfc2822};
use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::lists::{limit, next_page, place};
use super::text;

/// Repositories on a page (`quay-api.md`, 1.5).
const PAGE: usize = 100;
/// Tags that are shown with a repository.
const TAGS: usize = 500;

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

fn visibility(text: &str) -> Visibility {
    if text == "public" {
        Visibility::Public
    } else {
        Visibility::Private
    }
}

/// A state as the API writes it.
fn state(record: &RepositoryRecord) -> String {
    record.state.as_str().to_ascii_uppercase()
}

pub(super) fn seconds(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(1000)
}

/// A count as Quay writes it: as a number that may have a fraction.
pub(super) fn number(count: u64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "nobody counts that far")]
    let count = count as f64;
    count.into()
}

fn listed(exchange: &Exchange, found: &ListedRepository) -> Value {
    let (record, details) = (&found.record, &found.details);
    let mut view = json!({
        "namespace": record.name.namespace(),
        "name": record.name.rest(),
        "description": details.description,
        "is_public": record.visibility == Visibility::Public,
        "kind": record.kind.as_str(),
        "state": state(record),
    });
    if exchange.query.flag("last_modified") == Some(true) {
        view["last_modified"] = json!(details.last_modified.map(seconds));
    }
    if let Some(size) = found.size {
        view["quota_report"] = json!({ "quota_bytes": size, "configured_quota": null });
    }
    if exchange.caller.principal != Principal::Anonymous {
        view["is_starred"] = details.is_starred.into();
    }
    view
}

pub(super) async fn list(exchange: Exchange) -> Result<Reply, Error> {
    let (query, public) = (&exchange.query, exchange.query.flag("public") == Some(true));
    let namespace = query.text("namespace").filter(|name| !name.is_empty());
    let starred = query.flag("starred") == Some(true);
    let wanted = match (starred, namespace) {
        (true, _) => RepositoryList::Starred,
        (false, Some(name)) => RepositoryList::Namespace {
            name: name.to_owned(),
            public,
        },
        (false, None) if public => RepositoryList::Public,
        (false, None) => {
            return Err(invalid(
                "One of namespace, starred or public must be given to list repositories",
            ));
        }
    };
    // Applications are not kept here.
    if query.text("repo_kind").is_some_and(|kind| kind == "application") {
        return Ok(Reply::ok(&json!({ "repositories": [] })));
    }
    let size = limit(&exchange).unwrap_or(PAGE).min(PAGE);
    let page = PageRequest::new(place::<String>(&exchange), size);
    let found = exchange
        .state
        .accounts
        .repositories(&exchange.caller, &wanted, &page)
        .await;
    let (found, next) = found?;
    let mut shown: Vec<Value> = found.iter().map(|found| listed(&exchange, found)).collect();
    if query.flag("popularity") == Some(true) {
        let ids: Vec<i64> = found.iter().map(|found| found.record.id).collect();
        let popularity = exchange.state.accounts.popularity(&ids).await?;
        for (view, id) in shown.iter_mut().zip(ids) {
            let of_one = popularity.iter().find(|counted| counted.repository == id);
            view["popularity"] = number(of_one.map_or(0, |counted| counted.actions));
        }
    }
    let mut body = json!({ "repositories": shown });
    if let Some(next) = next {
        body["next_page"] = next_page(&exchange, next);
    }
    Ok(Reply::ok(&body))
}

pub(super) async fn create(exchange: Exchange) -> Result<Reply, Error> {
    let Some(own) = exchange.caller.account() else {
        return Err(Error::new(ErrorKind::InvalidToken, "Requires authentication"));
    };
    let namespace = exchange.text("namespace").unwrap_or(own);
    let rest = text(&exchange, "repository");
    let nested = exchange.state.settings.nested_names || !rest.contains('/');
    let name = RepositoryName::from_path(&format!("{namespace}/{rest}"))
        .ok()
        .filter(|name| nested && name.namespace() == namespace)
        .ok_or_else(|| invalid("Invalid repository name"))?;
    let (accounts, caller) = (&exchange.state.accounts, &exchange.caller);
    let visibility = visibility(text(&exchange, "visibility"));
    let description = text(&exchange, "description");
    let created = accounts
        .create_repository(caller, &name, visibility, Some(description))
        .await?;
    let record = created.ok_or_else(|| invalid("Repository already exists"))?;
    Ok(Reply::json(
        StatusCode::CREATED,
        &json!({
            "namespace": record.name.namespace(),
            "name": record.name.rest(),
            "kind": record.kind.as_str(),
        }),
    ))
}

/// A tag as it is shown with its repository.
fn tag(entry: &TagEntry) -> Value {
    let mut view = json!({
        "name": entry.tag.name.as_str(),
        "size": entry.layers_size,
        "last_modified": rfc2822(entry.tag.start),
        "manifest_digest": entry.tag.digest,
    });
    if let Some(end) = entry.tag.end {
        view["expiration"] = rfc2822(end).into();
    }
    view
}

fn shown(exchange: &Exchange, found: &RepositoryView) -> Value {
    let record = &found.record;
    let own = found.namespace.as_ref();
    let default = exchange.state.options.default_tag_expiration_s;
    let normal = record.state == RepositoryState::Normal;
    json!({
        "namespace": record.name.namespace(),
        "name": record.name.rest(),
        "kind": record.kind.as_str(),
        "description": found.details.description,
        "is_public": record.visibility == Visibility::Public,
        "is_organization": own.is_some_and(quay_core::accounts::Account::is_organization),
        "is_starred": found.details.is_starred,
        // Badges are not served.
        "status_token": "",
        "trust_enabled": false,
        "tag_expiration_s": own.map_or(default, |account| account.tag_expiration_s),
        "is_free_account": true,
        "state": state(record),
        "can_write": normal && found.role >= Some(RepositoryRole::Write),
        "can_admin": found.role == Some(RepositoryRole::Admin),
    })
}

pub(super) async fn get(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let found = exchange.state.accounts.repository(&exchange.caller, name).await?;
    let mut view = shown(&exchange, &found);
    if exchange.query.flag("includeTags") != Some(false) {
        let request = HistoryRequest::new(TAGS).with_alive(true);
        let history = exchange
            .state
            .registry
            .tag_history(name, &request, &exchange.caller)
            .await;
        let history = history.map_err(|error| super::told(error, &exchange))?;
        let tags: Map<String, Value> = history
            .entries
            .iter()
            .map(|entry| (entry.tag.name.as_str().to_owned(), tag(entry)))
            .collect();
        view["tags"] = tags.into();
    }
    if exchange.query.flag("includeStats") == Some(true) {
        let statistics = exchange.state.accounts.statistics(found.record.id).await?;
        let statistics = statistics.into_iter().map(|(day, count)| {
            let date = iso8601(day).split('T').next().unwrap_or_default().to_owned();
            json!({ "date": date, "count": count })
        });
        view["stats"] = statistics.collect();
    }
    Ok(Reply::ok(&view))
}

pub(super) async fn describe(exchange: Exchange) -> Result<Reply, Error> {
    let (name, description) = (exchange.repository()?, text(&exchange, "description"));
    exchange
        .state
        .accounts
        .describe_repository(&exchange.caller, name, description)
        .await?;
    Ok(Reply::ok(&json!({ "success": true })))
}

pub(super) async fn change_visibility(exchange: Exchange) -> Result<Reply, Error> {
    let (name, visibility) = (exchange.repository()?, visibility(text(&exchange, "visibility")));
    exchange
        .state
        .accounts
        .set_visibility(&exchange.caller, name, visibility)
        .await?;
    Ok(Reply::ok(&json!({ "success": true })))
}

pub(super) async fn change_state(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    let state = RepositoryState::from_name(&text(&exchange, "state").to_ascii_lowercase())
        .ok_or_else(|| invalid("no such state"))?;
    exchange
        .state
        .accounts
        .set_repository_state(&exchange.caller, name, state)
        .await?;
    Ok(Reply::ok(&json!({ "success": true })))
}

pub(super) async fn delete(exchange: Exchange) -> Result<Reply, Error> {
    let name = exchange.repository()?;
    exchange
        .state
        .accounts
        .delete_repository(&exchange.caller, name)
        .await?;
    Ok(Reply::no_content())
}
