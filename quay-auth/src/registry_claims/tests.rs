use proptest::prelude::*;
use proptest::sample::subsequence;
use quay_core::accounts::{AccountKind, Scope};
use serde_json::json;

use super::*;

const LIFETIME: Duration = Duration::from_hours(1);

fn names() -> TokenNames {
    let options = AccountOptions::new("https", "registry.example:8443");
    TokenNames::new(&options, Some(Namespace::new("library").unwrap()))
}

fn issued() -> Timestamp {
    Timestamp::from_millis(1_600_000_000_000)
}

fn entry(name: &str, actions: &[&str]) -> AccessEntry {
    AccessEntry::repository(name, actions.iter().map(ToString::to_string).collect())
}

fn grants(identity: &Identity) -> &TokenGrants {
    match &identity.access {
        Access::Grants(grants) => grants,
        other => panic!("{other:?}"),
    }
}

fn read(subject: Option<&str>, access: Value, context: Value) -> Option<Identity> {
    let subject = subject.map(ToOwned::to_owned);
    identity_of(
        &RegistryClaims::new(None, subject, issued(), LIFETIME, access, context),
        &names(),
    )
}

#[test]
fn what_quay_writes() {
    let user = Identity::new(Principal::User("alice".into()), CredentialKind::Password);
    let account = Account::new(AccountKind::User, "alice", "the-uuid".into(), issued());
    let entries = [entry("registry.example:8443/alice/app", &["push", "pull"])];
    let written = claims(
        &user,
        Some(&account),
        Some("service".into()),
        &entries,
        issued(),
        LIFETIME,
    );
    assert_eq!(written.audience.as_deref(), Some("service"));
    assert_eq!(written.subject.as_deref(), Some("alice"));
    assert_eq!(
        written.access,
        json!([{ "type": "repository", "name": "registry.example:8443/alice/app", "actions": ["push", "pull"] }])
    );
    assert_eq!(
        written.context,
        json!({
            "version": 2, "entity_kind": "user", "entity_reference": "the-uuid",
            "kind": "user", "user": "alice",
            "com.apostille.roots": { "registry.example:8443/alice/app": "$disabled" },
            "com.apostille.root": "$disabled",
        })
    );
    let nobody = Identity::new(Principal::Anonymous, CredentialKind::None);
    let written = claims(&nobody, None, None, &[], issued(), LIFETIME);
    assert_eq!(written.subject.as_deref(), Some("(anonymous)"));
    assert_eq!(
        written.context,
        json!({ "com.apostille.roots": {}, "com.apostille.root": "$disabled" })
    );
    let token = Identity::new(Principal::Token("NAME".into()), CredentialKind::AccessToken);
    let written = claims(&token, None, None, &[], issued(), LIFETIME);
    assert_eq!(written.subject, None);
    assert_eq!(written.context["entity_reference"], "NAME");
}

#[test]
fn the_strongest_action_counts_and_names_are_read_like_names() {
    let context = json!({ "version": 2, "entity_kind": "user", "entity_reference": "u", "more": [1] });
    for (name, actions, expected) in [
        ("a/b", json!(["pull"]), Some(("a/b", RepositoryRole::Read))),
        (
            "a/b",
            json!(["pull", "push"]),
            Some(("a/b", RepositoryRole::Write)),
        ),
        (
            "a/b",
            json!(["push", "*", "pull"]),
            Some(("a/b", RepositoryRole::Admin)),
        ),
        ("a/b", json!([]), None),
        ("a/b", json!(["delete", "PULL"]), None),
        (
            "app",
            json!(["pull"]),
            Some(("library/app", RepositoryRole::Read)),
        ),
        ("a/b/c", json!(["pull"]), Some(("a/b/c", RepositoryRole::Read))),
        (
            "registry.example:8443/a/b",
            json!(["pull"]),
            Some(("a/b", RepositoryRole::Read)),
        ),
        (
            "registry.example:8443/app",
            json!(["pull"]),
            Some(("library/app", RepositoryRole::Read)),
        ),
        ("registry.example:8443a/b", json!(["pull"]), None),
        ("../b", json!(["pull"]), None),
        ("A/b", json!(["pull"]), None),
        ("", json!(["pull"]), None),
    ] {
        let access = json!([
            { "type": "registry", "name": "catalog", "actions": ["*"] },
            { "type": "repository", "name": name, "actions": actions },
        ]);
        let identity = read(Some("alice"), access, context.clone()).unwrap();
        let expected: Vec<_> = expected
            .map(|(path, role)| (path.to_owned(), role))
            .into_iter()
            .collect();
        assert_eq!(grants(&identity).roles, expected, "{name}");
    }
}

#[test]
fn claims_that_are_not_made_here_are_nobodys() {
    let user = |context: Value| read(Some("alice"), json!([]), context);
    assert!(user(json!({ "version": 2, "entity_kind": "user" })).is_some());
    for context in [
        json!({}),
        json!(null),
        json!([]),
        json!({ "version": 1, "entity_kind": "user" }),
        json!({ "entity_kind": "user" }),
        json!({ "kind": "user", "user": "alice" }),
        json!({ "version": 2, "entity_kind": "system" }),
        json!({ "version": 2, "entity_kind": "anonymous" }),
        json!({ "version": 2, "entity_kind": "token", "entity_reference": "x" }),
        json!({ "version": "2", "entity_kind": "user" }),
        json!({ "version": 2, "entity_kind": ["user"] }),
        json!({ "version": 2, "entity_kind": "user", "scope": ["repo:read"] }),
    ] {
        assert_eq!(user(context.clone()), None, "{context}");
    }
    let context = json!({ "version": 2, "entity_kind": "user" });
    for subject in [None, Some(""), Some("(anonymous)")] {
        assert_eq!(read(subject, json!([]), context.clone()), None, "{subject:?}");
    }
    for access in [
        json!(null),
        json!({}),
        json!(["x"]),
        json!([{ "type": "repository" }]),
    ] {
        assert_eq!(read(Some("alice"), access, context.clone()), None);
    }
    assert_eq!(
        read(None, json!([]), json!({ "version": 2, "entity_kind": "token" })),
        None
    );
}

#[test]
fn a_limit_that_is_missing_is_no_reason_to_have_none() {
    let nothing = Access::Scopes(ScopeSet::default());
    let oauth = json!({ "version": 2, "entity_kind": "oauthtoken", "entity_reference": "u" });
    assert_eq!(
        grants(&read(Some("alice"), json!([]), oauth.clone()).unwrap()).behind,
        nothing
    );
    for scope in ["repo:everything", "repo:read super:user root"] {
        let mut oauth = oauth.clone();
        oauth["scope"] = scope.into();
        assert_eq!(
            grants(&read(Some("alice"), json!([]), oauth).unwrap()).behind,
            nothing
        );
    }
    let token = json!({ "version": 2, "entity_kind": "token", "entity_reference": "N" });
    assert_eq!(grants(&read(None, json!([]), token).unwrap()).behind, nothing);
    // A limit that no token can express leaves nothing.
    let limited = Identity::new(Principal::User("alice".into()), CredentialKind::Password).with_access(
        Access::Repository {
            path: "a/b".into(),
            role: RepositoryRole::Read,
        },
    );
    let read_back = identity_of(&claims(&limited, None, None, &[], issued(), LIFETIME), &names()).unwrap();
    assert_eq!(grants(&read_back).behind, nothing);
}

fn any_scopes() -> impl Strategy<Value = ScopeSet> {
    subsequence(Scope::ALL, 0..=Scope::ALL.len()).prop_map(|scopes| ScopeSet::of(&scopes))
}

fn any_role() -> impl Strategy<Value = RepositoryRole> {
    proptest::sample::select(RepositoryRole::ALL)
}

fn any_identity() -> impl Strategy<Value = (Identity, Vec<(String, RepositoryRole)>)> {
    let name = "[a-z0-9]{2,8}(\\+[a-z]{2,5})?";
    let paths = prop::collection::vec(("[a-z]{2,5}/[a-z]{2,5}", any_role()), 0..4);
    (name, "[A-Za-z0-9-]{1,40}", paths, any_scopes(), 0..6).prop_map(|(name, id, paths, scopes, kind)| {
        let user = || Principal::User(name.as_str().into());
        let identity = match kind {
            0 => Identity::new(user(), CredentialKind::Password).with_credential_id(id),
            1 => Identity::new(Principal::Robot(name.as_str().into()), CredentialKind::RobotToken)
                .with_credential_id(id),
            2 => Identity::new(user(), CredentialKind::AppSpecificToken).with_credential_id(id),
            3 => Identity::new(user(), CredentialKind::OAuthToken)
                .with_credential_id(id)
                .with_access(Access::Scopes(scopes)),
            4 => {
                let (path, role) = paths
                    .first()
                    .cloned()
                    .unwrap_or(("some/where".to_owned(), RepositoryRole::Read));
                let access = Access::Repository {
                    path: path.as_str().into(),
                    role,
                };
                let token = Principal::Token(id.as_str().into());
                let identity = Identity::new(token, CredentialKind::AccessToken)
                    .with_credential_id(id)
                    .with_access(access);
                return (identity, vec![(path, role)]);
            }
            _ => Identity::new(Principal::Anonymous, CredentialKind::None),
        };
        (identity, paths)
    })
}

proptest! {
    /// Whatever a token is issued for is what it stands for, also when it is issued once more.
    #[test]
    fn identities_come_back((identity, roles) in any_identity()) {
        let entries: Vec<_> = roles
            .iter()
            .map(|(path, role)| match role {
                RepositoryRole::Read => entry(path, &["pull"]),
                RepositoryRole::Write => entry(path, &["pull", "push"]),
                _ => entry(path, &["*", "pull", "push"]),
            })
            .collect();
        let written = claims(&identity, None, None, &entries, issued(), LIFETIME);
        let back = identity_of(&written, &names()).unwrap();
        prop_assert_eq!(&back.principal, &identity.principal);
        prop_assert_eq!(&back.credential_id, &identity.credential_id);
        prop_assert_eq!(back.kind, CredentialKind::RegistryToken);
        let granted = grants(&back);
        prop_assert_eq!(granted.credential, identity.kind);
        prop_assert_eq!(&granted.behind, &identity.access);
        prop_assert_eq!(&granted.roles, &roles);
        prop_assert_eq!(granted.issued, issued());
        let again = claims(&back, None, None, &entries, issued(), LIFETIME);
        prop_assert_eq!(again.context, written.context);
        prop_assert_eq!(again.subject, written.subject);
    }

    #[test]
    fn no_claims_upset_it(subject in proptest::option::of("\\PC{0,9}"), kind in "[a-z]{0,9}", name in "\\PC{0,30}") {
        let context = json!({ "version": 2, "entity_kind": kind, "entity_reference": name });
        let access = json!([{ "type": "repository", "name": name, "actions": [name, "pull"] }]);
        let _ = read(subject.as_deref(), access, context);
    }
}
