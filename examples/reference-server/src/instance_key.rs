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
