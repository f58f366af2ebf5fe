//! Erasing what the time machine remembers of a tag, for good (`quay-api.md`, 3.7).

use serde_json::json;

use super::{Registry, authorised};
use crate::accounts::LogKind;
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::name::{RepositoryName, Tag};

/// What is to be erased of a tag's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the past, or the present too")]
pub enum Erasure {
    /// That it has pointed at this manifest, and does no more.
    Past(Digest),
    /// That it points at what it points at, this manifest if one is named: it is deleted as well.
    Present(Option<Digest>),
}

fn not_there() -> Error {
    Error::new(ErrorKind::NotFound, "Not Found")
}

impl Registry {
    /// Erases what is remembered of a tag, so that it cannot be brought back. The manifest is collected soon, with
    /// what it alone holds, unless something else keeps it. An [`undo`](Self::undo) knows nothing of it any more.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when nothing of that kind is remembered; [`ErrorKind::Unsupported`] where it is switched
    /// off; what keeps the caller from changing the repository, or a store's.
    pub async fn erase_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        erasure: Erasure,
        caller: &Caller,
    ) -> Result<(), Error> {
        let mut record = self.changeable(name, caller).await?;
        let now = self.0.runtime.clock.now();
        transact!(
            self,
            |unit| async {
                let repository = authorised(&mut *unit, &record).await?;
                let named = match erasure {
                    Erasure::Past(digest) => {
                        let row = unit.manifests().find(repository, &digest).await?;
                        row.map(|row| (row.id, row.digest))
                    }
                    Erasure::Present(digest) => {
                        let names = std::slice::from_ref(tag);
                        let row = unit.tags().live(repository, names, now).await?.pop();
                        let row = row.filter(|row| digest.is_none_or(|digest| digest == row.digest));
                        if let Some(row) = &row {
                            let immutability = self.immutability(&mut *unit, name, repository).await?;
                            immutability.check(row, "erased")?;
                            unit.tags().end(repository, tag, now).await?;
                        }
                        row.map(|row| (row.manifest_id, row.digest))
                    }
                };
                let (manifest, digest) = named.ok_or_else(not_there)?;
                let past = unit
                    .past()
                    .ok_or_else(|| Error::new(ErrorKind::Unsupported, "the past of tags is not kept here"))?;
                if past.erase(repository, tag, manifest, now).await? == 0 {
                    return Err(not_there());
                }
                let more = json!({ "tag": tag.as_str(), "manifest_digest": digest });
                self.log_change(
                    &mut *unit,
                    LogKind::PermanentlyDeleteTag,
                    name,
                    repository,
                    more,
                    caller,
                )
                .await
            },
            record = self.changeable(name, caller).await?
        )
    }
}
