//! What `/health` looks at.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use quay_auth::RegistryTokens;
use quay_core::accounts::{Accounts, KeyStatus};
use quay_core::registry::Location;
use quay_core::runtime::blocking;
use quay_http::{HealthCheck, HealthLevel};

/// Free parts of the disk, in thousandths (workers-and-ops, section 11).
const FAILING_BELOW: u64 = 10;
const WARNING_BELOW: u64 = 100;

/// The checks of a server with accounts.
pub(crate) fn checks(
    accounts: &Accounts,
    tokens: &Arc<RegistryTokens>,
    locations: &[Location],
    data: &Path,
) -> Vec<Arc<dyn HealthCheck>> {
    let disk = |level, at_least| Disk {
        accounts: accounts.clone(),
        path: data.to_owned(),
        level,
        at_least,
    };
    vec![
        Arc::new(Database(accounts.clone())),
        Arc::new(Storage {
            accounts: accounts.clone(),
            locations: locations.to_vec(),
        }),
        Arc::new(disk(HealthLevel::Instance, FAILING_BELOW)),
        Arc::new(disk(HealthLevel::Warning, WARNING_BELOW)),
        Arc::new(ServiceKey {
            accounts: accounts.clone(),
            tokens: Arc::clone(tokens),
        }),
    ]
}

#[derive(Debug)]
struct Database(Accounts);

#[async_trait]
impl HealthCheck for Database {
    fn service(&self) -> &'static str {
        "database"
    }

    fn level(&self) -> HealthLevel {
        HealthLevel::Instance
    }

    async fn check(&self) -> Result<(), String> {
        let asked = self.0.store().reader().any_account().await;
        asked.map(drop).map_err(|error| crate::in_full(&error))
    }
}

#[derive(Debug)]
struct Storage {
    accounts: Accounts,
    locations: Vec<Location>,
}

#[async_trait]
impl HealthCheck for Storage {
    fn service(&self) -> &'static str {
        "storage"
    }

    fn level(&self) -> HealthLevel {
        HealthLevel::Global
    }

    /// Begins an upload in every location, and drops it.
    async fn check(&self) -> Result<(), String> {
        if self.accounts.options().read_only {
            return Ok(());
        }
        for location in &self.locations {
            let id = self.accounts.runtime().random_id();
            let tried = async {
                let upload = location.store.begin(&id).await?;
                location.store.abort(&upload).await
            };
            tried
                .await
                .map_err(|error| format!("{}: {}", location.id, crate::in_full(&error)))?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Disk {
    accounts: Accounts,
    path: PathBuf,
    level: HealthLevel,
    at_least: u64,
}

#[async_trait]
impl HealthCheck for Disk {
    fn service(&self) -> &'static str {
        match self.level {
            HealthLevel::Warning => "disk_space_warning",
            _ => "disk_space",
        }
    }

    fn level(&self) -> HealthLevel {
        self.level
    }

    async fn check(&self) -> Result<(), String> {
        let path = self.path.clone();
        let asked = blocking(&*self.accounts.runtime().spawner, move || {
            rustix::fs::statvfs(&path)
        });
        let disk = asked
            .await
            .map_err(|_| "the host is shutting down".to_owned())?
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        let (free, all) = (disk.f_bavail, disk.f_blocks);
        if u128::from(free) * 1000 < u128::from(all) * u128::from(self.at_least) {
            return Err(format!(
                "{}: {free} of {all} blocks are free",
                self.path.display()
            ));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct ServiceKey {
    accounts: Accounts,
    tokens: Arc<RegistryTokens>,
}

#[async_trait]
impl HealthCheck for ServiceKey {
    fn service(&self) -> &'static str {
        "service_key"
    }

    fn level(&self) -> HealthLevel {
        HealthLevel::Instance
    }

    async fn check(&self) -> Result<(), String> {
        let key = self.tokens.signing_key();
        let asked = self.accounts.store().reader().service_key(key.kid()).await;
        let row = asked.map_err(|error| crate::in_full(&error))?;
        match row.map(|row| row.status(self.accounts.runtime().clock.now())) {
            Some(KeyStatus::Usable) => Ok(()),
            Some(KeyStatus::Unapproved) => Err(format!("the key {} is not approved", key.kid())),
            Some(KeyStatus::Expired) => Err(format!("the key {} has expired", key.kid())),
            None => Err(format!("the key {} is gone", key.kid())),
        }
    }
}
