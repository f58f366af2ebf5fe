#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod accounts;
pub mod auth;
pub mod blob_store;
mod caller;
pub mod config;
mod digest;
mod error;
mod hashing;
pub mod http;
pub mod lifecycle;
pub mod manifest;
mod media_type;
pub mod memory;
pub mod metadata;
mod name;
mod range;
pub mod registry;
pub mod runtime;
pub mod scanner;

pub use auth::{Action, Authenticator, Authorizer, Decision, Resource};
pub use blob_store::BlobStore;
pub use caller::{Access, Caller, CredentialKind, Principal, TokenGrants};
pub use digest::{Algorithm, Digest, Hasher, InvalidDigest};
pub use error::{BodyError, Code, Error, ErrorKind, StoreError, StoreErrorKind};
pub use media_type::MediaType;
pub use metadata::MetadataStore;
pub use name::{InvalidName, InvalidReference, Namespace, Reference, RepositoryName, Tag};
pub use range::{ByteRange, ResolvedRange};
pub use registry::Registry;
#[cfg(feature = "testing")]
pub mod testing;
