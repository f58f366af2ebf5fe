#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "local")]
mod local;
#[cfg(feature = "sql")]
mod sql;

#[cfg(feature = "local")]
pub use local::LocalBlobs;
#[cfg(feature = "sql")]
pub use sql::SqlMetadata;
