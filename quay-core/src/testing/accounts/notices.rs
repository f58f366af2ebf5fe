//! Service keys, messages, notices, codes sent by mail, stars, changes and the action log.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::json;

use super::{
    Outcome, Store, TEXTS, at, by_pages, commit, organization, raced, repository, store, there, token, user,
};
use crate::accounts::{
    AccountId, Change, Confirmation, ConfirmationPurpose, KeyApproval, LogEntry, LogKind, Message, Notice,
    ServiceKey,
};
use crate::metadata::{PageRequest, Visibility};
use crate::testing::{Instance, ensure};

fn service_key(kid: &str, service: &str) -> ServiceKey {
    ServiceKey {
        kid: kid.to_owned(),
        name: TEXTS[0].to_owned(),
        service: service.to_owned(),
        jwk: "{\"kty\":\"RSA\"}".to_owned(),
        metadata: "{}".to_owned(),
        created: at(1),
        expires: None,
        rotation_s: None,
        approval: None,
    }
}

pub(super) async fn service_keys_are_kept(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let ann = commit!(store, |unit| {
        for (kid, service) in [("c", "quay"), ("B", "quay"), ("a", "clair"), ("b", "quay")] {
            let inserted = unit.insert_service_key(&service_key(kid, service)).await?;
            ensure!(inserted, "a new key could not be stored");
        }
        let again = unit.insert_service_key(&service_key("a", "other")).await?;
        ensure!(!again, "a kid was given to a second key");
        user(unit, "ann").await?
    });
    let mut reader = store.reader();
    for (service, expected) in [
        (None, vec!["B", "a", "b", "c"]),
        (Some("quay"), vec!["B", "b", "c"]),
        (Some("clair"), vec!["a"]),
        (Some("Quay"), vec![]),
    ] {
        for size in [1, 2, 9] {
            let found = by_pages!(size, |page| reader.service_keys(service, &page), |last| {
                last.kid.clone()
            });
            let kids: Vec<_> = found.iter().map(|key| key.kid.as_str()).collect();
            ensure!(
                kids == expected,
                "by pages of {size} the keys of {service:?} are {kids:?}"
            );
        }
    }
    let approved = ServiceKey {
        name: TEXTS[1].to_owned(),
        expires: Some(at(99)),
        rotation_s: Some(3600),
        metadata: "{\"by\":\"Grüße\"}".to_owned(),
        approval: Some(KeyApproval {
            kind: "Super User API".to_owned(),
            approver: Some(ann),
            at: at(2),
            notes: TEXTS[0].to_owned(),
        }),
        ..service_key("a", "clair")
    };
    commit!(store, |unit| {
        unit.save_service_key(&approved).await?;
        for expected in [true, false] {
            let deleted = unit.delete_service_key("b").await?;
            ensure!(deleted == expected, "removing a key said {deleted}");
        }
    });
    let found = reader.service_key("a").await?;
    ensure!(
        found.as_ref() == Some(&approved),
        "a saved key came back as {found:?}"
    );
    for (kid, expected) in [("b", false), ("B", true), ("A", false)] {
        let seen = reader.service_key(kid).await?.is_some();
        ensure!(seen == expected, "that there is a key {kid} is {seen}");
    }
    Ok(())
}

pub(super) async fn messages_are_listed_oldest_first(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let message = |seed: &str, text: &str| Message {
        uuid: token(seed),
        content: text.to_owned(),
        severity: "warning".to_owned(),
        media_type: "text/markdown".to_owned(),
    };
    let stored = [
        message("z", TEXTS[0]),
        message("a", TEXTS[1]),
        message("m", TEXTS[2]),
    ];
    commit!(store, |unit| {
        for message in &stored {
            unit.insert_message(message).await?;
        }
    });
    let mut reader = store.reader();
    let found = reader.messages().await?;
    ensure!(found == stored, "the messages are {found:?}");
    commit!(store, |unit| {
        for expected in [true, false] {
            let deleted = unit.delete_message(&token("a")).await?;
            ensure!(deleted == expected, "removing a message said {deleted}");
        }
    });
    let left = reader.messages().await?.len();
    ensure!(left == 2, "of 3 messages without one {left} are left");
    Ok(())
}

fn notice(account: AccountId, seed: &str, lookup: Option<&str>) -> Notice {
    Notice {
        uuid: token(seed),
        account,
        kind: "kind".to_owned(),
        metadata: format!("{{\"text\":\"{seed} 世界\"}}"),
        created: at(1),
        dismissed: false,
        lookup: lookup.map(ToOwned::to_owned),
    }
}

pub(super) async fn notices_are_listed_newest_first(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let ann = commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        for seed in ["z", "a", "m", "b"] {
            unit.insert_notice(&notice(ann, seed, None)).await?;
            let theirs = format!("bob's {seed}");
            unit.insert_notice(&notice(bob, &theirs, None)).await?;
        }
        ann
    });
    let mut reader = store.reader();
    let all = ["b", "m", "a", "z"];
    for skip in 0..6 {
        for limit in [0, 1, 2, 9] {
            let found = reader.notices(ann, skip, limit).await?;
            let expected: Vec<_> = all
                .iter()
                .skip(skip)
                .take(limit)
                .map(|seed| notice(ann, seed, None))
                .collect();
            ensure!(
                found == expected,
                "behind {skip}, at most {limit}, there are {found:?}"
            );
        }
    }
    Ok(())
}

pub(super) async fn notices_are_put_away_and_found_again(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (ann, bob) = commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        for (account, seed, lookup) in [
            (ann, "one", Some("reason")),
            (ann, "two", Some("reason 2")),
            (ann, "three", None),
            (bob, "four", Some("reason")),
        ] {
            unit.insert_notice(&notice(account, seed, lookup)).await?;
        }
        unit.dismiss_notice(&token("one"), true).await?;
        unit.dismiss_notice(&token("three"), true).await?;
        unit.dismiss_notice(&token("three"), false).await?;
        (ann, bob)
    });
    let mut reader = store.reader();
    let found = reader.notices(ann, 0, 9).await?;
    let uuids: Vec<_> = found.iter().map(|notice| notice.uuid.clone()).collect();
    ensure!(
        uuids == [token("three"), token("two")],
        "of what she was told and has not put away there are {found:?}"
    );
    let found = there(reader.notice(ann, &token("one")).await?, "what was put away")?;
    ensure!(
        found.dismissed && found.lookup.as_deref() == Some("reason"),
        "what was put away came back as {found:?}"
    );
    ensure!(
        reader.notice(bob, &token("one")).await?.is_none(),
        "somebody sees what another one was told"
    );
    commit!(store, |unit| {
        unit.delete_notices("reason").await?;
    });
    for (account, seed, expected) in [
        (ann, "one", false),
        (ann, "two", true),
        (ann, "three", true),
        (bob, "four", false),
    ] {
        let seen = reader.notice(account, &token(seed)).await?.is_some();
        ensure!(
            seen == expected,
            "with the reason gone, that notice {seed} is there is {seen}"
        );
    }
    Ok(())
}

pub(super) async fn a_confirmation_is_handed_out_once(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let stored = commit!(store, |unit| {
        let account = user(unit, "ann").await?;
        let confirmation = |code: &str, purpose, new_email: Option<&str>| Confirmation {
            code_hash: code.to_owned(),
            account,
            purpose,
            new_email: new_email.map(ToOwned::to_owned),
            expires: at(50),
        };
        let stored = [
            confirmation("one", ConfirmationPurpose::Confirm, Some("new@example.com")),
            confirmation("two", ConfirmationPurpose::Recover, None),
        ];
        for confirmation in &stored {
            unit.insert_confirmation(confirmation).await?;
        }
        stored
    });
    commit!(store, |unit| {
        let taken = unit.take_confirmation("one").await?;
        ensure!(
            taken.as_ref() == stored.first(),
            "a code sent by mail came back as {taken:?}"
        );
    });
    let racing = &store;
    let taken = raced(|_| async move {
        let mut unit = racing.begin_accounts().await?;
        let accounts = unit.accounts();
        let first = accounts.take_confirmation("one").await?;
        let second = accounts.take_confirmation("two").await?;
        unit.commit().await?;
        Ok((first.is_some(), second.is_some()))
    })
    .await?;
    let again = taken.iter().filter(|(first, _)| *first).count();
    ensure!(again == 0, "a code sent by mail was handed out again");
    let winners = taken.iter().filter(|(_, second)| *second).count();
    ensure!(
        winners == 1,
        "{winners} of 8 at once were handed one code sent by mail"
    );
    Ok(())
}

fn confirmation(account: AccountId, purpose: ConfirmationPurpose, code: &str, millis: i64) -> Confirmation {
    Confirmation {
        code_hash: code.to_owned(),
        account,
        purpose,
        new_email: None,
        expires: at(millis),
    }
}

pub(super) async fn the_last_confirmation_is_found_until_all_are_removed(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = store(instance);
    let (confirm, recover) = (ConfirmationPurpose::Confirm, ConfirmationPurpose::Recover);
    let (ann, bob) = commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        for (account, purpose, code, millis) in [
            (ann, recover, "one", 10),
            (ann, recover, "two", 30),
            (ann, recover, "three", 20),
            (ann, confirm, "four", 40),
            (bob, recover, "five", 50),
        ] {
            unit.insert_confirmation(&confirmation(account, purpose, code, millis))
                .await?;
        }
        (ann, bob)
    });
    let mut reader = store.reader();
    let found = reader.last_confirmation(ann, recover).await?;
    ensure!(
        found == Some(confirmation(ann, recover, "two", 30)),
        "the last code came back as {found:?}"
    );
    ensure!(
        reader.last_confirmation(bob, confirm).await?.is_none(),
        "a code that was never sent is there"
    );
    commit!(store, |unit| {
        unit.delete_confirmations(ann, recover).await?;
    });
    for (account, purpose, left) in [(ann, recover, false), (ann, confirm, true), (bob, recover, true)] {
        let found = reader.last_confirmation(account, purpose).await?.is_some();
        ensure!(
            found == left,
            "after the codes for one purpose went, one of {account} for {purpose:?} is there: {found}"
        );
    }
    Ok(())
}

pub(super) async fn confirmations_are_collected_oldest_first(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        for (code, millis) in [("late", 99), ("second", 20), ("first", 10), ("now", 50)] {
            let purpose = ConfirmationPurpose::Confirm;
            unit.insert_confirmation(&confirmation(ann, purpose, code, millis))
                .await?;
        }
    });
    for (limit, removed) in [(0, 0), (1, 1), (9, 1), (9, 0)] {
        let seen = commit!(store, |unit| { unit.collect_confirmations(at(50), limit).await? });
        ensure!(
            seen == removed,
            "a collection of at most {limit} codes says {seen}, not {removed}"
        );
    }
    commit!(store, |unit| {
        for (code, left) in [("late", true), ("second", false), ("first", false), ("now", true)] {
            let found = unit.take_confirmation(code).await?.is_some();
            ensure!(
                found == left,
                "after collections the code {code} is there: {found}"
            );
        }
    });
    Ok(())
}

pub(super) async fn stars_are_paged_by_path(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let sorted = ["a-b/c", "a/a", "a/b", "a/b/c", "b/a"];
    let (ann, bob, unstarred) = commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        for path in ["b/a", "a/b", "a-b/c", "a/b/c", "a/a"] {
            let repository = repository(unit, path, Visibility::Public).await?;
            for expected in [true, false] {
                let starred = unit.star(ann, repository).await?;
                ensure!(starred == expected, "marking a repository said {starred}");
            }
        }
        let unstarred = repository(unit, "a/unstarred", Visibility::Private).await?;
        unit.star(bob, unstarred).await?;
        unit.star(ann, unstarred).await?;
        (ann, bob, unstarred)
    });
    commit!(store, |unit| {
        for expected in [true, false] {
            let unstarred = unit.unstar(ann, unstarred).await?;
            ensure!(unstarred == expected, "taking the mark away said {unstarred}");
        }
    });
    let mut reader = store.reader();
    for size in [1, 2, 9] {
        let found = by_pages!(size, |page| reader.stars(ann, &page), |last| last.path.clone());
        let paths: Vec<_> = found.iter().map(|starred| starred.path.as_str()).collect();
        ensure!(paths == sorted, "by pages of {size} what is marked is {paths:?}");
    }
    let page = PageRequest::new(None, 9);
    let found = reader.stars(bob, &page).await?;
    ensure!(
        found.len() == 1 && found[0].visibility == Visibility::Private,
        "another one's marks are {found:?}"
    );
    Ok(())
}

fn change(subject: &str, millis: i64) -> Change {
    Change {
        subject: subject.to_owned(),
        at: at(millis),
    }
}

pub(super) async fn changes_are_listed_from_a_time_on(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    commit!(store, |unit| {
        for (subject, millis) in [("c", 30), ("a", 10), ("A", 20), ("b", 25), ("a", 40)] {
            unit.change(subject, at(millis)).await?;
        }
        let seen = unit.changes(at(40)).await?;
        ensure!(
            seen == [change("a", 40)],
            "a unit of work sees {seen:?} of its changes"
        );
    });
    let all = [change("A", 20), change("b", 25), change("c", 30), change("a", 40)];
    let mut reader = store.reader();
    for (since, expected) in [(0, &all[..]), (25, &all[1..]), (26, &all[2..]), (41, &[])] {
        let seen = reader.changes(at(since)).await?;
        ensure!(seen == expected, "since {since} the changes are {seen:?}");
    }
    commit!(store, |unit| {
        unit.forget_changes(at(25)).await?;
    });
    let seen = reader.changes(at(0)).await?;
    ensure!(
        seen == all[1..],
        "with those before 25 forgotten the changes are {seen:?}"
    );
    Ok(())
}

pub(super) async fn a_change_never_moves_back(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    // Two processes' clocks differ: who is behind must not make the other's change unfelt.
    for (now, kept) in [(50, 50), (20, 50), (50, 50), (60, 60), (59, 60)] {
        commit!(store, |unit| { unit.change("subject", at(now)).await? });
        let seen = store.reader().changes(at(0)).await?;
        ensure!(
            seen == [change("subject", kept)],
            "a change at {now} left {seen:?}, not one at {kept}"
        );
    }
    Ok(())
}

pub(super) async fn the_action_log_takes_entries(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let mut unit = store.begin_accounts().await?;
    organization(unit.accounts(), "acme").await?;
    let app = repository(unit.accounts(), "acme/app", Visibility::Private).await?;
    let mut full = LogEntry::new(LogKind::CreateRepo, at(1), json!({ "text": TEXTS[0] }));
    full.namespace = Some("acme".to_owned());
    full.performer = Some("nobody-of-that-name".to_owned());
    full.repository = Some(app);
    full.address = Some(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let bare = LogEntry::new(LogKind::LoginFailure, at(2), json!({}));
    for entry in [&full, &bare] {
        unit.accounts().log(entry).await?;
    }
    if let Some(log) = unit.action_log() {
        log.append(&[]).await?;
        let many: Vec<_> = (0..120)
            .map(|index| {
                if index % 2 == 0 {
                    full.clone()
                } else {
                    bare.clone()
                }
            })
            .collect();
        log.append(&many).await?;
    }
    unit.commit().await?;
    Ok(())
}
