//! What a policy would do, without doing it.

use serde::{Deserialize, Serialize};

use super::prune::Walk;
use crate::error::Error;
use crate::lifecycle::{ImmutabilityRule, PruneRule, Pruning};
use crate::metadata::{
    MetadataStore, PageRequest, PolicyKind, PolicyOwner, RatedTag, RepositoryId, RepositoryRecord,
    RepositoryState, TagPosition,
};
use crate::name::RepositoryName;
use crate::runtime::Timestamp;

/// Tags that are looked at for one page at the most: a page may hold fewer tags than asked for, or none, and others
/// may follow.
const LOOKED: usize = 2000;
/// Repositories that are read to find the next that a policy reaches.
const NEXT: usize = 4;
/// What a repository counts for among them.
const REPOSITORY: usize = 20;
/// Tags, and repositories, that are read at once.
const READ: usize = 200;

/// A policy that is looked at.
#[derive(Debug, Clone)]
pub(crate) enum Preview {
    /// One that prunes.
    Prune(PruneRule),
    /// One that makes immutable.
    Immutability(ImmutabilityRule),
}

impl Preview {
    /// Whether repositories of a state are gone through.
    fn reaches(&self, state: RepositoryState) -> bool {
        match self {
            Self::Prune(_) => state == RepositoryState::Normal,
            Self::Immutability(_) => state != RepositoryState::MarkedForDeletion,
        }
    }
}

/// Where a page goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PreviewPlace {
    /// The repository's path.
    repository: String,
    /// How many tags there the policy has seen that it is about.
    seen: Vec<u64>,
    /// The last tag that was looked at; all of the repository's when absent.
    after: Option<TagPosition>,
}

/// A tag that would be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PreviewedTag {
    /// Its repository.
    pub repository: RepositoryName,
    /// The tag as it is.
    pub tag: RatedTag,
    /// Why, in words.
    pub reason: String,
}

/// A page of what a policy would do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Previewed {
    /// The tags that it would change, by repository, and there the newest first.
    pub tags: Vec<PreviewedTag>,
    /// Where the next page goes on, if others may follow.
    pub next: Option<PreviewPlace>,
}

/// What keeps a tag from being pruned, and makes another immutable already.
async fn immutability(
    store: &dyn MetadataStore,
    on: bool,
    record: &RepositoryRecord,
) -> Result<Vec<ImmutabilityRule>, Error> {
    if !on {
        return Ok(Vec::new());
    }
    let namespace = PolicyOwner::Namespace(record.name.namespace().to_owned());
    let owners = [namespace, PolicyOwner::Repository(record.id)];
    let policies = store.policies(PolicyKind::Immutability, &owners).await?;
    let policies = policies.iter();
    Ok(policies
        .filter_map(|policy| ImmutabilityRule::from_stored(&policy.content))
        .collect())
}

async fn rated(
    store: &dyn MetadataStore,
    repository: RepositoryId,
    after: Option<&TagPosition>,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<RatedTag>, Error> {
    let mut unit = store.begin().await?;
    match unit.lifecycle() {
        Some(lifecycle) => Ok(lifecycle.rated_tags(repository, after, limit, now).await?),
        None => Ok(Vec::new()),
    }
}

/// A page of what a policy of an owner would do by itself: `limit` tags at the most, found among at most 2000. Where
/// `immutable` is off, no tag is immutable.
///
/// # Errors
/// The store's.
pub(crate) async fn preview(
    store: &dyn MetadataStore,
    policy: &Preview,
    owner: &Owner<'_>,
    place: Option<PreviewPlace>,
    limit: usize,
    immutable: bool,
    now: Timestamp,
) -> Result<Previewed, Error> {
    let mut tags = Vec::new();
    let mut looked = 0;
    let mut place = place;
    loop {
        let Some(record) = owner.next(store, policy, place.as_ref()).await? else {
            return Ok(Previewed { tags, next: None });
        };
        // To look for tags costs something where there are none.
        looked += REPOSITORY;
        let path = record.name.path();
        let begun = place.take().filter(|place| place.repository == path);
        let mut walk = begun.map_or_else(Walk::default, |place| Walk {
            seen: place.seen,
            after: place.after,
        });
        let covered = immutability(store, immutable, &record).await?;
        loop {
            let here = |walk: Walk| PreviewPlace {
                repository: path.to_owned(),
                seen: walk.seen,
                after: walk.after,
            };
            if tags.len() >= limit || looked >= LOOKED {
                return Ok(Previewed {
                    tags,
                    next: Some(here(walk)),
                });
            }
            let read = rated(store, record.id, walk.after.as_ref(), READ, now).await?;
            let all = read.len() < READ;
            let mut read = read.into_iter();
            let mut judge = Judge::new(policy, &walk, now);
            for tag in read.by_ref() {
                looked += 1;
                walk.after = Some(TagPosition::from(&tag.tag));
                let name = tag.tag.name.as_str();
                let is_immutable =
                    immutable && (tag.tag.immutable || covered.iter().any(|rule| rule.covers(name)));
                if let Some(reason) = judge.reason(&tag, is_immutable) {
                    tags.push(PreviewedTag {
                        repository: record.name.clone(),
                        tag,
                        reason,
                    });
                }
                if tags.len() >= limit {
                    break;
                }
            }
            walk.seen = judge.seen();
            if all && read.len() == 0 {
                break;
            }
        }
        place = Some(PreviewPlace {
            repository: path.to_owned(),
            seen: Vec::new(),
            after: None,
        });
        if tags.len() >= limit || looked >= LOOKED {
            return Ok(Previewed { tags, next: place });
        }
    }
}

/// Whose repositories are gone through.
#[derive(Debug)]
pub(crate) enum Owner<'a> {
    Namespace(&'a str),
    Repository(&'a RepositoryRecord),
}

impl Owner<'_> {
    /// The repository in which a page goes on: the one of its place while that was begun, or the next.
    async fn next(
        &self,
        store: &dyn MetadataStore,
        policy: &Preview,
        place: Option<&PreviewPlace>,
    ) -> Result<Option<RepositoryRecord>, Error> {
        match self {
            Self::Repository(record) => {
                let through = place.is_some_and(|place| place.after.is_none());
                Ok((!through && policy.reaches(record.state)).then(|| (*record).clone()))
            }
            Self::Namespace(name) => {
                let prefix = format!("{name}/");
                let begun = place.filter(|place| place.after.is_some());
                if let Some(place) = begun
                    && let Ok(path) = RepositoryName::from_path(&place.repository)
                    && let Some(record) = store.repository(&path).await?
                    && path.namespace() == *name
                {
                    return Ok(Some((*record).clone()));
                }
                let mut after = place.map_or_else(|| prefix.clone(), |place| place.repository.clone());
                loop {
                    let page = PageRequest::new(Some(after.clone()), NEXT);
                    let found = store.repositories(&page).await?;
                    let full = found.len() == NEXT;
                    for record in found {
                        if !record.name.path().starts_with(&prefix) {
                            return Ok(None);
                        }
                        if policy.reaches(record.state) {
                            return Ok(Some((*record).clone()));
                        }
                        record.name.path().clone_into(&mut after);
                    }
                    if !full {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// A policy on the tags of one repository.
enum Judge<'a> {
    Prune(Pruning<'a>),
    Immutability(&'a ImmutabilityRule),
}

impl<'a> Judge<'a> {
    fn new(policy: &'a Preview, walk: &Walk, now: Timestamp) -> Self {
        match policy {
            Preview::Prune(rule) => {
                let rules = std::slice::from_ref(rule);
                let resumed = Pruning::resumed(rules, walk.seen.clone(), now);
                Self::Prune(resumed.unwrap_or_else(|| Pruning::new(rules, now)))
            }
            Preview::Immutability(rule) => Self::Immutability(rule),
        }
    }

    fn reason(&mut self, tag: &RatedTag, immutable: bool) -> Option<String> {
        match self {
            Self::Prune(pruning) => pruning.judge(&tag.candidate(immutable)).map(PruneRule::reason),
            Self::Immutability(rule) => {
                let pattern = rule.pattern();
                let verb = if pattern.matches() { "fits" } else { "does not fit" };
                let covers = !immutable && rule.covers(tag.tag.name.as_str());
                covers.then(|| format!("its name {verb} the pattern {}", pattern.text()))
            }
        }
    }

    fn seen(&self) -> Vec<u64> {
        match self {
            Self::Prune(pruning) => pruning.seen().to_vec(),
            Self::Immutability(_) => Vec::new(),
        }
    }
}
