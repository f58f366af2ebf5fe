#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod anonymous;
mod static_users;

pub use anonymous::AnonymousAllowed;
pub use static_users::{InvalidUser, StaticUsers};
