//! Builds the registry that a configuration asks for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quay_auth::ManifestKey;
use quay_core::Registry;
use quay_core::auth::Authorizer;
use quay_core::config::{Config, Database, DatabaseConnection, DatabaseTls, DatabaseTlsMode, StorageEngine};
use quay_core::registry::{ActionLogging, Location};
use quay_http::{TokioSpawner, tokio_runtime};
use quay_storage::{ConnectOptions, LocalBlobs, Reuse, SqlMetadata, Tls, TlsMode};

use crate::{Failure, Place};

/// Connections to a database server. Two cores keep fewer busy.
const CONNECTIONS: u32 = 16;

/// Where everything is kept.
#[derive(Debug)]
pub(crate) struct Stores {
    pub(crate) metadata: Arc<SqlMetadata>,
    pub(crate) locations: Vec<Location>,
}

/// Opens the stores that a configuration names, or those in the data directory.
pub(crate) async fn stores(
    config: &Config,
    place: &Place,
    spawner: &TokioSpawner,
) -> Result<Stores, Failure> {
    Ok(Stores {
        metadata: metadata(config, place, spawner).await?,
        locations: locations(config, &place.data, spawner).await?,
    })
}

/// The registry over its stores.
pub(crate) fn registry(
    config: &Config,
    stores: Stores,
    authorizer: Arc<dyn Authorizer>,
    action_log: ActionLogging,
    spawner: &TokioSpawner,
) -> Registry {
    let mut options = config.registry.clone();
    options.action_log = action_log;
    // Nothing rests on this key, so each process makes its own.
    match ManifestKey::generate() {
        Ok(key) => options.manifest_signer = Some(Arc::new(key)),
        Err(error) => tracing::warn!(%error, "manifests of schema 1 are served without a signature"),
    }
    Registry::with_options(
        stores.metadata,
        stores.locations,
        authorizer,
        tokio_runtime(spawner.clone()),
        options,
    )
}

/// Opens the database that a configuration names, or the one in the data directory, which is made.
pub(crate) async fn metadata(
    config: &Config,
    place: &Place,
    spawner: &TokioSpawner,
) -> Result<Arc<SqlMetadata>, Failure> {
    make_directory(&place.data)?;
    let options = connect_options(&config.database_connection, place.config.as_deref())?;
    let store = match &config.database {
        Some(Database::Postgres { uri }) => SqlMetadata::connect_postgres(uri.reveal(), &options).await?,
        Some(Database::MySql { uri }) => SqlMetadata::connect_mysql(uri.reveal(), &options).await?,
        Some(Database::Sqlite { path }) => open_sqlite(place.data.join(path), spawner).await?,
        None => open_sqlite(place.data.join("quay.db"), spawner).await?,
        Some(other) => return Err(format!("DB_URI: {other:?} is not supported").into()),
    };
    if config.registry.quotas.is_some() {
        store.count_usage();
    }
    Ok(Arc::new(store))
}

fn connect_options(
    connection: &DatabaseConnection,
    directory: Option<&Path>,
) -> Result<ConnectOptions, Failure> {
    let mut options = ConnectOptions::default()
        .with_connections(connection.max_connections.unwrap_or(CONNECTIONS))
        .with_reuse(if connection.pooling {
            Reuse::Kept
        } else {
            Reuse::Never
        });
    if let Some(timeout) = connection.timeout {
        options = options.with_acquire_timeout(timeout);
    }
    if let Some(timeout) = connection.connect_timeout {
        options = options.with_connect_timeout(timeout);
    }
    if let Some(lifetime) = connection.stale_timeout {
        options = options.with_max_lifetime(lifetime);
    }
    if let Some(tls) = &connection.tls {
        options = options.with_tls(tls_options(tls, directory)?);
    }
    Ok(options)
}

fn tls_options(tls: &DatabaseTls, directory: Option<&Path>) -> Result<Tls, Failure> {
    let mut options = Tls::new(match tls.mode {
        DatabaseTlsMode::Disabled => TlsMode::Disabled,
        DatabaseTlsMode::Preferred => TlsMode::Preferred,
        DatabaseTlsMode::Required => TlsMode::Required,
        DatabaseTlsMode::VerifyCa => TlsMode::VerifyAuthority,
        DatabaseTlsMode::VerifyFull => TlsMode::VerifyFull,
        other => return Err(format!("DB_CONNECTION_ARGS: {other:?} is not supported").into()),
    });
    if let Some(ca) = &tls.ca {
        options = options.with_authorities(configured_file(ca, directory));
    }
    if let Some((certificate, key)) = &tls.client {
        options = options.with_client(
            configured_file(certificate, directory),
            configured_file(key, directory),
        );
    }
    Ok(options)
}

/// A file that the configuration names. Quay's own place for the configuration stands for ours.
fn configured_file(path: &str, directory: Option<&Path>) -> PathBuf {
    const QUAYS: [&str; 3] = ["/quay-registry/conf/stack/", "/conf/stack/", "conf/stack/"];
    let Some(directory) = directory else {
        return path.into();
    };
    match QUAYS.iter().find_map(|place| path.strip_prefix(place)) {
        Some(file) if !Path::new(path).exists() => directory.join(file),
        _ => directory.join(path),
    }
}

/// Makes a directory that is there after a crash, too.
fn make_directory(path: &Path) -> Result<(), String> {
    let make = || -> std::io::Result<()> {
        std::fs::create_dir_all(path)?;
        for directory in path.canonicalize()?.ancestors() {
            std::fs::File::open(directory)?.sync_all()?;
        }
        Ok(())
    };
    make().map_err(|error| format!("make {}: {error}", path.display()))
}

async fn open_sqlite(path: PathBuf, spawner: &TokioSpawner) -> Result<SqlMetadata, Failure> {
    if let Some(directory) = path.parent() {
        make_directory(directory)?;
    }
    Ok(SqlMetadata::open_sqlite(&path, &*spawner.uncounted()).await?)
}

async fn locations(config: &Config, data: &Path, spawner: &TokioSpawner) -> Result<Vec<Location>, Failure> {
    let mut places: Vec<(String, PathBuf)> = Vec::new();
    for location in &config.storage {
        match &location.engine {
            StorageEngine::Local { path } => places.push((location.id.clone(), data.join(path))),
            other => return Err(format!("the storage engine {other:?} is not supported").into()),
        }
    }
    if places.is_empty() {
        places.push(("default".to_owned(), data.join("storage")));
    }
    let mut locations = Vec::with_capacity(places.len());
    for (id, path) in places {
        let blobs = LocalBlobs::open(path, Arc::new(spawner.clone())).await?;
        locations.push(Location::new(&id, Arc::new(blobs)));
    }
    Ok(locations)
}
