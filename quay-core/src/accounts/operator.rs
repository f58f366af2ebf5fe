//! What whoever runs the registry does from a command, without an account of their own.

use serde_json::json;

use super::facade::{Accounts, change, refuse};
use super::log::LogKind;
use super::name::check_password;
use super::record::Account;
use super::users::insert;
use crate::caller::{Caller, Principal};
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;

impl Accounts {
    /// Creates a user who may sign in at once, whatever the configuration says about signing up. This is how
    /// a registry without accounts gets its first.
    ///
    /// Atomic: the account and its entry in the action log, which names no performer, or neither.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] unless the registry itself is the caller ([`Principal::System`]);
    /// [`ErrorKind::InvalidRequest`] when name, password or address cannot be used,
    /// [`ErrorKind::Rejected`] when they are taken.
    pub async fn create_verified_user(
        &self,
        caller: &Caller,
        username: &str,
        password: &str,
        email: &str,
    ) -> Result<Account, Error> {
        if caller.principal != Principal::System {
            return Err(refuse(caller));
        }
        check_password(password)?;
        self.check_new(username, Some(email)).await?;
        let mut account = self.new_user(username, Some(email), Some(password)).await?;
        account.verified = true;
        let entry = self
            .entry(
                caller,
                LogKind::UserCreate,
                Some(username),
                json!({ "username": username, "email": email }),
            )
            .await?;
        account.id = change!(self, |unit| async {
            let id = insert(unit, &account).await?;
            unit.log(&entry).await?;
            Ok(id)
        })?;
        Ok(account)
    }
}
