//! Google's reCAPTCHA, and services that speak its protocol.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use quay_core::accounts::HumanCheck;
use quay_core::http::{HttpClient, HttpLimits, HttpRequest};
use quay_core::{StoreError, StoreErrorKind};
use serde_json::Value;

/// Asks reCAPTCHA whether a person has answered. Sends it the response and the secret, and not who asks.
#[derive(Clone)]
pub struct Recaptcha {
    client: Arc<dyn HttpClient>,
    secret: String,
    address: String,
}

impl fmt::Debug for Recaptcha {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Recaptcha")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Recaptcha {
    /// Where Google's service is asked.
    pub const GOOGLE: &str = "https://www.google.com/recaptcha/api/siteverify";

    /// A check by Google's service with `RECAPTCHA_SECRET_KEY`.
    pub fn new(client: Arc<dyn HttpClient>, secret: impl Into<String>) -> Self {
        Self {
            client,
            secret: secret.into(),
            address: Self::GOOGLE.to_owned(),
        }
    }

    /// Asks at another address.
    #[must_use]
    pub fn at(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }
}

#[async_trait]
impl HumanCheck for Recaptcha {
    async fn is_human(&self, response: &str) -> Result<bool, StoreError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("secret", &self.secret)
            .append_pair("response", response)
            .finish();
        let request = HttpRequest::post(self.address.as_str(), form)
            .with_header("content-type", "application/x-www-form-urlencoded")
            .with_header("accept", "application/json");
        let limits = HttpLimits::default()
            .with_max_response_bytes(64 << 10)
            .with_max_redirects(0);
        let answer = self.client.send(request, &limits).await?;
        let told: Option<Value> = serde_json::from_slice(&answer.body).ok();
        match told
            .as_ref()
            .and_then(|told| told.get("success"))
            .and_then(Value::as_bool)
        {
            Some(success) if answer.is_success() => Ok(success),
            _ => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!(
                    "ask {} about a captcha: status {} without an answer",
                    self.address, answer.status
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use quay_core::http::{HttpError, HttpErrorKind, HttpResponse};

    use super::*;

    /// Gives one answer, and keeps what it was asked.
    #[derive(Debug)]
    struct Script(Option<(u16, &'static str)>, Mutex<Option<HttpRequest>>);

    #[async_trait]
    impl HttpClient for Script {
        async fn send(&self, request: HttpRequest, _: &HttpLimits) -> Result<HttpResponse, HttpError> {
            *self.1.lock().unwrap() = Some(request);
            let unreachable = || HttpError::new(HttpErrorKind::Unreachable, "nobody listens");
            let (status, body) = self.0.ok_or_else(unreachable)?;
            Ok(HttpResponse::new(status, Vec::new(), body))
        }
    }

    #[tokio::test]
    async fn only_a_clear_yes_is_a_person() {
        for (answer, expected) in [
            (Some((200, r#"{"success": true, "hostname": "quay"}"#)), Ok(true)),
            (Some((200, r#"{"success": false, "error-codes": []}"#)), Ok(false)),
            (Some((200, r#"{"success": "true"}"#)), Err(())),
            (Some((200, "true")), Err(())),
            (Some((500, r#"{"success": true}"#)), Err(())),
            (None, Err(())),
        ] {
            let script = Arc::new(Script(answer, Mutex::default()));
            let check =
                Recaptcha::new(Arc::clone(&script) as _, "a secret&").at("https://check.example/verify");
            assert!(!format!("{check:?}").contains("secret&"));
            let found = check.is_human("said =").await;
            assert_eq!(found.map_err(drop), expected, "{answer:?}");
            let asked = script.1.lock().unwrap().take().unwrap();
            assert_eq!(asked.url, "https://check.example/verify");
            assert_eq!(asked.body, "secret=a+secret%26&response=said+%3D");
        }
    }
}
