//! Quay's REST API, version 1, and the few routes around it.
//!
//! `operations.json` says what there is; everything else is read from it: the routes, the checks of
//! requests, the descriptions for clients and people. Handlers turn a request into a call of the facade
//! and its result into Quay's shapes.

mod capabilities;
mod checks;
mod describe;
mod discovery;
mod dispatch;
mod documents;
mod errors;
mod exchange;
mod failure;
mod features;
mod handlers;
mod openapi;
mod operations;
mod query;
mod reply;
mod request;
mod router;
mod session;
mod shape;
mod state;

pub use dispatch::ApiService;
pub use session::SessionAccounts;
pub use state::ApiSettings;
