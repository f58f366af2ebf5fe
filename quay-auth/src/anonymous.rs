//! Everybody is anonymous.

use async_trait::async_trait;
use quay_core::auth::{Authentication, Authenticator, Credentials, Identity};
use quay_core::{CredentialKind, Principal, StoreError};

/// For open registries: takes everybody for anonymous, whatever credentials they send along. Clients that
/// are used to logging in need not stop doing so.
///
/// What an anonymous caller may do is the authorizer's decision.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnonymousAllowed;

#[async_trait]
impl Authenticator for AnonymousAllowed {
    async fn authenticate(&self, _: Credentials<'_>) -> Result<Authentication, StoreError> {
        Ok(Authentication::Proven(Identity::new(
            Principal::Anonymous,
            CredentialKind::None,
        )))
    }

    fn challenge(&self, _: Option<&str>) -> String {
        // Sent only when the authorizer refuses anonymous callers all the same.
        "Basic realm=\"registry\", charset=\"UTF-8\"".to_owned()
    }
}
