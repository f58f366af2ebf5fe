//! The notation that answers are described in, as JSON Schema.
//!
//! A shape is a value that looks like the answer. Texts are types: `string`, `integer(unix-seconds)`,
//! `string|null`, `enum(a|b)`; any other text is that text. `"x?"` is a member that may be missing,
//! `"{name}"` stands for members of any name, `[T]` is a list of `T`. `$nullable` beside members says that
//! null may be there instead, `$array` that it is a list, `$oneOf` lists alternatives, `$literal` is a text.

use serde_json::{Map, Value, json};

/// The schema of a shape. `None` for an answer without a body.
pub(crate) fn schema(shape: &Value) -> Option<Value> {
    match shape {
        Value::String(text) if text == "empty" => None,
        shape => Some(of(shape)),
    }
}

fn of(shape: &Value) -> Value {
    match shape {
        Value::String(text) => of_text(text),
        Value::Array(items) => match items.first() {
            Some(item) => json!({ "type": "array", "items": of(item) }),
            None => json!({ "type": "array" }),
        },
        Value::Object(members) => of_object(members),
        other => json!({ "const": other }),
    }
}

fn of_object(members: &Map<String, Value>) -> Value {
    let schema = if let Some(Value::Array(alternatives)) = members.get("$oneOf") {
        json!({ "anyOf": alternatives.iter().map(of).collect::<Vec<_>>() })
    } else if let Some(literal) = members.get("$literal") {
        json!({ "const": literal })
    } else if let Some(item) = members.get("$array") {
        json!({ "type": "array", "items": of(item) })
    } else {
        of_members(members)
    };
    match members.get("$nullable") {
        Some(Value::Bool(true)) => nullable(schema),
        _ => schema,
    }
}

fn of_members(members: &Map<String, Value>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut others = None;
    for (name, shape) in members.iter().filter(|(name, _)| !name.starts_with('$')) {
        if name.starts_with('{') {
            others = Some(of(shape));
        } else if let Some(name) = name.strip_suffix('?') {
            properties.insert(name.to_owned(), of(shape));
        } else {
            properties.insert(name.clone(), of(shape));
            required.push(name.as_str());
        }
    }
    let mut schema = json!({ "type": "object" });
    if !properties.is_empty() {
        schema["properties"] = properties.into();
    }
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    if let Some(others) = others {
        schema["additionalProperties"] = others;
    }
    schema
}

fn nullable(mut schema: Value) -> Value {
    match schema.get("type") {
        Some(Value::String(kind)) => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        _ => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

fn of_text(text: &str) -> Value {
    let alternatives = alternatives(text);
    let null = alternatives.contains(&"null");
    let mut schemas = alternatives.into_iter().filter(|one| *one != "null").map(of_type);
    let schema = match (schemas.next(), schemas.next()) {
        (None, _) => return json!({ "type": "null" }),
        (Some(only), None) => only,
        (Some(first), Some(second)) => {
            let all: Vec<_> = [first, second].into_iter().chain(schemas).collect();
            json!({ "anyOf": all })
        }
    };
    if null { nullable(schema) } else { schema }
}

/// Parts between bars that are not in brackets.
fn alternatives(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let parts = text.split(|character| {
        match character {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == '|' && depth == 0
    });
    parts.collect()
}

fn of_type(text: &str) -> Value {
    let (name, note) = match text.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')').unwrap_or(rest)),
        None => (text, ""),
    };
    match (name, note) {
        ("enum", values) => json!({ "enum": values.split('|').collect::<Vec<_>>() }),
        ("boolean", "true") => json!({ "const": true }),
        ("boolean", "false") => json!({ "const": false }),
        ("string", "uuid") => json!({ "type": "string", "format": "uuid" }),
        ("string", "url") => json!({ "type": "string", "format": "uri" }),
        ("string", "iso8601 Z") => json!({ "type": "string", "format": "date-time" }),
        ("string" | "integer" | "number" | "boolean" | "object" | "array" | "null", "") => {
            json!({ "type": name })
        }
        ("string" | "integer" | "number" | "boolean" | "object" | "array", note) => {
            json!({ "type": name, "description": note })
        }
        // A few words about an object, or about something that is no single JSON value.
        _ if text.contains(" object") => json!({ "type": "object", "description": text }),
        ("json-stream", _) => json!({}),
        _ => json!({ "const": text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (shape, expected) in [
            ("string", json!({ "type": "string" })),
            ("string|null", json!({ "type": ["string", "null"] })),
            ("string(uuid)", json!({ "type": "string", "format": "uuid" })),
            (
                "string(rfc2822)|null",
                json!({ "type": ["string", "null"], "description": "rfc2822" }),
            ),
            ("boolean(true)", json!({ "const": true })),
            (
                "integer|string",
                json!({ "anyOf": [{ "type": "integer" }, { "type": "string" }] }),
            ),
            ("enum(a|b)", json!({ "enum": ["a", "b"] })),
            (
                "enum(a|b)|null",
                json!({ "anyOf": [{ "enum": ["a", "b"] }, { "type": "null" }] }),
            ),
            ("user", json!({ "const": "user" })),
            ("", json!({ "const": "" })),
        ] {
            assert_eq!(schema(&json!(shape)), Some(expected), "{shape}");
        }
        assert_eq!(schema(&json!("empty")), None);
    }

    #[test]
    fn objects() {
        let shape =
            json!({ "a": "string", "b?": ["integer"], "{name}": { "$nullable": true, "c": "object" } });
        let expected = json!({
            "type": "object",
            "properties": {
                "a": { "type": "string" },
                "b": { "type": "array", "items": { "type": "integer" } },
            },
            "required": ["a"],
            "additionalProperties": {
                "type": ["object", "null"],
                "properties": { "c": { "type": "object" } },
                "required": ["c"],
            },
        });
        assert_eq!(schema(&shape), Some(expected));
        let shape = json!({ "$oneOf": [{ "a": "string" }, { "$literal": "Okay" }] });
        let a = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] });
        assert_eq!(schema(&shape), Some(json!({ "anyOf": [a, { "const": "Okay" }] })));
        let shape = json!({ "$nullable": true, "$array": "string" });
        let expected = json!({ "type": ["array", "null"], "items": { "type": "string" } });
        assert_eq!(schema(&shape), Some(expected));
    }
}
