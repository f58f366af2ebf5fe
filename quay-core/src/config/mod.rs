//! Quay's configuration: every key declared in one table, the values that are in effect typed.
//!
//! Reading YAML and trying whether hosts and paths exist is the host's business; this is the model.

mod accounts;
mod database;
pub(crate) mod duration;
mod key;
mod keys;
mod lifecycle;
mod values;

use std::fmt::{self, Debug, Write as _};
use std::time::Duration;

use serde_json::{Map, Value};

pub use accounts::{InstanceKeyLifetime, MailFailure, MailServer, MailTls};
pub use database::{Database, DatabaseConnection, DatabaseTls, DatabaseTlsMode};
pub use key::{Key, Kind};
pub use keys::KEYS;
pub use lifecycle::PolicyConfig;
pub use values::{GarbageConfig, StorageEngine, StorageLocation, UrlScheme};

use crate::accounts::AccountOptions;
use crate::registry::Options;
use values::Reader;

/// Something in a configuration that cannot be used. Names the key, never a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct InvalidConfig {
    key: String,
    reason: String,
}

impl InvalidConfig {
    pub(crate) fn new(key: &str, reason: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            reason: reason.into(),
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Something in a configuration that is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// No release is known to have such a key.
    UnknownKey(String),
    /// Only keys in upper case are read.
    LowerCaseKey(String),
    /// A key that is not in effect yet has a value of another type than it should.
    WrongType {
        /// The key.
        key: &'static str,
        /// The type it should have.
        kind: Kind,
    },
    /// An option that means nothing here, within a key.
    UnknownOption {
        /// The key.
        key: &'static str,
        /// The option.
        option: String,
    },
    /// A key that does nothing as long as another is missing.
    WithoutEffect {
        /// The key.
        key: &'static str,
        /// What does not happen, and why.
        reason: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey(key) => write!(
                formatter,
                "{key} is not a key of Quay's configuration, it is ignored"
            ),
            Self::LowerCaseKey(key) => write!(
                formatter,
                "{key} is ignored, only keys in upper case are read (did you mean {}?)",
                key.to_uppercase()
            ),
            Self::UnknownOption { key, option } => {
                write!(
                    formatter,
                    "{key}: the option {option} is not known, it is ignored"
                )
            }
            Self::WithoutEffect { key, reason } => write!(formatter, "{key} is of no effect: {reason}"),
            Self::WrongType { key, kind } => write!(formatter, "{key} should be a {}", kind.as_str()),
        }
    }
}

/// A text that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text out of sight.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, to be handed to whoever needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// The values that are in effect.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// `SERVER_HOSTNAME`: `host[:port]` as clients know it.
    pub server_hostname: Option<String>,
    /// `PREFERRED_URL_SCHEME`.
    pub preferred_url_scheme: UrlScheme,
    /// `DISTRIBUTED_STORAGE_CONFIG`, in the order of `DISTRIBUTED_STORAGE_PREFERENCE`; empty when the
    /// host is to choose.
    pub storage: Vec<StorageLocation>,
    /// `DB_URI`; `None` when the host is to choose.
    pub database: Option<Database>,
    /// `DB_CONNECTION_ARGS` and `DB_CONNECTION_POOLING`.
    pub database_connection: DatabaseConnection,
    /// What the registry accepts.
    pub registry: Options,
    /// `FEATURE_ACI_CONVERSION`: whether images are converted into App Container Images.
    pub aci_conversion: bool,
    /// When garbage is collected.
    pub garbage: GarbageConfig,
    /// How often the work is looked for that policies about the life of tags cause.
    pub policies: PolicyConfig,
    /// What accounts may do, and how long things last. Without `SERVER_HOSTNAME`, for `localhost`: the
    /// host decides by [`AccountOptions::at`].
    pub accounts: AccountOptions,
    /// `SECRET_KEY`: what clients carry is sealed with it.
    pub secret_key: Option<Secret>,
    /// `DATABASE_SECRET_KEY`: secrets in the database are encrypted with it.
    pub database_secret_key: Option<Secret>,
    /// `PAGE_TOKEN_KEY`: what Quay seals page tokens with.
    pub page_token_key: Option<Secret>,
    /// `INSTANCE_SERVICE_KEY_EXPIRATION` and `INSTANCE_SERVICE_KEY_REFRESH`.
    pub instance_key: InstanceKeyLifetime,
    /// `REGISTRY_JWT_AUTH_MAX_FRESH_S`: no token for the registry protocol may live longer.
    pub token_max_lifetime: Duration,
    /// `MAIL_…`, where mail is to be sent.
    pub mail: Option<MailServer>,
    /// `RECAPTCHA_SECRET_KEY` where `FEATURE_RECAPTCHA` is on.
    pub recaptcha_secret: Option<Secret>,
    /// What was passed over.
    pub warnings: Vec<Warning>,
    /// Keys that are set and known, and not in effect in this version.
    pub not_in_effect: Vec<&'static str>,
}

/// The declaration of a key. A name in angle brackets stands for any: `<NAME>_LOGIN_CONFIG`.
#[must_use]
pub fn key(name: &str) -> Option<&'static Key> {
    let fits = |key: &&Key| match key.name.strip_prefix("<NAME>") {
        Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
        None => key.name == name,
    };
    KEYS.iter()
        .find(|key| key.name == name)
        .or_else(|| KEYS.iter().find(fits))
}

impl Config {
    /// Reads the content of a `config.yaml`.
    ///
    /// # Errors
    /// [`InvalidConfig`] for the first key in effect whose value cannot be used.
    pub fn from_map(map: &Map<String, Value>) -> Result<Self, InvalidConfig> {
        let mut warnings = Vec::new();
        let mut not_in_effect = Vec::new();
        for (name, value) in map {
            if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
                warnings.push(Warning::LowerCaseKey(name.clone()));
                continue;
            }
            match key(name) {
                None => warnings.push(Warning::UnknownKey(name.clone())),
                Some(key) if key.in_effect => {}
                Some(key) => {
                    not_in_effect.push(key.name);
                    if !key.kind.fits(value) && !value.is_null() {
                        warnings.push(Warning::WrongType {
                            key: key.name,
                            kind: key.kind,
                        });
                    }
                }
            }
        }
        let reader = Reader::new(map);
        let database = reader.database(&mut warnings)?;
        let database_connection = reader.database_connection(database.as_ref(), &mut warnings)?;
        reader.authentication()?;
        let server_hostname = reader.server_hostname()?;
        let preferred_url_scheme = reader.url_scheme()?;
        let registry = reader.registry()?;
        let garbage = reader.garbage()?;
        let mail = reader.mail(&mut warnings)?;
        let accounts = reader.accounts(
            preferred_url_scheme,
            server_hostname.as_deref(),
            mail.is_some(),
            registry.read_only,
        )?;
        Ok(Self {
            server_hostname,
            preferred_url_scheme,
            storage: reader.storage()?,
            aci_conversion: reader.boolean("FEATURE_ACI_CONVERSION")?,
            database,
            database_connection,
            garbage,
            policies: reader.policies()?,
            registry,
            accounts,
            secret_key: reader.secret("SECRET_KEY")?,
            database_secret_key: reader.secret("DATABASE_SECRET_KEY")?,
            page_token_key: reader.secret("PAGE_TOKEN_KEY")?,
            instance_key: reader.instance_key()?,
            token_max_lifetime: reader.token_max_lifetime()?,
            mail,
            recaptcha_secret: reader.recaptcha()?.map(|(_, secret)| secret),
            warnings,
            not_in_effect,
        })
    }
}

impl Default for Config {
    #[expect(clippy::expect_used, reason = "the table's defaults are read by a test")]
    fn default() -> Self {
        Self::from_map(&Map::new()).expect("the defaults of all keys can be used")
    }
}

/// The table as a page of documentation.
#[must_use]
pub fn markdown() -> String {
    let mut page = "# Configuration keys\n\nGenerated from the table in `quay_core::config`. `config.yaml` is read as \
                    Quay reads it: keys in upper case, unknown ones are named in a warning. \"Yes\" under \
                    *in effect* means that this version does what the key says; other known keys are accepted \
                    and listed at start. Secrets have no default here.\n"
        .to_owned();
    let mut area = "";
    for key in KEYS {
        if key.area != area {
            area = key.area;
            let _ = write!(
                page,
                "\n## {area}\n\n| key | type | default | in effect |\n|---|---|---|---|\n"
            );
        }
        let default = key.effective_default().replace('|', "\\|");
        let effect = if key.in_effect { "yes" } else { "" };
        let _ = writeln!(
            page,
            "| `{}` | {} | `{default}` | {effect} |",
            key.name,
            key.kind.as_str()
        );
    }
    page
}

#[cfg(test)]
mod tests;
