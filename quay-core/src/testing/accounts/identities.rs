//! Users, organizations and robots.

use std::sync::Arc;

use super::{
    Outcome, Store, TEXTS, at, by_pages, commit, insert, name, names, new_account, organization, raced,
    repository, robot, store, team, there, token, user,
};
use crate::accounts::{
    Account, AccountCursor, AccountFilter, AccountKey, AccountKind, Grantee, RepositoryRole, TeamRole,
};
use crate::error::StoreErrorKind;
use crate::metadata::{PageRequest, Visibility};
use crate::testing::{Failure, Instance, ensure};

/// An account with a value in every field.
fn full(name: &str) -> Account {
    let text = |index: usize| Some(TEXTS[index].to_owned());
    Account {
        email: Some(format!("{name}@example.com")),
        password_hash: Some("$2b$hash".to_owned()),
        verified: true,
        enabled: false,
        tag_expiration_s: 86_400,
        invalid_logins: 3,
        last_invalid_login: Some(at(5)),
        invoice_email: true,
        invoice_email_address: Some("bills@example.com".to_owned()),
        given_name: text(0),
        family_name: text(1),
        company: text(2),
        location: text(3),
        last_accessed: Some(at(7)),
        description: TEXTS[0].to_owned(),
        metadata: "{\"key\":\"Grüße\"}".to_owned(),
        robot_token: Some("sealed".to_owned()),
        federation: Some("[]".to_owned()),
        ..new_account(AccountKind::User, name)
    }
}

pub(super) async fn an_account_comes_back_as_it_was_stored(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let mut account = full("ann");
    commit!(store, |unit| {
        account.id = insert(unit, &account).await?;
        let seen = unit.account(AccountKey::Name("ann")).await?;
        ensure!(
            seen.as_ref() == Some(&account),
            "a unit of work does not see its own account"
        );
        user(unit, "bob").await?;
    });
    let mut reader = store.reader();
    let email = account.email.clone().unwrap_or_default();
    for key in [
        AccountKey::Id(account.id),
        AccountKey::Name("ann"),
        AccountKey::Email(&email),
        AccountKey::Uuid(&account.uuid),
    ] {
        let seen = there(reader.account(key).await?, "a stored account")?;
        ensure!(
            seen == account,
            "by {key:?} an account came back with other fields than it was stored with"
        );
    }
    for key in [
        AccountKey::Id(account.id + 1000),
        AccountKey::Name("cid"),
        AccountKey::Email("ann"),
        AccountKey::Uuid("ann"),
    ] {
        ensure!(reader.account(key).await?.is_none(), "{key:?} is somebody");
    }
    let bare = Account {
        id: account.id,
        owner: None,
        ..new_account(AccountKind::Organization, "ann2")
    };
    commit!(store, |unit| {
        ensure!(unit.save_account(&bare).await?, "an account could not be saved");
        unit.touch_account(bare.id, at(9)).await?;
    });
    let seen = there(reader.account(AccountKey::Id(bare.id)).await?, "a saved account")?;
    ensure!(
        seen.last_accessed == Some(at(9)),
        "an account that was used says {:?}",
        seen.last_accessed
    );
    let seen = Account {
        last_accessed: None,
        ..seen
    };
    ensure!(seen == bare, "a saved account came back with other fields");
    let old = reader.account(AccountKey::Name("ann")).await?;
    ensure!(old.is_none(), "an account is found by a name that it has no more");
    Ok(())
}

pub(super) async fn names_and_addresses_are_taken_once(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let address = |name: &str, email: &str| Account {
        email: Some(email.to_owned()),
        ..new_account(AccountKind::User, name)
    };
    commit!(store, |unit| {
        insert(unit, &address("ann", "ann@example.com")).await?;
        insert(unit, &address("bob", "bob@example.com")).await?;
        // Any number of accounts has no address.
        organization(unit, "acme").await?;
        organization(unit, "other").await?;
    });
    let mut unit = store.begin_accounts().await?;
    let accounts = unit.accounts();
    for (taken, what) in [
        (address("ann", "new@example.com"), "name"),
        (address("acme", "new@example.com"), "organization's name"),
        (address("new", "ann@example.com"), "address"),
        (address("ann", "bob@example.com"), "name and address"),
    ] {
        let taken = Account {
            uuid: token("another"),
            ..taken
        };
        let id = accounts.insert_account(&taken).await?;
        ensure!(id.is_none(), "a {what} was given to a second account");
    }
    let bob = there(accounts.account(AccountKey::Name("bob")).await?, "bob")?;
    for (name, email, saved) in [
        ("ann", "bob@example.com", false),
        ("bob", "ann@example.com", false),
        ("bob", "bob@example.com", true),
        ("bob2", "bob2@example.com", true),
    ] {
        let changed = Account {
            name: name.to_owned(),
            email: Some(email.to_owned()),
            ..bob.clone()
        };
        let done = accounts.save_account(&changed).await?;
        ensure!(done == saved, "saving bob as {name}, {email} said {done}");
        let seen = there(accounts.account(AccountKey::Id(bob.id)).await?, "bob")?;
        let expected = if saved { &changed } else { &bob };
        ensure!(
            seen.name == expected.name && seen.email == expected.email,
            "after saving bob as {name}, {email} he is {}, {:?}",
            seen.name,
            seen.email
        );
    }
    let freed = Account {
        uuid: token("another"),
        ..address("bob", "bob@example.com")
    };
    let id = accounts.insert_account(&freed).await?;
    ensure!(id.is_some(), "a name that was given up is not free");
    unit.commit().await?;
    let same_uuid = Account {
        uuid: bob.uuid.clone(),
        ..address("somebody", "somebody@example.com")
    };
    let mut unit = store.begin_accounts().await?;
    match unit.accounts().insert_account(&same_uuid).await {
        Err(error) if error.kind() == StoreErrorKind::Conflict => Ok(()),
        other => Err(Failure::new(format!(
            "a uuid that is there already was answered with {other:?}"
        ))),
    }
}

pub(super) async fn names_are_compared_bytewise(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let stored = ["ann", "Ann", "änn", "ånn"];
    commit!(store, |unit| {
        for name in stored {
            let mut account = new_account(AccountKind::User, name);
            account.email = Some(format!("{name}@example.com"));
            insert(unit, &account).await?;
        }
    });
    let mut reader = store.reader();
    for name in stored {
        let found = there(reader.account(AccountKey::Name(name)).await?, name)?;
        ensure!(found.name == name, "{name} is {}", found.name);
        let email = format!("{name}@example.com");
        let found = there(reader.account(AccountKey::Email(&email)).await?, &email)?;
        ensure!(found.name == name, "{email} is {}'s", found.name);
    }
    for other in ["ANN", "ann ", " ann", "a\u{308}nn", "ann\0"] {
        // A store may refuse what no name holds.
        let found = reader.account(AccountKey::Name(other)).await.unwrap_or_default();
        ensure!(
            found.is_none(),
            "{other:?} is {:?}",
            found.map(|found| found.name)
        );
    }
    let found = reader.account(AccountKey::Email("ANN@example.com")).await?;
    ensure!(found.is_none(), "an address is found in capitals");
    Ok(())
}

pub(super) async fn racing_insertions_have_one_winner(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    for same_name in [true, false] {
        let store = &store;
        let ids = raced(|racer| async move {
            let (name, email) = if same_name {
                ("same".to_owned(), format!("{racer}@example.com"))
            } else {
                (format!("racer{racer}"), "same@example.com".to_owned())
            };
            let account = Account {
                email: Some(email),
                uuid: token(&format!("{same_name} {racer}")),
                ..new_account(AccountKind::User, &name)
            };
            let mut unit = store.begin_accounts().await?;
            let id = unit.accounts().insert_account(&account).await?;
            unit.commit().await?;
            Ok(id)
        })
        .await?;
        let winners = ids.iter().flatten().count();
        let what = if same_name { "name" } else { "address" };
        ensure!(
            winners == 1,
            "{winners} of 8 at once were given one {what}: {ids:?}"
        );
    }
    let page = PageRequest::new(None, 10);
    let filter = AccountFilter::Users { disabled: true };
    let users = store.reader().accounts(filter, &page).await?;
    ensure!(users.len() == 2, "two races left {} accounts", users.len());
    Ok(())
}

pub(super) async fn racing_renames_have_one_winner(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    commit!(store, |unit| {
        for racer in 0..8 {
            user(unit, &format!("racer{racer}")).await?;
        }
    });
    let racing = &store;
    let saved = raced(|racer| async move {
        let mut unit = racing.begin_accounts().await?;
        let accounts = unit.accounts();
        let own = format!("racer{racer}");
        let Some(mut account) = accounts.account(AccountKey::Name(&own)).await? else {
            return Ok(false);
        };
        "same".clone_into(&mut account.name);
        let saved = accounts.save_account(&account).await?;
        unit.commit().await?;
        Ok(saved)
    })
    .await?;
    let winners = saved.iter().filter(|saved| **saved).count();
    ensure!(winners == 1, "{winners} of 8 at once took one name");
    Ok(())
}

pub(super) async fn accounts_are_paged_by_name(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let mut sorted = ["b", "a-b", "a.b", "a", "ab", "a0", "B", "z_", "a_b", "ä"];
    let owner = commit!(store, |unit| {
        for name in sorted {
            user(unit, name).await?;
            organization(unit, &format!("{name}-org")).await?;
        }
        let off = Account {
            enabled: false,
            ..new_account(AccountKind::User, "off")
        };
        insert(unit, &off).await?;
        let owner = organization(unit, "owner").await?;
        let other = organization(unit, "owner2").await?;
        for name in sorted {
            robot(unit, owner, &format!("owner+{name}")).await?;
        }
        robot(unit, other, "owner2+c").await?;
        owner
    });
    sorted.sort_unstable();
    let with = |before: &str, behind: &str, more: &[&str]| {
        let mut all: Vec<String> = sorted
            .iter()
            .map(|name| format!("{before}{name}{behind}"))
            .chain(more.iter().map(|name| (*name).to_owned()))
            .collect();
        all.sort_unstable();
        all
    };
    let mut reader = store.reader();
    for (filter, expected) in [
        (AccountFilter::Users { disabled: false }, with("", "", &[])),
        (AccountFilter::Users { disabled: true }, with("", "", &["off"])),
        (
            AccountFilter::Organizations,
            with("", "-org", &["owner", "owner2"]),
        ),
        (AccountFilter::RobotsOf(owner), with("owner+", "", &[])),
    ] {
        for size in [1, 3, 100] {
            let found = by_pages!(size, |page| reader.accounts(filter, &page), |last| {
                AccountCursor::from(last)
            });
            ensure!(
                names(&found) == expected,
                "by pages of {size} {filter:?} are {:?}",
                names(&found)
            );
        }
        let none = reader.accounts(filter, &PageRequest::new(None, 0)).await?;
        ensure!(none.is_empty(), "a page of nothing has {:?}", names(&none));
    }
    // The last one of a page may be gone by the time of the next.
    let gone = AccountCursor {
        id: i64::MAX,
        name: "aa".to_owned(),
    };
    let page = PageRequest::new(Some(gone), 2);
    let found = reader
        .accounts(AccountFilter::Users { disabled: false }, &page)
        .await?;
    ensure!(
        names(&found) == ["ab", "b"],
        "behind a name that is not there come {:?}",
        names(&found)
    );
    Ok(())
}

pub(super) async fn members_are_paged_by_id(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (acme, first, ann) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let other = organization(unit, "other").await?;
        let zoe = user(unit, "zoe").await?;
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        let stranger = user(unit, "stranger").await?;
        let build = robot(unit, acme, "acme+build").await?;
        let first = team(unit, acme, "first", TeamRole::Member, &[bob, ann, zoe]).await?;
        team(unit, acme, "second", TeamRole::Admin, &[build, ann]).await?;
        team(unit, acme, "third", TeamRole::Creator, &[ann]).await?;
        team(unit, other, "first", TeamRole::Admin, &[stranger, ann]).await?;
        (acme, first, ann)
    });
    let mut reader = store.reader();
    // Robots may be in teams, but are no members.
    let members = vec!["zoe", "ann", "bob"];
    for (filter, expected) in [
        (AccountFilter::MembersOf(acme), members),
        (AccountFilter::InTeam(first), vec!["zoe", "ann", "bob"]),
        (AccountFilter::OrganizationsOf(ann), vec!["acme", "other"]),
    ] {
        for size in [1, 2, 100] {
            let found = by_pages!(size, |page| reader.accounts(filter, &page), |last| {
                AccountCursor::from(last)
            });
            ensure!(
                names(&found) == expected,
                "by pages of {size} {filter:?} are {:?}",
                names(&found)
            );
        }
    }
    commit!(store, |unit| {
        let mut other = there(unit.account(AccountKey::Name("other")).await?, "other")?;
        other.enabled = false;
        unit.save_account(&other).await?;
    });
    let found = reader
        .accounts(AccountFilter::OrganizationsOf(ann), &PageRequest::new(None, 9))
        .await?;
    ensure!(
        names(&found) == ["acme"],
        "with one switched off somebody's organizations are {:?}",
        names(&found)
    );
    Ok(())
}

pub(super) async fn collaborators_are_in_no_team(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let acme = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let zoe = user(unit, "zoe").await?;
        let ann = user(unit, "ann").await?;
        let member = user(unit, "member").await?;
        let elsewhere = user(unit, "elsewhere").await?;
        let build = robot(unit, acme, "acme+build").await?;
        team(unit, acme, "devs", TeamRole::Member, &[member]).await?;
        let other = organization(unit, "other").await?;
        team(unit, other, "devs", TeamRole::Member, &[ann]).await?;
        for (path, accounts) in [
            ("acme/one", vec![zoe, ann, member, build]),
            ("acme/two", vec![ann]),
            ("acme2/one", vec![elsewhere]),
        ] {
            let repository = repository(unit, path, Visibility::Private).await?;
            for account in accounts {
                unit.set_grant(repository, Grantee::Account(account), RepositoryRole::Read)
                    .await?;
            }
        }
        acme
    });
    let filter = AccountFilter::CollaboratorsOf {
        organization: acme,
        namespace: "acme",
    };
    let mut reader = store.reader();
    for size in [1, 9] {
        let found = by_pages!(size, |page| reader.accounts(filter, &page), |last| {
            AccountCursor::from(last)
        });
        ensure!(
            names(&found) == ["zoe", "ann"],
            "by pages of {size} the collaborators are {:?}",
            names(&found)
        );
    }
    Ok(())
}

pub(super) async fn a_prefix_is_taken_literally(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let acme = commit!(store, |unit| {
        for name in ["a_b", "axb", "a%b", "a-b", "A_b", "a\\b", "ac", "b"] {
            user(unit, name).await?;
        }
        let off = Account {
            enabled: false,
            ..new_account(AccountKind::User, "a_off")
        };
        insert(unit, &off).await?;
        let acme = organization(unit, "acme").await?;
        let other = organization(unit, "acme2").await?;
        for (owner, name) in [(acme, "acme+a"), (acme, "acme+b"), (other, "acme2+a")] {
            robot(unit, owner, name).await?;
        }
        acme
    });
    let mut reader = store.reader();
    for (prefix, robots_of, organizations, expected) in [
        ("a_", None, true, vec!["a_b"]),
        ("a%", None, true, vec!["a%b"]),
        ("a\\", None, true, vec!["a\\b"]),
        ("b", None, true, vec!["b"]),
        ("bb", None, true, vec![]),
        ("ac", None, false, vec!["ac"]),
        ("ac", None, true, vec!["ac", "acme", "acme2"]),
        ("ac", Some(acme), false, vec!["ac", "acme+a", "acme+b"]),
        (
            "ac",
            Some(acme),
            true,
            vec!["ac", "acme", "acme+a", "acme+b", "acme2"],
        ),
        ("acme+", Some(acme), true, vec!["acme+a", "acme+b"]),
        (
            "",
            None,
            false,
            vec!["A_b", "a%b", "a-b", "a\\b", "a_b", "ac", "axb", "b"],
        ),
    ] {
        let filter = AccountFilter::Prefix {
            prefix,
            robots_of,
            organizations,
        };
        for size in [1, 2, 100] {
            let found = by_pages!(size, |page| reader.accounts(filter, &page), |last| {
                AccountCursor::from(last)
            });
            ensure!(
                names(&found) == expected,
                "by pages of {size} {filter:?} are {:?}",
                names(&found)
            );
        }
    }
    Ok(())
}

pub(super) async fn units_that_lock_an_account_follow_one_another(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = store(instance);
    let id = commit!(store, |unit| { user(unit, "ann").await? });
    let racing = &store;
    let counted = raced(|_| async move {
        let mut unit = racing.begin_accounts().await?;
        let accounts = unit.accounts();
        let locked = accounts.lock_account(id).await?;
        let Some(mut account) = accounts.account(AccountKey::Id(id)).await? else {
            return Ok(false);
        };
        account.invalid_logins += 1;
        let saved = accounts.save_account(&account).await?;
        unit.commit().await?;
        Ok(locked && saved)
    })
    .await?;
    ensure!(
        counted.iter().all(|counted| *counted),
        "an account that is there could not be locked and saved"
    );
    let ann = there(store.reader().account(AccountKey::Id(id)).await?, "ann")?;
    ensure!(
        ann.invalid_logins == 8,
        "of 8 changes made under a lock {} are left",
        ann.invalid_logins
    );
    Ok(())
}

pub(super) async fn of_first_accounts_at_once_one_is_first(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let racing = &store;
    let first = raced(|racer| async move {
        let mut unit = racing.begin_accounts().await?;
        let accounts = unit.accounts();
        accounts.lock_beginnings().await?;
        if accounts.any_account().await? {
            return Ok(false);
        }
        let account = new_account(AccountKind::User, &format!("first{racer}"));
        let inserted = accounts.insert_account(&account).await?.is_some();
        unit.commit().await?;
        Ok(inserted)
    })
    .await?;
    let winners = first.iter().filter(|first| **first).count();
    ensure!(
        winners == 1,
        "of 8 units of work that locked the beginnings {winners} found no account"
    );
    let changes = store.reader().changes(at(0)).await?;
    ensure!(changes.is_empty(), "the lock is told as a change: {changes:?}");
    Ok(())
}

pub(super) async fn ids_are_never_used_again(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let id = commit!(store, |unit| { user(unit, "ann").await? });
        ensure!(id > 0, "an account has the id {id}");
        ensure!(!seen.contains(&id), "{id} is used again after {seen:?}");
        seen.push(id);
        commit!(store, |unit| {
            let ann = there(unit.account(AccountKey::Id(id)).await?, "ann")?;
            unit.delete_account(&ann, at(1)).await?;
        });
    }
    Ok(())
}

pub(super) async fn an_empty_store_says_so(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let mut reader = store.reader();
    ensure!(!reader.any_account().await?, "an empty store has accounts");
    ensure!(
        !reader.has_repositories("ann").await?,
        "an empty store has repositories"
    );
    commit!(store, |unit| {
        user(unit, "ann").await?;
        ensure!(
            unit.any_account().await?,
            "a unit of work does not see its own account"
        );
    });
    ensure!(reader.any_account().await?, "an account does not count");
    ensure!(
        !reader.has_repositories("ann").await?,
        "a user without repositories has some"
    );
    commit!(store, |unit| {
        repository(unit, "ann/app", Visibility::Private).await?;
        repository(unit, "ann2/app", Visibility::Private).await?;
    });
    for (namespace, expected) in [("ann", true), ("ann2", true), ("an", false), ("ann3", false)] {
        let seen = reader.has_repositories(namespace).await?;
        ensure!(seen == expected, "that {namespace} has repositories is {seen}");
    }
    Ok(())
}

pub(super) async fn what_is_not_committed_never_was(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    commit!(store, |unit| { user(unit, "ann").await? });
    {
        let mut unit = store.begin_accounts().await?;
        let accounts = unit.accounts();
        let acme = organization(accounts, "acme").await?;
        let mut ann = there(accounts.account(AccountKey::Name("ann")).await?, "ann")?;
        "changed".clone_into(&mut ann.description);
        accounts.save_account(&ann).await?;
        let team = team(accounts, acme, "devs", TeamRole::Admin, &[ann.id]).await?;
        let app = repository(accounts, "acme/app", Visibility::Public).await?;
        accounts
            .set_grant(app, Grantee::Team(team), RepositoryRole::Read)
            .await?;
        accounts.star(ann.id, app).await?;
        accounts.change("subject", at(1)).await?;
        let standing = accounts.standing(ann.id, "acme", Some(app)).await?;
        ensure!(
            standing.team_role == Some(TeamRole::Admin) && standing.by_team == Some(RepositoryRole::Read),
            "a unit of work does not see its own changes: {standing:?}"
        );
        let starred = accounts.stars(ann.id, &PageRequest::new(None, 9)).await?;
        ensure!(
            starred.len() == 1,
            "a unit of work sees {} of its own star",
            starred.len()
        );
    }
    let mut reader = store.reader();
    let ann = there(reader.account(AccountKey::Name("ann")).await?, "ann")?;
    ensure!(ann.description.is_empty(), "a dropped change is there");
    ensure!(
        reader.account(AccountKey::Name("acme")).await?.is_none(),
        "a dropped organization is there"
    );
    ensure!(
        reader.teams_of(ann.id, None).await?.is_empty(),
        "a dropped membership is there"
    );
    ensure!(
        store.repository(&name("acme/app")?).await?.is_none(),
        "a dropped repository is there"
    );
    ensure!(
        reader.changes(at(0)).await?.is_empty(),
        "a dropped change is felt"
    );
    let starred = reader.stars(ann.id, &PageRequest::new(None, 9)).await?;
    ensure!(starred.is_empty(), "a dropped star is there");
    commit!(store, |unit| { organization(unit, "acme").await? });
    Ok(())
}

pub(super) async fn an_open_unit_of_work_is_seen_by_nobody(instance: &mut dyn Instance<Store>) -> Outcome {
    let store: Arc<Store> = store(instance);
    let mut unit = store.begin_accounts().await?;
    let id = user(unit.accounts(), "ann").await?;
    let mut reader = store.reader();
    ensure!(
        reader.account(AccountKey::Id(id)).await?.is_none(),
        "an account is seen before its unit of work has committed"
    );
    unit.commit().await?;
    ensure!(
        reader.account(AccountKey::Id(id)).await?.is_some(),
        "a reader that was made earlier does not see a commit"
    );
    Ok(())
}

pub(super) async fn accounts_survive_the_process(instance: &mut dyn Instance<Store>) -> Outcome {
    let first = store(instance);
    commit!(first, |unit| { user(unit, "ann").await? });
    drop(first);
    let store = instance
        .reopen()
        .await
        .ok_or(Failure::NotApplicable("outliving the process"))?;
    let found = store.reader().account(AccountKey::Name("ann")).await?;
    there(found, "an account after a restart")?;
    commit!(store, |unit| { user(unit, "bob").await? });
    Ok(())
}
