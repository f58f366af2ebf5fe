//! The wire, as clients see it.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod doubles;
mod extensions;
mod older;
mod ports;
mod protocol;
mod servers;
mod support;
#[cfg(feature = "verbs")]
mod verbs;
