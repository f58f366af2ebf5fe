//! `DB_URI` and how the database is reached, in the words of Quay's Python drivers.

use std::time::Duration;

use serde_json::{Map, Value};

use super::values::{Reader, wrong};
use super::{InvalidConfig, Secret, Warning};

const URI: &str = "DB_URI";
const ARGUMENTS: &str = "DB_CONNECTION_ARGS";

/// Arguments of Quay's drivers that change nothing here: there is one text encoding, connections belong to
/// no thread, and every change is a transaction.
const MEANINGLESS: &[&str] = &[
    "autocommit",
    "autorollback",
    "binary_prefix",
    "charset",
    "client_encoding",
    "local_infile",
    "threadlocals",
    "use_unicode",
];

/// `DB_URI`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Database {
    /// `sqlite:///relative` or `sqlite:////absolute`.
    Sqlite {
        /// The file, as written.
        path: String,
    },
    /// `postgresql://…`, with a driver's name behind a plus sign or without.
    Postgres {
        /// The address, without the driver's name and what only a Python driver understands.
        uri: Secret,
    },
    /// `mysql://…`, with a driver's name behind a plus sign or without.
    MySql {
        /// The address, without the driver's name and what only a Python driver understands.
        uri: Secret,
    },
}

/// `DB_CONNECTION_ARGS` and `DB_CONNECTION_POOLING`; what is not set is for the host to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseConnection {
    /// `max_connections`.
    pub max_connections: Option<u32>,
    /// `timeout`: how long a request waits for a connection.
    pub timeout: Option<Duration>,
    /// `connect_timeout`: how long the first connection may take.
    pub connect_timeout: Option<Duration>,
    /// `stale_timeout`: how long a connection is used.
    pub stale_timeout: Option<Duration>,
    /// Whether connections are used again (`DB_CONNECTION_POOLING`).
    pub pooling: bool,
    /// `ssl` with MySQL, `sslmode` and what belongs to it with PostgreSQL.
    pub tls: Option<DatabaseTls>,
}

/// How connections to the database are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseTls {
    /// What is asked of the server.
    pub mode: DatabaseTlsMode,
    /// A file of authorities in PEM, as written.
    pub ca: Option<String>,
    /// A client certificate and its key in PEM, as written.
    pub client: Option<(String, String)>,
}

/// What encryption is asked of the database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseTlsMode {
    /// None.
    Disabled,
    /// Encryption if the server can.
    Preferred,
    /// Encryption; the server may be anybody.
    Required,
    /// A certificate of a trusted authority, for whatever name.
    VerifyCa,
    /// A certificate of a trusted authority for the name in the address.
    VerifyFull,
}

impl Reader<'_> {
    pub(super) fn database(&self, warnings: &mut Vec<Warning>) -> Result<Option<Database>, InvalidConfig> {
        let Some(uri) = self.optional_text(URI)? else {
            return Ok(None);
        };
        let (scheme, rest) = uri.split_once("://").ok_or_else(|| {
            wrong(
                URI,
                "must be an address such as postgresql://user:password@host/name",
            )
        })?;
        let database = match scheme.split('+').next().unwrap_or_default() {
            "sqlite" => match rest.strip_prefix('/') {
                Some(path) if !path.is_empty() => Database::Sqlite {
                    path: path.to_owned(),
                },
                _ => return Err(wrong(URI, "a SQLite address needs three slashes and a path")),
            },
            "postgresql" | "postgres" => Database::Postgres {
                uri: Secret::new(format!("postgresql://{}", postgres_address(rest, warnings))),
            },
            "mysql" | "mariadb" => Database::MySql {
                uri: Secret::new(format!("mysql://{}", mysql_address(rest, warnings)?)),
            },
            _ => return Err(wrong(URI, "must begin with sqlite:, postgresql: or mysql:")),
        };
        Ok(Some(database))
    }

    pub(super) fn database_connection(
        &self,
        database: Option<&Database>,
        warnings: &mut Vec<Warning>,
    ) -> Result<DatabaseConnection, InvalidConfig> {
        let Value::Object(given) = self.value(ARGUMENTS)? else {
            return Err(wrong(ARGUMENTS, "must be a mapping"));
        };
        let mut arguments = Arguments(given);
        arguments
            .0
            .retain(|name, _| !MEANINGLESS.contains(&name.as_str()));
        let max_connections = match arguments.0.remove("max_connections") {
            None | Some(Value::Null) => None,
            Some(value) => Some(
                value
                    .as_u64()
                    .and_then(|number| u32::try_from(number).ok())
                    .filter(|number| *number > 0)
                    .ok_or_else(|| wrong(ARGUMENTS, "max_connections must be a number above 0"))?,
            ),
        };
        let connection = DatabaseConnection {
            max_connections,
            timeout: arguments.seconds("timeout")?,
            connect_timeout: arguments.seconds("connect_timeout")?,
            stale_timeout: arguments.seconds("stale_timeout")?,
            pooling: self.value("DB_CONNECTION_POOLING")? != Value::Bool(false),
            tls: match database {
                Some(Database::Postgres { .. }) => arguments.postgres_tls()?,
                Some(Database::MySql { .. }) => arguments.mysql_tls()?,
                Some(Database::Sqlite { .. }) | None => None,
            },
        };
        warnings.extend(arguments.0.into_iter().map(|(option, _)| Warning::UnknownOption {
            key: ARGUMENTS,
            option,
        }));
        Ok(connection)
    }
}

/// What has not been read yet.
struct Arguments(Map<String, Value>);

impl Arguments {
    /// A time in seconds; 0 counts as not set, as with Quay.
    fn seconds(&mut self, name: &str) -> Result<Option<Duration>, InvalidConfig> {
        let Some(value) = self.0.remove(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let time = value
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        match time {
            Some(time) => Ok(Some(time).filter(|time| !time.is_zero())),
            None => Err(wrong(ARGUMENTS, format!("{name} must be a number of seconds"))),
        }
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, InvalidConfig> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(wrong(ARGUMENTS, format!("{name} must be a string"))),
        }
    }

    fn client(&mut self, certificate: &str, key: &str) -> Result<Option<(String, String)>, InvalidConfig> {
        match (self.text(certificate)?, self.text(key)?) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            _ => Err(wrong(ARGUMENTS, format!("{certificate} and {key} go together"))),
        }
    }

    /// As libpq reads them.
    fn postgres_tls(&mut self) -> Result<Option<DatabaseTls>, InvalidConfig> {
        let mode = self.text("sslmode")?;
        let ca = self.text("sslrootcert")?;
        let client = self.client("sslcert", "sslkey")?;
        if mode.is_none() && ca.is_none() && client.is_none() {
            return Ok(None);
        }
        let mode = match mode.as_deref() {
            Some("disable") => DatabaseTlsMode::Disabled,
            None | Some("allow" | "prefer") => DatabaseTlsMode::Preferred,
            // libpq: with a root certificate, "require" is the same as "verify-ca".
            Some("require") if ca.is_some() => DatabaseTlsMode::VerifyCa,
            Some("require") => DatabaseTlsMode::Required,
            Some("verify-ca") => DatabaseTlsMode::VerifyCa,
            Some("verify-full") => DatabaseTlsMode::VerifyFull,
            Some(_) => return Err(wrong(ARGUMENTS, "sslmode must be one of libpq's")),
        };
        Ok(Some(DatabaseTls { mode, ca, client }))
    }

    /// As `PyMySQL` reads them: who names an authority wants the server checked, name included.
    fn mysql_tls(&mut self) -> Result<Option<DatabaseTls>, InvalidConfig> {
        let mut ssl = match self.0.remove("ssl") {
            None | Some(Value::Null | Value::Bool(false)) => return Ok(None),
            Some(Value::Bool(true)) => Self(Map::new()),
            Some(Value::Object(options)) if options.is_empty() => return Ok(None),
            Some(Value::Object(options)) => Self(options),
            Some(_) => return Err(wrong(ARGUMENTS, "ssl must be a mapping")),
        };
        let ca = ssl.text("ca")?;
        let client = ssl.client("cert", "key")?;
        let any_name = match ssl.0.remove("check_hostname") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(check)) => !check,
            Some(_) => return Err(wrong(ARGUMENTS, "check_hostname must be a boolean")),
        };
        let mode = match (&ca, any_name) {
            (None, _) => DatabaseTlsMode::Required,
            (Some(_), true) => DatabaseTlsMode::VerifyCa,
            (Some(_), false) => DatabaseTlsMode::VerifyFull,
        };
        // Left for the warning.
        self.0.extend(
            ssl.0
                .into_iter()
                .map(|(name, value)| (format!("ssl.{name}"), value)),
        );
        Ok(Some(DatabaseTls { mode, ca, client }))
    }
}

/// An address whose parameters are those that `known` has a name for.
fn address(
    rest: &str,
    known: impl Fn(&str) -> Option<&'static str>,
    warnings: &mut Vec<Warning>,
) -> (String, Vec<(&'static str, String)>) {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut kept = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match known(name) {
            Some(ours) => kept.push((ours, value.to_owned())),
            None if MEANINGLESS.contains(&name) => {}
            None => warnings.push(Warning::UnknownOption {
                key: URI,
                option: name.to_owned(),
            }),
        }
    }
    (place.to_owned(), kept)
}

fn printed(place: &str, parameters: &[(&'static str, String)]) -> String {
    let mut text = place.to_owned();
    for (index, (name, value)) in parameters.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
    text
}

fn postgres_address(rest: &str, warnings: &mut Vec<Warning>) -> String {
    const KNOWN: &[&str] = &[
        "application_name",
        "dbname",
        "host",
        "options",
        "port",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "user",
    ];
    let known = |name: &str| KNOWN.iter().find(|known| **known == name).copied();
    let (place, parameters) = address(rest, known, warnings);
    printed(&place, &parameters)
}

fn mysql_address(rest: &str, warnings: &mut Vec<Warning>) -> Result<String, InvalidConfig> {
    let known = |name: &str| match name {
        "unix_socket" | "socket" => Some("socket"),
        "ssl_mode" | "ssl-mode" | "sslmode" => Some("ssl-mode"),
        "ssl_ca" | "ssl-ca" => Some("ssl-ca"),
        "ssl_cert" | "ssl-cert" => Some("ssl-cert"),
        "ssl_key" | "ssl-key" => Some("ssl-key"),
        _ => None,
    };
    let (place, mut parameters) = address(rest, known, warnings);
    let name = place
        .rsplit_once('@')
        .map_or(place.as_str(), |(_, behind)| behind);
    if name.split_once('/').is_none_or(|(_, name)| name.is_empty()) {
        return Err(wrong(URI, "a MySQL address needs the name of a database"));
    }
    let has = |wanted: &str| parameters.iter().any(|(name, _)| *name == wanted);
    if has("ssl-ca") && !has("ssl-mode") {
        parameters.push(("ssl-mode", "VERIFY_IDENTITY".to_owned()));
    }
    Ok(printed(&place, &parameters))
}
