//! When tags were last pulled: counted in memory, many pulls to a row, and written in batches.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;

use super::super::Registry;
use crate::digest::Digest;
use crate::error::Error;
use crate::metadata::{PullCount, RepositoryId, RepositoryRecord};
use crate::name::{Reference, Tag};
use crate::runtime::Timestamp;

/// Rows written at once.
const BATCH: usize = 500;
/// Rows that wait before they are written without being asked for.
const SPILL: usize = 2000;
/// Rows that wait at the most. Pulls of others are not counted until these are written.
const MOST: usize = 20_000;

type Key = (RepositoryId, Digest, Option<Tag>);

/// Pulls that are not written yet.
#[derive(Debug, Default)]
pub(in super::super) struct PullCounts {
    waiting: Mutex<Waiting>,
    /// Held by whoever writes.
    writing: futures::lock::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    counts: HashMap<Key, (u64, Timestamp)>,
    /// Whether somebody has been told to write.
    called: bool,
    /// Pulls that were not counted.
    lost: u64,
}

impl Waiting {
    fn add(&mut self, key: Key, pulls: u64, last: Timestamp) {
        if self.counts.len() >= MOST && !self.counts.contains_key(&key) {
            self.lost = self.lost.saturating_add(pulls);
            return;
        }
        let count = self.counts.entry(key).or_insert((0, last));
        *count = (count.0.saturating_add(pulls), count.1.max(last));
    }
}

impl Registry {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        let waiting = &self.0.pull_counts.waiting;
        waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a pull, in memory alone.
    pub(in super::super) fn count_pull(
        &self,
        record: &RepositoryRecord,
        reference: &Reference,
        digest: &Digest,
    ) {
        if !self.0.options.last_pulls || self.0.options.read_only {
            return;
        }
        let tag = match reference {
            Reference::Tag(tag) => Some(tag.clone()),
            Reference::Digest(_) => None,
        };
        let now = self.0.runtime.clock.now();
        let call = {
            let mut waiting = self.waiting();
            waiting.add((record.id, *digest, tag), 1, now);
            let call = !waiting.called && waiting.counts.len() >= SPILL;
            waiting.called |= call;
            call
        };
        if call {
            let registry = self.clone();
            self.0.runtime.spawner.spawn(
                async move {
                    if let Err(error) = registry.flush_pulls().await {
                        tracing::warn!(%error, source = ?error.store_error(), "pulls were not counted, tried again later");
                    }
                }
                .boxed(),
            );
        }
    }

    /// Writes what was counted of pulls since the last time: many pulls of one manifest by one name are one row. A
    /// host calls it every few seconds and before it exits; what is not written is lost with the process, and pulls
    /// of other processes are seen once they have written them.
    ///
    /// # Errors
    /// A store's. What could not be written is kept for the next time.
    pub async fn flush_pulls(&self) -> Result<usize, Error> {
        let _turn = self.0.pull_counts.writing.lock().await;
        let (counts, lost) = {
            let mut waiting = self.waiting();
            waiting.called = false;
            (
                std::mem::take(&mut waiting.counts),
                std::mem::take(&mut waiting.lost),
            )
        };
        if lost > 0 {
            tracing::warn!(lost, "pulls were not counted, too many waited");
        }
        let mut left: Vec<PullCount> = counts
            .into_iter()
            .map(|((repository, digest, tag), (pulls, last))| {
                PullCount::new(repository, digest, tag, pulls, last)
            })
            .collect();
        // Neighbours in the store are written together, by all processes in one order.
        left.sort_by(|left, right| {
            let place = |pull: &PullCount| (pull.repository, pull.digest);
            place(left)
                .cmp(&place(right))
                .then_with(|| left.tag.cmp(&right.tag))
        });
        let mut written = 0;
        let guard = Returned {
            registry: self,
            left: &mut left,
        };
        while !guard.left.is_empty() {
            let from = guard.left.len().saturating_sub(BATCH);
            let batch = guard.left.get(from..).unwrap_or_default().to_vec();
            transact!(self, |unit| async {
                match unit.lifecycle() {
                    Some(store) => Ok(store.count_pulls(&batch).await?),
                    None => Ok(()),
                }
            })?;
            guard.left.truncate(from);
            written += batch.len();
        }
        Ok(written)
    }
}

/// Puts back what was not written, whether writing failed or was given up.
struct Returned<'a> {
    registry: &'a Registry,
    left: &'a mut Vec<PullCount>,
}

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        if self.left.is_empty() {
            return;
        }
        let mut waiting = self.registry.waiting();
        for pull in self.left.drain(..) {
            waiting.add((pull.repository, pull.digest, pull.tag), pull.pulls, pull.last);
        }
    }
}
