//! The key pair that this instance signs tokens with: kept in a file, known to all instances by its row.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quay_auth::{InstanceKey, RegistryTokens};
use quay_core::accounts::Accounts;
use quay_core::config::InstanceKeyLifetime;
use quay_core::runtime::{Runtime, blocking};

use crate::Failure;
use crate::secrets::{Existing, read, write};

/// The age at which a key is replaced.
const LONGEST_USE: Duration = Duration::from_hours(30 * 24);

/// The key of a file, or a new one that is not kept yet.
#[derive(Debug)]
pub(crate) enum Found {
    Kept(InstanceKey),
    New(InstanceKey),
}

impl Found {
    /// What is found at `path`.
    pub(crate) async fn at(path: PathBuf, runtime: &Runtime) -> Result<Self, Failure> {
        let found = blocking(&*runtime.spawner, move || match read(&path)? {
            Some(pem) => InstanceKey::from_pem(&pem)
                .map(Self::Kept)
                .map_err(|error| Failure::from(format!("{}: {}", path.display(), crate::in_full(&error)))),
            None => Ok(Self::New(InstanceKey::generate()?)),
        });
        found.await.map_err(|_| "the host is shutting down")?
    }

    pub(crate) const fn key(&self) -> &InstanceKey {
        match self {
            Self::Kept(key) | Self::New(key) => key,
        }
    }
}

/// Keeps the key usable, and replaces it when it is old or gone.
#[derive(Debug)]
pub(crate) struct OwnKey {
    pub(crate) path: PathBuf,
    pub(crate) accounts: Accounts,
    pub(crate) tokens: Arc<RegistryTokens>,
    pub(crate) lifetime: InstanceKeyLifetime,
}

impl OwnKey {
    /// Makes the key count that the tokens sign with, as it was found at the start.
    pub(crate) async fn begin(&self, found: &Found) -> Result<(), Failure> {
        match found {
            Found::Kept(_) => self.see_to().await,
            Found::New(key) => {
                self.record(key).await?;
                self.keep(key).await
            }
        }
    }

    /// Prolongs the key, or takes another in its place.
    pub(crate) async fn see_to(&self) -> Result<(), Failure> {
        let runtime = self.accounts.runtime();
        let key = self.tokens.signing_key();
        let row = self.accounts.store().reader().service_key(key.kid()).await?;
        // A key whose row is gone, or is another service's, is one that somebody wanted to end.
        let row = row.filter(|row| row.service == self.accounts.options().key_service);
        if let Some(row) = &row {
            self.record(&key).await?;
            if row.created.plus(LONGEST_USE) > runtime.clock.now() {
                return Ok(());
            }
        }
        let next = blocking(&*runtime.spawner, InstanceKey::generate)
            .await
            .map_err(|_| "the host is shutting down")??;
        self.record(&next).await?;
        self.keep(&next).await?;
        // What the old key has signed counts as long as its row does.
        self.tokens.rotate(next.clone());
        tracing::info!(kid = next.kid(), "tokens are signed with a new key");
        Ok(())
    }

    async fn record(&self, key: &InstanceKey) -> Result<(), Failure> {
        let expires = self.accounts.runtime().clock.now().plus(self.lifetime.expiration);
        Ok(self.accounts.keep_own_key(key.kid(), key.jwk(), expires).await?)
    }

    async fn keep(&self, key: &InstanceKey) -> Result<(), Failure> {
        let (path, pem) = (self.path.clone(), key.to_pem()?);
        blocking(&*self.accounts.runtime().spawner, move || {
            write(&path, &pem, Existing::Replaced)
        })
        .await
        .map_err(|_| "the host is shutting down")?
    }
}

#[cfg(test)]
mod tests {
    use quay_auth::{
        Bcrypt, ClientSeal, DatabaseLogin, DatabaseSecrets, PasswordChecks, RegistryTokenOptions, RsaKeys,
        SecretKey,
    };
    use quay_core::accounts::{AccountOptions, AccountStore, KeyStatus, Tools};
    use quay_core::config::Config;
    use quay_core::runtime::Clock as _;
    use quay_core::testing::ManualClock;
    use quay_http::{TokioSpawner, tokio_runtime};
    use quay_storage::SqlMetadata;
    use tempfile::TempDir;

    use super::*;

    struct Instance {
        own: OwnKey,
        clock: Arc<ManualClock>,
        _directory: TempDir,
    }

    impl Instance {
        async fn start() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let spawner = TokioSpawner::current();
            let clock = Arc::new(ManualClock::default());
            let mut runtime = tokio_runtime(spawner.clone());
            runtime.clock = Arc::clone(&clock) as _;
            let database = directory.path().join("quay.db");
            let store = SqlMetadata::open_sqlite(&database, &*spawner.uncounted()).await;
            let store: Arc<dyn AccountStore> = Arc::new(store.unwrap());
            let path = directory.path().join("service-key.pem");
            let found = Found::at(path.clone(), &runtime).await.unwrap();
            let options = AccountOptions::new("https", "quay.example");
            let tokens = Arc::new(RegistryTokens::new(
                found.key().clone(),
                RegistryTokenOptions::new(&options, None),
                Arc::clone(&store),
                runtime.clone(),
            ));
            let random = || Arc::clone(&runtime.random);
            let hasher = Arc::new(Bcrypt::new(random()));
            let checks = PasswordChecks::new(Arc::clone(&hasher) as _, runtime.clone());
            let tools = Tools::new(
                hasher,
                Arc::new(DatabaseSecrets::new(&SecretKey::parse("a").unwrap(), random())),
                Arc::new(ClientSeal::new("b", random()).unwrap()),
                Arc::new(DatabaseLogin::new(
                    Arc::clone(&store),
                    Arc::new(checks),
                    runtime.clone(),
                )),
                Arc::new(RsaKeys),
                Arc::clone(&tokens) as _,
            );
            let own = OwnKey {
                path,
                accounts: Accounts::new(store, tools, runtime, options),
                tokens,
                lifetime: Config::default().instance_key,
            };
            own.begin(&found).await.unwrap();
            Self {
                own,
                clock,
                _directory: directory,
            }
        }

        fn kid(&self) -> String {
            let pem = read(&self.own.path).unwrap().unwrap();
            let kept = InstanceKey::from_pem(&pem).unwrap().kid().to_owned();
            assert_eq!(self.own.tokens.signing_key().kid(), kept);
            kept
        }

        async fn status(&self, kid: &str) -> Option<KeyStatus> {
            let row = self.own.accounts.store().reader().service_key(kid).await.unwrap();
            row.map(|row| row.status(self.clock.now()))
        }
    }

    #[tokio::test]
    async fn a_key_is_prolonged_until_it_is_old() {
        let instance = Instance::start().await;
        let first = instance.kid();
        let mut age = Duration::ZERO;
        while age + instance.own.lifetime.refresh < LONGEST_USE {
            instance.clock.advance(instance.own.lifetime.refresh);
            age += instance.own.lifetime.refresh;
            assert_eq!(instance.status(&first).await, Some(KeyStatus::Usable));
            instance.own.see_to().await.unwrap();
        }
        assert_eq!(instance.kid(), first);
        instance.clock.advance(instance.own.lifetime.refresh);
        instance.own.see_to().await.unwrap();
        let second = instance.kid();
        assert_ne!(second, first);

        // Tokens of an hour that the first has signed still count.
        instance.clock.advance(Duration::from_hours(1));
        assert_eq!(instance.status(&first).await, Some(KeyStatus::Usable));
        instance.own.see_to().await.unwrap();
        instance.clock.advance(Duration::from_hours(1));
        assert_eq!(instance.status(&first).await, Some(KeyStatus::Expired));
        assert_eq!(instance.status(&second).await, Some(KeyStatus::Usable));
        assert_eq!(instance.kid(), second);
    }

    #[tokio::test]
    async fn a_key_that_was_deleted_is_replaced() {
        let instance = Instance::start().await;
        let first = instance.kid();
        let mut unit = instance.own.accounts.store().begin_accounts().await.unwrap();
        assert!(unit.accounts().delete_service_key(&first).await.unwrap());
        unit.commit().await.unwrap();
        instance.own.see_to().await.unwrap();
        assert_ne!(instance.kid(), first);
        assert_eq!(instance.status(&first).await, None);
        assert_eq!(instance.status(&instance.kid()).await, Some(KeyStatus::Usable));
    }
}
