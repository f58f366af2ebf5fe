//! What a repository's tags were at some time: what undoing needs of the rows, and what erasing does to them.

use async_trait::async_trait;

use super::PageRequest;
use super::record::{RepositoryId, TagRecord};
use crate::error::StoreError;
use crate::name::Tag;
use crate::runtime::Timestamp;

/// The past of tags within a unit of work, whose repository is locked.
///
/// # Errors
/// Every method: the store's.
#[async_trait]
pub trait PastStore: Send {
    /// When a repository was made. `None` when it is not there.
    async fn created(&mut self, repository: RepositoryId) -> Result<Option<Timestamp>, StoreError>;

    /// A page of the tags, in byte order, of which a row began after `since`, or ended after `since` and by `now`:
    /// no other tag can differ between the two. Cost follows the rows that began or ended since then, not the
    /// repository.
    async fn changed(
        &mut self,
        repository: RepositoryId,
        since: Timestamp,
        now: Timestamp,
        page: &PageRequest<Tag>,
    ) -> Result<Vec<Tag>, StoreError>;

    /// The rows of these names that counted at `when`: those that had begun by then and ended after it. One of a
    /// name at the most, the one that began last.
    async fn rows_at(
        &mut self,
        repository: RepositoryId,
        names: &[Tag],
        when: Timestamp,
    ) -> Result<Vec<TagRecord>, StoreError>;

    /// Erases the rows of a tag that point at a manifest and were closed, or have ended at `now`. The manifest is looked at by the
    /// collector at once. How many there were.
    async fn erase(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        manifest: i64,
        now: Timestamp,
    ) -> Result<u64, StoreError>;
}
