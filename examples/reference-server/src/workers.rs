//! Loops that run as long as the process does. Each goes on when the database is away.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use quay_core::Registry;
use quay_core::accounts::{Accounts, Changes};
use quay_core::config::{GarbageConfig, PolicyConfig};
use quay_core::registry::Collected;
use quay_http::TokioSpawner;

use crate::Failure;
use crate::instance_key::OwnKey;

/// Manifests that one step of the collector looks at: pushes into their repository wait for as long.
const REVIEWED_AT_ONCE: usize = 100;
/// Rows that the collector works on in a second at the most, so that it takes no more than a part of a
/// processor and of the database.
const COLLECTED_A_SECOND: f64 = 1000.0;
/// Tags that one step of policies' work looks at.
const RATED_AT_ONCE: usize = 1000;
/// How long that work pauses between the steps of a long run, so that it takes no more than a part of a processor
/// and of the database.
const BETWEEN_STEPS: Duration = Duration::from_millis(200);
/// How often it is recorded when tags were pulled.
const PULLS_INTERVAL: Duration = Duration::from_secs(10);
/// A token feels within five seconds what happened to what it rests on.
const CHANGES_INTERVAL: Duration = Duration::from_secs(1);
/// Blobs that are counted anew in one unit of work.
const SIZED_AT_ONCE: usize = 1000;
/// How soon it is noticed that something is to be counted anew.
const SIZES_INTERVAL: Duration = Duration::from_secs(30);
const COLLECT_INTERVAL: Duration = Duration::from_hours(1);
/// Tokens, or codes, that one unit of work removes.
const COLLECTED_AT_ONCE: usize = 500;
/// How often it is looked whether a day is over that is not counted yet, and repositories counted at once.
const COUNT_INTERVAL: Duration = Duration::from_mins(10);
const COUNTED_AT_ONCE: usize = 50;
/// When what has failed is tried again, if it is not due before.
const RETRY: Duration = Duration::from_mins(1);

/// Removes what broken uploads left behind: now, and from time to time.
pub(crate) fn keep_swept(registry: &Registry, garbage: GarbageConfig, spawner: &TokioSpawner) {
    let registry = registry.clone();
    spawner.uncounted().spawn(
        async move {
            loop {
                match registry.sweep(garbage.upload_age).await {
                    Ok(swept) => tracing::debug!(?swept, "swept"),
                    Err(error) => tracing::warn!("the sweep failed: {}", crate::in_full(&error)),
                }
                tokio::time::sleep(garbage.sweep).await;
            }
        }
        .boxed(),
    );
}

/// Collects garbage: what there is, at a limited rate, and then from time to time.
pub(crate) fn keep_collecting(registry: &Registry, garbage: GarbageConfig, spawner: &TokioSpawner) {
    let registry = registry.clone();
    spawner.uncounted().spawn(
        async move {
            let mut run = Collected::default();
            loop {
                // A blob may be deleted by name also where nothing is collected.
                let step = match garbage.frequency {
                    Some(_) => registry.collect(REVIEWED_AT_ONCE).await,
                    None => registry.delete_objects().await,
                };
                let frequency = garbage.frequency.unwrap_or(RETRY);
                let wait = match step {
                    Ok(step) => {
                        run = run.and(step);
                        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
                        let share = step.work() as f64 / COLLECTED_A_SECOND;
                        if step.more {
                            Duration::from_secs_f64(share)
                        } else {
                            frequency
                        }
                    }
                    Err(error) => {
                        tracing::warn!("the collection failed: {}", crate::in_full(&error));
                        frequency.max(RETRY)
                    }
                };
                if !run.more {
                    tracing::debug!(collected = ?run, "collected");
                    run = Collected::default();
                }
                tokio::time::sleep(wait).await;
            }
        }
        .boxed(),
    );
}

/// Does the work that policies about the life of tags cause: what is due, and then looks for more from time to time.
pub(crate) fn keep_policies(registry: &Registry, policies: PolicyConfig, spawner: &TokioSpawner) {
    let registry = registry.clone();
    if registry.options().auto_prune.is_none() && !registry.options().immutable_tags {
        return;
    }
    spawner.uncounted().spawn(
        async move {
            loop {
                let mut wait = policies.poll;
                for _ in 0..policies.steps {
                    match registry.run_policies(RATED_AT_ONCE).await {
                        Ok(run) => {
                            if run.pruned + run.marked > 0 {
                                tracing::info!(?run, "policies were carried out");
                            }
                            wait = if run.more { BETWEEN_STEPS } else { policies.poll };
                            if !run.more {
                                break;
                            }
                        }
                        Err(error) => {
                            tracing::warn!("policies were not carried out: {}", crate::in_full(&error));
                            wait = policies.poll.max(RETRY);
                            break;
                        }
                    }
                }
                tokio::time::sleep(wait).await;
            }
        }
        .boxed(),
    );
}

/// Records from time to time when tags were pulled.
pub(crate) fn keep_pulls_counted(registry: &Registry, spawner: &TokioSpawner) {
    let registry = registry.clone();
    if !registry.options().last_pulls {
        return;
    }
    spawner.uncounted().spawn(
        async move {
            loop {
                tokio::time::sleep(PULLS_INTERVAL).await;
                record_pulls(&registry).await;
            }
        }
        .boxed(),
    );
}

/// Records when tags were pulled.
pub(crate) async fn record_pulls(registry: &Registry) {
    if let Err(error) = registry.flush_pulls().await {
        tracing::warn!(
            "pulls were not counted, tried again later: {}",
            crate::in_full(&error)
        );
    }
}

/// Counts anew what is to be counted: namespaces that were never counted, the registry when somebody asks.
pub(crate) fn keep_sizes_counted(registry: &Registry, spawner: &TokioSpawner) {
    let registry = registry.clone();
    spawner.uncounted().spawn(
        async move {
            loop {
                let wait = match registry.recount_quotas(SIZED_AT_ONCE).await {
                    Ok(true) => Duration::from_millis(10),
                    Ok(false) => SIZES_INTERVAL,
                    Err(error) => {
                        let reason = crate::in_full(&error);
                        tracing::warn!("what quotas are about was not counted: {reason}");
                        RETRY
                    }
                };
                tokio::time::sleep(wait).await;
            }
        }
        .boxed(),
    );
}

/// Hears of changes that tokens must feel, whoever makes them.
pub(crate) fn keep_following(accounts: &Accounts, changes: &Arc<Changes>, spawner: &TokioSpawner) {
    let (accounts, changes) = (accounts.clone(), Arc::clone(changes));
    spawner.uncounted().spawn(
        async move {
            let mut well = true;
            loop {
                tokio::time::sleep(CHANGES_INTERVAL).await;
                match accounts.follow_changes(&changes).await {
                    Ok(()) if well => {}
                    Ok(()) => {
                        well = true;
                        tracing::info!("changes are heard of again");
                    }
                    Err(error) => {
                        // Once is enough: the next attempts are a second apart.
                        if well {
                            let reason = crate::in_full(&error);
                            tracing::warn!("changes that tokens must feel are not heard of: {reason}");
                        }
                        well = false;
                    }
                }
            }
        }
        .boxed(),
    );
}

/// Prolongs and replaces the key that this instance signs with.
pub(crate) fn keep_key(key: OwnKey, spawner: &TokioSpawner) {
    spawner.uncounted().spawn(
        async move {
            let mut wait = key.lifetime.refresh;
            loop {
                tokio::time::sleep(wait).await;
                wait = key.lifetime.refresh;
                if let Err(error) = key.see_to().await {
                    let reason = crate::in_full(&*error);
                    tracing::warn!("the key that tokens are signed with was not prolonged: {reason}");
                    wait = wait.min(RETRY);
                }
            }
        }
        .boxed(),
    );
}

/// Removes what has ended: app-specific tokens, codes, service keys, and changes that no token can feel.
pub(crate) fn keep_collected(accounts: &Accounts, spawner: &TokioSpawner) {
    let accounts = accounts.clone();
    spawner.uncounted().spawn(
        async move {
            loop {
                if let Err(error) = collect(&accounts).await {
                    let reason = crate::in_full(&*error);
                    tracing::warn!("tokens and keys that have ended were not removed: {reason}");
                }
                tokio::time::sleep(COLLECT_INTERVAL).await;
            }
        }
        .boxed(),
    );
}

/// Counts what was done with repositories the day before: that is how popular they are.
pub(crate) fn keep_counting(accounts: &Accounts, spawner: &TokioSpawner) {
    let accounts = accounts.clone();
    spawner.uncounted().spawn(
        async move {
            loop {
                let wait = match accounts.count_actions(COUNTED_AT_ONCE).await {
                    // Others want the database too.
                    Ok(COUNTED_AT_ONCE) => Duration::from_millis(200),
                    Ok(_) => COUNT_INTERVAL,
                    Err(error) => {
                        tracing::warn!(
                            "what was done with repositories was not counted: {}",
                            crate::in_full(&error)
                        );
                        COUNT_INTERVAL
                    }
                };
                tokio::time::sleep(wait).await;
            }
        }
        .boxed(),
    );
}

async fn collect(accounts: &Accounts) -> Result<(), Failure> {
    let mut tokens = 0;
    loop {
        let removed = accounts.collect_app_tokens(COLLECTED_AT_ONCE).await?;
        tokens += removed;
        if removed < COLLECTED_AT_ONCE as u64 {
            break;
        }
    }
    let mut codes = 0;
    loop {
        let removed = accounts.collect_codes(COLLECTED_AT_ONCE).await?;
        codes += removed;
        if removed < COLLECTED_AT_ONCE as u64 {
            break;
        }
    }
    let keys = accounts.collect_service_keys().await?;
    accounts.forget_changes().await?;
    tracing::debug!(tokens, codes, keys, "collected");
    Ok(())
}
