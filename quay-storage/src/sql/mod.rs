//! Metadata in a SQL database: one set of queries, printed the same for every dialect.

mod accounts;
mod blobs;
#[cfg_attr(
    not(feature = "sqlite"),
    expect(dead_code, reason = "a sole writer alone remembers anything")
)]
mod cache;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod connect;
mod db;
mod dialect;
mod foreign;
mod garbage;
mod history;
mod insert;
mod labels;
mod lifecycle;
mod manifests;
mod migrate;
mod outbox;
mod past;
mod quota;
mod read;
mod repositories;
mod rows;
mod scan;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod server;
#[cfg(feature = "sqlite")]
mod sqlite;
mod tags;
mod unit;
mod uploads;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::metadata::{
    BlobRecord, LabelRecord, LinkedBlob, Lookup, ManifestRecord, ManifestScan, MetadataStore, PageRequest,
    PolicyKind, PolicyOwner, PolicyRecord, PullTotal, PulledAs, QuotaUse, Referrer, RepositoryId,
    RepositoryRecord, TagEntry, TagFilter, TagPosition, UnitOfWork, UploadRecord, Usage,
};
#[cfg(feature = "sqlite")]
use quay_core::runtime::Spawner;
use quay_core::runtime::Timestamp;
use quay_core::{Digest, MediaType, Reference, RepositoryName, Tag};

use cache::{Cache, Known, What};
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use connect::{ClientCertificate, ConnectOptions, Reuse, Tls, TlsMode};
use db::{Row, Value};
use quota::Counting;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use server::Server;
use unit::Unit;

/// Metadata in SQLite, PostgreSQL, MySQL or MariaDB.
#[derive(Debug, Clone)]
pub struct SqlMetadata(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    /// Only where this process is the sole writer.
    cache: Option<Arc<Cache>>,
    /// Whether this process counts what is used.
    counts: AtomicBool,
    /// Whether those that count have been told that this process does not.
    told: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Database {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(Server<sqlx::Postgres>),
    #[cfg(feature = "mysql")]
    MySql(Server<sqlx::MySql>),
}

impl SqlMetadata {
    /// Opens a SQLite database, making the file if there is none, and brings it to the newest schema.
    /// Its committer runs on `spawner`, which must be tokio's.
    ///
    /// # Errors
    /// When another process has it open, the file cannot be written, or holds something else;
    /// `Unsupported` when it is Quay's own, which is left as it is.
    #[cfg(feature = "sqlite")]
    pub async fn open_sqlite(path: &std::path::Path, spawner: &dyn Spawner) -> Result<Self, StoreError> {
        let cache = Arc::new(Cache::new());
        let database = sqlite::Sqlite::open(path, Arc::clone(&cache), spawner).await?;
        Ok(Self::over(Database::Sqlite(database), Some(cache)))
    }

    /// Connects to PostgreSQL by its URI and brings the database to the newest schema.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be reached in time; `Unsupported` when the database is Quay's own,
    /// which is left as it is; others when it holds a newer schema or refuses the host.
    #[cfg(feature = "postgres")]
    pub async fn connect_postgres(uri: &str, options: &ConnectOptions) -> Result<Self, StoreError> {
        let driver = connect::postgres(uri, options)?;
        let (server, mut connection) = Server::<sqlx::Postgres>::connect(driver, options, "").await?;
        foreign::refuse_postgres(&mut connection).await?;
        migrate::postgres(&mut connection).await?;
        Ok(Self::over(Database::Postgres(server), None))
    }

    /// Connects to MySQL or MariaDB by its URI and brings the database to the newest schema.
    ///
    /// # Errors
    /// As [`connect_postgres`](Self::connect_postgres).
    #[cfg(feature = "mysql")]
    pub async fn connect_mysql(uri: &str, options: &ConnectOptions) -> Result<Self, StoreError> {
        let driver = connect::mysql(uri, options)?;
        let (server, mut connection) =
            Server::<sqlx::MySql>::connect(driver, options, connect::MYSQL_SESSION).await?;
        foreign::refuse_mysql(&mut connection).await?;
        migrate::mysql(&mut connection).await?;
        Ok(Self::over(Database::MySql(server), None))
    }

    fn over(database: Database, cache: Option<Arc<Cache>>) -> Self {
        Self(Arc::new(Inner {
            database,
            cache,
            counts: AtomicBool::new(false),
            told: Arc::default(),
        }))
    }

    /// Counts from now on what namespaces and repositories use, so that quotas hold. All processes that share a
    /// database count, or none does: those that do not are ended before others begin to count. What was changed
    /// until then without counting is counted anew.
    pub fn count_usage(&self) {
        self.0.counts.store(true, Ordering::Relaxed);
    }

    fn counts(&self) -> bool {
        self.0.counts.load(Ordering::Relaxed)
    }

    /// Begins a unit of work.
    async fn unit(&self) -> Result<Unit, StoreError> {
        let mut unit = match &self.0.database {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(sqlite) => Unit::Sqlite(sqlite.begin().await?),
            #[cfg(feature = "postgres")]
            Database::Postgres(server) => Unit::Postgres(server.begin().await?),
            #[cfg(feature = "mysql")]
            Database::MySql(server) => Unit::MySql(server.begin().await?),
        };
        *unit.counting() = Counting::new(self.counts(), Arc::clone(&self.0.told));
        Ok(unit)
    }

    async fn rows(
        &self,
        sql: impl Into<Cow<'static, str>> + Send,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let sql = sql.into();
        match &self.0.database {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(sqlite) => sqlite.rows(sql, values).await,
            #[cfg(feature = "postgres")]
            Database::Postgres(server) => server.rows(sql, values).await,
            #[cfg(feature = "mysql")]
            Database::MySql(server) => server.rows(sql, values).await,
        }
    }
}

#[async_trait]
impl MetadataStore for SqlMetadata {
    fn is_sole_writer(&self) -> bool {
        self.0.cache.is_some()
    }

    async fn repository(&self, name: &RepositoryName) -> Result<Option<Arc<RepositoryRecord>>, StoreError> {
        let Some(cache) = &self.0.cache else {
            return self.read_repository(name).await;
        };
        let place = match cache.repository(name) {
            Known::Answer(lookup) => return Ok(lookup.repository),
            Known::Nothing(place) => place,
        };
        let record = self.read_repository(name).await?;
        cache.keep_repository(place, record.as_ref());
        Ok(record)
    }

    async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<Lookup<ManifestRecord>, StoreError> {
        let Some(cache) = &self.0.cache else {
            return Ok(self.read_manifest(name, reference, now).await?.lookup);
        };
        let place = match cache.content(name, What::Manifest(reference.clone())) {
            Known::Answer(lookup) => return Ok(lookup),
            Known::Nothing(place) => place,
        };
        let read = self.read_manifest(name, reference, now).await?;
        // A tag that runs out changes without a commit.
        if !read.runs_out {
            cache.keep(place, &read.lookup);
        }
        Ok(read.lookup)
    }

    async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Lookup<BlobRecord>, StoreError> {
        let Some(cache) = &self.0.cache else {
            return self.read_blob(name, digest).await;
        };
        let place = match cache.content(name, What::Blob(*digest)) {
            Known::Answer(lookup) => return Ok(lookup),
            Known::Nothing(place) => place,
        };
        let lookup = self.read_blob(name, digest).await?;
        cache.keep(place, &lookup);
        Ok(lookup)
    }

    async fn tags(
        &self,
        name: &RepositoryName,
        page: &PageRequest<Tag>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<Tag>>, StoreError> {
        self.read_tags(name, page, now).await
    }

    async fn repositories(
        &self,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
        self.read_repositories(page).await
    }

    async fn holders(
        &self,
        digest: &Digest,
        page: &PageRequest<RepositoryId>,
    ) -> Result<Vec<LinkedBlob>, StoreError> {
        self.read_holders(digest, page).await
    }

    async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        page: &PageRequest<Digest>,
    ) -> Result<Lookup<Vec<Referrer>>, StoreError> {
        self.read_referrers(name, subject, artifact_type, page).await
    }

    async fn tag_history(
        &self,
        name: &RepositoryName,
        filter: &TagFilter,
        skip: usize,
        page: &PageRequest<TagPosition>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<TagEntry>>, StoreError> {
        self.read_history(name, filter, skip, page, now).await
    }

    async fn labels(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        prefix: &str,
    ) -> Result<Lookup<Vec<LabelRecord>>, StoreError> {
        self.read_labels(name, digest, prefix).await
    }

    async fn scan(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<Option<ManifestScan>, StoreError> {
        self.read_scan(repository, digest).await
    }

    async fn time_machine(&self, namespace: &str) -> Result<Option<Duration>, StoreError> {
        self.read_time_machine(namespace).await
    }

    async fn usage(&self, name: &RepositoryName) -> Result<Option<Usage>, StoreError> {
        self.read_usage(name).await
    }

    async fn namespace_usage(&self, namespace: &str) -> Result<Option<QuotaUse>, StoreError> {
        self.read_namespace_usage(namespace).await
    }

    async fn repository_sizes(
        &self,
        repositories: &[RepositoryId],
    ) -> Result<HashMap<RepositoryId, u64>, StoreError> {
        self.read_sizes(repositories).await
    }

    async fn policies(
        &self,
        kind: PolicyKind,
        owners: &[PolicyOwner],
    ) -> Result<Vec<PolicyRecord>, StoreError> {
        self.read_policies(kind, owners).await
    }

    async fn pulls(&self, repository: RepositoryId, of: PulledAs<'_>) -> Result<PullTotal, StoreError> {
        self.read_pulls(repository, of).await
    }

    async fn upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError> {
        self.read_upload(id).await
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        Ok(Box::new(self.unit().await?))
    }
}

#[cfg(test)]
mod tests;
