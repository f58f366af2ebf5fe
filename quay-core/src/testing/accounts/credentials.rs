//! Tokens, and the applications that ask for them.

use super::{
    Outcome, Store, TEXTS, at, by_pages, commit, new_application, new_assignment, new_code, new_oauth_token,
    organization, raced, repository, store, there, token, user,
};
use crate::accounts::{
    AccessToken, AccountId, AppToken, AppTokenKey, AuthorizationCode, OAuthTokenFilter, OAuthTokenKey,
    RepositoryRole,
};
use crate::metadata::{PageRequest, Visibility};
use crate::runtime::Timestamp;
use crate::testing::{Failure, Instance, ensure};

fn app_token(account: AccountId, seed: &str, expires: Option<Timestamp>) -> AppToken {
    AppToken {
        id: 0,
        uuid: token(&format!("uuid {seed}")),
        account,
        title: TEXTS[0].to_owned(),
        name: token(seed),
        secret: format!("secret of {seed}"),
        created: at(1),
        expires,
        last_accessed: None,
    }
}

pub(super) async fn app_tokens_are_kept(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (ann, bob) = commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        for (account, seed) in [(ann, "e"), (bob, "d"), (ann, "c"), (bob, "b"), (ann, "a")] {
            let expires = (seed == "e").then(|| at(50));
            unit.insert_app_token(&app_token(account, seed, expires)).await?;
        }
        (ann, bob)
    });
    let mut reader = store.reader();
    let (name, uuid) = (token("e"), token("uuid e"));
    let mut expected = app_token(ann, "e", Some(at(50)));
    for key in [AppTokenKey::Name(&name), AppTokenKey::Uuid(&uuid)] {
        let found = there(reader.app_token(key).await?, "an app token")?;
        expected.id = found.id;
        ensure!(
            found.id != 0 && found == expected,
            "by {key:?} a token came back as {found:?}"
        );
    }
    for key in [AppTokenKey::Name(&uuid), AppTokenKey::Uuid(&name)] {
        ensure!(reader.app_token(key).await?.is_none(), "{key:?} is a token");
    }
    for (account, expected) in [
        (Some(ann), vec!["e", "c", "a"]),
        (Some(bob), vec!["d", "b"]),
        (None, vec!["e", "d", "c", "b", "a"]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(token).collect();
        for size in [1, 2, 9] {
            let found = by_pages!(size, |page| reader.app_tokens(account, &page), |last| last.id);
            let names: Vec<_> = found.into_iter().map(|token| token.name).collect();
            ensure!(
                names == expected,
                "by pages of {size} the tokens of {account:?} are {names:?}"
            );
        }
    }
    commit!(store, |unit| {
        unit.touch_app_token(expected.id, at(7)).await?;
    });
    let found = there(reader.app_token(AppTokenKey::Name(&name)).await?, "an app token")?;
    ensure!(
        found.last_accessed == Some(at(7)),
        "a token that was used says {:?}",
        found.last_accessed
    );
    commit!(store, |unit| {
        unit.delete_app_token(expected.id).await?;
    });
    let found = reader.app_token(AppTokenKey::Name(&name)).await?;
    ensure!(found.is_none(), "a deleted token is there");
    let left = reader.app_tokens(None, &PageRequest::new(None, 9)).await?.len();
    ensure!(left == 4, "of 5 tokens without one {left} are left");
    Ok(())
}

pub(super) async fn app_tokens_that_end_are_paged_by_id(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let ann = commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        for (account, seed, expires) in [
            (ann, "e", Some(at(50))),
            (bob, "d", Some(at(10))),
            (ann, "c", None),
            (ann, "b", Some(at(51))),
            (ann, "a", Some(at(0))),
        ] {
            unit.insert_app_token(&app_token(account, seed, expires)).await?;
        }
        ann
    });
    let mut reader = store.reader();
    for (account, expected) in [(Some(ann), vec!["e", "a"]), (None, vec!["e", "d", "a"])] {
        let expected: Vec<_> = expected.into_iter().map(token).collect();
        for size in [1, 2, 9] {
            let found = by_pages!(
                size,
                |page| reader.app_tokens_ending(account, at(50), &page),
                |last| last.id
            );
            let names: Vec<_> = found.into_iter().map(|token| token.name).collect();
            ensure!(
                names == expected,
                "by pages of {size} the tokens of {account:?} that end are {names:?}"
            );
        }
    }
    Ok(())
}

pub(super) async fn codes_are_collected_oldest_first(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let ann = user(unit, "ann").await?;
        let application = unit.insert_application(&new_application(acme, "client")).await?;
        for (seed, expires) in [("late", 99), ("second", 20), ("first", 10), ("now", 50)] {
            let code = AuthorizationCode {
                expires: at(expires),
                ..new_code(application, ann, seed)
            };
            unit.insert_code(&code).await?;
        }
    });
    for (limit, removed) in [(0, 0), (1, 1), (9, 1), (9, 0)] {
        let seen = commit!(store, |unit| { unit.collect_codes(at(50), limit).await? });
        ensure!(
            seen == removed,
            "a collection of at most {limit} codes says {seen}, not {removed}"
        );
    }
    commit!(store, |unit| {
        for (seed, left) in [("late", true), ("second", false), ("first", false), ("now", true)] {
            let found = unit.take_code(&token(seed)).await?.is_some();
            ensure!(
                found == left,
                "after collections the code {seed} is there: {found}"
            );
        }
    });
    Ok(())
}

pub(super) async fn app_tokens_are_collected_oldest_first(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        for (seed, expires) in [
            ("late", Some(at(99))),
            ("third", Some(at(30))),
            ("first", Some(at(10))),
            ("never", None),
            ("second", Some(at(20))),
            ("now", Some(at(50))),
        ] {
            unit.insert_app_token(&app_token(ann, seed, expires)).await?;
        }
    });
    for (limit, removed, left) in [
        (0, 0, vec!["late", "third", "first", "never", "second", "now"]),
        (2, 2, vec!["late", "third", "never", "now"]),
        (9, 1, vec!["late", "never", "now"]),
        (9, 0, vec!["late", "never", "now"]),
    ] {
        let seen = commit!(store, |unit| { unit.collect_app_tokens(at(50), limit).await? });
        ensure!(
            seen == removed,
            "a collection of at most {limit} says {seen}, not {removed}"
        );
        let found = store
            .reader()
            .app_tokens(None, &PageRequest::new(None, 9))
            .await?;
        let names: Vec<_> = found.into_iter().map(|token| token.name).collect();
        let expected: Vec<_> = left.into_iter().map(token).collect();
        ensure!(
            names == expected,
            "a collection of at most {limit} left {} tokens, or others than the latest",
            names.len()
        );
    }
    Ok(())
}

pub(super) async fn access_tokens_are_kept(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let mut stored = commit!(store, |unit| {
        let app = repository(unit, "acme/app", Visibility::Private).await?;
        let stored = AccessToken {
            id: 0,
            repository: app,
            path: "acme/app".to_owned(),
            friendly_name: TEXTS[0].to_owned(),
            name: token("access"),
            code: "sealed".to_owned(),
            role: RepositoryRole::Write,
            created: at(3),
        };
        unit.insert_access_token(&stored).await?;
        stored
    });
    let mut reader = store.reader();
    let found = there(reader.access_token(&stored.name).await?, "an access token")?;
    stored.id = found.id;
    ensure!(
        found.id != 0 && found == stored,
        "an access token came back as {found:?}"
    );
    let none = reader.access_token(&token("other")).await?;
    ensure!(none.is_none(), "an unknown name is {none:?}");
    Ok(())
}

pub(super) async fn applications_are_kept(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (acme, other, ann, mut first, second) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let other = organization(unit, "other").await?;
        let ann = user(unit, "ann").await?;
        let mut stored = Vec::new();
        for (organization, client) in [(acme, "z"), (acme, "a"), (other, "m")] {
            let mut application = new_application(organization, client);
            application.id = unit.insert_application(&application).await?;
            unit.insert_oauth_token(&new_oauth_token(application.id, ann, client))
                .await?;
            unit.insert_code(&new_code(application.id, ann, client)).await?;
            stored.push(application);
        }
        (acme, other, ann, stored[0].clone(), stored[1].clone())
    });
    let mut reader = store.reader();
    let found = reader.application(&first.client_id).await?;
    ensure!(
        found.as_ref() == Some(&first),
        "an application came back as {found:?}"
    );
    let found = reader.applications(acme).await?;
    ensure!(
        found == [first.clone(), second.clone()],
        "the applications are {found:?}"
    );
    ensure!(
        reader.applications(other).await?.len() == 1,
        "another organization's are mixed up"
    );
    TEXTS[1].clone_into(&mut first.name);
    "new secret".clone_into(&mut first.client_secret);
    TEXTS[2].clone_into(&mut first.description);
    "https://example.org".clone_into(&mut first.application_uri);
    String::new().clone_into(&mut first.redirect_uri);
    first.avatar_email = None;
    commit!(store, |unit| {
        unit.save_application(&first).await?;
        unit.delete_application(second.id).await?;
    });
    let found = reader.applications(acme).await?;
    ensure!(found == [first], "after a change the applications are {found:?}");
    let page = PageRequest::new(None, 9);
    let tokens = reader.oauth_tokens(OAuthTokenFilter::Account(ann), &page).await?;
    ensure!(
        tokens.len() == 2,
        "of 3 applications' tokens without one's {} are left",
        tokens.len()
    );
    commit!(store, |unit| {
        for (seed, expected) in [("a", false), ("z", true), ("m", true)] {
            let seen = unit.take_code(&token(seed)).await?.is_some();
            ensure!(seen == expected, "that {seed}'s code is there is {seen}");
        }
    });
    Ok(())
}

pub(super) async fn oauth_tokens_are_kept(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (ann, bob, first, second) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        let first = unit.insert_application(&new_application(acme, "first")).await?;
        let second = unit.insert_application(&new_application(acme, "second")).await?;
        for (application, account, seed) in [
            (first, ann, "e"),
            (second, ann, "d"),
            (first, bob, "c"),
            (first, ann, "b"),
        ] {
            unit.insert_oauth_token(&new_oauth_token(application, account, seed))
                .await?;
        }
        (ann, bob, first, second)
    });
    let mut reader = store.reader();
    let (name, uuid) = (token("e"), token("uuid e"));
    let mut expected = new_oauth_token(first, ann, "e");
    for key in [OAuthTokenKey::Name(&name), OAuthTokenKey::Uuid(&uuid)] {
        let (found, application) = there(reader.oauth_token(key).await?, "an OAuth token")?;
        expected.id = found.id;
        ensure!(
            found.id != 0 && found == expected,
            "by {key:?} a token came back as {found:?}"
        );
        ensure!(
            application.id == first && application.client_id == token("first"),
            "a token's application came back as {application:?}"
        );
    }
    for key in [OAuthTokenKey::Name(&uuid), OAuthTokenKey::Uuid(&name)] {
        ensure!(reader.oauth_token(key).await?.is_none(), "{key:?} is a token");
    }
    for (filter, expected) in [
        (OAuthTokenFilter::Account(ann), vec!["e", "d", "b"]),
        (OAuthTokenFilter::Account(bob), vec!["c"]),
        (OAuthTokenFilter::Application(first), vec!["e", "c", "b"]),
        (OAuthTokenFilter::Application(second), vec!["d"]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(token).collect();
        for size in [1, 2, 9] {
            let found = by_pages!(size, |page| reader.oauth_tokens(filter, &page), |last| last.0.id);
            let names: Vec<_> = found.into_iter().map(|(token, _)| token.name).collect();
            ensure!(
                names == expected,
                "by pages of {size} the tokens of {filter:?} are {names:?}"
            );
        }
    }
    commit!(store, |unit| {
        unit.touch_oauth_token(expected.id, at(7)).await?;
    });
    let (found, _) = there(
        reader.oauth_token(OAuthTokenKey::Name(&name)).await?,
        "an OAuth token",
    )?;
    ensure!(
        found.last_accessed == Some(at(7)),
        "a token that was used says {:?}",
        found.last_accessed
    );
    commit!(store, |unit| {
        unit.delete_oauth_token(expected.id).await?;
    });
    let found = reader.oauth_token(OAuthTokenKey::Name(&name)).await?;
    ensure!(found.is_none(), "a deleted token is there");
    Ok(())
}

pub(super) async fn assignments_are_kept(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (ann, bob, first, second) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        let first = unit.insert_application(&new_application(acme, "first")).await?;
        let second = unit.insert_application(&new_application(acme, "second")).await?;
        for (application, account, seed) in [
            (first, ann, "e"),
            (second, ann, "d"),
            (first, bob, "c"),
            (first, ann, "b"),
        ] {
            unit.insert_assignment(&new_assignment(application, account, seed))
                .await?;
        }
        (ann, bob, first, second)
    });
    let mut reader = store.reader();
    let mut expected = new_assignment(first, ann, "e");
    let (found, application) = there(reader.assignment(&expected.uuid).await?, "what asks for a token")?;
    expected.id = found.id;
    ensure!(
        found.id != 0 && found == expected && application.id == first,
        "what asks for a token came back as {found:?} of {application:?}"
    );
    ensure!(
        reader.assignment("other").await?.is_none(),
        "something unknown asks for a token"
    );
    for (filter, seeds) in [
        (OAuthTokenFilter::Account(ann), vec!["e", "d", "b"]),
        (OAuthTokenFilter::Account(bob), vec!["c"]),
        (OAuthTokenFilter::Application(first), vec!["e", "c", "b"]),
        (OAuthTokenFilter::Application(second), vec!["d"]),
    ] {
        let uuids: Vec<_> = seeds
            .iter()
            .map(|seed| new_assignment(first, ann, seed).uuid)
            .collect();
        for size in [1, 2, 9] {
            let found = by_pages!(size, |page| reader.assignments(filter, &page), |last| last.0.id);
            let found: Vec<_> = found.into_iter().map(|(assignment, _)| assignment.uuid).collect();
            ensure!(
                found == uuids,
                "by pages of {size} what {filter:?} is asked for is {found:?}"
            );
        }
    }
    commit!(store, |unit| {
        let removed = unit.delete_assignment(expected.id).await?;
        ensure!(removed, "what asks for a token was not found to be removed");
        let again = unit.delete_assignment(expected.id).await?;
        ensure!(!again, "what asks for a token was removed twice");
    });
    let page = PageRequest::new(None, 9);
    let left = reader
        .assignments(OAuthTokenFilter::Account(ann), &page)
        .await?
        .len();
    ensure!(
        left == 2,
        "of 3 that ask for a token, without one {left} are left"
    );
    commit!(store, |unit| {
        unit.delete_application(second).await?;
        unit.delete_credentials(bob).await?;
    });
    let left = reader
        .assignments(OAuthTokenFilter::Account(ann), &page)
        .await?
        .len();
    ensure!(left == 1, "without an application {left} ask for a token");
    let left = reader.assignments(OAuthTokenFilter::Account(bob), &page).await?;
    ensure!(
        left.is_empty(),
        "without their credentials a user is asked for {left:?}"
    );
    Ok(())
}

/// Stores one code.
async fn code(store: &Store) -> Result<AuthorizationCode, Failure> {
    Ok(commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let ann = user(unit, "ann").await?;
        let application = unit.insert_application(&new_application(acme, "client")).await?;
        let code = new_code(application, ann, "code");
        unit.insert_code(&code).await?;
        code
    }))
}

pub(super) async fn a_code_is_handed_out_once(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let code = code(&*store).await?;
    commit!(store, |unit| {
        let none = unit.take_code(&token("other")).await?;
        ensure!(none.is_none(), "an unknown code is {none:?}");
        let taken = unit.take_code(&code.name).await?;
        ensure!(taken.as_ref() == Some(&code), "a code came back as {taken:?}");
        let again = unit.take_code(&code.name).await?;
        ensure!(again.is_none(), "a code was handed out twice by one unit of work");
    });
    commit!(store, |unit| {
        let again = unit.take_code(&code.name).await?;
        ensure!(again.is_none(), "a code was handed out twice");
    });
    Ok(())
}

pub(super) async fn racing_takers_share_one_code(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let code = code(&*store).await?;
    let (racing, name) = (&store, &code.name);
    let taken = raced(|_| async move {
        let mut unit = racing.begin_accounts().await?;
        let taken = unit.accounts().take_code(name).await?;
        unit.commit().await?;
        Ok(taken)
    })
    .await?;
    let winners = taken.iter().flatten().count();
    ensure!(winners == 1, "{winners} of 8 at once were handed one code");
    Ok(())
}

pub(super) async fn what_a_dropped_unit_took_can_be_taken(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let code = code(&*store).await?;
    {
        let mut unit = store.begin_accounts().await?;
        let taken = unit.accounts().take_code(&code.name).await?;
        there(taken, "a code")?;
    }
    commit!(store, |unit| {
        let taken = unit.take_code(&code.name).await?;
        there(taken, "a code that was taken by a dropped unit of work")?;
    });
    Ok(())
}
