//! The layers of an image as people look at them: each with the step of the build that made it.

use serde_json::Value;

use super::config::{ImageConfig, Step};
use super::{Limits, ManifestKind, json};
use crate::digest::Digest;
use crate::metadata::ManifestRecord;

/// The layer that a step of a build stands for which changed no file, and its size.
const EMPTY_LAYER: &str = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";
const EMPTY_LAYER_SIZE: u64 = 32;

/// One layer, or one step of the build.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ManifestLayer {
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes, where the manifest says it.
    pub size: Option<u64>,
    /// Where it lies, if that is elsewhere.
    pub urls: Vec<String>,
    /// What was run: a list of words.
    pub command: Option<Value>,
    /// What was said of it.
    pub comment: Option<String>,
    /// Who did it.
    pub author: Option<String>,
    /// When (RFC 3339).
    pub created: Option<String>,
}

/// A manifest as people look at it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ManifestView {
    /// Whether it is an index or list.
    pub is_list: bool,
    /// The layers, the oldest first; `None` for an index or list.
    pub layers: Option<Vec<ManifestLayer>>,
    /// The media type of its configuration.
    pub config_media_type: Option<String>,
    /// Its configuration.
    pub config_digest: Option<Digest>,
    /// Bytes of the layers together, as the manifest says.
    pub layers_size: u64,
}

/// What a step of a build says of itself in schema 1.
fn step(history: &Value, command: Option<Value>) -> ManifestLayer {
    let text = |key: &str| history.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    ManifestLayer {
        digest: Digest::lowest(),
        size: None,
        urls: Vec::new(),
        command,
        comment: text("comment"),
        author: text("author"),
        created: text("created"),
    }
}

impl ManifestView {
    /// Looks at a stored manifest, with its configuration if that is known. What cannot be read is left
    /// out: the manifest was accepted when it was pushed.
    #[must_use]
    pub fn of(manifest: &ManifestRecord, config: Option<&[u8]>) -> Self {
        let document = json::parse(&manifest.bytes, &Limits::default()).unwrap_or_default();
        let kind = ManifestKind::from_media_type(manifest.media_type.as_str());
        let is_list = matches!(kind, Some(ManifestKind::OciIndex | ManifestKind::DockerList));
        let layers = match kind {
            Some(ManifestKind::OciImage | ManifestKind::DockerImage) => Some(image_layers(&document, config)),
            Some(ManifestKind::Schema1 | ManifestKind::Schema1Signed) => Some(schema1_layers(&document)),
            _ => None,
        };
        let named = document.get("layers").and_then(Value::as_array);
        let sizes = named
            .into_iter()
            .flatten()
            .filter_map(|layer| layer.get("size").and_then(Value::as_u64));
        Self {
            is_list,
            layers,
            config_media_type: document
                .pointer("/config/mediaType")
                .and_then(Value::as_str)
                .map(ToOwned::to_owned),
            config_digest: document
                .get("config")
                .and_then(|config| digest_of(config, "digest")),
            layers_size: sizes.fold(0, u64::saturating_add),
        }
    }
}

fn digest_of(value: &Value, key: &str) -> Option<Digest> {
    value.get(key)?.as_str()?.parse().ok()
}

/// The layers with the steps of the configuration's history, which has steps without a layer besides.
fn image_layers(document: &Value, config: Option<&[u8]>) -> Vec<ManifestLayer> {
    let steps = config.map(ImageConfig::read).unwrap_or_default().history();
    let is_empty = |step: &Step| step.empty_layer == Some(true);
    let named = document.get("layers").and_then(Value::as_array);
    let named: Vec<&Value> = named.into_iter().flatten().collect();
    // A history that does not fit says nothing of any layer.
    let fits = steps.iter().filter(|step| !is_empty(step)).count() == named.len();
    let steps = if fits {
        steps
    } else {
        vec![Step::default(); named.len()]
    };
    let mut blobs = named.into_iter();
    steps
        .into_iter()
        .filter_map(|made| {
            let is_empty = is_empty(&made);
            let mut layer = ManifestLayer {
                digest: Digest::lowest(),
                size: None,
                urls: Vec::new(),
                command: made.created_by.as_deref().map(command_of),
                comment: made.comment,
                author: made.author,
                created: made.created,
            };
            if is_empty {
                layer.digest = EMPTY_LAYER.parse().ok()?;
                layer.size = Some(EMPTY_LAYER_SIZE);
                return Some(layer);
            }
            let blob = blobs.next()?;
            layer.digest = digest_of(blob, "digest")?;
            layer.size = blob.get("size").and_then(Value::as_u64);
            let urls = blob.get("urls").and_then(Value::as_array).into_iter().flatten();
            layer.urls = urls
                .filter_map(|url| url.as_str().map(ToOwned::to_owned))
                .collect();
            Some(layer)
        })
        .collect()
}

/// A command is written as a list of words, or as one text.
fn command_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Array(words)) => Value::Array(words),
        _ => Value::Array(vec![text.into()]),
    }
}

/// Schema 1 names the newest layer first.
fn schema1_layers(document: &Value) -> Vec<ManifestLayer> {
    let list = |key: &str| document.get(key).and_then(Value::as_array).into_iter().flatten();
    let mut layers: Vec<ManifestLayer> = list("fsLayers")
        .zip(list("history"))
        .filter_map(|(layer, history)| {
            let text = history.get("v1Compatibility").and_then(Value::as_str)?;
            let history: Value = serde_json::from_str(text).unwrap_or_default();
            let command = history.pointer("/container_config/Cmd").cloned();
            let mut layer_view = step(&history, command.filter(Value::is_array));
            layer_view.digest = digest_of(layer, "blobSum")?;
            layer_view.size = history.get("Size").and_then(Value::as_u64);
            Some(layer_view)
        })
        .collect();
    layers.reverse();
    layers
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::digest::Algorithm;
    use crate::media_type::MediaType;

    fn record(media_type: &str, document: &Value) -> ManifestRecord {
        let bytes = Bytes::from(document.to_string());
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        ManifestRecord::new(digest, MediaType::known(media_type), bytes)
    }

    fn blob(content: &str) -> Digest {
        Digest::of(Algorithm::Sha256, content.as_bytes())
    }

    #[test]
    fn layers_come_with_the_steps_that_made_them() {
        let image = json!({
            "schemaVersion": 2,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob("c"), "size": 1 },
            "layers": [
                { "digest": blob("a"), "size": 10 },
                { "digest": blob("b"), "size": 5, "urls": ["https://elsewhere.example/b"] },
            ],
        });
        let record = record(MediaType::OCI_MANIFEST, &image);
        let config = json!({ "history": [
            { "created": "2020-01-02T03:04:05Z", "created_by": "/bin/sh -c add", "author": "ann" },
            { "created_by": "[\"sh\"]", "empty_layer": true },
            { "comment": "the last" },
        ] })
        .to_string();
        let view = ManifestView::of(&record, Some(config.as_bytes()));
        assert_eq!((view.is_list, view.layers_size), (false, 15));
        let layers = view.layers.unwrap();
        assert_eq!(layers.len(), 3);
        assert_eq!((layers[0].digest, layers[0].size), (blob("a"), Some(10)));
        assert_eq!(layers[0].command, Some(json!(["/bin/sh -c add"])));
        assert_eq!(layers[0].author.as_deref(), Some("ann"));
        assert_eq!(layers[1].digest.to_string(), EMPTY_LAYER);
        assert_eq!(
            (layers[1].size, layers[1].command.clone()),
            (Some(32), Some(json!(["sh"])))
        );
        assert_eq!(layers[2].comment.as_deref(), Some("the last"));
        assert_eq!(layers[2].urls, ["https://elsewhere.example/b"]);

        for config in [None, Some(&b"{\"history\": [{}]}"[..]), Some(b"nothing")] {
            let layers = ManifestView::of(&record, config).layers.unwrap();
            assert_eq!(layers.len(), 2, "a history that does not fit counts for nothing");
        }
    }

    #[test]
    fn lists_have_no_layers_and_schema_1_has_them_upside_down() {
        let index = record(
            MediaType::OCI_INDEX,
            &json!({ "schemaVersion": 2, "manifests": [] }),
        );
        let view = ManifestView::of(&index, None);
        assert_eq!((view.is_list, view.layers), (true, None));

        let old = json!({
            "schemaVersion": 1,
            "fsLayers": [{ "blobSum": blob("new") }, { "blobSum": blob("old") }],
            "history": [
                { "v1Compatibility": json!({ "container_config": { "Cmd": ["run"] } }).to_string() },
                { "v1Compatibility": "{}" },
            ],
        });
        let view = ManifestView::of(&record(MediaType::DOCKER_SCHEMA1, &old), None);
        let layers = view.layers.unwrap();
        assert_eq!((layers[0].digest, layers[1].digest), (blob("old"), blob("new")));
        assert_eq!(layers[1].command, Some(json!(["run"])));
    }
}
