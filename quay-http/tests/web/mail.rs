//! Links in mails.

use quay_core::accounts::{AccountKey, SignUp, TeamKey, TeamRole, UserChanges};

use crate::support::{BASE, FORM, Host, Seen, encoded, options};

async fn host() -> Host {
    let mut options = options();
    options.mailing = true;
    Host::with(options, |settings| settings).await
}

/// Whose session an answer gave.
async fn who(host: &Host, seen: &Seen) -> String {
    let cookie = seen.cookie();
    let seen = host
        .ask("GET", "/.well-known/change-password", &[("cookie", &cookie)], "")
        .await;
    seen.header("location").to_owned()
}

#[tokio::test]
async fn an_address_is_confirmed_once() {
    let host = host().await;
    assert!(matches!(
        host.sign_up("carol").await,
        SignUp::AwaitingVerification
    ));
    let link = host.mails.link("carol@mail.example", "/confirm").await;
    // A program that looks at links does not use it up.
    let seen = host.ask("HEAD", &link, &[], "").await;
    assert_eq!((seen.status.as_u16(), seen.header("set-cookie")), (200, ""));
    let seen = host.get(&link).await;
    assert_eq!(
        (seen.status.as_u16(), seen.header("location")),
        (302, "https://registry.example/")
    );
    assert_eq!(seen.header("referrer-policy"), "no-referrer");
    assert_eq!(who(&host, &seen).await, format!("{BASE}/user/carol?tab=settings"));
    let account = host
        .accounts
        .store()
        .reader()
        .account(AccountKey::Name("carol"))
        .await
        .unwrap()
        .unwrap();
    assert!(account.verified);
    let seen = host.get(&link).await;
    assert_eq!((seen.status.as_u16(), seen.header("set-cookie")), (400, ""));
    assert!(seen.header("content-type").starts_with("text/html"));
    for path in [
        "/confirm",
        "/confirm?code=",
        "/confirm?code=x",
        "/confirminvite?code=%00",
        "/confirminvite?code=x%0d%0ay",
        "/recovery?code=x",
        "/confirminvite?code=x'%3C",
    ] {
        let seen = host.get(path).await;
        assert!(matches!(seen.status.as_u16(), 400 | 302), "{path}: {seen:?}");
        assert_eq!(seen.header("set-cookie"), "");
    }
    assert_eq!(host.ask("POST", &link, &[], "").await.status, 405);
}

#[tokio::test]
async fn whoever_forgot_the_password_sets_another() {
    let host = host().await;
    host.accounts.request_recovery("bob@mail.example").await.unwrap();
    let link = host.mails.link("bob@mail.example", "/recovery").await;
    // It is not good for anything else.
    let elsewhere = link.replace("/recovery", "/confirm");
    let seen = host.get(&link).await;
    assert_eq!(seen.status, 302);
    assert_eq!(
        seen.header("location"),
        format!("{BASE}/user/bob?tab=settings&action=password")
    );
    assert_eq!(who(&host, &seen).await, format!("{BASE}/user/bob?tab=settings"));
    for link in [&link, &elsewhere] {
        assert_eq!(host.get(link).await.status, 400);
    }
    let changes = UserChanges {
        password: Some("another-password".to_owned()),
        ..UserChanges::default()
    };
    host.accounts
        .change_user(&host.caller("bob"), changes)
        .await
        .unwrap();
    assert_eq!(
        host.token(Some(("bob", "another-password")), &[]).await.status,
        200
    );
}

#[tokio::test]
async fn an_invitation_waits_for_whoever_has_no_account_yet() {
    let host = host().await;
    let alice = host.caller("alice");
    host.accounts
        .create_organization(&alice, "devel", Some("devel@mail.example"))
        .await
        .unwrap();
    host.accounts
        .put_team(&alice, "devel", "readers", TeamRole::Member, None)
        .await
        .unwrap();
    host.accounts
        .add_team_member(&alice, "devel", "readers", "bob")
        .await
        .unwrap();
    let link = host.mails.link("bob@mail.example", "/confirminvite").await;
    let (_, code) = link.split_once("code=").unwrap();
    let path = format!("/confirminvite?code={code}");
    let seen = host.get(&path).await;
    assert_eq!(
        (seen.status.as_u16(), seen.header("location")),
        (302, format!("{BASE}/signin?code={code}").as_str())
    );
    let foreign = host.cookie(Some("alice"), "c").await;
    let own = host.cookie(Some("bob"), "c").await;
    // The link alone joins nobody: another site's page may lead there.
    let seen = host.ask("GET", &path, &[("cookie", &own)], "").await;
    assert_eq!(seen.status, 200);
    assert!(seen.text().contains(&format!("name=\"code\" value=\"{code}\"")));
    assert!(seen.text().contains("name=\"_csrf_token\" value=\"c\""));
    assert!(
        seen.header("content-security-policy")
            .contains("form-action 'self'")
    );
    let form = encoded(&[("code", code), ("_csrf_token", "c")]);
    let forged = encoded(&[("code", code), ("_csrf_token", "d")]);
    for (cookie, form, status) in [
        (&own, &forged, 403),
        (&own, &encoded(&[("code", code)]), 403),
        (&own, &encoded(&[("_csrf_token", "c")]), 400),
        (&foreign, &form, 400),
        (&own, &form, 302),
        (&own, &form, 400),
    ] {
        let seen = host
            .ask("POST", "/confirminvite", &[("cookie", cookie), FORM], form)
            .await;
        assert_eq!(seen.status, status, "{form}: {}", seen.text());
        if status == 302 {
            assert_eq!(seen.header("location"), format!("{BASE}/organization/devel"));
        }
    }
    let seen = host.ask("POST", "/confirminvite", &[FORM], &form).await;
    assert_eq!(seen.status, 403);
    // What is in the code does not lead elsewhere.
    let seen = host.get("/confirminvite?code=x%26z%2F%2Fevil.example").await;
    assert_eq!(
        seen.header("location"),
        format!("{BASE}/signin?code=x%26z%2F%2Fevil%2Eexample")
    );
}

#[tokio::test]
async fn where_no_mail_is_sent() {
    let host = Host::new().await;
    for path in ["/confirm?code=x", "/recovery?code=x"] {
        assert_eq!(host.get(path).await.status, 404, "{path}");
    }
}

/// Asks for another address; says which link was sent there.
async fn asks_for(host: &Host, email: &str) -> String {
    let changes = UserChanges {
        email: Some(email.to_owned()),
        ..UserChanges::default()
    };
    host.accounts
        .change_user(&host.caller("bob"), changes)
        .await
        .unwrap();
    host.mails.link(email, "/confirm").await
}

async fn email_of(host: &Host, name: &str) -> String {
    let mut reader = host.accounts.store().reader();
    let account = reader.account(AccountKey::Name(name)).await.unwrap().unwrap();
    account.email.unwrap()
}

#[tokio::test]
async fn a_new_password_voids_links_that_were_sent_before() {
    let host = host().await;
    let link = asks_for(&host, "thief@mail.example").await;
    host.accounts.request_recovery("bob@mail.example").await.unwrap();
    let recovery = host.mails.link("bob@mail.example", "/recovery").await;
    let changes = UserChanges {
        password: Some("another-password".to_owned()),
        ..UserChanges::default()
    };
    host.accounts
        .change_user(&host.caller("bob"), changes)
        .await
        .unwrap();
    for link in [&link, &recovery] {
        let seen = host.get(link).await;
        assert_eq!(
            (seen.status.as_u16(), seen.header("set-cookie")),
            (400, ""),
            "{link}"
        );
    }
    assert_eq!(email_of(&host, "bob").await, "bob@mail.example");
}

#[tokio::test]
async fn only_the_address_that_was_asked_for_last_becomes_the_users() {
    let host = host().await;
    let first = asks_for(&host, "first@mail.example").await;
    let second = asks_for(&host, "second@mail.example").await;
    assert_eq!(host.get(&first).await.status, 400);
    assert_eq!(host.get(&second).await.status, 302);
    assert_eq!(email_of(&host, "bob").await, "second@mail.example");
    assert_eq!(host.get(&first).await.status, 400);
}

#[tokio::test]
async fn an_address_that_is_given_up_recovers_nothing() {
    let host = host().await;
    host.accounts.request_recovery("bob@mail.example").await.unwrap();
    let recovery = host.mails.link("bob@mail.example", "/recovery").await;
    let link = asks_for(&host, "new@mail.example").await;
    assert_eq!(host.get(&link).await.status, 302);
    assert_eq!(host.get(&recovery).await.status, 400);
}

#[tokio::test]
async fn a_superusers_rescue_voids_links() {
    let mut options = options();
    options.mailing = true;
    options.superusers.insert("alice".to_owned());
    let host = Host::with(options, |settings| settings).await;
    let alice = host.caller("alice");
    for (password, email, enabled) in [
        (Some("another-password"), None, None),
        (None, Some("rescued@mail.example"), None),
        (None, None, Some(false)),
    ] {
        let link = asks_for(&host, "thief@mail.example").await;
        host.accounts
            .change_any_user(&alice, "bob", password, email, enabled, None)
            .await
            .unwrap();
        let seen = host.get(&link).await;
        assert_eq!((seen.status.as_u16(), seen.header("set-cookie")), (400, ""));
    }
    assert_eq!(email_of(&host, "bob").await, "rescued@mail.example");
}

#[tokio::test]
async fn whoever_was_asked_and_then_added_is_removed_at_once() {
    let host = host().await;
    let (alice, bob) = (host.caller("alice"), host.caller("bob"));
    host.accounts
        .create_organization(&alice, "devel", Some("devel@mail.example"))
        .await
        .unwrap();
    let teams = ["first", "second", "third"];
    for team in teams {
        host.accounts
            .put_team(&alice, "devel", team, TeamRole::Member, None)
            .await
            .unwrap();
        host.accounts
            .add_team_member(&alice, "devel", team, "bob")
            .await
            .unwrap();
    }
    let mut reader = host.accounts.store().reader();
    let devel = reader.account(AccountKey::Name("devel")).await.unwrap().unwrap();
    let account = reader.account(AccountKey::Name("bob")).await.unwrap().unwrap();
    let mut open = Vec::new();
    for team in teams {
        let team = reader.team(TeamKey::Name(devel.id, team)).await.unwrap().unwrap();
        open.push((
            team.id,
            reader.invites(team.id).await.unwrap().pop().unwrap().code,
        ));
    }
    host.accounts.accept_invite(&bob, &open[0].1).await.unwrap();
    // A member of the organization is added without being asked again.
    host.accounts
        .add_team_member(&alice, "devel", "second", "bob")
        .await
        .unwrap();
    assert!(reader.invites(open[1].0).await.unwrap().is_empty());
    host.accounts
        .remove_team_member(&alice, "devel", "second", "bob")
        .await
        .unwrap();
    let left = reader.teams_of(account.id, Some(devel.id)).await.unwrap();
    assert_eq!(
        left.iter().map(|team| team.name.as_str()).collect::<Vec<_>>(),
        ["first"]
    );
    // Whoever is removed from the organization is asked into it no more.
    host.accounts.remove_member(&alice, "devel", "bob").await.unwrap();
    assert!(reader.invites(open[2].0).await.unwrap().is_empty());
    assert!(host.accounts.accept_invite(&bob, &open[2].1).await.is_err());
    assert!(reader.notices(account.id, 0, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_address_that_a_superuser_names_is_confirmed_first() {
    let mut options = options();
    options.mailing = true;
    options.superusers.insert("alice".to_owned());
    let host = Host::with(options, |settings| settings).await;
    let alice = host.caller("alice");
    let created = host
        .accounts
        .create_user(&alice, "carol", Some("carol@mail.example"))
        .await
        .unwrap();
    assert!(!created.account.verified);
    let link = host.mails.link("carol@mail.example", "/confirm").await;
    assert_eq!(host.get(&link).await.status, 302);
}
