//! Lists: tags, repositories, referrers, each by page and by key.

use std::sync::Arc;

use super::Registry;
use crate::auth::{Action, Resource};
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::media_type::MediaType;
use crate::metadata::{PageRequest, Referrer, RepositoryRecord};
use crate::name::{RepositoryName, Tag};

/// Most pages of repositories looked through for one page of those that the caller may see.
const CATALOG_ROUNDS: usize = 10;

/// A page of tags.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TagPage {
    /// The tags, in byte order.
    pub tags: Vec<Tag>,
    /// How many entries a page has that was asked for like this one.
    pub limit: usize,
    /// Whether more tags follow.
    pub more: bool,
}

/// A page of repositories.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CatalogPage {
    /// The repositories, by path in byte order.
    pub repositories: Vec<Arc<RepositoryRecord>>,
    /// How many entries a page has that was asked for like this one.
    pub limit: usize,
    /// The path after which the next page starts, when there may be one.
    pub next: Option<String>,
}

/// A page of referrers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReferrerPage {
    /// The referrers, in the order of their digests.
    pub referrers: Vec<Referrer>,
    /// How many entries a page has that was asked for like this one.
    pub limit: usize,
    /// Whether more referrers follow.
    pub more: bool,
}

impl Registry {
    /// Lists a repository's tags after `last`.
    ///
    /// # Errors
    /// [`ErrorKind::NameUnknown`], [`ErrorKind::Unauthorized`], or a store's.
    pub async fn tags(
        &self,
        name: &RepositoryName,
        asked: Option<usize>,
        last: Option<Tag>,
        caller: &Caller,
    ) -> Result<TagPage, Error> {
        let limit = self.0.options.page.limit(asked);
        // One row more shows whether there is a next page.
        let page = PageRequest::new(last, limit.saturating_add(1));
        let now = self.0.runtime.clock.now();
        let lookup = self.0.metadata.tags(name, &page, now).await?;
        self.readable(name, lookup.repository.as_deref(), caller).await?;
        let mut tags = lookup.found.unwrap_or_default();
        let more = limit > 0 && tags.len() > limit;
        tags.truncate(limit);
        Ok(TagPage { tags, limit, more })
    }

    /// Lists the repositories that the caller may pull from, after the path `last`.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`], or a store's.
    pub async fn catalog(
        &self,
        asked: Option<usize>,
        last: Option<String>,
        caller: &Caller,
    ) -> Result<CatalogPage, Error> {
        self.authorize(Action::Catalog, Resource::Registry, caller)
            .await?;
        let limit = self.0.options.page.limit(asked);
        let mut page = CatalogPage {
            repositories: Vec::new(),
            limit,
            next: None,
        };
        if limit == 0 {
            return Ok(page);
        }
        let mut after = last;
        for _ in 0..CATALOG_ROUNDS {
            let request = PageRequest::new(after.clone(), limit.saturating_add(1));
            let rows = self.0.metadata.repositories(&request).await?;
            let exhausted = rows.len() <= limit;
            for row in rows {
                if page.repositories.len() == limit {
                    page.next = after;
                    return Ok(page);
                }
                after = Some(row.name.path().to_owned());
                if self.may_pull(&row, caller).await? {
                    page.repositories.push(row);
                }
            }
            if exhausted {
                return Ok(page);
            }
        }
        page.next = after;
        Ok(page)
    }

    /// Lists the manifests whose subject is `subject`, of one artifact type if given. A subject or a
    /// repository that does not exist has none (distribution-spec, "Listing Referrers").
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`], [`ErrorKind::Unsupported`] when switched off, or a store's.
    pub async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        asked: Option<usize>,
        last: Option<Digest>,
        caller: &Caller,
    ) -> Result<ReferrerPage, Error> {
        if !self.0.options.referrers {
            // Clients fall back to the referrers tag schema when they see a 404.
            return Err(Error::new(
                ErrorKind::ManifestUnknown,
                "the referrers API is switched off",
            ));
        }
        let limit = self.0.options.page.limit(asked);
        let page = PageRequest::new(last, limit.saturating_add(1));
        let lookup = self
            .0
            .metadata
            .referrers(name, subject, artifact_type, &page)
            .await?;
        match self.readable(name, lookup.repository.as_deref(), caller).await {
            Err(error) if error.kind() == ErrorKind::NameUnknown => {}
            other => {
                other?;
            }
        }
        let mut referrers = lookup.found.unwrap_or_default();
        let more = limit > 0 && referrers.len() > limit;
        referrers.truncate(limit);
        Ok(ReferrerPage {
            referrers,
            limit,
            more,
        })
    }
}
