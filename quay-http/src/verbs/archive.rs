//! What images are made into: an archive for `docker load`, or an App Container Image. Both are written as they are
//! made, by a thread that may wait.

use std::io::{self, BufWriter, Read, Write};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::SinkExt as _;
use futures::channel::mpsc;
use futures::executor::block_on;
use quay_core::manifest::V1Image;
use quay_core::registry::WholeImage;
use quay_core::{Registry, StoreError};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};
use tokio::runtime::Handle;

use super::entries::filling;
use super::layer;
use super::merge::{Plan, zeros};

/// Bytes handed over at once.
const PIECE: usize = 64 << 10;
/// Pieces that wait for the client.
pub(super) const WAITING: usize = 8;

/// Hands what is written to whoever answers the request, for as long as pieces are taken.
pub(super) struct Pipe {
    sender: mpsc::Sender<Result<Bytes, StoreError>>,
    /// How long a piece may wait: whoever takes none keeps others from their turn.
    patience: Duration,
    /// Whether one has waited in vain.
    given_up: bool,
}

impl Pipe {
    pub(super) const fn new(sender: mpsc::Sender<Result<Bytes, StoreError>>, patience: Duration) -> Self {
        Self {
            sender,
            patience,
            given_up: false,
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        // A client that has gone needs no more.
        // What is closed behind a failure must not wait once more.
        if std::mem::replace(&mut self.given_up, true) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let sending = self.sender.send(Ok(Bytes::copy_from_slice(piece)));
        let sent = match Handle::try_current() {
            Ok(runtime) => {
                let patience = self.patience;
                let sent = runtime.block_on(async { tokio::time::timeout(patience, sending).await });
                sent.map_err(|_| io::ErrorKind::TimedOut)?
            }
            // No timer is at hand.
            Err(_) => block_on(sending),
        };
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.given_up = false;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A layer on its way, as long as somebody waits for what comes of it.
struct Watched<R> {
    layer: R,
    pipe: mpsc::Sender<Result<Bytes, StoreError>>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pipe.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.layer.read(buffer)
    }
}

/// Counts and hashes what passes through.
struct Hashed<W> {
    out: W,
    hasher: Sha256,
    count: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let written = self.out.write(piece)?;
        self.hasher.update(piece.get(..written).unwrap_or_default());
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What is made, and under which name.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// For `docker load`, as `HOST/namespace/name` with a tag.
    Docker { repository: String, tag: String },
    /// An App Container Image: its manifest.
    Aci { manifest: Value },
}

/// Writes an image in a form to a pipe. Blocks until it is written, the client has gone, or it fails.
pub(super) fn write(registry: &Registry, image: &WholeImage, form: &Form, pipe: Pipe) -> io::Result<()> {
    let count = u32::try_from(image.layers.len()).map_err(io::Error::other)?;
    let sender = pipe.sender.clone();
    let open = |number: u32| {
        let found = usize::try_from(number)
            .ok()
            .and_then(|number| image.layers.get(number));
        let found = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Watched {
            layer: layer::open(registry, found)?,
            pipe: sender.clone(),
        })
    };
    let mut out = GzEncoder::new(BufWriter::with_capacity(PIECE, pipe), Compression::fast());
    match form {
        Form::Docker { repository, tag } => docker(image, repository, tag, count, open, &mut out)?,
        Form::Aci { manifest } => {
            file(&mut out, "manifest", manifest.to_string().as_bytes())?;
            let mut root = Header::new_gnu();
            root.set_entry_type(EntryType::Directory);
            root.set_mode(0o755);
            put(&mut out, root, "rootfs/", 0)?;
            let plan = Plan::of(count, open)?;
            plan.write(count, open, b"rootfs/", &mut out)?;
        }
    }
    out.finish()?.flush()
}

fn docker<R: Read>(
    image: &WholeImage,
    repository: &str,
    tag: &str,
    count: u32,
    open: impl Fn(u32) -> io::Result<R>,
    out: &mut impl Write,
) -> io::Result<()> {
    // Of the same manifest the same image is made.
    let id = hex::encode(Sha256::digest(format!("squash {}", image.digest)));
    let says = description(&image.image, &id);
    // Clients see early that something comes: finding out how large the layer is takes as long as reading it.
    let repositories = json!({ repository: { tag: id } });
    file(out, "repositories", repositories.to_string().as_bytes())?;
    let mut directory = Header::new_gnu();
    directory.set_entry_type(EntryType::Directory);
    directory.set_mode(0o755);
    put(out, directory, &format!("{id}/"), 0)?;
    file(
        out,
        &format!("{id}/json"),
        Value::Object(says.clone()).to_string().as_bytes(),
    )?;
    file(out, &format!("{id}/VERSION"), b"1.0")?;
    out.flush()?;

    let plan = Plan::of(count, &open)?;
    let path = format!("{id}/layer.tar");
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    put(out, header, &path, plan.size())?;
    let mut layer = Hashed {
        out: &mut *out,
        hasher: Sha256::new(),
        count: 0,
    };
    plan.write(count, &open, b"", &mut layer)?;
    if layer.count != plan.size() {
        return Err(io::Error::other(
            "a layer was not the same when it was read again",
        ));
    }
    let diff_id = hex::encode(layer.hasher.finalize());
    out.write_all(zeros(filling(plan.size())))?;

    // What newer clients read instead: it holds a hash of the layer, and so comes last.
    let config = configuration(says, &diff_id).to_string();
    let name = format!("{}.json", hex::encode(Sha256::digest(config.as_bytes())));
    file(out, &name, config.as_bytes())?;
    let manifest = json!([{
        "Config": name,
        "RepoTags": [format!("{repository}:{tag}")],
        "Layers": [path],
    }]);
    file(out, "manifest.json", manifest.to_string().as_bytes())?;
    out.write_all(zeros(512))?;
    out.write_all(zeros(512))
}

/// What was said of the image, said of one without parents.
fn description(image: &V1Image, id: &str) -> Map<String, Value> {
    let mut says: Map<String, Value> = serde_json::from_str(&image.json).unwrap_or_default();
    for key in ["parent", "throwaway", "Size", "layer_id", "parent_id"] {
        says.remove(key);
    }
    says.insert("id".to_owned(), id.into());
    for config in ["config", "container_config"] {
        if let Some(Value::Object(config)) = says.get_mut(config)
            && config.contains_key("Image")
        {
            config.insert("Image".to_owned(), id.into());
        }
    }
    says
}

/// The same as a configuration (image-spec, "OCI Image Configuration").
fn configuration(mut says: Map<String, Value>, diff_id: &str) -> Value {
    says.remove("id");
    says.entry("architecture").or_insert_with(|| "amd64".into());
    says.entry("os").or_insert_with(|| "linux".into());
    let mut step = json!({ "comment": "squashed" });
    if let Some(created) = says.get("created") {
        step["created"] = created.clone();
    }
    says.insert("history".to_owned(), json!([step]));
    let layers = json!({ "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] });
    says.insert("rootfs".to_owned(), layers);
    Value::Object(says)
}

fn put(out: &mut impl Write, mut header: Header, path: &str, size: u64) -> io::Result<()> {
    header.set_path(path)?;
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    out.write_all(header.as_bytes())
}

fn file(out: &mut impl Write, path: &str, content: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    put(out, header, path, content.len() as u64)?;
    out.write_all(content)?;
    out.write_all(zeros(filling(content.len() as u64)))
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_waited_for_once() {
        let (sender, mut pieces) = mpsc::channel(1);
        let pipe = Pipe::new(sender.clone(), Duration::from_millis(1));
        let written = tokio::task::spawn_blocking(move || {
            let mut out = GzEncoder::new(BufWriter::with_capacity(8, pipe), Compression::none());
            let kind = loop {
                if let Err(error) = out.write_all(&[0; 64]).and_then(|()| out.flush()) {
                    break error.kind();
                }
            };
            drop(out);
            kind
        });
        assert_eq!(written.await.unwrap(), io::ErrorKind::TimedOut);
        // There is room for what ends the answer, which a client must not take for its end.
        let mut own = sender.clone();
        let error = StoreError::new(quay_core::StoreErrorKind::Other, "given up");
        own.try_send(Err(error)).unwrap();
        drop((own, sender));
        let mut last = None;
        while let Some(piece) = pieces.next().await {
            last = Some(piece);
        }
        assert!(last.is_some_and(|piece| piece.is_err()));
    }
}
