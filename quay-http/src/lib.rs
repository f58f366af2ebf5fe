#![doc = include_str!("../README.md")]

mod api;
mod attempts;
mod body;
#[cfg(feature = "client")]
mod client;
mod conditional;
#[cfg(feature = "server")]
mod connection;
mod credentials;
mod docker_version;
mod federation;
mod form;
mod keys;
mod linger;
#[expect(
    unsafe_code,
    reason = "a read-only mapping and asking whether it is in memory; see the module"
)]
mod mapped;
mod old_login;
mod protocol;
#[cfg(feature = "client")]
mod recaptcha;
mod response;
mod route;
mod runtime;
#[cfg(feature = "server")]
mod server;
mod service;
mod site;
#[cfg(feature = "smtp")]
mod smtp;
mod token;
mod v1;
#[cfg(feature = "verbs")]
mod verbs;

pub use api::{ApiService, ApiSettings, HealthCheck, HealthLevel, WebService};
pub use attempts::LoginAttempts;
pub use body::ResponseBody;
#[cfg(feature = "client")]
pub use client::ReqwestClient;
pub use federation::FederationService;
pub use keys::KeyService;
#[cfg(feature = "client")]
pub use recaptcha::Recaptcha;
pub use runtime::{TokioSpawner, tokio_runtime};
#[cfg(feature = "server")]
pub use server::{RequestBody, Server, Timeouts};
pub use service::{ClientAddress, RegistryService, RequestId, Settings};
pub use site::Site;
#[cfg(feature = "smtp")]
pub use smtp::{InvalidMailServer, SmtpMailer};
pub use token::TokenService;
pub use v1::V1Service;
#[cfg(feature = "verbs")]
pub use verbs::VerbsService;
