#![doc = include_str!("../README.md")]

mod body;
mod conditional;
mod credentials;
#[expect(
    unsafe_code,
    reason = "a read-only mapping and asking whether it is in memory; see the module"
)]
mod mapped;
mod protocol;
mod response;
mod route;
mod runtime;
#[cfg(feature = "server")]
mod server;
mod service;

pub use body::ResponseBody;
pub use runtime::{TokioSpawner, tokio_runtime};
#[cfg(feature = "server")]
pub use server::{Server, Timeouts};
pub use service::{ClientAddress, RegistryService, Settings};
