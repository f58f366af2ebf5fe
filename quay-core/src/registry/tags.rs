//! The time machine: a repository's tags as a history that can be looked at, moved on and put back.

use std::time::Duration;

use serde_json::json;

use super::labels::find_live;
use super::lifecycle::refusal;
use super::{Registry, authorised};
use crate::accounts::LogKind;
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::metadata::{
    PageRequest, RepositoryId, TagEntry, TagFilter, TagNames, TagPosition, TagTarget, UnitOfWork,
};
use crate::name::{RepositoryName, Tag};
use crate::runtime::Timestamp;

/// Rows on one page of history at the most.
const MOST: usize = 500;

/// What is asked of a repository's history.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct HistoryRequest {
    /// Which names; all when absent.
    pub names: Option<TagNames>,
    /// Whether only tags count that are alive.
    pub alive: bool,
    /// Rows passed over.
    pub skip: usize,
    /// Where the page goes on.
    pub after: Option<TagPosition>,
    /// Whether it is wanted what indexes and lists name.
    pub children: bool,
    /// Rows on the page, 500 at the most.
    pub limit: usize,
}

impl HistoryRequest {
    /// The newest `limit` rows.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Only tags that are alive.
    #[must_use]
    pub const fn with_alive(mut self, alive: bool) -> Self {
        self.alive = alive;
        self
    }

    /// Only these names.
    #[must_use]
    pub fn with_names(mut self, names: Option<TagNames>) -> Self {
        self.names = names;
        self
    }

    /// With what indexes and lists name.
    #[must_use]
    pub const fn with_children(mut self, children: bool) -> Self {
        self.children = children;
        self
    }

    /// Goes on behind a row, or passes rows over.
    #[must_use]
    pub fn with_start(mut self, after: Option<TagPosition>, skip: usize) -> Self {
        self.after = after;
        self.skip = skip;
        self
    }
}

/// A page of history.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HistoryPage {
    /// The rows, what began last first.
    pub entries: Vec<TagEntry>,
    /// Whether more follow.
    pub more: bool,
}

/// When a tag ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "as it is, never, or then")]
pub enum Expiration {
    /// As it is.
    #[default]
    Kept,
    /// Never.
    Never,
    /// Then.
    At(Timestamp),
}

/// What becomes of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TagChange {
    /// When it ends.
    pub expiration: Expiration,
    /// The manifest that it is moved to.
    pub target: Option<Digest>,
    /// Whether it stays as it is from then on; as before when absent.
    pub immutable: Option<bool>,
}

impl TagChange {
    /// A tag's new end and target.
    #[must_use]
    pub const fn new(expiration: Expiration, target: Option<Digest>) -> Self {
        Self {
            expiration,
            target,
            immutable: None,
        }
    }

    /// Says whether the tag stays as it is from then on.
    #[must_use]
    pub const fn with_immutable(mut self, immutable: Option<bool>) -> Self {
        self.immutable = immutable;
        self
    }
}

fn no_such_tag() -> Error {
    Error::new(ErrorKind::NotFound, "Not Found")
}

fn seconds(time: Option<Timestamp>) -> Option<i64> {
    time.map(|time| time.as_millis().div_euclid(1000))
}

impl Registry {
    /// How long tags of a namespace can be brought back once they have ended.
    pub(super) async fn window(&self, name: &RepositoryName) -> Result<Duration, Error> {
        let own = self.0.metadata.time_machine(name.namespace()).await?;
        Ok(own.unwrap_or(self.0.options.time_machine))
    }

    /// A page of the history of a repository's tags: those that are alive, and those that ended no longer ago
    /// than they can be brought back.
    ///
    /// # Errors
    /// [`ErrorKind::NameUnknown`], what keeps the caller from pulling, or a store's.
    pub async fn tag_history(
        &self,
        name: &RepositoryName,
        request: &HistoryRequest,
        caller: &Caller,
    ) -> Result<HistoryPage, Error> {
        let now = self.0.runtime.clock.now();
        let window = self.window(name).await?;
        let filter = TagFilter::new(now.minus(window))
            .with_names(request.names.clone())
            .with_alive(request.alive)
            .with_children(request.children);
        let limit = request.limit.min(MOST);
        let page = PageRequest::new(request.after.clone(), limit.saturating_add(1));
        let lookup = self
            .0
            .metadata
            .tag_history(name, &filter, request.skip, &page, now)
            .await?;
        let repository = self
            .readable(name, lookup.repository.as_deref(), caller)
            .await?
            .id;
        let mut entries = lookup.found.unwrap_or_default();
        let more = limit > 0 && entries.len() > limit;
        entries.truncate(limit);
        self.rate_immutability(name, repository, &mut entries).await?;
        Ok(HistoryPage { entries, more })
    }

    /// Sets when a tag ends, and moves it, or makes it. A time is kept within what the registry allows, counted
    /// from when the tag began.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without such a manifest, or such a tag whose end is to be set;
    /// [`ErrorKind::TagImmutable`] when the tag stays as it is, or would by a policy that it is not to;
    /// [`ErrorKind::Rejected`] for an end that is past; what keeps the caller from changing the repository, or a
    /// store's.
    pub async fn change_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        change: TagChange,
        caller: &Caller,
    ) -> Result<(), Error> {
        let mut record = self.changeable(name, caller).await?;
        if change.immutable == Some(true) && !self.0.options.immutable_tags {
            let message = "Immutable tags are not enabled";
            return Err(Error::new(ErrorKind::InvalidRequest, message));
        }
        let now = self.0.runtime.clock.now();
        if matches!(change.expiration, Expiration::At(end) if end <= now) {
            return Err(Error::new(
                ErrorKind::Rejected,
                "the time at which a tag expires must lie in the future",
            ));
        }
        transact!(
            self,
            |unit| async {
                let repository = authorised(&mut *unit, &record).await?;
                let live = unit
                    .tags()
                    .live(repository, std::slice::from_ref(tag), now)
                    .await?
                    .pop();
                let immutability = self.immutability(&mut *unit, name, repository).await?;
                let target = match &change.target {
                    Some(target) => {
                        let manifest = find_live(&mut *unit, repository, target).await?;
                        let moves = live.as_ref().is_none_or(|row| row.manifest_id != manifest);
                        moves.then_some((target, manifest))
                    }
                    None => None,
                };
                let end = match change.expiration {
                    Expiration::Kept | Expiration::Never => None,
                    Expiration::At(end) => {
                        let kept = live.as_ref().filter(|_| target.is_none());
                        let start = kept.map_or(now, |row| row.start);
                        let (shortest, longest) = self.0.options.tag_lifetime;
                        Some(end.max(start.plus(shortest)).min(start.plus(longest)))
                    }
                };
                if let (Some(row), true) = (&live, target.is_some()) {
                    immutability.check(row, "moved")?;
                }
                let was_immutable = live.as_ref().is_some_and(|row| row.immutable) && target.is_none();
                let stays = immutability.stays(tag, change.immutable.unwrap_or(was_immutable));
                if stays && end.is_some() && !immutability.can_expire() {
                    return Err(refusal(tag, "made to end"));
                }
                if let Some((target, manifest)) = target {
                    let row = immutability.target(tag, TagTarget::new(manifest).with_end(end));
                    unit.tags().set(repository, tag, row, now).await?;
                    let (kind, original) = match &live {
                        Some(row) => (LogKind::MoveTag, Some(row.digest)),
                        None => (LogKind::CreateTag, None),
                    };
                    let more = json!({
                        "tag": tag.as_str(),
                        "manifest_digest": target,
                        "original_manifest_digest": original,
                    });
                    self.log_change(&mut *unit, kind, name, repository, more, caller)
                        .await?;
                    let made = [tag];
                    self.log_made_immutable(&mut *unit, name, repository, &immutability, &made, caller)
                        .await?;
                }
                let asks = change.expiration != Expiration::Kept || change.immutable.is_some();
                if asks && change.target.is_none() && live.is_none() {
                    return Err(no_such_tag());
                }
                if let Some(immutable) = change.immutable {
                    let was = was_immutable || (target.is_some() && immutability.rule(tag).is_some());
                    self.change_immutability(&mut *unit, (name, repository), tag, (was, immutable), caller)
                        .await?;
                    if stays && !immutability.can_expire() {
                        // It lasts from now on, whatever was said before.
                        unit.tags().set_end(repository, tag, None).await?;
                    }
                }
                if change.expiration == Expiration::Kept {
                    return Ok(());
                }
                let old = live.as_ref().and_then(|row| row.end);
                self.end_tag(&mut *unit, (name, repository), tag, (old, end), caller)
                    .await
            },
            record = self.changeable(name, caller).await?
        )
    }

    /// Sets when a tag ends that ended then, or did not.
    async fn end_tag(
        &self,
        unit: &mut dyn UnitOfWork,
        (name, repository): (&RepositoryName, RepositoryId),
        tag: &Tag,
        (old, end): (Option<Timestamp>, Option<Timestamp>),
        caller: &Caller,
    ) -> Result<(), Error> {
        unit.tags().set_end(repository, tag, end).await?;
        if old.is_none() && end.is_none() {
            return Ok(());
        }
        let more = json!({
            "tag": tag.as_str(),
            "expiration_date": seconds(end),
            "old_expiration_date": seconds(old),
        });
        self.log_change(unit, LogKind::ChangeTagExpiration, name, repository, more, caller)
            .await
    }

    /// Points a tag at a manifest of the repository, as a reversion. One that was deleted comes back where a tag
    /// has pointed at it within the time machine's reach, and what it holds is still there.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the manifest cannot be brought back, [`ErrorKind::TagImmutable`] when the tag
    /// stays as it is, what keeps the caller from changing the
    /// repository, or a store's.
    pub async fn restore_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        target: &Digest,
        caller: &Caller,
    ) -> Result<(), Error> {
        let mut record = self.changeable(name, caller).await?;
        let now = self.0.runtime.clock.now();
        let since = now.minus(self.window(name).await?);
        transact!(
            self,
            |unit| async {
                let repository = authorised(&mut *unit, &record).await?;
                let row = unit
                    .manifests()
                    .find(repository, target)
                    .await?
                    .ok_or_else(no_such_tag)?;
                let immutability = self.immutability(&mut *unit, name, repository).await?;
                let names = std::slice::from_ref(tag);
                if let Some(live) = unit.tags().live(repository, names, now).await?.first()
                    && immutability.covers(live)
                {
                    // What it points at already is nothing to refuse, and no event either.
                    return if live.manifest_id == row.id {
                        Ok(())
                    } else {
                        Err(refusal(tag, "moved"))
                    };
                }
                if !row.live {
                    let remembered = unit.tags().remembers(repository, row.id, since).await?;
                    if !remembered || !unit.manifests().revive(repository, row.id).await? {
                        return Err(no_such_tag());
                    }
                    self.settle_quota(&mut *unit, name, repository, now).await?;
                    self.want_scan_again(&mut *unit, repository, *target, now).await?;
                }
                let target_row = TagTarget::new(row.id).with_reversion(true);
                let target_row = immutability.target(tag, target_row);
                unit.tags().set(repository, tag, target_row, now).await?;
                self.log_made_immutable(&mut *unit, name, repository, &immutability, &[tag], caller)
                    .await?;
                let more = json!({ "tag": tag.as_str(), "manifest_digest": target });
                self.log_change(&mut *unit, LogKind::RevertTag, name, repository, more, caller)
                    .await
            },
            record = self.changeable(name, caller).await?
        )
    }
}
