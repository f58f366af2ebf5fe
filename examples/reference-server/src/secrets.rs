//! Secrets that outlive the process: from the configuration, or made once and kept in the data directory.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quay_core::config::{Config, Database, Secret};
use quay_core::runtime::Random;

use crate::{Failure, Unusable};

const SECRET_KEY: &str = "SECRET_KEY";
const DATABASE_SECRET_KEY: &str = "DATABASE_SECRET_KEY";
/// Bytes of a secret that is made here.
const LENGTH: usize = 32;

/// What everything else is encrypted and sealed with. Prints nothing.
pub(crate) struct Secrets {
    pub(crate) secret_key: String,
    pub(crate) database_secret_key: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secrets")
    }
}

/// What is in the database already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Accounts,
}

/// Insists on secrets in the configuration where other processes may work on the same database: each
/// would make others.
pub(crate) fn check(config: &Config) -> Result<(), Unusable> {
    if !matches!(
        config.database,
        Some(Database::Postgres { .. } | Database::MySql { .. })
    ) {
        return Ok(());
    }
    let keys = [
        (SECRET_KEY, &config.secret_key),
        (DATABASE_SECRET_KEY, &config.database_secret_key),
    ];
    let missing = keys.iter().filter(|(_, secret)| secret.is_none());
    let missing: Vec<_> = missing.map(|(key, _)| *key).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Unusable(format!(
        "{} must be set in config.yaml: DB_URI names a database that several instances can share, and all of \
         them need the same. Take another random text for each key, such as `openssl rand -base64 32` prints, \
         and keep it as long as the database",
        missing.join(" and ")
    )))
}

/// The secrets of the configuration; what is missing there is made once and kept in `data`.
pub(crate) fn load(
    config: &Config,
    data: &Path,
    random: &dyn Random,
    found: Found,
) -> Result<Secrets, Failure> {
    Ok(Secrets {
        secret_key: secret(
            SECRET_KEY,
            config.secret_key.as_ref(),
            data,
            random,
            Found::Nothing,
        )?,
        database_secret_key: secret(
            DATABASE_SECRET_KEY,
            config.database_secret_key.as_ref(),
            data,
            random,
            found,
        )?,
    })
}

/// A secret, unless it is missing and something `found` rests on it.
fn secret(
    key: &str,
    given: Option<&Secret>,
    data: &Path,
    random: &dyn Random,
    found: Found,
) -> Result<String, Failure> {
    if let Some(given) = given {
        return Ok(given.reveal().to_owned());
    }
    let path = data.join(key.to_ascii_lowercase().replace('_', "-"));
    if let Some(kept) = read(&path)? {
        return Ok(kept);
    }
    if found == Found::Accounts {
        return Err(Unusable(format!(
            "{key} is neither in config.yaml nor in {}, and the database holds accounts whose secrets are \
             encrypted with it: put it back",
            path.display()
        ))
        .into());
    }
    let mut bytes = [0; LENGTH];
    random.fill(&mut bytes);
    write(&path, &URL_SAFE_NO_PAD.encode(bytes), Existing::Kept)?;
    tracing::info!(path = %path.display(), "{key} was made and is kept there; a backup needs it");
    // Somebody else may have been faster.
    read(&path)?.ok_or_else(|| format!("read {}: it is gone", path.display()).into())
}

/// A secret in a file, without what an editor adds at the end.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Failure> {
    let mut content = String::new();
    let outcome = File::open(path).and_then(|mut file| file.read_to_string(&mut content));
    match outcome {
        Ok(_) if content.trim_end().is_empty() => Err(format!("read {}: it is empty", path.display()).into()),
        Ok(_) => Ok(Some(content.trim_end().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("read {}: {error}", path.display()).into()),
    }
}

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Kept,
    Replaced,
}

/// Writes a file that only its owner reads: whole or not at all, and there after a crash.
pub(crate) fn write(path: &Path, content: &str, existing: Existing) -> Result<(), Failure> {
    try_write(path, content, existing).map_err(|error| format!("write {}: {error}", path.display()).into())
}

fn try_write(path: &Path, content: &str, existing: Existing) -> std::io::Result<()> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    // A process of the same number may have left one when it was killed.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    let written = file
        .write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| match existing {
            Existing::Replaced => std::fs::rename(&beside, path),
            // Unlike renaming, linking leaves what is there.
            Existing::Kept => match std::fs::hard_link(&beside, path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
                _ => Ok(()),
            },
        });
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    written?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use quay_http::{TokioSpawner, tokio_runtime};

    use super::*;

    fn random() -> std::sync::Arc<dyn Random> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _entered = runtime.enter();
        tokio_runtime(TokioSpawner::current()).random
    }

    fn read_config(yaml: &serde_json::Value) -> Config {
        Config::from_map(yaml.as_object().unwrap()).unwrap()
    }

    #[test]
    fn secrets_are_made_once_and_for_their_owner_only() {
        let data = tempfile::tempdir().unwrap();
        let load = |found| load(&Config::default(), data.path(), &*random(), found).unwrap();
        let first = load(Found::Nothing);
        assert_ne!(first.secret_key, first.database_secret_key);
        assert!(first.secret_key.len() >= 43);
        for found in [Found::Nothing, Found::Accounts] {
            let again = load(found);
            assert_eq!(again.secret_key, first.secret_key);
            assert_eq!(again.database_secret_key, first.database_secret_key);
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(data.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            names.push(entry.file_name().into_string().unwrap());
        }
        names.sort();
        assert_eq!(names, ["database-secret-key", "secret-key"]);
    }

    #[test]
    fn what_accounts_are_encrypted_with_is_not_made_anew() {
        let data = tempfile::tempdir().unwrap();
        let error = load(&Config::default(), data.path(), &*random(), Found::Accounts).unwrap_err();
        assert!(
            error.to_string().contains("DATABASE_SECRET_KEY is neither"),
            "{error}"
        );
        assert!(!data.path().join("database-secret-key").exists());
    }

    #[test]
    fn what_is_configured_counts() {
        let data = tempfile::tempdir().unwrap();
        let config = read_config(&serde_json::json!({ "SECRET_KEY": "a", "DATABASE_SECRET_KEY": "b" }));
        let found = load(&config, data.path(), &*random(), Found::Accounts).unwrap();
        assert_eq!(
            (found.secret_key.as_str(), found.database_secret_key.as_str()),
            ("a", "b")
        );
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_shared_database_needs_shared_secrets() {
        assert!(check(&Config::default()).is_ok());
        for (config, named) in [
            (
                serde_json::json!({ "DB_URI": "postgresql://u@h/d" }),
                "SECRET_KEY and DATABASE_SECRET_KEY must",
            ),
            (
                serde_json::json!({ "DB_URI": "mysql://u@h/d", "SECRET_KEY": "a" }),
                "DATABASE_SECRET_KEY must",
            ),
        ] {
            let text = check(&read_config(&config)).unwrap_err().to_string();
            assert!(text.starts_with(named), "{text}");
        }
    }

    #[test]
    fn files_are_replaced_or_kept_whole() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("key.pem");
        write(&path, "one\n", Existing::Kept).unwrap();
        write(&path, "two", Existing::Kept).unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("one"));
        write(&path, "three", Existing::Replaced).unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("three"));
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1);
        write(&path, "", Existing::Replaced).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("empty"));
    }
}
