//! An image as Docker's first registry protocol and schema 1 know it: a chain of images, one for each step of
//! the build, each with an id of its own.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::config::{ImageConfig, Step};
use super::labels::IMAGE_CONFIGS;
use super::{Limits, ManifestKind, json};
use crate::digest::Digest;
use crate::metadata::ManifestRecord;

/// The layer of a step that changed no file (registry-protocol, section 8).
pub const EMPTY_LAYER: &str = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";

/// The bytes of [`EMPTY_LAYER`]: an archive without files, compressed.
pub const EMPTY_LAYER_BYTES: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x09, 0x6e, 0x88, 0x00, 0xff, 0x62, 0x18, 0x05, 0xa3, 0x60, 0x14, 0x8c,
    0x58, 0x00, 0x08, 0x00, 0x00, 0xff, 0xff, 0x2e, 0xaf, 0xb5, 0xef, 0x00, 0x04, 0x00, 0x00,
];

/// Images that a chain has at the most: several times what Docker makes of any image. Whoever looks at one is told
/// of all that it was made from.
pub const LONGEST_CHAIN: usize = 500;

/// Media types of layers that hold files.
const LAYERS: [&str; 5] = [
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
];

/// One image of a chain.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct V1Image {
    /// Its id.
    pub id: String,
    /// The id of the image that it was made from.
    pub parent: Option<String>,
    /// What is said of it, as JSON: `v1Compatibility`.
    pub json: String,
    /// The layer that it adds.
    pub blob: Digest,
    /// The layer's size in bytes, where that is known.
    pub size: Option<u64>,
    /// When it was made (RFC 3339).
    pub created: Option<String>,
    /// What was said of it.
    pub comment: Option<String>,
    /// What was run to make it: a list of words.
    pub command: Option<Value>,
}

impl V1Image {
    /// The chain of a manifest with its configuration, the oldest first. Ids that the manifest does not hold are
    /// made from what the images consist of, so that they are the same wherever the manifest lies. `None` for
    /// what is no image, has no layers or
    /// more than [`LONGEST_CHAIN`] steps, or has layers that lie elsewhere.
    #[must_use]
    pub fn chain(manifest: &ManifestRecord, config: Option<&[u8]>) -> Option<Vec<Self>> {
        let document = json::parse(&manifest.bytes, &Limits::default()).ok()?;
        match ManifestKind::from_media_type(manifest.media_type.as_str())? {
            ManifestKind::Schema1 | ManifestKind::Schema1Signed => stored(&document),
            ManifestKind::OciImage | ManifestKind::DockerImage => made(&document, config?),
            ManifestKind::OciIndex | ManifestKind::DockerList => None,
        }
    }

    /// An image as it was pushed, with what is said of it. `None` when that is no object with an id.
    #[must_use]
    pub fn pushed(json: String, blob: Digest) -> Option<Self> {
        let says: Map<String, Value> = serde_json::from_str(&json).ok()?;
        let word = |key: &str| says.get(key).and_then(Value::as_str).filter(|id| is_image_id(id));
        let (id, parent) = (word("id")?.to_owned(), word("parent").map(ToOwned::to_owned));
        if parent.is_none()
            && says
                .get("parent")
                .is_some_and(|parent| !parent.is_null() && parent != "")
        {
            return None;
        }
        let mut image = Self::new(id, parent, &says, blob);
        image.json = json;
        Some(image)
    }

    fn new(id: String, parent: Option<String>, says: &Map<String, Value>, blob: Digest) -> Self {
        let text = |key: &str| says.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        let command = says.get("container_config").and_then(|config| config.get("Cmd"));
        Self {
            id,
            parent,
            json: Value::Object(says.clone()).to_string(),
            blob,
            size: says.get("Size").and_then(Value::as_u64),
            created: text("created"),
            comment: text("comment"),
            command: command.filter(|command| command.is_array()).cloned(),
        }
    }
}

fn list<'a>(document: &'a Value, key: &str) -> Vec<&'a Value> {
    document
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect()
}

/// The configuration that a manifest names.
#[must_use]
pub fn config_digest(manifest: &ManifestRecord) -> Option<Digest> {
    let document = json::parse(&manifest.bytes, &Limits::default()).ok()?;
    document.pointer("/config/digest")?.as_str()?.parse().ok()
}

/// The chain that a schema 1 manifest holds, the newest first.
fn stored(document: &Value) -> Option<Vec<V1Image>> {
    let layers = list(document, "fsLayers");
    if layers.len() > LONGEST_CHAIN {
        return None;
    }
    let layers = layers.into_iter();
    let mut chain = layers
        .zip(list(document, "history"))
        .map(|(layer, history)| {
            let text = history.get("v1Compatibility")?.as_str()?;
            V1Image::pushed(text.to_owned(), layer.get("blobSum")?.as_str()?.parse().ok()?)
        })
        .collect::<Option<Vec<_>>>()?;
    chain.reverse();
    Some(chain).filter(|chain| !chain.is_empty())
}

/// Whether a text may be an image's id: it stands in paths.
#[must_use]
pub fn is_image_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The chain of an image that has a configuration.
fn made(document: &Value, config: &[u8]) -> Option<Vec<V1Image>> {
    let media_type = document.pointer("/config/mediaType")?.as_str()?;
    if !IMAGE_CONFIGS.contains(&media_type) {
        return None;
    }
    let layers = list(document, "layers");
    let holds_files = |layer: &&Value| {
        let is_here = layer
            .get("urls")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty);
        let media_type = layer.get("mediaType").and_then(Value::as_str);
        is_here && media_type.is_some_and(|media_type| LAYERS.contains(&media_type))
    };
    if !layers.iter().all(holds_files) {
        return None;
    }
    let Value::Object(top) = json::parse(config, &Limits::default()).ok()? else {
        return None;
    };
    let config_digest = document.pointer("/config/digest")?.as_str()?;
    let steps = steps(config, layers.len());
    let last = steps.len().checked_sub(1).filter(|&last| last < LONGEST_CHAIN)?;
    let mut blobs = layers.into_iter();
    let mut chain: Vec<V1Image> = Vec::with_capacity(steps.len());
    for (index, step) in steps.into_iter().enumerate() {
        let (blob, size): (Digest, Option<u64>) = if step.empty_layer == Some(true) {
            (EMPTY_LAYER.parse().ok()?, Some(EMPTY_LAYER_BYTES.len() as u64))
        } else {
            let layer = blobs.next()?;
            let size = layer.get("size").and_then(Value::as_u64);
            (layer.get("digest")?.as_str()?.parse().ok()?, size)
        };
        let parent = chain.last().map(|image| image.id.clone());
        let leaf = (index == last).then_some(config_digest);
        let id = image_id(&step, index, &blob, parent.as_deref(), leaf);
        let top = if index == last { top.clone() } else { Map::new() };
        let says = description(top, &id, parent.as_deref(), step, size);
        chain.push(V1Image::new(id, parent, &says, blob));
    }
    Some(chain)
}

/// The steps of a build. A history that does not fit the layers says nothing of any.
fn steps(config: &[u8], layers: usize) -> Vec<Step> {
    let steps = ImageConfig::read(config).history();
    let with_layer = steps.iter().filter(|step| step.empty_layer != Some(true));
    if with_layer.count() == layers {
        steps
    } else {
        vec![Step::default(); layers]
    }
}

/// What tells an image from others: how it was made, its layer, and what it was made from (registry-protocol,
/// section 9.3); the last one also by its configuration, in which two may differ that were made alike.
fn image_id(step: &Step, index: usize, blob: &Digest, parent: Option<&str>, config: Option<&str>) -> String {
    let content = json!([
        step.created,
        step.created_by,
        step.author,
        step.comment,
        step.empty_layer,
        index,
        blob,
        parent,
        config,
    ]);
    hex::encode(Sha256::digest(content.to_string().as_bytes()))
}

/// What schema 1 says of an image. The last one tells what is in the configuration; the others how they were made.
fn description(
    mut says: Map<String, Value>,
    id: &str,
    parent: Option<&str>,
    step: Step,
    size: Option<u64>,
) -> Map<String, Value> {
    for key in ["history", "rootfs", "parent"] {
        says.remove(key);
    }
    says.insert("id".to_owned(), id.into());
    if let Some(parent) = parent {
        says.insert("parent".to_owned(), parent.into());
    }
    let texts = [
        ("created", step.created),
        ("author", step.author),
        ("comment", step.comment),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            says.entry(key).or_insert_with(|| text.into());
        }
    }
    if step.empty_layer == Some(true) {
        says.entry("throwaway").or_insert(Value::Bool(true));
    }
    let command: Vec<String> = step.created_by.into_iter().collect();
    says.entry("container_config")
        .or_insert_with(|| json!({ "Cmd": command }));
    if let Some(size) = size {
        says.insert("Size".to_owned(), size.into());
    }
    says
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::digest::Algorithm;
    use crate::media_type::MediaType;

    fn blob(content: &str) -> Digest {
        Digest::of(Algorithm::Sha256, content.as_bytes())
    }

    fn record(media_type: &str, document: &Value) -> ManifestRecord {
        let bytes = Bytes::from(document.to_string());
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        ManifestRecord::new(digest, MediaType::known(media_type), bytes)
    }

    fn image(config_type: &str, layers: &Value) -> ManifestRecord {
        let config = json!({ "mediaType": config_type, "digest": blob("config"), "size": 1 });
        let document = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        record(MediaType::OCI_MANIFEST, &document)
    }

    fn layer(name: &str) -> Value {
        json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": blob(name), "size": 7 })
    }

    #[test]
    fn the_empty_layer_is_what_its_digest_says() {
        assert_eq!(
            Digest::of(Algorithm::Sha256, EMPTY_LAYER_BYTES).to_string(),
            EMPTY_LAYER
        );
    }

    #[test]
    fn a_chain_has_one_image_for_each_step() {
        let record = image(MediaType::OCI_CONFIG, &json!([layer("a"), layer("b")]));
        let config = json!({
            "architecture": "amd64",
            "config": { "Env": ["A=b"] },
            "rootfs": { "type": "layers", "diff_ids": [] },
            "history": [
                { "created": "2020-01-02T03:04:05Z", "created_by": "add a", "author": "ann" },
                { "created_by": "ENV A=b", "empty_layer": true },
                { "created_by": "add b", "comment": "done" },
            ],
        })
        .to_string();
        let chain = V1Image::chain(&record, Some(config.as_bytes())).unwrap();
        let blobs: Vec<_> = chain.iter().map(|image| image.blob.to_string()).collect();
        assert_eq!(
            blobs,
            [
                blob("a").to_string(),
                EMPTY_LAYER.to_owned(),
                blob("b").to_string()
            ]
        );
        assert_eq!(chain[0].parent, None);
        assert_eq!(chain[1].parent.as_ref(), Some(&chain[0].id));
        assert_eq!(chain[2].parent.as_ref(), Some(&chain[1].id));
        let says: Vec<Value> = chain
            .iter()
            .map(|image| serde_json::from_str(&image.json).unwrap())
            .collect();
        assert_eq!(
            says[0],
            json!({
                "id": chain[0].id, "created": "2020-01-02T03:04:05Z", "author": "ann", "Size": 7,
                "container_config": { "Cmd": ["add a"] },
            })
        );
        assert_eq!(
            says[1],
            json!({
                "id": chain[1].id, "parent": chain[0].id, "throwaway": true, "Size": 32,
                "container_config": { "Cmd": ["ENV A=b"] },
            })
        );
        assert_eq!(
            says[2],
            json!({
                "id": chain[2].id, "parent": chain[1].id, "architecture": "amd64", "config": { "Env": ["A=b"] },
                "comment": "done", "Size": 7, "container_config": { "Cmd": ["add b"] },
            })
        );
        // Another configuration makes another image, of the same parents.
        let other = config.replace("A=b\"]", "A=c\"]");
        let mut moved = record;
        let bytes = String::from_utf8(moved.bytes.to_vec()).unwrap();
        moved.bytes = bytes
            .replace(&blob("config").to_string(), &blob("other").to_string())
            .into();
        let changed = V1Image::chain(&moved, Some(other.as_bytes())).unwrap();
        assert_eq!(changed[1].id, chain[1].id);
        assert_ne!(changed[2].id, chain[2].id);
    }

    #[test]
    fn what_is_no_image_has_no_chain() {
        let foreign = json!({
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "digest": blob("a"), "size": 1, "urls": ["https://elsewhere.example/a"],
        });
        let signature = json!({
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": blob("a"), "size": 1,
        });
        let config = Some(&b"{}"[..]);
        let image_of = |layers: &Value| image(MediaType::OCI_CONFIG, layers);
        assert!(V1Image::chain(&image_of(&json!([layer("a")])), config).is_some());
        assert!(V1Image::chain(&image_of(&json!([layer("a"), foreign])), config).is_none());
        assert!(V1Image::chain(&image_of(&json!([signature])), config).is_none());
        assert!(V1Image::chain(&image_of(&json!([])), config).is_none());
        assert!(V1Image::chain(&image_of(&json!([layer("a")])), None).is_none());
        assert!(V1Image::chain(&image_of(&json!([layer("a")])), Some(b"[]")).is_none());
        let helm = image("application/vnd.cncf.helm.config.v1+json", &json!([layer("a")]));
        assert!(V1Image::chain(&helm, config).is_none());
        for (steps, is_image) in [(LONGEST_CHAIN, true), (LONGEST_CHAIN + 1, false)] {
            let empty = json!({ "empty_layer": true });
            let config = json!({ "history": vec![empty; steps] }).to_string();
            let chain = V1Image::chain(&image_of(&json!([])), Some(config.as_bytes()));
            assert_eq!(chain.is_some(), is_image, "{steps}");
        }
        let index = record(
            MediaType::OCI_INDEX,
            &json!({ "schemaVersion": 2, "manifests": [] }),
        );
        assert!(V1Image::chain(&index, config).is_none());
    }

    #[test]
    fn schema_1_holds_its_chain() {
        let says = |id: &str, parent: Option<&str>| {
            json!({ "id": id, "parent": parent, "container_config": { "Cmd": ["run"] } }).to_string()
        };
        let old = |first: &str| {
            json!({
                "schemaVersion": 1,
                "fsLayers": [{ "blobSum": blob("new") }, { "blobSum": blob("old") }],
                "history": [
                    { "v1Compatibility": says(first, Some("ab")) },
                    { "v1Compatibility": says("ab", None) },
                ],
            })
        };
        let chain = V1Image::chain(&record(MediaType::DOCKER_SCHEMA1, &old("cd")), None).unwrap();
        assert_eq!((chain[0].id.as_str(), chain[0].blob), ("ab", blob("old")));
        assert_eq!(
            (chain[1].id.as_str(), chain[1].parent.as_deref()),
            ("cd", Some("ab"))
        );
        assert_eq!(chain[1].json, says("cd", Some("ab")));
        for unusable in ["", "../x", "a b"] {
            let record = record(MediaType::DOCKER_SCHEMA1, &old(unusable));
            assert!(V1Image::chain(&record, None).is_none(), "{unusable:?}");
        }
    }
}
