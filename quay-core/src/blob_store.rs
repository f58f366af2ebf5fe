//! The port for bytes: blobs at rest, and uploads on their way.

use std::fmt::{self, Debug};
use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::digest::{Digest, Hasher};
use crate::error::{BodyError, StoreError};
use crate::hashing::Hashing;
use crate::range::ResolvedRange;
use crate::runtime::{Spawner, Timestamp};

/// A body on its way in.
pub type ByteStream = BoxStream<'static, Result<Bytes, BodyError>>;

/// Where an object lies inside a store. Opaque to core; kept in the placement row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// A key as a store names it.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(key.into())
    }

    /// The key under which Quay lays its objects down: `<algorithm>/<first 2 hex>/<hex>`.
    #[must_use]
    pub fn content_addressed(digest: &Digest) -> Self {
        let hex = digest.hex();
        let prefix = hex.get(..2).unwrap_or_default();
        Self(format!("{}/{prefix}/{hex}", digest.algorithm()).into())
    }

    /// A key of an upload's own, beside those of the same content: the content's, then the upload's id.
    #[must_use]
    pub fn of_upload(digest: &Digest, upload: &str) -> Self {
        Self(format!("{}-{upload}", Self::content_addressed(digest)).into())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A store's own memory of an upload, such as a file name or a multipart id with its parts. A value that
/// any process may hold: the store puts a version number in it, core keeps it in the metadata store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadState(Bytes);

impl UploadState {
    /// A state in the store's own layout, its version first.
    #[must_use]
    pub fn new(state: impl Into<Bytes>) -> Self {
        Self(state.into())
    }

    /// The layout's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// When appended bytes must survive a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "now or at the commit; there is no third time"
)]
pub enum Durability {
    /// Before `append` returns.
    Now,
    /// No later than when `commit` returns.
    AtCommit,
}

/// Options of [`BlobStore::append`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Append {
    /// Where the first byte goes: how many bytes the upload holds already.
    pub offset: u64,
    /// When the bytes must be durable.
    pub durability: Durability,
    /// How many bytes are announced, if the client said so.
    pub length: Option<u64>,
}

impl Append {
    /// Appends at `offset`, durable at once.
    #[must_use]
    pub const fn at(offset: u64) -> Self {
        Self {
            offset,
            durability: Durability::Now,
            length: None,
        }
    }

    /// Sets when the bytes must be durable.
    #[must_use]
    pub const fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Announces the number of bytes.
    #[must_use]
    pub const fn with_length(mut self, length: Option<u64>) -> Self {
        self.length = length;
        self
    }
}

/// What [`BlobStore::append`] did.
#[derive(Debug)]
#[non_exhaustive]
pub struct Appended {
    /// The upload's new state.
    pub state: UploadState,
    /// How many bytes were taken from the stream, all of them stored.
    pub written: u64,
    /// Why the stream ended early, if it did. The bytes before are stored all the same.
    pub interrupted: Option<BodyError>,
}

impl Appended {
    /// `written` bytes taken from a stream that ended as it should, or was interrupted.
    #[must_use]
    pub const fn new(state: UploadState, written: u64, interrupted: Option<BodyError>) -> Self {
        Self {
            state,
            written,
            interrupted,
        }
    }
}

/// What [`BlobStore::append_hashed`] did.
#[derive(Debug)]
#[non_exhaustive]
pub struct Hashed {
    /// What was stored.
    pub appended: Appended,
    /// The hasher, having seen exactly the bytes that were stored.
    pub hasher: Hasher,
}

impl Hashed {
    /// What was stored, and the hasher behind it.
    #[must_use]
    pub const fn new(appended: Appended, hasher: Hasher) -> Self {
        Self { appended, hasher }
    }
}

/// A part of a file, to be sent without passing through the registry's memory. The file is never
/// rewritten in place; it may be unlinked while it is read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileRange {
    /// The open file.
    pub file: Arc<File>,
    /// Where to start.
    pub range: ResolvedRange,
}

impl FileRange {
    /// `range` of `file`.
    #[must_use]
    pub const fn new(file: Arc<File>, range: ResolvedRange) -> Self {
        Self { file, range }
    }

    /// Reads the range, by position: others may be reading from the same file. Blocks.
    ///
    /// # Errors
    /// The file's, also when it ends before the range does.
    pub fn read(&self) -> std::io::Result<Vec<u8>> {
        let too_long = |_| std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        let mut content = vec![0; usize::try_from(self.range.length).map_err(too_long)?];
        #[cfg(unix)]
        std::os::unix::fs::FileExt::read_exact_at(&*self.file, &mut content, self.range.start)?;
        #[cfg(windows)]
        {
            use std::os::windows::fs::FileExt as _;
            let mut done = 0;
            while let Some(rest) = content.get_mut(done..).filter(|rest| !rest.is_empty()) {
                match self.file.seek_read(rest, self.range.start + done as u64)? {
                    0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                    read => done += read,
                }
            }
        }
        Ok(content)
    }
}

/// A blob, or a range of one, in the form that costs its store least.
#[non_exhaustive]
pub enum BlobBody {
    /// All of it, in memory.
    Bytes(Bytes),
    /// A part of an open file.
    File(FileRange),
    /// Pieces as they come. An error ends the stream.
    Stream(BoxStream<'static, Result<Bytes, StoreError>>),
    /// An address where the client can fetch it itself.
    Redirect(String),
}

impl Debug for BlobBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::File(_) => "File",
            Self::Stream(_) => "Stream",
            Self::Redirect(_) => "Redirect",
        })
    }
}

/// Options of [`BlobStore::open`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Open {
    /// The blob's size, as the metadata store knows it.
    pub size: u64,
    /// The range wanted; the whole blob when absent. Lies within the size.
    pub range: Option<ResolvedRange>,
    /// Whether the answer may be a [`BlobBody::Redirect`].
    pub redirect: Redirects,
}

/// Whether a redirect is an acceptable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "yes or no, spelled out")]
pub enum Redirects {
    /// The reader follows redirects.
    Allowed,
    /// The reader wants the bytes.
    Refused,
}

impl Open {
    /// The whole of a blob of `size` bytes, redirects refused.
    #[must_use]
    pub const fn whole(size: u64) -> Self {
        Self {
            size,
            range: None,
            redirect: Redirects::Refused,
        }
    }

    /// Only a range of it.
    #[must_use]
    pub const fn with_range(mut self, range: Option<ResolvedRange>) -> Self {
        self.range = range;
        self
    }

    /// Says whether redirects are allowed.
    #[must_use]
    pub const fn with_redirects(mut self, redirect: Redirects) -> Self {
        self.redirect = redirect;
        self
    }

    /// The range to deliver, the whole included; `None` for an empty blob.
    #[must_use]
    pub fn resolved(&self) -> Option<ResolvedRange> {
        self.range
            .or((self.size > 0).then_some(ResolvedRange::new(0, self.size)))
    }
}

/// What [`BlobStore::commit`] published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Where the bytes lie from now on.
    pub key: ObjectKey,
}

impl Published {
    /// Published under `key`.
    #[must_use]
    pub const fn at(key: ObjectKey) -> Self {
        Self { key }
    }
}

/// Keeps blobs. What strangers implement to bring their own storage; `quay_core::testing::blob_store`
/// (feature `testing`) proves an implementation.
///
/// Uploads are addressed by values: every method may be called in another process than the one that
/// began the upload, as long as it is handed the newest state. Core never calls `append`, `commit` or
/// `abort` for one upload twice at the same time.
#[async_trait]
pub trait BlobStore: Debug + Send + Sync + 'static {
    /// Starts an upload. `id` is unique and made of letters and digits, fit for a file name.
    ///
    /// Guarantees: nothing needs to be durable yet, an upload without bytes may vanish from the store in
    /// a crash and still be appended to. Cancellation: nothing is left that `abort` with any state of
    /// this id would not remove. Cost: at most one round trip, better none.
    ///
    /// # Errors
    /// The store's.
    async fn begin(&self, id: &str) -> Result<UploadState, StoreError>;

    /// Stores the stream's bytes behind the `offset` bytes that the upload holds.
    ///
    /// Guarantees: bytes past `offset` from an earlier append that failed, was cancelled, or was lost in
    /// a crash are replaced. When it returns `Ok`, exactly `written` bytes follow `offset`, durable as
    /// the options say, also if the stream ended in an error. When it returns `Err`, the upload still
    /// holds its `offset` bytes and may be appended to again with the old state. Cancellation: as `Err`.
    /// Cost: memory does not follow the stream's length.
    ///
    /// # Errors
    /// The store's, such as [`Full`](crate::StoreErrorKind::Full); never the stream's.
    async fn append(
        &self,
        state: &UploadState,
        data: ByteStream,
        options: Append,
    ) -> Result<Appended, StoreError>;

    /// As [`append`](Self::append), and hashes what is stored.
    ///
    /// Provided: the stream is hashed on its way to `append`, in batches on `spawner`'s threads. A store
    /// that moves the bytes on threads of its own may hash them there, which saves handing them over
    /// twice. Guarantees, cancellation and cost: those of `append`; besides, when it returns `Ok`, the
    /// hasher has seen the `written` bytes and nothing else.
    ///
    /// # Errors
    /// The store's; [`Corrupt`](crate::StoreErrorKind::Corrupt) when `append` took fewer bytes than it
    /// was sent.
    async fn append_hashed(
        &self,
        state: &UploadState,
        data: ByteStream,
        options: Append,
        hasher: Hasher,
        spawner: &Arc<dyn Spawner>,
    ) -> Result<Hashed, StoreError> {
        let hashing = Hashing::new(data, hasher, spawner);
        hashing.append_to(|data| self.append(state, data, options)).await
    }

    /// Reads back the first `length` bytes that an upload holds.
    ///
    /// # Errors
    /// The store's; [`Corrupt`](crate::StoreErrorKind::Corrupt) when it holds fewer.
    async fn staged(&self, state: &UploadState, length: u64) -> Result<BlobBody, StoreError>;

    /// Publishes an upload of `length` bytes whose digest core has verified.
    ///
    /// Guarantees: atomic (an object is there whole or not at all), durable when it returns. The key belongs
    /// to this upload alone: no other upload, of the same content or not, now or later, is published under
    /// it, so that whoever deletes the object deletes nothing newer
    /// ([`ObjectKey::of_upload`] is such a key). May be called again after a crash, a lost answer or a
    /// cancellation, with the same outcome. The upload stays until `abort`.
    ///
    /// # Errors
    /// The store's; [`Corrupt`](crate::StoreErrorKind::Corrupt) when the upload does not hold `length`
    /// bytes.
    async fn commit(
        &self,
        state: &UploadState,
        digest: &Digest,
        length: u64,
    ) -> Result<Published, StoreError>;

    /// Drops what an upload holds: after its commit has been recorded, or instead of it.
    ///
    /// Guarantees: idempotent; a published object is untouched.
    ///
    /// # Errors
    /// The store's; an upload that is not there is none.
    async fn abort(&self, state: &UploadState) -> Result<(), StoreError>;

    /// Opens an object, or a range of it; `None` when there is none under that key.
    ///
    /// Guarantees: what is delivered stays whole even if the object is deleted meanwhile.
    ///
    /// # Errors
    /// The store's; [`Corrupt`](crate::StoreErrorKind::Corrupt) when the object is shorter than the
    /// range.
    async fn open(&self, key: &ObjectKey, options: Open) -> Result<Option<BlobBody>, StoreError>;

    /// The size of an object in bytes; `None` when there is none under that key.
    ///
    /// # Errors
    /// The store's.
    async fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StoreError>;

    /// Deletes objects in one batch. The result has one entry per key, in order.
    ///
    /// Guarantees: idempotent, an object that is not there counts as deleted.
    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StoreError>>;

    /// The store's ability to list what lies in it, if it has that.
    fn inventory(&self) -> Option<&dyn BlobInventory> {
        None
    }
}

/// An upload found lying in a store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StagedUpload {
    /// The id it was begun with.
    pub id: String,
    /// A state to hand to `abort` or `staged`.
    pub state: UploadState,
    /// How many bytes it holds.
    pub length: u64,
    /// When it was last written to.
    pub modified: Timestamp,
    /// Whether `commit` may have published its bytes.
    pub published: bool,
}

impl StagedUpload {
    /// An upload of `length` bytes, last written at `modified`.
    #[must_use]
    pub const fn new(
        id: String,
        state: UploadState,
        length: u64,
        modified: Timestamp,
        published: bool,
    ) -> Self {
        Self {
            id,
            state,
            length,
            modified,
            published,
        }
    }
}

/// Lists what lies in a store. Apart from [`BlobStore`], since not every store can.
#[async_trait]
pub trait BlobInventory: Debug + Send + Sync {
    /// Uploads last written before `before`, at most `limit`, whose ids come after `after`, in order of
    /// their ids. Cost follows the number of unfinished uploads, never the number of blobs.
    ///
    /// # Errors
    /// The store's.
    async fn staged_uploads(
        &self,
        before: Timestamp,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StagedUpload>, StoreError>;

    /// One upload by its id, as it is now; `None` when the store holds nothing of it.
    ///
    /// # Errors
    /// The store's.
    async fn staged_upload(&self, id: &str) -> Result<Option<StagedUpload>, StoreError>;

    /// Removes the object that `commit` published from this upload. `false` when there was none to remove.
    ///
    /// # Errors
    /// The store's.
    async fn unpublish(&self, state: &UploadState, digest: &Digest) -> Result<bool, StoreError>;
}

#[async_trait]
impl<T: BlobStore + ?Sized> BlobStore for Arc<T> {
    async fn begin(&self, id: &str) -> Result<UploadState, StoreError> {
        (**self).begin(id).await
    }

    async fn append(
        &self,
        state: &UploadState,
        data: ByteStream,
        options: Append,
    ) -> Result<Appended, StoreError> {
        (**self).append(state, data, options).await
    }

    async fn append_hashed(
        &self,
        state: &UploadState,
        data: ByteStream,
        options: Append,
        hasher: Hasher,
        spawner: &Arc<dyn Spawner>,
    ) -> Result<Hashed, StoreError> {
        (**self)
            .append_hashed(state, data, options, hasher, spawner)
            .await
    }

    async fn staged(&self, state: &UploadState, length: u64) -> Result<BlobBody, StoreError> {
        (**self).staged(state, length).await
    }

    async fn commit(
        &self,
        state: &UploadState,
        digest: &Digest,
        length: u64,
    ) -> Result<Published, StoreError> {
        (**self).commit(state, digest, length).await
    }

    async fn abort(&self, state: &UploadState) -> Result<(), StoreError> {
        (**self).abort(state).await
    }

    async fn open(&self, key: &ObjectKey, options: Open) -> Result<Option<BlobBody>, StoreError> {
        (**self).open(key, options).await
    }

    async fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StoreError> {
        (**self).stat(key).await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StoreError>> {
        (**self).delete(keys).await
    }

    fn inventory(&self) -> Option<&dyn BlobInventory> {
        (**self).inventory()
    }
}
