//! Keys about the life of tags.

use std::time::Duration;

use serde_json::Value;

use super::InvalidConfig;
use super::values::{Reader, wrong};
use crate::lifecycle::{PruneInput, PruneRule};
use crate::registry::AutoPrune;

/// How often the work is looked for that policies about the life of tags cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyConfig {
    /// `AUTO_PRUNING_POLL_PERIOD`: how long after nothing was due it is looked for again.
    pub poll: Duration,
    /// `AUTO_PRUNING_BATCH_SIZE`: steps that are made at once when something is due.
    pub steps: usize,
}

impl Reader<'_> {
    fn page_size(&self, name: &str) -> Result<usize, InvalidConfig> {
        match usize::try_from(self.number(name)?) {
            Ok(count @ 1..=10_000) => Ok(count),
            _ => Err(wrong(name, "must be a whole number from 1 to 10000")),
        }
    }

    fn span(&self, name: &str, unit: u64) -> Result<Duration, InvalidConfig> {
        let count = self.number(name)?.max(1);
        Ok(Duration::from_secs(count.saturating_mul(unit)))
    }

    pub(super) fn policies(&self) -> Result<PolicyConfig, InvalidConfig> {
        Ok(PolicyConfig {
            poll: self.span("AUTO_PRUNING_POLL_PERIOD", 1)?,
            steps: self.page_size("AUTO_PRUNING_BATCH_SIZE")?,
        })
    }

    /// How tags are pruned, where they are.
    pub(super) fn auto_prune(&self) -> Result<Option<AutoPrune>, InvalidConfig> {
        // Read whether or not they count, so that what is wrong with them is told.
        let options = AutoPrune {
            interval: self.span("AUTOPRUNE_TASK_RUN_MINIMUM_INTERVAL_MINUTES", 60)?,
            default_policy: self.default_policy()?,
            default_interval: self.span("AUTO_PRUNING_DEFAULT_POLICY_POLL_PERIOD", 1)?,
            default_hold: self.span("AUTOPRUNE_DEFAULT_POLICY_TIMEOUT", 1)?,
            default_repositories: self.page_size("AUTO_PRUNING_DEFAULT_POLICY_BATCH_SIZE")?,
            repositories: self.page_size("AUTOPRUNE_FETCH_REPOSITORIES_PAGE_LIMIT")?,
            tags: self.page_size("AUTOPRUNE_FETCH_TAGS_PAGE_LIMIT")?,
        };
        Ok(self.boolean("FEATURE_AUTO_PRUNE")?.then_some(options))
    }

    fn default_policy(&self) -> Result<Option<PruneRule>, InvalidConfig> {
        const NAME: &str = "DEFAULT_NAMESPACE_AUTOPRUNE_POLICY";
        let Value::Object(policy) = self.value(NAME)? else {
            return Ok(None);
        };
        if policy.is_empty() {
            return Ok(None);
        }
        let text = |name: &str| match policy.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(NAME, format!("{name} must be a string"))),
        };
        let known = [
            "method",
            "value",
            "tag_pattern",
            "tag_pattern_matches",
            "keep_pulled_within",
        ];
        if let Some(unknown) = policy.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(wrong(NAME, format!("{unknown} means nothing here")));
        }
        let matches = match policy.get("tag_pattern_matches") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(matches)) => Some(*matches),
            Some(_) => return Err(wrong(NAME, "tag_pattern_matches must be a boolean")),
        };
        let method = text("method")?.unwrap_or_default();
        let value = policy.get("value").cloned().unwrap_or_default();
        let input = PruneInput::new(method, value)
            .with_pattern(text("tag_pattern")?, matches)
            .with_keep_pulled_within(text("keep_pulled_within")?);
        let rule = PruneRule::parse(input).map_err(|error| wrong(NAME, error.to_string()))?;
        Ok(Some(rule))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Config;

    fn read(config: &Value) -> Result<Config, super::InvalidConfig> {
        Config::from_map(config.as_object().unwrap())
    }

    #[test]
    fn pruning_is_off_and_can_be_switched_on() {
        let config = Config::default();
        assert!(config.registry.auto_prune.is_none() && !config.registry.last_pulls);
        assert!(!config.registry.immutable_tags && !config.accounts.auto_prune);
        let config = read(&json!({
            "FEATURE_AUTO_PRUNE": true,
            "FEATURE_IMMUTABLE_TAGS": true,
            "AUTOPRUNE_TASK_RUN_MINIMUM_INTERVAL_MINUTES": 30,
            "DEFAULT_NAMESPACE_AUTOPRUNE_POLICY": { "method": "creation_date", "value": "30d" },
        }))
        .unwrap();
        let options = config.registry.auto_prune.unwrap();
        assert_eq!(options.interval.as_secs(), 1800);
        let default = options.default_policy.unwrap();
        assert_eq!(
            default.stored(),
            json!({ "method": "creation_date", "value": "30d" })
        );
        assert!(config.accounts.auto_prune && config.accounts.immutable_tags);
        assert!(config.registry.immutable_tags && config.registry.last_pulls);
        assert!(!config.accounts.pull_statistics);
    }

    #[test]
    fn pulls_are_counted_for_whoever_wants_to_know() {
        let config = read(&json!({ "FEATURE_IMAGE_PULL_STATS": true })).unwrap();
        assert!(config.accounts.pull_statistics && config.registry.last_pulls);
        assert!(config.registry.auto_prune.is_none());
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_key() {
        const POLICY: &str = "DEFAULT_NAMESPACE_AUTOPRUNE_POLICY";
        for (key, value) in [
            (POLICY, json!({ "method": "number_of_tags", "value": 0 })),
            (POLICY, json!({ "method": "number_of_tags", "value": -5 })),
            (
                POLICY,
                json!({ "method": "creation_date", "value": "5 fortnights" }),
            ),
            (POLICY, json!({ "method": "oldest", "value": 1 })),
            (POLICY, json!({ "value": 1 })),
            (
                POLICY,
                json!({ "method": "number_of_tags", "value": 1, "pattern": "a" }),
            ),
            (
                POLICY,
                json!({ "method": "number_of_tags", "value": 1, "tag_pattern": "(" }),
            ),
            ("AUTOPRUNE_FETCH_TAGS_PAGE_LIMIT", json!(0)),
            ("AUTO_PRUNING_BATCH_SIZE", json!(-1)),
        ] {
            let error = read(&json!({ key: value })).unwrap_err();
            assert_eq!(error.key(), key, "{error}");
        }
    }
}
