//! Metadata in a SQL database: one set of queries, printed the same for every dialect.

#[cfg_attr(
    not(feature = "sqlite"),
    expect(dead_code, reason = "a sole writer alone remembers anything")
)]
mod cache;
mod db;
mod migrate;
mod read;
#[cfg(feature = "sqlite")]
mod sqlite;
mod unit;

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::metadata::{
    BlobRecord, LinkedBlob, Lookup, ManifestRecord, MetadataStore, PageRequest, Referrer, RepositoryId,
    RepositoryRecord, UnitOfWork, UploadRecord,
};
#[cfg(feature = "sqlite")]
use quay_core::runtime::Spawner;
use quay_core::runtime::Timestamp;
use quay_core::{Digest, MediaType, Reference, RepositoryName, Tag};

use cache::{Cache, Known, What};
use db::{Row, Value};

/// Metadata in SQLite or PostgreSQL.
#[derive(Debug, Clone)]
pub struct SqlMetadata(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    /// Only where this process is the sole writer.
    cache: Option<Arc<Cache>>,
}

#[derive(Debug)]
enum Database {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
}

impl SqlMetadata {
    /// Opens a SQLite database, making the file if there is none, and brings it to the newest schema.
    /// Its committer runs on `spawner`, which must be tokio's.
    ///
    /// # Errors
    /// When another process has it open, the file cannot be written, or holds something else.
    #[cfg(feature = "sqlite")]
    pub async fn open_sqlite(path: &std::path::Path, spawner: &dyn Spawner) -> Result<Self, StoreError> {
        let cache = Arc::new(Cache::new());
        let database = sqlite::Sqlite::open(path, Arc::clone(&cache), spawner).await?;
        Ok(Self(Arc::new(Inner {
            database: Database::Sqlite(database),
            cache: Some(cache),
        })))
    }

    /// Connects to PostgreSQL by its URI and brings the database to the newest schema.
    ///
    /// # Errors
    /// When it cannot be reached, or holds a newer schema.
    #[cfg(feature = "postgres")]
    pub async fn connect_postgres(uri: &str, connections: u32) -> Result<Self, StoreError> {
        use std::str::FromStr as _;

        use sqlx::ConnectOptions as _;

        let options = sqlx::postgres::PgConnectOptions::from_str(uri)
            .map_err(|error| db::failed("read the address", error))?
            .disable_statement_logging()
            // Every statement looks rows up by key: planning it again for each value only costs time.
            .options([("plan_cache_mode", "force_generic_plan")]);
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(connections)
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(|error| db::failed("connect", error))?;
        migrate::postgres(&pool).await?;
        Ok(Self(Arc::new(Inner {
            database: Database::Postgres(pool),
            cache: None,
        })))
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
            Database::Postgres(pool) => {
                let mut connection = pool
                    .acquire()
                    .await
                    .map_err(|error| db::failed("connect", error))?;
                db::postgres_rows(&mut connection, &sql, values)
                    .await
                    .map_err(|error| db::failed("read", error))
            }
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

    async fn upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError> {
        self.read_upload(id).await
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        let unit = match &self.0.database {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(sqlite) => unit::Unit::Sqlite(sqlite.begin().await?),
            #[cfg(feature = "postgres")]
            Database::Postgres(pool) => {
                let transaction = pool.begin().await.map_err(|error| db::failed("begin", error))?;
                unit::Unit::Postgres(transaction)
            }
        };
        Ok(Box::new(unit))
    }
}
