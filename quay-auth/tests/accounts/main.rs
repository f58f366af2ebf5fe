//! Accounts in a database prove who they are.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what the tests share is for tests as well"
)]

mod credentials;
mod login;
mod support;
