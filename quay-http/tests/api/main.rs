//! Quay's REST API and the routes around it, as clients see them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod accounts;
mod checks;
mod description;
mod federation;
mod humans;
mod policies;
mod pulls;
mod roles;
mod routing;
mod search;
mod security;
mod sessions;
mod support;
mod web;
