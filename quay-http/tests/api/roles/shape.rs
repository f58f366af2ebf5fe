//! Whether an answer has the shape that `operations.json` describes.

use serde_json::{Map, Value};

/// What is wrong with an answer, by the path of the member; nothing where nothing is.
pub(super) fn differences(shape: &Value, seen: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", shape, seen, &mut found);
    found
}

fn compare(place: &str, shape: &Value, seen: &Value, found: &mut Vec<String>) {
    match shape {
        Value::String(text) => {
            if !fits(text, seen) {
                found.push(format!("{place}: {seen} is no {text}"));
            }
        }
        Value::Array(items) => match (seen, items.first()) {
            (Value::Array(seen), Some(item)) => {
                for (index, seen) in seen.iter().enumerate() {
                    compare(&format!("{place}[{index}]"), item, seen, found);
                }
            }
            (Value::Array(_), None) => {}
            _ => found.push(format!("{place}: {seen} is no list")),
        },
        Value::Object(members) => object(place, members, seen, found),
        other if other == seen => {}
        other => found.push(format!("{place}: {seen} is not {other}")),
    }
}

fn object(place: &str, members: &Map<String, Value>, seen: &Value, found: &mut Vec<String>) {
    if members.get("$nullable") == Some(&Value::Bool(true)) && seen.is_null() {
        return;
    }
    if let Some(item) = members.get("$array") {
        compare(place, &Value::Array(vec![item.clone()]), seen, found);
        return;
    }
    if let Some(Value::Array(alternatives)) = members.get("$oneOf") {
        if !alternatives
            .iter()
            .any(|shape| differences(shape, seen).is_empty())
        {
            found.push(format!("{place}: {seen} is none of the alternatives"));
        }
        return;
    }
    if let Some(literal) = members.get("$literal") {
        if literal != seen {
            found.push(format!("{place}: {seen} is not {literal}"));
        }
        return;
    }
    let Value::Object(seen) = seen else {
        found.push(format!("{place}: {seen} is no object"));
        return;
    };
    let any = members.iter().find(|(name, _)| name.starts_with('{'));
    for (name, shape) in members {
        let known = !name.starts_with('{') && !name.starts_with('$');
        if known && !name.ends_with('?') && !seen.contains_key(name) {
            found.push(format!("{place}.{name} is missing, {shape}"));
        }
    }
    for (name, value) in seen {
        let shape = members
            .get(name)
            .or_else(|| members.get(&format!("{name}?")))
            .or(any.map(|(_, shape)| shape));
        match shape {
            Some(shape) => compare(&format!("{place}.{name}"), shape, value, found),
            None => found.push(format!("{place}.{name} should not be there")),
        }
    }
}

fn fits(text: &str, seen: &Value) -> bool {
    if let Some(text) = text.strip_suffix("|null")
        && seen.is_null()
    {
        return !text.is_empty();
    }
    let text = text.strip_suffix("|null").unwrap_or(text);
    let (kind, detail) = text
        .strip_suffix(')')
        .and_then(|text| text.split_once('('))
        .unwrap_or((text, ""));
    match kind {
        "string" => seen.as_str().is_some_and(|seen| is_in_form(detail, seen)),
        "boolean" => seen
            .as_bool()
            .is_some_and(|seen| detail.is_empty() || detail == seen.to_string()),
        "integer" => seen.is_i64(),
        "integer|string" => seen.is_i64() || seen.is_string(),
        "number" => seen.is_number(),
        "object" => seen.is_object(),
        "enum" => seen
            .as_str()
            .is_some_and(|seen| detail.split('|').any(|known| known == seen)),
        // Some things are described in words.
        _ if text.contains(' ') && text.contains(',') => true,
        _ => seen == text,
    }
}

fn is_in_form(form: &str, text: &str) -> bool {
    match form {
        "rfc2822" => text.ends_with(" -0000") && text.get(3..5) == Some(", "),
        "http-date GMT" => text.ends_with(" GMT"),
        "iso8601 Z" => text.ends_with('Z') && text.contains('T'),
        "#rrggbb" => text.len() == 7 && text.starts_with('#'),
        "md5-hex" => text.len() == 32,
        "PEM" => text.starts_with("-----BEGIN"),
        "url" => text.starts_with("https://"),
        _ => true,
    }
}

#[test]
fn differences_are_found() {
    use serde_json::json;

    let shape =
        json!({ "a": "string", "b?": "integer|null", "c": [{ "d": "enum(x|y)" }], "{name}": "boolean" });
    for (seen, count) in [
        (json!({ "a": "", "c": [] }), 0),
        (
            json!({ "a": "", "b": null, "c": [{ "d": "x" }], "more": true }),
            0,
        ),
        (json!({ "c": [] }), 1),
        (json!({ "a": "", "b": "", "c": [{ "d": "z" }, {}], "more": 1 }), 4),
        (json!([]), 1),
    ] {
        assert_eq!(differences(&shape, &seen).len(), count, "{seen}");
    }
    assert!(!differences(&json!({ "a": "string" }), &json!({ "a": "", "b": "" })).is_empty());
}
