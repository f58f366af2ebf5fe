//! The unit of work over SQL.

use std::borrow::Cow;

use async_trait::async_trait;
use quay_core::accounts::ActionLog;
use quay_core::metadata::{
    BlobIndex, GarbageStore, LabelStore, LifecycleStore, ManifestStore, Outbox, PastStore, QuotaStore,
    RepositoryId, RepositoryStore, ScanStore, TagStore, UnitOfWork, UploadStore,
};
use quay_core::{RepositoryName, StoreError};

use super::db::Value;
use super::dialect::Dialect;
use super::quota::Counting;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use super::server;
#[cfg(feature = "sqlite")]
use super::sqlite;

#[derive(Debug)]
pub(super) enum Unit {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Unit),
    #[cfg(feature = "postgres")]
    Postgres(server::Unit<sqlx::Postgres>),
    #[cfg(feature = "mysql")]
    MySql(server::Unit<sqlx::MySql>),
}

impl Unit {
    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Dialect::Sqlite,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Dialect::Postgres,
            #[cfg(feature = "mysql")]
            Self::MySql(_) => Dialect::MySql,
        }
    }

    /// The unit of work as MySQL's, if it is.
    #[cfg(feature = "mysql")]
    pub(super) const fn mysql(&mut self) -> Option<&mut server::Unit<sqlx::MySql>> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => None,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => None,
            Self::MySql(unit) => Some(unit),
        }
    }

    /// What has been changed that is counted.
    pub(super) const fn counting(&mut self) -> &mut Counting {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => &mut unit.counting,
            #[cfg(feature = "postgres")]
            Self::Postgres(unit) => &mut unit.counting,
            #[cfg(feature = "mysql")]
            Self::MySql(unit) => &mut unit.counting,
        }
    }

    /// Runs a statement; says how many rows it found to change.
    pub(super) async fn run(
        &mut self,
        sql: impl Into<Cow<'static, str>> + Send,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        let sql = sql.into();
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => unit.run(sql, values).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(unit) => Ok(unit.run(sql, values).await?.changed),
            #[cfg(feature = "mysql")]
            Self::MySql(unit) => Ok(unit.run(sql, values).await?.changed),
        }
    }

    /// Runs a statement whose outcome is not asked for, now or with the next one. It must yield no rows.
    #[cfg_attr(
        not(any(feature = "mysql", feature = "postgres")),
        expect(clippy::unused_async, reason = "SQLite alone waits for nothing here")
    )]
    pub(super) async fn defer(
        &mut self,
        sql: impl Into<Cow<'static, str>> + Send,
        values: Vec<Value>,
    ) -> Result<(), StoreError> {
        let sql = sql.into();
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => {
                unit.defer(&sql, values);
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(unit) => unit.run(sql, values).await.map(drop),
            #[cfg(feature = "mysql")]
            Self::MySql(unit) => unit.run(sql, values).await.map(drop),
        }
    }

    /// Notes that what a repository holds changes.
    #[cfg_attr(
        not(feature = "sqlite"),
        expect(unused_variables, reason = "nothing is cached")
    )]
    pub(super) fn touch(&mut self, repository: RepositoryId) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => {
                unit.touched.contents.insert(repository);
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {}
            #[cfg(feature = "mysql")]
            Self::MySql(_) => {}
        }
    }

    /// Notes that many repositories change at once.
    pub(super) fn touch_everything(&mut self) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => unit.touched.everything = true,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {}
            #[cfg(feature = "mysql")]
            Self::MySql(_) => {}
        }
    }

    /// Notes that a repository itself changes, or comes into being.
    #[cfg_attr(
        not(feature = "sqlite"),
        expect(unused_variables, reason = "nothing is cached")
    )]
    pub(super) fn touch_record(&mut self, name: &RepositoryName) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => unit.touched.records.push(name.clone()),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {}
            #[cfg(feature = "mysql")]
            Self::MySql(_) => {}
        }
    }
}

#[async_trait]
impl UnitOfWork for Unit {
    fn repositories(&mut self) -> &mut dyn RepositoryStore {
        self
    }

    fn manifests(&mut self) -> &mut dyn ManifestStore {
        self
    }

    fn tags(&mut self) -> &mut dyn TagStore {
        self
    }

    fn blobs(&mut self) -> &mut dyn BlobIndex {
        self
    }

    fn uploads(&mut self) -> &mut dyn UploadStore {
        self
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self
    }

    fn garbage(&mut self) -> Option<&mut dyn GarbageStore> {
        Some(self)
    }

    fn quotas(&mut self) -> Option<&mut dyn QuotaStore> {
        self.counting().is_on().then_some(self as &mut dyn QuotaStore)
    }

    fn labels(&mut self) -> Option<&mut dyn LabelStore> {
        Some(self)
    }

    fn lifecycle(&mut self) -> Option<&mut dyn LifecycleStore> {
        Some(self)
    }

    fn past(&mut self) -> Option<&mut dyn PastStore> {
        Some(self)
    }

    fn scans(&mut self) -> Option<&mut dyn ScanStore> {
        Some(self)
    }

    fn action_log(&mut self) -> Option<&mut dyn ActionLog> {
        Some(self)
    }

    async fn abandon(self: Box<Self>) -> Result<(), StoreError> {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => unit.abandon().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
            #[cfg(feature = "mysql")]
            Self::MySql(_) => Ok(()),
        }
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.counting().is_pending() {
            self.count_all().await?;
        }
        let told = self.counting().take_told();
        let committed = match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => unit.commit().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(unit) => unit.commit().await,
            #[cfg(feature = "mysql")]
            Self::MySql(unit) => unit.commit().await,
        };
        if let (Ok(()), Some(told)) = (&committed, told) {
            told.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        committed
    }
}
