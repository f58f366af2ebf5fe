//! Quotas of namespaces and repositories.

use http::StatusCode;
use quay_core::accounts::{QuotaPlace, QuotaReport, QuotaView};
use quay_core::metadata::{Quota, QuotaLimit};
use quay_core::{Error, ErrorKind};
use serde_json::{Map, Value, json};

use super::super::exchange::Exchange;
use super::super::reply::Reply;
use super::text;

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "Not Found")
}

/// A number of the path. What is none is no quota's.
fn id(exchange: &Exchange, part: &str) -> Result<i64, Error> {
    exchange.path.get(part).parse().map_err(|_| not_found())
}

/// Bytes as people write them, to one digit: `10.0 GiB`.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = "Byte";
    let mut scale: u64 = 1;
    for larger in UNITS {
        match scale.checked_mul(1024) {
            Some(next) if bytes >= next => (scale, unit) = (next, larger),
            _ => break,
        }
    }
    let tenths = (u128::from(bytes) * 10 + u128::from(scale / 2)) / u128::from(scale);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Bytes that people wrote: a number and a unit, of 1024 with an i and of 1000 without.
fn parsed(text: &str) -> Option<i128> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: i128 = number.parse().ok()?;
    let unit = unit.strip_prefix([' ', '\t']).unwrap_or(unit);
    let unit = unit.strip_suffix('B').unwrap_or(unit);
    let (prefix, base) = match unit.strip_suffix('i') {
        Some(prefix) if !prefix.is_empty() => (prefix, 1024_i128),
        Some(_) => return None,
        None => (unit, 1000),
    };
    let power = match prefix {
        "" => 0,
        _ => u32::try_from(
            ["K", "M", "G", "T", "P", "E", "Z", "Y"]
                .iter()
                .position(|known| *known == prefix)?,
        )
        .ok()?
        .checked_add(1)?,
    };
    base.checked_pow(power)?.checked_mul(number)
}

/// The bytes that the body names, if it names any.
fn bytes(exchange: &Exchange) -> Result<Option<i128>, Error> {
    let (of_bytes, of_limit) = (exchange.body.get("limit_bytes"), exchange.body.get("limit"));
    match (of_bytes, of_limit) {
        (None, None) => Ok(None),
        (Some(bytes), None) => {
            let bytes = bytes.as_i64().map(i128::from);
            let bytes = bytes.or_else(|| of_bytes?.as_u64().map(i128::from));
            let wrong = || Error::new(ErrorKind::InvalidRequest, "limit_bytes is a whole number");
            bytes.map(Some).ok_or_else(wrong)
        }
        (None, Some(limit)) => {
            let wrong = || {
                let message = "limit is a number and a unit, such as 10 GiB or 500 MB";
                Error::new(ErrorKind::InvalidRequest, message)
            };
            let limit = limit.as_str().and_then(parsed);
            limit.map(Some).ok_or_else(wrong)
        }
        (Some(_), Some(_)) => Err(Error::new(
            ErrorKind::InvalidRequest,
            "either limit_bytes or limit is given",
        )),
    }
}

fn limit(limit: &QuotaLimit) -> Value {
    json!({ "id": limit.id, "type": limit.kind.as_str(), "limit_percent": limit.percent })
}

fn limits(of: &[QuotaLimit]) -> Value {
    of.iter().map(limit).collect()
}

fn shown(exchange: &Exchange, view: &QuotaView) -> Value {
    json!({
        "id": view.id,
        "limit_bytes": view.limit_bytes,
        "limit": human(view.limit_bytes),
        "default_config": view.id.is_none(),
        "limits": limits(&view.limits),
        "default_config_exists": exchange.state.options.default_reject_quota.is_some(),
    })
}

fn quota(exchange: &Exchange, quota: Quota) -> Reply {
    Reply::ok(&shown(exchange, &QuotaView::from(quota)))
}

/// What views of users and organizations say of quotas.
pub(super) fn report(report: &QuotaReport) -> Map<String, Value> {
    let status = if report.used.counted {
        "complete"
    } else {
        "running"
    };
    let quotas: Vec<Value> = report
        .quotas
        .iter()
        .map(|view| json!({ "id": view.id, "limit_bytes": view.limit_bytes, "limits": limits(&view.limits) }))
        .collect();
    super::views::members([
        ("quotas", quotas.into()),
        (
            "quota_report",
            json!({
                "quota_bytes": report.used.used,
                "configured_quota": report.configured,
                "running_backfill": status,
                "backfill_status": status,
            }),
        ),
    ])
}

fn organization(exchange: &Exchange) -> QuotaPlace<'_> {
    QuotaPlace::Organization(exchange.path.get("orgname"))
}

fn any(exchange: &Exchange) -> QuotaPlace<'_> {
    QuotaPlace::Any(exchange.path.get("namespace"))
}

async fn listed(exchange: &Exchange, place: QuotaPlace<'_>) -> Result<Reply, Error> {
    let found = exchange.state.accounts.quotas(&exchange.caller, place).await?;
    let shown: Vec<Value> = found.iter().map(|view| shown(exchange, view)).collect();
    Ok(Reply::ok(&Value::Array(shown)))
}

async fn created(exchange: &Exchange, place: QuotaPlace<'_>) -> Result<Reply, Error> {
    let missing = || Error::new(ErrorKind::InvalidRequest, "either limit_bytes or limit is given");
    let bytes = bytes(exchange)?.ok_or_else(missing)?;
    exchange
        .state
        .accounts
        .create_quota(&exchange.caller, place, bytes)
        .await?;
    Ok(Reply::json(StatusCode::CREATED, &json!("Created")))
}

async fn resized(exchange: &Exchange, place: QuotaPlace<'_>) -> Result<Reply, Error> {
    let (id, bytes) = (id(exchange, "quota_id")?, bytes(exchange)?);
    let accounts = &exchange.state.accounts;
    let changed = accounts.resize_quota(&exchange.caller, place, id, bytes).await?;
    Ok(quota(exchange, changed))
}

async fn deleted(exchange: &Exchange, place: QuotaPlace<'_>) -> Result<Reply, Error> {
    let id = id(exchange, "quota_id")?;
    exchange
        .state
        .accounts
        .delete_quota(&exchange.caller, place, id)
        .await?;
    Ok(Reply::no_content())
}

async fn one(exchange: &Exchange, place: QuotaPlace<'_>) -> Result<Quota, Error> {
    let id = id(exchange, "quota_id")?;
    exchange.state.accounts.quota(&exchange.caller, place, id).await
}

pub(super) async fn list_of_organization(exchange: Exchange) -> Result<Reply, Error> {
    listed(&exchange, organization(&exchange)).await
}

pub(super) async fn create_for_organization(exchange: Exchange) -> Result<Reply, Error> {
    created(&exchange, organization(&exchange)).await
}

pub(super) async fn of_organization(exchange: Exchange) -> Result<Reply, Error> {
    let found = one(&exchange, organization(&exchange)).await?;
    Ok(quota(&exchange, found))
}

pub(super) async fn change_for_organization(exchange: Exchange) -> Result<Reply, Error> {
    resized(&exchange, organization(&exchange)).await
}

pub(super) async fn delete_for_organization(exchange: Exchange) -> Result<Reply, Error> {
    deleted(&exchange, organization(&exchange)).await
}

pub(super) async fn limits_of_organization(exchange: Exchange) -> Result<Reply, Error> {
    let found = one(&exchange, organization(&exchange)).await?;
    Ok(Reply::ok(&limits(&found.limits)))
}

pub(super) async fn create_limit(exchange: Exchange) -> Result<Reply, Error> {
    let id = id(&exchange, "quota_id")?;
    let percent = exchange.body.get("threshold_percent").and_then(Value::as_i64);
    exchange
        .state
        .accounts
        .create_quota_limit(
            &exchange.caller,
            organization(&exchange),
            id,
            text(&exchange, "type"),
            percent.unwrap_or(0),
        )
        .await?;
    Ok(Reply::json(StatusCode::CREATED, &json!("Created")))
}

pub(super) async fn limit_of_organization(exchange: Exchange) -> Result<Reply, Error> {
    let (quota, of) = (id(&exchange, "quota_id")?, id(&exchange, "limit_id")?);
    let accounts = &exchange.state.accounts;
    let found = accounts
        .quota_limit(&exchange.caller, organization(&exchange), quota, of)
        .await?;
    Ok(Reply::ok(&limit(&found)))
}

pub(super) async fn change_limit(exchange: Exchange) -> Result<Reply, Error> {
    let ids = (id(&exchange, "quota_id")?, id(&exchange, "limit_id")?);
    let percent = exchange.body.get("threshold_percent").and_then(Value::as_i64);
    let changed = exchange
        .state
        .accounts
        .change_quota_limit(
            &exchange.caller,
            organization(&exchange),
            ids,
            exchange.text("type"),
            percent,
        )
        .await?;
    Ok(quota(&exchange, changed))
}

pub(super) async fn delete_limit(exchange: Exchange) -> Result<Reply, Error> {
    let (quota, of) = (id(&exchange, "quota_id")?, id(&exchange, "limit_id")?);
    exchange
        .state
        .accounts
        .delete_quota_limit(&exchange.caller, organization(&exchange), quota, of)
        .await?;
    Ok(Reply::no_content())
}

pub(super) async fn list_own(exchange: Exchange) -> Result<Reply, Error> {
    listed(&exchange, QuotaPlace::Own).await
}

pub(super) async fn own(exchange: Exchange) -> Result<Reply, Error> {
    let found = one(&exchange, QuotaPlace::Own).await?;
    Ok(quota(&exchange, found))
}

pub(super) async fn own_limits(exchange: Exchange) -> Result<Reply, Error> {
    let found = one(&exchange, QuotaPlace::Own).await?;
    Ok(Reply::ok(&limits(&found.limits)))
}

pub(super) async fn own_limit(exchange: Exchange) -> Result<Reply, Error> {
    let (quota, of) = (id(&exchange, "quota_id")?, id(&exchange, "limit_id")?);
    let accounts = &exchange.state.accounts;
    let found = accounts
        .quota_limit(&exchange.caller, QuotaPlace::Own, quota, of)
        .await?;
    Ok(Reply::ok(&limit(&found)))
}

pub(super) async fn list_any(exchange: Exchange) -> Result<Reply, Error> {
    listed(&exchange, any(&exchange)).await
}

pub(super) async fn create_any(exchange: Exchange) -> Result<Reply, Error> {
    created(&exchange, any(&exchange)).await
}

pub(super) async fn change_any(exchange: Exchange) -> Result<Reply, Error> {
    resized(&exchange, any(&exchange)).await
}

pub(super) async fn delete_any(exchange: Exchange) -> Result<Reply, Error> {
    deleted(&exchange, any(&exchange)).await
}

pub(super) async fn list_of_repository(exchange: Exchange) -> Result<Reply, Error> {
    listed(&exchange, QuotaPlace::Repository(exchange.repository()?)).await
}

pub(super) async fn create_for_repository(exchange: Exchange) -> Result<Reply, Error> {
    created(&exchange, QuotaPlace::Repository(exchange.repository()?)).await
}

pub(super) async fn change_for_repository(exchange: Exchange) -> Result<Reply, Error> {
    resized(&exchange, QuotaPlace::Repository(exchange.repository()?)).await
}

pub(super) async fn delete_for_repository(exchange: Exchange) -> Result<Reply, Error> {
    deleted(&exchange, QuotaPlace::Repository(exchange.repository()?)).await
}

pub(super) async fn create_repository_limit(exchange: Exchange) -> Result<Reply, Error> {
    let quota = id(&exchange, "quota_id")?;
    let percent = exchange.body.get("threshold_percent").and_then(Value::as_i64);
    let place = QuotaPlace::Repository(exchange.repository()?);
    let accounts = &exchange.state.accounts;
    accounts
        .create_quota_limit(
            &exchange.caller,
            place,
            quota,
            text(&exchange, "type"),
            percent.unwrap_or(0),
        )
        .await?;
    Ok(Reply::json(StatusCode::CREATED, &json!("Created")))
}

pub(super) async fn delete_repository_limit(exchange: Exchange) -> Result<Reply, Error> {
    let (quota, of) = (id(&exchange, "quota_id")?, id(&exchange, "limit_id")?);
    let place = QuotaPlace::Repository(exchange.repository()?);
    let accounts = &exchange.state.accounts;
    accounts
        .delete_quota_limit(&exchange.caller, place, quota, of)
        .await?;
    Ok(Reply::no_content())
}

pub(super) async fn recount(exchange: Exchange) -> Result<Reply, Error> {
    let accounts = &exchange.state.accounts;
    accounts.recount_usage(&exchange.caller, any(&exchange)).await?;
    Ok(Reply::json(StatusCode::ACCEPTED, &json!("")))
}

pub(super) async fn registry_size(exchange: Exchange) -> Result<Reply, Error> {
    let size = exchange.state.accounts.registry_size(&exchange.caller).await?;
    Ok(Reply::ok(&json!({
        "size_bytes": size.bytes,
        "last_ran": size.counted.map(quay_core::runtime::Timestamp::as_millis),
        "queued": size.queued,
        "running": size.running,
    })))
}

pub(super) async fn queue_registry_size(exchange: Exchange) -> Result<Reply, Error> {
    let queued = exchange
        .state
        .accounts
        .queue_registry_size(&exchange.caller)
        .await?;
    let status = if queued {
        StatusCode::CREATED
    } else {
        StatusCode::ACCEPTED
    };
    Ok(Reply::json(status, &json!("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_as_people_do() {
        for (text, bytes) in [
            ("10", 10),
            ("10B", 10),
            ("1 KiB", 1024),
            ("1Ki", 1024),
            ("1K", 1000),
            ("3 GiB", 3 << 30),
            ("2 TB", 2_000_000_000_000),
            ("8 EiB", 8 << 60),
        ] {
            assert_eq!(parsed(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "GiB",
            "1 iB",
            "1 XB",
            "-1",
            "1.5 GiB",
            "1  GiB",
            "1 kib",
            "99999999999999999999999999999999 YiB",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
        for (bytes, text) in [
            (0, "0.0 Byte"),
            (1023, "1023.0 Byte"),
            (1024, "1.0 KiB"),
            (10 << 30, "10.0 GiB"),
            (1_500_000_000, "1.4 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
