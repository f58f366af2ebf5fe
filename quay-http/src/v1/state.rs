//! What a client keeps for us between the requests of a pull or push: a sealed cookie.

use http::HeaderMap;
use http::header::COOKIE;
use quay_core::Digest;
use quay_core::accounts::{AccountOptions, Seal};
use serde_json::{Value, json};

const NAME: &str = "registry_v1";
const PURPOSE: &str = "registry-v1";

/// Which repository, and what has been pushed to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The repository's path.
    pub(super) repository: Option<String>,
    /// The blob that says what has been pushed: [`Pushed`](super::push::Pushed).
    pub(super) push: Option<Digest>,
}

impl State {
    /// What a request brings along; nothing where it brings nothing of ours.
    pub(super) fn of(headers: &HeaderMap, seal: &dyn Seal) -> Self {
        let lines = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok());
        let cookies = lines.flat_map(|line| line.split(';'));
        let mut ours = cookies.filter_map(|cookie| cookie.trim().strip_prefix(NAME)?.strip_prefix('='));
        ours.find_map(|sealed| Self::read(&seal.open(PURPOSE, sealed)?))
            .unwrap_or_default()
    }

    fn read(content: &[u8]) -> Option<Self> {
        let content: Value = serde_json::from_slice(content).ok()?;
        let text = |key: &str| content.get(key).and_then(Value::as_str);
        Some(Self {
            repository: text("repository").map(ToOwned::to_owned),
            push: text("push").and_then(|digest| digest.parse().ok()),
        })
    }

    /// The cookie that the client is to bring along next time.
    pub(super) fn cookie(&self, options: &AccountOptions, seal: &dyn Seal) -> String {
        let content = json!({ "repository": self.repository, "push": self.push });
        let sealed = seal.seal(PURPOSE, content.to_string().as_bytes());
        let secure = if options.base_url.starts_with("https:") {
            "; Secure"
        } else {
            ""
        };
        format!("{NAME}={sealed}; Path=/v1/; HttpOnly; SameSite=Lax{secure}")
    }
}
