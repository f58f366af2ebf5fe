//! What a client is served that does not know the kind of manifest that is stored (registry-protocol, sections 0
//! and 9.3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Limits, ManifestKind, V1Image, json};
use crate::digest::{Algorithm, Digest};
use crate::error::StoreError;
use crate::media_type::MediaType;
use crate::metadata::ManifestRecord;
use crate::name::{RepositoryName, Tag};

/// The platform that clients are served who know no lists.
const PLATFORM: (&str, &str) = ("linux", "amd64");
/// More types than any client names; what comes behind them is not looked at.
const MOST: usize = 64;

/// Signs manifests of schema 1: what strangers implement to bring their own key.
///
/// A signature proves nothing but that this registry made the manifest; old clients insist that there is one.
pub trait ManifestSigner: std::fmt::Debug + Send + Sync + 'static {
    /// The algorithm as JWS names it (RFC 7518), such as `ES256`.
    fn algorithm(&self) -> &'static str;

    /// The public half of the key as a JWK with its id.
    fn public_key(&self) -> Value;

    /// Signs bytes, in the form that JWS wants.
    ///
    /// # Errors
    /// When it cannot.
    fn sign(&self, content: &[u8]) -> Result<Vec<u8>, StoreError>;
}

/// Which manifests a client takes, as its `Accept` headers say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// `None` for one who takes whatever there is.
    only: Option<Vec<ManifestKind>>,
}

impl Accepted {
    /// A client that takes whatever there is.
    #[must_use]
    pub const fn anything() -> Self {
        Self { only: None }
    }

    /// Reads the lines of `Accept`. A client that names something else than manifests, or nothing, takes whatever
    /// there is.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut only = Vec::new();
        let entries = lines.into_iter().flat_map(|line| line.split(','));
        for entry in entries
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .take(MOST)
        {
            if is_refused(entry) {
                continue;
            }
            let media_type = MediaType::parse(entry);
            match media_type.and_then(|known| ManifestKind::from_media_type(known.as_str())) {
                Some(kind) => only.push(kind),
                None => return Self::anything(),
            }
        }
        Self {
            only: Some(only).filter(|only| !only.is_empty()),
        }
    }

    /// Whether it takes this kind, or is taken to: one that knows kinds which are as new is served what there is.
    #[must_use]
    pub fn takes(&self, stored: ManifestKind) -> bool {
        let Some(only) = &self.only else { return true };
        let is_image = |kind: ManifestKind| !is_list(kind);
        only.contains(&stored)
            || only
                .iter()
                .any(|&kind| is_list(kind) == is_list(stored) && age(kind) >= age(stored))
            || !only.iter().any(|&kind| is_image(kind))
    }

    fn names(&self, kind: ManifestKind) -> bool {
        self.only.as_ref().is_some_and(|only| only.contains(&kind))
    }
}

/// Whether an entry of `Accept` says that its type is not wanted: `q=0`.
fn is_refused(entry: &str) -> bool {
    entry.split(';').skip(1).any(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0)
    })
}

const fn is_list(kind: ManifestKind) -> bool {
    matches!(kind, ManifestKind::OciIndex | ManifestKind::DockerList)
}

const fn age(kind: ManifestKind) -> u8 {
    match kind {
        ManifestKind::Schema1 | ManifestKind::Schema1Signed => 0,
        ManifestKind::DockerImage | ManifestKind::DockerList => 1,
        ManifestKind::OciImage | ManifestKind::OciIndex => 2,
    }
}

/// The manifest in an index or list that is for the platform of those who know no lists; `None` for a list without
/// one, and for what is no list.
#[must_use]
pub fn default_child(manifest: &ManifestRecord) -> Option<Digest> {
    if !ManifestKind::from_media_type(manifest.media_type.as_str()).is_some_and(is_list) {
        return None;
    }
    let document = json::parse(&manifest.bytes, &Limits::default()).ok()?;
    let children = document.get("manifests")?.as_array()?;
    let is_default = |child: &&Value| {
        let is =
            |pointer: &str, expected: &str| child.pointer(pointer).and_then(Value::as_str) == Some(expected);
        is("/platform/os", PLATFORM.0) && is("/platform/architecture", PLATFORM.1)
    };
    children
        .iter()
        .find(is_default)?
        .get("digest")?
        .as_str()?
        .parse()
        .ok()
}

#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    tag: &'a str,
    architecture: &'a str,
    #[serde(rename = "schemaVersion")]
    schema_version: u8,
    #[serde(rename = "fsLayers")]
    layers: Vec<Layer<'a>>,
    history: Vec<History<'a>>,
}

#[derive(Serialize)]
struct Layer<'a> {
    #[serde(rename = "blobSum")]
    blob: &'a Digest,
}

#[derive(Serialize)]
struct History<'a> {
    #[serde(rename = "v1Compatibility")]
    says: &'a str,
}

/// A chain of images as a manifest of schema 1 without signatures. `None` for one without images.
#[must_use]
pub fn schema1(name: &RepositoryName, tag: &Tag, chain: &[V1Image]) -> Option<ManifestRecord> {
    let leaf: Value = serde_json::from_str(&chain.last()?.json).ok()?;
    let document = Document {
        name: name.as_asked(),
        tag: tag.as_str(),
        architecture: leaf
            .get("architecture")
            .and_then(Value::as_str)
            .unwrap_or(PLATFORM.1),
        schema_version: 1,
        layers: chain
            .iter()
            .rev()
            .map(|image| Layer { blob: &image.blob })
            .collect(),
        history: chain
            .iter()
            .rev()
            .map(|image| History { says: &image.json })
            .collect(),
    };
    let bytes = Bytes::from(indented(&document)?);
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    Some(ManifestRecord::new(
        digest,
        MediaType::known(MediaType::DOCKER_SCHEMA1),
        bytes,
    ))
}

/// The same manifest with a signature, under the same digest.
///
/// # Errors
/// The signer's.
pub fn signed(
    unsigned: &ManifestRecord,
    signer: &dyn ManifestSigner,
    time: &str,
) -> Result<ManifestRecord, StoreError> {
    const TAIL: &str = "\n}";
    let failed = |what| StoreError::new(crate::error::StoreErrorKind::Other, what);
    let text = std::str::from_utf8(&unsigned.bytes).map_err(|_| failed("the manifest is not text"))?;
    let head = text
        .strip_suffix(TAIL)
        .ok_or_else(|| failed("the manifest is not laid out"))?;
    let protected = json!({
        "formatLength": head.len(),
        "formatTail": URL_SAFE_NO_PAD.encode(TAIL),
        "time": time,
    });
    let protected = URL_SAFE_NO_PAD.encode(protected.to_string());
    let content = format!("{protected}.{}", URL_SAFE_NO_PAD.encode(text));
    let signature = json!([{
        "header": { "alg": signer.algorithm(), "jwk": signer.public_key() },
        "protected": protected,
        "signature": URL_SAFE_NO_PAD.encode(signer.sign(content.as_bytes())?),
    }]);
    let signature = indented(&signature).ok_or_else(|| failed("the signature is not text"))?;
    // As deep as what stands around it.
    let signature = String::from_utf8_lossy(&signature).replace('\n', "\n   ");
    let bytes = format!("{head},\n   \"signatures\": {signature}{TAIL}");
    Ok(ManifestRecord::new(
        unsigned.digest,
        MediaType::known(MediaType::DOCKER_SCHEMA1_SIGNED),
        bytes.into(),
    ))
}

/// Whether a client that takes these is to be given a signature: if it knows manifests with one, and none without.
#[must_use]
pub fn wants_signature(accepted: &Accepted) -> bool {
    accepted.names(ManifestKind::Schema1Signed) && !accepted.names(ManifestKind::Schema1)
}

/// JSON as Docker laid it out.
fn indented(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))
        .ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    #[derive(Debug)]
    struct Reversed;

    impl ManifestSigner for Reversed {
        fn algorithm(&self) -> &'static str {
            "none-such"
        }

        fn public_key(&self) -> Value {
            json!({ "kty": "EC", "kid": "ABCD" })
        }

        fn sign(&self, content: &[u8]) -> Result<Vec<u8>, StoreError> {
            Ok(content.iter().rev().copied().take(16).collect())
        }
    }

    fn taken(accept: &str) -> Vec<ManifestKind> {
        let accepted = Accepted::parse([accept]);
        let all = ManifestKind::ALL.iter().copied();
        all.filter(|&kind| accepted.takes(kind)).collect()
    }

    #[test]
    fn who_is_served_what_is_stored() {
        use ManifestKind::{DockerImage, DockerList, OciIndex, Schema1, Schema1Signed};

        for anything in [
            "",
            "*/*",
            "application/json",
            "application/vnd.example, text/html",
            "application/*",
        ] {
            assert_eq!(taken(anything), ManifestKind::ALL, "{anything}");
        }
        let (old, signed) = (MediaType::DOCKER_SCHEMA1, MediaType::DOCKER_SCHEMA1_SIGNED);
        assert_eq!(taken(old), [Schema1, Schema1Signed]);
        assert_eq!(taken(&format!("{signed}, {old};q=0.5")), [Schema1, Schema1Signed]);
        let (image, list) = (MediaType::DOCKER_MANIFEST, MediaType::DOCKER_LIST);
        assert_eq!(taken(image), [DockerImage, Schema1, Schema1Signed]);
        assert_eq!(
            taken(&format!("{image};x=y,{list};q=0")),
            [DockerImage, Schema1, Schema1Signed]
        );
        assert_eq!(
            taken(&format!("{image},{list},{signed}")),
            [DockerImage, DockerList, Schema1, Schema1Signed]
        );
        // Who names the newest is served what there is, lists apart.
        let newest = taken(MediaType::OCI_MANIFEST);
        assert!(
            !newest.contains(&OciIndex) && !newest.contains(&DockerList) && newest.contains(&DockerImage)
        );
        // One that knows lists alone knows no image that could be served instead.
        assert_eq!(taken(MediaType::OCI_INDEX), ManifestKind::ALL);
        assert_eq!(taken(&format!("{old},*/*")), ManifestKind::ALL);
    }

    #[test]
    fn the_default_platform_of_a_list() {
        let digest = |name: &str| Digest::of(Algorithm::Sha256, name.as_bytes());
        let child = |os: &str, architecture: &str| json!({ "digest": digest(architecture), "platform": { "os": os, "architecture": architecture } });
        let list = |media_type: &str, children: &[Value]| {
            let document = json!({ "schemaVersion": 2, "manifests": children });
            ManifestRecord::new(
                digest("list"),
                MediaType::known(media_type),
                document.to_string().into(),
            )
        };
        let children = [
            child("linux", "arm64"),
            json!({}),
            child("linux", "amd64"),
            child("windows", "amd64"),
        ];
        for media_type in [MediaType::OCI_INDEX, MediaType::DOCKER_LIST] {
            assert_eq!(default_child(&list(media_type, &children)), Some(digest("amd64")));
            assert_eq!(default_child(&list(media_type, &children[..2])), None);
        }
        assert_eq!(default_child(&list(MediaType::OCI_MANIFEST, &children)), None);
    }

    #[test]
    fn a_signature_leaves_the_digest_as_it_is() {
        let name = RepositoryName::from_path("org/app").unwrap();
        let tag = Tag::new("v1").unwrap();
        let old = json!({
            "schemaVersion": 1,
            "fsLayers": [{ "blobSum": Digest::lowest() }],
            "history": [{ "v1Compatibility": "{\"id\":\"ab\",\"architecture\":\"arm\"}" }],
        });
        let stored = ManifestRecord::new(
            Digest::lowest(),
            MediaType::known(MediaType::DOCKER_SCHEMA1),
            old.to_string().into(),
        );
        let chain = V1Image::chain(&stored, None).unwrap();
        let unsigned = schema1(&name, &tag, &chain).unwrap();
        let expected = format!(
            "{{\n   \"name\": \"org/app\",\n   \"tag\": \"v1\",\n   \"architecture\": \"arm\",\n   \"schemaVersion\": 1,\n   \
             \"fsLayers\": [\n      {{\n         \"blobSum\": \"{}\"\n      }}\n   ],\n   \"history\": [\n      {{\n         \
             \"v1Compatibility\": \"{{\\\"id\\\":\\\"ab\\\",\\\"architecture\\\":\\\"arm\\\"}}\"\n      }}\n   ]\n}}",
            Digest::lowest()
        );
        assert_eq!(std::str::from_utf8(&unsigned.bytes).unwrap(), expected);

        let signed = signed(&unsigned, &Reversed, "2020-01-02T03:04:05Z").unwrap();
        assert_eq!(signed.digest, unsigned.digest);
        // Read as if it were pushed: the signature covers it, and the digest is the payload's.
        let read = Manifest::parse(Some(&signed.media_type), &signed.bytes, &Limits::default()).unwrap();
        assert_eq!(read.kind, ManifestKind::Schema1Signed);
        assert_eq!(read.digest(Algorithm::Sha256), unsigned.digest);
        assert_eq!(read.schema1.unwrap().name, "org/app");
        assert!(schema1(&name, &tag, &[]).is_none());
    }

    #[test]
    fn signatures_are_for_those_who_know_nothing_else() {
        let (old, signed) = (MediaType::DOCKER_SCHEMA1, MediaType::DOCKER_SCHEMA1_SIGNED);
        for (accept, expected) in [
            (old, false),
            (signed, true),
            ("", false),
            (MediaType::DOCKER_MANIFEST, false),
        ] {
            assert_eq!(wants_signature(&Accepted::parse([accept])), expected, "{accept}");
        }
        assert!(!wants_signature(&Accepted::parse([old, signed])));
    }
}
