//! Tokens that an organization's administrator asks other users to make for its applications.
//!
//! The token acts for whoever makes it, so that what is done with it is logged as theirs. Quay's later versions
//! call this assigning a token.

use serde_json::json;

use super::authorization::{AuthorizationRequest, CheckedRequest, NotAuthorized};
use super::facade::{Accounts, Need, change, not_found};
use super::log::LogKind;
use super::record::{Account, AccountKind, Application, Notice, TokenAssignment};
use super::store::{AccountKey, AccountWrites, OAuthTokenFilter};
use crate::caller::Caller;
use crate::error::Error;
use crate::metadata::PageRequest;

/// The kind of the notice that a user is shown, and by what it is found again.
const NOTICE: &str = "assigned_authorization";

fn lookup(uuid: &str) -> String {
    format!("{NOTICE}:{uuid}")
}

impl Accounts {
    /// Asks a user to make a token for an application of an organization that the caller administers.
    ///
    /// # Errors
    /// Why not. [`NotFound`](crate::ErrorKind::NotFound) within [`NotAuthorized::Failed`] without the user.
    pub async fn assign_token(
        &self,
        caller: &Caller,
        user: &str,
        request: AuthorizationRequest<'_>,
    ) -> Result<(), NotAuthorized> {
        let checked = self.check_authorization(caller, request).await?;
        let organization = &checked.organization;
        let (actor, _) = self.organization(caller, &organization.name, Need::Admin).await?;
        let account = self.reader().account(AccountKey::Name(user)).await?;
        let account = account.filter(may_be_asked).ok_or_else(not_found)?;
        let assignment = TokenAssignment {
            id: 0,
            uuid: self.uuid(),
            application: checked.application.id,
            account: account.id,
            redirect_uri: request.redirect_uri.to_owned(),
            scopes: checked.scopes,
        };
        let notice = Notice {
            uuid: self.uuid(),
            account: account.id,
            kind: NOTICE.to_owned(),
            metadata: json!({ "username": account.name }).to_string(),
            created: self.now(),
            dismissed: false,
            lookup: Some(lookup(&assignment.uuid)),
        };
        let metadata = json!({
            "assigning_user": actor.account.name,
            "assigned_user": account.name,
            "application": checked.application.name,
            "client_id": checked.application.client_id,
            "scope": checked.scopes.to_string(),
        });
        let kind = LogKind::OauthTokenAssigned;
        let entry = self
            .entry(caller, kind, Some(&organization.name), metadata)
            .await?;
        change!(self, |unit| async {
            // Both may have gone since, and whoever asks twice asks once.
            unit.lock_account(account.id).await?;
            let current = unit.account(AccountKey::Id(account.id)).await?;
            let application = unit.application(&checked.application.client_id).await?;
            if !current.as_ref().is_some_and(may_be_asked) || application.is_none() {
                return Err(not_found());
            }
            if is_asked(unit, &assignment).await? {
                return Ok(());
            }
            unit.insert_assignment(&assignment).await?;
            unit.insert_notice(&notice).await?;
            unit.log(&entry).await?;
            Ok(())
        })?;
        Ok(())
    }

    /// A page of the tokens that the signed-in user is asked to make, by id, with the applications and their
    /// organizations.
    ///
    /// # Errors
    /// That nobody is signed in.
    pub async fn assignments(
        &self,
        caller: &Caller,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(TokenAssignment, Application, Account)>, Error> {
        let actor = self.user_admin(caller).await?;
        let filter = OAuthTokenFilter::Account(actor.account.id);
        let found = self.reader().assignments(filter, page).await?;
        let owners = found.iter().map(|(_, application)| application.organization);
        let names = self.names(owners.collect()).await?;
        Ok(found
            .into_iter()
            .filter_map(|(assignment, application)| {
                let organization = names.get(&application.organization).cloned()?;
                Some((assignment, application, organization))
            })
            .collect())
    }

    /// Declines to make a token.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn decline_assignment(&self, caller: &Caller, uuid: &str) -> Result<(), Error> {
        let actor = self.user_admin(caller).await?;
        let found = self.assignment_of(&actor.account, uuid).await?;
        let (assignment, _) = found.ok_or_else(not_found)?;
        let removed = change!(self, |unit| async { remove(unit, &assignment).await })?;
        removed.then_some(()).ok_or_else(not_found)
    }

    async fn assignment_of(
        &self,
        account: &Account,
        uuid: &str,
    ) -> Result<Option<(TokenAssignment, Application)>, Error> {
        let found = self.reader().assignment(uuid).await?;
        Ok(found.filter(|(assignment, _)| assignment.account == account.id))
    }

    /// What asks the user for the token of a request, if the request says that something does.
    pub(super) async fn asked_for(
        &self,
        account: &Account,
        checked: &CheckedRequest,
        request: AuthorizationRequest<'_>,
    ) -> Result<Option<TokenAssignment>, NotAuthorized> {
        let Some(uuid) = request.assignment else {
            return Ok(None);
        };
        if !self.0.options.assign_oauth_tokens {
            return Err(NotAuthorized::BadAssignment);
        }
        let found = self.assignment_of(account, uuid).await?;
        found
            .map(|(assignment, _)| assignment)
            .filter(|assignment| {
                assignment.application == checked.application.id
                    && assignment.redirect_uri == request.redirect_uri
                    && assignment.scopes == checked.scopes
            })
            .map(Some)
            .ok_or(NotAuthorized::BadAssignment)
    }
}

fn may_be_asked(account: &Account) -> bool {
    account.enabled && account.kind == AccountKind::User
}

/// Whether the user is asked for the same already.
async fn is_asked(unit: &mut dyn AccountWrites, assignment: &TokenAssignment) -> Result<bool, Error> {
    let mut after = None;
    loop {
        let page = PageRequest::new(after, 500);
        let filter = OAuthTokenFilter::Account(assignment.account);
        let open = unit.assignments(filter, &page).await?;
        let Some((last, _)) = open.last() else {
            return Ok(false);
        };
        after = Some(last.id);
        let same = |open: &TokenAssignment| {
            open.application == assignment.application
                && open.redirect_uri == assignment.redirect_uri
                && open.scopes == assignment.scopes
        };
        if open.iter().any(|(open, _)| same(open)) {
            return Ok(true);
        }
    }
}

/// Removes what asked a user for a token, with its notice; says whether it was still there.
pub(super) async fn remove(
    unit: &mut dyn AccountWrites,
    assignment: &TokenAssignment,
) -> Result<bool, Error> {
    let removed = unit.delete_assignment(assignment.id).await?;
    if removed {
        unit.delete_notices(&lookup(&assignment.uuid)).await?;
    }
    Ok(removed)
}

/// Takes back everything that an account is asked, or that is asked for an application, with the notices.
pub(super) async fn take_back_assignments(
    unit: &mut dyn AccountWrites,
    filter: OAuthTokenFilter,
) -> Result<(), Error> {
    loop {
        let open = unit.assignments(filter, &PageRequest::new(None, 500)).await?;
        if open.is_empty() {
            return Ok(());
        }
        for (assignment, _) in &open {
            remove(unit, assignment).await?;
        }
    }
}
