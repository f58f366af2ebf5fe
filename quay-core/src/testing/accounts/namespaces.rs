//! Namespaces: what goes with an account, and what moves with its name.

use super::{
    Outcome, Store, TEXTS, at, commit, insert, name, names, new_account, new_application, new_code,
    new_oauth_token, organization, repository, robot, store, team, there, token, user,
};
use crate::accounts::{
    AccessToken, AccountFilter, AccountId, AccountKey, AccountKind, AccountWrites, AppToken, AppTokenKey,
    Confirmation, ConfirmationPurpose, Grantee, Notice, OAuthTokenFilter, OAuthTokenKey, Prototype,
    RepositoryRole, Standing, TeamInvite, TeamKey, TeamRole,
};
use crate::metadata::{PageRequest, PolicyKind, PolicyOwner, PolicyRecord, RepositoryId, Visibility};
use crate::testing::{Failure, Instance, ensure};

pub(super) async fn a_repository_is_made_once_with_its_description(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = store(instance);
    let ann = commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        for (index, text) in TEXTS.iter().enumerate() {
            let path = name(&format!("ann/r{index}"))?;
            let made = unit
                .create_repository(&path, Visibility::Private, Some(text), at(1))
                .await?;
            let made = there(made, "a new repository")?;
            ensure!(made.name == path, "a new repository is called {}", made.name);
            unit.star(ann, made.id).await?;
            let again = unit
                .create_repository(&path, Visibility::Public, None, at(2))
                .await?;
            ensure!(again.is_none(), "a repository was made twice");
        }
        ann
    });
    let starred = store.reader().stars(ann, &PageRequest::new(None, 9)).await?;
    let texts: Vec<_> = starred
        .iter()
        .map(|starred| starred.description.as_deref().unwrap_or_default())
        .collect();
    ensure!(texts == TEXTS, "the descriptions are {texts:?}");
    ensure!(
        starred
            .iter()
            .all(|starred| starred.visibility == Visibility::Private),
        "a second creation changed the visibility"
    );
    Ok(())
}

fn app_token(account: AccountId, seed: &str) -> AppToken {
    AppToken {
        id: 0,
        uuid: token(&format!("uuid {seed}")),
        account,
        title: TEXTS[0].to_owned(),
        name: token(seed),
        secret: "sealed".to_owned(),
        created: at(1),
        expires: None,
        last_accessed: None,
    }
}

fn invite(team: i64, account: Option<AccountId>, inviter: AccountId, code: &str) -> TeamInvite {
    TeamInvite {
        id: 0,
        team,
        account,
        email: account.is_none().then(|| "somebody@example.com".to_owned()),
        inviter,
        code: code.to_owned(),
    }
}

fn prototype(
    organization: AccountId,
    seed: &str,
    activating: Option<AccountId>,
    delegate: Grantee,
) -> Prototype {
    Prototype {
        id: 0,
        uuid: token(seed),
        organization,
        activating,
        delegate,
        role: RepositoryRole::Write,
    }
}

/// Everything that hangs on one account: keys end in the owner's name.
async fn furnish(
    unit: &mut dyn AccountWrites,
    account: AccountId,
    name: &str,
    app: RepositoryId,
    application: i64,
) -> Outcome {
    robot(unit, account, &format!("{name}+build")).await?;
    unit.set_grant(app, Grantee::Account(account), RepositoryRole::Write)
        .await?;
    unit.insert_app_token(&app_token(account, name)).await?;
    unit.insert_oauth_token(&new_oauth_token(application, account, name))
        .await?;
    unit.insert_code(&new_code(application, account, name)).await?;
    unit.insert_notice(&Notice {
        uuid: token(&format!("notice {name}")),
        account,
        kind: "kind".to_owned(),
        metadata: "{}".to_owned(),
        created: at(1),
        dismissed: false,
        lookup: None,
    })
    .await?;
    unit.insert_confirmation(&Confirmation {
        code_hash: format!("confirmation {name}"),
        account,
        purpose: ConfirmationPurpose::Recover,
        new_email: None,
        expires: at(100),
    })
    .await?;
    unit.star(account, app).await?;
    Ok(())
}

/// Which of the things that [`furnish`] stored are there.
async fn furnished(
    unit: &mut dyn AccountWrites,
    account: AccountId,
    name: &str,
    app: RepositoryId,
) -> Result<Vec<&'static str>, Failure> {
    let page = PageRequest::new(None, 9);
    let mut left = Vec::new();
    let mut note = |there: bool, what: &'static str| {
        if there {
            left.push(what);
        }
    };
    let by_id = unit.account(AccountKey::Id(account)).await?;
    note(by_id.is_some(), "account");
    let robot = format!("{name}+build");
    let by_name = unit.account(AccountKey::Name(&robot)).await?;
    note(by_name.is_some(), "robot");
    let grant = unit.grant(app, Grantee::Account(account)).await?;
    note(grant.is_some(), "permission");
    let app_token = unit.app_token(AppTokenKey::Name(&token(name))).await?;
    note(app_token.is_some(), "app token");
    let tokens = unit
        .oauth_tokens(OAuthTokenFilter::Account(account), &PageRequest::new(None, 9))
        .await?;
    note(!tokens.is_empty(), "OAuth token");
    note(unit.take_code(&token(name)).await?.is_some(), "code");
    note(!unit.notices(account, 0, 9).await?.is_empty(), "notice");
    let confirmation = unit.take_confirmation(&format!("confirmation {name}")).await?;
    note(confirmation.is_some(), "confirmation");
    note(!unit.stars(account, &page).await?.is_empty(), "star");
    Ok(left)
}

const ALL: [&str; 9] = [
    "account",
    "robot",
    "permission",
    "app token",
    "OAuth token",
    "code",
    "notice",
    "confirmation",
    "star",
];

pub(super) async fn a_deleted_user_takes_everything_along(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    let (acme, devs, app, ann, bob) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        let app = repository(unit, "acme/app", Visibility::Private).await?;
        let application = unit.insert_application(&new_application(acme, "client")).await?;
        for (account, name) in [(ann, "ann"), (bob, "bob")] {
            furnish(unit, account, name, app, application).await?;
        }
        let devs = team(unit, acme, "devs", TeamRole::Member, &[ann, bob]).await?;
        unit.insert_invite(&invite(devs, Some(ann), bob, "to ann"))
            .await?;
        unit.insert_invite(&invite(devs, None, ann, "by ann")).await?;
        unit.insert_invite(&invite(devs, None, bob, "by bob")).await?;
        for (seed, activating, delegate) in [
            ("for ann", None, Grantee::Account(ann)),
            ("of ann", Some(ann), Grantee::Team(devs)),
            ("of all", None, Grantee::Team(devs)),
        ] {
            unit.insert_prototype(&prototype(acme, seed, activating, delegate))
                .await?;
        }
        repository(unit, "ann/own", Visibility::Public).await?;
        (acme, devs, app, ann, bob)
    });
    commit!(store, |unit| {
        let account = there(unit.account(AccountKey::Id(ann)).await?, "ann")?;
        unit.delete_account(&account, at(5)).await?;
    });
    let mut unit = store.begin_accounts().await?;
    let accounts = unit.accounts();
    let left = furnished(accounts, ann, "ann", app).await?;
    ensure!(left.is_empty(), "a deleted account left its {left:?}");
    let left = furnished(accounts, bob, "bob", app).await?;
    ensure!(left == ALL, "another account kept only its {left:?}");
    let page = PageRequest::new(None, 9);
    let members = accounts.accounts(AccountFilter::InTeam(devs), &page).await?;
    ensure!(names(&members) == ["bob"], "the team is {:?}", names(&members));
    let invites = accounts.invites(devs).await?;
    let codes: Vec<_> = invites.iter().map(|invite| invite.code.as_str()).collect();
    ensure!(codes == ["by bob"], "of the invitations there are left {codes:?}");
    let prototypes = accounts.prototypes(acme).await?;
    ensure!(
        prototypes.len() == 1 && prototypes[0].uuid == token("of all"),
        "of the default permissions there are left {prototypes:?}"
    );
    ensure!(
        !accounts.has_repositories("ann").await?,
        "a deleted namespace has repositories"
    );
    drop(unit);
    ensure!(
        store.repository(&name("ann/own")?).await?.is_none(),
        "a deleted namespace's repository is in the way"
    );
    let visible = store
        .reader()
        .visible(None, true, &PageRequest::new(None, 9))
        .await?;
    ensure!(
        visible.is_empty(),
        "of what is being deleted there is seen {visible:?}"
    );
    Ok(())
}

pub(super) async fn a_deleted_organization_takes_everything_along(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = store(instance);
    let (acme, devs, app, ann) = commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let ann = user(unit, "ann").await?;
        let build = robot(unit, acme, "acme+build").await?;
        let devs = team(unit, acme, "devs", TeamRole::Admin, &[ann, build]).await?;
        unit.insert_invite(&invite(devs, None, ann, "invite")).await?;
        unit.insert_prototype(&prototype(acme, "prototype", None, Grantee::Team(devs)))
            .await?;
        let app = repository(unit, "acme/app", Visibility::Public).await?;
        repository(unit, "acme/app/nested", Visibility::Private).await?;
        unit.set_grant(app, Grantee::Team(devs), RepositoryRole::Admin)
            .await?;
        unit.set_grant(app, Grantee::Account(ann), RepositoryRole::Write)
            .await?;
        unit.star(ann, app).await?;
        unit.insert_access_token(&AccessToken {
            id: 0,
            repository: app,
            path: "acme/app".to_owned(),
            friendly_name: "token".to_owned(),
            name: token("access"),
            code: "sealed".to_owned(),
            role: RepositoryRole::Read,
            created: at(1),
        })
        .await?;
        let application = unit.insert_application(&new_application(acme, "client")).await?;
        unit.insert_oauth_token(&new_oauth_token(application, ann, "token"))
            .await?;
        unit.insert_code(&new_code(application, ann, "code")).await?;
        repository(unit, "acme2/app", Visibility::Private).await?;
        (acme, devs, app, ann)
    });
    // Read before, so that a cache has the chance to be wrong.
    there(store.repository(&name("acme/app")?).await?, "acme/app")?;
    commit!(store, |unit| {
        let account = there(unit.account(AccountKey::Id(acme)).await?, "acme")?;
        unit.delete_account(&account, at(5)).await?;
    });
    for path in ["acme/app", "acme/app/nested"] {
        let found = store.repository(&name(path)?).await?;
        ensure!(found.is_none(), "{path} is in the way");
    }
    let other = store.repository(&name("acme2/app")?).await?;
    ensure!(other.is_some(), "another namespace's repository went as well");
    commit!(store, |unit| {
        let again = organization(unit, "acme").await?;
        ensure!(again != acme, "an id is used again");
        repository(unit, "acme/app", Visibility::Private).await?;
    });
    let mut unit = store.begin_accounts().await?;
    let accounts = unit.accounts();
    let page = PageRequest::new(None, 9);
    let mut left = Vec::new();
    let mut note = |there: bool, what: &'static str| {
        if there {
            left.push(what);
        }
    };
    let robot = accounts.account(AccountKey::Name("acme+build")).await?;
    note(robot.is_some(), "robot");
    note(accounts.team(TeamKey::Id(devs)).await?.is_some(), "team");
    note(!accounts.teams_of(ann, None).await?.is_empty(), "membership");
    note(accounts.invite("invite").await?.is_some(), "invitation");
    note(!accounts.prototypes(acme).await?.is_empty(), "default permission");
    let grant = accounts.grant(app, Grantee::Team(devs)).await?;
    note(grant.is_some(), "team's permission");
    let client = accounts.application(&token("client")).await?;
    note(client.is_some(), "application");
    let oauth = accounts.oauth_token(OAuthTokenKey::Name(&token("token"))).await?;
    note(oauth.is_some(), "OAuth token");
    note(accounts.take_code(&token("code")).await?.is_some(), "code");
    let access = accounts.access_token(&token("access")).await?;
    note(access.is_some(), "access token");
    let starred = accounts.stars(ann, &page).await?;
    note(!starred.is_empty(), "star");
    let standing = accounts.standing(ann, "acme", None).await?;
    note(standing != Standing::none(), "right in the new namespace");
    let grants = accounts
        .grants_of(Grantee::Account(ann), "acme", &PageRequest::new(None, 9))
        .await?;
    note(!grants.is_empty(), "permission in the new namespace");
    let visible = accounts.visible(Some((ann, "ann")), true, &page).await?;
    note(!visible.is_empty(), "repository that can be seen");
    ensure!(left.is_empty(), "a deleted organization left a {left:?}");
    Ok(())
}

pub(super) async fn a_deleted_robot_goes_alone(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    commit!(store, |unit| {
        let acme = organization(unit, "acme").await?;
        let build = robot(unit, acme, "acme+build").await?;
        robot(unit, acme, "acme+build2").await?;
        let app = repository(unit, "acme/app", Visibility::Private).await?;
        unit.set_grant(app, Grantee::Account(build), RepositoryRole::Write)
            .await?;
        let robot = there(unit.account(AccountKey::Id(build)).await?, "a robot")?;
        unit.delete_account(&robot, at(5)).await?;
        let grant = unit.grant(app, Grantee::Account(build)).await?;
        ensure!(grant.is_none(), "a deleted robot has a role");
    });
    let mut reader = store.reader();
    for (name, expected) in [("acme", true), ("acme+build", false), ("acme+build2", true)] {
        let seen = reader.account(AccountKey::Name(name)).await?.is_some();
        ensure!(
            seen == expected,
            "after a robot's end that {name} is there is {seen}"
        );
    }
    ensure!(
        reader.has_repositories("acme").await?,
        "the repositories went with a robot"
    );
    Ok(())
}

pub(super) async fn a_deleted_name_is_free_again_and_again(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    for round in 0..3 {
        commit!(store, |unit| {
            let id = user(unit, "ann").await?;
            for path in ["ann/one", "ann/two"] {
                repository(unit, path, Visibility::Public).await?;
            }
            let account = there(unit.account(AccountKey::Id(id)).await?, "ann")?;
            unit.delete_account(&account, at(round)).await?;
            ensure!(
                unit.account(AccountKey::Name("ann")).await?.is_none(),
                "a unit of work sees an account that it has deleted"
            );
        });
    }
    Ok(())
}

/// The paths of repositories that are there, of those asked for.
async fn paths_of<'p>(store: &Store, paths: &[&'p str]) -> Result<Vec<&'p str>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if let Some(record) = store.repository(&name(path)?).await? {
            ensure!(record.name.path() == *path, "{path} came back as {}", record.name);
            found.push(*path);
        }
    }
    Ok(found)
}

/// Renames an account and its namespace, as core does.
async fn rename(store: &Store, from: &str, to: &str) -> Outcome {
    let mut unit = store.begin_accounts().await?;
    let accounts = unit.accounts();
    let mut account = there(accounts.account(AccountKey::Name(from)).await?, from)?;
    to.clone_into(&mut account.name);
    ensure!(
        accounts.save_account(&account).await?,
        "{from} could not be saved as {to}"
    );
    ensure!(
        accounts.rename_namespace(account.id, from, to).await?,
        "the namespace {from} could not be renamed to {to}"
    );
    unit.commit().await?;
    Ok(())
}

pub(super) async fn a_renamed_namespace_takes_repositories_and_robots_along(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = store(instance);
    let neighbours = [
        "ann-x/app",
        "ann.x/app",
        "ann0/app",
        "anna/app",
        "an/n",
        "x/ann/app",
    ];
    let (ann, bob, app) = commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        let bob = user(unit, "bob").await?;
        let other = user(unit, "anna").await?;
        robot(unit, ann, "ann+build").await?;
        robot(unit, other, "anna+build").await?;
        let app = repository(unit, "ann/app", Visibility::Private).await?;
        repository(unit, "ann/nested/ann/app", Visibility::Private).await?;
        for path in neighbours {
            repository(unit, path, Visibility::Private).await?;
        }
        unit.set_grant(app, Grantee::Account(bob), RepositoryRole::Write)
            .await?;
        (ann, bob, app)
    });
    let old = ["ann/app", "ann/nested/ann/app"];
    let new = ["zoe-long/app", "zoe-long/nested/ann/app"];
    let seen = paths_of(&*store, &old).await?;
    ensure!(seen == old, "before the move there are {seen:?}");
    let seen = paths_of(&*store, &new).await?;
    ensure!(seen.is_empty(), "before the move there are {seen:?}");
    rename(&*store, "ann", "zoe-long").await?;
    let seen = paths_of(&*store, &old).await?;
    ensure!(seen.is_empty(), "under the old name there are {seen:?}");
    let seen = paths_of(&*store, &new).await?;
    ensure!(seen == new, "under the new name there are {seen:?}");
    let seen = paths_of(&*store, &neighbours).await?;
    ensure!(seen == neighbours, "of its neighbours there are {seen:?}");
    let mut reader = store.reader();
    let page = PageRequest::new(None, 9);
    let robots = reader.accounts(AccountFilter::RobotsOf(ann), &page).await?;
    ensure!(
        names(&robots) == ["zoe-long+build"],
        "the robots are {:?}",
        names(&robots)
    );
    let other = reader.account(AccountKey::Name("anna+build")).await?;
    ensure!(other.is_some(), "another one's robot was moved");
    for (namespace, expected) in [("ann", vec![]), ("zoe-long", vec![app])] {
        let grants = reader
            .grants_of(Grantee::Account(bob), namespace, &PageRequest::new(None, 9))
            .await?;
        let found: Vec<_> = grants.iter().map(|grant| grant.repository).collect();
        ensure!(found == expected, "in {namespace} bob has roles in {grants:?}");
    }
    let standing = reader.standing(bob, "zoe-long", Some(app)).await?;
    ensure!(
        standing.direct == Some(RepositoryRole::Write),
        "after the move bob's standing is {standing:?}"
    );
    ensure!(
        !reader.has_repositories("ann").await?,
        "the old namespace has repositories"
    );
    commit!(store, |unit| {
        let mut again = new_account(AccountKind::User, "ann");
        again.uuid = token("another");
        insert(unit, &again).await?;
        repository(unit, "ann/app", Visibility::Private).await?;
    });
    let seen = paths_of(&*store, &["ann/app", "zoe-long/app"]).await?;
    ensure!(seen.len() == 2, "two namespaces share one repository: {seen:?}");
    Ok(())
}

pub(super) async fn policies_follow_their_namespace_and_go_with_it(
    instance: &mut dyn Instance<Store>,
) -> Outcome {
    let store = store(instance);
    commit!(store, |unit| {
        user(unit, "ann").await?;
        user(unit, "anna").await?;
    });
    let kind = PolicyKind::Prune;
    let none = || Failure::NotApplicable("the store keeps no policies");
    let owners = ["ann", "zoe-long", "anna"].map(|name| PolicyOwner::Namespace(name.to_owned()));
    let mut unit = store.begin_accounts().await?;
    let kept = unit.lifecycle().ok_or_else(none)?;
    for (owner, due) in [(&owners[0], 1), (&owners[2], 5)] {
        let policy = PolicyRecord::new(owner.key(), kind, owner.clone(), "{}".to_owned());
        kept.insert_policy(&policy).await?;
        kept.schedule(kind, owner, at(due)).await?;
    }
    unit.commit().await?;
    rename(&*store, "ann", "zoe-long").await?;
    let mut unit = store.begin_accounts().await?;
    let kept = unit.lifecycle().ok_or_else(none)?;
    let policies = kept.policies(kind, &owners).await?;
    let of: Vec<&PolicyOwner> = policies.iter().map(|policy| &policy.owner).collect();
    ensure!(
        of == [&owners[1], &owners[2]],
        "after a namespace was renamed there are policies of {of:?}"
    );
    let task = kept.claim_task(&[kind], at(9), at(2)).await?;
    ensure!(
        task.as_ref().is_some_and(|task| task.owner == owners[1]),
        "after a namespace was renamed the first task is {task:?}"
    );
    let accounts = unit.accounts();
    let account = there(accounts.account(AccountKey::Name("zoe-long")).await?, "zoe-long")?;
    accounts.delete_account(&account, at(3)).await?;
    let kept = unit.lifecycle().ok_or_else(none)?;
    let policies = kept.policies(kind, &owners).await?;
    let of: Vec<&PolicyOwner> = policies.iter().map(|policy| &policy.owner).collect();
    ensure!(
        of == [&owners[2]],
        "after a namespace was deleted there are policies of {of:?}"
    );
    let task = kept.claim_task(&[kind], at(99), at(20)).await?;
    ensure!(
        task.as_ref().is_some_and(|task| task.owner == owners[2]),
        "after a namespace was deleted the first task is {task:?}"
    );
    unit.commit().await?;
    Ok(())
}

pub(super) async fn a_namespace_is_renamed_to_and_fro(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    commit!(store, |unit| {
        user(unit, "ann").await?;
        user(unit, "bob").await?;
        for path in ["ann/app", "bob/app"] {
            repository(unit, path, Visibility::Private).await?;
        }
    });
    let app = there(store.repository(&name("ann/app")?).await?, "ann/app")?.id;
    for (from, to) in [
        ("ann", "c"),
        ("bob", "ann"),
        ("c", "bob"),
        ("ann", "x"),
        ("bob", "ann"),
        ("x", "bob"),
    ] {
        rename(&*store, from, to).await?;
    }
    let seen = there(store.repository(&name("ann/app")?).await?, "ann/app")?.id;
    ensure!(seen == app, "after all moves ann/app is {seen}, not {app}");
    Ok(())
}

pub(super) async fn a_name_that_gets_too_long_moves_nothing(instance: &mut dyn Instance<Store>) -> Outcome {
    let store = store(instance);
    // 255 bytes with a namespace of 10 letters.
    let long = format!("/{}", "r".repeat(244));
    let (ann, bob) = commit!(store, |unit| {
        let ann = user(unit, "ann").await?;
        repository(unit, "ann/short", Visibility::Private).await?;
        repository(unit, &format!("ann{long}"), Visibility::Private).await?;
        let bob = user(unit, "bob").await?;
        robot(unit, bob, &format!("bob+{}", "r".repeat(244))).await?;
        repository(unit, "bob/short", Visibility::Private).await?;
        (ann, bob)
    });
    let fits = "n".repeat(10);
    let mut unit = store.begin_accounts().await?;
    let accounts = unit.accounts();
    for (account, from) in [(ann, "ann"), (bob, "bob")] {
        let done = accounts.rename_namespace(account, from, &"n".repeat(11)).await?;
        ensure!(!done, "{from} was renamed to what makes a name of 256 bytes");
        ensure!(
            accounts.has_repositories(from).await?,
            "a rename that was refused moved repositories"
        );
    }
    unit.commit().await?;
    let seen = paths_of(&*store, &["ann/short", "bob/short"]).await?;
    ensure!(seen.len() == 2, "after refused renames there are {seen:?}");
    rename(&*store, "ann", &fits).await?;
    let path = format!("{fits}{long}");
    let seen = paths_of(&*store, &[path.as_str()]).await?;
    ensure!(seen.len() == 1, "a name of 255 bytes is not there");
    rename(&*store, "bob", &"m".repeat(10)).await?;
    Ok(())
}
