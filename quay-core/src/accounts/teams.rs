//! Teams: what they may do, who is in them, and who is asked to join.

use serde_json::json;

use super::facade::{Accounts, Actor, Need, Subject, change, invalid, not_found, rejected};
use super::log::LogKind;
use super::name::{check_name, is_email};
use super::organizations::as_invalid;
use super::ports::Mail;
use super::record::{Account, AccountId, AccountKind, Grant, Grantee, Team, TeamInvite};
use super::role::TeamRole;
use super::store::{AccountCursor, AccountFilter, AccountKey, AccountWrites, TeamKey};
use super::users::is_administered;
use crate::caller::Caller;
use crate::error::Error;
use crate::metadata::PageRequest;

/// Somebody in a team, or asked to join it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TeamMember {
    /// A member, or somebody with an account who has been asked.
    Account {
        /// Who.
        account: Box<Account>,
        /// Whether they have been asked and not answered yet.
        invited: bool,
    },
    /// Somebody who has been asked by mail.
    Email(String),
}

/// A page of a team's members.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TeamMembers {
    /// The team.
    pub team: Team,
    /// Whether the caller may change it.
    pub can_edit: bool,
    /// The members.
    pub members: Vec<TeamMember>,
}

impl Accounts {
    async fn team(&self, organization: &Account, name: &str) -> Result<Team, Error> {
        let key = TeamKey::Name(organization.id, name);
        self.reader().team(key).await?.ok_or_else(not_found)
    }

    /// Creates a team, or changes its role and description. Says whether it is new.
    ///
    /// # Errors
    /// [`Rejected`](crate::ErrorKind::Rejected) for a name that cannot be used, or when nobody would be
    /// left to administer the organization.
    pub async fn put_team(
        &self,
        caller: &Caller,
        organization: &str,
        name: &str,
        role: TeamRole,
        description: Option<&str>,
    ) -> Result<(Team, bool), Error> {
        let (actor, organization) = self.organization(caller, organization, Need::Admin).await?;
        let key = TeamKey::Name(organization.id, name);
        if self.reader().team(key).await?.is_none()
            && let Some(team) = self
                .create_team(caller, &organization, name, role, description)
                .await?
        {
            return Ok((team, true));
        }
        // It has been there, or somebody else was faster.
        let team = self.team(&organization, name).await?;
        let team = self
            .change_team(caller, &actor, &organization, team, role, description)
            .await?;
        Ok((team, false))
    }

    /// `None` when there is a team of that name.
    async fn create_team(
        &self,
        caller: &Caller,
        organization: &Account,
        name: &str,
        role: TeamRole,
        description: Option<&str>,
    ) -> Result<Option<Team>, Error> {
        check_name(name, "team name").map_err(|error| rejected(error.public_message()))?;
        let mut team = Team {
            id: 0,
            organization: organization.id,
            name: name.to_owned(),
            role,
            description: description.unwrap_or_default().to_owned(),
        };
        let entry = self
            .entry(
                caller,
                LogKind::OrgCreateTeam,
                Some(&organization.name),
                json!({ "team": name }),
            )
            .await?;
        let id = change!(self, |unit| async {
            let id = unit.insert_team(&team).await?;
            if id.is_some() {
                unit.log(&entry).await?;
            }
            Ok(id)
        })?;
        Ok(id.map(|id| {
            team.id = id;
            team
        }))
    }

    async fn change_team(
        &self,
        caller: &Caller,
        actor: &Actor,
        organization: &Account,
        team: Team,
        role: TeamRole,
        description: Option<&str>,
    ) -> Result<Team, Error> {
        let mut changed = team.clone();
        changed.role = role;
        if let Some(description) = description {
            description.clone_into(&mut changed.description);
        }
        let mut entries = Vec::new();
        for (differs, kind, metadata) in [
            (
                changed.description != team.description,
                LogKind::OrgSetTeamDescription,
                json!({ "team": team.name, "description": changed.description }),
            ),
            (
                changed.role != team.role,
                LogKind::OrgSetTeamRole,
                json!({ "team": team.name, "role": role.as_str() }),
            ),
        ] {
            if differs {
                entries.push(
                    self.entry(caller, kind, Some(&organization.name), metadata)
                        .await?,
                );
            }
        }
        if entries.is_empty() {
            return Ok(changed);
        }
        change!(self, |unit| async {
            unit.lock_account(organization.id).await?;
            // What it was when it was looked at may be history.
            let team = unit.team(TeamKey::Id(team.id)).await?.ok_or_else(not_found)?;
            let changed = Team {
                role,
                description: description.map_or_else(|| team.description.clone(), ToOwned::to_owned),
                ..team.clone()
            };
            let lessened = role < TeamRole::Admin && team.role == TeamRole::Admin;
            let charge = self.charge(unit, actor, &team, lessened).await?;
            if lessened {
                refuse_last_admin_team(unit, actor, &team).await?;
            }
            unit.save_team(&changed).await?;
            charge.must_stay(unit, &team).await?;
            for entry in &entries {
                unit.log(entry).await?;
            }
            unit.change(&Subject::Namespace(&organization.name).key(), self.now())
                .await?;
            Ok(())
        })?;
        Ok(changed)
    }

    /// Deletes a team.
    ///
    /// # Errors
    /// [`Rejected`](crate::ErrorKind::Rejected) when there is none, or when it is the caller's only way to
    /// administer the organization.
    pub async fn delete_team(&self, caller: &Caller, organization: &str, name: &str) -> Result<(), Error> {
        let (actor, organization) = self.organization(caller, organization, Need::Admin).await?;
        let key = TeamKey::Name(organization.id, name);
        let entry = self
            .entry(
                caller,
                LogKind::OrgDeleteTeam,
                Some(&organization.name),
                json!({ "team": name }),
            )
            .await?;
        change!(self, |unit| async {
            unit.lock_account(organization.id).await?;
            let team = unit.team(key).await?.ok_or_else(|| {
                rejected(format!(
                    "Team '{name}' is not a team in org '{}'",
                    organization.name
                ))
            })?;
            let is_admin = team.role == TeamRole::Admin;
            let charge = self.charge(unit, &actor, &team, is_admin).await?;
            if is_admin {
                refuse_last_admin_team(unit, &actor, &team).await?;
            }
            for invite in unit.invites(team.id).await? {
                unit.delete_notices(&lookup(&invite.code)).await?;
            }
            unit.delete_team(team.id).await?;
            charge.must_stay(unit, &team).await?;
            unit.log(&entry).await?;
            unit.change(&Subject::Namespace(&organization.name).key(), self.now())
                .await?;
            Ok(())
        })
    }

    /// A page of a team's members, by name; on the first page also those who were asked to join, if the
    /// caller wants them and administers the organization.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller is in the team or administers the
    /// organization.
    pub async fn team_members(
        &self,
        caller: &Caller,
        organization: &str,
        name: &str,
        pending: bool,
        page: &PageRequest<AccountCursor>,
    ) -> Result<TeamMembers, Error> {
        let actor = self.actor(caller).await?;
        let standing = self.standing(&actor, organization, None).await?;
        let role = standing.organization(actor.reach);
        let can_edit = role == Some(TeamRole::Admin);
        let found = self.reader().account(AccountKey::Name(organization)).await?;
        let found = found.filter(Account::is_organization);
        let team = match &found {
            Some(found) => self.reader().team(TeamKey::Name(found.id, name)).await?,
            None => None,
        };
        if !can_edit {
            let organization = found.as_ref().map(|found| found.id);
            let own = self.reader().teams_of(actor.account.id, organization).await?;
            let member = team
                .as_ref()
                .is_some_and(|team| own.iter().any(|own| own.id == team.id));
            if !member || role.is_none() {
                return Err(super::facade::refuse(caller));
            }
        }
        let team = team.ok_or_else(not_found)?;
        let mut reader = self.reader();
        let mut members: Vec<_> = reader
            .accounts(AccountFilter::InTeam(team.id), page)
            .await?
            .into_iter()
            .map(|account| TeamMember::Account {
                account: Box::new(account),
                invited: false,
            })
            .collect();
        if pending && can_edit && page.after.is_none() {
            for invite in reader.invites(team.id).await? {
                if let Some(email) = invite.email {
                    members.push(TeamMember::Email(email));
                } else if let Some(id) = invite.account
                    && let Some(account) = reader.account(AccountKey::Id(id)).await?
                {
                    members.push(TeamMember::Account {
                        account: Box::new(account),
                        invited: true,
                    });
                }
            }
        }
        Ok(TeamMembers {
            team,
            can_edit,
            members,
        })
    }

    /// Adds somebody to a team, or asks them to join where that is required.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for somebody unknown, an organization, or a
    /// robot of somebody else.
    pub async fn add_team_member(
        &self,
        caller: &Caller,
        organization: &str,
        name: &str,
        member: &str,
    ) -> Result<TeamMember, Error> {
        let (actor, organization) = self.organization(caller, organization, Need::Admin).await?;
        let found = self.reader().account(AccountKey::Name(member)).await?;
        let account = found
            .filter(|account| !account.is_organization())
            .ok_or_else(|| invalid("Unknown user"))?;
        let team = self.team(&organization, name).await?;
        if account.is_robot() && account.owner != Some(organization.id) {
            return Err(invalid("Cannot add a robot of another namespace to a team"));
        }
        let options = &self.0.options;
        let is_member = !self
            .reader()
            .teams_of(account.id, Some(organization.id))
            .await?
            .is_empty();
        let invite = options.mailing
            && options.require_team_invite
            && !account.is_robot()
            && !is_member
            && account.id != actor.account.id;
        if invite {
            return self
                .invite_account(caller, &actor, &organization, &team, account)
                .await;
        }
        let entry = self
            .entry(
                caller,
                LogKind::OrgAddTeamMember,
                Some(&organization.name),
                json!({ "member": member, "team": name }),
            )
            .await?;
        change!(self, |unit| async {
            unit.lock_account(organization.id).await?;
            still_there(unit, &team, &account).await?;
            // Whoever is a member need not be asked any more.
            take_back_invite(unit, team.id, account.id).await?;
            if unit.add_member(team.id, account.id).await? {
                unit.log(&entry).await?;
            }
            Ok(())
        })?;
        Ok(TeamMember::Account {
            account: Box::new(account),
            invited: false,
        })
    }

    async fn invite_account(
        &self,
        caller: &Caller,
        actor: &Actor,
        organization: &Account,
        team: &Team,
        account: Account,
    ) -> Result<TeamMember, Error> {
        let code = self.code(40);
        let invite = TeamInvite {
            id: 0,
            team: team.id,
            account: Some(account.id),
            email: None,
            inviter: actor.account.id,
            code: code.clone(),
        };
        let entry = self
            .entry(
                caller,
                LogKind::OrgInviteTeamMember,
                Some(&organization.name),
                json!({ "user": account.name, "member": account.name, "team": team.name }),
            )
            .await?;
        let notice = self.invite_notice(account.id, &code, &actor.account, organization, team);
        let asked = change!(self, |unit| async {
            unit.lock_account(organization.id).await?;
            let open = unit.invites(team.id).await?;
            if open.iter().any(|open| open.account == Some(account.id)) {
                return Ok(false);
            }
            unit.insert_invite(&invite).await?;
            unit.insert_notice(&notice).await?;
            unit.log(&entry).await?;
            Ok(true)
        })?;
        if let (true, Some(email)) = (asked, &account.email) {
            self.mail(&self.invite_mail(email, organization, team, &actor.account, &code))
                .await?;
        }
        Ok(TeamMember::Account {
            account: Box::new(account),
            invited: true,
        })
    }

    fn invite_mail(
        &self,
        email: &str,
        organization: &Account,
        team: &Team,
        inviter: &Account,
        code: &str,
    ) -> Mail {
        let options = &self.0.options;
        Mail::new(
            email.to_owned(),
            format!("You have been invited to join a team in {}", options.title),
            format!(
                "{} asks you to join the team {} of the organization {} in {}. To accept, open\n\n\
                 {}/confirminvite?code={code}\n",
                inviter.name, team.name, organization.name, options.title, options.base_url
            ),
        )
    }

    /// Removes somebody from a team, or takes back that they were asked to join.
    ///
    /// # Errors
    /// [`Rejected`](crate::ErrorKind::Rejected) when nobody would be left to administer the organization,
    /// [`NotFound`](crate::ErrorKind::NotFound) for somebody unknown.
    pub async fn remove_team_member(
        &self,
        caller: &Caller,
        organization: &str,
        name: &str,
        member: &str,
    ) -> Result<(), Error> {
        let (actor, organization) = self.organization(caller, organization, Need::Admin).await?;
        let found = self.reader().account(AccountKey::Name(member)).await?;
        let account = found.ok_or_else(not_found)?;
        let team = self.team(&organization, name).await?;
        let removed = self
            .entry(
                caller,
                LogKind::OrgRemoveTeamMember,
                Some(&organization.name),
                json!({ "member": member, "team": name }),
            )
            .await?;
        let taken_back = self
            .entry(
                caller,
                LogKind::OrgDeleteTeamMemberInvite,
                Some(&organization.name),
                json!({ "user": member, "member": member, "team": name }),
            )
            .await?;
        change!(self, |unit| async {
            unit.lock_account(organization.id).await?;
            let team = unit.team(TeamKey::Id(team.id)).await?.ok_or_else(not_found)?;
            if take_back_invite(unit, team.id, account.id).await? {
                unit.log(&taken_back).await?;
                let mut teams = unit.teams_of(account.id, Some(organization.id)).await?;
                teams.retain(|member_of| member_of.id == team.id);
                if teams.is_empty() {
                    return Ok(());
                }
            }
            let is_admin = team.role == TeamRole::Admin;
            let charge = self.charge(unit, &actor, &team, is_admin).await?;
            if is_admin && account.id == actor.account.id {
                refuse_last_admin_team(unit, &actor, &team).await?;
            }
            if !unit.remove_member(team.id, account.id).await? {
                return Err(rejected(format!("User {member} does not belong to team {name}")));
            }
            charge.must_stay(unit, &team).await?;
            unit.log(&removed).await?;
            unit.change(&Subject::Account(member).key(), self.now()).await?;
            Ok(())
        })
    }

    /// Asks somebody by mail to join a team.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for what is no address.
    pub async fn invite_email(
        &self,
        caller: &Caller,
        organization: &str,
        name: &str,
        email: &str,
    ) -> Result<TeamMember, Error> {
        let (actor, organization) = self.organization(caller, organization, Need::Admin).await?;
        let team = self.team(&organization, name).await?;
        if !is_email(email) {
            return Err(invalid(format!("Invalid email address: {email}")));
        }
        let known = self.reader().account(AccountKey::Email(email)).await?;
        if let Some(account) = known.filter(|account| account.kind == AccountKind::User) {
            return self
                .add_team_member(caller, &organization.name, name, &account.name)
                .await;
        }
        let code = self.code(40);
        let invite = TeamInvite {
            id: 0,
            team: team.id,
            account: None,
            email: Some(email.to_owned()),
            inviter: actor.account.id,
            code: code.clone(),
        };
        let entry = self
            .entry(
                caller,
                LogKind::OrgInviteTeamMember,
                Some(&organization.name),
                json!({ "email": email, "member": email, "team": name }),
            )
            .await?;
        let asked = change!(self, |unit| async {
            unit.lock_account(organization.id).await?;
            let open = unit.invites(team.id).await?;
            if open.iter().any(|open| open.email.as_deref() == Some(email)) {
                return Ok(false);
            }
            unit.insert_invite(&invite).await?;
            unit.log(&entry).await?;
            Ok(true)
        })?;
        if asked {
            self.mail(&self.invite_mail(email, &organization, &team, &actor.account, &code))
                .await?;
        }
        Ok(TeamMember::Email(email.to_owned()))
    }

    /// Takes back that somebody was asked by mail.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when they were not.
    pub async fn delete_email_invite(
        &self,
        caller: &Caller,
        organization: &str,
        name: &str,
        email: &str,
    ) -> Result<(), Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let team = self.team(&organization, name).await?;
        let entry = self
            .entry(
                caller,
                LogKind::OrgDeleteTeamMemberInvite,
                Some(&organization.name),
                json!({ "email": email, "member": email, "team": name }),
            )
            .await?;
        change!(self, |unit| async {
            let invites = unit.invites(team.id).await?;
            let invite = invites
                .iter()
                .find(|invite| invite.email.as_deref() == Some(email))
                .ok_or_else(not_found)?;
            unit.delete_invite(invite.id).await?;
            unit.log(&entry).await?;
            Ok(())
        })
    }

    /// Joins the team that the signed-in user was asked to join.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for a code that is unknown or somebody else's.
    pub async fn accept_invite(&self, caller: &Caller, code: &str) -> Result<(Account, Team), Error> {
        let actor = self.user_admin(caller).await?;
        self.answer_invite(&actor.account, code, caller, true).await
    }

    /// Declines to join the team that the signed-in user was asked to join.
    ///
    /// # Errors
    /// As [`accept_invite`](Self::accept_invite).
    pub async fn decline_invite(&self, caller: &Caller, code: &str) -> Result<(), Error> {
        let actor = self.user_admin(caller).await?;
        self.answer_invite(&actor.account, code, caller, false)
            .await
            .map(drop)
    }

    pub(super) async fn answer_invite(
        &self,
        account: &Account,
        code: &str,
        caller: &Caller,
        accept: bool,
    ) -> Result<(Account, Team), Error> {
        let unknown = || invalid("Could not find the invitation, or it is for somebody else");
        let mut reader = self.reader();
        let invite = reader.invite(code).await?.ok_or_else(unknown)?;
        let for_them = match (invite.account, &invite.email) {
            (Some(id), _) => id == account.id,
            // The code has been in that mailbox and nowhere else.
            (None, email) => email.is_some(),
        };
        if !for_them {
            return Err(unknown());
        }
        let team = reader.team(TeamKey::Id(invite.team)).await?.ok_or_else(unknown)?;
        let organization = reader
            .account(AccountKey::Id(team.organization))
            .await?
            .ok_or_else(unknown)?;
        let inviter = reader.account(AccountKey::Id(invite.inviter)).await?;
        let kind = if accept {
            LogKind::OrgTeamMemberInviteAccepted
        } else {
            LogKind::OrgTeamMemberInviteDeclined
        };
        let metadata = json!({
            "member": account.name,
            "team": team.name,
            "inviter": inviter.map(|inviter| inviter.name),
        });
        let mut entry = self
            .entry(caller, kind, Some(&organization.name), metadata)
            .await?;
        entry.performer = Some(account.name.clone());
        change!(self, |unit| async {
            if !unit.delete_invite(invite.id).await? {
                return Err(unknown());
            }
            if accept {
                unit.add_member(team.id, account.id).await?;
            }
            unit.delete_notices(&lookup(code)).await?;
            unit.log(&entry).await?;
            Ok(())
        })?;
        Ok((organization, team))
    }

    /// A page of the repositories in which a team has a role, by id.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller administers the organization.
    pub async fn team_permissions(
        &self,
        caller: &Caller,
        organization: &str,
        name: &str,
        page: &PageRequest<i64>,
    ) -> Result<Vec<Grant>, Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let team = self.team(&organization, name).await?;
        let grants = self
            .reader()
            .grants_of(Grantee::Team(team.id), &organization.name, page)
            .await;
        grants.map_err(|error| as_invalid(error.into()))
    }
}

/// Whether somebody administered an organization before a change, and so must after it. Two who take it
/// from each other at once have both been allowed to when they asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charge {
    Held,
    Open,
}

impl Accounts {
    /// Looks who is in charge, where a change to `team` could matter. Superusers with every right may leave
    /// an organization to nobody: they can take it back.
    async fn charge(
        &self,
        unit: &mut dyn AccountWrites,
        actor: &Actor,
        team: &Team,
        matters: bool,
    ) -> Result<Charge, Error> {
        let above = self.0.options.superusers_full_access && self.acts_as_superuser(actor);
        if matters && !above && is_administered(unit, team.organization, None).await? {
            Ok(Charge::Held)
        } else {
            Ok(Charge::Open)
        }
    }
}

impl Charge {
    async fn must_stay(self, unit: &mut dyn AccountWrites, team: &Team) -> Result<(), Error> {
        if self == Self::Held && !is_administered(unit, team.organization, None).await? {
            return Err(rejected("Nobody would be left to administer the organization"));
        }
        Ok(())
    }
}

/// Insists that a team and somebody who is to join it have not been deleted meanwhile.
async fn still_there(unit: &mut dyn AccountWrites, team: &Team, account: &Account) -> Result<(), Error> {
    let team = unit.team(TeamKey::Id(team.id)).await?;
    let account = unit.account(AccountKey::Id(account.id)).await?;
    if team.is_some() && account.is_some() {
        Ok(())
    } else {
        Err(not_found())
    }
}

/// By what the notice of an invitation is found.
pub(super) fn lookup(code: &str) -> String {
    format!("org_team_invite:{code}")
}

/// Refuses what would leave the caller without a team that administers the organization, where that is
/// how they administer it (data-model, section 1).
async fn refuse_last_admin_team(
    unit: &mut dyn AccountWrites,
    actor: &Actor,
    team: &Team,
) -> Result<(), Error> {
    let own = unit.teams_of(actor.account.id, Some(team.organization)).await?;
    let in_it = own.iter().any(|own| own.id == team.id);
    let others = own
        .iter()
        .any(|own| own.id != team.id && own.role == TeamRole::Admin);
    if in_it && !others {
        return Err(rejected(format!(
            "Team '{}' is your only team with administrator rights in this organization; it can be neither \
             deleted, left nor given a lesser role",
            team.name
        )));
    }
    Ok(())
}

/// Withdraws the open invitation of somebody to a team, with what they were told of it; says whether there was one.
pub(super) async fn take_back_invite(
    unit: &mut dyn AccountWrites,
    team: i64,
    account: AccountId,
) -> Result<bool, Error> {
    let mut found = false;
    for invite in unit.invites(team).await? {
        if invite.account == Some(account) {
            unit.delete_invite(invite.id).await?;
            unit.delete_notices(&lookup(&invite.code)).await?;
            found = true;
        }
    }
    Ok(found)
}
