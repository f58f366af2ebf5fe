//! That reads of accounts cost what their page costs, however many accounts there are: what takes far longer
//! with twenty thousand than with a hundred lacks an index. `MANY_ACCOUNTS=1000000` in the environment compares with
//! as many, in minutes.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use quay_core::RepositoryName;
use quay_core::accounts::{
    Account, AccountCursor, AccountFilter, AccountId, AccountKind, AccountReads, AccountStore as _, Grantee,
    OAuthTokenFilter, RepositoryRole, Team, TeamRole,
};
use quay_core::metadata::{PageRequest, Visibility};
use quay_core::runtime::Timestamp;
use quay_storage::SqlMetadata;
use support::TestSpawner;
use tempfile::TempDir;

const FEW: usize = 100;
/// Unless the environment says another number.
const MANY: usize = 20_000;

fn many() -> usize {
    let asked = std::env::var("MANY_ACCOUNTS").ok();
    asked.map_or(MANY, |number| number.parse().unwrap())
}
/// Times that each read is measured; the median counts.
const ROUNDS: usize = 50;
/// A page of each list: short, so that rows which are read in vain weigh.
const PAGE: usize = 5;

struct Filled {
    store: SqlMetadata,
    organization: AccountId,
    team: i64,
    repository: i64,
    /// Somebody in the middle of every list.
    middle: AccountCursor,
    _directory: TempDir,
}

/// An organization with a repository, and so many users, robots and permissions, and half as many members.
async fn filled(count: usize) -> Filled {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("quay.db");
    let store = SqlMetadata::open_sqlite(&path, &TestSpawner::current())
        .await
        .unwrap();
    let now = Timestamp::from_millis(1);
    let account = |kind, name: &str, uuid: String| Account::new(kind, name, uuid, now);
    let mut opened = store.begin_accounts().await.unwrap();
    let unit = opened.accounts();
    let acme = account(AccountKind::Organization, "user", "acme".to_owned());
    let organization = unit.insert_account(&acme).await.unwrap().unwrap();
    let team = Team {
        id: 0,
        organization,
        name: "devs".to_owned(),
        role: TeamRole::Member,
        description: String::new(),
    };
    let team = unit.insert_team(&team).await.unwrap().unwrap();
    let name = RepositoryName::from_path("user/app").unwrap();
    let repository = unit
        .create_repository(&name, Visibility::Private, None, now)
        .await
        .unwrap()
        .unwrap()
        .id;
    let mut middle = None;
    for index in 0..count {
        let user = account(AccountKind::User, &format!("user{index:05}"), format!("u{index}"));
        let id = unit.insert_account(&user).await.unwrap().unwrap();
        // They sort between the organization and the users.
        let mut robot = account(
            AccountKind::Robot,
            &format!("user+{index:05}"),
            format!("r{index}"),
        );
        robot.owner = Some(organization);
        unit.insert_account(&robot).await.unwrap().unwrap();
        // Who is in no team collaborates.
        if index % 2 == 0 {
            assert!(unit.add_member(team, id).await.unwrap());
        }
        unit.set_grant(repository, Grantee::Account(id), RepositoryRole::Read)
            .await
            .unwrap();
        if index == count / 2 {
            middle = Some(AccountCursor { id, name: user.name });
        }
    }
    opened.commit().await.unwrap();
    Filled {
        store,
        organization,
        team,
        repository,
        middle: middle.unwrap(),
        _directory: directory,
    }
}

/// A read whose cost is measured.
type Read = (&'static str, usize);

/// The reads, and how many rows each yields from the middle of its list.
const READS: [Read; 12] = [
    ("users", PAGE),
    ("robots", PAGE),
    ("members of the organization", PAGE),
    ("members of the team", PAGE),
    ("collaborators", PAGE),
    ("names that begin alike", PAGE),
    ("names that begin alike, robots left out", 1),
    ("organizations of a user", 1),
    ("accounts with a role", PAGE),
    ("repositories that are visible", 1),
    ("tokens of a user", 0),
    ("standing", 1),
];

async fn read(reader: &mut dyn AccountReads, filled: &Filled, read: usize) -> usize {
    let id = filled.middle.id;
    let from_start = PageRequest::new(None, PAGE);
    let from_middle = PageRequest::new(Some(filled.middle.clone()), PAGE);
    let robots = AccountCursor {
        id,
        name: filled.middle.name.replace("user", "user+"),
    };
    let prefix = |prefix| AccountFilter::Prefix {
        prefix,
        robots_of: None,
        organizations: true,
    };
    let (filter, page) = match read {
        0 => (AccountFilter::Users { disabled: false }, from_middle),
        1 => (
            AccountFilter::RobotsOf(filled.organization),
            PageRequest::new(Some(robots), PAGE),
        ),
        2 => (AccountFilter::MembersOf(filled.organization), from_middle),
        3 => (AccountFilter::InTeam(filled.team), from_middle),
        4 => {
            let filter = AccountFilter::CollaboratorsOf {
                organization: filled.organization,
                namespace: "user",
            };
            (filter, from_middle)
        }
        5 => (prefix("user"), from_middle),
        // The robots between the organization and the users must not be passed over one by one.
        6 => {
            let organization = AccountCursor {
                id: filled.organization,
                name: "user".to_owned(),
            };
            (prefix("user"), PageRequest::new(Some(organization), 1))
        }
        7 => (AccountFilter::OrganizationsOf(id), from_start),
        8 => {
            let page = PageRequest::new(Some(id), PAGE);
            return reader
                .account_grants(filled.repository, &page)
                .await
                .unwrap()
                .len();
        }
        9 => {
            let account = Some((id, filled.middle.name.as_str()));
            let page = PageRequest::new(None, PAGE);
            return reader.visible(account, true, &page).await.unwrap().len();
        }
        10 => {
            let page = PageRequest::new(None, PAGE);
            let tokens = reader.oauth_tokens(OAuthTokenFilter::Account(id), &page).await;
            return tokens.unwrap().len();
        }
        _ => {
            let standing = reader.standing(id, "user", Some(filled.repository)).await;
            return usize::from(standing.unwrap().direct.is_some());
        }
    };
    reader.accounts(filter, &page).await.unwrap().len()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_costs_what_it_holds() {
    let size = many();
    let (few, many) = (filled(FEW).await, filled(size).await);
    let mut slow = Vec::new();
    for (index, (name, rows)) in READS.into_iter().enumerate() {
        // Measured in turn, so that whatever else the machine does befalls both.
        let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (filled, times) in [(&few, &mut of_few), (&many, &mut of_many)] {
                let mut reader = filled.store.reader();
                let began = Instant::now();
                let found = read(&mut *reader, filled, index).await;
                times.push(began.elapsed());
                assert_eq!(found, rows, "{name}");
            }
        }
        let (of_few, of_many) = (median(&mut of_few), median(&mut of_many));
        if of_many > of_few * 3 {
            slow.push(format!("{name}: {of_few:?} of {FEW}, {of_many:?} of {size}"));
        }
    }
    assert!(slow.is_empty(), "reads that follow the whole: {slow:#?}");
}
