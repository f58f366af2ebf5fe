//! The work that policies cause, shared by any number of processes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::Registry;
use super::AutoPrune;
use super::prune::{Page, Walk};
use crate::error::Error;
use crate::metadata::{PageRequest, PolicyKind, PolicyOwner, PolicyTask, RepositoryId, TagPosition};
use crate::runtime::Timestamp;

/// How long a step may take before another process goes on in its place.
const HOLD: Duration = Duration::from_mins(5);
/// For how long it counts what a walk has seen. After that its repository is begun anew.
const FRESH: Duration = Duration::from_mins(10);

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PolicyRun {
    /// Tags that were looked at.
    pub looked: usize,
    /// Tags that were pruned.
    pub pruned: usize,
    /// Tags that were marked as immutable.
    pub marked: usize,
    /// Tasks that were gone through to their end.
    pub finished: usize,
    /// Whether there is more to do at once.
    pub more: bool,
}

/// How far a task has come, as it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Place {
    /// The last repository, by path, that was gone through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// The one behind it, where that was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inside: Option<Inside>,
    at_ms: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Inside {
    repository: RepositoryId,
    seen: Vec<u64>,
    after: Option<TagPosition>,
}

impl Place {
    fn of(task: &PolicyTask, now: Timestamp) -> Self {
        let stored = task.place.as_deref();
        let mut place: Self = stored
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        if Timestamp::from_millis(place.at_ms).plus(FRESH) < now {
            place.inside = None;
        }
        place
    }

    /// Where the walk through a repository begins.
    fn walk(&mut self, repository: RepositoryId) -> Walk {
        match self
            .inside
            .take()
            .filter(|inside| inside.repository == repository)
        {
            Some(inside) => Walk {
                seen: inside.seen,
                after: inside.after,
            },
            None => Walk::default(),
        }
    }
}

/// What a step has before it: repositories by path, and whether others follow.
struct Ahead {
    repositories: Vec<(Option<String>, RepositoryId)>,
    more: bool,
}

impl Registry {
    /// One step of the work that policies cause: goes on with the task that has been due for longest, and looks at
    /// `batch` tags at the most. Tags that policies end are pruned, and stay in the time machine for its time; tags
    /// that policies cover are marked as immutable.
    ///
    /// Cost follows the repositories that have policies, when they are due, and `batch`; never what is stored
    /// besides. May run at any time, in any number of processes, each on a task of its own, and end at any point:
    /// another step goes on. Each page of tags is a unit of work, which holds back pushes into its repository and
    /// nothing else. A store that keeps no policies has none.
    ///
    /// # Errors
    /// A store's. What was done by then stays done.
    pub async fn run_policies(&self, batch: usize) -> Result<PolicyRun, Error> {
        let options = &self.0.options;
        if options.read_only {
            return Ok(PolicyRun::default());
        }
        // What was pulled here a moment ago is to be kept as well.
        self.flush_pulls().await?;
        let mut kinds = Vec::new();
        if options.auto_prune.is_some() {
            kinds.push(PolicyKind::Prune);
        }
        if options.immutable_tags {
            kinds.push(PolicyKind::Immutability);
        }
        let now = self.0.runtime.clock.now();
        let default = options.auto_prune.as_ref();
        let has_default = default.is_some_and(|options| options.default_policy.is_some());
        let task = transact!(self, |unit| async {
            let Some(store) = unit.lifecycle() else {
                return Ok(None);
            };
            if has_default {
                let (kind, owner) = (PolicyKind::Prune, PolicyOwner::Everybody);
                store.ensure_scheduled(kind, &owner, now).await?;
            }
            Ok(store.claim_task(&kinds, now.plus(HOLD), now).await?)
        })?;
        match task {
            Some(task) => self.work_on(&task, batch.max(1), now).await,
            None => Ok(PolicyRun::default()),
        }
    }

    async fn work_on(&self, task: &PolicyTask, batch: usize, now: Timestamp) -> Result<PolicyRun, Error> {
        let default = AutoPrune::default();
        let options = self.0.options.auto_prune.as_ref().unwrap_or(&default);
        let mut task = task.clone();
        if task.owner == PolicyOwner::Everybody {
            // Longer than others, as the configuration says.
            let due = now.plus(options.default_hold.max(HOLD));
            let place = task.place.clone();
            if !self.record_place(&mut task, place.as_deref(), due).await? {
                return Ok(PolicyRun::default());
            }
        }
        let mut place = Place::of(&task, now);
        let ahead = self.ahead(&task.owner, place.after.as_deref(), options).await?;
        let mut run = PolicyRun::default();
        let mut stopped = false;
        for (path, repository) in ahead.repositories {
            let mut walk = place.walk(repository);
            loop {
                let limit = options.tags.max(1).min(batch.saturating_sub(run.looked));
                if limit == 0 {
                    place.inside = Some(Inside {
                        repository,
                        seen: walk.seen,
                        after: walk.after,
                    });
                    stopped = true;
                    break;
                }
                let page = match task.kind {
                    PolicyKind::Prune => {
                        let page = self
                            .prune_page(&task.owner, repository, &walk, limit, now)
                            .await?;
                        run.pruned += page.changed;
                        page
                    }
                    PolicyKind::Immutability => {
                        let page = self.mark_page(repository, &walk, limit, now).await?;
                        run.marked += page.changed;
                        page
                    }
                };
                let Page { looked, next, .. } = page;
                run.looked += looked;
                match next {
                    Some(next) => walk = next,
                    None => break,
                }
            }
            if stopped {
                break;
            }
            place.after = path;
        }
        run.more = true;
        if stopped || ahead.more {
            place.at_ms = now.as_millis();
            let text = serde_json::json!(place).to_string();
            self.record_place(&mut task, Some(&text), now).await?;
        } else {
            self.rest(&task, options, now).await?;
            run.finished = 1;
        }
        Ok(run)
    }

    /// The repositories that come next.
    async fn ahead(
        &self,
        owner: &PolicyOwner,
        after: Option<&str>,
        options: &AutoPrune,
    ) -> Result<Ahead, Error> {
        let (prefix, limit) = match owner {
            PolicyOwner::Repository(id) => {
                return Ok(Ahead {
                    repositories: vec![(None, *id)],
                    more: false,
                });
            }
            PolicyOwner::Namespace(name) => (format!("{name}/"), options.repositories),
            PolicyOwner::Everybody => (String::new(), options.default_repositories),
        };
        let limit = limit.max(1);
        // A namespace that was renamed meanwhile begins anew.
        let after = after
            .filter(|after| after.starts_with(&prefix))
            .unwrap_or(&prefix);
        let page = PageRequest::new(Some(after.to_owned()), limit);
        let found = self.0.metadata.repositories(&page).await?;
        let full = found.len() == limit;
        let repositories: Vec<_> = found
            .into_iter()
            .take_while(|record| record.name.path().starts_with(&prefix))
            .map(|record| (Some(record.name.path().to_owned()), record.id))
            .collect();
        Ok(Ahead {
            more: full && repositories.len() == limit,
            repositories,
        })
    }

    /// Records how far a task has come. `false` when somebody else has it now.
    async fn record_place(
        &self,
        task: &mut PolicyTask,
        place: Option<&str>,
        due: Timestamp,
    ) -> Result<bool, Error> {
        let claimed: &PolicyTask = task;
        let kept = transact!(self, |unit| async {
            match unit.lifecycle() {
                Some(store) => Ok(store.proceed(claimed, place, due).await?),
                None => Ok(false),
            }
        })?;
        task.version = task.version.saturating_add(1);
        Ok(kept)
    }

    /// Lets a task rest that has been through, or ends it where there is nothing to come back for.
    async fn rest(&self, task: &PolicyTask, options: &AutoPrune, now: Timestamp) -> Result<(), Error> {
        let has_default = options.default_policy.is_some();
        transact!(self, |unit| async {
            let Some(store) = unit.lifecycle() else {
                return Ok(());
            };
            let owners = std::slice::from_ref(&task.owner);
            let again = match (task.kind, &task.owner) {
                (PolicyKind::Immutability, _) => None,
                (PolicyKind::Prune, PolicyOwner::Everybody) => {
                    has_default.then(|| now.plus(options.default_interval))
                }
                (PolicyKind::Prune, _) => {
                    let policies = store.policies(PolicyKind::Prune, owners).await?;
                    (!policies.is_empty()).then(|| now.plus(options.interval))
                }
            };
            match again {
                Some(due) => store.proceed(task, None, due).await?,
                None => store.finish(task).await?,
            };
            Ok(())
        })
    }
}
