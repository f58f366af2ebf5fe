//! Lists in pages hold every entry once; whole ones hold every entry, however many there are.

use std::collections::BTreeSet;
use std::time::Duration;

use quay_core::RepositoryName;
use quay_core::accounts::{
    Account, AccountKey, AccountKind, AppToken, Grantee, RepositoryRole, Team, TeamInvite, TeamKey, TeamRole,
};
use quay_core::runtime::Clock as _;
use serde_json::Value;

use super::{Browser, without_mail};
use crate::roles::fixture::fresh;
use crate::support::Host;

/// Adds users with a role in `org/app` and a place in the team `members`, and as many robots of `org`.
async fn crowd(host: &Host, size: usize) {
    let store = host.accounts.store();
    let record = store
        .repository(&RepositoryName::from_path("org/app").unwrap())
        .await
        .unwrap();
    let repository = record.unwrap().id;
    let mut unit = store.begin_accounts().await.unwrap();
    let accounts = unit.accounts();
    let org = accounts.account(AccountKey::Name("org")).await.unwrap().unwrap();
    let team = accounts
        .team(TeamKey::Name(org.id, "members"))
        .await
        .unwrap()
        .unwrap();
    for index in 0..size {
        // Names that sort another way than the ids do.
        let name = format!("u{:04}", index * 7919 % 10_000);
        let user = Account::new(AccountKind::User, &name, format!("uuid-{name}"), host.clock.now());
        let id = accounts.insert_account(&user).await.unwrap().unwrap();
        let grantee = Grantee::Account(id);
        accounts
            .set_grant(repository, grantee, RepositoryRole::Read)
            .await
            .unwrap();
        accounts.add_member(team.id, id).await.unwrap();
        let name = format!("org+{name}");
        let mut robot = Account::new(
            AccountKind::Robot,
            &name,
            format!("uuid-{name}"),
            host.clock.now(),
        );
        robot.owner = Some(org.id);
        accounts.insert_account(&robot).await.unwrap().unwrap();
    }
    unit.commit().await.unwrap();
}

/// What a list holds, by whatever tells its entries apart.
fn names(list: &Value) -> Vec<String> {
    if let Value::Object(members) = list {
        return members.keys().cloned().collect();
    }
    let name = |item: &Value| {
        let mut keys = ["name", "uuid"].iter().filter_map(|key| item[*key].as_str());
        keys.next().unwrap().to_owned()
    };
    list.as_array().unwrap().iter().map(name).collect()
}

async fn in_pages(browser: &Browser<'_>, path: &str, member: &str, limit: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let page = browser.read(&format!("{path}limit={limit}{next}")).await;
        let found = names(&page[member]);
        assert!(found.len() <= limit, "{path}: {}", found.len());
        all.extend(found);
        assert!(all.len() < 100_000, "{path} has no end");
        match page.get("next_page") {
            Some(token) => next = format!("&next_page={}", token.as_str().unwrap()),
            None => return all,
        }
    }
}

fn assert_each_once(path: &str, found: &[String], expected: usize) {
    let distinct: BTreeSet<&String> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "{path} holds something twice");
    assert_eq!(found.len(), expected, "{path}");
}

const LISTS: &[(&str, &str, usize)] = &[
    ("/organization/org/members?", "members", 3),
    ("/organization/org/team/members/members?", "members", 1),
    ("/organization/org/robots?", "robots", 1),
    (
        "/organization/org/robots?permissions=true&token=true&",
        "robots",
        1,
    ),
    ("/repository/org/app/permissions/user/?", "permissions", 2),
];

#[tokio::test]
async fn pages_hold_every_entry_once() {
    let host = fresh(without_mail()).await;
    crowd(&host, 30).await;
    let admin = Browser::of(&host, "admin").await;
    for &(path, member, others) in LISTS {
        // Pages that end with the list, before it, and behind it.
        for limit in [1, 7, 10, 29 + others, 30 + others, 31 + others, 1000] {
            let found = in_pages(&admin, path, member, limit).await;
            assert_each_once(path, &found, 30 + others);
        }
        let whole = admin.read(path).await;
        assert!(whole.get("next_page").is_none(), "{path}");
        let whole: BTreeSet<String> = names(&whole[member]).into_iter().collect();
        let paged: BTreeSet<String> = in_pages(&admin, path, member, 4).await.into_iter().collect();
        assert_eq!(whole, paged, "{path}");
    }
    let root = Browser::of(&host, "root").await;
    for limit in [1, 7, 36, 100] {
        let found = in_pages(&root, "/superuser/users/?", "users", limit).await;
        assert_each_once("users", &found, 36);
        let in_order: BTreeSet<String> = found.iter().cloned().collect();
        assert!(found.iter().eq(in_order.iter()), "users come by name");
    }
    for (path, member, count) in [
        (
            "/organization/org/applications/CLIENTCLIENTCLIENTCL/tokens",
            "tokens",
            27,
        ),
        ("/user/authorizations", "authorizations", 18),
    ] {
        let whole = admin.read(path).await;
        assert_eq!(names(&whole[member]).len(), count, "{path}");
    }
    let found = in_pages(&admin, "/user/authorizations?", "authorizations", 3).await;
    assert_each_once("authorizations", &found, 18);
}

#[tokio::test]
async fn whole_lists_hold_every_entry() {
    const SIZE: usize = 3000;
    let host = fresh(without_mail()).await;
    crowd(&host, SIZE).await;
    let admin = Browser::of(&host, "admin").await;
    let root = Browser::of(&host, "root").await;
    for &(path, member, others) in LISTS {
        let found = names(&admin.read(path).await[member]);
        assert_each_once(path, &found, SIZE + others);
    }
    let found = names(&root.read("/superuser/users/").await["users"]);
    assert_each_once("users", &found, SIZE + 6);
}

/// A list that somebody may not see is refused as any other call is, not broken off.
#[tokio::test]
async fn lists_are_refused_before_they_begin() {
    let host = fresh(without_mail()).await;
    let other = Browser::of(&host, "other").await;
    for &(path, ..) in LISTS {
        for limit in ["", "limit=2"] {
            let seen = other.get(&format!("{path}{limit}")).await;
            assert_eq!(
                (seen.status.as_u16(), &seen.json()["status"]),
                (403, &403.into()),
                "{path}"
            );
        }
    }
}

/// A token that means nothing here begins at the first page (`quay-api.md`, 1.5).
#[tokio::test]
async fn tokens_of_pages_count_for_their_list_and_their_time() {
    let host = fresh(without_mail()).await;
    crowd(&host, 10).await;
    let admin = Browser::of(&host, "admin").await;
    let first = admin.read("/organization/org/robots?limit=3").await;
    let token = first["next_page"].as_str().unwrap().to_owned();
    let second = admin
        .read(&format!("/organization/org/robots?limit=3&next_page={token}"))
        .await;
    assert_ne!(names(&first["robots"]), names(&second["robots"]));

    let members = admin.read("/organization/org/members?limit=3").await;
    let with_foreign = format!("/organization/org/members?limit=3&next_page={token}");
    assert_eq!(
        names(&admin.read(&with_foreign).await["members"]),
        names(&members["members"])
    );
    let with_nonsense = "/organization/org/robots?limit=3&next_page=nonsense";
    assert_eq!(
        names(&admin.read(with_nonsense).await["robots"]),
        names(&first["robots"])
    );
    host.clock.advance(Duration::from_hours(48));
    let late = admin
        .read(&format!("/organization/org/robots?limit=3&next_page={token}"))
        .await;
    assert_eq!(names(&late["robots"]), names(&first["robots"]));
}

#[tokio::test]
async fn whoever_is_asked_to_join_is_listed_behind_the_members() {
    let host = fresh(without_mail()).await;
    crowd(&host, 10).await;
    let store = host.accounts.store();
    let mut unit = store.begin_accounts().await.unwrap();
    let accounts = unit.accounts();
    let team = {
        let org = accounts.account(AccountKey::Name("org")).await.unwrap().unwrap();
        let key = TeamKey::Name(org.id, "members");
        accounts.team(key).await.unwrap().unwrap()
    };
    let admin = accounts
        .account(AccountKey::Name("admin"))
        .await
        .unwrap()
        .unwrap();
    for index in 0..5 {
        let invite = TeamInvite {
            id: 0,
            team: team.id,
            account: None,
            email: Some(format!("asked{index}@registry.example")),
            inviter: admin.id,
            code: format!("code{index}"),
        };
        accounts.insert_invite(&invite).await.unwrap();
    }
    unit.commit().await.unwrap();
    let browser = Browser::of(&host, "admin").await;
    let path = "/organization/org/team/members/members?includePending=true";
    let tell = |members: &Value| -> Vec<String> {
        let members = members.as_array().unwrap().iter();
        let name = |member: &Value| {
            let name = member["name"].as_str().or_else(|| member["email"].as_str());
            name.unwrap().to_owned()
        };
        members.map(name).collect()
    };
    let whole = tell(&browser.read(path).await["members"]);
    // Eleven members, the fixture's invitation and five more.
    assert_eq!(whole.len(), 17, "{whole:?}");
    assert!(
        whole[11..].iter().all(|name| name.starts_with("asked")),
        "{whole:?}"
    );
    for limit in [1, 3, 11, 12, 17, 100] {
        let mut seen = Vec::new();
        let mut next = String::new();
        loop {
            let page = browser.read(&format!("{path}&limit={limit}{next}")).await;
            let members = tell(&page["members"]);
            assert!(members.len() <= limit);
            seen.extend(members);
            match page["next_page"].as_str() {
                Some(token) => next = format!("&next_page={token}"),
                None => break,
            }
        }
        assert_eq!(seen, whole, "by pages of {limit}");
    }
    let others = Browser::of(&host, "member").await;
    assert_eq!(tell(&others.read(path).await["members"]).len(), 11);
}

#[tokio::test]
async fn tokens_that_end_soon_are_picked_before_the_page_is_cut() {
    let host = fresh(without_mail()).await;
    let store = host.accounts.store();
    let mut unit = store.begin_accounts().await.unwrap();
    let accounts = unit.accounts();
    let other = accounts
        .account(AccountKey::Name("other"))
        .await
        .unwrap()
        .unwrap();
    for (index, days) in [100, 100, 1, 100, 1, 2].into_iter().enumerate() {
        let token = AppToken {
            id: 0,
            uuid: format!("ends{index}"),
            account: other.id,
            title: format!("ends{index}"),
            name: format!("{index:N<60}"),
            secret: String::new(),
            created: host.clock.now(),
            expires: Some(host.clock.now().plus(Duration::from_hours(days * 24))),
            last_accessed: None,
        };
        accounts.insert_app_token(&token).await.unwrap();
    }
    unit.commit().await.unwrap();
    let browser = Browser::of(&host, "other").await;
    let titles = |tokens: &Value| -> Vec<String> {
        let tokens = tokens.as_array().unwrap().iter();
        tokens
            .map(|token| token["title"].as_str().unwrap().to_owned())
            .collect()
    };
    let path = "/user/apptoken?expiring=true";
    let expected = ["ends2", "ends4", "ends5"];
    assert_eq!(titles(&browser.read(path).await["tokens"]), expected);
    let first = browser.read(&format!("{path}&limit=2")).await;
    assert_eq!(titles(&first["tokens"]), expected[..2]);
    let next = first["next_page"].as_str().unwrap();
    let second = browser.read(&format!("{path}&limit=2&next_page={next}")).await;
    assert_eq!(titles(&second["tokens"]), expected[2..]);
    assert!(second["next_page"].is_null());
}

#[tokio::test]
async fn a_team_is_found_behind_a_thousand_others() {
    let host = fresh(without_mail()).await;
    let store = host.accounts.store();
    let mut unit = store.begin_accounts().await.unwrap();
    let accounts = unit.accounts();
    let org = accounts.account(AccountKey::Name("org")).await.unwrap().unwrap();
    let names = (0..1100).map(|index| format!("aa{index:04}"));
    for name in names.chain(["zz", "zz-a", "zy9", "zz1"].map(ToOwned::to_owned)) {
        let team = Team {
            id: 0,
            organization: org.id,
            name,
            role: TeamRole::Member,
            description: String::new(),
        };
        accounts.insert_team(&team).await.unwrap().unwrap();
    }
    unit.commit().await.unwrap();
    let browser = Browser::of(&host, "admin").await;
    let found = browser.read("/entities/zz?namespace=org&includeTeams=true").await;
    let found = found["results"].as_array().unwrap().iter();
    let found: Vec<_> = found.map(|entity| entity["name"].as_str().unwrap()).collect();
    assert_eq!(found, ["zz", "zz-a", "zz1"]);
}

#[tokio::test]
async fn robots_are_found_by_their_own_names() {
    let host = fresh(without_mail()).await;
    let admin = Browser::of(&host, "admin").await;
    let names = |found: &Value| -> Vec<String> {
        let results = found["results"].as_array().unwrap();
        results
            .iter()
            .map(|entity| entity["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let listed = admin.read("/organization/org/robots").await;
    let robot = listed["robots"][0]["name"].as_str().unwrap().to_owned();
    let (_, own) = robot.split_once('+').unwrap();
    for asked in [own, &own[..1], &robot.replace('+', "%2B")] {
        let found = admin.read(&format!("/entities/{asked}?namespace=org")).await;
        let found = names(&found);
        assert_eq!(
            found.iter().filter(|name| **name == robot).count(),
            1,
            "{asked}: {found:?}"
        );
    }
    // No name holds what no database takes.
    for asked in ["%01", "a%00", "%7F"] {
        let seen = admin.get(&format!("/entities/{asked}?namespace=org")).await;
        assert!(
            matches!(seen.status.as_u16(), 200 | 400 | 404),
            "{asked}: {}",
            seen.text()
        );
    }
    // Of other namespaces, and by people who are in none of it, none.
    let found = admin.read(&format!("/entities/{own}")).await;
    assert!(!names(&found).contains(&robot));
    let stranger = Browser::of(&host, "other").await;
    let found = stranger.read(&format!("/entities/{own}?namespace=org")).await;
    assert!(!names(&found).contains(&robot));
}
