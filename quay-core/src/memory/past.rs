//! The past of tags in memory.

use async_trait::async_trait;

use super::unit::MemoryUnit;
use crate::error::StoreError;
use crate::metadata::{PageRequest, PastStore, RepositoryId, TagRecord};
use crate::name::Tag;
use crate::runtime::Timestamp;

#[async_trait]
impl PastStore for MemoryUnit {
    async fn created(&mut self, repository: RepositoryId) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.state.created.get(&repository).copied())
    }

    async fn changed(
        &mut self,
        repository: RepositoryId,
        since: Timestamp,
        now: Timestamp,
        page: &PageRequest<Tag>,
    ) -> Result<Vec<Tag>, StoreError> {
        let Some(first) = page.after.clone().or_else(|| Tag::new("0").ok()) else {
            return Ok(Vec::new());
        };
        let mut names: Vec<Tag> = self
            .state
            .tags
            .range((repository, first, i64::MIN)..)
            .take_while(|((of, _, _), _)| *of == repository)
            .filter(|((_, name, _), _)| page.after.as_ref() != Some(name))
            .filter(|(_, row)| row.start > since || row.end.is_some_and(|end| end > since && end <= now))
            .map(|((_, name, _), _)| name.clone())
            .collect();
        names.dedup();
        names.truncate(page.limit);
        Ok(names)
    }

    async fn rows_at(
        &mut self,
        repository: RepositoryId,
        names: &[Tag],
        when: Timestamp,
    ) -> Result<Vec<TagRecord>, StoreError> {
        let mut found = Vec::new();
        for name in names {
            let rows = self.history_of(repository, name);
            let counted = rows
                .iter()
                .filter(|row| row.start <= when && row.end.is_none_or(|end| end > when))
                .max_by_key(|row| row.start);
            if let Some(row) = counted {
                found.push(self.tag_record(name, row)?);
            }
        }
        Ok(found)
    }

    async fn erase(
        &mut self,
        repository: RepositoryId,
        name: &Tag,
        manifest: i64,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let rows = self.history_of(repository, name);
        let ended = rows
            .iter()
            .filter(|row| row.manifest == manifest && (!row.live || row.end.is_some_and(|end| end <= now)));
        let mut erased = 0;
        for row in ended {
            self.drop_tag(repository, name, row.id);
            erased += 1;
        }
        if erased > 0 {
            self.review(repository, manifest, now);
        }
        Ok(erased)
    }
}
