//! Docker image manifests of schema 1: what their signatures cover, and what they name.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::Value;

/// The name and tag that a schema 1 manifest carries in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schema1Name {
    /// The repository's name, such as `namespace/name`.
    pub name: String,
    /// The tag.
    pub tag: String,
    /// What the top layer says of the image, as JSON.
    pub top: Option<String>,
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .ok()
}

/// Whether a signed manifest says what its signatures cover, and nothing more: a reader who does not look at
/// the signatures must read the same.
pub(super) fn covers(covered: &Value, document: &Value) -> bool {
    let (Some(covered), Some(document)) = (covered.as_object(), document.as_object()) else {
        return false;
    };
    let mut unsigned = document.iter().filter(|(key, _)| *key != "signatures");
    document.len() == covered.len() + 1 && unsigned.all(|(key, value)| covered.get(key) == Some(value))
}

/// The part of a signed manifest that its signatures cover, and that its digest is taken of: the bytes
/// before `formatLength`, then `formatTail`, both from the protected headers, which must agree.
/// `Err` says what is wrong.
pub(super) fn payload(bytes: &Bytes, document: &Value) -> Result<Bytes, &'static str> {
    let signatures = match document.get("signatures").and_then(Value::as_array) {
        Some(signatures) if !signatures.is_empty() => signatures,
        _ => return Err("a signed manifest needs signatures"),
    };
    let mut format: Option<(usize, Vec<u8>)> = None;
    for signature in signatures {
        let protected = signature
            .get("protected")
            .and_then(Value::as_str)
            .and_then(decode)
            .and_then(|json| serde_json::from_slice::<Value>(&json).ok())
            .ok_or("a signature's protected header cannot be read")?;
        let length = protected
            .get("formatLength")
            .and_then(Value::as_u64)
            .and_then(|length| usize::try_from(length).ok())
            .ok_or("a signature's formatLength is missing")?;
        let tail = protected
            .get("formatTail")
            .and_then(Value::as_str)
            .and_then(decode)
            .ok_or("a signature's formatTail is missing")?;
        match &format {
            Some(first) if *first != (length, tail.clone()) => {
                return Err("the signatures cover different payloads");
            }
            Some(_) => {}
            None => format = Some((length, tail)),
        }
    }
    let (length, tail) = format.ok_or("a signed manifest needs signatures")?;
    let head = bytes
        .get(..length)
        .ok_or("formatLength lies past the manifest's end")?;
    Ok([head, tail.as_slice()].concat().into())
}
