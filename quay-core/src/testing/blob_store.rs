//! The suite for [`BlobStore`].

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use super::{Failure, Instance, ThreadSpawner, cases, ensure};
use crate::blob_store::{
    Append, BlobBody, BlobInventory, BlobStore, ByteStream, Durability, ObjectKey, Open, UploadState,
};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{BodyError, StoreErrorKind};
use crate::range::ResolvedRange;
use crate::runtime::{Spawner, Timestamp};

type Store = dyn BlobStore;
type Outcome = Result<(), Failure>;

cases! { dyn BlobStore:
    an_empty_store_has_nothing,
    an_upload_becomes_an_object,
    pieces_are_appended_in_order,
    an_empty_upload_becomes_an_empty_object,
    bytes_behind_the_offset_are_replaced,
    an_interrupted_stream_leaves_what_came,
    a_commit_can_be_repeated,
    a_commit_takes_exactly_the_length,
    a_commit_of_more_than_there_is_is_refused,
    the_same_content_twice_is_two_objects,
    appending_after_a_commit_leaves_the_object_alone,
    an_abort_can_be_repeated_and_leaves_the_object,
    staged_bytes_can_be_read_back,
    ranges_are_exact,
    what_was_opened_stays_whole_when_it_is_deleted,
    deleting_can_be_repeated,
    uploads_do_not_mix,
    a_long_stream_arrives_whole,
    an_object_survives_the_process,
    a_durable_append_survives_the_process,
    the_inventory_lists_uploads_by_page,
    what_is_stored_is_hashed,
    a_dropped_append_leaves_the_upload_usable,
    the_inventory_finds_one_upload,
    unpublishing_removes_only_what_came_from_that_upload,
}

fn body(pieces: Vec<Result<Bytes, BodyError>>) -> ByteStream {
    futures::stream::iter(pieces).boxed()
}

fn bytes(text: &'static str) -> ByteStream {
    body(vec![Ok(Bytes::from_static(text.as_bytes()))])
}

fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// Reads a body to its end, whatever form it has.
pub(crate) async fn read(body: BlobBody) -> Result<Vec<u8>, Failure> {
    match body {
        BlobBody::Bytes(bytes) => Ok(bytes.to_vec()),
        BlobBody::File(part) => {
            use std::io::{Read as _, Seek as _, SeekFrom};
            let mut content = Vec::new();
            let mut file = &*part.file;
            file.seek(SeekFrom::Start(part.range.start))
                .and_then(|_| file.take(part.range.length).read_to_end(&mut content))
                .map_err(|error| Failure::new(format!("a delivered file cannot be read: {error}")))?;
            Ok(content)
        }
        BlobBody::Stream(mut pieces) => {
            let mut content = Vec::new();
            while let Some(piece) = pieces.next().await {
                content.extend_from_slice(&piece?);
            }
            Ok(content)
        }
        BlobBody::Redirect(_) => Err(Failure::new(
            "a redirect was answered though it was refused".into(),
        )),
    }
}

async fn content(store: &Store, key: &ObjectKey, size: usize) -> Result<Vec<u8>, Failure> {
    match store.open(key, Open::whole(size as u64)).await? {
        Some(body) => read(body).await,
        None => Err(Failure::new(format!("the object {key} is not there"))),
    }
}

async fn staged(store: &Store, state: &UploadState, length: usize) -> Result<Vec<u8>, Failure> {
    read(store.staged(state, length as u64).await?).await
}

/// Uploads and publishes `text`.
async fn publish(store: &Store, id: &str, text: &'static str) -> Result<(UploadState, ObjectKey), Failure> {
    let state = store.begin(id).await?;
    let appended = store.append(&state, bytes(text), Append::at(0)).await?;
    let digest = sha256(text.as_bytes());
    let published = store.commit(&appended.state, &digest, text.len() as u64).await?;
    Ok((appended.state, published.key))
}

async fn an_empty_store_has_nothing(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let key = ObjectKey::content_addressed(&sha256(b"nothing"));
    ensure!(
        store.stat(&key).await?.is_none(),
        "stat found an object in an empty store"
    );
    let opened = store.open(&key, Open::whole(7)).await?;
    ensure!(opened.is_none(), "open found an object in an empty store");
    Ok(())
}

async fn an_upload_becomes_an_object(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let (state, key) = publish(&*store, "a1", "hello").await?;
    let seen = content(&*store, &key, 5).await?;
    ensure!(seen == b"hello", "the object holds {seen:?}");
    let size = store.stat(&key).await?;
    ensure!(size == Some(5), "stat says {size:?} of 5 bytes");
    store.abort(&state).await?;
    let seen = content(&*store, &key, 5).await?;
    ensure!(
        seen == b"hello",
        "after the upload was dropped the object holds {seen:?}"
    );
    Ok(())
}

async fn pieces_are_appended_in_order(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let mut state = store.begin("a1").await?;
    let mut offset = 0;
    for (text, durability) in [
        ("ab", Durability::Now),
        ("", Durability::Now),
        ("cde", Durability::AtCommit),
    ] {
        let options = Append::at(offset).with_durability(durability);
        let appended = store.append(&state, bytes(text), options).await?;
        ensure!(
            appended.written == text.len() as u64 && appended.interrupted.is_none(),
            "append of {text:?} says {appended:?}"
        );
        offset += appended.written;
        state = appended.state;
    }
    let published = store.commit(&state, &sha256(b"abcde"), 5).await?;
    let seen = content(&*store, &published.key, 5).await?;
    ensure!(seen == b"abcde", "the object holds {seen:?}");
    Ok(())
}

async fn an_empty_upload_becomes_an_empty_object(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let state = store.begin("a1").await?;
    let published = store.commit(&state, &sha256(b""), 0).await?;
    let seen = content(&*store, &published.key, 0).await?;
    ensure!(seen.is_empty(), "the empty object holds {seen:?}");
    let size = store.stat(&published.key).await?;
    ensure!(size == Some(0), "stat says {size:?} of an empty object");
    Ok(())
}

async fn bytes_behind_the_offset_are_replaced(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let state = store.begin("a1").await?;
    let first = store.append(&state, bytes("abc"), Append::at(0)).await?;
    // An append whose outcome was lost: nobody recorded its state.
    store
        .append(&first.state, bytes("lost and long"), Append::at(3))
        .await?;
    let second = store.append(&first.state, bytes("de"), Append::at(3)).await?;
    let published = store.commit(&second.state, &sha256(b"abcde"), 5).await?;
    let seen = content(&*store, &published.key, 5).await?;
    ensure!(seen == b"abcde", "bytes of a lost append came back: {seen:?}");
    Ok(())
}

async fn an_interrupted_stream_leaves_what_came(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let state = store.begin("a1").await?;
    let pieces = vec![Ok(Bytes::from_static(b"abc")), Err(BodyError::TimedOut)];
    let appended = store.append(&state, body(pieces), Append::at(0)).await?;
    ensure!(
        appended.interrupted == Some(BodyError::TimedOut) && appended.written == 3,
        "an interrupted append of 3 bytes says {appended:?}"
    );
    let seen = staged(&*store, &appended.state, 3).await?;
    ensure!(seen == b"abc", "after the interruption the upload holds {seen:?}");
    Ok(())
}

async fn a_commit_can_be_repeated(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let (state, first) = publish(&*store, "a1", "hello").await?;
    let second = store.commit(&state, &sha256(b"hello"), 5).await?.key;
    ensure!(
        first == second,
        "a repeated commit went to {second} instead of {first}"
    );
    let seen = content(&*store, &second, 5).await?;
    ensure!(
        seen == b"hello",
        "after a repeated commit the object holds {seen:?}"
    );
    Ok(())
}

async fn a_commit_takes_exactly_the_length(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let state = store.begin("a1").await?;
    let first = store.append(&state, bytes("abc"), Append::at(0)).await?;
    store.append(&first.state, bytes("lost"), Append::at(3)).await?;
    let published = store.commit(&first.state, &sha256(b"abc"), 3).await?;
    let size = store.stat(&published.key).await?;
    ensure!(size == Some(3), "an object of 3 bytes has {size:?}");
    Ok(())
}

async fn a_commit_of_more_than_there_is_is_refused(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let state = store.begin("a1").await?;
    let appended = store.append(&state, bytes("abc"), Append::at(0)).await?;
    let digest = sha256(b"abcd");
    match store.commit(&appended.state, &digest, 4).await {
        Ok(_) => Err(Failure::new("a commit of 4 bytes took 3".into())),
        Err(error) => {
            ensure!(
                error.kind() == StoreErrorKind::Corrupt,
                "it failed as {:?}",
                error.kind()
            );
            let found = match store.inventory() {
                Some(inventory) => inventory.staged_upload("a1").await?,
                None => None,
            };
            ensure!(
                found.is_none_or(|found| !found.published),
                "a refused commit published something"
            );
            Ok(())
        }
    }
}

async fn the_same_content_twice_is_two_objects(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let (first, key) = publish(&*store, "a1", "hello").await?;
    let (second, other) = publish(&*store, "a2", "hello").await?;
    ensure!(key != other, "two uploads were published under {key}");
    store.abort(&first).await?;
    store.abort(&second).await?;
    store.delete(std::slice::from_ref(&key)).await;
    let seen = content(&*store, &other, 5).await?;
    ensure!(
        seen == b"hello",
        "once one of two objects is deleted, the other holds {seen:?}"
    );
    // Published once more, long after: the old key stays unused.
    let (_, third) = publish(&*store, "a3", "hello").await?;
    ensure!(third != key, "the key of a deleted object is used again");
    Ok(())
}

async fn appending_after_a_commit_leaves_the_object_alone(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let (state, key) = publish(&*store, "a1", "hello").await?;
    // The commit was never recorded, so the client sends its last chunk again.
    let appended = store.append(&state, bytes("HELLO AGAIN"), Append::at(0)).await?;
    let seen = content(&*store, &key, 5).await?;
    ensure!(
        seen == b"hello",
        "an append changed a published object to {seen:?}"
    );
    let seen = staged(&*store, &appended.state, 11).await?;
    ensure!(seen == b"HELLO AGAIN", "the upload holds {seen:?}");
    let more = store.append(&appended.state, bytes("!"), Append::at(5)).await?;
    let seen = staged(&*store, &more.state, 6).await?;
    ensure!(seen == b"HELLO!", "the upload holds {seen:?}");
    Ok(())
}

async fn an_abort_can_be_repeated_and_leaves_the_object(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let (state, key) = publish(&*store, "a1", "hello").await?;
    for _ in 0..2 {
        store.abort(&state).await?;
    }
    ensure!(
        store.stat(&key).await? == Some(5),
        "aborting removed a published object"
    );
    let never = store.begin("a2").await?;
    store.abort(&never).await?;
    Ok(())
}

async fn staged_bytes_can_be_read_back(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let state = store.begin("a1").await?;
    let seen = staged(&*store, &state, 0).await?;
    ensure!(seen.is_empty(), "an upload without bytes holds {seen:?}");
    let appended = store.append(&state, bytes("abcde"), Append::at(0)).await?;
    for length in [0, 3, 5] {
        let seen = staged(&*store, &appended.state, length).await?;
        ensure!(
            seen == b"abcde"[..length],
            "the first {length} bytes of an upload are {seen:?}"
        );
    }
    match store.staged(&appended.state, 6).await {
        Ok(_) => Err(Failure::new("6 bytes were read of an upload of 5".into())),
        Err(error) => {
            ensure!(
                error.kind() == StoreErrorKind::Corrupt,
                "it failed as {:?}",
                error.kind()
            );
            Ok(())
        }
    }
}

async fn ranges_are_exact(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let long: Vec<u8> = (0..=250).cycle().take(300_000).collect();
    let state = store.begin("a1").await?;
    let appended = store
        .append(&state, body(vec![Ok(Bytes::from(long.clone()))]), Append::at(0))
        .await?;
    let size = long.len() as u64;
    let key = store.commit(&appended.state, &sha256(&long), size).await?.key;
    for (start, length) in [
        (0_usize, 1_usize),
        (0, 300_000),
        (1, 70_000),
        (299_999, 1),
        (4096, 4096),
        (5000, 200_000),
    ] {
        let range = ResolvedRange::new(start as u64, length as u64);
        let options = Open::whole(size).with_range(Some(range));
        let Some(body) = store.open(&key, options).await? else {
            return Err(Failure::new("the object is not there".into()));
        };
        let seen = read(body).await?;
        ensure!(
            seen == long[start..start + length],
            "{length} bytes from {start} came as {} others",
            seen.len()
        );
    }
    Ok(())
}

async fn what_was_opened_stays_whole_when_it_is_deleted(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let long: Vec<u8> = vec![7; 500_000];
    let state = store.begin("a1").await?;
    let appended = store
        .append(&state, body(vec![Ok(Bytes::from(long.clone()))]), Append::at(0))
        .await?;
    let key = store
        .commit(&appended.state, &sha256(&long), long.len() as u64)
        .await?
        .key;
    store.abort(&appended.state).await?;
    let Some(opened) = store.open(&key, Open::whole(long.len() as u64)).await? else {
        return Err(Failure::new("the object is not there".into()));
    };
    for outcome in store.delete(std::slice::from_ref(&key)).await {
        outcome?;
    }
    let seen = read(opened).await?;
    ensure!(
        seen == long,
        "{} bytes of a deleted object were delivered",
        seen.len()
    );
    ensure!(
        store.stat(&key).await?.is_none(),
        "a deleted object is still there"
    );
    Ok(())
}

async fn deleting_can_be_repeated(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let (state, first) = publish(&*store, "a1", "one").await?;
    store.abort(&state).await?;
    let (state, second) = publish(&*store, "a2", "two").await?;
    store.abort(&state).await?;
    let (_, third) = publish(&*store, "a3", "three").await?;
    for _ in 0..2 {
        let outcomes = store.delete(&[first.clone(), second.clone()]).await;
        ensure!(outcomes.len() == 2, "{} outcomes for 2 keys", outcomes.len());
        for outcome in outcomes {
            outcome?;
        }
    }
    for key in [&first, &second] {
        ensure!(store.stat(key).await?.is_none(), "{key} is still there");
    }
    ensure!(
        store.stat(&third).await? == Some(5),
        "an object was deleted that nobody named"
    );
    Ok(())
}

async fn uploads_do_not_mix(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let texts = ["first", "second", "third"];
    let uploads = ["a1", "a2", "a3"].into_iter().zip(texts).map(|(id, text)| {
        let store = Arc::clone(&store);
        async move { publish(&*store, id, text).await }
    });
    let published = futures::future::try_join_all(uploads).await?;
    for ((_, key), text) in published.iter().zip(texts) {
        let seen = content(&*store, key, text.len()).await?;
        ensure!(seen == text.as_bytes(), "the object of {text:?} holds {seen:?}");
    }
    Ok(())
}

async fn a_long_stream_arrives_whole(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let piece: Bytes = (0..=255).cycle().take(77_777).collect::<Vec<u8>>().into();
    let whole = piece.repeat(100);
    let state = store.begin("a1").await?;
    let stream = futures::stream::iter(vec![Ok(piece); 100]).boxed();
    let size = whole.len() as u64;
    let options = Append::at(0).with_length(Some(size));
    let appended = store.append(&state, stream, options).await?;
    ensure!(
        appended.written == size,
        "{} of {size} bytes were written",
        appended.written
    );
    let key = store.commit(&appended.state, &sha256(&whole), size).await?.key;
    let seen = content(&*store, &key, whole.len()).await?;
    ensure!(seen == whole, "a long object came back changed");
    Ok(())
}

const REOPEN: Failure = Failure::NotApplicable("outliving the process");

async fn an_object_survives_the_process(instance: &mut dyn Instance<Store>) -> Outcome {
    let (_, key) = publish(&*instance.store(), "a1", "hello").await?;
    let store = instance.reopen().await.ok_or(REOPEN)?;
    let seen = content(&*store, &key, 5).await?;
    ensure!(seen == b"hello", "after a restart the object holds {seen:?}");
    Ok(())
}

async fn a_durable_append_survives_the_process(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let state = store.begin("a1").await?;
    let state = store.append(&state, bytes("abc"), Append::at(0)).await?.state;
    drop(store);
    let store = instance.reopen().await.ok_or(REOPEN)?;
    let state = store.append(&state, bytes("de"), Append::at(3)).await?.state;
    let key = store.commit(&state, &sha256(b"abcde"), 5).await?.key;
    let seen = content(&*store, &key, 5).await?;
    ensure!(
        seen == b"abcde",
        "an upload taken up by another process became {seen:?}"
    );
    Ok(())
}

fn inventory(store: &Store) -> Result<&dyn BlobInventory, Failure> {
    store.inventory().ok_or(Failure::NotApplicable("an inventory"))
}

async fn what_is_stored_is_hashed(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let spawner: Arc<dyn Spawner> = Arc::new(ThreadSpawner);
    let content: Vec<u8> = (0..=250).cycle().take(3_000_000).collect();
    let state = store.begin("a1").await?;
    // Of all sizes, a good many of one byte.
    let mut pieces: Vec<Result<Bytes, BodyError>> = Vec::new();
    let mut rest = Bytes::from(content.clone());
    for size in [1, 300_000, 7, 700_000]
        .into_iter()
        .chain(std::iter::repeat_n(1, 5000))
    {
        pieces.push(Ok(rest.split_to(size)));
    }
    let cut = content.len() - rest.len();
    let first = store
        .append_hashed(
            &state,
            body(pieces),
            Append::at(0),
            Hasher::new(Algorithm::Sha512),
            &spawner,
        )
        .await?;
    ensure!(
        first.appended.written == cut as u64,
        "{} of {cut} bytes were stored",
        first.appended.written
    );
    // Goes on from the saved state, and ends in the middle.
    let hasher = Hasher::restore(Algorithm::Sha512, &first.hasher.save())
        .map_err(|error| Failure::new(error.to_string()))?;
    let options = Append::at(cut as u64).with_durability(Durability::AtCommit);
    let broken = body(vec![Ok(rest), Err(BodyError::Truncated)]);
    let second = store
        .append_hashed(&first.appended.state, broken, options, hasher, &spawner)
        .await?;
    ensure!(
        second.appended.interrupted == Some(BodyError::Truncated),
        "a broken stream was reported as {:?}",
        second.appended.interrupted
    );
    ensure!(
        second.hasher.finish() == Digest::of(Algorithm::Sha512, &content),
        "the hasher saw something else than what was sent"
    );
    let stored = staged(&*store, &second.appended.state, content.len()).await?;
    ensure!(stored == content, "something else was stored than what was sent");
    Ok(())
}

async fn a_dropped_append_leaves_the_upload_usable(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let state = store.begin("a1").await?;
    let kept = store.append(&state, bytes("kept, "), Append::at(0)).await?;
    for _ in 0..20 {
        let endless = futures::stream::iter([Ok(Bytes::from(vec![b'x'; 300_000]))])
            .chain(futures::stream::pending())
            .boxed();
        let mut dropped = store.append(&kept.state, endless, Append::at(6));
        for _ in 0..3 {
            let _ = futures::poll!(&mut dropped);
        }
        drop(dropped);
        let again = store
            .append(&kept.state, bytes("and more"), Append::at(6))
            .await?;
        let stored = staged(&*store, &again.state, 14).await?;
        ensure!(
            stored == b"kept, and more",
            "a dropped append wrote over the one after it: {:?}",
            String::from_utf8_lossy(&stored)
        );
    }
    Ok(())
}

async fn the_inventory_finds_one_upload(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let inventory = inventory(&*store)?;
    ensure!(
        inventory.staged_upload("a1").await?.is_none(),
        "an upload that was never begun is found"
    );
    let state = store.begin("a1").await?;
    store.append(&state, bytes("hello"), Append::at(0)).await?;
    let found = inventory.staged_upload("a1").await?;
    ensure!(
        found.is_some_and(|found| found.length == 5 && !found.published),
        "an upload of 5 bytes is not found as one"
    );
    store.commit(&state, &sha256(b"hello"), 5).await?;
    let found = inventory.staged_upload("a1").await?;
    ensure!(
        found.is_some_and(|found| found.published),
        "a published upload is not told from others"
    );
    store.abort(&state).await?;
    ensure!(
        inventory.staged_upload("a1").await?.is_none(),
        "an upload is found after its abort"
    );
    Ok(())
}

async fn the_inventory_lists_uploads_by_page(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let inventory = inventory(&*store)?;
    for id in ["a1", "a2", "a3"] {
        let state = store.begin(id).await?;
        store.append(&state, bytes("abc"), Append::at(0)).await?;
    }
    let (done, _) = publish(&*store, "a4", "hello").await?;
    let end = Timestamp::from_millis(i64::MAX);
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = inventory.staged_uploads(end, after.as_deref(), 2).await?;
        ensure!(page.len() <= 2, "a page of 2 has {}", page.len());
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        seen.extend(page);
    }
    let ids: Vec<&str> = seen.iter().map(|upload| upload.id.as_str()).collect();
    ensure!(ids == ["a1", "a2", "a3", "a4"], "the inventory lists {ids:?}");
    for upload in &seen {
        let published = upload.id == "a4";
        ensure!(
            upload.published == published,
            "{} is said to be published: {}",
            upload.id,
            upload.published
        );
        let length = if published { 5 } else { 3 };
        ensure!(
            upload.length == length,
            "{} is said to hold {}",
            upload.id,
            upload.length
        );
        store.abort(&upload.state).await?;
    }
    store.abort(&done).await?;
    let left: BTreeSet<String> = inventory
        .staged_uploads(end, None, 10)
        .await?
        .into_iter()
        .map(|upload| upload.id)
        .collect();
    ensure!(left.is_empty(), "after their abort the inventory lists {left:?}");
    Ok(())
}

async fn unpublishing_removes_only_what_came_from_that_upload(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = instance.store();
    let inventory = inventory(&*store)?;
    let digest = sha256(b"hello");
    let (first, _) = publish(&*store, "a1", "hello").await?;
    let (second, key) = publish(&*store, "a2", "hello").await?;
    ensure!(
        inventory.unpublish(&first, &digest).await?,
        "an object that was published is said not to be there"
    );
    ensure!(
        store.stat(&key).await? == Some(5),
        "unpublishing an upload removed the object that another one had published"
    );
    ensure!(
        inventory.unpublish(&second, &digest).await? && store.stat(&key).await?.is_none(),
        "unpublishing left the object"
    );
    ensure!(
        !inventory.unpublish(&second, &digest).await?,
        "an object was unpublished twice"
    );
    store.commit(&second, &digest, 5).await?;
    ensure!(
        store.stat(&key).await? == Some(5),
        "an upload could not be published again"
    );
    Ok(())
}
