//! Lists: whole ones are written as they are read; with a limit they come in pages.

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use quay_core::Error;
use quay_core::metadata::PageRequest;
use quay_core::runtime::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::exchange::Exchange;
use super::super::reply::Reply;

/// Rows that are read at once for a list that is answered as a whole: a few first, so that the answer begins
/// soon.
const FIRST_BATCH: usize = 50;
const BATCH: usize = 500;
const PURPOSE: &str = "page";
/// How long a page's token counts (`quay-api.md`, 1.5).
const LIFETIME: std::time::Duration = std::time::Duration::from_hours(48);

/// Where a page begins, as it is sealed.
#[derive(Serialize, Deserialize)]
struct Place<K> {
    operation: String,
    after: K,
    issued_ms: i64,
}

/// Where the page begins that a client asks for. A token that is none, or of another list, or too old,
/// begins at the first.
pub(super) fn place<K: DeserializeOwned>(exchange: &Exchange) -> Option<K> {
    opened(exchange, exchange.query.text("next_page")?)
}

/// As [`place`], by a token that came in another way.
pub(super) fn opened<K: DeserializeOwned>(exchange: &Exchange, token: &str) -> Option<K> {
    let content = exchange.state.seal.open(PURPOSE, token)?;
    let place: Place<K> = serde_json::from_slice(&content).ok()?;
    let issued = Timestamp::from_millis(place.issued_ms);
    let counts = place.operation == exchange.operation.id
        && exchange.state.runtime.clock.now() < issued.plus(LIFETIME);
    counts.then_some(place.after)
}

/// The token of the page behind `after`.
pub(super) fn next_page<K: Serialize>(exchange: &Exchange, after: K) -> Value {
    let place = Place {
        operation: exchange.operation.id.clone(),
        after,
        issued_ms: exchange.state.runtime.clock.now().as_millis(),
    };
    let content = serde_json::to_vec(&place).unwrap_or_default();
    Value::String(exchange.state.seal.seal(PURPOSE, &content))
}

/// How many entries a client asks for; `None` for all.
pub(super) fn limit(exchange: &Exchange) -> Option<usize> {
    let limit = exchange.query.integer("limit")?;
    usize::try_from(limit).ok().filter(|limit| *limit > 0)
}

fn items<K, T, F, Fut>(fetch: F, key: fn(&T) -> K, after: Option<K>) -> BoxStream<'static, Result<T, Error>>
where
    K: Send + 'static,
    T: Send + 'static,
    F: Fn(PageRequest<K>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Vec<T>, Error>> + Send,
{
    let begin = (fetch, Some(after), FIRST_BATCH);
    let pages = stream::try_unfold(begin, move |(fetch, from, batch)| async move {
        let Some(after) = from else {
            return Ok::<_, Error>(None);
        };
        let rows = fetch(PageRequest::new(after, batch)).await?;
        let next = match rows.last() {
            Some(last) if rows.len() >= batch => Some(Some(key(last))),
            _ => None,
        };
        Ok(Some((
            stream::iter(rows.into_iter().map(Ok)),
            (fetch, next, BATCH),
        )))
    });
    pages.try_flatten().boxed()
}

/// One page of a list, and what comes after it, if anything does.
pub(super) async fn page<K, T, F, Fut>(
    exchange: &Exchange,
    most: usize,
    fetch: F,
    key: fn(&T) -> K,
) -> Result<(Vec<T>, Option<Value>), Error>
where
    K: Serialize + DeserializeOwned,
    F: Fn(PageRequest<K>) -> Fut,
    Fut: Future<Output = Result<Vec<T>, Error>>,
{
    // One row more shows whether there is a next page.
    let request = PageRequest::new(place(exchange), most.saturating_add(1));
    let mut rows = fetch(request).await?;
    let more = rows.len() > most;
    rows.truncate(most);
    let next = match rows.last() {
        Some(last) if more => Some(next_page(exchange, key(last))),
        _ => None,
    };
    Ok((rows, next))
}

/// Answers a list under `name`: in pages where the client asks for a number, as a whole where not. `rest`
/// is what stands beside it.
pub(super) async fn list<K, T, F, Fut>(
    exchange: &Exchange,
    name: &str,
    rest: Map<String, Value>,
    fetch: F,
    key: fn(&T) -> K,
    show: fn(T) -> Value,
) -> Result<Reply, Error>
where
    K: Serialize + DeserializeOwned + Send + 'static,
    T: Send + 'static,
    F: Fn(PageRequest<K>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Vec<T>, Error>> + Send + 'static,
{
    if let Some(most) = limit(exchange) {
        let (rows, next) = page(exchange, most, fetch, key).await?;
        let mut body = rest;
        let shown: Vec<Value> = rows.into_iter().map(show).collect();
        body.insert(name.to_owned(), Value::Array(shown));
        body.extend(next.map(|next| ("next_page".to_owned(), next)));
        return Ok(Reply::ok(&Value::Object(body)));
    }
    let shown = items(fetch, key, place(exchange)).map_ok(show).boxed();
    let (before, after) = around(name, rest, '[', ']');
    Ok(Reply::list(before, shown, after))
}

/// As [`list`], for an object whose members are named.
pub(super) async fn map<K, T, F, Fut>(
    exchange: &Exchange,
    name: &str,
    fetch: F,
    key: fn(&T) -> K,
    show: fn(T) -> (String, Value),
) -> Result<Reply, Error>
where
    K: Serialize + DeserializeOwned + Send + 'static,
    T: Send + 'static,
    F: Fn(PageRequest<K>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Vec<T>, Error>> + Send + 'static,
{
    if let Some(most) = limit(exchange) {
        let (rows, next) = page(exchange, most, fetch, key).await?;
        let mut body = Map::new();
        let shown: Map<String, Value> = rows.into_iter().map(show).collect();
        body.insert(name.to_owned(), Value::Object(shown));
        body.extend(next.map(|next| ("next_page".to_owned(), next)));
        return Ok(Reply::ok(&Value::Object(body)));
    }
    let shown = items(fetch, key, place(exchange)).map_ok(show).boxed();
    let (before, after) = around(name, Map::new(), '{', '}');
    Ok(Reply::map(before, shown, after))
}

/// An object around a member that is written piece by piece.
fn around(name: &str, rest: Map<String, Value>, open: char, close: char) -> (String, String) {
    let mut before = "{".to_owned();
    for (name, value) in rest {
        before.extend([Value::String(name).to_string(), format!(":{value},")]);
    }
    before.extend([Value::String(name.to_owned()).to_string(), format!(":{open}")]);
    (before, format!("{close}}}\n"))
}

/// One page of a list that is read as a whole, in the order of its keys, and what comes after it, if anything does;
/// all of it where the client asks for no number.
pub(super) fn cut<K, T>(exchange: &Exchange, rows: Vec<T>, key: fn(&T) -> K) -> (Vec<T>, Option<Value>)
where
    K: Serialize + DeserializeOwned + PartialOrd,
{
    let mut rows = rows;
    if let Some(after) = place::<K>(exchange) {
        rows.retain(|row| key(row) > after);
    }
    let Some(most) = limit(exchange) else {
        return (rows, None);
    };
    let more = rows.len() > most;
    rows.truncate(most);
    let next = rows.last().filter(|_| more);
    let next = next.map(|last| next_page(exchange, key(last)));
    (rows, next)
}
