//! Content that is new whenever it is asked for, and cheap to make and to compare.

use sha2::{Digest as _, Sha256};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const CONTENT_TYPE: &str = "content-type: application/vnd.oci.image.manifest.v1+json\r\n";
pub const ACCEPT: &str = "accept: application/vnd.oci.image.manifest.v1+json\r\n";

/// Bytes of the block that large content repeats.
const BLOCK: usize = 1 << 20;

pub fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// Numbers that follow from a seed (splitmix64).
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.draw().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// Large content: a random block again and again, each time headed by its number.
#[derive(Debug, Clone)]
pub struct Large {
    block: Vec<u8>,
    pub length: u64,
    pub digest: String,
}

impl Large {
    pub fn new(seed: u64, length: u64) -> Self {
        let block = Numbers::new(seed).bytes(BLOCK);
        let mut content = Self {
            block,
            length,
            digest: String::new(),
        };
        let mut hasher = Sha256::new();
        content.pieces(0, length, |piece| hasher.update(piece));
        content.digest = format!("sha256:{}", hex::encode(hasher.finalize()));
        content
    }

    /// The piece that starts at `offset` and ends with its block.
    pub fn piece(&mut self, offset: u64) -> &[u8] {
        let number = offset / BLOCK as u64;
        if let Some(head) = self.block.get_mut(..8) {
            head.copy_from_slice(&number.to_le_bytes());
        }
        let start = usize::try_from(offset % BLOCK as u64).unwrap_or_default();
        let left = usize::try_from(self.length - offset).unwrap_or(usize::MAX);
        let rest = self.block.get(start..).unwrap_or_default();
        rest.get(..rest.len().min(left)).unwrap_or(rest)
    }

    fn pieces(&mut self, from: u64, to: u64, mut sink: impl FnMut(&[u8])) {
        let mut offset = from;
        while offset < to {
            let piece = self.piece(offset);
            sink(piece);
            offset += piece.len() as u64;
        }
    }

    /// Whether `seen` is what stands at `offset`.
    pub fn matches(&mut self, mut offset: u64, mut seen: &[u8]) -> bool {
        while !seen.is_empty() {
            let piece = self.piece(offset);
            let length = piece.len().min(seen.len());
            if length == 0 || piece.get(..length) != seen.get(..length) {
                return false;
            }
            seen = seen.get(length..).unwrap_or_default();
            offset += length as u64;
        }
        true
    }
}

/// A small image: a configuration, layers of 1 KiB, a manifest.
#[derive(Debug)]
pub struct Image {
    /// The configuration first.
    pub blobs: Vec<(String, Vec<u8>)>,
    pub manifest: Vec<u8>,
    pub digest: String,
}

impl Image {
    pub fn new(seed: u64) -> Self {
        let mut numbers = Numbers::new(seed);
        let salt = numbers.draw();
        let config =
            format!("{{\"architecture\":\"amd64\",\"os\":\"linux\",\"salt\":\"{salt}\"}}").into_bytes();
        let mut blobs = vec![(digest(&config), config)];
        for _ in 0..3 {
            let layer = numbers.bytes(1024);
            blobs.push((digest(&layer), layer));
        }
        let descriptor = |media_type: &str, (digest, content): &(String, Vec<u8>)| serde_json::json!({ "mediaType": media_type, "digest": digest, "size": content.len() });
        let mut described = blobs.iter();
        let config = described
            .next()
            .map(|blob| descriptor("application/vnd.oci.image.config.v1+json", blob));
        let layers: Vec<_> = described
            .map(|blob| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", blob))
            .collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        })
        .to_string()
        .into_bytes();
        Self {
            digest: digest(&manifest),
            blobs,
            manifest,
        }
    }
}
