//! What is read of an image's configuration (image-spec, "OCI Image Configuration"): its labels and its history, and
//! no more of them than anybody has.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::labels::EXPIRES_AFTER;

/// Labels that are kept.
const LABELS: usize = 2000;
/// Steps of a history that are kept.
const STEPS: usize = 10_000;

/// A configuration. What is missing is empty.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct ImageConfig {
    #[serde(default)]
    config: Option<Inner>,
    #[serde(default)]
    history: Option<Steps>,
}

#[derive(Debug, Default, serde::Deserialize)]
struct Inner {
    #[serde(rename = "Labels", default)]
    labels: Option<Labels>,
}

#[derive(Debug, Default)]
struct Labels(BTreeMap<String, String>);

#[derive(Debug, Default)]
struct Steps(Vec<Step>);

/// One step of a build.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub(super) struct Step {
    #[serde(default)]
    pub(super) created: Option<String>,
    #[serde(default)]
    pub(super) created_by: Option<String>,
    #[serde(default)]
    pub(super) author: Option<String>,
    #[serde(default)]
    pub(super) comment: Option<String>,
    #[serde(default)]
    pub(super) empty_layer: Option<bool>,
}

impl ImageConfig {
    /// Reads a configuration; an empty one where it cannot be read.
    pub(super) fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    pub(super) fn labels(self) -> BTreeMap<String, String> {
        let labels = self.config.and_then(|config| config.labels);
        labels.unwrap_or_default().0
    }

    pub(super) fn history(self) -> Vec<Step> {
        self.history.unwrap_or_default().0
    }
}

/// A text, or something else, which is passed over.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Other(IgnoredAny),
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Labels;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut labels = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if labels.len() >= LABELS && key != EXPIRES_AFTER {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    match map.next_value()? {
                        Text::Text(value) => {
                            labels.insert(key, value);
                        }
                        Text::Other(IgnoredAny) => {}
                    }
                }
                Ok(Labels(labels))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Steps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = Steps;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a history")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Steps, A::Error> {
                let mut steps = Vec::new();
                while steps.len() < STEPS {
                    match list.next_element()? {
                        Some(step) => steps.push(step),
                        None => return Ok(Steps(steps)),
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Steps(steps))
            }
        }

        deserializer.deserialize_seq(Items)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    fn read(value: &Value) -> ImageConfig {
        ImageConfig::read(value.to_string().as_bytes())
    }

    #[test]
    fn what_is_missing_is_empty() {
        for value in [
            json!({}),
            json!({ "config": null, "history": null }),
            json!({ "config": { "Labels": null }, "history": [] }),
            json!([]),
            json!("text"),
        ] {
            assert!(read(&value).labels().is_empty(), "{value}");
            assert!(read(&value).history().is_empty(), "{value}");
        }
    }

    #[test]
    fn no_more_is_kept_than_anybody_has() {
        let mut labels: Map<String, Value> = (0..10_000)
            .map(|number| (format!("a{number}"), json!("x")))
            .collect();
        labels.insert(EXPIRES_AFTER.to_owned(), json!("1h"));
        let value = json!({ "config": { "Labels": labels }, "history": vec![json!({}); 20_000] });
        let labels = read(&value).labels();
        assert!(labels.len() <= LABELS + 1);
        assert_eq!(labels.get(EXPIRES_AFTER).map(String::as_str), Some("1h"));
        assert_eq!(read(&value).history().len(), STEPS);
    }
}
