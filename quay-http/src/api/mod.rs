//! Quay's REST API, version 1, and the few routes around it.
//!
//! `operations.json` says what there is; everything else is read from it: the routes, the checks of
//! requests, the descriptions for clients and people. Handlers turn a request into a call of the facade
//! and its result into Quay's shapes.

mod avatar;
mod capabilities;
mod checks;
pub(crate) mod dates;
mod describe;
mod discovery;
mod dispatch;
mod documents;
mod errors;
mod exchange;
mod failure;
mod features;
#[cfg(test)]
mod golden;
mod handlers;
mod health;
mod mail_links;
mod oauth;
mod openapi;
mod operations;
mod page;
mod query;
mod reply;
mod repotoken;
mod request;
mod router;
mod session;
mod shape;
mod state;
mod web;

pub(crate) use dates::iso8601;
pub use dispatch::ApiService;
pub use health::{HealthCheck, HealthLevel};
pub use state::ApiSettings;
pub use web::WebService;
