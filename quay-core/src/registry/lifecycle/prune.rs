//! One page of a repository's tags under its policies.

use serde_json::json;

use super::super::Registry;
use crate::accounts::LogKind;
use crate::caller::Caller;
use crate::error::Error;
use crate::lifecycle::{Candidate, PruneRule, Pruning};
use crate::metadata::{
    LifecycleStore, PolicyKind, PolicyOwner, PolicyRecord, RatedTag, RepositoryId, RepositoryRecord,
    RepositoryState, TagPosition, UnitOfWork,
};
use crate::name::{RepositoryName, Tag};
use crate::runtime::Timestamp;

/// How far a walk through a repository's tags has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Walk {
    /// For each policy, how many tags it has seen that it is about.
    pub(super) seen: Vec<u64>,
    /// The last tag that was looked at.
    pub(super) after: Option<TagPosition>,
}

/// What a page of tags came to.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Tags that were looked at.
    pub(super) looked: usize,
    /// Tags that were changed.
    pub(super) changed: usize,
    /// Where the walk goes on; nowhere when it is through.
    pub(super) next: Option<Walk>,
}

impl RatedTag {
    /// The tag as policies look at it.
    pub(super) fn candidate(&self, immutable: bool) -> Candidate<'_> {
        Candidate::new(self.tag.name.as_str(), self.tag.start)
            .with_immutable(immutable)
            .with_pulled(self.pulled)
    }
}

pub(super) fn rules(policies: &[PolicyRecord]) -> Vec<PruneRule> {
    let rule = |policy: &PolicyRecord| {
        let rule = PruneRule::from_stored(&policy.content);
        if rule.is_none() {
            tracing::error!(uuid = policy.uuid, "an auto-prune policy cannot be read");
        }
        rule
    };
    policies.iter().filter_map(rule).collect()
}

/// The namespace's policies first, then the repository's own. Without any of the namespace's, the default.
async fn rules_of(
    store: &mut dyn LifecycleStore,
    name: &RepositoryName,
    repository: RepositoryId,
    default: Option<&PruneRule>,
    owner: &PolicyOwner,
) -> Result<Vec<PruneRule>, Error> {
    let namespace = PolicyOwner::Namespace(name.namespace().to_owned());
    let owners = [namespace, PolicyOwner::Repository(repository)];
    let policies = store.policies(PolicyKind::Prune, &owners).await?;
    let own = policies
        .iter()
        .any(|policy| Some(&policy.owner) == owners.first());
    if own && *owner == PolicyOwner::Everybody {
        // Its turn comes with the namespace's.
        return Ok(Vec::new());
    }
    let default = default.filter(|_| !own).cloned();
    Ok(default.into_iter().chain(rules(&policies)).collect())
}

impl Registry {
    /// Prunes what is due among the next tags of a repository, `limit` at the most. One unit of work, with the
    /// repository locked: what is decided holds as it is done.
    pub(super) async fn prune_page(
        &self,
        owner: &PolicyOwner,
        repository: RepositoryId,
        walk: &Walk,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let default = self.0.options.auto_prune.as_ref();
        let default = default.and_then(|options| options.default_policy.as_ref());
        transact!(self, |unit| async {
            let record = unit.repositories().lock(repository).await?;
            // What may not be changed is not pruned.
            let record = record.filter(|record| record.state == RepositoryState::Normal);
            let Some(record) = record else {
                return Ok(Page::default());
            };
            let immutability = self.immutability(&mut *unit, &record.name, repository).await?;
            let Some(store) = unit.lifecycle() else {
                return Ok(Page::default());
            };
            let rules = rules_of(store, &record.name, repository, default, owner).await?;
            if rules.is_empty() {
                return Ok(Page::default());
            }
            // Policies that have changed since begin anew.
            let resumed = Pruning::resumed(&rules, walk.seen.clone(), now);
            let after = walk.after.as_ref().filter(|_| resumed.is_some());
            let tags = store.rated_tags(repository, after, limit, now).await?;
            let mut pruning = resumed.unwrap_or_else(|| Pruning::new(&rules, now));
            let mut doomed: Vec<(Tag, &PruneRule)> = Vec::new();
            for tag in &tags {
                let candidate = tag.candidate(immutability.covers(&tag.tag));
                if let Some(rule) = pruning.judge(&candidate) {
                    doomed.push((tag.tag.name.clone(), rule));
                }
            }
            let last = tags.last().filter(|_| tags.len() == limit);
            let next = last.map(|last| Walk {
                seen: pruning.seen().to_vec(),
                after: Some(TagPosition::from(&last.tag)),
            });
            self.end_pruned(&mut *unit, &record, &doomed, now).await?;
            Ok(Page {
                looked: tags.len(),
                changed: doomed.len(),
                next,
            })
        })
    }

    /// Ends tags, which the time machine keeps for its time.
    async fn end_pruned(
        &self,
        unit: &mut dyn UnitOfWork,
        record: &RepositoryRecord,
        doomed: &[(Tag, &PruneRule)],
        now: Timestamp,
    ) -> Result<(), Error> {
        let (name, caller) = (&record.name, Caller::system());
        for (tag, rule) in doomed {
            unit.tags().end(record.id, tag, now).await?;
            let mut more = rule.stored();
            more["tag"] = tag.as_str().into();
            more["performer"] = "autoprune worker".into();
            let kind = LogKind::AutopruneTagDelete;
            self.log_change(unit, kind, name, record.id, more, &caller)
                .await?;
            if self.subscribed("manifest.deleted") {
                let payload = json!({ "repository": name.path(), "reference": tag.as_str() });
                unit.outbox()
                    .push("manifest.deleted", &payload.to_string(), now)
                    .await?;
            }
        }
        Ok(())
    }

    /// Marks the tags as immutable that policies cover, among the next tags of a repository, `limit` at the most, so
    /// that they stay when the policy goes.
    pub(super) async fn mark_page(
        &self,
        repository: RepositoryId,
        walk: &Walk,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        transact!(self, |unit| async {
            let record = unit.repositories().lock(repository).await?;
            let record = record.filter(|record| record.state != RepositoryState::MarkedForDeletion);
            let Some(record) = record else {
                return Ok(Page::default());
            };
            let immutability = self.immutability(&mut *unit, &record.name, repository).await?;
            let Some(store) = unit.lifecycle() else {
                return Ok(Page::default());
            };
            let tags = store
                .rated_tags(repository, walk.after.as_ref(), limit, now)
                .await?;
            let mut by_rule: Vec<(serde_json::Value, Vec<Tag>)> = Vec::new();
            let mut ending = Vec::new();
            for RatedTag { tag, .. } in &tags {
                let Some(rule) = immutability.rule(&tag.name).filter(|_| !tag.immutable) else {
                    continue;
                };
                if tag.end.is_some() && !immutability.can_expire() {
                    ending.push(tag.name.clone());
                }
                let stored = rule.stored();
                match by_rule.iter_mut().find(|(known, _)| *known == stored) {
                    Some((_, names)) => names.push(tag.name.clone()),
                    None => by_rule.push((stored, vec![tag.name.clone()])),
                }
            }
            for (_, names) in &by_rule {
                store.set_immutable(repository, names, true).await?;
            }
            for name in &ending {
                unit.tags().set_end(repository, name, None).await?;
            }
            let mut changed = 0;
            for (mut more, names) in by_rule {
                changed += names.len();
                more["count"] = names.len().into();
                let kind = LogKind::TagsMadeImmutableByPolicy;
                self.log_change(
                    &mut *unit,
                    kind,
                    &record.name,
                    repository,
                    more,
                    &Caller::system(),
                )
                .await?;
            }
            let last = tags.last().filter(|_| tags.len() == limit);
            Ok(Page {
                looked: tags.len(),
                changed,
                next: last.map(|last| Walk {
                    seen: Vec::new(),
                    after: Some(TagPosition::from(&last.tag)),
                }),
            })
        })
    }
}
