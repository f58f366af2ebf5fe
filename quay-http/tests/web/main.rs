//! Tokens for the registry protocol, the key server, OAuth and the links in mails, over a database and with
//! the tools of a real host.
#![expect(clippy::unwrap_used, reason = "tests")]

mod keys;
mod mail;
mod oauth;
mod registry;
mod support;
mod token;
mod v1;
