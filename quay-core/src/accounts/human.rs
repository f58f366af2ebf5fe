//! Telling people from programs where accounts are made.

use std::fmt::Debug;

use async_trait::async_trait;

use super::facade::{Accounts, invalid};
use crate::caller::Caller;
use crate::error::{Error, ErrorKind, StoreError, StoreErrorKind};

/// Asks a service whether a person has answered its challenge.
#[async_trait]
pub trait HumanCheck: Debug + Send + Sync + 'static {
    /// Whether `response`, which a browser was given for an answer, is one of a person's.
    ///
    /// Guarantees: a response counts once, as far as the service sees to it. Cancellation: the response may
    /// have been used up. Cost: a round trip to another host.
    ///
    /// # Errors
    /// When the service cannot be asked; nobody is let through then.
    async fn is_human(&self, response: &str) -> Result<bool, StoreError>;
}

impl Accounts {
    /// Insists on a person's answer to a challenge where `FEATURE_RECAPTCHA` is on, but for the users who are
    /// spared it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] without a person's answer; the service's.
    pub async fn require_human(&self, caller: &Caller, response: Option<&str>) -> Result<(), Error> {
        let options = &self.0.options;
        let is_spared = |name: &str| options.recaptcha_spared.contains(name);
        if options.recaptcha_site_key.is_none() || caller.account().is_some_and(is_spared) {
            return Ok(());
        }
        let refused = || invalid("Are you a bot? If not, please revalidate the captcha.");
        let response = response
            .filter(|response| !response.is_empty())
            .ok_or_else(refused)?;
        let Some(check) = &self.0.tools.human_check else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "no challenge can be checked here",
            ));
        };
        let unreachable = |error: StoreError| {
            if error.kind() == StoreErrorKind::Unavailable {
                let message =
                    "the service that tells people from programs cannot be reached, try again later";
                return Error::new(ErrorKind::Unavailable, message);
            }
            error.into()
        };
        if check.is_human(response).await.map_err(unreachable)? {
            Ok(())
        } else {
            Err(refused())
        }
    }
}
