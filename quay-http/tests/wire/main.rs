//! The wire, as clients see it.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod doubles;
mod extensions;
mod ports;
mod protocol;
mod servers;
mod support;
