//! Repositories in a unit of work.

use async_trait::async_trait;
use quay_core::metadata::{
    RepositoryId, RepositoryKind, RepositoryRecord, RepositoryState, RepositoryStore, Visibility,
};
use quay_core::runtime::Timestamp;
use quay_core::{RepositoryName, StoreError};

use super::db::{corrupt, values};
use super::read::{repository_columns, repository_of};
use super::rows::Rows as _;
use super::unit::Unit;

impl Unit {
    /// Marks a repository for deletion, and frees its name.
    pub(super) async fn mark_for_deletion(
        &mut self,
        repository: &RepositoryRecord,
    ) -> Result<(), StoreError> {
        self.touch_record(&repository.name);
        self.touch(repository.id);
        self.forget_in_searches(repository.id).await?;
        // No namespace can have such a name, so the path is out of everybody's way.
        let gone = format!("d__r/{}", repository.id);
        self.run(
            "UPDATE qr_repository SET state = 'marked_for_deletion', path = ? WHERE id = ?",
            values![gone, repository.id],
        )
        .await
        .map(drop)
    }
}

#[async_trait]
impl RepositoryStore for Unit {
    async fn lock(&mut self, repository: RepositoryId) -> Result<Option<RepositoryRecord>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            repository_columns!(),
            " FROM qr_repository r WHERE r.id = ?"
        );
        let sql = format!("{SQL}{}", self.dialect().for_update());
        let row = self.row(sql, values![repository]).await?;
        row.map(|row| repository_of(&row)).transpose()
    }

    async fn find(&mut self, name: &RepositoryName) -> Result<Option<RepositoryRecord>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            repository_columns!(),
            " FROM qr_repository r WHERE r.path = ?"
        );
        let sql = format!("{SQL}{}", self.dialect().for_update());
        let rows = self.rows(sql, values![name.path()]).await?;
        rows.first().map(repository_of).transpose()
    }

    async fn create(
        &mut self,
        name: &RepositoryName,
        visibility: Visibility,
        now: Timestamp,
    ) -> Result<Option<RepositoryRecord>, StoreError> {
        self.ensure("qr_namespace", &["name"], values![name.namespace()], &["name"])
            .await?;
        self.touch_record(name);
        let (kind, state) = (RepositoryKind::Image, RepositoryState::Normal);
        let columns = [
            "namespace_id = (SELECT id FROM qr_namespace WHERE name = ?)",
            "path",
            "kind",
            "state",
            "visibility",
            "created_ms",
        ];
        let values = values![
            name.namespace(),
            name.path(),
            kind.as_str(),
            state.as_str(),
            visibility.as_str(),
            now.as_millis()
        ];
        let id = self
            .insert_new_id("qr_repository", &columns, values, &["path"])
            .await?;
        let Some(id) = id else { return Ok(None) };
        let name = RepositoryName::from_path(name.path()).map_err(|_| corrupt(name.path()))?;
        let record = RepositoryRecord::new(id, name, kind, state, visibility);
        self.index_repository(&record, now).await?;
        Ok(Some(record))
    }
}
