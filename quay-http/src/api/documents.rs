//! Descriptions that are written at the first request and kept: options do not change while a service lives.

use std::sync::OnceLock;

use bytes::Bytes;
use quay_core::accounts::AccountOptions;

use super::discovery::{Detail, endpoints, swagger};
use super::openapi::openapi;

/// The documents of one service.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    public: OnceLock<Bytes>,
    internal: OnceLock<Bytes>,
    openapi: OnceLock<Bytes>,
    endpoints: OnceLock<Bytes>,
}

impl Documents {
    pub(crate) fn swagger(&self, options: &AccountOptions, detail: Detail) -> Bytes {
        let kept = match detail {
            Detail::Public => &self.public,
            Detail::Internal => &self.internal,
        };
        kept.get_or_init(|| swagger(options, detail).to_string().into())
            .clone()
    }

    pub(crate) fn openapi(&self, options: &AccountOptions) -> Bytes {
        let write = || openapi(Some(options)).to_string().into();
        self.openapi.get_or_init(write).clone()
    }

    pub(crate) fn endpoints(&self, options: &AccountOptions) -> Bytes {
        let write = || endpoints(options).to_string().into();
        self.endpoints.get_or_init(write).clone()
    }
}
