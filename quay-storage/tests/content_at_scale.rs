//! That what people look at of repositories costs what its page costs, however many tags and repositories there
//! are. `MANY_TAGS=1000000` in the environment compares with as many, in minutes.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use quay_core::accounts::{Account, AccountKind};
use quay_core::accounts::{AccountStore as _, Grantee, RepositoryRole, RepositorySearch, Sight};
use quay_core::blob_store::ObjectKey;
use quay_core::metadata::{
    MetadataStore as _, NewBlob, NewManifest, PageRequest, Placement, TagFilter, TagNames, TagPosition,
    TagTarget, Visibility,
};
use quay_core::runtime::Timestamp;
use quay_core::{Algorithm, Digest, MediaType, RepositoryName, Tag};
use quay_storage::SqlMetadata;
use support::TestSpawner;
use tempfile::TempDir;

const FEW: usize = 100;
/// So many that a search which finds all of them looks at as many as any search does.
const ENOUGH: usize = 2500;
/// Unless the environment says another number.
const MANY: usize = 20_000;
/// Times that each read is measured; the median counts.
const ROUNDS: usize = 50;
const PAGE: usize = 10;
/// Bytes of the layer that every repository has.
const LAYER: u64 = 1000;

fn many() -> usize {
    let asked = std::env::var("MANY_TAGS").ok();
    asked.map_or(MANY, |number| number.parse().unwrap())
}

fn at(millis: usize) -> Timestamp {
    Timestamp::from_millis(i64::try_from(millis).unwrap())
}

struct Filled {
    store: SqlMetadata,
    app: RepositoryName,
    account: i64,
    repository: i64,
    count: usize,
    _directory: TempDir,
}

/// A repository with so many tags, each moved once, and as many other repositories in its namespace, each with a
/// layer.
async fn filled(count: usize) -> Filled {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("quay.db");
    let store = SqlMetadata::open_sqlite(&path, &TestSpawner::current())
        .await
        .unwrap();
    store.count_usage();
    let app = RepositoryName::from_path("acme/app").unwrap();
    let mut opened = store.begin_accounts().await.unwrap();
    let unit = opened.accounts();
    let ann = Account::new(AccountKind::User, "ann", "ann".to_owned(), at(0));
    let account = unit.insert_account(&ann).await.unwrap().unwrap();
    let layer = Digest::of(Algorithm::Sha256, b"layer");
    let placement = Placement::new("here".into(), ObjectKey::content_addressed(&layer));
    let blob = NewBlob::new(layer, LAYER, placement);
    let (blob, _) = opened.blobs().record(&blob, at(0)).await.unwrap();
    let unit = opened.accounts();
    let create =
        async |unit: &mut dyn quay_core::accounts::AccountWrites, name: &RepositoryName, visibility| {
            let made = unit.create_repository(name, visibility, None, at(0)).await;
            made.unwrap().unwrap().id
        };
    let repository = create(unit, &app, Visibility::Private).await;
    let mut repositories = Vec::with_capacity(count);
    for index in 0..count {
        let name = RepositoryName::from_path(&format!("acme/r{index:07}")).unwrap();
        let visibility = if index % 2 == 0 {
            Visibility::Public
        } else {
            Visibility::Private
        };
        let id = create(unit, &name, visibility).await;
        repositories.push(id);
        // What somebody has a role in is few, whatever there is.
        if index < PAGE {
            unit.set_grant(id, Grantee::Account(account), RepositoryRole::Read)
                .await
                .unwrap();
        }
    }
    for id in repositories {
        let link = opened.blobs().link(id, blob, &layer, at(0)).await;
        link.unwrap();
    }
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    let media_type = MediaType::known(MediaType::OCI_MANIFEST);
    let manifest = NewManifest::new(digest, media_type, Bytes::from_static(b"{}"));
    let (id, _) = opened
        .manifests()
        .put(repository, &manifest, at(0))
        .await
        .unwrap();
    for round in 0..2 {
        for index in 0..count {
            let tag = Tag::new(&format!("t{index:07}")).unwrap();
            opened
                .tags()
                .set(repository, &tag, TagTarget::new(id), at(round * count + index))
                .await
                .unwrap();
        }
    }
    quay_core::metadata::UnitOfWork::commit(opened).await.unwrap();
    Filled {
        store,
        app,
        account,
        repository,
        count,
        _directory: directory,
    }
}

/// What is read, and how many there are where it costs as much.
const READS: [(&str, usize); 12] = [
    ("the newest rows", FEW),
    ("rows in the middle", FEW),
    ("tags that are alive", FEW),
    ("tags that are alive, in the middle", FEW),
    ("the history of one tag", FEW),
    ("a namespace from the middle", FEW),
    ("a namespace as somebody sees it", FEW),
    ("details of a repository", FEW),
    ("a namespace with what is used", FEW),
    ("a search that finds a hundred", FEW),
    ("a search that finds everything", ENOUGH),
    ("everything by how much is done with it", ENOUGH),
];

/// A page of what somebody finds who has a role in few repositories.
async fn search(filled: &Filled, text: &str) -> usize {
    let mut reader = filled.store.reader();
    let search = RepositorySearch::new(text, PAGE).by(Some((filled.account, "ann")));
    let found = reader.search_repositories(&search).await.unwrap();
    let ids: Vec<i64> = found.iter().map(|record| record.id).collect();
    let now = at(10 * filled.count);
    let details = reader.repository_details(&ids, Some(filled.account), now).await;
    let popularity = reader.popularity(&ids, 0).await;
    details.unwrap().len().min(popularity.unwrap().len())
}

/// A page of a namespace's repositories, as whoever administers it sees them, and what each of them uses.
async fn with_usage(filled: &Filled) -> usize {
    let mut reader = filled.store.reader();
    let page = PageRequest::new(Some("acme/app".to_owned()), PAGE);
    let found = reader.repositories_in("acme", Sight::Everything, &page).await;
    let ids: Vec<i64> = found.unwrap().iter().map(|record| record.id).collect();
    let now = at(10 * filled.count);
    let details = reader.repository_details(&ids, Some(filled.account), now).await;
    let sizes = filled.store.repository_sizes(&ids).await.unwrap();
    let used = filled.store.namespace_usage("acme").await.unwrap();
    assert_eq!(used.unwrap().used, LAYER);
    let counted = sizes.values().filter(|size| **size == LAYER);
    details.unwrap().len().min(counted.count())
}

async fn history(filled: &Filled, filter: &TagFilter, after: Option<usize>) -> usize {
    let after = after.map(|start| {
        let position = serde_json::json!({ "start": start, "name": "" });
        serde_json::from_value::<TagPosition>(position).unwrap()
    });
    let page = PageRequest::new(after, PAGE);
    let now = at(10 * filled.count);
    let found = filled.store.tag_history(&filled.app, filter, 0, &page, now).await;
    found.unwrap().found.unwrap().len()
}

async fn read(filled: &Filled, read: usize) -> usize {
    let everything = TagFilter::new(at(0));
    let half = filled.count / 2;
    let middle = format!("t{half:07}");
    let mut reader = filled.store.reader();
    match read {
        0 => history(filled, &everything, None).await,
        1 => history(filled, &everything, Some(filled.count)).await,
        2 => history(filled, &everything.with_alive(true), None).await,
        3 => history(filled, &everything.with_alive(true), Some(filled.count + half)).await,
        4 => {
            let names = Some(TagNames::Exactly(middle));
            PAGE * history(filled, &everything.with_names(names), None).await / 2
        }
        5 => {
            let page = PageRequest::new(Some(format!("acme/r{half:07}")), PAGE);
            let found = reader.repositories_in("acme", Sight::Everything, &page).await;
            found.unwrap().len()
        }
        6 => {
            let sight = Sight::Granted {
                account: Some(filled.account),
                public: true,
            };
            let page = PageRequest::new(None, PAGE);
            reader.repositories_in("acme", sight, &page).await.unwrap().len()
        }
        8 => with_usage(filled).await,
        9 => search(filled, "r00000").await,
        10 => search(filled, "r").await,
        11 => search(filled, "").await,
        _ => {
            let ids = [filled.repository];
            let found = reader.repository_details(&ids, Some(filled.account), at(10 * filled.count));
            PAGE * found.await.unwrap().len()
        }
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_costs_what_it_holds() {
    let size = many();
    let (few, enough, many) = (filled(FEW).await, filled(ENOUGH).await, filled(size).await);
    let mut slow = Vec::new();
    for (index, (name, less)) in READS.into_iter().enumerate() {
        let few = if less == FEW { &few } else { &enough };
        // Measured in turn, so that whatever else the machine does befalls both.
        let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (filled, times) in [(few, &mut of_few), (&many, &mut of_many)] {
                let began = Instant::now();
                let found = read(filled, index).await;
                times.push(began.elapsed());
                assert_eq!(found, PAGE, "{name}");
            }
        }
        let (of_few, of_many) = (median(&mut of_few), median(&mut of_many));
        println!("{name}: {of_few:?} of {less}, {of_many:?} of {size}");
        if of_many > of_few * 3 {
            slow.push(format!("{name}: {of_few:?} of {less}, {of_many:?} of {size}"));
        }
    }
    assert!(slow.is_empty(), "reads that follow the whole: {slow:#?}");
}
