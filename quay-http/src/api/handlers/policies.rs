//! Policies about the life of tags: the same calls for users, organizations and repositories
//! (`quay-api.md`, section 9). The dry runs are this registry's own.

use http::StatusCode;
use quay_core::accounts::{PolicyInput, PolicyPlace, PolicyView};
use quay_core::lifecycle::PruneInput;
use quay_core::metadata::PolicyKind;
use quay_core::registry::{PreviewPlace, PreviewedTag};
use quay_core::runtime::Timestamp;
use quay_core::{Error, RepositoryName};
use serde_json::{Value, json};

use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::lists::{limit, next_page, place};
use super::text;

/// Tags on a page of a dry run where no number is asked for.
const PAGE: usize = 50;

/// Whose policies the path is about.
struct Owner {
    organization: Option<String>,
    repository: Option<RepositoryName>,
}

impl Owner {
    fn of(exchange: &Exchange) -> Self {
        let mut values = exchange.path.values.iter();
        let organization = values.find(|(name, _)| name == "orgname");
        Self {
            organization: organization.map(|(_, value)| value.clone()),
            repository: exchange.path.repository.clone(),
        }
    }

    fn place(&self) -> PolicyPlace<'_> {
        match (&self.repository, &self.organization) {
            (Some(name), _) => PolicyPlace::Repository(name),
            (None, Some(name)) => PolicyPlace::Organization(name),
            (None, None) => PolicyPlace::Own,
        }
    }
}

fn uuid(exchange: &Exchange) -> &str {
    exchange.path.get("policy_uuid")
}

/// The policy in the body.
fn input(exchange: &Exchange, kind: PolicyKind) -> PolicyInput {
    let owned = |member: &str| exchange.text(member).map(str::to_owned);
    let matches = exchange.body.get("tagPatternMatches").and_then(Value::as_bool);
    match kind {
        PolicyKind::Prune => {
            let value = exchange.body.get("value").cloned().unwrap_or_default();
            // As Quay stores it: also where there is no pattern.
            let input = PruneInput::new(text(exchange, "method"), value)
                .with_pattern(owned("tagPattern"), Some(matches.unwrap_or(true)))
                .with_keep_pulled_within(owned("keepPulledWithin"));
            PolicyInput::Prune(input)
        }
        PolicyKind::Immutability => PolicyInput::Immutability {
            tag_pattern: text(exchange, "tagPattern").to_owned(),
            tag_pattern_matches: matches,
        },
    }
}

fn view(policy: &PolicyView, kind: PolicyKind) -> Value {
    let content = &policy.content;
    let mut view = json!({
        "uuid": policy.uuid,
        "tagPattern": content["tag_pattern"],
        "tagPatternMatches": content["tag_pattern_matches"],
    });
    if kind == PolicyKind::Prune {
        view["method"] = content["method"].clone();
        view["value"] = content["value"].clone();
        if content["keep_pulled_within"].is_string() {
            view["keepPulledWithin"] = content["keep_pulled_within"].clone();
        }
    }
    view
}

async fn list(exchange: Exchange, kind: PolicyKind) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let found = exchange
        .state
        .accounts
        .policies(&exchange.caller, owner.place(), kind)
        .await?;
    let views: Vec<Value> = found.iter().map(|policy| view(policy, kind)).collect();
    Ok(Reply::ok(&json!({ "policies": views })))
}

async fn get(exchange: Exchange, kind: PolicyKind) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let found = exchange
        .state
        .accounts
        .policy(&exchange.caller, owner.place(), kind, uuid(&exchange))
        .await?;
    Ok(Reply::ok(&view(&found, kind)))
}

async fn create(exchange: Exchange, kind: PolicyKind) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let input = input(&exchange, kind);
    let uuid = exchange
        .state
        .accounts
        .create_policy(&exchange.caller, owner.place(), &input)
        .await?;
    Ok(Reply::json(StatusCode::CREATED, &json!({ "uuid": uuid })))
}

async fn change(exchange: Exchange, kind: PolicyKind) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let input = input(&exchange, kind);
    exchange
        .state
        .accounts
        .change_policy(&exchange.caller, owner.place(), uuid(&exchange), &input)
        .await?;
    Ok(Reply::no_content())
}

async fn delete(exchange: Exchange, kind: PolicyKind) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let uuid = uuid(&exchange);
    exchange
        .state
        .accounts
        .delete_policy(&exchange.caller, owner.place(), kind, uuid)
        .await?;
    Ok(Reply::ok(&json!({ "uuid": uuid })))
}

fn previewed(found: &PreviewedTag) -> Value {
    let seconds = |time: Timestamp| time.as_millis().div_euclid(1000);
    let row = &found.tag.tag;
    let mut view = json!({
        "repository": found.repository.path(),
        "name": row.name.as_str(),
        "manifest_digest": row.digest,
        "start_ts": seconds(row.start),
        "reason": found.reason,
    });
    if let Some(end) = row.end {
        view["end_ts"] = seconds(end).into();
    }
    if let Some(pulled) = found.tag.pulled {
        view["last_pull_ts"] = seconds(pulled).into();
    }
    view
}

async fn preview(exchange: Exchange, kind: PolicyKind) -> Result<Reply, Error> {
    let owner = Owner::of(&exchange);
    let input = input(&exchange, kind);
    let from: Option<PreviewPlace> = place(&exchange);
    let limit = limit(&exchange).unwrap_or(PAGE);
    let found = exchange
        .state
        .accounts
        .preview_policy(&exchange.caller, owner.place(), &input, from, limit)
        .await?;
    let tags: Vec<Value> = found.tags.iter().map(previewed).collect();
    let mut body = json!({ "tags": tags });
    if let Some(next) = found.next {
        body["next_page"] = next_page(&exchange, next);
    }
    Ok(Reply::ok(&body))
}

/// The calls of one kind of policy.
macro_rules! calls {
    ($($name:ident = $call:ident($kind:ident);)*) => {
        $(pub(super) async fn $name(exchange: Exchange) -> Result<Reply, Error> {
            $call(exchange, PolicyKind::$kind).await
        })*
    };
}

calls! {
    list_prune = list(Prune);
    get_prune = get(Prune);
    create_prune = create(Prune);
    change_prune = change(Prune);
    delete_prune = delete(Prune);
    preview_prune = preview(Prune);
    list_immutability = list(Immutability);
    get_immutability = get(Immutability);
    create_immutability = create(Immutability);
    change_immutability = change(Immutability);
    delete_immutability = delete(Immutability);
    preview_immutability = preview(Immutability);
}
