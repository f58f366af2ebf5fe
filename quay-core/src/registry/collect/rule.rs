//! What a manifest is kept for, and how long: the collector's one rule.

use std::time::Duration;

use crate::metadata::ManifestHolds;
use crate::runtime::Timestamp;

/// What becomes of a manifest that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it stays for now, or it goes")]
pub enum Verdict {
    /// It stays, to be looked at again then; without a time, once something happens to what holds it.
    Keep(Option<Timestamp>),
    /// Nothing keeps it.
    Remove,
}

/// Judges a manifest at `now`, where what a tag has pointed at can be brought back for `window` after the
/// tag's end.
///
/// It is kept by a tag that is alive or can be brought back, by an index or list that has a row, by the
/// manifest that it is about (unless it was deleted itself), and by its lease. What holds it may be garbage
/// itself: it comes up for review once that is removed.
#[must_use]
pub fn judge(holds: &ManifestHolds, window: Duration, now: Timestamp) -> Verdict {
    let remembered = |end: Timestamp| end.plus(window);
    let first = holds.ends.map(|(first, _)| remembered(first));
    let last = holds.ends.map(|(_, last)| remembered(last));
    let kept = holds.tagged
        || holds.parent
        || (holds.subject && holds.live)
        || holds.lease.is_some_and(|lease| lease > now)
        || last.is_some_and(|last| last > now);
    if !kept {
        return Verdict::Remove;
    }
    // Rows of tags are forgotten in time, whatever else keeps the manifest.
    let times = [holds.lease, first, last];
    Verdict::Keep(times.into_iter().flatten().filter(|time| *time > now).min())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Algorithm, Digest};

    const WINDOW: Duration = Duration::from_millis(100);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn nothing() -> ManifestHolds {
        ManifestHolds::new(1, Digest::of(Algorithm::Sha256, b"x"), true)
    }

    /// With some things that hold it.
    fn held(by: impl FnOnce(&mut ManifestHolds)) -> Verdict {
        let mut holds = nothing();
        by(&mut holds);
        judge(&holds, WINDOW, at(1000))
    }

    fn keep(time: Option<i64>) -> Verdict {
        Verdict::Keep(time.map(at))
    }

    #[test]
    fn each_thing_that_holds_is_enough_and_nothing_is_not() {
        assert_eq!(held(|_| {}), Verdict::Remove);
        assert_eq!(held(|it| it.live = false), Verdict::Remove);
        assert_eq!(held(|it| it.tagged = true), keep(None));
        for live in [true, false] {
            let parent = held(|it| (it.parent, it.live) = (true, live));
            assert_eq!(parent, keep(None));
        }
        assert_eq!(held(|it| it.subject = true), keep(None));
        let deleted = held(|it| (it.subject, it.live) = (true, false));
        assert_eq!(deleted, Verdict::Remove);
    }

    #[test]
    fn a_lease_and_what_a_tag_leaves_end_at_their_time() {
        assert_eq!(held(|it| it.lease = Some(at(1001))), keep(Some(1001)));
        assert_eq!(held(|it| it.lease = Some(at(1000))), Verdict::Remove);
        let ends = |first, last| held(|it| it.ends = Some((at(first), at(last))));
        assert_eq!(ends(901, 901), keep(Some(1001)));
        assert_eq!(ends(900, 900), Verdict::Remove);
        assert_eq!(ends(901, 5000), keep(Some(1001)));
        assert_eq!(ends(900, 5000), keep(Some(5100)));
        let deleted = held(|it| (it.ends, it.live) = (Some((at(950), at(950))), false));
        assert_eq!(deleted, keep(Some(1050)));
    }

    #[test]
    fn what_is_held_for_good_is_looked_at_when_the_first_of_the_rest_has_ended() {
        let all = held(|it| {
            it.tagged = true;
            it.lease = Some(at(1200));
            it.ends = Some((at(950), at(950)));
        });
        assert_eq!(all, keep(Some(1050)));
        let over = held(|it| (it.tagged, it.lease) = (true, Some(at(900))));
        assert_eq!(over, keep(None));
    }

    #[test]
    fn no_time_is_too_long() {
        let holds = ManifestHolds {
            ends: Some((at(i64::MAX), at(i64::MAX))),
            ..nothing()
        };
        assert_eq!(
            judge(&holds, Duration::MAX, at(0)),
            Verdict::Keep(Some(at(i64::MAX)))
        );
    }
}
