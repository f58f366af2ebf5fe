//! Durations as Quay writes them: `30s`, `10m`, `12h`, `31d`, `2w`, `1y`.

use std::time::Duration;

/// A whole number and its unit, or `None`. Days have 24 hours, years 365 days.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let (number, seconds) = [
        ('s', 1),
        ('m', 60),
        ('h', 3600),
        ('d', 86_400),
        ('w', 604_800),
        ('y', 31_536_000),
    ]
    .into_iter()
    .find_map(|(unit, seconds)| text.strip_suffix(unit).map(|number| (number, seconds)))?;
    // `parse` would take a sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Times are counted in milliseconds: what does not fit there is no time.
    let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    let longest = i64::MAX.unsigned_abs() / 1000;
    (seconds <= longest).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("10m", 600),
            ("1h", 3600),
            ("31d", 2_678_400),
            ("2w", 1_209_600),
            ("1y", 31_536_000),
            ("007d", 604_800),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "10",
            "10M",
            "-1d",
            "+1d",
            "1.5h",
            " 1d",
            "1d ",
            "1 d",
            "1dd",
            "1ms",
            "٣d",
            "99999999999999999999s",
            "9223372036854775807y",
            "292471210y",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
