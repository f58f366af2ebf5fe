//! Organizations: creating, showing, changing and deleting them, and who is in them.

use serde_json::json;

use super::facade::{Accounts, Need, Subject, change, invalid, not_found, object, refuse, rejected};
use super::log::LogKind;
use super::record::{Account, AccountKind, Grantee, Team, TeamSummary};
use super::rights::{Reach, Standing};
use super::role::TeamRole;
use super::store::{AccountCursor, AccountFilter, AccountKey};
use super::teams::take_back_invite;
use super::users::{forget, insert, is_only_admin, locked, owners, save};
use crate::caller::Caller;
use crate::error::Error;
use crate::metadata::PageRequest;

/// Longest list that is answered at once; longer ones come in pages.
const WHOLE: usize = 10_000;

/// An organization as the caller may see it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OrganizationView {
    /// The organization.
    pub account: Account,
    /// Whether the caller administers it.
    pub is_admin: bool,
    /// Whether the caller belongs to it.
    pub is_member: bool,
    /// Its teams, where the caller may see them, and whether each one's members may be seen.
    pub teams: Vec<(TeamSummary, bool)>,
}

/// What changes about an organization; what is absent stays.
#[derive(Debug, Clone, Default)]
#[expect(
    missing_docs,
    reason = "the fields are those of the request, quay-api.json changeOrganizationDetails"
)]
#[expect(clippy::exhaustive_structs, reason = "built field by field from a request")]
pub struct OrganizationChanges {
    pub email: Option<String>,
    pub invoice_email: Option<bool>,
    pub invoice_email_address: Option<Option<String>>,
    pub tag_expiration_s: Option<i64>,
}

/// Somebody in an organization, with what they have there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Member {
    /// Who.
    pub account: Account,
    /// Their teams.
    pub teams: Vec<Team>,
    /// Repositories in which they have a role, by the part of the name behind the namespace.
    pub repositories: Vec<String>,
}

impl Accounts {
    /// Creates an organization that the caller administers.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for a name or address that cannot be used or is
    /// taken.
    pub async fn create_organization(
        &self,
        caller: &Caller,
        name: &str,
        email: Option<&str>,
    ) -> Result<Account, Error> {
        let actor = self.user_admin(caller).await?;
        let email = email.filter(|email| !email.is_empty());
        if self.0.options.mailing && email.is_none() {
            return Err(invalid("An email address is required"));
        }
        self.check_new(name, email).await.map_err(as_invalid)?;
        let mut organization = Account::new(AccountKind::Organization, name, self.uuid(), self.now());
        organization.email = email.map(ToOwned::to_owned);
        organization.verified = true;
        organization.tag_expiration_s = self.0.options.default_tag_expiration_s;
        let entry = self
            .entry(
                caller,
                LogKind::OrgCreate,
                Some(name),
                json!({ "namespace": name, "email": email }),
            )
            .await?;
        organization.id = change!(self, |unit| async {
            let id = insert(unit, &organization).await.map_err(as_invalid)?;
            let team = unit
                .insert_team(&owners(id))
                .await?
                .ok_or_else(|| rejected("The team owners could not be made"))?;
            unit.add_member(team, actor.account.id).await?;
            unit.log(&entry).await?;
            Ok(id)
        })?;
        Ok(organization)
    }

    /// An organization, as anybody may see it, or as its members and administrators do.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn organization_view(&self, caller: &Caller, name: &str) -> Result<OrganizationView, Error> {
        let found = self.reader().account(AccountKey::Name(name)).await?;
        let account = found
            .filter(|account| account.is_organization() && account.enabled)
            .ok_or_else(not_found)?;
        let (standing, reach, memberships) = match self.actor(caller).await {
            Ok(actor) => {
                let standing = self.standing(&actor, name, None).await?;
                let memberships = self.reader().teams_of(actor.account.id, Some(account.id)).await?;
                (standing, actor.reach, memberships)
            }
            Err(error) if error.store_error().is_some() => return Err(error),
            Err(_) => (Standing::none(), Reach::Full, Vec::new()),
        };
        let role = standing.organization(reach);
        let is_admin = role == Some(TeamRole::Admin);
        let mut teams = Vec::new();
        if role.is_some() {
            let summaries = self
                .reader()
                .teams(account.id, &PageRequest::new(None, WHOLE))
                .await?;
            teams.extend(summaries.into_iter().map(|summary| {
                let can_view = is_admin || memberships.iter().any(|team| team.id == summary.team.id);
                (summary, can_view)
            }));
        }
        Ok(OrganizationView {
            is_admin,
            is_member: role.is_some(),
            teams,
            account,
        })
    }

    /// Changes an organization.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller administers it.
    pub async fn change_organization(
        &self,
        caller: &Caller,
        name: &str,
        changes: OrganizationChanges,
    ) -> Result<(), Error> {
        let (_, organization) = self.organization(caller, name, Need::Admin).await?;
        if let Some(email) = &changes.email {
            self.check_email(email)?;
        }
        if let Some(expiration) = changes.tag_expiration_s {
            self.check_tag_expiration(expiration)?;
        }
        let mut entries = Vec::new();
        for (changed, kind, metadata) in [
            (
                changes.email.is_some(),
                LogKind::OrgChangeEmail,
                object(&[
                    ("email", json!(changes.email)),
                    ("old_email", json!(organization.email)),
                ]),
            ),
            (
                changes.invoice_email.is_some() || changes.invoice_email_address.is_some(),
                LogKind::OrgChangeInvoicing,
                object(&[
                    ("invoice_email", json!(changes.invoice_email)),
                    ("invoice_email_address", json!(changes.invoice_email_address)),
                ]),
            ),
            (
                changes.tag_expiration_s.is_some(),
                LogKind::OrgChangeTagExpiration,
                json!({ "tag_expiration": changes.tag_expiration_s }),
            ),
        ] {
            if changed {
                entries.push(self.entry(caller, kind, Some(name), metadata).await?);
            }
        }
        change!(self, |unit| async {
            unit.lock_account(organization.id).await?;
            let mut account = unit
                .account(AccountKey::Id(organization.id))
                .await?
                .ok_or_else(not_found)?;
            if let Some(email) = &changes.email {
                account.email = Some(email.clone());
            }
            if let Some(invoice) = changes.invoice_email {
                account.invoice_email = invoice;
            }
            if let Some(address) = &changes.invoice_email_address {
                account.invoice_email_address.clone_from(address);
            }
            if let Some(seconds) = changes.tag_expiration_s {
                account.tag_expiration_s = seconds;
            }
            save(unit, &account).await.map_err(as_invalid)?;
            for entry in &entries {
                unit.log(entry).await?;
            }
            Ok(())
        })
    }

    /// Deletes an organization with all that is in it.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller administers it.
    pub async fn delete_organization(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        let (actor, organization) = self.organization(caller, name, Need::Admin).await?;
        self.require_fresh(&actor, caller)?;
        self.delete_organization_account(caller, &organization).await
    }

    pub(super) async fn delete_organization_account(
        &self,
        caller: &Caller,
        organization: &Account,
    ) -> Result<(), Error> {
        let entry = self
            .entry(
                caller,
                LogKind::OrgDelete,
                Some(&organization.name),
                json!({ "namespace": organization.name }),
            )
            .await?;
        let now = self.now();
        change!(self, |unit| async {
            let organization = locked(unit, organization.id).await?;
            unit.log(&entry).await?;
            for application in unit.applications(organization.id).await? {
                self.void_tokens_of(unit, application.id).await?;
            }
            unit.delete_account(&organization, now).await?;
            forget(unit, &organization, self.now()).await
        })
    }

    /// A page of the members of an organization, by name.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller administers it.
    pub async fn members(
        &self,
        caller: &Caller,
        name: &str,
        page: &PageRequest<AccountCursor>,
    ) -> Result<Vec<Member>, Error> {
        let (_, organization) = self.organization(caller, name, Need::Admin).await?;
        let filter = AccountFilter::MembersOf(organization.id);
        let accounts = self.reader().accounts(filter, page).await?;
        let mut members = Vec::with_capacity(accounts.len());
        for account in accounts {
            members.push(self.member_of(&organization, account).await?);
        }
        Ok(members)
    }

    /// One member of an organization, or one of its robots.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when there is no such member.
    pub async fn member(&self, caller: &Caller, name: &str, member: &str) -> Result<Member, Error> {
        let (_, organization) = self.organization(caller, name, Need::Admin).await?;
        let found = self.reader().account(AccountKey::Name(member)).await?;
        let account = found.ok_or_else(not_found)?;
        let own_robot = account.owner == Some(organization.id);
        let member = self.member_of(&organization, account).await?;
        if own_robot || !member.teams.is_empty() {
            Ok(member)
        } else {
            Err(not_found())
        }
    }

    async fn member_of(&self, organization: &Account, account: Account) -> Result<Member, Error> {
        let mut reader = self.reader();
        let teams = reader.teams_of(account.id, Some(organization.id)).await?;
        let repositories = self.repositories_of(&account, &organization.name).await?;
        Ok(Member {
            account,
            teams,
            repositories,
        })
    }

    /// Repositories of a namespace in which somebody has a role of their own.
    pub(super) async fn repositories_of(
        &self,
        account: &Account,
        namespace: &str,
    ) -> Result<Vec<String>, Error> {
        let page = PageRequest::new(None, WHOLE);
        let grants = self
            .reader()
            .grants_of(Grantee::Account(account.id), namespace, &page)
            .await?;
        Ok(grants.iter().map(|grant| rest(&grant.path).to_owned()).collect())
    }

    /// Removes somebody from all teams of an organization, and takes away their roles in its
    /// repositories.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when they are not in it,
    /// [`Rejected`](crate::ErrorKind::Rejected) when nobody would be left to administer it.
    pub async fn remove_member(&self, caller: &Caller, name: &str, member: &str) -> Result<(), Error> {
        let (_, organization) = self.organization(caller, name, Need::Admin).await?;
        let account = self.reader().account(AccountKey::Name(member)).await?;
        let account = account.ok_or_else(not_found)?;
        let teams = self.reader().teams_of(account.id, Some(organization.id)).await?;
        if teams.is_empty() && self.repositories_of(&account, name).await?.is_empty() {
            return Err(not_found());
        }
        let mut entries = Vec::new();
        for team in &teams {
            let metadata = json!({ "member": member, "team": team.name });
            let entry = self.entry(caller, LogKind::OrgRemoveTeamMember, Some(name), metadata);
            entries.push(entry.await?);
        }
        change!(self, |unit| async {
            unit.lock_account(organization.id).await?;
            if is_only_admin(unit, account.id, organization.id).await? {
                return Err(rejected(
                    "The user cannot be removed: nobody would be left to administer the organization",
                ));
            }
            for team in unit.teams_of(account.id, Some(organization.id)).await? {
                unit.remove_member(team.id, account.id).await?;
            }
            let mut after = None;
            loop {
                let page = PageRequest::new(after, 500);
                let teams = unit.teams(organization.id, &page).await?;
                for summary in &teams {
                    take_back_invite(unit, summary.team.id, account.id).await?;
                }
                match teams.last() {
                    Some(last) if teams.len() >= page.limit => after = Some(last.team.name.clone()),
                    _ => break,
                }
            }
            unit.remove_grants_in(account.id, &organization.name).await?;
            for entry in &entries {
                unit.log(entry).await?;
            }
            unit.change(&Subject::Account(&account.name).key(), self.now())
                .await?;
            Ok(())
        })
    }

    /// A page of those who have a role in one of an organization's repositories and are in none of its
    /// teams.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller administers it.
    pub async fn collaborators(
        &self,
        caller: &Caller,
        name: &str,
        page: &PageRequest<AccountCursor>,
    ) -> Result<Vec<Member>, Error> {
        let (_, organization) = self.organization(caller, name, Need::Admin).await?;
        let filter = AccountFilter::CollaboratorsOf {
            organization: organization.id,
            namespace: name,
        };
        let accounts = self.reader().accounts(filter, page).await?;
        let mut collaborators = Vec::with_capacity(accounts.len());
        for account in accounts {
            collaborators.push(self.member_of(&organization, account).await?);
        }
        Ok(collaborators)
    }

    /// Whether the caller may see an organization as a member does.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) otherwise.
    pub async fn require_member(&self, caller: &Caller, name: &str) -> Result<Account, Error> {
        let (_, organization) = self.organization(caller, name, Need::Member).await?;
        Ok(organization)
    }

    /// Whether the caller may create repositories in a namespace.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) otherwise.
    pub async fn require_creator(&self, caller: &Caller, namespace: &str) -> Result<(), Error> {
        let actor = self.actor(caller).await?;
        let standing = self.standing(&actor, namespace, None).await?;
        if standing.organization(actor.reach) >= Some(Need::Creator.team_role()) {
            Ok(())
        } else {
            Err(refuse(caller))
        }
    }
}

/// A repository's name behind its namespace.
pub(super) fn rest(path: &str) -> &str {
    path.split_once('/').map_or(path, |(_, rest)| rest)
}

/// What the data model refuses, these calls answer as a request that makes no sense.
pub(super) fn as_invalid(error: Error) -> Error {
    if error.kind() == crate::error::ErrorKind::Rejected {
        invalid(error.public_message())
    } else {
        error
    }
}
