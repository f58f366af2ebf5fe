//! SQLite: one connection that writes, a few that read, and transactions that share a commit.
//!
//! A unit of work is a savepoint in a transaction that stays open while others wait for their turn. The
//! committer queues for the connection like everybody else; when it gets it, it commits for all who came
//! before, with one sync of the log, and only then are they answered.
//!
//! Every call to the connection is a trip to its thread and back, which costs more than most statements.
//! So statements whose outcome nobody waits for travel with the next one, and what begins and ends
//! savepoints travels with the statements of whoever comes next.

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
use super::db::{Row, Value, failed, sqlite_rows};
use super::quota::Counting;

/// Connections that read. Statements take microseconds; more connections would cost memory.
const READERS: u32 = 4;

/// Prepared statements kept by each connection. The same one travels in different company.
const STATEMENTS: usize = 300;

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
    savepoint: Savepoint,
    /// Whether a call has failed or was given up in a way that leaves open what became of the transaction.
    suspect: bool,
    /// Who waits for the commit.
    pending: Vec<oneshot::Sender<Result<(), StoreError>>>,
    touched: Touched,
    cache: Arc<Cache>,
}

/// What is to become of the savepoint that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Savepoint {
    /// There is none.
    None,
    /// Its unit of work has committed: it is to be released.
    Done,
    /// Its unit of work is at work, or was dropped: unless it says otherwise, it is to be undone.
    Abandoned,
}

impl Savepoint {
    /// The statements that end it.
    const fn end(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Done => "RELEASE unit; ",
            Self::Abandoned => "ROLLBACK TO unit; RELEASE unit; ",
        }
    }
}

/// A unit of work: a savepoint, and the connection with it.
#[derive(Debug)]
pub(super) struct Unit {
    /// `None` once committed.
    writer: Option<OwnedMutexGuard<Writer>>,
    wake: Arc<Notify>,
    /// Whether its savepoint has been opened.
    begun: bool,
    /// Statements whose outcome nobody has waited for yet.
    deferred: String,
    deferred_values: Vec<Value>,
    pub(super) touched: Touched,
    pub(super) counting: Counting,
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
        super::foreign::refuse_sqlite(path).await?;
        let lock = lock(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .statement_cache_capacity(STATEMENTS)
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
            savepoint: Savepoint::None,
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
        Ok(Unit {
            writer: Some(writer),
            wake: Arc::clone(&self.wake),
            begun: false,
            deferred: String::new(),
            deferred_values: Vec::new(),
            touched: Touched::default(),
            counting: Counting::default(),
        })
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
    /// Runs statements. Until the answer is there, nobody knows what has become of the transaction.
    async fn call(&mut self, sql: Cow<'static, str>, values: Vec<Value>) -> Result<Vec<Row>, sqlx::Error> {
        self.suspect = true;
        let outcome = sqlite_rows(&mut self.connection, sql, values).await;
        self.suspect = false;
        outcome
    }

    /// Ends the transaction if it cannot be trusted any more.
    async fn settle(&mut self) {
        if self.suspect {
            self.give_up("another change of the same commit failed").await;
        }
    }

    /// Ends the transaction for everybody in it. They may try again.
    async fn give_up(&mut self, reason: &str) {
        // Fails when SQLite has rolled back by itself, which is as well.
        let _ = self.call(Cow::Borrowed("ROLLBACK"), Vec::new()).await;
        self.open = false;
        self.savepoint = Savepoint::None;
        self.touched = Touched::default();
        for waiting in self.pending.drain(..) {
            let _ = waiting.send(Err(again(reason)));
        }
    }

    /// The committer's turn.
    async fn finish(&mut self) {
        self.settle().await;
        if !self.open {
            return;
        }
        let sql = match self.savepoint {
            Savepoint::None => "COMMIT",
            Savepoint::Done => "RELEASE unit; COMMIT",
            Savepoint::Abandoned => "ROLLBACK TO unit; RELEASE unit; COMMIT",
        };
        match self.call(Cow::Borrowed(sql), Vec::new()).await {
            Ok(_) => {
                self.open = false;
                self.savepoint = Savepoint::None;
                // Dropped from the caches before anybody is told that it changed.
                self.cache.drop_touched(&std::mem::take(&mut self.touched));
                for waiting in self.pending.drain(..) {
                    let _ = waiting.send(Ok(()));
                }
            }
            Err(error) => {
                let error = failed("commit", error);
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

    /// Adds a statement to go with the next one. It must yield no rows.
    pub(super) fn defer(&mut self, sql: &str, values: Vec<Value>) {
        self.deferred.push_str(sql);
        self.deferred.push_str("; ");
        self.deferred_values.extend(values);
    }

    pub(super) async fn rows(
        &mut self,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let deferred = std::mem::take(&mut self.deferred);
        let mut all_values = std::mem::take(&mut self.deferred_values);
        all_values.extend(values);
        let begun = std::mem::replace(&mut self.begun, true);
        let writer = self.writer()?;
        if writer.suspect {
            return Err(again("an earlier change of this unit of work has failed"));
        }
        let begins = !writer.open;
        let sql = if begun && deferred.is_empty() {
            sql
        } else {
            let before = if begun {
                String::new()
            } else if writer.open {
                format!("{}SAVEPOINT unit; ", writer.savepoint.end())
            } else {
                "BEGIN IMMEDIATE; SAVEPOINT unit; ".to_owned()
            };
            Cow::Owned(format!("{before}{deferred}{sql}"))
        };
        writer.open = true;
        writer.savepoint = Savepoint::Abandoned;
        let outcome = writer.call(sql, all_values).await;
        outcome.map_err(|error| {
            let error = failed("change", error);
            // SQLite undoes a statement that met a constraint by itself, and the whole transaction when
            // the disk is full, say.
            writer.suspect = begins || error.kind() != StoreErrorKind::Conflict;
            error
        })
    }

    /// Runs a statement; says how many rows it changed.
    pub(super) async fn run(
        &mut self,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        let rows = self
            .rows(Cow::Owned(format!("{sql}; SELECT changes()")), values)
            .await?;
        match rows.last() {
            Some(row) => row.size(0),
            None => Ok(0),
        }
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if let Some(last) = self.deferred.strip_suffix("; ") {
            // The last one takes the others along.
            let all = last.to_owned();
            self.deferred.clear();
            let values = std::mem::take(&mut self.deferred_values);
            self.rows(Cow::Owned(all), values).await?;
        }
        if !self.begun {
            return Ok(());
        }
        if self.writer()?.suspect {
            return Err(again("a change of this unit of work has failed"));
        }
        let touched = std::mem::take(&mut self.touched);
        let (sender, committed) = oneshot::channel();
        if let Some(mut writer) = self.writer.take() {
            writer.savepoint = Savepoint::Done;
            writer.pending.push(sender);
            writer.touched.merge(touched);
        }
        self.committed(committed).await
    }

    /// Leaves the savepoint to be undone, and waits for the units of work before it.
    pub(super) async fn abandon(mut self) -> Result<(), StoreError> {
        let (sender, committed) = oneshot::channel();
        let Some(mut writer) = self.writer.take() else {
            return Ok(());
        };
        if !self.begun || writer.pending.is_empty() {
            return Ok(());
        }
        writer.pending.push(sender);
        drop(writer);
        self.committed(committed).await
    }

    async fn committed(
        &self,
        committed: oneshot::Receiver<Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        self.wake.notify_one();
        committed.await.unwrap_or_else(|_| {
            Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "the host is shutting down",
            ))
        })
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // Whoever gets the connection next rolls back what is left.
        self.wake.notify_one();
    }
}
