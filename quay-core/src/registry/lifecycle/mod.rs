//! The life of tags, carried out: what is immutable stays, what policies end is pruned, what is pulled is noted.

mod immutability;
mod preview;
mod prune;
mod pull_statistics;
mod pulls;
mod push;
mod work;

use std::time::Duration;

pub(super) use immutability::refusal;
pub(crate) use preview::{Owner as PreviewOwner, Preview, preview};
pub use preview::{PreviewPlace, Previewed, PreviewedTag};
pub use pull_statistics::TagPulls;
pub(super) use pulls::PullCounts;
pub(super) use push::TagPush;
pub use work::PolicyRun;

use crate::lifecycle::PruneRule;

/// How tags are pruned by policies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AutoPrune {
    /// How long a task rests once it has been through
    /// (`AUTOPRUNE_TASK_RUN_MINIMUM_INTERVAL_MINUTES`).
    pub interval: Duration,
    /// The policy of namespaces that have none (`DEFAULT_NAMESPACE_AUTOPRUNE_POLICY`).
    pub default_policy: Option<PruneRule>,
    /// How long it rests once it has been through (`AUTO_PRUNING_DEFAULT_POLICY_POLL_PERIOD`).
    pub default_interval: Duration,
    /// How long one step over it may take before another process goes on
    /// (`AUTOPRUNE_DEFAULT_POLICY_TIMEOUT`).
    pub default_hold: Duration,
    /// Repositories that are read at once for it (`AUTO_PRUNING_DEFAULT_POLICY_BATCH_SIZE`).
    pub default_repositories: usize,
    /// Repositories that are read at once (`AUTOPRUNE_FETCH_REPOSITORIES_PAGE_LIMIT`).
    pub repositories: usize,
    /// Tags that are looked at in one unit of work (`AUTOPRUNE_FETCH_TAGS_PAGE_LIMIT`).
    pub tags: usize,
}

impl Default for AutoPrune {
    fn default() -> Self {
        Self {
            interval: Duration::from_hours(1),
            default_policy: None,
            default_interval: Duration::from_hours(24),
            default_hold: Duration::from_hours(1),
            default_repositories: 10,
            repositories: 50,
            tags: 100,
        }
    }
}
