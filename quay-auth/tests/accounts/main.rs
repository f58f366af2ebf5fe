//! Accounts in a database prove who they are.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what the tests share is for tests as well"
)]

mod credentials;
mod federation;
mod login;
#[cfg(feature = "real-servers")]
mod oidc_provider;
mod support;
