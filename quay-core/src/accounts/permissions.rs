//! Roles in repositories, default permissions, and the creation of repositories that applies them.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::facade::{Accounts, Actor, Need, Subject, change, invalid, not_found, object, refuse, rejected};
use super::log::LogKind;
use super::record::{Account, AccountId, AccountKind, Grantee, Prototype, Team};
use super::role::RepositoryRole;
use super::store::{AccountKey, AccountWrites, TeamKey};
use crate::caller::Caller;
use crate::error::{Error, ErrorKind};
use crate::metadata::{PageRequest, RepositoryRecord, Visibility};
use crate::name::RepositoryName;

/// Somebody's role in a repository, as lists show it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UserPermission {
    /// Who.
    pub account: Account,
    /// The role.
    pub role: RepositoryRole,
    /// Whether they belong to the organization; absent in a user's own namespace.
    pub is_member: Option<bool>,
}

/// A default permission with the names behind its ids.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PrototypeView {
    /// The permission.
    pub prototype: Prototype,
    /// Whose new repositories it is about.
    pub activating: Option<(Account, bool)>,
    /// Who is given the role.
    pub delegate: Delegate,
}

/// Who a default permission gives a role.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "somebody or a team")]
pub enum Delegate {
    /// A user or robot, and whether they belong to the organization.
    Account(Box<Account>, bool),
    /// A team.
    Team(Team),
}

impl Accounts {
    async fn is_member(&self, account: &Account, organization: &Account) -> Result<bool, Error> {
        if account.owner == Some(organization.id) {
            return Ok(true);
        }
        let teams = self.reader().teams_of(account.id, Some(organization.id)).await?;
        Ok(!teams.is_empty())
    }

    async fn namespace(&self, name: &RepositoryName) -> Result<Account, Error> {
        let found = self.reader().account(AccountKey::Name(name.namespace())).await?;
        found.ok_or_else(not_found)
    }

    async fn permission_view(
        &self,
        namespace: &Account,
        account: Account,
        role: RepositoryRole,
    ) -> Result<UserPermission, Error> {
        let is_member = if namespace.is_organization() {
            Some(self.is_member(&account, namespace).await?)
        } else {
            None
        };
        Ok(UserPermission {
            account,
            role,
            is_member,
        })
    }

    /// A page of the users and robots with a role in a repository, by name.
    ///
    /// # Errors
    /// [`Forbidden`](ErrorKind::Forbidden) unless the caller administers the repository.
    pub async fn user_permissions(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        page: &PageRequest<i64>,
    ) -> Result<Vec<UserPermission>, Error> {
        let (_, record) = self.repository_admin(caller, name).await?;
        let namespace = self.namespace(name).await?;
        let mut permissions = Vec::new();
        for (account, role) in self.reader().account_grants(record.id, page).await? {
            permissions.push(self.permission_view(&namespace, account, role).await?);
        }
        Ok(permissions)
    }

    /// A page of the teams with a role in a repository, by name.
    ///
    /// # Errors
    /// [`Forbidden`](ErrorKind::Forbidden) unless the caller administers the repository.
    pub async fn team_permissions_in(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(Team, RepositoryRole)>, Error> {
        let (_, record) = self.repository_admin(caller, name).await?;
        Ok(self.reader().team_grants(record.id, page).await?)
    }

    /// The role that a user or robot was given in a repository.
    ///
    /// # Errors
    /// [`Rejected`](ErrorKind::Rejected) when there is none.
    pub async fn user_permission(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        username: &str,
    ) -> Result<UserPermission, Error> {
        let (_, record) = self.repository_admin(caller, name).await?;
        let missing = || rejected(format!("User does not have permission for repo: {username}"));
        let account = self.reader().account(AccountKey::Name(username)).await?;
        let account = account.ok_or_else(missing)?;
        let grantee = Grantee::Account(account.id);
        let role = self
            .reader()
            .grant(record.id, grantee)
            .await?
            .ok_or_else(missing)?;
        let namespace = self.namespace(name).await?;
        self.permission_view(&namespace, account, role).await
    }

    /// What a user or robot may do in a repository by all that they were given, as a list of one role or
    /// none.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) when there is no such user.
    pub async fn transitive_permission(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        username: &str,
    ) -> Result<Option<RepositoryRole>, Error> {
        let (_, record) = self.repository_admin(caller, name).await?;
        let account = self.reader().account(AccountKey::Name(username)).await?;
        let account = account
            .filter(|account| !account.is_organization())
            .ok_or_else(not_found)?;
        let actor = Actor {
            account,
            reach: super::rights::Reach::Full,
        };
        let standing = self.standing(&actor, name.namespace(), Some(record.id)).await?;
        Ok(standing.repository(actor.reach))
    }

    /// Gives a user or robot a role in a repository.
    ///
    /// # Errors
    /// [`InvalidRequest`](ErrorKind::InvalidRequest) for the owner of the namespace,
    /// [`Rejected`](ErrorKind::Rejected) for somebody unknown or a robot of another namespace.
    pub async fn set_user_permission(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        username: &str,
        role: RepositoryRole,
    ) -> Result<UserPermission, Error> {
        let (_, record) = self.repository_admin(caller, name).await?;
        let namespace = self.namespace(name).await?;
        let account = self.reader().account(AccountKey::Name(username)).await?;
        let account = account
            .filter(|account| !account.is_organization())
            .ok_or_else(|| rejected(format!("Invalid username: {username}")))?;
        if account.id == namespace.id {
            return Err(invalid("Namespace owner must always be admin."));
        }
        if account.is_robot() && account.owner != Some(namespace.id) {
            return Err(rejected(
                "Cannot add a robot of another namespace to a repository",
            ));
        }
        let metadata = json!({
            "username": username,
            "repo": name.rest(),
            "namespace": name.namespace(),
            "role": role.as_str(),
        });
        self.set_grant(
            caller,
            &record,
            Grantee::Account(account.id),
            role,
            metadata,
            &Subject::Account(username),
        )
        .await?;
        self.permission_view(&namespace, account, role).await
    }

    async fn set_grant(
        &self,
        caller: &Caller,
        record: &Arc<RepositoryRecord>,
        grantee: Grantee,
        role: RepositoryRole,
        metadata: Value,
        subject: &Subject<'_>,
    ) -> Result<(), Error> {
        let namespace = record.name.namespace();
        let mut entry = self
            .entry(caller, LogKind::ChangeRepoPermission, Some(namespace), metadata)
            .await?;
        entry.repository = Some(record.id);
        change!(self, |unit| async {
            // Whoever has been deleted meanwhile cannot be given anything.
            let there = match grantee {
                Grantee::Account(id) => unit.account(AccountKey::Id(id)).await?.is_some(),
                Grantee::Team(id) => unit.team(TeamKey::Id(id)).await?.is_some(),
            };
            if !there {
                return Err(not_found());
            }
            unit.set_grant(record.id, grantee, role).await?;
            unit.log(&entry).await?;
            // A lesser role must be felt as well.
            unit.change(&subject.key(), self.now()).await?;
            Ok(())
        })
    }

    async fn remove_grant(
        &self,
        caller: &Caller,
        record: &Arc<RepositoryRecord>,
        grantee: Grantee,
        metadata: Value,
        subject: &Subject<'_>,
    ) -> Result<bool, Error> {
        let namespace = record.name.namespace();
        let mut entry = self
            .entry(caller, LogKind::DeleteRepoPermission, Some(namespace), metadata)
            .await?;
        entry.repository = Some(record.id);
        change!(self, |unit| async {
            if !unit.remove_grant(record.id, grantee).await? {
                return Ok(false);
            }
            unit.log(&entry).await?;
            unit.change(&subject.key(), self.now()).await?;
            Ok(true)
        })
    }

    /// Takes a user's or robot's role in a repository away.
    ///
    /// # Errors
    /// [`Rejected`](ErrorKind::Rejected) when they have none.
    pub async fn delete_user_permission(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        username: &str,
    ) -> Result<(), Error> {
        let (_, record) = self.repository_admin(caller, name).await?;
        let missing = || rejected(format!("User does not have permission for repo: {username}"));
        let account = self.reader().account(AccountKey::Name(username)).await?;
        let account = account.ok_or_else(missing)?;
        if account.name == name.namespace() {
            return Err(rejected("Namespace owner must always be admin."));
        }
        let metadata = json!({ "username": username, "repo": name.rest(), "namespace": name.namespace() });
        let grantee = Grantee::Account(account.id);
        let subject = Subject::Account(username);
        if self
            .remove_grant(caller, &record, grantee, metadata, &subject)
            .await?
        {
            Ok(())
        } else {
            Err(missing())
        }
    }

    async fn team_of(&self, name: &RepositoryName, team: &str) -> Result<Team, Error> {
        let missing = || rejected(format!("Team does not have permission for repo: {team}"));
        let namespace = self.reader().account(AccountKey::Name(name.namespace())).await?;
        let namespace = namespace.ok_or_else(missing)?;
        let found = self.reader().team(TeamKey::Name(namespace.id, team)).await?;
        found.ok_or_else(missing)
    }

    /// The role that a team was given in a repository.
    ///
    /// # Errors
    /// [`Rejected`](ErrorKind::Rejected) when there is none.
    pub async fn team_permission(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        team: &str,
    ) -> Result<RepositoryRole, Error> {
        let (_, record) = self.repository_admin(caller, name).await?;
        let found = self.team_of(name, team).await?;
        let role = self.reader().grant(record.id, Grantee::Team(found.id)).await?;
        role.ok_or_else(|| rejected(format!("Team does not have permission for repo: {team}")))
    }

    /// Gives a team a role in a repository.
    ///
    /// # Errors
    /// [`Rejected`](ErrorKind::Rejected) when there is no such team.
    pub async fn set_team_permission(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        team: &str,
        role: RepositoryRole,
    ) -> Result<Team, Error> {
        let (_, record) = self.repository_admin(caller, name).await?;
        let found = self
            .team_of(name, team)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::Rejected => rejected(format!("Team '{team}' is not a team of this organization")),
                _ => error,
            })?;
        let metadata = json!({ "team": team, "repo": name.rest(), "role": role.as_str() });
        let subject = Subject::Namespace(name.namespace());
        self.set_grant(caller, &record, Grantee::Team(found.id), role, metadata, &subject)
            .await?;
        Ok(found)
    }

    /// Takes a team's role in a repository away.
    ///
    /// # Errors
    /// [`Rejected`](ErrorKind::Rejected) when it has none.
    pub async fn delete_team_permission(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        team: &str,
    ) -> Result<(), Error> {
        let (_, record) = self.repository_admin(caller, name).await?;
        let found = self.team_of(name, team).await?;
        let metadata = json!({ "team": team, "repo": name.rest() });
        let subject = Subject::Namespace(name.namespace());
        let grantee = Grantee::Team(found.id);
        if self
            .remove_grant(caller, &record, grantee, metadata, &subject)
            .await?
        {
            Ok(())
        } else {
            Err(rejected(format!(
                "Team does not have permission for repo: {team}"
            )))
        }
    }

    /// Insists that the caller administers a repository.
    ///
    /// # Errors
    /// [`Forbidden`](ErrorKind::Forbidden) otherwise.
    pub async fn require_repository_admin(
        &self,
        caller: &Caller,
        name: &RepositoryName,
    ) -> Result<(), Error> {
        self.repository_admin(caller, name).await.map(drop)
    }

    async fn prototype_view(
        &self,
        organization: &Account,
        prototype: Prototype,
    ) -> Result<Option<PrototypeView>, Error> {
        let mut reader = self.reader();
        let activating = match prototype.activating {
            None => None,
            Some(id) => match reader.account(AccountKey::Id(id)).await? {
                Some(account) => {
                    let member = self.is_member(&account, organization).await?;
                    Some((account, member))
                }
                None => return Ok(None),
            },
        };
        let delegate = match prototype.delegate {
            Grantee::Account(id) => match reader.account(AccountKey::Id(id)).await? {
                Some(account) => {
                    let member = self.is_member(&account, organization).await?;
                    Delegate::Account(Box::new(account), member)
                }
                None => return Ok(None),
            },
            Grantee::Team(id) => match reader.team(TeamKey::Id(id)).await? {
                Some(team) => Delegate::Team(team),
                None => return Ok(None),
            },
        };
        Ok(Some(PrototypeView {
            prototype,
            activating,
            delegate,
        }))
    }

    /// The default permissions of an organization.
    ///
    /// # Errors
    /// [`Forbidden`](ErrorKind::Forbidden) unless the caller administers it.
    pub async fn prototypes(&self, caller: &Caller, organization: &str) -> Result<Vec<PrototypeView>, Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let mut views = Vec::new();
        for prototype in self.reader().prototypes(organization.id).await? {
            views.extend(self.prototype_view(&organization, prototype).await?);
        }
        Ok(views)
    }

    /// Creates a default permission.
    ///
    /// # Errors
    /// [`InvalidRequest`](ErrorKind::InvalidRequest) for somebody unknown, or a robot of another namespace.
    pub async fn create_prototype(
        &self,
        caller: &Caller,
        organization: &str,
        activating: Option<&str>,
        delegate: (&str, bool),
        role: RepositoryRole,
    ) -> Result<PrototypeView, Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let activating = match activating.filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => Some(
                self.delegate_account(&organization, name)
                    .await?
                    .ok_or_else(|| invalid("Unknown activating user"))?,
            ),
        };
        let (name, is_team) = delegate;
        let delegate = if is_team {
            let key = TeamKey::Name(organization.id, name);
            let team = self.reader().team(key).await?;
            Grantee::Team(team.ok_or_else(|| invalid("Unknown delegate team"))?.id)
        } else {
            let account = self.delegate_account(&organization, name).await?;
            Grantee::Account(account.ok_or_else(|| invalid("Unknown delegate user"))?.id)
        };
        let prototype = Prototype {
            id: 0,
            uuid: self.uuid(),
            organization: organization.id,
            activating: activating.as_ref().map(|account| account.id),
            delegate,
            role,
        };
        let view = self
            .prototype_view(&organization, prototype.clone())
            .await?
            .ok_or_else(not_found)?;
        let metadata = view.metadata(caller, None);
        let entry = self
            .entry(
                caller,
                LogKind::CreatePrototypePermission,
                Some(&organization.name),
                metadata,
            )
            .await?;
        change!(self, |unit| async {
            unit.insert_prototype(&prototype).await?;
            unit.log(&entry).await?;
            Ok(())
        })?;
        Ok(view)
    }

    /// A user, or a robot of the organization.
    async fn delegate_account(&self, organization: &Account, name: &str) -> Result<Option<Account>, Error> {
        let found = self.reader().account(AccountKey::Name(name)).await?;
        Ok(found.filter(|account| match account.kind {
            AccountKind::User => true,
            AccountKind::Robot => account.owner == Some(organization.id),
            AccountKind::Organization => false,
        }))
    }

    /// Changes a default permission's role.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn change_prototype(
        &self,
        caller: &Caller,
        organization: &str,
        uuid: &str,
        role: RepositoryRole,
    ) -> Result<PrototypeView, Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let found = self.reader().prototype(organization.id, uuid).await?;
        let mut prototype = found.ok_or_else(not_found)?;
        let before = std::mem::replace(&mut prototype.role, role);
        let view = self
            .prototype_view(&organization, prototype.clone())
            .await?
            .ok_or_else(not_found)?;
        let metadata = view.metadata(caller, Some(before));
        let entry = self
            .entry(
                caller,
                LogKind::ModifyPrototypePermission,
                Some(&organization.name),
                metadata,
            )
            .await?;
        change!(self, |unit| async {
            unit.save_prototype(&prototype).await?;
            unit.log(&entry).await?;
            Ok(())
        })?;
        Ok(view)
    }

    /// Removes a default permission.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn delete_prototype(
        &self,
        caller: &Caller,
        organization: &str,
        uuid: &str,
    ) -> Result<(), Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let found = self.reader().prototype(organization.id, uuid).await?;
        let prototype = found.ok_or_else(not_found)?;
        let view = self
            .prototype_view(&organization, prototype.clone())
            .await?
            .ok_or_else(not_found)?;
        let metadata = view.metadata(caller, None);
        let entry = self
            .entry(
                caller,
                LogKind::DeletePrototypePermission,
                Some(&organization.name),
                metadata,
            )
            .await?;
        change!(self, |unit| async {
            unit.lock_account(organization.id).await?;
            unit.prototype(organization.id, uuid)
                .await?
                .ok_or_else(not_found)?;
            unit.delete_prototype(prototype.id).await?;
            unit.log(&entry).await?;
            Ok(())
        })
    }

    /// Creates a repository in a namespace that the caller may create in; default permissions apply, and
    /// the creator administers it. `None` when there is one of that name already.
    ///
    /// # Errors
    /// [`Forbidden`](ErrorKind::Forbidden) unless the caller may create there.
    pub async fn create_repository(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        visibility: Visibility,
        description: Option<&str>,
    ) -> Result<Option<RepositoryRecord>, Error> {
        let actor = self.actor(caller).await?;
        let standing = self.standing(&actor, name.namespace(), None).await?;
        if !standing.may_create(actor.reach) {
            return Err(refuse(caller));
        }
        let namespace = self.namespace(name).await?;
        let entry = self
            .entry(
                caller,
                LogKind::CreateRepo,
                Some(name.namespace()),
                json!({ "repo": name.rest(), "namespace": name.namespace() }),
            )
            .await?;
        let now = self.now();
        change!(self, |unit| async {
            let created = unit.create_repository(name, visibility, description, now).await?;
            let Some(record) = created else {
                return Ok(None);
            };
            apply_prototypes(unit, &namespace, &actor.account, record.id).await?;
            let mut entry = entry.clone();
            entry.repository = Some(record.id);
            unit.log(&entry).await?;
            Ok(Some(record))
        })
    }
}

/// Gives a new repository's creator and those whom default permissions name their roles (data-model,
/// section 3).
async fn apply_prototypes(
    unit: &mut dyn AccountWrites,
    namespace: &Account,
    creator: &Account,
    repository: i64,
) -> Result<(), Error> {
    if namespace.is_organization() {
        let prototypes = unit.prototypes(namespace.id).await?;
        for (grantee, role) in effective(&prototypes, creator.id) {
            unit.set_grant(repository, grantee, role).await?;
        }
    }
    unit.set_grant(repository, Grantee::Account(creator.id), RepositoryRole::Admin)
        .await?;
    Ok(())
}

/// Which default permissions apply to what somebody creates: one that names the creator wins over one
/// that names nobody, and the creator needs none.
fn effective(prototypes: &[Prototype], creator: AccountId) -> HashMap<Grantee, RepositoryRole> {
    let mut roles = HashMap::new();
    for named in [false, true] {
        for prototype in prototypes {
            let applies = match prototype.activating {
                None => !named,
                Some(activating) => named && activating == creator,
            };
            if applies && prototype.delegate != Grantee::Account(creator) {
                roles.insert(prototype.delegate, prototype.role);
            }
        }
    }
    roles
}

impl PrototypeView {
    fn metadata(&self, caller: &Caller, original: Option<RepositoryRole>) -> Value {
        let (user, team) = match &self.delegate {
            Delegate::Account(account, _) => (Some(account.name.as_str()), None),
            Delegate::Team(team) => (None, Some(team.name.as_str())),
        };
        object(&[
            ("prototypeid", json!(self.prototype.uuid)),
            ("username", json!(caller.account())),
            (
                "activating_username",
                json!(self.activating.as_ref().map(|(account, _)| &account.name)),
            ),
            ("role", json!(self.prototype.role.as_str())),
            ("delegate_user", json!(user)),
            ("delegate_team", json!(team)),
            ("original_role", json!(original.map(RepositoryRole::as_str))),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prototype(activating: Option<AccountId>, delegate: Grantee, role: RepositoryRole) -> Prototype {
        Prototype {
            id: 0,
            uuid: String::new(),
            organization: 1,
            activating,
            delegate,
            role,
        }
    }

    #[test]
    fn who_a_new_repository_is_open_to() {
        use RepositoryRole::{Admin, Read, Write};
        let (team, other) = (Grantee::Team(7), Grantee::Account(9));
        let prototypes = [
            prototype(None, team, Read),
            prototype(Some(5), team, Write),
            prototype(Some(6), team, Admin),
            prototype(None, other, Read),
            prototype(None, Grantee::Account(5), Read),
        ];
        let roles = effective(&prototypes, 5);
        assert_eq!(
            roles.get(&team),
            Some(&Write),
            "the one that names the creator wins"
        );
        assert_eq!(roles.get(&other), Some(&Read));
        assert_eq!(roles.get(&Grantee::Account(5)), None, "the creator needs none");
        assert_eq!(effective(&prototypes, 9).get(&team), Some(&Read));
    }
}
