//! Undo: all tags of a repository put back to what they were at a point in time. Beyond Quay.
//!
//! Nothing is erased by it: what is put back, or ended, is one more row of its history, so that an undo can be
//! undone.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Registry, authorised};
use crate::accounts::LogKind;
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::metadata::{PageRequest, RepositoryId, RepositoryRecord, TagRecord, TagTarget, UnitOfWork};
use crate::name::{RepositoryName, Tag};
use crate::runtime::Timestamp;

/// Changed tags that one unit of work takes: with no more than that, an undo happens as a whole or not at all.
const BATCH: usize = 1000;
/// Changed tags that one call looks at; beyond, it says where the next goes on.
const MOST: usize = 10 * BATCH;
/// Tags that are told one by one; all are counted.
const LISTED: usize = 1000;

/// Whether an undo is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "it is done, or looked at")]
pub enum UndoMode {
    /// It is.
    #[default]
    Apply,
    /// It is told what would change, and nothing does.
    Preview,
}

/// What becomes of a tag that is not what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UndoAction {
    /// It points again at what it pointed at.
    Restore,
    /// It was made since then, and ends.
    End,
    /// What it pointed at, or a part of that, has been collected: it stays as it is.
    Collected,
    /// It is immutable: it stays as it is.
    Immutable,
}

impl UndoAction {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::End => "end",
            Self::Collected => "collected",
            Self::Immutable => "immutable",
        }
    }
}

/// A tag that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagUndo {
    /// The tag.
    pub tag: Tag,
    /// What becomes of it.
    pub action: UndoAction,
    /// What it pointed at then.
    pub then: Option<Digest>,
    /// What it pointed at when it was looked at.
    pub now: Option<Digest>,
}

/// What an undo did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undone {
    /// Tags that point again at what they pointed at.
    pub restored: u64,
    /// Tags that were made since then, and ended.
    pub ended: u64,
    /// Tags that stay as they are, since what they pointed at has been collected.
    pub collected: u64,
    /// Tags that stay as they are, since they are immutable.
    pub immutable: u64,
    /// These tags in byte order; 1000 at the most.
    pub tags: Vec<TagUndo>,
    /// The tag behind which the next call goes on, where there is more than one call looks at.
    pub next: Option<Tag>,
}

impl Undone {
    fn add(&mut self, tag: TagUndo) {
        match tag.action {
            UndoAction::Restore => self.restored += 1,
            UndoAction::End => self.ended += 1,
            UndoAction::Collected => self.collected += 1,
            UndoAction::Immutable => self.immutable += 1,
        }
        if self.tags.len() < LISTED {
            self.tags.push(tag);
        }
    }
}

/// A step of an undo: what it did, and the last tag that it looked at, if there may be more.
struct Step {
    tags: Vec<TagUndo>,
    last: Option<Tag>,
}

fn rejected(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Rejected, message)
}

fn no_past_here() -> Error {
    Error::new(ErrorKind::Unsupported, "the past of tags is not kept here")
}

impl Registry {
    /// Puts the tags of a repository back to what they were at `at`: those that were moved or have ended since
    /// then point again at what they pointed at, those that were made since then end. What was deleted comes back
    /// as for [`restore_tag`](Self::restore_tag); a tag whose manifest cannot be brought back stays as it is, and is
    /// told, as does one that is immutable. Tags that are put back last for good. History that was erased, or forgotten since, is as if it had not
    /// been: a tag of which nothing is known at `at` was made since.
    ///
    /// Guarantees: up to 1000 changed tags are one unit of work, all or nothing. Of more, each thousand in byte order
    /// is one; if something fails on the way, what was done stays, and the same call again does the rest, since a tag
    /// that is what it was is left alone. A tag that somebody moves while that goes on is put back if its turn is yet
    /// to come. One call looks at 10 000 changed tags, and says behind which tag (`after`) the next goes on. Every tag
    /// that is changed has an entry in the action log, in the unit of work that changes it.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] for a time that is to come, before the repository was made, or longer ago than the
    /// time machine reaches; [`ErrorKind::QuotaExceeded`] when what would come back is too much, in a preview as well;
    /// what keeps the caller from changing the repository, or a store's.
    pub async fn undo(
        &self,
        name: &RepositoryName,
        at: Timestamp,
        after: Option<Tag>,
        mode: UndoMode,
        caller: &Caller,
    ) -> Result<Undone, Error> {
        let mut record = self.changeable(name, caller).await?;
        let now = self.0.runtime.clock.now();
        if at > now {
            return Err(rejected(
                "the point in time to go back to must not lie in the future",
            ));
        }
        let window = self.window(name).await?;
        if at < now.minus(window) {
            return Err(rejected(format!(
                "the point in time to go back to lies further back than the time machine reaches here, which is {} seconds",
                window.as_secs()
            )));
        }
        let mut undone = Undone {
            next: after,
            ..Undone::default()
        };
        let mut looked_at = 0;
        while looked_at < MOST {
            let page = PageRequest::new(undone.next.clone(), BATCH);
            let step: Result<Step, Error> = match mode {
                UndoMode::Apply => transact!(
                    self,
                    |unit| async {
                        self.undo_step(&mut *unit, &record, (at, now), &page, mode, caller)
                            .await
                    },
                    record = self.changeable(name, caller).await?
                ),
                UndoMode::Preview => {
                    // What it takes to find out is undone with the unit of work.
                    let mut unit = self.0.metadata.begin().await?;
                    let step = self
                        .undo_step(&mut *unit, &record, (at, now), &page, mode, caller)
                        .await?;
                    unit.abandon().await?;
                    Ok(step)
                }
            };
            let step = step?;
            looked_at += BATCH;
            step.tags.into_iter().for_each(|tag| undone.add(tag));
            undone.next = step.last;
            if undone.next.is_none() {
                break;
            }
        }
        Ok(undone)
    }

    /// Looks at one page of changed tags, and puts them back unless it is a preview.
    async fn undo_step(
        &self,
        unit: &mut dyn UnitOfWork,
        record: &RepositoryRecord,
        (at, now): (Timestamp, Timestamp),
        page: &PageRequest<Tag>,
        mode: UndoMode,
        caller: &Caller,
    ) -> Result<Step, Error> {
        let repository = authorised(&mut *unit, record).await?;
        let past = unit.past().ok_or_else(no_past_here)?;
        if past
            .created(repository)
            .await?
            .is_some_and(|created| at < created)
        {
            return Err(rejected(
                "the point in time to go back to lies before the repository was made",
            ));
        }
        let names = past.changed(repository, at, now, page).await?;
        let by_name = |rows: Vec<TagRecord>| -> HashMap<Tag, TagRecord> {
            rows.into_iter().map(|row| (row.name.clone(), row)).collect()
        };
        let mut then = by_name(past.rows_at(repository, &names, at).await?);
        let mut live = by_name(unit.tags().live(repository, &names, now).await?);
        let immutability = self.immutability(&mut *unit, &record.name, repository).await?;
        let mut tags = Vec::new();
        for name in &names {
            let (then, live) = (then.remove(name), live.remove(name));
            let manifest = |row: &Option<TagRecord>| row.as_ref().map(|row| row.manifest_id);
            if manifest(&then) == manifest(&live) {
                continue;
            }
            let action = match &then {
                _ if live.as_ref().is_some_and(|row| immutability.covers(row)) => UndoAction::Immutable,
                None => UndoAction::End,
                Some(row) if unit.manifests().revive(repository, row.manifest_id).await? => {
                    UndoAction::Restore
                }
                Some(_) => UndoAction::Collected,
            };
            let digest = |row: Option<TagRecord>| row.map(|row| row.digest);
            let target = manifest(&then);
            let tag = TagUndo {
                tag: name.clone(),
                action,
                then: digest(then),
                now: digest(live),
            };
            if mode == UndoMode::Apply {
                let target = target.map(|target| immutability.target(name, TagTarget::new(target)));
                self.put_back(&mut *unit, (record, repository), &tag, target, (at, now), caller)
                    .await?;
            }
            tags.push(tag);
        }
        // What is brought back counts in a preview too: it tells what would be refused.
        self.settle_quota(&mut *unit, &record.name, repository, now)
            .await?;
        let last = names.last().filter(|_| names.len() == page.limit).cloned();
        Ok(Step { tags, last })
    }

    async fn put_back(
        &self,
        unit: &mut dyn UnitOfWork,
        (record, repository): (&RepositoryRecord, RepositoryId),
        tag: &TagUndo,
        target: Option<TagTarget>,
        (at, now): (Timestamp, Timestamp),
        caller: &Caller,
    ) -> Result<(), Error> {
        let restored_to = at.as_millis().div_euclid(1000);
        let (kind, more): (LogKind, Value) = match (tag.action, target) {
            (UndoAction::Restore, Some(target)) => {
                let target = target.with_reversion(true);
                unit.tags().set(repository, &tag.tag, target, now).await?;
                if let Some(digest) = tag.then {
                    self.want_scan_again(&mut *unit, repository, digest, now).await?;
                }
                let more = json!({
                    "tag": tag.tag.as_str(),
                    "manifest_digest": tag.then,
                    "original_manifest_digest": tag.now,
                    "restored_to": restored_to,
                });
                (LogKind::RevertTag, more)
            }
            (UndoAction::End, _) => {
                unit.tags().end(repository, &tag.tag, now).await?;
                let more = json!({
                    "tag": tag.tag.as_str(),
                    "original_manifest_digest": tag.now,
                    "restored_to": restored_to,
                });
                (LogKind::DeleteTag, more)
            }
            _ => return Ok(()),
        };
        self.log_change(unit, kind, &record.name, repository, more, caller)
            .await
    }
}
