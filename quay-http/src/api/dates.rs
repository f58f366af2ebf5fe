//! Times as Quay writes them (`quay-api.md`, 1.4).

use std::time::{Duration, UNIX_EPOCH};

use quay_core::runtime::Timestamp;

/// The last second that has a year of four digits.
const LAST: u64 = 253_402_300_799;

/// `Mon, 02 Jan 2006 15:04:05 -0000`: in most places.
pub(crate) fn rfc2822(time: Timestamp) -> String {
    http_date(time).replace("GMT", "-0000")
}

/// `Mon, 02 Jan 2006 15:04:05 GMT`: of service keys.
pub(crate) fn http_date(time: Timestamp) -> String {
    let seconds = u64::try_from(time.as_millis().div_euclid(1000)).unwrap_or(0);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST)))
}

/// `2006-01-02T15:04:05Z`: where Quay's later versions chose anew.
pub(crate) fn iso8601(time: Timestamp) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let written = http_date(time);
    let mut parts = written.split(' ').skip(1);
    let mut part = || parts.next().unwrap_or_default();
    let (day, month, year, clock) = (part(), part(), part(), part());
    let month = MONTHS.find(month).unwrap_or(0) / 3 + 1;
    format!("{year}-{month:02}-{day}T{clock}Z")
}

/// `2006-01-02T15:04:05.006Z`: as other specifications want it, to the millisecond.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let millis = time.as_millis().rem_euclid(1000);
    iso8601(time).replace('Z', &format!(".{millis:03}Z"))
}

/// Reads a time as configurations of images write it (RFC 3339); `None` for what is none.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("2006-01-02T15:04:05Z", Some(1_136_214_245_000)),
            ("2006-01-02T15:04:05.123456789Z", Some(1_136_214_245_123)),
            ("2006-01-02T17:04:05+02:00", Some(1_136_214_245_000)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse_rfc3339(text).map(Timestamp::as_millis), expected, "{text}");
        }
    }

    #[test]
    fn table() {
        for (millis, expected, iso) in [
            (
                1_136_214_245_999,
                "Mon, 02 Jan 2006 15:04:05",
                "2006-01-02T15:04:05Z",
            ),
            (
                1_709_251_199_000,
                "Thu, 29 Feb 2024 23:59:59",
                "2024-02-29T23:59:59Z",
            ),
            (0, "Thu, 01 Jan 1970 00:00:00", "1970-01-01T00:00:00Z"),
            (i64::MIN, "Thu, 01 Jan 1970 00:00:00", "1970-01-01T00:00:00Z"),
            (i64::MAX, "Fri, 31 Dec 9999 23:59:59", "9999-12-31T23:59:59Z"),
        ] {
            let time = Timestamp::from_millis(millis);
            assert_eq!(rfc2822(time), format!("{expected} -0000"));
            assert_eq!(http_date(time), format!("{expected} GMT"));
            assert_eq!(iso8601(time), iso);
            let fine = rfc3339(time);
            assert!(fine.starts_with(iso.trim_end_matches('Z')), "{fine}");
            let within = Timestamp::from_millis(millis.clamp(0, 253_402_300_799_999));
            if within == time {
                assert_eq!(parse_rfc3339(&fine), Some(time));
            }
        }
    }
}
