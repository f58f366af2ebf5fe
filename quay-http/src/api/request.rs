//! Bodies of requests (`quay-api.md`, 1.1).

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use quay_core::blob_store::ByteStream;
use quay_core::{Error, ErrorKind};
use serde_json::Value;

use super::operations::Operation;
use crate::body::collected;

/// No request of the API is larger.
const LARGEST: u64 = 1 << 20;
/// None of them takes longer to arrive, all pauses included.
const TIME: Duration = Duration::from_mins(1);

/// A request's body, which is read once and only if somebody wants it.
pub(crate) enum RequestContent {
    Unread(ByteStream),
    Read(Bytes),
}

impl RequestContent {
    async fn bytes(&mut self) -> Result<Bytes, Error> {
        let bytes = match self {
            Self::Unread(pieces) => {
                let pieces = std::mem::replace(pieces, futures::stream::empty().boxed());
                collected(pieces, LARGEST, TIME).await?
            }
            Self::Read(bytes) => return Ok(bytes.clone()),
        };
        *self = Self::Read(bytes.clone());
        Ok(bytes)
    }

    /// A field of a form; none where the body is no form.
    pub(crate) async fn form_field(
        &mut self,
        headers: &HeaderMap,
        name: &str,
    ) -> Result<Option<String>, Error> {
        if media_type(headers) != "application/x-www-form-urlencoded" {
            return Ok(None);
        }
        let bytes = self.bytes().await?;
        let field = form_urlencoded::parse(&bytes).find(|(known, _)| known == name);
        Ok(field.map(|(_, value)| value.into_owned()))
    }

    /// The body as the operation wants it.
    ///
    /// # Errors
    /// `InvalidRequest` when it is missing or has the wrong shape, `Rejected` when it is no JSON.
    pub(crate) async fn json(&mut self, operation: &Operation, headers: &HeaderMap) -> Result<Value, Error> {
        if operation.request.is_none() {
            return Ok(Value::Null);
        }
        let missing = || {
            if operation.request_optional {
                return Ok(Value::Null);
            }
            Err(Error::new(ErrorKind::InvalidRequest, "Missing JSON body"))
        };
        let media_type = media_type(headers);
        // Anything else is a form that some other site's page may have sent.
        if media_type != "application/json" && !media_type.ends_with("+json") {
            return missing();
        }
        let bytes = self.bytes().await?;
        if bytes.trim_ascii().is_empty() {
            return missing();
        }
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
            let message = format!("Failed to decode JSON object: {error}");
            Error::new(ErrorKind::Rejected, message)
        })?;
        if holds_zero(&value) {
            let message = "The body must not hold a zero byte";
            return Err(Error::new(ErrorKind::InvalidRequest, message));
        }
        if value.is_null() && operation.request_optional {
            return Ok(value);
        }
        match operation.validator().map(|validator| validator.validate(&value)) {
            // What was sent may be a password, or very long: it is not repeated.
            Some(Err(error)) => Err(Error::new(ErrorKind::InvalidRequest, error.masked().to_string())),
            Some(Ok(())) => Ok(value),
            None => Err(Error::new(
                ErrorKind::Internal,
                format!("the schema of {} does not compile", operation.id),
            )),
        }
    }
}

/// Whether there is a zero byte in any text or name, which not every database takes. What is nested too deeply
/// has been refused when it was read.
fn holds_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_zero),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_zero(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}
