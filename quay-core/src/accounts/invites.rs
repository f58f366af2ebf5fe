//! Invitations as those meet them who are asked, and those who look who has been asked.

use serde_json::json;

use super::facade::Accounts;
use super::log::{LogEntry, LogKind};
use super::record::{Account, AccountId, Notice, Team, TeamInvite};
use super::store::{AccountKey, AccountWrites, TeamKey};
use super::teams::{TeamMember, lookup};
use crate::caller::Caller;
use crate::error::Error;
use crate::metadata::PageRequest;

/// What a new user brings along: the invitation, and what becomes of it.
#[derive(Debug)]
pub(super) struct Admission {
    invite: TeamInvite,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    /// It waits for the user, who is told of it: the calls by which invitations are accepted are there.
    Waits(Notice),
    /// Without mail those calls are switched off, so that it is accepted with the code.
    Accepted(LogEntry),
}

impl Accounts {
    /// A page of those who are asked to join a team, with the ids of their invitations; of none unless the
    /// caller administers the organization.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller is in the team or administers the
    /// organization.
    pub async fn team_invites(
        &self,
        caller: &Caller,
        organization: &str,
        name: &str,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(i64, TeamMember)>, Error> {
        let nobody = PageRequest::new(None, 0);
        let found = self
            .team_members(caller, organization, name, false, &nobody)
            .await?;
        if !found.can_edit {
            return Ok(Vec::new());
        }
        let mut reader = self.reader();
        let mut asked = Vec::new();
        for invite in reader.invites_paged(found.team.id, page).await? {
            let member = match (invite.account, invite.email) {
                (Some(id), _) => match reader.account(AccountKey::Id(id)).await? {
                    Some(account) => TeamMember::Account {
                        account: Box::new(account),
                        invited: true,
                    },
                    // The account has gone this moment; its place keeps the page as long as it is.
                    None => TeamMember::Email(String::new()),
                },
                (None, email) => TeamMember::Email(email.unwrap_or_default()),
            };
            asked.push((invite.id, member));
        }
        Ok(asked)
    }

    /// The invitation that a code is of, where it is good for somebody who signs up with this address.
    pub(super) async fn admission(
        &self,
        caller: &Caller,
        code: Option<&str>,
        username: &str,
        email: Option<&str>,
    ) -> Result<Option<Admission>, Error> {
        let Some(code) = code.filter(|code| !code.is_empty()) else {
            return Ok(None);
        };
        let mut reader = self.reader();
        // What is for somebody with an account is for nobody new.
        let for_them = |invite: &TeamInvite| {
            invite.account.is_none() && (!self.0.options.mailing || invite.email.as_deref() == email)
        };
        let Some(invite) = reader.invite(code).await?.filter(for_them) else {
            return Ok(None);
        };
        let Some(team) = reader.team(TeamKey::Id(invite.team)).await? else {
            return Ok(None);
        };
        let organization = reader.account(AccountKey::Id(team.organization)).await?;
        let inviter = reader.account(AccountKey::Id(invite.inviter)).await?;
        let (Some(organization), Some(inviter)) = (organization, inviter) else {
            return Ok(None);
        };
        let outcome = if self.0.options.mailing {
            Outcome::Waits(self.invite_notice(0, code, &inviter, &organization, &team))
        } else {
            let metadata = json!({ "member": username, "team": team.name, "inviter": inviter.name });
            let kind = LogKind::OrgTeamMemberInviteAccepted;
            let mut accepted = self
                .entry(caller, kind, Some(&organization.name), metadata)
                .await?;
            accepted.performer = Some(username.to_owned());
            Outcome::Accepted(accepted)
        };
        Ok(Some(Admission { invite, outcome }))
    }

    /// The notice that tells somebody that they are asked to join a team.
    pub(super) fn invite_notice(
        &self,
        account: AccountId,
        code: &str,
        inviter: &Account,
        organization: &Account,
        team: &Team,
    ) -> Notice {
        let metadata = json!({
            "code": code,
            "inviter": inviter.name,
            "org": organization.name,
            "team": team.name,
        });
        Notice {
            uuid: self.uuid(),
            account,
            kind: "org_team_invite".to_owned(),
            metadata: metadata.to_string(),
            created: self.now(),
            dismissed: false,
            lookup: Some(lookup(code)),
        }
    }

    /// Whether a code has been in the mailbox of an account that has not shown yet that it is theirs.
    pub(super) async fn invite_proves(&self, account: &Account, code: &str) -> Result<bool, Error> {
        let invite = self.reader().invite(code).await?;
        Ok(account.email.is_some() && invite.is_some_and(|invite| invite.email == account.email))
    }
}

impl Admission {
    /// Whether the invitation went to this address, which so is proven.
    pub(super) fn proves(&self, email: Option<&str>) -> bool {
        email.is_some() && self.invite.email.as_deref() == email
    }

    /// Makes the invitation the new account's. `false` when somebody else was faster.
    pub(super) async fn redeem(
        &self,
        unit: &mut dyn AccountWrites,
        account: AccountId,
    ) -> Result<bool, Error> {
        if !unit.delete_invite(self.invite.id).await? {
            return Ok(false);
        }
        match &self.outcome {
            Outcome::Waits(notice) => {
                let invite = TeamInvite {
                    account: Some(account),
                    email: None,
                    ..self.invite.clone()
                };
                unit.insert_invite(&invite).await?;
                let notice = Notice {
                    account,
                    ..notice.clone()
                };
                unit.insert_notice(&notice).await?;
            }
            Outcome::Accepted(accepted) => {
                unit.add_member(self.invite.team, account).await?;
                unit.log(accepted).await?;
            }
        }
        Ok(true)
    }
}
