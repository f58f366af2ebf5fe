#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

// What starts servers is shared with the tests outside.
#[cfg(all(test, feature = "real-servers"))]
extern crate self as quay_storage;

#[cfg(feature = "local")]
mod local;
#[cfg(feature = "sql")]
mod sql;

#[cfg(feature = "local")]
pub use local::LocalBlobs;
#[cfg(feature = "sql")]
pub use sql::SqlMetadata;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use sql::{ClientCertificate, ConnectOptions, Reuse, Tls, TlsMode};
