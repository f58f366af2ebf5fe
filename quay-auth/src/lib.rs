#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod account_credentials;
mod anonymous;
mod challenge;
mod database_login;
mod federated_robots;
mod issuer_keys;
mod jwt;
mod keys;
mod last_used;
mod manifest_key;
mod oauth_bearer;
mod password;
mod password_checks;
mod registry_claims;
mod registry_token;
mod seal;
mod secret_box;
mod secret_key;
mod static_users;
mod token_keys;

pub use account_credentials::AccountCredentials;
pub use anonymous::AnonymousAllowed;
pub use database_login::DatabaseLogin;
pub use federated_robots::FederatedRobots;
pub use keys::{InstanceKey, RsaKeys};
pub use manifest_key::ManifestKey;
pub use oauth_bearer::OAuthBearer;
pub use password::Bcrypt;
pub use password_checks::PasswordChecks;
pub use registry_claims::{AccessEntry, TokenNames, claims, context_of, identity_of, subject_of};
pub use registry_token::{RegistryTokenOptions, RegistryTokens};
pub use seal::ClientSeal;
pub use secret_box::DatabaseSecrets;
pub use secret_key::{InvalidSecretKey, SecretKey};
pub use static_users::{InvalidUser, StaticUsers};
