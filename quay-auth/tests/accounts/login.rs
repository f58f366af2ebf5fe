//! Users of the database log in.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use quay_auth::{DatabaseLogin, PasswordChecks};
use quay_core::StoreError;
use quay_core::accounts::{AccountKind, AccountStore, LoginEngine, PasswordHasher, PasswordVerdict};

use crate::support::World;

async fn ask(login: &DatabaseLogin, username: &str, password: &str) -> PasswordVerdict {
    login.verify(username, password).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn by_name_or_address() {
    let world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let login = world.login();
    for name in ["alice", "alice@mail.example"] {
        let PasswordVerdict::Proven(account) = ask(&login, name, "correct horse").await else {
            panic!("{name}");
        };
        assert_eq!(account.id, alice.id);
    }
    for (name, password) in [
        ("bob", "correct horse"),
        ("bob@mail.example", "correct horse"),
        ("", "correct horse"),
        ("älice", "correct horse"),
    ] {
        assert_eq!(
            ask(&login, name, password).await,
            PasswordVerdict::Invalid,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_users_with_a_password_have_one() {
    let world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let mut organization = world.account(AccountKind::Organization, "works");
    organization.password_hash.clone_from(&alice.password_hash);
    world.insert(&organization).await;
    let mut nameless = world.account(AccountKind::User, "nameless");
    nameless.email = Some("nameless@mail.example".to_owned());
    world.insert(&nameless).await;
    world.robot(&alice, "builder", "correct horse").await;
    let login = world.login();
    for name in ["works", "nameless", "alice+builder"] {
        for password in ["correct horse", ""] {
            assert_eq!(
                ask(&login, name, password).await,
                PasswordVerdict::Invalid,
                "{name}"
            );
            world.clock.advance(Duration::from_mins(1));
        }
    }
}

/// Whoever tries names must not learn which of them are somebody's: neither by time nor by the waits.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_treated_as_others_are() {
    let world = World::new().await;
    world.user("alice", "correct horse").await;
    let login = world.login();
    for name in ["alice", "mallory", "mallory@mail.example"] {
        world.hasher.asked();
        for failures in 1..=4_u32 {
            assert_eq!(
                ask(&login, name, "guess").await,
                PasswordVerdict::Invalid,
                "{name}"
            );
            assert_eq!(world.hasher.asked(), 1, "{name}");
            let retry_after = Duration::from_millis(500 * (2_u64.pow(failures) - 1));
            assert_eq!(
                ask(&login, name, "guess").await,
                PasswordVerdict::Throttled { retry_after },
                "{name}"
            );
            assert_eq!(world.hasher.asked(), 0, "{name}");
            world.clock.advance(retry_after);
        }
    }
    // What was tried before somebody took the name does not count against them.
    assert_eq!(ask(&login, "bob", "guess").await, PasswordVerdict::Invalid);
    world.user("bob", "battery staple").await;
    assert!(matches!(
        ask(&login, "bob", "battery staple").await,
        PasswordVerdict::Proven(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_make_everybody_wait() {
    let world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let login = world.login();
    for failures in 1..=5_u32 {
        assert_eq!(ask(&login, "alice", "guess").await, PasswordVerdict::Invalid);
        assert_eq!(world.find(alice.id).await.invalid_logins, i64::from(failures));
        let retry_after = Duration::from_millis(500 * (2_u64.pow(failures) - 1));
        world.hasher.asked();
        for password in ["correct horse", "guess"] {
            assert_eq!(
                ask(&login, "alice", password).await,
                PasswordVerdict::Throttled { retry_after }
            );
        }
        // Not even looked at, and not counted.
        assert_eq!(world.hasher.asked(), 0);
        assert_eq!(world.find(alice.id).await.invalid_logins, i64::from(failures));
        world.clock.advance(retry_after);
    }
    assert!(matches!(
        ask(&login, "alice", "correct horse").await,
        PasswordVerdict::Proven(account) if account.invalid_logins == 0
    ));
    assert_eq!(world.find(alice.id).await.invalid_logins, 0);
    // A password that is remembered does not get around the wait.
    assert_eq!(ask(&login, "alice", "guess").await, PasswordVerdict::Invalid);
    assert!(matches!(
        ask(&login, "alice", "correct horse").await,
        PasswordVerdict::Throttled { .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_hashed_once_and_forgotten_when_it_changes() {
    let world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let login = world.login();
    for _ in 0..5 {
        assert!(matches!(
            ask(&login, "alice", "correct horse").await,
            PasswordVerdict::Proven(_)
        ));
    }
    assert_eq!(world.hasher.asked(), 1);
    world.change(alice.id, |account| account.enabled = false).await;
    assert_eq!(
        ask(&login, "alice", "correct horse").await,
        PasswordVerdict::Disabled
    );
    assert_eq!(ask(&login, "alice", "guess").await, PasswordVerdict::Invalid);
    let hash = world.hasher.hash("battery staple").unwrap();
    world
        .change(alice.id, |account| {
            account.enabled = true;
            account.invalid_logins = 0;
            account.password_hash = Some(hash);
        })
        .await;
    assert!(matches!(
        ask(&login, "alice", "battery staple").await,
        PasswordVerdict::Proven(_)
    ));
    assert_eq!(
        ask(&login, "alice", "correct horse").await,
        PasswordVerdict::Invalid
    );
}

/// Says no once all have asked.
#[derive(Debug)]
struct Together(Barrier);

impl PasswordHasher for Together {
    fn hash(&self, _: &str) -> Result<String, StoreError> {
        Ok(String::new())
    }

    fn verify(&self, _: &str, _: &str) -> bool {
        self.0.wait();
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_at_once_all_count() {
    let world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let hasher = Arc::new(Together(Barrier::new(4)));
    let checks = PasswordChecks::new(hasher, world.runtime.clone());
    let login = DatabaseLogin::new(
        Arc::clone(&world.store) as Arc<dyn AccountStore>,
        Arc::new(checks),
        world.runtime.clone(),
    );
    let asked = (0..4).map(|_| ask(&login, "alice", "guess"));
    for answer in futures::future::join_all(asked).await {
        assert_eq!(answer, PasswordVerdict::Invalid);
    }
    assert_eq!(world.find(alice.id).await.invalid_logins, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_in_a_row_wait_for_the_first() {
    let world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let checks = world.checks().with_limits(1, 100);
    let login = DatabaseLogin::new(Arc::clone(&world.store), Arc::new(checks), world.runtime.clone());
    let asked = (0..50).map(|_| ask(&login, "alice", "guess"));
    let answers = futures::future::join_all(asked).await;
    let looked_at = answers
        .iter()
        .filter(|answer| **answer == PasswordVerdict::Invalid);
    assert_eq!(looked_at.count(), 1);
    assert_eq!(world.hasher.asked(), 1);
    assert_eq!(world.find(alice.id).await.invalid_logins, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_does_not_undo_a_failure() {
    use futures::FutureExt as _;

    let world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let login = world.login();
    assert!(login.verify("alice", "guess").now_or_never().is_none());
    world.settle().await;
    assert_eq!(world.find(alice.id).await.invalid_logins, 1);
}
