#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod static_users;

pub use static_users::{InvalidUser, StaticUsers};
