//! Parameters after the question mark, read as their operation declares them (`quay-api.md`, 1.1).

use quay_core::{Error, ErrorKind};
use serde_json::{Map, Value, json};

use super::operations::{QueryParameter, QueryType};

/// No list is longer, whatever a client asks for.
const LARGEST_LIMIT: i64 = 1000;
/// Nobody turns more pages.
const LAST_PAGE: i64 = 1_000_000;

/// The declared parameters of a request.
#[derive(Debug, Default)]
pub(crate) struct Query(Map<String, Value>);

impl Query {
    /// Reads what is declared and ignores the rest.
    ///
    /// # Errors
    /// `InvalidRequest` in Quay's bare form, by parameter.
    pub(crate) fn parse(text: &str, declared: &[QueryParameter]) -> Result<Self, Error> {
        let mut values = Map::new();
        let mut wrong = Map::new();
        for parameter in declared {
            let given = form_urlencoded::parse(text.as_bytes()).find(|(name, _)| *name == parameter.name);
            let read = match given {
                Some((_, given)) => read(parameter, &given),
                None if parameter.required => {
                    Err("Missing required parameter in the query string".to_owned())
                }
                None => Ok(parameter.default.clone()),
            };
            match read {
                Ok(value) => values.insert(parameter.name.clone(), value),
                Err(reason) => wrong.insert(parameter.name.clone(), Value::String(reason)),
            };
        }
        if wrong.is_empty() {
            return Ok(Self(values));
        }
        let error = Error::new(ErrorKind::Rejected, "a query parameter cannot be read");
        Err(error.with_detail(json!({ "message": wrong })))
    }

    /// A text, or its default.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str()
    }

    /// A yes or no, or its default.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.value(name)?.as_bool()
    }

    /// A number, or its default. `limit` and `page` are within reason.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.value(name)?.as_i64()
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let value = self.0.get(name);
        debug_assert!(value.is_some(), "the operation declares no parameter {name}");
        value
    }
}

fn read(parameter: &QueryParameter, given: &str) -> Result<Value, String> {
    match parameter.kind {
        // Not every database takes it for a question.
        QueryType::String if given.contains('\0') => Err("must not hold a zero byte".to_owned()),
        QueryType::String => Ok(given.into()),
        QueryType::Boolean => Ok((!matches!(given, "" | "0" | "false" | "False" | "FALSE" | "null")).into()),
        QueryType::Integer => match given.trim().parse::<i64>() {
            Ok(number) => Ok(bounded(&parameter.name, number).into()),
            Err(_) => Err(format!("invalid literal for an integer: {}", shortened(given))),
        },
        QueryType::Number => match given.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number.into()),
            _ => Err(format!("could not convert to a number: {}", shortened(given))),
        },
    }
}

fn bounded(name: &str, number: i64) -> i64 {
    match name {
        "limit" | "n" => number.clamp(0, LARGEST_LIMIT),
        "page" => number.clamp(0, LAST_PAGE),
        _ => number,
    }
}

/// Enough of a client's text to recognise it by.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(kind: &str, default: &Value) -> Vec<QueryParameter> {
        let one = |name: &str| json!({ "name": name, "type": kind, "default": default });
        serde_json::from_value(json!([one("limit"), one("x")])).unwrap()
    }

    #[test]
    fn booleans() {
        let declared = declared("boolean", &json!(true));
        for (text, expected) in [
            ("x=false", false),
            ("x=False", false),
            ("x=FALSE", false),
            ("x=0", false),
            ("x=", false),
            ("x=null", false),
            ("x=no", true),
            ("x=1", true),
            ("", true),
        ] {
            let query = Query::parse(text, &declared).unwrap();
            assert_eq!(query.flag("x"), Some(expected), "{text}");
        }
    }

    #[test]
    fn integers() {
        let declared = declared("integer", &Value::Null);
        let query = Query::parse("x=-7&limit=999999999&unknown=1", &declared).unwrap();
        assert_eq!(query.integer("x"), Some(-7));
        assert_eq!(query.integer("limit"), Some(LARGEST_LIMIT));
        let query = Query::parse("limit=-3", &declared).unwrap();
        assert_eq!((query.integer("x"), query.integer("limit")), (None, Some(0)));
        for text in ["x=seven", "x=1.5", "x=99999999999999999999"] {
            let error = Query::parse(text, &declared).unwrap_err();
            let detail = error.detail().unwrap();
            assert!(detail["message"]["x"].is_string(), "{text}: {detail}");
            assert!(detail["message"]["limit"].is_null(), "{text}");
        }
    }

    #[test]
    fn texts_are_decoded() {
        let query = Query::parse("x=a%2Bb+c&x=second", &declared("string", &Value::Null)).unwrap();
        assert_eq!((query.text("x"), query.text("limit")), (Some("a+b c"), None));
    }
}
