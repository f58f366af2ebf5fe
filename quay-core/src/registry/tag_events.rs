//! A tag's history as a list of what happened to it, as the tag-history extension of the distribution
//! specification wants it (`opencontainers/distribution-spec`, `extensions/_oci.md` at commit 0c97df1).

use super::{HistoryRequest, Registry};
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::media_type::MediaType;
use crate::metadata::{TagEntry, TagNames, TagPosition};
use crate::name::{RepositoryName, Tag};
use crate::runtime::Timestamp;

/// Rows read at once.
const ROWS: usize = 100;

/// What happened to a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the extension knows these two")]
pub enum TagEventKind {
    /// It came to point at a manifest.
    Created,
    /// It was deleted, or ended by itself.
    Deleted,
}

/// Something that happened to a tag, and the manifest that it came to point at or had pointed at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagEvent {
    /// What.
    pub kind: TagEventKind,
    /// When.
    pub at: Timestamp,
    /// The manifest's digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Its size in bytes.
    pub size: u64,
}

impl TagEvent {
    fn of(kind: TagEventKind, at: Timestamp, entry: &TagEntry) -> Self {
        Self {
            kind,
            at,
            digest: entry.tag.digest,
            media_type: entry.media_type.clone(),
            size: entry.size,
        }
    }
}

impl Registry {
    /// What happened to a tag before a time, the newest first, `limit` events at the most, as far as the time machine
    /// reaches; only what concerns one manifest, if it is named. A tag without a history has no events. Cost follows
    /// the events; those passed over for one manifest's count too.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] when the manifest that is named is not in the tag's history;
    /// [`ErrorKind::NameUnknown`]; what keeps the caller from pulling, or a store's.
    pub async fn tag_events(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        before: Option<Timestamp>,
        digest: Option<&Digest>,
        limit: usize,
        caller: &Caller,
    ) -> Result<Vec<TagEvent>, Error> {
        let now = self.0.runtime.clock.now();
        let mut known = digest.is_none();
        let mut events = Vec::new();
        // When the row after this one begins: where a row ends then, the tag was moved and not deleted.
        let mut next = None;
        let mut after = None;
        loop {
            let request = HistoryRequest::new(ROWS)
                .with_names(Some(TagNames::Exactly(tag.as_str().to_owned())))
                .with_start(after.clone(), 0);
            let page = self.tag_history(name, &request, caller).await?;
            for entry in &page.entries {
                let (start, end) = (entry.tag.start, entry.tag.end);
                // A tag that is deleted in the moment in which it was made ends when it begins, which may be
                // a moment ahead.
                let deleted =
                    end.filter(|end| (*end <= now || *end == start) && next.is_none_or(|next| *end < next));
                next = Some(start);
                if digest.is_some_and(|digest| *digest != entry.tag.digest) {
                    continue;
                }
                known = true;
                let happened = [
                    (TagEventKind::Deleted, deleted),
                    (TagEventKind::Created, Some(start)),
                ];
                for (kind, at) in happened {
                    let at = at.filter(|at| before.is_none_or(|before| *at < before));
                    if let Some(at) = at.filter(|_| events.len() < limit) {
                        events.push(TagEvent::of(kind, at, entry));
                    }
                }
            }
            let last = page.entries.last().filter(|_| page.more);
            let enough = known && events.len() >= limit;
            match last {
                Some(last) if !enough => after = Some(TagPosition::from(&last.tag)),
                _ => break,
            }
        }
        if known {
            return Ok(events);
        }
        Err(Error::new(
            ErrorKind::InvalidRequest,
            "the manifest is not in the history of the tag",
        ))
    }
}
