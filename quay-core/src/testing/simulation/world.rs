//! What happens in a simulation, and what must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use serde_json::{Value, json};

use super::scheduler::{Dice, NodeSpawner, Scheduler, turn};
use super::stores::{Objects, Rows, Weather};
use super::{Fault, Stores};
use crate::auth::AllowAll;
use crate::blob_store::BlobBody;
use crate::caller::Caller;
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind, StoreError};
use crate::media_type::MediaType;
use crate::name::{Reference, RepositoryName, Tag};
use crate::registry::{
    Chunk, Collected, Condition, Expiration, Location, ManifestPush, Options, Registry, TagChange,
};
use crate::runtime::{Clock as _, Runtime, Timestamp};
use crate::testing::{ManualClock, SeededRandom};

const NODES: usize = 2;
const REPOSITORIES: usize = 2;
const TAGS: usize = 2;
const BLOBS: usize = 5;
/// Blobs that no manifest names.
const LONE: usize = 2;
const IMAGES: usize = 4;
/// How long what a tag pointed at can be brought back, and how long a push waits for its manifest.
const WINDOW: Duration = Duration::from_hours(1000);
const LEASE: Duration = Duration::from_hours(1);

/// What happened in a history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Operations that succeeded.
    pub done: usize,
    /// Operations that failed, or were never answered.
    pub failed: usize,
    /// Tags that were brought back.
    pub restored: usize,
    /// What the collector did.
    pub collected: Collected,
}

/// A manifest that is pushed: its bytes, and what they name.
#[derive(Debug, Clone)]
struct Content {
    bytes: Bytes,
    media_type: &'static str,
    blobs: Vec<Digest>,
    children: Vec<Digest>,
    subject: Option<Digest>,
}

#[derive(Debug, Default)]
struct Known {
    tally: Tally,
    /// What a tag may point at: one thing, once all is quiet and nobody was left without an answer.
    tags: BTreeMap<(usize, usize), BTreeSet<Option<Digest>>>,
    /// Tags of this round by how many operations touched them.
    touched: BTreeMap<(usize, usize), usize>,
    /// Manifests that somebody asked to delete, and that were not pushed since.
    deleted: BTreeSet<(usize, Digest)>,
    /// Manifests pushed by digest, and until when they are promised.
    leased: BTreeMap<(usize, Digest), Timestamp>,
    /// Blobs pushed that no manifest names, and until when they are promised.
    lone: BTreeMap<(usize, Digest), Timestamp>,
    /// What was told to be about a manifest, by what that is.
    about: BTreeMap<(usize, Digest), BTreeSet<Digest>>,
    /// What a tag was last seen to point at, and when all was last seen.
    seen: BTreeMap<(usize, usize), Option<Digest>>,
    checked: Timestamp,
    /// Tags that may have been given an end.
    expiring: BTreeSet<(usize, usize)>,
    /// What a tag pointed at, and when it last did for sure.
    ended: Vec<(usize, usize, Digest, Timestamp)>,
    /// What has happened, for whoever reads of a failure.
    events: Vec<String>,
    /// Repositories that were marked for deletion in this round.
    doomed: BTreeSet<usize>,
}

struct World {
    registry: Registry,
    node: usize,
    contents: Arc<BTreeMap<Digest, Content>>,
    texts: Arc<BTreeMap<Digest, String>>,
    known: Arc<Mutex<Known>>,
    stores: Stores,
    rows: Arc<Rows>,
    clock: Arc<ManualClock>,
}

fn digest(text: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, text)
}

fn repository(index: usize) -> Result<RepositoryName, Error> {
    RepositoryName::from_path(&format!("org/r{index}")).map_err(Error::from)
}

fn tag(index: usize) -> Result<Tag, Error> {
    Tag::new(&format!("t{index}")).map_err(Error::from)
}

fn described(digest: &Digest, media_type: &str, size: usize) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

/// An index of manifests of one kind, by digest and size.
fn index(children: &[(Digest, usize)], of: &str) -> (Value, Content) {
    let manifests: Vec<Value> = children
        .iter()
        .map(|(digest, size)| described(digest, of, *size))
        .collect();
    let document = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests });
    let content = Content {
        bytes: Bytes::new(),
        media_type: MediaType::OCI_INDEX,
        blobs: Vec::new(),
        children: children.iter().map(|(digest, _)| *digest).collect(),
        subject: None,
    };
    (document, content)
}

/// Everything that can be pushed, by digest.
fn contents() -> (BTreeMap<Digest, Content>, BTreeMap<Digest, String>) {
    let lone = (0..LONE).map(|index| format!("lone {index}"));
    let texts: BTreeMap<Digest, String> = (0..BLOBS)
        .map(|index| format!("blob {index}"))
        .chain(lone)
        .map(|text| (digest(text.as_bytes()), text))
        .collect();
    let blobs: Vec<Digest> = (0..BLOBS)
        .map(|index| digest(format!("blob {index}").as_bytes()))
        .collect();
    let mut contents = BTreeMap::new();
    let mut add = |document: Value, content: Content| {
        let bytes = Bytes::from(document.to_string());
        let digest = digest(&bytes);
        contents.insert(digest, Content { bytes, ..content });
        digest
    };
    let empty = Content {
        bytes: Bytes::new(),
        media_type: MediaType::OCI_MANIFEST,
        blobs: Vec::new(),
        children: Vec::new(),
        subject: None,
    };
    let image = |layers: &[Digest], note: &str| {
        let layers: Vec<Value> = layers
            .iter()
            .map(|digest| described(digest, "application/vnd.oci.image.layer.v1.tar", 6))
            .collect();
        json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "layers": layers,
            "annotations": { "note": note },
        })
    };
    let mut images = Vec::new();
    for index in 0..IMAGES {
        let named: Vec<Digest> = (0..3)
            .filter_map(|next| blobs.get((index + next) % BLOBS).copied())
            .collect();
        let Some((config, layers)) = named.split_first() else {
            continue;
        };
        let mut document = image(layers, &index.to_string());
        document["config"] = described(config, "application/vnd.oci.image.config.v1+json", 6);
        let content = Content {
            blobs: named.clone(),
            ..empty.clone()
        };
        images.push((add(document.clone(), content), document.to_string().len()));
    }
    // What is about the first image.
    if let (Some((subject, size)), Some(config)) = (images.first().copied(), blobs.last()) {
        let mut document = image(&[], "about");
        document["config"] = described(config, "application/vnd.example.signature", 6);
        document["subject"] = described(&subject, MediaType::OCI_MANIFEST, size);
        let content = Content {
            blobs: vec![*config],
            subject: Some(subject),
            ..empty.clone()
        };
        add(document, content);
    }
    // An index that is about its own child: the two must not keep each other.
    if let Some((child, size)) = images.get(1).copied() {
        let (mut document, content) = index(&[(child, size)], MediaType::OCI_MANIFEST);
        document["subject"] = described(&child, MediaType::OCI_MANIFEST, size);
        add(document, content);
    }
    // Two indexes that share a child, and one of indexes.
    let mut indexes = Vec::new();
    for pair in images.windows(2).take(2) {
        let (document, content) = index(pair, MediaType::OCI_MANIFEST);
        let size = document.to_string().len();
        indexes.push((add(document, content), size));
    }
    let (document, content) = index(&indexes, MediaType::OCI_INDEX);
    add(document, content);
    (contents, texts)
}

impl World {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: String) {
        self.known().events.push(event);
    }

    /// Notes that a tag may point at something from now on.
    fn may_become(&self, of: usize, tag: usize, target: Option<Digest>) {
        self.note(format!("r{of}:t{tag} to {target:?}"));
        let mut known = self.known();
        let may = known
            .tags
            .entry((of, tag))
            .or_insert_with(|| BTreeSet::from([None]));
        may.insert(target);
        *known.touched.entry((of, tag)).or_default() += 1;
    }

    /// Notes that an operation on a tag succeeded: if it was the only one, the outcome is certain.
    fn became(&self, of: usize, tag: usize, target: Option<Digest>) {
        let mut known = self.known();
        known.events.push(format!("r{of}:t{tag} is at {target:?}"));
        if known.touched.get(&(of, tag)) == Some(&1) {
            known.tags.insert((of, tag), BTreeSet::from([target]));
        }
    }

    async fn push_blob(&self, of: usize, blob: &Digest, mut dice: Dice) -> Result<(), Error> {
        let (name, caller) = (repository(of)?, Caller::anonymous());
        if dice.chance(60) && self.registry.blob(&name, blob, &caller).await.is_ok() {
            return Ok(());
        }
        if dice.chance(30) {
            let source = repository(dice.below(REPOSITORIES))?;
            let outcome = self
                .registry
                .mount_blob(&name, blob, Some(&source), &caller)
                .await?;
            if outcome == crate::registry::MountOutcome::Mounted {
                return Ok(());
            }
        }
        let text = self.texts.get(blob).cloned().unwrap_or_default();
        let chunk = Chunk::from_bytes(Bytes::from(text));
        self.registry.push_blob(&name, blob, chunk, &caller).await?;
        Ok(())
    }

    /// Pushes a manifest with all that it names.
    fn push(
        &self,
        of: usize,
        target: Digest,
        to: Option<usize>,
        mut dice: Dice,
    ) -> futures::future::BoxFuture<'_, Result<(), Error>> {
        async move {
            let Some(content) = self.contents.get(&target) else {
                return Ok(());
            };
            for blob in &content.blobs {
                self.push_blob(of, blob, Dice(dice.0 ^ u64::from(blob.hex().as_bytes()[0])))
                    .await?;
                dice.below(2);
            }
            for child in &content.children {
                let seed = Dice(dice.0.wrapping_add(u64::from(child.hex().as_bytes()[0])));
                self.push(of, *child, None, seed).await?;
            }
            let reference = match to {
                Some(to) => Reference::Tag(tag(to)?),
                None => Reference::Digest(target),
            };
            let media_type = MediaType::known(content.media_type);
            let push =
                ManifestPush::new(reference, content.bytes.clone()).with_content_type(Some(media_type));
            let began = self.clock.now();
            if let Some(to) = to {
                self.may_become(of, to, Some(target));
            }
            self.registry
                .put_manifest(&repository(of)?, push, &Caller::anonymous())
                .await?;
            let mut known = self.known();
            // Whoever deletes it meanwhile may have come later.
            if known.doomed.contains(&of) {
                return Ok(());
            }
            if to.is_none() {
                let promised = began.plus(LEASE);
                known.leased.insert((of, target), promised);
            }
            if let Some(subject) = content.subject {
                known.about.entry((of, subject)).or_default().insert(target);
            }
            drop(known);
            if let Some(to) = to {
                self.became(of, to, Some(target));
            }
            Ok(())
        }
        .boxed()
    }

    async fn delete_manifest(&self, of: usize, target: Digest) -> Result<(), Error> {
        {
            let mut known = self.known();
            known.deleted.insert((of, target));
            known.events.push(format!("delete r{of}@{target}"));
            let tags: Vec<(usize, usize)> =
                known.tags.keys().copied().filter(|(in_, _)| *in_ == of).collect();
            for key in tags {
                if known
                    .tags
                    .get(&key)
                    .is_some_and(|may| may.contains(&Some(target)))
                {
                    known.tags.entry(key).or_default().insert(None);
                    *known.touched.entry(key).or_default() += 1;
                }
            }
        }
        let reference = Reference::Digest(target);
        let (name, caller) = (repository(of)?, Caller::anonymous());
        self.registry
            .delete_manifest(&name, &reference, &Condition::None, &caller)
            .await
    }

    async fn doom(&self, of: usize) -> Result<(), Error> {
        let Some(record) = crate::MetadataStore::repository(&*self.rows, &repository(of)?).await? else {
            return Ok(());
        };
        {
            let mut known = self.known();
            known.doomed.insert(of);
            known.events.push(format!("doom r{of}"));
            for index in 0..TAGS {
                known.tags.entry((of, index)).or_default().insert(None);
                *known.touched.entry((of, index)).or_default() += 2;
            }
            known.leased.retain(|(in_, _), _| *in_ != of);
            known.lone.retain(|(in_, _), _| *in_ != of);
            known.about.retain(|(in_, _), _| *in_ != of);
            known.ended.retain(|(in_, _, _, _)| *in_ != of);
        }
        let mut unit = crate::MetadataStore::begin(&*self.rows).await?;
        unit.repositories().lock(record.id).await?;
        if let Some(garbage) = unit.garbage() {
            garbage.doom(record.id).await?;
        }
        unit.commit().await?;
        Ok(())
    }

    /// One operation of somebody's, as the dice say.
    async fn act(&self, mut dice: Dice) -> Result<(), Error> {
        let caller = Caller::anonymous();
        let (of, to) = (dice.below(REPOSITORIES), dice.below(TAGS));
        let all: Vec<Digest> = self.contents.keys().copied().collect();
        let Some(target) = dice.pick(&all) else {
            return Ok(());
        };
        match dice.below(100) {
            0..35 => {
                let to = dice.chance(70).then_some(to);
                self.push(of, target, to, dice).await
            }
            35..45 => {
                self.may_become(of, to, None);
                let reference = Reference::Tag(tag(to)?);
                let name = repository(of)?;
                self.registry
                    .delete_manifest(&name, &reference, &Condition::None, &caller)
                    .await?;
                self.became(of, to, None);
                Ok(())
            }
            45..52 => self.delete_manifest(of, target).await,
            52..57 => {
                let blobs: Vec<Digest> = self.texts.keys().copied().collect();
                let Some(blob) = dice.pick(&blobs) else {
                    return Ok(());
                };
                self.known().deleted.insert((of, blob));
                self.registry.delete_blob(&repository(of)?, &blob, &caller).await
            }
            57..60 => {
                self.may_become(of, to, None);
                self.known().expiring.insert((of, to));
                let end = self.clock.now().plus(Duration::from_hours(1));
                let change = TagChange::new(Expiration::At(end), None);
                self.registry
                    .change_tag(&repository(of)?, &tag(to)?, change, &caller)
                    .await
            }
            60..61 => self.doom(of).await,
            61..66 => {
                let text = format!("lone {}", dice.below(LONE));
                let (name, blob) = (repository(of)?, digest(text.as_bytes()));
                let promised = self.clock.now().plus(LEASE);
                let chunk = Chunk::from_bytes(Bytes::from(text));
                self.registry.push_blob(&name, &blob, chunk, &caller).await?;
                let mut known = self.known();
                if !known.doomed.contains(&of) {
                    known.lone.insert((of, blob), promised);
                }
                Ok(())
            }
            _ => {
                let step = self.registry.collect(1 + dice.below(4)).await?;
                let mut known = self.known();
                known.tally.collected = known.tally.collected.and(step);
                Ok(())
            }
        }
    }

    /// Takes note of what a tag is seen to point at; an error if it may not.
    fn see(&self, of: usize, index: usize, actual: Option<Digest>) -> Result<(), String> {
        let mut known = self.known();
        let may = known.tags.get(&(of, index));
        let mut targets = may.into_iter().flatten().flatten();
        // A tag goes with its manifest, also one that was asked to be deleted before the tag was set.
        let expiring = known.expiring.contains(&(of, index))
            || targets.any(|target| known.deleted.contains(&(of, *target)));
        let may = known
            .tags
            .entry((of, index))
            .or_insert_with(|| BTreeSet::from([None]));
        let allowed = may.contains(&actual) || (expiring && actual.is_none());
        if !allowed {
            return Err(format!("r{of}:t{index} points at {actual:?}, and may at {may:?}"));
        }
        *may = BTreeSet::from([actual]);
        if actual.is_none() {
            known.expiring.remove(&(of, index));
        }
        let before = known.seen.insert((of, index), actual).flatten();
        // It may have ended as soon as it was seen for the last time.
        let since = known.checked;
        if let Some(before) = before
            && actual != Some(before)
            && !known.doomed.contains(&of)
        {
            known.ended.push((of, index, before, since));
        }
        Ok(())
    }

    /// Checks, while all is quiet, that what a tag points at is what it may, and is there as a whole.
    async fn check(&self) -> Result<(), String> {
        let now = self.clock.now();
        let caller = Caller::anonymous();
        let words = |error: Error| format!("{error:?}");
        // What somebody gave up while it was being committed may still be on its way: whoever comes last sees it.
        let mut last = crate::MetadataStore::begin(&*self.rows)
            .await
            .map_err(|error| words(error.into()))?;
        let looked = last.repositories().find(&repository(0).map_err(words)?).await;
        looked.map_err(|error| words(error.into()))?;
        last.abandon().await.map_err(|error| words(error.into()))?;
        let mut alive: BTreeSet<(usize, Digest)> = BTreeSet::new();
        for of in 0..REPOSITORIES {
            for index in 0..TAGS {
                let name = repository(of).map_err(words)?;
                let reference = Reference::Tag(tag(index).map_err(words)?);
                let actual = match self.registry.manifest(&name, &reference, &caller).await {
                    Ok(found) => Some(found.digest),
                    Err(error) if error.store_error().is_some() => return Err(words(error)),
                    Err(_) => None,
                };
                self.see(of, index, actual)?;
                if let Some(actual) = actual {
                    alive.insert((of, actual));
                    self.whole(of, actual).await?;
                }
            }
        }
        self.note(format!("all is well at {now:?}"));
        self.known().checked = now;
        self.check_promises(now, &alive).await
    }

    /// Checks leases, and what is about something that is there.
    async fn check_promises(&self, now: Timestamp, alive: &BTreeSet<(usize, Digest)>) -> Result<(), String> {
        let (leased, lone, about) = {
            let mut known = self.known();
            let deleted = std::mem::take(&mut known.deleted);
            known
                .leased
                .retain(|key, until| *until > now && !deleted.contains(key));
            known
                .lone
                .retain(|key, until| *until > now && !deleted.contains(key));
            // What is about something counts for as long as that is seen to be tagged.
            known
                .about
                .retain(|key, _| alive.contains(key) && !deleted.contains(key));
            for ((of, _), abouts) in &mut known.about {
                abouts.retain(|about| !deleted.contains(&(*of, *about)));
            }
            known.doomed.clear();
            known.touched.clear();
            (known.leased.clone(), known.lone.clone(), known.about.clone())
        };
        for (of, digest) in leased.keys() {
            self.whole(*of, *digest).await?;
        }
        for (of, blob) in lone.keys() {
            let name = repository(*of).map_err(|error| error.to_string())?;
            if let Err(error) = self.registry.blob(&name, blob, &Caller::anonymous()).await {
                return Err(format!("{name}: {blob} is missing while its lease runs: {error}"));
            }
        }
        for ((of, _), abouts) in &about {
            for digest in abouts {
                self.whole(*of, *digest).await?;
            }
        }
        Ok(())
    }

    /// Checks that a manifest is there with all that it names.
    fn whole(&self, of: usize, target: Digest) -> futures::future::BoxFuture<'_, Result<(), String>> {
        async move {
            let name = repository(of).map_err(|error| error.to_string())?;
            let caller = Caller::anonymous();
            let deleted = self.known().deleted.contains(&(of, target));
            let Some(content) = self.contents.get(&target) else {
                return Err(format!("{target} was never pushed"));
            };
            match self
                .registry
                .manifest(&name, &Reference::Digest(target), &caller)
                .await
            {
                Ok(found) if found.bytes == content.bytes => {}
                Ok(_) => return Err(format!("{name}@{target} has other bytes")),
                // Somebody may have deleted a child of what is there.
                Err(_) if deleted => return Ok(()),
                Err(error) => return Err(format!("{name}@{target} is missing: {error}")),
            }
            for blob in &content.blobs {
                let missing = |error: Error| format!("{name}: {blob} of {target} is missing: {error}");
                self.registry.blob(&name, blob, &caller).await.map_err(missing)?;
                let stored = self.stores.metadata.blob(&name, blob).await;
                let stored = stored.map_err(|error| error.to_string())?.found;
                let stored = stored.ok_or_else(|| format!("{blob} is not linked"))?;
                let placement = stored.placements.first();
                let key = placement
                    .ok_or_else(|| format!("{blob} lies nowhere"))?
                    .key
                    .clone();
                let open = crate::blob_store::Open::whole(stored.size);
                let body = self.stores.blobs.open(&key, open).await;
                let right = |bytes: &[u8]| digest(bytes) == *blob;
                match body.map_err(|error: StoreError| error.to_string())? {
                    Some(BlobBody::Bytes(bytes)) if right(&bytes) => {}
                    Some(BlobBody::File(part)) if part.read().is_ok_and(|bytes| right(&bytes)) => {}
                    other => return Err(format!("{name}: the object of {blob} of {target} is {other:?}")),
                }
            }
            for child in &content.children {
                if !self.was_deleted(of, *child).await {
                    self.whole(of, *child).await?;
                }
            }
            Ok(())
        }
        .boxed()
    }

    /// Whether a child may be missing: somebody deleted it, and its row tells so.
    async fn was_deleted(&self, of: usize, child: Digest) -> bool {
        let Ok(name) = repository(of) else { return false };
        let Ok(mut unit) = self.stores.metadata.begin().await else {
            return false;
        };
        let Ok(Some(record)) = unit.repositories().find(&name).await else {
            return false;
        };
        let row = unit.manifests().find(record.id, &child).await;
        matches!(row, Ok(Some(row)) if !row.live)
    }

    /// Something that can be brought back, taken from what is known.
    fn choose_ended(&self, dice: &mut Dice) -> Option<(usize, usize, Digest, Timestamp)> {
        let now = self.clock.now();
        let mut known = self.known();
        known.ended.retain(|(_, _, _, since)| since.plus(WINDOW) > now);
        let chosen = dice.pick(&known.ended);
        known.ended.retain(|ended| Some(ended) != chosen.as_ref());
        chosen
    }

    /// Brings back what a tag pointed at, which must succeed within the window.
    async fn restore(&self, mut dice: Dice) -> Result<(), String> {
        let Some((of, index, target, since)) = self.choose_ended(&mut dice) else {
            return Ok(());
        };
        let words = |error: Error| format!("{error:?}");
        let (name, tag) = (repository(of).map_err(words)?, tag(index).map_err(words)?);
        let restored = self
            .registry
            .restore_tag(&name, &tag, &target, &Caller::anonymous())
            .await;
        if let Err(error) = restored {
            let now = self.clock.now();
            return Err(format!(
                "{name}:{tag} pointed at {target} at {since:?} and cannot be brought back at {now:?}: {error}"
            ));
        }
        self.restored(of, index, target);
        self.whole(of, target).await
    }

    fn restored(&self, of: usize, index: usize, target: Digest) {
        let mut known = self.known();
        known.tally.restored += 1;
        known.events.push(format!("r{of}:t{index} is back at {target}"));
        known.tags.insert((of, index), BTreeSet::from([Some(target)]));
        let now = self.clock.now();
        if let Some(Some(before)) = known.seen.insert((of, index), Some(target))
            && before != target
        {
            known.ended.push((of, index, before, now));
        }
    }
}

/// Runs one task to its end, alone.
fn alone<T: Send + 'static>(
    scheduler: &mut Scheduler,
    dice: &mut Dice,
    task: impl Future<Output = T> + Send + 'static,
) -> Result<T, String> {
    let answer = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&answer);
    scheduler.start(
        0,
        async move {
            let outcome = task.await;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        }
        .boxed(),
    );
    while scheduler.step(dice) {}
    let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
    answer.take().ok_or_else(|| "a task waits for nothing".to_owned())
}

#[expect(clippy::too_many_lines, reason = "one history, from its beginning to its end")]
fn history(
    seed: u64,
    rounds: usize,
    fault: Fault,
    stores: &Stores,
    known: &Arc<Mutex<Known>>,
) -> Result<Tally, String> {
    let mut dice = Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let weather = Arc::new(Weather::new(Dice(seed ^ 0xabcd), 2, fault));
    let rows = Arc::new(Rows {
        inner: Arc::clone(&stores.metadata),
        weather: Arc::clone(&weather),
        turns: Arc::default(),
    });
    let objects = Arc::new(Objects {
        inner: Arc::clone(&stores.blobs),
        weather: Arc::clone(&weather),
    });
    let clock = Arc::new(ManualClock::default());
    let random = Arc::new(SeededRandom::default());
    let mut scheduler = Scheduler::default();
    let (contents, texts) = contents();
    let (contents, texts) = (Arc::new(contents), Arc::new(texts));
    let node = |node: usize, started: &super::scheduler::Started| {
        let spawner = NodeSpawner {
            node,
            started: started.clone(),
        };
        let runtime = Runtime::new(
            Arc::clone(&clock) as _,
            Arc::clone(&random) as _,
            Arc::new(spawner),
        );
        let options = Options {
            lease: LEASE,
            time_machine: WINDOW,
            tag_lifetime: (Duration::ZERO, Duration::MAX),
            ..Options::default()
        };
        let registry = Registry::with_options(
            Arc::clone(&rows) as _,
            vec![Location::new("here", Arc::clone(&objects) as _)],
            Arc::new(AllowAll),
            runtime,
            options,
        );
        Arc::new(World {
            registry,
            node,
            contents: Arc::clone(&contents),
            texts: Arc::clone(&texts),
            known: Arc::clone(known),
            stores: stores.clone(),
            rows: Arc::clone(&rows),
            clock: Arc::clone(&clock),
        })
    };
    let mut nodes: Vec<Arc<World>> = (0..NODES).map(|index| node(index, &scheduler.started)).collect();
    let known_now = || known.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..rounds {
        weather.rough.store(true, Ordering::SeqCst);
        let mut acts = 2 + dice.below(10);
        loop {
            if acts > 0 && (scheduler.tasks() == 0 || dice.chance(20)) {
                acts -= 1;
                let Some(world) = dice.pick(&nodes) else { break };
                let of_act = Dice(dice.0 ^ 0x5555);
                let node = world.node;
                scheduler.start(
                    node,
                    async move {
                        turn().await;
                        let outcome = world.act(of_act).await;
                        let mut known = world.known();
                        match outcome {
                            Ok(()) => known.tally.done += 1,
                            Err(_) => known.tally.failed += 1,
                        }
                    }
                    .boxed(),
                );
            }
            if !scheduler.step(&mut dice) && acts == 0 {
                break;
            }
            match dice.below(400) {
                0 => scheduler.drop_one(&mut dice),
                1 => {
                    let index = dice.below(NODES);
                    scheduler.crash(index);
                    if let Some(slot) = nodes.get_mut(index) {
                        *slot = node(index, &scheduler.started);
                    }
                }
                2 => clock.advance(LEASE + Duration::from_secs(1)),
                3..40 => clock.advance(Duration::from_secs(1)),
                _ => {}
            }
        }
        weather.rough.store(false, Ordering::SeqCst);
        let Some(world) = nodes.first().cloned() else {
            break;
        };
        alone(&mut scheduler, &mut dice, async move { world.check().await })??;
        if dice.chance(30) {
            let (world, dice_of_it) = (Arc::clone(&nodes[0]), Dice(dice.0 ^ 0x77));
            alone(&mut scheduler, &mut dice, async move {
                world.restore(dice_of_it).await
            })??;
        }
        match dice.below(10) {
            0 => clock.advance(LEASE + LEASE),
            1 => {
                clock.advance(WINDOW + LEASE);
                // What was tagged may have ended, been removed, and be pushed again before it is seen.
                known_now().about.clear();
            }
            _ => {}
        }
    }
    // Everything is let go.
    let world = Arc::clone(&nodes[0]);
    alone(&mut scheduler, &mut dice, async move {
        for of in 0..REPOSITORIES {
            for index in 0..TAGS {
                let (Ok(name), Ok(tag)) = (repository(of), tag(index)) else {
                    continue;
                };
                let reference = Reference::Tag(tag);
                let deleted = world
                    .registry
                    .delete_manifest(&name, &reference, &Condition::None, &Caller::anonymous())
                    .await;
                if let Err(error) = deleted
                    && !matches!(error.kind(), ErrorKind::ManifestUnknown | ErrorKind::NameUnknown)
                {
                    return Err(format!("a tag cannot be deleted: {error}"));
                }
            }
        }
        Ok(())
    })??;
    for _ in 0..3 {
        clock.advance(WINDOW + LEASE + LEASE);
        for world in &nodes {
            let world = Arc::clone(world);
            alone(&mut scheduler, &mut dice, async move {
                world
                    .registry
                    .sweep(Duration::from_hours(1))
                    .await
                    .map_err(|error| error.to_string())?;
                for _ in 0..10_000 {
                    let step = world
                        .registry
                        .collect(3)
                        .await
                        .map_err(|error| error.to_string())?;
                    let mut known = world.known();
                    known.tally.collected = known.tally.collected.and(step);
                    if !step.more {
                        return Ok(());
                    }
                }
                Err("the collector finds no end".to_owned())
            })??;
        }
    }
    let left = (stores.leftovers)();
    if !left.is_empty() {
        return Err(format!("once everything was let go, there is left: {left}"));
    }
    let tally = known_now().tally;
    Ok(tally)
}

pub(super) fn play(seed: u64, rounds: usize, fault: Fault, stores: &Stores) -> Result<Tally, String> {
    let known = Arc::new(Mutex::new(Known::default()));
    history(seed, rounds, fault, stores, &known).map_err(|error| {
        let known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let last = known.events.iter().rev().take(40).rev();
        let last: Vec<&str> = last.map(String::as_str).collect();
        format!("{error}\n{}", last.join("\n"))
    })
}
