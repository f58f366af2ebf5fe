//! Docker clients and applications log in.

use std::sync::Arc;
use std::time::Duration;

use quay_auth::{InstanceKey, RegistryTokenOptions, RegistryTokens};
use quay_core::accounts::{
    AccessToken, Account, AccountKind, AppToken, AppTokenKey, Application, KeyApproval, OAuthToken,
    OAuthTokenKey, PasswordHasher, RepositoryRole, Scope, ScopeSet, Seal, SecretBox, ServiceKey, TokenIssuer,
    TokenRequest,
};
use quay_core::auth::{Authentication, Authenticator, Credentials};
use quay_core::metadata::Visibility;
use quay_core::testing::auth::{KnownUser, run_authenticator};
use quay_core::{Access, CredentialKind, Principal, RepositoryName};

use crate::support::{World, basic, bearer, proven};

const INVALID: Authentication = Authentication::Denied("Invalid Username or Password.");
const MINUTE: Duration = Duration::from_mins(1);

async fn oauth_token(world: &World, account: &Account, name: &str, scopes: ScopeSet) -> OAuthToken {
    let mut organization = world.account(AccountKind::Organization, &format!("org{}", name.to_lowercase()));
    organization.id = world.insert(&organization).await;
    let mut application = Application {
        id: 0,
        organization: organization.id,
        client_id: name.to_owned(),
        client_secret: world.secrets.seal("secret"),
        name: "an application".to_owned(),
        description: String::new(),
        application_uri: String::new(),
        redirect_uri: String::new(),
        avatar_email: None,
    };
    let hash = world.hasher.hash(&"S".repeat(20)).unwrap();
    world.hasher.asked();
    world
        .write(async |rows| {
            application.id = rows.insert_application(&application).await.unwrap();
            let token = OAuthToken {
                id: 0,
                uuid: format!("uuid of {name}"),
                application: application.id,
                account: account.id,
                name: name.to_owned(),
                hash,
                scopes,
                created: world.now(),
                expires: world.now().plus(10 * MINUTE),
                last_accessed: None,
                title: None,
                creator: None,
            };
            rows.insert_oauth_token(&token).await.unwrap();
        })
        .await;
    let key = OAuthTokenKey::Name(name);
    world.store.reader().oauth_token(key).await.unwrap().unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite() {
    let world = World::new().await;
    world.user("alice", "correct horse").await;
    let authenticator: Arc<dyn Authenticator> = Arc::new(world.credentials());
    let report = run_authenticator(&authenticator, Some(KnownUser::new("alice", "correct horse"))).await;
    report.assert_passed();
    assert_eq!(report.not_applicable, []);
    let authenticator: Arc<dyn Authenticator> = Arc::new(world.oauth());
    run_authenticator(&authenticator, None).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn users() {
    let mut world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let credentials = world.credentials();
    let identity = proven(basic(&credentials, "alice@mail.example", "correct horse").await);
    assert_eq!(identity.principal, Principal::User("alice".into()));
    assert_eq!(identity.kind, CredentialKind::Password);
    assert_eq!(identity.credential_id.as_deref(), Some(alice.uuid.as_str()));
    assert_eq!(identity.access, Access::Own);
    let encrypted = world.seal.encrypt_password("correct horse");
    assert_eq!(proven(basic(&credentials, "alice", &encrypted).await), identity);
    for name in ["bob", "", "älice", "$other"] {
        assert_eq!(
            basic(&credentials, name, "correct horse").await,
            INVALID,
            "{name}"
        );
    }
    world.options.require_encrypted_passwords = true;
    let strict = world.credentials();
    assert!(matches!(
        basic(&strict, "alice", "correct horse").await,
        Authentication::Denied(reason) if reason.contains("encrypted")
    ));
    assert_eq!(proven(basic(&strict, "alice", &encrypted).await), identity);
    assert_eq!(basic(&credentials, "alice", "guess").await, INVALID);
    assert_eq!(
        basic(&credentials, "alice", "correct horse").await,
        Authentication::Throttled {
            retry_after: Duration::from_millis(500)
        }
    );
    world.clock.advance(MINUTE);
    world.change(alice.id, |account| account.enabled = false).await;
    assert!(matches!(
        basic(&credentials, "alice", "correct horse").await,
        Authentication::Denied(reason) if reason.contains("disabled")
    ));
    for other in [
        Credentials::None,
        Credentials::Bearer("x"),
        Credentials::Unreadable,
    ] {
        let answer = credentials.authenticate(other).await.unwrap();
        assert_eq!(answer, Authentication::NotMine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn robots() {
    let mut world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let token = "R".repeat(64);
    let robot = world.robot(&alice, "builder", &token).await;
    let credentials = world.credentials();
    let identity = proven(basic(&credentials, "alice+builder", &token).await);
    assert_eq!(identity.principal, Principal::Robot("alice+builder".into()));
    assert_eq!(identity.kind, CredentialKind::RobotToken);
    // Its uuid changes with its secret.
    assert_eq!(identity.credential_id.as_deref(), Some(robot.uuid.as_str()));
    let reason = |answer| match answer {
        Authentication::Denied(reason) => reason,
        other => panic!("{other:?}"),
    };
    let unknown = reason(basic(&credentials, "alice+other", &token).await);
    let wrong = reason(basic(&credentials, "alice+builder", &"R".repeat(63)).await);
    assert_ne!(unknown, wrong);
    assert_eq!(
        reason(basic(&credentials, "alice+builder", "correct horse").await),
        wrong
    );
    assert_eq!(basic(&credentials, "alice", &token).await, INVALID);
    world.options.robots_disallow = true;
    assert!(reason(basic(&world.credentials(), "alice+builder", &token).await).contains("Robot accounts"));
    world.options.robots_whitelist.insert("alice+builder".to_owned());
    assert_eq!(
        proven(basic(&world.credentials(), "alice+builder", &token).await),
        identity
    );
    world.change(alice.id, |account| account.enabled = false).await;
    assert!(reason(basic(&credentials, "alice+builder", &token).await).contains("owner"));
}

#[tokio::test(flavor = "multi_thread")]
async fn repository_tokens() {
    let world = World::new().await;
    let name = RepositoryName::from_path("alice/app").unwrap();
    world.user("alice", "correct horse").await;
    let (half, code) = ("N".repeat(32), "C".repeat(32));
    world
        .write(async |rows| {
            let created = world.now();
            let repository = rows
                .create_repository(&name, Visibility::Private, None, created)
                .await
                .unwrap()
                .unwrap();
            let token = AccessToken {
                id: 0,
                repository: repository.id,
                path: "alice/app".to_owned(),
                friendly_name: "ci".to_owned(),
                name: half.clone(),
                code: world.secrets.seal(&code),
                role: RepositoryRole::Write,
                created,
            };
            rows.insert_access_token(&token).await.unwrap();
        })
        .await;
    let credentials = world.credentials();
    let identity = proven(basic(&credentials, "$token", &format!("{half}{code}")).await);
    assert_eq!(identity.principal, Principal::Token(half.as_str().into()));
    assert_eq!(identity.kind, CredentialKind::AccessToken);
    assert_eq!(identity.credential_id.as_deref(), Some(half.as_str()));
    let access = Access::Repository {
        path: "alice/app".into(),
        role: RepositoryRole::Write,
    };
    assert_eq!(identity.access, access);
    for wrong in [
        String::new(),
        half.clone(),
        format!("{half}{}", "D".repeat(32)),
        format!("{half}{code}C"),
        format!("{code}{half}"),
        "é".repeat(32),
    ] {
        let answer = basic(&credentials, "$token", &wrong).await;
        assert_eq!(answer, Authentication::Denied("Invalid access token"), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn app_tokens() {
    let mut world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let (half, secret) = ("A".repeat(60), "B".repeat(60));
    let row = AppToken {
        id: 0,
        uuid: "uuid of a token".to_owned(),
        account: alice.id,
        title: "laptop".to_owned(),
        name: half.clone(),
        secret: world.secrets.seal(&secret),
        created: world.now(),
        expires: Some(world.now().plus(10 * MINUTE)),
        last_accessed: None,
    };
    world
        .write(async |rows| rows.insert_app_token(&row).await.unwrap())
        .await;
    let token = format!("{half}{secret}");
    let credentials = world.credentials();
    let identity = proven(basic(&credentials, "$app", &token).await);
    assert_eq!(identity.principal, Principal::User("alice".into()));
    assert_eq!(identity.kind, CredentialKind::AppSpecificToken);
    assert_eq!(identity.credential_id.as_deref(), Some("uuid of a token"));
    assert_eq!(identity.access, Access::Own);
    // Both the token and its user were used, and that is noted once in a while.
    let last = async || {
        world.settle().await;
        let key = AppTokenKey::Name(&half);
        let row = world.store.reader().app_token(key).await.unwrap().unwrap();
        (row.last_accessed, world.find(alice.id).await.last_accessed)
    };
    let first = world.now();
    assert_eq!(last().await, (Some(first), Some(first)));
    world.clock.advance(MINUTE / 2);
    proven(basic(&credentials, "$app", &token).await);
    assert_eq!(last().await, (Some(first), Some(first)));
    world.clock.advance(MINUTE / 2);
    proven(basic(&credentials, "$app", &token).await);
    assert_eq!(last().await, (Some(world.now()), Some(world.now())));
    let invalid = Authentication::Denied("Invalid token");
    for wrong in [
        String::new(),
        half.clone(),
        format!("{half}{}", "C".repeat(60)),
        format!("{token}B"),
    ] {
        assert_eq!(basic(&credentials, "$app", &wrong).await, invalid, "{wrong}");
    }
    world.options.app_tokens = false;
    assert_eq!(basic(&world.credentials(), "$app", &token).await, invalid);
    world.change(alice.id, |account| account.enabled = false).await;
    assert!(matches!(
        basic(&credentials, "$app", &token).await,
        Authentication::Denied(reason) if reason.contains("disabled")
    ));
    world.change(alice.id, |account| account.enabled = true).await;
    world.clock.advance(10 * MINUTE);
    assert_eq!(basic(&credentials, "$app", &token).await, invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth_tokens() {
    let world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let scopes = ScopeSet::of(&[Scope::ReadRepo, Scope::AdminUser]);
    let name = "N".repeat(20);
    let row = oauth_token(&world, &alice, &name, scopes).await;
    let token = format!("{name}{}", "S".repeat(20));
    let (oauth, credentials) = (world.oauth(), world.credentials());
    let identity = proven(bearer(&oauth, &token).await);
    assert_eq!(identity.principal, Principal::User("alice".into()));
    assert_eq!(identity.kind, CredentialKind::OAuthToken);
    assert_eq!(identity.credential_id.as_deref(), Some(row.uuid.as_str()));
    assert_eq!(identity.access, Access::Scopes(scopes));
    world.hasher.asked();
    for _ in 0..5 {
        proven(bearer(&oauth, &token).await);
    }
    assert_eq!(world.hasher.asked(), 0);
    assert_eq!(proven(basic(&credentials, "$oauthtoken", &token).await), identity);
    let invalid = Authentication::Denied("OAuth access token could not be validated");
    let wrong = format!("{name}{}", "T".repeat(20));
    assert_eq!(bearer(&oauth, &wrong).await, invalid);
    assert_eq!(bearer(&oauth, &"X".repeat(40)).await, invalid);
    assert_eq!(basic(&credentials, "$oauthtoken", &wrong).await, invalid);
    assert_eq!(basic(&credentials, "$oauthtoken", "short").await, invalid);
    for other in ["short", "a.b.c", &"X".repeat(39), &format!("{}-", "X".repeat(39))] {
        assert_eq!(bearer(&oauth, other).await, Authentication::NotMine);
    }
    // Whoever is switched off, and whatever is deleted, stops at once.
    world.change(alice.id, |account| account.enabled = false).await;
    assert!(matches!(
        bearer(&oauth, &token).await,
        Authentication::Denied(reason) if reason.contains("disabled")
    ));
    world.change(alice.id, |account| account.enabled = true).await;
    proven(bearer(&oauth, &token).await);
    world.clock.advance(10 * MINUTE);
    assert_eq!(
        bearer(&oauth, &token).await,
        Authentication::Denied("OAuth access token has expired")
    );
    world
        .write(async |rows| rows.delete_oauth_token(row.id).await.unwrap())
        .await;
    assert_eq!(bearer(&oauth, &token).await, invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_at_a_token_is_told_to_wait() {
    let world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let (name, other) = ("N".repeat(20), "O".repeat(20));
    let scopes = ScopeSet::of(&[Scope::ReadRepo]);
    for name in [&name, &other] {
        oauth_token(&world, &alice, name, scopes).await;
    }
    let right = |name: &str| format!("{name}{}", "S".repeat(20));
    let oauth = world.oauth();
    proven(bearer(&oauth, &right(&name)).await);
    let mut waits = false;
    for guess in 0..30 {
        let wrong = format!("{name}{guess:020}");
        match bearer(&oauth, &wrong).await {
            Authentication::Denied(_) => assert!(!waits, "after a wait"),
            Authentication::Throttled { .. } => waits = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(waits);
    world.hasher.asked();
    let wrong = format!("{name}{}", "T".repeat(20));
    assert!(matches!(
        bearer(&oauth, &wrong).await,
        Authentication::Throttled { .. }
    ));
    assert_eq!(world.hasher.asked(), 0, "nothing is hashed then");
    // Neither the token that is in use nor any other suffers.
    proven(bearer(&oauth, &right(&name)).await);
    proven(bearer(&oauth, &right(&other)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn superusers_scopes_are_void_where_there_are_no_superusers() {
    let mut world = World::new().await;
    let alice = world.user("alice", "correct horse").await;
    let name = "N".repeat(20);
    oauth_token(
        &world,
        &alice,
        &name,
        ScopeSet::of(&[Scope::ReadRepo, Scope::Superuser]),
    )
    .await;
    world.options.superusers_enabled = false;
    let identity = proven(bearer(&world.oauth(), &format!("{name}{}", "S".repeat(20))).await);
    assert_eq!(identity.access, Access::Scopes(ScopeSet::default()));
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_password_to_a_token_for_the_registry() {
    let world = World::new().await;
    world.user("alice", "correct horse").await;
    let key = InstanceKey::generate().unwrap();
    let row = ServiceKey {
        kid: key.kid().to_owned(),
        name: "an instance".to_owned(),
        service: "quay".to_owned(),
        jwk: key.jwk().to_string(),
        metadata: "{}".to_owned(),
        created: world.now(),
        expires: Some(world.now().plus(Duration::from_hours(2))),
        rotation_s: None,
        approval: Some(KeyApproval {
            kind: "Automatic".to_owned(),
            approver: None,
            at: world.now(),
            notes: String::new(),
        }),
    };
    assert!(
        world
            .write(async |rows| rows.insert_service_key(&row).await.unwrap())
            .await
    );
    let options = RegistryTokenOptions::new(&world.options, None);
    let tokens = RegistryTokens::new(key, options, Arc::clone(&world.store), world.runtime.clone());
    let identity = proven(basic(&world.credentials(), "alice", "correct horse").await);
    let grants = [("alice/app".to_owned(), vec!["pull"])];
    let mut request = TokenRequest::new(&identity, world.now(), Duration::from_hours(1));
    request.audience = Some("registry.example");
    request.grants = &grants;
    let token = tokens.issue(&request).await.unwrap();
    let shown = proven(bearer(&tokens, &token).await);
    assert_eq!(shown.principal, identity.principal);
    assert_eq!(shown.credential_id, identity.credential_id);
    assert!(matches!(
        &shown.access,
        Access::Grants(grants) if grants.role("alice/app") == Some(RepositoryRole::Read)
    ));
    world
        .write(async |rows| rows.delete_service_key(&row.kid).await.unwrap())
        .await;
    world.clock.advance(Duration::from_secs(30));
    assert!(matches!(bearer(&tokens, &token).await, Authentication::Denied(_)));
}
