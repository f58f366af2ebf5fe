//! Tags that stay as they are (`data-model.md`, immutability).
//!
//! A tag is immutable because its row says so, or because a policy covers its name. Policies count from the moment
//! that their row is committed: every change of a tag reads them with its repository locked, so that a push which
//! meets the creation of a policy either came first, and its tag stays from then on, or is refused.

use super::super::Registry;
use crate::accounts::LogKind;
use crate::caller::Caller;
use crate::error::{Error, ErrorKind};
use crate::lifecycle::ImmutabilityRule;
use crate::metadata::{
    PolicyKind, PolicyOwner, PolicyRecord, RepositoryId, TagEntry, TagRecord, TagTarget, UnitOfWork,
};
use crate::name::{RepositoryName, Tag};

/// What makes tags of one repository immutable.
#[derive(Debug, Default)]
pub(in super::super) struct Immutability {
    /// Whether there is such a thing here.
    on: bool,
    /// Whether immutable tags may end by themselves.
    can_expire: bool,
    rules: Vec<ImmutabilityRule>,
}

/// The policies that can be read. What cannot makes nothing immutable, and is told to the operator.
fn rules(policies: &[PolicyRecord]) -> Vec<ImmutabilityRule> {
    let rule = |policy: &PolicyRecord| {
        let rule = ImmutabilityRule::from_stored(&policy.content);
        if rule.is_none() {
            tracing::error!(uuid = policy.uuid, "an immutability policy cannot be read");
        }
        rule
    };
    policies.iter().filter_map(rule).collect()
}

fn owners(name: &RepositoryName, repository: RepositoryId) -> [PolicyOwner; 2] {
    [
        PolicyOwner::Namespace(name.namespace().to_owned()),
        PolicyOwner::Repository(repository),
    ]
}

impl Immutability {
    /// The policy that makes tags of a name immutable, if there is one.
    pub(in super::super) fn rule(&self, tag: &Tag) -> Option<&ImmutabilityRule> {
        let mut rules = self.rules.iter();
        rules.find(|rule| rule.covers(tag.as_str())).filter(|_| self.on)
    }

    /// Whether a tag stays as it is.
    pub(in super::super) fn covers(&self, row: &TagRecord) -> bool {
        self.on && (row.immutable || self.rule(&row.name).is_some())
    }

    /// Whether a tag stays as it is whose row says so, or not.
    pub(in super::super) fn stays(&self, tag: &Tag, immutable: bool) -> bool {
        self.on && (immutable || self.rule(tag).is_some())
    }

    /// Whether an immutable tag may end by itself.
    pub(in super::super) const fn can_expire(&self) -> bool {
        self.can_expire
    }

    /// Refuses what would be done to a tag that stays as it is.
    pub(in super::super) fn check(&self, row: &TagRecord, deed: &str) -> Result<(), Error> {
        if !self.covers(row) {
            return Ok(());
        }
        Err(refusal(&row.name, deed))
    }

    /// A new row of a tag, which may be immutable from the beginning.
    pub(in super::super) fn target(&self, tag: &Tag, target: TagTarget) -> TagTarget {
        if self.rule(tag).is_none() {
            return target;
        }
        let end = target.end.filter(|_| self.can_expire);
        target.with_immutable(true).with_end(end)
    }
}

/// What somebody is told who may not do something to a tag.
pub(in super::super) fn refusal(tag: &Tag, deed: &str) -> Error {
    let message = format!("the tag {tag} is immutable: it cannot be {deed}");
    Error::new(ErrorKind::TagImmutable, message).with_detail(serde_json::json!({ "tag": tag.as_str() }))
}

impl Registry {
    /// What makes tags of a repository immutable, as the unit of work sees it, which has the repository locked.
    pub(in super::super) async fn immutability(
        &self,
        unit: &mut dyn UnitOfWork,
        name: &RepositoryName,
        repository: RepositoryId,
    ) -> Result<Immutability, Error> {
        let options = &self.0.options;
        let Some(store) = unit.lifecycle().filter(|_| options.immutable_tags) else {
            return Ok(Immutability::default());
        };
        let kind = PolicyKind::Immutability;
        let policies = store.policies(kind, &owners(name, repository)).await?;
        Ok(Immutability {
            on: true,
            can_expire: options.immutable_tags_can_expire,
            rules: rules(&policies),
        })
    }

    /// Says of rows of history whether their tags stay as they are now, where there is such a thing.
    pub(in super::super) async fn rate_immutability(
        &self,
        name: &RepositoryName,
        repository: RepositoryId,
        entries: &mut [TagEntry],
    ) -> Result<(), Error> {
        if !self.0.options.immutable_tags {
            for entry in entries {
                entry.tag.immutable = false;
            }
            return Ok(());
        }
        let owners = owners(name, repository);
        let policies = self.0.metadata.policies(PolicyKind::Immutability, &owners);
        let immutability = Immutability {
            on: true,
            can_expire: false,
            rules: rules(&policies.await?),
        };
        let now = self.0.runtime.clock.now();
        for entry in entries {
            // What has ended can be changed by nobody anyway; it shows how it ended.
            if entry.tag.is_alive(now) {
                entry.tag.immutable = immutability.covers(&entry.tag);
            }
        }
        Ok(())
    }

    /// Says of a tag, which has a live row, that it stays as it is or does not any more.
    pub(in super::super) async fn change_immutability(
        &self,
        unit: &mut dyn UnitOfWork,
        (name, repository): (&RepositoryName, RepositoryId),
        tag: &Tag,
        (was, immutable): (bool, bool),
        caller: &Caller,
    ) -> Result<(), Error> {
        if !self.0.options.immutable_tags {
            return Ok(());
        }
        let policies = self.immutability(unit, name, repository).await?;
        if !immutable && policies.rule(tag).is_some() {
            return Err(refusal(tag, "made mutable, since a policy covers it"));
        }
        let Some(store) = unit.lifecycle() else {
            let message = "this registry keeps no immutable tags";
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        if was == immutable {
            return Ok(());
        }
        store
            .set_immutable(repository, std::slice::from_ref(tag), immutable)
            .await?;
        let more = serde_json::json!({ "tag": tag.as_str(), "immutable": immutable, "old_immutable": was });
        self.log_change(
            unit,
            LogKind::ChangeTagImmutability,
            name,
            repository,
            more,
            caller,
        )
        .await
    }

    /// Notes that tags which were just made are immutable by a policy.
    pub(in super::super) async fn log_made_immutable(
        &self,
        unit: &mut dyn UnitOfWork,
        name: &RepositoryName,
        repository: RepositoryId,
        immutability: &Immutability,
        tags: &[&Tag],
        caller: &Caller,
    ) -> Result<(), Error> {
        for tag in tags {
            let Some(rule) = immutability.rule(tag) else {
                continue;
            };
            let mut more = rule.stored();
            more["tag"] = tag.as_str().into();
            let kind = LogKind::TagMadeImmutableByPolicy;
            self.log_change(unit, kind, name, repository, more, caller)
                .await?;
        }
        Ok(())
    }
}
