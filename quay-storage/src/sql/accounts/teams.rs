//! Teams, their members, and who is asked to join them.

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::accounts::{
    AccountId, Team, TeamInvite, TeamKey, TeamReader, TeamRole, TeamSummary, TeamWriter,
};
use quay_core::metadata::PageRequest;

use super::super::db::{Row, corrupt, values};
use super::super::rows::Rows as _;
use super::super::unit::Unit;
use super::{limit, reads};

/// The columns that [`team_of`] reads, of a table named `t`.
macro_rules! team_columns {
    () => {
        "t.id, t.organization_id, t.name, t.role, t.description"
    };
}
pub(super) use team_columns;

/// How many columns those are.
pub(super) const TEAM: usize = 5;

pub(super) fn team_of(row: &Row) -> Result<Team, StoreError> {
    let role = row.text(3)?;
    Ok(Team {
        id: row.int(0)?,
        organization: row.int(1)?,
        name: row.text(2)?,
        role: TeamRole::from_name(&role).ok_or_else(|| corrupt(&role))?,
        description: row.text(4)?,
    })
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", team_columns!(), " FROM qr_team t ", $rest)
    };
}

const INVITE: &str = "SELECT id, team_id, account_id, email, inviter_id, code FROM qr_team_invite";

fn invite_of(row: &Row) -> Result<TeamInvite, StoreError> {
    Ok(TeamInvite {
        id: row.int(0)?,
        team: row.int(1)?,
        account: row.opt_int(2)?,
        email: row.opt_text(3)?,
        inviter: row.int(4)?,
        code: row.text(5)?,
    })
}

reads!(TeamReader {
    async fn team(&mut self, key: TeamKey<'_>) -> Result<Option<Team>, StoreError> {
        let (sql, values) = match key {
            TeamKey::Id(id) => (select!("WHERE t.id = ?"), values![id]),
            TeamKey::Name(organization, name) => (
                select!("WHERE t.organization_id = ? AND t.name = ?"),
                values![organization, name],
            ),
        };
        let row = self.row(sql, values).await?;
        let found = row.map(|row| team_of(&row)).transpose()?;
        // MySQL takes texts that differ in spaces at the end for equal.
        Ok(found.filter(|team| match key {
            TeamKey::Id(_) => true,
            TeamKey::Name(_, name) => team.name == name,
        }))
    }

    async fn teams(
        &mut self,
        organization: AccountId,
        page: &PageRequest<String>,
    ) -> Result<Vec<TeamSummary>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            team_columns!(),
            ", (SELECT COUNT(*) FROM qr_team_member m WHERE m.team_id = t.id), ",
            "(SELECT COUNT(*) FROM qr_repository_permission p WHERE p.team_id = t.id) ",
            "FROM qr_team t WHERE t.organization_id = ? AND t.name > ? ORDER BY t.name LIMIT ?"
        );
        let after = page.after.as_deref().unwrap_or_default();
        let rows = self.rows(SQL, values![organization, after, limit(page.limit)]).await?;
        rows.iter()
            .map(|row| {
                Ok(TeamSummary {
                    team: team_of(row)?,
                    members: row.int(TEAM)?,
                    repositories: row.int(TEAM + 1)?,
                })
            })
            .collect()
    }

    async fn teams_of(
        &mut self,
        account: AccountId,
        organization: Option<AccountId>,
    ) -> Result<Vec<Team>, StoreError> {
        let (sql, values) = match organization {
            Some(organization) => (
                select!(
                    "JOIN qr_team_member m ON m.team_id = t.id WHERE m.account_id = ? AND m.organization_id = ? \
                     ORDER BY t.name"
                ),
                values![account, organization],
            ),
            None => (
                select!("JOIN qr_team_member m ON m.team_id = t.id WHERE m.account_id = ? ORDER BY t.id"),
                values![account],
            ),
        };
        let rows = self.rows(sql, values).await?;
        rows.iter().map(team_of).collect()
    }

    async fn has_admin(
        &mut self,
        organization: AccountId,
        but: Option<AccountId>,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT m.account_id FROM qr_team t JOIN qr_team_member m ON m.team_id = t.id \
                   JOIN qr_account a ON a.id = m.account_id WHERE t.organization_id = ? AND t.role = 'admin' \
                   AND a.kind = 'user' AND a.enabled = 1 AND a.id <> ? LIMIT 1";
        Ok(self.row(sql, values![organization, but.unwrap_or_default()]).await?.is_some())
    }

    async fn invites(&mut self, team: i64) -> Result<Vec<TeamInvite>, StoreError> {
        let sql = format!("{INVITE} WHERE team_id = ? ORDER BY id");
        let rows = self.rows(sql, values![team]).await?;
        rows.iter().map(invite_of).collect()
    }

    async fn invites_paged(
        &mut self,
        team: i64,
        page: &PageRequest<i64>,
    ) -> Result<Vec<TeamInvite>, StoreError> {
        let sql = format!("{INVITE} WHERE team_id = ? AND id > ? ORDER BY id LIMIT ?");
        let values = values![team, page.after.unwrap_or_default(), limit(page.limit)];
        let rows = self.rows(sql, values).await?;
        rows.iter().map(invite_of).collect()
    }

    async fn invite(&mut self, code: &str) -> Result<Option<TeamInvite>, StoreError> {
        let sql = format!("{INVITE} WHERE code = ?");
        let row = self.row(sql, values![code]).await?;
        row.map(|row| invite_of(&row)).transpose()
    }
});

#[async_trait]
impl TeamWriter for Unit {
    async fn insert_team(&mut self, team: &Team) -> Result<Option<i64>, StoreError> {
        self.insert_new_id(
            "qr_team",
            &["organization_id", "name", "role", "description"],
            values![
                team.organization,
                team.name.as_str(),
                team.role.as_str(),
                team.description.as_str()
            ],
            &["organization_id", "name"],
        )
        .await
    }

    async fn save_team(&mut self, team: &Team) -> Result<(), StoreError> {
        self.defer(
            "UPDATE qr_team SET role = ?, description = ? WHERE id = ?",
            values![team.role.as_str(), team.description.as_str(), team.id],
        )
        .await
    }

    async fn delete_team(&mut self, team: i64) -> Result<(), StoreError> {
        self.defer("DELETE FROM qr_team WHERE id = ?", values![team])
            .await
    }

    async fn add_member(&mut self, team: i64, account: AccountId) -> Result<bool, StoreError> {
        self.insert_new(
            "qr_team_member",
            &[
                "team_id",
                "account_id",
                "organization_id = (SELECT organization_id FROM qr_team WHERE id = ?)",
            ],
            values![team, account, team],
            &["team_id", "account_id"],
        )
        .await
    }

    async fn remove_member(&mut self, team: i64, account: AccountId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM qr_team_member WHERE team_id = ? AND account_id = ?";
        Ok(self.run(sql, values![team, account]).await? > 0)
    }

    async fn insert_invite(&mut self, invite: &TeamInvite) -> Result<(), StoreError> {
        self.defer(
            "INSERT INTO qr_team_invite (team_id, account_id, email, inviter_id, code) VALUES (?, ?, ?, ?, ?)",
            values![
                invite.team,
                invite.account,
                invite.email.clone(),
                invite.inviter,
                invite.code.as_str()
            ],
        )
        .await
    }

    async fn delete_invite(&mut self, id: i64) -> Result<bool, StoreError> {
        let sql = "DELETE FROM qr_team_invite WHERE id = ?";
        Ok(self.run(sql, values![id]).await? > 0)
    }
}
