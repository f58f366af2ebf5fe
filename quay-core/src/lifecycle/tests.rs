//! Rules against a model that looks at whole lists, policy by policy.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;
use crate::runtime::Timestamp;

const NOW: i64 = 1_000_000_000;

#[derive(Debug, Clone)]
struct Row {
    name: String,
    start: i64,
    immutable: bool,
    pulled: Option<i64>,
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        "[ab][0-9]",
        0..20_i64,
        prop::bool::weighted(0.2),
        prop::option::of(0..20_i64),
    );
    let row = row.prop_map(|(name, age, immutable, pulled)| Row {
        name,
        start: NOW - age * 1000,
        immutable,
        pulled: pulled.map(|age| NOW - age * 1000),
    });
    prop::collection::vec(row, 0..30).prop_map(|mut rows| {
        // Of a name there is one live row.
        rows.sort_by(|left, right| left.name.cmp(&right.name));
        rows.dedup_by(|left, right| left.name == right.name);
        rows.sort_by(|left, right| right.start.cmp(&left.start).then(left.name.cmp(&right.name)));
        rows
    })
}

fn input() -> impl Strategy<Value = PruneInput> {
    let method = prop_oneof![
        (1..6_u64).prop_map(|count| ("number_of_tags", json!(count))),
        (1..15_u64).prop_map(|seconds| ("creation_date", json!(format!("{seconds}s")))),
    ];
    let pattern = prop::option::of(prop_oneof![Just("a"), Just("^b"), Just("[0-4]$")]);
    let keep = prop::option::of((1..15_u64).prop_map(|seconds| format!("{seconds}s")));
    (method, pattern, prop::option::of(any::<bool>()), keep).prop_map(
        |((method, value), pattern, matches, keep)| {
            PruneInput::new(method, value)
                .with_pattern(pattern.map(str::to_owned), matches)
                .with_keep_pulled_within(keep)
        },
    )
}

/// Seconds of a duration that a policy of these tests has.
fn millis(text: &str) -> i64 {
    text.strip_suffix('s').unwrap().parse::<i64>().unwrap() * 1000
}

/// What a policy takes of a whole list, by the words of its description.
fn model(input: &PruneInput, rows: &[Row]) -> Vec<String> {
    let fits = |name: &str| {
        let fits = match input.tag_pattern.as_deref() {
            None => return true,
            Some("a") => name.contains('a'),
            Some("^b") => name.starts_with('b'),
            Some(_) => matches!(name.chars().last(), Some('0'..='4')),
        };
        fits == input.tag_pattern_matches.unwrap_or(true)
    };
    let about: Vec<&Row> = rows.iter().filter(|row| fits(&row.name)).collect();
    let due: Vec<&Row> = match (&input.value, input.value.as_u64()) {
        (_, Some(count)) => about.into_iter().skip(usize::try_from(count).unwrap()).collect(),
        (Value::String(age), _) => about
            .into_iter()
            .filter(|row| NOW - row.start > millis(age))
            .collect(),
        _ => panic!("no policy"),
    };
    due.into_iter()
        .filter(|row| !row.immutable)
        .filter(|row| match (&input.keep_pulled_within, row.pulled) {
            (Some(within), Some(pulled)) => NOW - pulled > millis(within),
            _ => true,
        })
        .map(|row| row.name.clone())
        .collect()
}

fn judge(pruning: &mut Pruning<'_>, row: &Row) -> Option<String> {
    let tag = Candidate::new(&row.name, Timestamp::from_millis(row.start))
        .with_immutable(row.immutable)
        .with_pulled(row.pulled.map(Timestamp::from_millis));
    pruning.judge(&tag).map(|_| row.name.clone())
}

proptest! {
    #[test]
    fn one_walk_prunes_what_policies_prune_one_after_the_other(
        rows in rows(),
        inputs in prop::collection::vec(input(), 0..4),
        split in 0..30_usize,
    ) {
        let rules: Vec<PruneRule> = inputs
            .iter()
            .map(|input| PruneRule::parse(input.clone()).unwrap())
            .collect();
        let now = Timestamp::from_millis(NOW);
        let mut left = rows.clone();
        let mut expected = Vec::new();
        for input in &inputs {
            let taken = model(input, &left);
            left.retain(|row| !taken.contains(&row.name));
            expected.extend(taken);
        }
        expected.sort();
        // In two parts, as a worker that is interrupted does it.
        let split = split.min(rows.len());
        let mut first = Pruning::new(&rules, now);
        let mut seen: Vec<String> = rows[..split].iter().filter_map(|row| judge(&mut first, row)).collect();
        let mut second = Pruning::resumed(&rules, first.seen().to_vec(), now).unwrap();
        seen.extend(rows[split..].iter().filter_map(|row| judge(&mut second, row)));
        seen.sort();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_stored_is_read_again(input in input()) {
        let rule = PruneRule::parse(input).unwrap();
        prop_assert_eq!(PruneRule::from_stored(&rule.stored().to_string()), Some(rule));
    }

    #[test]
    fn no_pattern_is_too_much(text in "\\PC{0,300}", name in "[a-z0-9._-]{0,128}") {
        // Any answer will do, as long as there is one.
        if let Ok(pattern) = TagPattern::whole(&text, true) {
            let _ = pattern.counts(&name);
        }
    }
}

#[test]
fn the_newest_tags_stay() {
    let rules = [PruneRule::parse(PruneInput::new("number_of_tags", json!(2))).unwrap()];
    let mut pruning = Pruning::new(&rules, Timestamp::from_millis(NOW));
    let gone: Vec<bool> = ["d", "c", "b", "a"]
        .iter()
        .map(|name| {
            pruning
                .judge(&Candidate::new(name, Timestamp::from_millis(1)))
                .is_some()
        })
        .collect();
    assert_eq!(gone, [false, false, true, true]);
}

#[test]
fn the_moment_itself_is_not_older_and_still_within() {
    let rule = |keep: Option<&str>| {
        let input = PruneInput::new("creation_date", json!("10s"));
        PruneRule::parse(input.with_keep_pulled_within(keep.map(str::to_owned))).unwrap()
    };
    let at = |age: i64| Timestamp::from_millis(NOW - age);
    for (start, pulled, keep, goes) in [
        (10_000, None, None, false),
        (10_001, None, None, true),
        (20_000, Some(5000), Some("5s"), false),
        (20_000, Some(5001), Some("5s"), true),
        (20_000, None, Some("5s"), true),
    ] {
        let rules = [rule(keep)];
        let mut pruning = Pruning::new(&rules, Timestamp::from_millis(NOW));
        let tag = Candidate::new("a", at(start)).with_pulled(pulled.map(at));
        assert_eq!(pruning.judge(&tag).is_some(), goes, "{start} {pulled:?} {keep:?}");
    }
}

#[test]
fn policies_that_make_no_sense_are_refused_in_words() {
    let with = |method: &str, value: Value| PruneInput::new(method, value);
    let pattern = |text: &str| with("number_of_tags", json!(1)).with_pattern(Some(text.to_owned()), None);
    let keep = |text: &str| with("number_of_tags", json!(1)).with_keep_pulled_within(Some(text.to_owned()));
    for (input, words) in [
        (with("newest", json!(1)), "Invalid method provided"),
        (with("", json!(1)), "Invalid method provided"),
        (with("number_of_tags", json!(0)), "above zero"),
        (with("number_of_tags", json!(-1)), "above zero"),
        (with("number_of_tags", json!(1.5)), "above zero"),
        (with("number_of_tags", json!("5")), "above zero"),
        (with("creation_date", json!(5)), "a duration such as"),
        (with("creation_date", json!("5")), "a whole number and a unit"),
        (with("creation_date", json!("-5d")), "a whole number and a unit"),
        (with("creation_date", json!("5 d")), "a whole number and a unit"),
        (with("creation_date", json!("5q")), "a whole number and a unit"),
        (with("creation_date", json!("")), "a whole number and a unit"),
        (with("creation_date", json!("0d")), "longer than nothing"),
        (pattern("("), "no regular expression: unclosed group"),
        (pattern("(?=a)"), "no regular expression: look-around"),
        (pattern("(a{100}){100}{100}"), "repeats something too often"),
        (pattern(&"a".repeat(257)), "256 characters at the most"),
        (keep("1"), "keepPulledWithin must be"),
        (keep("0s"), "keepPulledWithin must be longer"),
    ] {
        let shown = format!("{input:?}");
        let error = PruneRule::parse(input).expect_err(&shown);
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{shown}");
        assert!(error.public_message().contains(words), "{shown}: {error}");
    }
    for (text, words) in [
        ("", "must not be empty"),
        ("a)(b", "no regular expression: unopened group"),
        ("[", "no regular expression: unclosed character class"),
    ] {
        let error = ImmutabilityRule::parse(text, None).expect_err(text);
        assert!(error.public_message().contains(words), "{text}: {error}");
    }
    assert!(PruneRule::parse(with("number_of_tags", json!(5.0))).is_ok());
}

#[test]
fn immutability_takes_the_whole_name() {
    for (pattern, matches, name, covered) in [
        ("v[0-9]+", None, "v1", true),
        ("v[0-9]+", None, "v1-rc", false),
        ("v[0-9]+", None, "av1", false),
        ("v[0-9]+", Some(false), "v1", false),
        ("v[0-9]+", Some(false), "latest", true),
        // The longer alternative counts, though the shorter one comes first.
        ("v|v1", None, "v1", true),
        (".*", None, "anything", true),
    ] {
        let rule = ImmutabilityRule::parse(pattern, matches).unwrap();
        assert_eq!(rule.covers(name), covered, "{pattern} {matches:?} {name}");
        let again = ImmutabilityRule::from_stored(&rule.stored().to_string());
        assert_eq!(again, Some(rule));
    }
}
