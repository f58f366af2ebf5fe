//! Quay's REST API, version 1, and the few routes around it.
//!
//! `operations.json` says what there is; everything else is read from it: the routes, the checks of
//! requests, the descriptions for clients and people. Handlers turn a request into a call of the facade
//! and its result into Quay's shapes.

mod capabilities;
mod errors;
mod exchange;
mod handlers;
mod operations;
mod query;
mod reply;
mod session;
mod state;

pub use session::SessionAccounts;
pub use state::ApiSettings;
