//! Lists: tags, repositories, referrers, each by page and by key.

use std::sync::Arc;

use super::Registry;
use crate::auth::{Action, Resource};
use crate::caller::Caller;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::media_type::MediaType;
use crate::metadata::{PageRequest, REFERRERS_BYTES, Referrer, RepositoryRecord};
use crate::name::{RepositoryName, Tag};

/// Most pages of repositories looked through for one page of those that the caller may see, once one of
/// them has been found.
const CATALOG_ROUNDS: usize = 10;
/// Repositories looked at together when many are not the caller's to see.
const CATALOG_BATCH: usize = 100;

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
    /// Whether more may follow.
    pub more: bool,
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
            more: false,
        };
        if limit == 0 {
            return Ok(page);
        }
        // An authorizer that knows what the caller may see is asked for no more than that.
        let request = PageRequest::new(last.clone(), limit.saturating_add(1));
        if let Some(mut visible) = self.0.authorizer.visible(caller, &request).await? {
            page.more = visible.len() > limit;
            visible.truncate(limit);
            page.repositories = visible;
            return Ok(page);
        }
        let mut after = last;
        let mut rounds = 0;
        // Where the next page starts is told by name, so it must be a name that the caller may see.
        while rounds < CATALOG_ROUNDS || page.repositories.is_empty() {
            rounds += 1;
            let request = PageRequest::new(after.clone(), limit.saturating_add(1).max(CATALOG_BATCH));
            let rows = self.0.metadata.repositories(&request).await?;
            let exhausted = rows.len() < request.limit;
            for row in rows {
                after = Some(row.name.path().to_owned());
                if self.may_pull(&row, caller).await? {
                    if page.repositories.len() == limit {
                        page.more = true;
                        return Ok(page);
                    }
                    page.repositories.push(row);
                }
            }
            if exhausted {
                return Ok(page);
            }
        }
        page.more = true;
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
        let readable = self.readable(name, lookup.repository.as_deref(), caller).await;
        let mut referrers = match readable {
            Ok(_) => lookup.found.unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::NameUnknown => Vec::new(),
            Err(error) => return Err(error),
        };
        let bytes: u64 = referrers.iter().map(|referrer| referrer.size).sum();
        let more = limit > 0 && (referrers.len() > limit || bytes >= REFERRERS_BYTES);
        referrers.truncate(limit);
        Ok(ReferrerPage {
            referrers,
            limit,
            more,
        })
    }
}
