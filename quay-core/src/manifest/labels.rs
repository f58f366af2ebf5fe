//! Labels that come with a manifest (registry-protocol, section 10).

use std::collections::BTreeMap;
use std::time::Duration;

use super::config::ImageConfig;
use super::{Manifest, ManifestKind};
use crate::config::duration;

/// The label that says how long tags of a manifest last.
pub const EXPIRES_AFTER: &str = "quay.expires-after";

/// Configurations of images; others say nothing of labels.
pub(super) const IMAGE_CONFIGS: [&str; 2] = [
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.oci.image.config.v1+json",
];

/// What a label's value is: `application/json` for objects and lists, `text/plain` for all else.
#[must_use]
pub fn label_media_type(value: &str) -> &'static str {
    let looks = |open, close| value.starts_with(open) && value.ends_with(close);
    if (looks('{', '}') || looks('[', ']')) && serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok() {
        "application/json"
    } else {
        "text/plain"
    }
}

/// How long tags last that a label's value is about: a whole number of seconds, minutes, hours, days or
/// weeks. `None` for what cannot be read, which Quay passes over.
#[must_use]
pub fn expires_after(value: &str) -> Option<Duration> {
    // Quay knows no years here.
    duration::parse(value).filter(|_| !value.ends_with('y'))
}

/// Whether a key may be given to a label by a call: small letters and digits, with single dots and hyphens
/// between them, at most 255 bytes.
#[must_use]
pub fn is_label_key(key: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = key.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| word(*byte));
    bytes.len() <= 255
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|byte| word(*byte) || matches!(byte, b'.' | b'-'))
        && bytes.windows(2).all(|pair| pair.iter().any(|byte| word(*byte)))
}

impl Manifest {
    /// Whether its configuration is an image's, which may have labels.
    #[must_use]
    pub fn has_image_config(&self) -> bool {
        self.config_media_type
            .as_deref()
            .is_some_and(|media_type| IMAGE_CONFIGS.contains(&media_type))
    }

    /// The labels that come with it: those of the image's configuration, if that is given, with the
    /// manifest's own annotations over them. Indexes and lists have none.
    #[must_use]
    pub fn labels(&self, config: Option<&[u8]>) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        match self.kind {
            ManifestKind::OciIndex | ManifestKind::DockerList => return labels,
            ManifestKind::Schema1 | ManifestKind::Schema1Signed => {
                let top = self.schema1.as_ref().and_then(|schema1| schema1.top.as_deref());
                labels.extend(
                    top.map(|text| ImageConfig::read(text.as_bytes()).labels())
                        .unwrap_or_default(),
                );
            }
            ManifestKind::OciImage | ManifestKind::DockerImage => {
                labels.extend(
                    config
                        .map(|config| ImageConfig::read(config).labels())
                        .unwrap_or_default(),
                );
            }
        }
        let annotations = self.annotations.as_deref().unwrap_or("{}");
        let annotations: BTreeMap<String, String> = serde_json::from_str(annotations).unwrap_or_default();
        labels.extend(annotations);
        labels.retain(|key, _| !key.is_empty() && key.len() <= 255 && !key.contains('\0'));
        labels.retain(|_, value| !value.contains('\0'));
        labels
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::super::Limits;
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn image(config_type: &str, annotations: &Value) -> Manifest {
        let document = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": config_type, "digest": DIGEST, "size": 0 },
            "layers": [],
            "annotations": annotations,
        });
        let bytes = Bytes::from(document.to_string());
        Manifest::parse(None, &bytes, &Limits::default()).unwrap()
    }

    #[test]
    fn annotations_lie_over_the_configurations_labels() {
        let config = json!({ "config": { "Labels": { "a": "1", "b": "2", "": "3", "n": 4 } } }).to_string();
        let manifest = image(IMAGE_CONFIGS[1], &json!({ "b": "over", "c": "{}" }));
        assert!(manifest.has_image_config());
        let labels = manifest.labels(Some(config.as_bytes()));
        let found: Vec<_> = labels
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(found, [("a", "1"), ("b", "over"), ("c", "{}")]);
        assert_eq!(manifest.labels(Some(b"no json")).len(), 2);
        let artifact = image("application/vnd.example+json", &json!({ "a": "b" }));
        assert!(!artifact.has_image_config());
        assert_eq!(artifact.labels(None).len(), 1);
    }

    #[test]
    fn values_and_times() {
        for (value, kind) in [
            ("{\"a\":1}", "application/json"),
            ("[1]", "application/json"),
            ("{a}", "text/plain"),
            ("1", "text/plain"),
            ("\"x\"", "text/plain"),
            ("", "text/plain"),
        ] {
            assert_eq!(label_media_type(value), kind, "{value}");
        }
        for (value, seconds) in [
            ("30s", Some(30)),
            ("10m", Some(600)),
            ("2h", Some(7200)),
            ("1d", Some(86_400)),
            ("2w", Some(1_209_600)),
            ("1y", None),
            ("2 weeks", None),
            ("-1h", None),
            ("2W", None),
            ("", None),
        ] {
            assert_eq!(expires_after(value), seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn keys() {
        for key in ["a", "a.b", "a-b.c1", "0"] {
            assert!(is_label_key(key), "{key}");
        }
        for key in ["", "A", "a..b", "a.-b", ".a", "a-", "a b", "a/b", "\u{e4}"] {
            assert!(!is_label_key(key), "{key}");
        }
        assert!(is_label_key(&"a".repeat(255)) && !is_label_key(&"a".repeat(256)));
    }
}
