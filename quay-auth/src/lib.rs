#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod anonymous;
mod jwt;
mod keys;
mod password;
mod seal;
mod secret_box;
mod secret_key;
mod static_users;

pub use anonymous::AnonymousAllowed;
pub use keys::{InstanceKey, RsaKeys};
pub use password::Bcrypt;
pub use seal::ClientSeal;
pub use secret_box::DatabaseSecrets;
pub use secret_key::{InvalidSecretKey, SecretKey};
pub use static_users::{InvalidUser, StaticUsers};
