//! The tags of a push.

use super::super::Registry;
use super::immutability::Immutability;
use crate::error::Error;
use crate::metadata::{RepositoryId, TagRecord, TagTarget, UnitOfWork};
use crate::name::Tag;
use crate::runtime::Timestamp;

/// Tags that are to point at a manifest.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct TagPush<'a> {
    tags: &'a [Tag],
    /// Those of them that are alive.
    live: &'a [TagRecord],
    /// The row of the manifest.
    manifest: i64,
    /// When they end by themselves, as the image says.
    end: Option<Timestamp>,
}

impl<'a> TagPush<'a> {
    pub(in super::super) const fn new(
        tags: &'a [Tag],
        live: &'a [TagRecord],
        manifest: i64,
        end: Option<Timestamp>,
    ) -> Self {
        Self {
            tags,
            live,
            manifest,
            end,
        }
    }

    fn current(&self, tag: &Tag) -> Option<&'a TagRecord> {
        self.live.iter().find(|record| record.name == *tag)
    }
}

impl Registry {
    /// Points tags at a manifest, once it is clear that they may be. Those that did not point at it before.
    pub(in super::super) async fn push_tags<'a>(
        &self,
        unit: &mut dyn UnitOfWork,
        repository: RepositoryId,
        push: &TagPush<'a>,
        immutability: &Immutability,
        now: Timestamp,
    ) -> Result<Vec<&'a Tag>, Error> {
        let mut moved = Vec::new();
        for tag in push.tags {
            let current = push.current(tag);
            let lasts = |row: &TagRecord| immutability.covers(row) && !immutability.can_expire();
            // The same content again is no event in the tag's history.
            if current.is_none_or(|record| record.manifest_id != push.manifest) {
                let target = TagTarget::new(push.manifest).with_end(push.end);
                let target = immutability.target(tag, target);
                unit.tags().set(repository, tag, target, now).await?;
                moved.push(tag);
            } else if push.end.is_some()
                && current.is_some_and(|row| row.end.is_some() && row.end < push.end && !lasts(row))
            {
                // What is pushed again lasts from now on, unless somebody has said otherwise.
                unit.tags().set_end(repository, tag, push.end).await?;
            }
        }
        Ok(moved)
    }
}
