//! Repositories as people look at them: lists of a namespace, descriptions, stars.

use std::sync::Arc;

use async_trait::async_trait;
use quay_core::accounts::{AccountId, RepositoryDetails, RepositoryReader, RepositoryWriter, Sight};
use quay_core::metadata::{
    PageRequest, RepositoryId, RepositoryRecord, RepositoryState, RepositoryStore, Visibility,
};
use quay_core::runtime::Timestamp;
use quay_core::{RepositoryName, StoreError};

use super::super::db::{LIST, Value, filled, placeholders, values};
use super::super::read::{repository_columns, repository_of};
use super::super::rows::Rows as _;
use super::super::unit::Unit;
use super::grants::visible_part;
use super::{limit, reads};

reads!(RepositoryReader {
    async fn repositories_in(
        &mut self,
        namespace: &str,
        sight: Sight,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
        const ALL: &str = visible_part!("everything", "qr_repository r", "r.path < ?");
        const PUBLIC: &str = visible_part!(
            "open_to_all",
            "qr_repository r",
            "r.visibility = 'public' AND r.path < ?"
        );
        const DIRECT: &str = visible_part!(
            "direct",
            "qr_repository_permission p JOIN qr_repository r ON r.id = p.repository_id",
            "p.account_id = ? AND p.namespace_id = (SELECT id FROM qr_namespace WHERE name = ?)"
        );
        const BY_TEAM: &str = visible_part!(
            "SELECT DISTINCT",
            "by_team",
            "qr_team_member m JOIN qr_repository_permission p ON p.team_id = m.team_id JOIN qr_repository r ON r.id = p.repository_id",
            "m.account_id = ? AND p.namespace_id = (SELECT id FROM qr_namespace WHERE name = ?)"
        );
        // A slash comes right before a zero.
        let (start, end) = (format!("{namespace}/"), format!("{namespace}0"));
        let after = page.after.clone().unwrap_or_default().max(start);
        let mut parts = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        let mut part = |sql: &'static str, keys: Vec<Value>| {
            parts.push(sql);
            values.extend(keys);
            values.extend(values![after.as_str(), limit(page.limit)]);
        };
        match sight {
            Sight::Everything => part(ALL, values![end]),
            Sight::Granted { account, public } => {
                if let Some(account) = account {
                    part(DIRECT, values![account, namespace]);
                    part(BY_TEAM, values![account, namespace]);
                }
                if public {
                    part(PUBLIC, values![end]);
                }
            }
            _ => {}
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

    async fn starred_repositories(
        &mut self,
        account: AccountId,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            repository_columns!(),
            " FROM qr_star s JOIN qr_repository r ON r.id = s.repository_id WHERE s.account_id = ? ",
            "AND r.path > ? AND r.state <> 'marked_for_deletion' ORDER BY r.path LIMIT ?"
        );
        let after = page.after.as_deref().unwrap_or_default();
        let rows = self.rows(SQL, values![account, after, limit(page.limit)]).await?;
        rows.iter().map(|row| repository_of(row).map(Arc::new)).collect()
    }

    async fn repository_details(
        &mut self,
        repositories: &[RepositoryId],
        account: Option<AccountId>,
        now: Timestamp,
    ) -> Result<Vec<RepositoryDetails>, StoreError> {
        let mut found = Vec::with_capacity(repositories.len());
        for chunk in repositories.chunks(LIST) {
            let sql = format!(
                "SELECT r.id, r.description, (SELECT t.start_ms FROM qr_tag t WHERE t.repository_id = r.id \
                 AND t.live = 1 AND t.hidden = 0 AND (t.end_ms IS NULL OR t.end_ms > ?) \
                 ORDER BY t.start_ms DESC LIMIT 1), (SELECT COUNT(*) FROM qr_star s \
                 WHERE s.repository_id = r.id AND s.account_id = ?) FROM qr_repository r WHERE r.id IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![now.as_millis(), account.unwrap_or_default()];
            values.extend(filled(chunk.iter().copied().map(Value::from).collect()));
            for row in self.rows(sql, values).await? {
                found.push(RepositoryDetails {
                    repository: row.int(0)?,
                    description: row.opt_text(1)?,
                    last_modified: row.opt_int(2)?.map(Timestamp::from_millis),
                    is_starred: row.int(3)? > 0,
                });
            }
        }
        Ok(found)
    }
});

#[async_trait]
impl RepositoryWriter for Unit {
    async fn find_repository(
        &mut self,
        name: &RepositoryName,
    ) -> Result<Option<RepositoryRecord>, StoreError> {
        RepositoryStore::find(self, name).await
    }

    async fn describe_repository(
        &mut self,
        repository: &RepositoryRecord,
        description: Option<&str>,
    ) -> Result<(), StoreError> {
        self.defer(
            "UPDATE qr_repository SET description = ? WHERE id = ?",
            values![description, repository.id],
        )
        .await?;
        self.index_description(repository, description).await
    }

    async fn set_visibility(
        &mut self,
        repository: &RepositoryRecord,
        visibility: Visibility,
    ) -> Result<(), StoreError> {
        self.touch_record(&repository.name);
        self.defer(
            "UPDATE qr_repository SET visibility = ? WHERE id = ?",
            values![visibility.as_str(), repository.id],
        )
        .await?;
        self.show_in_searches(repository.id, visibility).await
    }

    async fn set_state(
        &mut self,
        repository: &RepositoryRecord,
        state: RepositoryState,
    ) -> Result<(), StoreError> {
        self.touch_record(&repository.name);
        self.defer(
            "UPDATE qr_repository SET state = ? WHERE id = ?",
            values![state.as_str(), repository.id],
        )
        .await
    }

    async fn delete_repository(&mut self, repository: &RepositoryRecord) -> Result<(), StoreError> {
        self.mark_for_deletion(repository).await?;
        for table in ["qr_star", "qr_repository_permission", "qr_access_token"] {
            let sql = format!("DELETE FROM {table} WHERE repository_id = ?");
            self.defer(sql, values![repository.id]).await?;
        }
        Ok(())
    }
}
