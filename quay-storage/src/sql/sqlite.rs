//! SQLite: one connection that writes, a few that read, and transactions that share a commit.
//!
//! A unit of work is a savepoint in a transaction that stays open while others wait for their turn. The
//! committer queues for the connection like everybody else; when it gets it, it commits for all who came
//! before, with one sync of the log, and only then are they answered.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use quay_core::runtime::Spawner;
use quay_core::{StoreError, StoreErrorKind};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, oneshot};

use super::cache::{Cache, Touched};
use super::db::{Row, Value, failed, sqlite_rows, sqlite_run};

/// Connections that read. Statements take microseconds; more connections would cost memory.
const READERS: u32 = 4;

#[derive(Debug)]
pub(super) struct Sqlite {
    readers: SqlitePool,
    writer: Arc<Mutex<Writer>>,
    wake: Arc<Notify>,
    /// Held as long as the database is open: who holds it is the sole writer.
    _lock: File,
}

#[derive(Debug)]
struct Writer {
    connection: SqliteConnection,
    /// Whether a transaction is open.
    open: bool,
    /// Whether a savepoint is open that nobody will release: its unit of work was dropped.
    abandoned: bool,
    /// Whether a statement failed in a way that may have ended the whole transaction.
    suspect: bool,
    /// Who waits for the commit.
    pending: Vec<oneshot::Sender<Result<(), StoreError>>>,
    touched: Touched,
    cache: Arc<Cache>,
}

/// A unit of work: a savepoint, and the connection with it.
#[derive(Debug)]
pub(super) struct Unit {
    /// `None` once committed.
    writer: Option<OwnedMutexGuard<Writer>>,
    wake: Arc<Notify>,
    pub(super) touched: Touched,
}

fn again(context: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Conflict, context)
}

impl Sqlite {
    pub(super) async fn open(
        path: &Path,
        cache: Arc<Cache>,
        spawner: &dyn Spawner,
    ) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .pragma("mmap_size", "268435456")
            .disable_statement_logging();
        // By way of a pool, whose future owns what it needs.
        let mut connection = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(|error| failed(&format!("open {}", path.display()), error))?
            .acquire()
            .await
            .map_err(|error| failed("open the writer", error))?
            .detach();
        super::migrate::sqlite(&mut connection).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .map_err(|error| failed("open readers", error))?;
        let writer = Arc::new(Mutex::new(Writer {
            connection,
            open: false,
            abandoned: false,
            suspect: false,
            pending: Vec::new(),
            touched: Touched::default(),
            cache,
        }));
        let wake = Arc::new(Notify::new());
        let (weak, awake) = (Arc::downgrade(&writer), Arc::clone(&wake));
        spawner.spawn(
            async move {
                loop {
                    awake.notified().await;
                    let Some(writer) = weak.upgrade() else { return };
                    writer.lock().await.finish().await;
                }
            }
            .boxed(),
        );
        Ok(Self {
            readers,
            writer,
            wake,
            _lock: lock,
        })
    }

    pub(super) async fn rows(
        &self,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut reader = self
            .readers
            .acquire()
            .await
            .map_err(|error| failed("reach a reader", error))?;
        sqlite_rows(&mut reader, sql, values)
            .await
            .map_err(|error| failed("read", error))
    }

    pub(super) async fn begin(&self) -> Result<Unit, StoreError> {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        writer.settle().await;
        // From here on a dropped unit of work leaves something to clean up.
        let mut unit = Unit {
            writer: Some(writer),
            wake: Arc::clone(&self.wake),
            touched: Touched::default(),
        };
        if let Some(writer) = &mut unit.writer {
            writer.start().await?;
        }
        Ok(unit)
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // The committer finds the writer gone and ends.
        self.wake.notify_one();
    }
}

/// Takes the lock that makes this process the sole writer.
fn lock(path: &Path) -> Result<File, StoreError> {
    // By its real name, so that two ways to one database meet at one lock.
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(_) => match (path.parent().map(Path::canonicalize), path.file_name()) {
            (Some(Ok(directory)), Some(name)) => directory.join(name),
            _ => path.to_owned(),
        },
    };
    let mut lock_path = real.into_os_string();
    lock_path.push(".lock");
    let lock_path = Path::new(&lock_path);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lock_path)
        .map_err(|error| StoreError::io(format!("open {}", lock_path.display()), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!("{} is in use by another process", path.display()),
        )),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(StoreError::io(format!("lock {}", lock_path.display()), error))
        }
    }
}

impl Writer {
    async fn execute(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlite_run(&mut self.connection, Cow::Borrowed(sql), Vec::new())
            .await
            .map(drop)
            .map_err(|error| failed(sql, error))
    }

    /// Cleans up behind a unit of work that was dropped.
    async fn settle(&mut self) {
        if self.suspect {
            self.give_up("another change of the same commit failed").await;
        } else if self.abandoned {
            // Should this be dropped half way, nobody knows what is left of the transaction.
            self.suspect = true;
            let undone = async {
                self.execute("ROLLBACK TO unit").await?;
                self.execute("RELEASE unit").await
            };
            if undone.await.is_ok() {
                self.suspect = false;
                self.abandoned = false;
            } else {
                self.give_up("the transaction was lost").await;
            }
        }
    }

    /// Ends the transaction for everybody in it. They may try again.
    async fn give_up(&mut self, reason: &str) {
        self.suspect = true;
        // Fails when SQLite has rolled back by itself, which is as well.
        let _ = self.execute("ROLLBACK").await;
        self.open = false;
        self.abandoned = false;
        self.suspect = false;
        self.touched = Touched::default();
        for waiting in self.pending.drain(..) {
            let _ = waiting.send(Err(again(reason)));
        }
    }

    async fn start(&mut self) -> Result<(), StoreError> {
        if !self.open {
            self.open = true;
            // Set first: should this future be dropped, `settle` finds no savepoint and rolls back.
            self.abandoned = true;
            self.execute("BEGIN IMMEDIATE")
                .await
                .inspect_err(|_| self.suspect = true)?;
        }
        self.abandoned = true;
        self.execute("SAVEPOINT unit")
            .await
            .inspect_err(|_| self.suspect = true)
    }

    /// The committer's turn.
    async fn finish(&mut self) {
        self.settle().await;
        if !self.open {
            return;
        }
        match self.execute("COMMIT").await {
            Ok(()) => {
                self.open = false;
                // Dropped from the caches before anybody is told that it changed.
                self.cache.drop_touched(&std::mem::take(&mut self.touched));
                for waiting in self.pending.drain(..) {
                    let _ = waiting.send(Ok(()));
                }
            }
            Err(error) => {
                let kind = error.kind();
                tracing::error!(%error, source = ?std::error::Error::source(&error), "commit failed");
                let waiting = std::mem::take(&mut self.pending);
                self.give_up("the commit failed").await;
                for waiting in waiting {
                    let _ = waiting.send(Err(StoreError::new(kind, "commit in the metadata database")));
                }
            }
        }
    }
}

impl Unit {
    fn writer(&mut self) -> Result<&mut Writer, StoreError> {
        self.writer
            .as_deref_mut()
            .ok_or_else(|| StoreError::new(StoreErrorKind::Other, "the unit of work has ended"))
    }

    pub(super) async fn rows(
        &mut self,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let writer = self.writer()?;
        let outcome = sqlite_rows(&mut writer.connection, sql, values)
            .await
            .map_err(|error| failed("change", error));
        writer.note(outcome)
    }

    pub(super) async fn run(
        &mut self,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        let writer = self.writer()?;
        let outcome = sqlite_run(&mut writer.connection, sql, values)
            .await
            .map_err(|error| failed("change", error));
        writer.note(outcome)
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let writer = self.writer()?;
        let outcome = writer.execute("RELEASE unit").await;
        writer.note(outcome)?;
        writer.abandoned = false;
        let (sender, committed) = oneshot::channel();
        writer.pending.push(sender);
        let touched = std::mem::take(&mut self.touched);
        if let Some(mut writer) = self.writer.take() {
            writer.touched.merge(touched);
        }
        self.wake.notify_one();
        committed.await.unwrap_or_else(|_| {
            Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "the host is shutting down",
            ))
        })
    }
}

impl Writer {
    /// Remembers a failure that may have ended more than the statement. SQLite undoes a statement that
    /// met a constraint by itself, and the whole transaction when the disk is full, say.
    fn note<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &outcome
            && error.kind() != StoreErrorKind::Conflict
        {
            self.suspect = true;
        }
        outcome
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // Whoever gets the connection next rolls back what is left.
        self.wake.notify_one();
    }
}
