//! How a database server is reached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use quay_core::StoreError;

/// How [`SqlMetadata`](crate::SqlMetadata) connects to a database server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Connections at most. Each unit of work holds one, each read takes one.
    pub connections: u32,
    /// How long the first connection is tried for, so that host and database may start together.
    pub connect_timeout: Duration,
    /// How long a request waits for a connection, making one included, before it is told that the
    /// database is unavailable.
    pub acquire_timeout: Duration,
    /// How long a connection is used, at most; `None` leaves it to the pool (half an hour).
    pub max_lifetime: Option<Duration>,
    /// Whether connections outlive the request that used them.
    pub reuse: Reuse,
    /// Encryption; `None` leaves it to the address, and where that says nothing, to what the server can.
    pub tls: Option<Tls>,
}

/// Whether connections are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reuse {
    /// By whoever comes next.
    Kept,
    /// Never: every request makes its own, which takes longer than most requests.
    Never,
}

/// How connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// What is asked of the server.
    pub mode: TlsMode,
    /// Authorities that are trusted besides the well-known ones, in PEM.
    pub authorities: Option<PathBuf>,
    /// What the host shows of itself.
    pub client: Option<ClientCertificate>,
}

/// What encryption is asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsMode {
    /// None.
    Disabled,
    /// Encryption if the server can.
    Preferred,
    /// Encryption; the server may be anybody.
    Required,
    /// A certificate of a trusted authority, for whatever name.
    VerifyAuthority,
    /// A certificate of a trusted authority for the name in the address.
    VerifyFull,
}

/// A certificate with its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

impl Default for ConnectOptions {
    /// 16 connections; 30 seconds for the first one, 3 for any other.
    fn default() -> Self {
        Self {
            connections: 16,
            connect_timeout: Duration::from_secs(30),
            acquire_timeout: Duration::from_secs(3),
            max_lifetime: None,
            reuse: Reuse::Kept,
            tls: None,
        }
    }
}

impl ConnectOptions {
    /// Sets how many connections there are at most.
    #[must_use]
    pub const fn with_connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// Sets how long the first connection is tried for.
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long a request waits for a connection.
    #[must_use]
    pub const fn with_acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Sets how long a connection is used.
    #[must_use]
    pub const fn with_max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// Sets whether connections are used again.
    #[must_use]
    pub const fn with_reuse(mut self, reuse: Reuse) -> Self {
        self.reuse = reuse;
        self
    }

    /// Sets how connections are encrypted.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }
}

impl Tls {
    /// Encryption of this mode, with the well-known authorities.
    #[must_use]
    pub const fn new(mode: TlsMode) -> Self {
        Self {
            mode,
            authorities: None,
            client: None,
        }
    }

    /// Trusts the authorities in a PEM file, too.
    #[must_use]
    pub fn with_authorities(mut self, file: impl Into<PathBuf>) -> Self {
        self.authorities = Some(file.into());
        self
    }

    /// Shows the server a certificate.
    #[must_use]
    pub fn with_client(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client = Some(ClientCertificate {
            certificate: certificate.into(),
            key: key.into(),
        });
        self
    }

    /// Names the file that cannot be read, which the driver would take for a server that cannot be reached.
    fn check_files(&self) -> Result<(), StoreError> {
        let client = self.client.as_ref();
        let files = self.authorities.iter().chain(
            client
                .into_iter()
                .flat_map(|client| [&client.certificate, &client.key]),
        );
        for file in files {
            readable(file)?;
        }
        Ok(())
    }
}

fn readable(file: &Path) -> Result<(), StoreError> {
    std::fs::File::open(file)
        .map(drop)
        .map_err(|error| StoreError::io(format!("open {}", file.display()), error))
}

/// What the driver needs to know for PostgreSQL.
#[cfg(feature = "postgres")]
pub(super) fn postgres(
    uri: &str,
    options: &ConnectOptions,
) -> Result<sqlx::postgres::PgConnectOptions, StoreError> {
    use std::str::FromStr as _;

    use sqlx::ConnectOptions as _;
    use sqlx::postgres::{PgConnectOptions, PgSslMode};

    let mut driver = PgConnectOptions::from_str(uri)
        .map_err(|error| super::db::failed("read the address", error))?
        .disable_statement_logging()
        // Every statement looks rows up by key: planning it again for each value only costs time.
        .options([("plan_cache_mode", "force_generic_plan")]);
    if let Some(tls) = &options.tls {
        tls.check_files()?;
        driver = driver.ssl_mode(match tls.mode {
            TlsMode::Disabled => PgSslMode::Disable,
            TlsMode::Preferred => PgSslMode::Prefer,
            TlsMode::Required => PgSslMode::Require,
            TlsMode::VerifyAuthority => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        });
        if let Some(file) = &tls.authorities {
            driver = driver.ssl_root_cert(file);
        }
        if let Some(client) = &tls.client {
            driver = driver
                .ssl_client_cert(&client.certificate)
                .ssl_client_key(&client.key);
        }
    }
    Ok(driver)
}

/// What each MySQL session begins with. Another change of the same rows must not be hidden by a snapshot
/// from before the lock, and what does not fit must be an error, whatever the server's defaults.
#[cfg(feature = "mysql")]
pub(super) const MYSQL_SESSION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET SESSION autocommit = 1, SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'";

/// What the driver needs to know for MySQL.
#[cfg(feature = "mysql")]
pub(super) fn mysql(
    uri: &str,
    options: &ConnectOptions,
) -> Result<sqlx::mysql::MySqlConnectOptions, StoreError> {
    use std::str::FromStr as _;

    use sqlx::ConnectOptions as _;
    use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

    let mut driver = MySqlConnectOptions::from_str(uri)
        .map_err(|error| super::db::failed("read the address", error))?
        .disable_statement_logging()
        // Literals compare as the columns do.
        .charset("utf8mb4")
        .collation("utf8mb4_bin")
        .timezone(None)
        .pipes_as_concat(false)
        .no_engine_substitution(false);
    if let Some(tls) = &options.tls {
        tls.check_files()?;
        driver = driver.ssl_mode(match tls.mode {
            TlsMode::Disabled => MySqlSslMode::Disabled,
            TlsMode::Preferred => MySqlSslMode::Preferred,
            TlsMode::Required => MySqlSslMode::Required,
            TlsMode::VerifyAuthority => MySqlSslMode::VerifyCa,
            TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
        });
        if let Some(file) = &tls.authorities {
            driver = driver.ssl_ca(file);
        }
        if let Some(client) = &tls.client {
            driver = driver
                .ssl_client_cert(&client.certificate)
                .ssl_client_key(&client.key);
        }
    }
    Ok(driver)
}
