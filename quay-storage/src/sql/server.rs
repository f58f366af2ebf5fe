//! What PostgreSQL and MySQL have in common: a pool of connections, some of which may have died.
//!
//! Nobody asks a connection whether it lives before each statement. One that is found dead puts all that
//! were idle by then under suspicion: they are tried when they are taken next, and replaced.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quay_core::{StoreError, StoreErrorKind};
use sqlx::pool::{PoolConnection, PoolConnectionMetadata, PoolOptions};
use sqlx::{Connection as _, Database, Pool, Transaction};
use tokio::time::Instant;

use super::connect::{ConnectOptions, Reuse};
use super::db::{Row, Value, failed};
use super::quota::Counting;

/// Connections idle for longer than this are tried before they are used: firewalls forget them.
const IDLE: Duration = Duration::from_mins(1);
/// Pause between attempts at the first connection.
const PAUSE: Duration = Duration::from_millis(250);

/// What a statement did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// Rows that it found to change.
    pub(super) changed: u64,
    /// The id that it gave out last, where the dialect tells.
    #[cfg_attr(
        not(feature = "mysql"),
        expect(dead_code, reason = "PostgreSQL returns ids as rows")
    )]
    pub(super) id: u64,
}

/// How a driver runs statements.
pub(super) trait Driver: Database {
    fn rows(
        connection: &mut Self::Connection,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<Row>, sqlx::Error>> + Send;

    fn run(
        connection: &mut Self::Connection,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Done, sqlx::Error>> + Send;
}

/// When a connection was last found dead.
#[derive(Debug, Clone)]
struct Losses {
    opened: Instant,
    /// Milliseconds from then to the last loss, plus one; 0 is never.
    last: Arc<AtomicU64>,
}

impl Losses {
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            last: Arc::default(),
        }
    }

    fn note(&self, error: &StoreError) {
        if error.kind() == StoreErrorKind::Unavailable {
            let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.last.fetch_max(now + 1, Ordering::Relaxed);
        }
    }

    /// Whether a connection may have died unnoticed.
    fn suspect(&self, idle: Duration) -> bool {
        if idle > IDLE {
            return true;
        }
        let last = self.last.load(Ordering::Relaxed);
        last > 0 && self.opened.elapsed().saturating_sub(idle) <= Duration::from_millis(last)
    }
}

/// A database server.
#[derive(Debug)]
pub(super) struct Server<D: Driver> {
    pool: Pool<D>,
    losses: Losses,
}

/// A unit of work: a transaction.
#[derive(Debug)]
pub(super) struct Unit<D: Driver> {
    transaction: Transaction<'static, D>,
    losses: Losses,
    /// Whether a statement has failed. MySQL ends the transaction by itself when it finds a deadlock, and
    /// would then take each statement that follows for a change of its own.
    failed: bool,
    pub(super) counting: Counting,
}

fn noted(losses: &Losses, action: &str, error: sqlx::Error) -> StoreError {
    let error = failed(action, error);
    losses.note(&error);
    error
}

impl<D: Driver> Server<D> {
    /// Makes the pool and its first connection, trying again while the server cannot be reached.
    /// `session` is run on each new connection.
    pub(super) async fn connect(
        driver: <D::Connection as sqlx::Connection>::Options,
        options: &ConnectOptions,
        session: &'static str,
    ) -> Result<(Self, PoolConnection<D>), StoreError>
    where
        for<'c> &'c mut D::Connection: sqlx::Executor<'c, Database = D>,
    {
        let losses = Losses::new();
        let seen = losses.clone();
        let mut pool = PoolOptions::<D>::new()
            .max_connections(options.connections.max(1))
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, about: PoolConnectionMetadata| {
                let suspect = seen.suspect(about.idle_for);
                Box::pin(async move {
                    if suspect {
                        // The pool replaces what fails here.
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            });
        if let Some(lifetime) = options.max_lifetime {
            pool = pool.max_lifetime(lifetime.max(Duration::from_secs(1)));
        }
        if options.reuse == Reuse::Never {
            pool = pool.after_release(|_, _| Box::pin(async { Ok(false) }));
        }
        if !session.is_empty() {
            pool = pool.after_connect(move |connection, _| {
                Box::pin(async move { sqlx::Executor::execute(&mut *connection, session).await.map(drop) })
            });
        }
        let pool = pool.connect_lazy_with(driver);
        let began = Instant::now();
        let first = loop {
            match pool.acquire().await {
                Ok(first) => break first,
                Err(error) => {
                    let again = may_come_up(&error) && began.elapsed() + PAUSE < options.connect_timeout;
                    if !again {
                        return Err(failed("connect", error));
                    }
                    tracing::warn!(%error, "the database cannot be reached yet");
                }
            }
            tokio::time::sleep(PAUSE).await;
        };
        Ok((Self { pool, losses }, first))
    }

    pub(super) async fn rows(
        &self,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut connection = self
            .pool
            .acquire()
            .await
            .map_err(|error| failed("connect", error))?;
        D::rows(&mut connection, sql, values)
            .await
            .map_err(|error| noted(&self.losses, "read", error))
    }

    pub(super) async fn begin(&self) -> Result<Unit<D>, StoreError> {
        let transaction = self
            .pool
            .begin()
            .await
            .map_err(|error| noted(&self.losses, "begin", error))?;
        Ok(Unit {
            transaction,
            losses: self.losses.clone(),
            failed: false,
            counting: Counting::default(),
        })
    }
}

impl<D: Driver> Unit<D> {
    fn intact(&self) -> Result<(), StoreError> {
        if self.failed {
            let context = "an earlier change of this unit of work has failed";
            return Err(StoreError::new(StoreErrorKind::Conflict, context));
        }
        Ok(())
    }

    /// What became of a statement.
    fn outcome<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        outcome.map_err(|error| {
            self.failed = true;
            noted(&self.losses, "change", error)
        })
    }

    pub(super) async fn rows(
        &mut self,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        self.intact()?;
        let outcome = D::rows(&mut self.transaction, sql, values).await;
        self.outcome(outcome)
    }

    pub(super) async fn run(
        &mut self,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<Done, StoreError> {
        self.intact()?;
        let outcome = D::run(&mut self.transaction, sql, values).await;
        self.outcome(outcome)
    }

    /// As [`run`](Self::run), for dialects that undo a statement which meets a unique key, and nothing
    /// else: the inner error is that the key was met.
    #[cfg(feature = "mysql")]
    pub(super) async fn run_unless_duplicate(
        &mut self,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<Result<Done, StoreError>, StoreError> {
        self.intact()?;
        match D::run(&mut self.transaction, sql, values).await {
            Err(error) if super::db::is_duplicate(&error) => Ok(Err(failed("change", error))),
            outcome => self.outcome(outcome).map(Ok),
        }
    }

    /// Makes an error of [`run_unless_duplicate`](Self::run_unless_duplicate) count.
    #[cfg(feature = "mysql")]
    pub(super) const fn failed_with(&mut self, duplicate: StoreError) -> StoreError {
        self.failed = true;
        duplicate
    }

    /// Ends it for good.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.intact()?;
        let losses = self.losses;
        self.transaction
            .commit()
            .await
            .map_err(|error| noted(&losses, "commit", error))
    }
}

/// Whether a first connection that failed may succeed a little later.
fn may_come_up(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        // What TLS does not like stays as it is.
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
        sqlx::Error::Database(error) => error.is_transient_in_connect_phase(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_idle_at_a_loss_is_suspect_and_nothing_newer() {
        let losses = Losses::new();
        tokio::time::advance(Duration::from_secs(20)).await;
        assert!(!losses.suspect(Duration::from_secs(20)));
        assert!(losses.suspect(IDLE * 2));
        losses.note(&StoreError::new(StoreErrorKind::Conflict, "busy"));
        assert!(!losses.suspect(Duration::from_secs(1)), "a conflict is no loss");
        losses.note(&StoreError::new(StoreErrorKind::Unavailable, "gone"));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(losses.suspect(Duration::from_secs(6)), "idle since before");
        assert!(!losses.suspect(Duration::from_secs(4)), "idle since after");
    }
}
