//! Roles in repositories, default permissions, and what somebody may see.

use std::sync::Arc;

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::accounts::{
    Account, AccountId, Grant, GrantReader, GrantWriter, Grantee, Prototype, RepositoryRole, Standing, Team,
    TeamRole,
};
use quay_core::metadata::{PageRequest, RepositoryId, RepositoryRecord, Visibility};

use super::super::db::{Row, Value, corrupt, values};
use super::super::read::{repository_columns, repository_of};
use super::super::rows::Rows as _;
use super::super::unit::Unit;
use super::identities::{ACCOUNT, account_columns, account_of};
use super::teams::{TEAM, team_columns, team_of};
use super::{limit, reads};

fn role_of(row: &Row, index: usize) -> Result<RepositoryRole, StoreError> {
    let role = row.text(index)?;
    RepositoryRole::from_name(&role).ok_or_else(|| corrupt(&role))
}

/// The column of a grantee's kind, and its id.
fn grantee(grantee: Grantee) -> (&'static str, i64) {
    match grantee {
        Grantee::Account(id) => ("account_id", id),
        Grantee::Team(id) => ("team_id", id),
    }
}

fn grantee_of(row: &Row, account: usize, team: usize) -> Result<Grantee, StoreError> {
    match (row.opt_int(account)?, row.opt_int(team)?) {
        (Some(id), None) => Ok(Grantee::Account(id)),
        (None, Some(id)) => Ok(Grantee::Team(id)),
        _ => Err(corrupt("a role that is given to nobody, or to two")),
    }
}

const PROTOTYPE: &str = "SELECT id, uuid, organization_id, activating_id, delegate_account_id, delegate_team_id, role FROM qr_prototype";

fn prototype_of(row: &Row) -> Result<Prototype, StoreError> {
    Ok(Prototype {
        id: row.int(0)?,
        uuid: row.text(1)?,
        organization: row.int(2)?,
        activating: row.opt_int(3)?,
        delegate: grantee_of(row, 4, 5)?,
        role: role_of(row, 6)?,
    })
}

/// One of the lists that what somebody may see is made of. Each is cut to a page by itself, and holds nothing
/// twice: what is there twice takes the place of others, which would be passed over.
macro_rules! visible_part {
    ($name:literal, $from:literal, $where:literal) => {
        visible_part!("SELECT", $name, $from, $where)
    };
    ($select:literal, $name:literal, $from:literal, $where:literal) => {
        concat!(
            "SELECT * FROM (",
            $select,
            " ",
            repository_columns!(),
            " FROM ",
            $from,
            " WHERE ",
            $where,
            " AND r.path > ? AND r.kind = 'image' AND r.state <> 'marked_for_deletion' ORDER BY r.path LIMIT ?) AS ",
            $name
        )
    };
}

pub(super) use visible_part;

reads!(GrantReader {
    async fn standing(
        &mut self,
        account: AccountId,
        namespace: &str,
        repository: Option<RepositoryId>,
    ) -> Result<Standing, StoreError> {
        const SQL: &str = "SELECT 'direct', p.role FROM qr_repository_permission p \
             WHERE p.account_id = ? AND p.repository_id = ? UNION ALL \
             SELECT 'by_team', p.role FROM qr_team_member m JOIN qr_repository_permission p ON p.team_id = m.team_id \
             WHERE m.account_id = ? AND p.repository_id = ? UNION ALL \
             SELECT 'team', t.role FROM qr_team_member m JOIN qr_team t ON t.id = m.team_id \
             WHERE m.account_id = ? AND m.organization_id = (SELECT id FROM qr_account WHERE name = ?)";
        let repository = repository.unwrap_or_default();
        let values = values![account, repository, account, repository, account, namespace];
        let mut standing = Standing::none();
        for row in self.rows(SQL, values).await? {
            match row.text(0)?.as_str() {
                "team" => {
                    let role = row.text(1)?;
                    standing.add_team(TeamRole::from_name(&role).ok_or_else(|| corrupt(&role))?);
                }
                kind => standing.add_grant(kind == "by_team", role_of(&row, 1)?),
            }
        }
        Ok(standing)
    }

    async fn grant(
        &mut self,
        repository: RepositoryId,
        to: Grantee,
    ) -> Result<Option<RepositoryRole>, StoreError> {
        let (column, id) = grantee(to);
        let sql = format!("SELECT role FROM qr_repository_permission WHERE {column} = ? AND repository_id = ?");
        let row = self.row(sql, values![id, repository]).await?;
        row.map(|row| role_of(&row, 0)).transpose()
    }

    async fn account_grants(
        &mut self,
        repository: RepositoryId,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(Account, RepositoryRole)>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            account_columns!(),
            ", p.role FROM qr_repository_permission p JOIN qr_account a ON a.id = p.account_id ",
            "WHERE p.repository_id = ? AND p.account_id > ? ORDER BY p.account_id LIMIT ?"
        );
        let values = values![repository, page.after.unwrap_or_default(), limit(page.limit)];
        let rows = self.rows(SQL, values).await?;
        rows.iter()
            .map(|row| Ok((account_of(row, 0)?, role_of(row, ACCOUNT)?)))
            .collect()
    }

    async fn team_grants(
        &mut self,
        repository: RepositoryId,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(Team, RepositoryRole)>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            team_columns!(),
            ", p.role FROM qr_repository_permission p JOIN qr_team t ON t.id = p.team_id ",
            "WHERE p.repository_id = ? AND p.team_id > ? ORDER BY p.team_id LIMIT ?"
        );
        let values = values![repository, page.after.unwrap_or_default(), limit(page.limit)];
        let rows = self.rows(SQL, values).await?;
        rows.iter()
            .map(|row| Ok((team_of(row)?, role_of(row, TEAM)?)))
            .collect()
    }

    async fn grants_of(
        &mut self,
        to: Grantee,
        namespace: &str,
        page: &PageRequest<RepositoryId>,
    ) -> Result<Vec<Grant>, StoreError> {
        let (column, id) = grantee(to);
        let sql = format!(
            "SELECT r.id, r.path, r.visibility, p.role FROM qr_repository_permission p \
             JOIN qr_repository r ON r.id = p.repository_id WHERE p.{column} = ? AND p.repository_id > ? \
             AND p.namespace_id = (SELECT id FROM qr_namespace WHERE name = ?) AND r.state <> 'marked_for_deletion' \
             ORDER BY p.repository_id LIMIT ?"
        );
        let values = values![id, page.after.unwrap_or_default(), namespace, limit(page.limit)];
        let rows = self.rows(sql, values).await?;
        rows.iter()
            .map(|row| {
                let visibility = row.text(2)?;
                Ok(Grant {
                    repository: row.int(0)?,
                    path: row.text(1)?,
                    visibility: Visibility::from_name(&visibility).ok_or_else(|| corrupt(&visibility))?,
                    grantee: to,
                    role: role_of(row, 3)?,
                })
            })
            .collect()
    }

    async fn visible(
        &mut self,
        account: Option<(AccountId, &str)>,
        public: bool,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
        const OWN: &str = visible_part!("own", "qr_repository r", "r.path >= ? AND r.path < ?");
        const DIRECT: &str = visible_part!(
            "direct",
            "qr_repository_permission p JOIN qr_repository r ON r.id = p.repository_id",
            "p.account_id = ?"
        );
        const BY_TEAM: &str = visible_part!(
            "SELECT DISTINCT",
            "by_team",
            "qr_team_member m JOIN qr_repository_permission p ON p.team_id = m.team_id JOIN qr_repository r ON r.id = p.repository_id",
            "m.account_id = ?"
        );
        const ADMINISTERED: &str = visible_part!(
            "SELECT DISTINCT",
            "administered",
            "qr_team_member m JOIN qr_team t ON t.id = m.team_id AND t.role = 'admin' JOIN qr_account o ON o.id = t.organization_id \
             JOIN qr_namespace n ON n.name = o.name JOIN qr_repository r ON r.namespace_id = n.id",
            "m.account_id = ?"
        );
        const PUBLIC: &str = visible_part!("open_to_all", "qr_repository r", "r.visibility = 'public'");
        let after = page.after.as_deref().unwrap_or_default();
        let mut parts = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        let mut part = |sql: &'static str, keys: Vec<Value>| {
            parts.push(sql);
            values.extend(keys);
            values.extend(values![after, limit(page.limit)]);
        };
        if let Some((id, name)) = account {
            part(OWN, values![format!("{name}/"), format!("{name}0")]);
            part(DIRECT, values![id]);
            part(BY_TEAM, values![id]);
            part(ADMINISTERED, values![id]);
        }
        if public {
            part(PUBLIC, Vec::new());
        }
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.rows(parts.join(" UNION "), values).await?;
        let mut found = rows
            .iter()
            .map(|row| repository_of(row).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        found.sort_by(|left, right| left.name.cmp(&right.name));
        found.truncate(page.limit);
        Ok(found)
    }

    async fn prototypes(&mut self, organization: AccountId) -> Result<Vec<Prototype>, StoreError> {
        let sql = format!("{PROTOTYPE} WHERE organization_id = ? ORDER BY id");
        let rows = self.rows(sql, values![organization]).await?;
        rows.iter().map(prototype_of).collect()
    }

    async fn prototype(
        &mut self,
        organization: AccountId,
        uuid: &str,
    ) -> Result<Option<Prototype>, StoreError> {
        let sql = format!("{PROTOTYPE} WHERE organization_id = ? AND uuid = ?");
        let row = self.row(sql, values![organization, uuid]).await?;
        row.map(|row| prototype_of(&row)).transpose()
    }
});

#[async_trait]
impl GrantWriter for Unit {
    async fn set_grant(
        &mut self,
        repository: RepositoryId,
        to: Grantee,
        role: RepositoryRole,
    ) -> Result<(), StoreError> {
        let (column, id) = grantee(to);
        self.upsert(
            "qr_repository_permission",
            &[
                "repository_id",
                "namespace_id = (SELECT namespace_id FROM qr_repository WHERE id = ?)",
                column,
                "role",
            ],
            values![repository, repository, id, role.as_str()],
            &[column, "repository_id"],
            &["role"],
        )
        .await
    }

    async fn remove_grant(&mut self, repository: RepositoryId, to: Grantee) -> Result<bool, StoreError> {
        let (column, id) = grantee(to);
        let sql = format!("DELETE FROM qr_repository_permission WHERE {column} = ? AND repository_id = ?");
        Ok(self.run(sql, values![id, repository]).await? > 0)
    }

    async fn remove_grants_in(&mut self, account: AccountId, namespace: &str) -> Result<(), StoreError> {
        self.defer(
            "DELETE FROM qr_repository_permission WHERE account_id = ? AND namespace_id = \
             (SELECT id FROM qr_namespace WHERE name = ?)",
            values![account, namespace],
        )
        .await
    }

    async fn insert_prototype(&mut self, prototype: &Prototype) -> Result<(), StoreError> {
        let (account, team) = match prototype.delegate {
            Grantee::Account(id) => (Some(id), None),
            Grantee::Team(id) => (None, Some(id)),
        };
        self.defer(
            "INSERT INTO qr_prototype (uuid, organization_id, activating_id, delegate_account_id, delegate_team_id, role) \
             VALUES (?, ?, ?, ?, ?, ?)",
            values![
                prototype.uuid.as_str(),
                prototype.organization,
                prototype.activating,
                account,
                team,
                prototype.role.as_str()
            ],
        )
        .await
    }

    async fn save_prototype(&mut self, prototype: &Prototype) -> Result<(), StoreError> {
        self.defer(
            "UPDATE qr_prototype SET role = ? WHERE id = ?",
            values![prototype.role.as_str(), prototype.id],
        )
        .await
    }

    async fn delete_prototype(&mut self, id: i64) -> Result<(), StoreError> {
        self.defer("DELETE FROM qr_prototype WHERE id = ?", values![id])
            .await
    }
}
