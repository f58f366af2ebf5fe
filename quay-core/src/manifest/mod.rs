//! Manifests: what kind one is, what it names, and whether it may be stored.
//!
//! Parsing never changes a byte. It is lenient about what it does not need (unknown fields stay
//! unknown), and strict where two readers could disagree: a media type that contradicts the content, a
//! key that occurs twice, fields of two kinds of manifest in one document.

mod config;
mod history;
mod json;
mod labels;
mod layers;
mod older;
mod schema1;

use bytes::Bytes;
use serde_json::Value;

pub use history::{EMPTY_LAYER, EMPTY_LAYER_BYTES, LONGEST_CHAIN, V1Image, config_digest, is_image_id};
pub use labels::{EXPIRES_AFTER, expires_after, is_label_key, label_media_type};
pub use layers::{ManifestLayer, ManifestView};
pub use older::{Accepted, ManifestSigner, default_child, schema1, signed, wants_signature};
pub use schema1::Schema1Name;

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind};
use crate::media_type::MediaType;
use crate::metadata::EdgeKind;

/// How much of a manifest is looked at before it is refused.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits {
    /// Largest manifest accepted, in bytes. The distribution-spec asks for 4 MiB at least.
    pub bytes: usize,
    /// Deepest nesting accepted.
    pub depth: usize,
    /// Most JSON values accepted in one manifest.
    pub values: usize,
    /// Most descriptors accepted in one manifest.
    pub descriptors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 4 << 20,
            depth: 32,
            values: 50_000,
            descriptors: 10_000,
        }
    }
}

/// The kinds of manifests, by media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ManifestKind {
    /// OCI image manifest, artifacts included.
    OciImage,
    /// OCI image index.
    OciIndex,
    /// Docker schema 2.
    DockerImage,
    /// Docker manifest list.
    DockerList,
    /// Docker schema 1 without signatures.
    Schema1,
    /// Docker schema 1 with signatures.
    Schema1Signed,
}

impl ManifestKind {
    /// Every kind, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::OciImage,
        Self::OciIndex,
        Self::DockerImage,
        Self::DockerList,
        Self::Schema1,
        Self::Schema1Signed,
    ];

    /// The kind that a media type declares.
    #[must_use]
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.media_type() == media_type)
    }

    /// The media type that declares this kind.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::OciImage => MediaType::OCI_MANIFEST,
            Self::OciIndex => MediaType::OCI_INDEX,
            Self::DockerImage => MediaType::DOCKER_MANIFEST,
            Self::DockerList => MediaType::DOCKER_LIST,
            Self::Schema1 => MediaType::DOCKER_SCHEMA1,
            Self::Schema1Signed => MediaType::DOCKER_SCHEMA1_SIGNED,
        }
    }

    /// Whether the OCI image specification defines it.
    #[must_use]
    pub const fn is_oci(self) -> bool {
        matches!(self, Self::OciImage | Self::OciIndex)
    }

    const fn is_schema1(self) -> bool {
        matches!(self, Self::Schema1 | Self::Schema1Signed)
    }
}

/// What a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Named {
    /// How.
    pub kind: EdgeKind,
    /// What.
    pub digest: Digest,
    /// Whether the repository must hold it for the manifest to be accepted. Subjects may come later
    /// (distribution-spec, "Pushing Manifests with Subject"); layers with `urls` lie elsewhere.
    pub required: bool,
}

/// A manifest that may be stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Manifest {
    /// Its kind.
    pub kind: ManifestKind,
    /// What it is a manifest of: `artifactType`, or else the configuration's media type.
    pub artifact_type: Option<String>,
    /// The manifest it is about.
    pub subject: Option<Digest>,
    /// Its annotations as a JSON object.
    pub annotations: Option<String>,
    /// What it names, each digest once per kind, in the order of the document.
    pub names: Vec<Named>,
    /// The name and tag inside a schema 1 manifest.
    pub schema1: Option<Schema1Name>,
    /// The media type of its configuration, where it names one.
    pub config_media_type: Option<String>,
    /// What its digest is taken of.
    payload: Bytes,
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::ManifestInvalid, reason)
}

impl Manifest {
    /// Reads a manifest that came with `content_type`, if it came with one.
    ///
    /// # Errors
    /// [`ErrorKind::ManifestTooLarge`], [`ErrorKind::MediaTypeUnsupported`] for a declared type that is
    /// not a manifest's, and [`ErrorKind::ManifestInvalid`] with the reason for everything else.
    pub fn parse(content_type: Option<&MediaType>, bytes: &Bytes, limits: &Limits) -> Result<Self, Error> {
        if bytes.len() > limits.bytes {
            return Err(Error::new(
                ErrorKind::ManifestTooLarge,
                format!("the manifest is larger than {} bytes", limits.bytes),
            )
            .with_detail(serde_json::json!({ "max_allowed": limits.bytes })));
        }
        let declared = match content_type.map(MediaType::as_str) {
            None | Some("application/json" | MediaType::OCTET_STREAM) => None,
            Some(declared) => Some(ManifestKind::from_media_type(declared).ok_or_else(|| {
                Error::new(
                    ErrorKind::MediaTypeUnsupported,
                    format!("manifests of media type {declared} are not supported"),
                )
            })?),
        };
        let document = json::parse(bytes, limits)
            .map_err(|error| invalid(format!("the manifest is not acceptable JSON: {error}")))?;
        if !document.is_object() {
            return Err(invalid("the manifest is not a JSON object"));
        }
        let kind = kind_of(declared, &document)?;
        spelling(&document)?;
        let payload = if kind == ManifestKind::Schema1Signed {
            schema1::payload(bytes, &document).map_err(invalid)?
        } else {
            bytes.clone()
        };
        let mut manifest = Self {
            kind,
            artifact_type: None,
            subject: None,
            annotations: None,
            names: Vec::new(),
            schema1: None,
            config_media_type: None,
            payload,
        };
        if kind == ManifestKind::Schema1Signed {
            let covered = json::parse(&manifest.payload, limits)
                .map_err(|error| invalid(format!("the signed payload is not acceptable JSON: {error}")))?;
            if !schema1::covers(&covered, &document) {
                return Err(invalid(
                    "the manifest says something else than what its signatures cover",
                ));
            }
            manifest.read_schema1(&covered, limits)?;
        } else if kind.is_schema1() {
            manifest.read_schema1(&document, limits)?;
        } else {
            manifest.read_schema2(&document, limits)?;
        }
        Ok(manifest)
    }

    /// The media type it is stored and served with.
    #[must_use]
    pub fn media_type(&self) -> MediaType {
        MediaType::known(self.kind.media_type())
    }

    /// Its digest: of its bytes, for signed schema 1 of the bytes that are signed.
    #[must_use]
    pub fn digest(&self, algorithm: Algorithm) -> Digest {
        Digest::of(algorithm, &self.payload)
    }

    fn name(&mut self, kind: EdgeKind, digest: Digest, required: bool, limits: &Limits) -> Result<(), Error> {
        if self.names.len() >= limits.descriptors {
            return Err(invalid(format!(
                "the manifest names more than {} things",
                limits.descriptors
            )));
        }
        // Every repository has the empty layer.
        let required = required && !(kind == EdgeKind::Layer && digest.to_string() == EMPTY_LAYER);
        self.names.push(Named {
            kind,
            digest,
            required,
        });
        Ok(())
    }

    fn read_schema1(&mut self, document: &Value, limits: &Limits) -> Result<(), Error> {
        let text = |key: &str| {
            document
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        self.schema1 = Some(Schema1Name {
            name: text("name"),
            tag: text("tag"),
            top: document
                .pointer("/history/0/v1Compatibility")
                .and_then(Value::as_str)
                .map(ToOwned::to_owned),
        });
        if document.get("schemaVersion").and_then(Value::as_u64) != Some(1) {
            return Err(invalid("schemaVersion is not 1"));
        }
        let layers = list(document, "fsLayers")?;
        if layers.is_empty() {
            return Err(invalid("a schema 1 manifest needs at least one layer"));
        }
        if list(document, "history")?.len() != layers.len() {
            return Err(invalid("fsLayers and history differ in length"));
        }
        for layer in layers {
            let digest = parse_digest(layer.get("blobSum"), "blobSum")?;
            self.name(EdgeKind::Layer, digest, true, limits)?;
        }
        self.without_repetitions();
        Ok(())
    }

    fn read_schema2(&mut self, document: &Value, limits: &Limits) -> Result<(), Error> {
        if document.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
            return Err(invalid("schemaVersion is not 2"));
        }
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(ToOwned::to_owned);
        let artifact_type = match document.get("artifactType") {
            None => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) if MediaType::parse(text).is_some() => Some(text.clone()),
            Some(_) => return Err(invalid("artifactType is not a media type")),
        };
        if matches!(self.kind, ManifestKind::OciIndex | ManifestKind::DockerList) {
            for child in list(document, "manifests")? {
                let digest = descriptor(child)?;
                // Old build caches list layers in an index; what is not a manifest is a blob.
                let kind = match child.get("mediaType").and_then(Value::as_str) {
                    Some(other) if ManifestKind::from_media_type(other).is_none() => EdgeKind::Layer,
                    _ => EdgeKind::Child,
                };
                self.name(kind, digest, true, limits)?;
            }
            self.artifact_type = artifact_type;
        } else {
            let config = document
                .get("config")
                .ok_or_else(|| invalid("config is missing"))?;
            let digest = descriptor(config)?;
            self.name(EdgeKind::Config, digest, true, limits)?;
            for layer in list(document, "layers")? {
                let digest = descriptor(layer)?;
                let elsewhere = layer
                    .get("urls")
                    .and_then(Value::as_array)
                    .is_some_and(|urls| !urls.is_empty());
                self.name(EdgeKind::Layer, digest, !elsewhere, limits)?;
            }
            // What is not a media type is no artifact type either; the bytes keep it.
            let of_config = text(config.get("mediaType"));
            self.config_media_type.clone_from(&of_config);
            self.artifact_type =
                artifact_type.or_else(|| of_config.filter(|text| MediaType::parse(text).is_some()));
        }
        if let Some(subject) = document.get("subject").filter(|subject| !subject.is_null()) {
            let digest = descriptor(subject)?;
            self.name(EdgeKind::Subject, digest, false, limits)?;
            self.subject = Some(digest);
        }
        match document.get("annotations") {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) if entries.values().all(Value::is_string) => {
                if !entries.is_empty() {
                    self.annotations = serde_json::to_string(entries).ok();
                }
            }
            Some(_) => return Err(invalid("annotations are not a map of strings")),
        }
        self.without_repetitions();
        Ok(())
    }

    fn without_repetitions(&mut self) {
        let mut seen = std::collections::HashSet::new();
        self.names.retain(|named| seen.insert((named.kind, named.digest)));
    }
}

/// Brings together what the header declares, what `mediaType` says and what the fields show.
fn kind_of(declared: Option<ManifestKind>, document: &Value) -> Result<ManifestKind, Error> {
    let inside = match document.get("mediaType") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) => Some(
            MediaType::parse(text)
                .and_then(|media_type| ManifestKind::from_media_type(media_type.as_str()))
                .ok_or_else(|| invalid("mediaType is not that of a manifest"))?,
        ),
        Some(_) => return Err(invalid("mediaType is not a string")),
    };
    let has = |key: &str| document.get(key).is_some_and(|value| !value.is_null());
    let image = has("config") || has("layers");
    let index = has("manifests");
    let schema1 = has("fsLayers");
    if usize::from(image) + usize::from(index) + usize::from(schema1) > 1 {
        return Err(invalid(
            "the manifest has fields of more than one kind of manifest",
        ));
    }
    let kind = match (declared, inside) {
        (Some(declared), Some(inside)) if declared != inside => {
            return Err(invalid(format!(
                "the content type {} contradicts the manifest's mediaType {}",
                declared.media_type(),
                inside.media_type()
            )));
        }
        (Some(kind), _) | (None, Some(kind)) => kind,
        (None, None) if schema1 && has("signatures") => ManifestKind::Schema1Signed,
        (None, None) if schema1 => ManifestKind::Schema1,
        (None, None) if index => ManifestKind::OciIndex,
        (None, None) if image => ManifestKind::OciImage,
        (None, None) => {
            return Err(invalid(
                "neither a content type nor the fields say what kind of manifest this is",
            ));
        }
    };
    let fits = match kind {
        ManifestKind::OciImage | ManifestKind::DockerImage => image,
        ManifestKind::OciIndex | ManifestKind::DockerList => index,
        ManifestKind::Schema1 | ManifestKind::Schema1Signed => schema1,
    };
    if fits {
        Ok(kind)
    } else {
        Err(invalid(format!(
            "the media type {} contradicts the manifest's content",
            kind.media_type()
        )))
    }
}

/// Keys that mean something in a manifest or a descriptor.
const KEYS: [&str; 18] = [
    "annotations",
    "artifactType",
    "config",
    "data",
    "digest",
    "fsLayers",
    "history",
    "layers",
    "manifests",
    "mediaType",
    "name",
    "platform",
    "schemaVersion",
    "signatures",
    "size",
    "subject",
    "tag",
    "urls",
];

/// Refuses keys that are spelled like one that means something but for their case: some readers take them
/// for it.
fn spelling(document: &Value) -> Result<(), Error> {
    let check = |object: &Value| -> Result<(), Error> {
        let keys = object.as_object().into_iter().flat_map(|object| object.keys());
        for key in keys {
            let meant = KEYS.iter().find(|known| known.eq_ignore_ascii_case(key));
            if let Some(meant) = meant.filter(|meant| *meant != key) {
                return Err(invalid(format!("the key {key:?} could be taken for {meant:?}")));
            }
        }
        Ok(())
    };
    check(document)?;
    for key in ["config", "subject"] {
        document.get(key).map_or(Ok(()), check)?;
    }
    for key in ["layers", "manifests", "fsLayers"] {
        let list = document.get(key).and_then(Value::as_array);
        list.into_iter().flatten().try_for_each(check)?;
    }
    Ok(())
}

fn list<'a>(document: &'a Value, key: &str) -> Result<&'a [Value], Error> {
    match document.get(key) {
        Some(Value::Array(values)) => Ok(values),
        Some(_) => Err(invalid(format!("{key} is not a list"))),
        None => Err(invalid(format!("{key} is missing"))),
    }
}

fn parse_digest(value: Option<&Value>, key: &str) -> Result<Digest, Error> {
    let text = value
        .and_then(Value::as_str)
        .ok_or_else(|| invalid(format!("a {key} is missing")))?;
    text.parse()
        .map_err(|error| invalid(format!("a {key} cannot be used: {error}")))
}

/// Checks a descriptor as far as a registry relies on it (image-spec, "OCI Content Descriptors").
fn descriptor(value: &Value) -> Result<Digest, Error> {
    if value.get("size").and_then(Value::as_u64).is_none() {
        return Err(invalid("a descriptor's size is missing or not a number of bytes"));
    }
    parse_digest(value.get("digest"), "digest")
}

#[cfg(test)]
mod tests;
