//! What there is before anybody calls: one of everything, and of what users own, one for each.

use std::sync::Arc;

use quay_auth::Bcrypt;
use quay_core::accounts::{
    Account, AccountId, AccountKind, AccountOptions, AccountWrites, AppToken, Application, Grantee,
    KeyApproval, Message, Notice, OAuthToken, PasswordHasher as _, Prototype, RepositoryRole, Scope,
    ScopeSet, SecretBox as _, ServiceKey, Team, TeamInvite, TeamRole, TokenAssignment,
};
use quay_core::metadata::{
    LabelRecord, LabelSource, NewManifest, PolicyKind, PolicyOwner, PolicyRecord, QuotaLimitKind, QuotaOwner,
    TagTarget, Visibility,
};
use quay_core::runtime::{Clock as _, Random as _, Timestamp};
use quay_core::testing::SeededRandom;
use quay_core::{Algorithm, Digest, MediaType, RepositoryName, Tag, accounts::AccountUnit};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::support::{Host, directory, everything, secrets};

pub(super) const ROBOT_TOKEN: &str = "ROBOTROBOTROBOTROBOTROBOTROBOTROBOTROBOTROBOTROBOTROBOTROBOTROBO";
/// The OAuth application of the organization.
pub(super) const CLIENT: &str = "CLIENTCLIENTCLIENTCL";
const USERS: [&str; 6] = ["admin", "creator", "member", "other", "root", "spare"];

/// The options of a registry where every operation is served and `root` is a superuser.
pub(crate) fn registry() -> AccountOptions {
    let mut options = everything();
    options.superusers.insert("root".to_owned());
    options
}

/// A host of its own with what there is before anybody calls.
pub(crate) async fn fresh(options: AccountOptions) -> Host {
    let directory = directory();
    for (name, content) in template().await {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    Host::open(options, directory, later_random()).await
}

/// A host where nobody has an account.
pub(crate) async fn empty(options: AccountOptions) -> Host {
    Host::open(options, directory(), later_random()).await
}

/// Makes other names and codes than those that there are already.
fn later_random() -> SeededRandom {
    let random = SeededRandom::default();
    random.fill(&mut vec![0; 1 << 18]);
    random
}

/// The files of a database with everything in it. Filling it takes longer than copying it.
async fn template() -> &'static [(String, Vec<u8>)] {
    static TEMPLATE: OnceCell<Vec<(String, Vec<u8>)>> = OnceCell::const_new();
    let files = TEMPLATE.get_or_init(|| async {
        let host = Host::open(registry(), directory(), SeededRandom::default()).await;
        let mut unit = host.accounts.store().begin_accounts().await.unwrap();
        Filling::new(&mut *unit, host.clock.now()).fill().await;
        content(&mut *unit, host.clock.now()).await;
        quotas(&mut *unit).await;
        policies(&mut *unit).await;
        unit.commit().await.unwrap();
        let database = host.database();
        let mut files = Vec::new();
        for ending in ["", "-wal"] {
            let path = format!("{}{ending}", database.display());
            let name = path.rsplit('/').next().unwrap().to_owned();
            if let Ok(content) = std::fs::read(&path) {
                files.push((name, content));
            }
        }
        files
    });
    files.await
}

/// Manifests of `org/app` and `org/open`: `latest` has pointed at the old one and points at the new one.
const OLD_MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[],"annotations":{"version":"old"}}"#;
const NEW_MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[],"annotations":{"version":"new"}}"#;
/// The digests of these manifests.
pub(super) const OLD: &str = "sha256:bdd2b8d6b319e783f9b0a35e506ce4b169c135577390a78cc0072566b038ce7f";
pub(super) const NEW: &str = "sha256:ef1c955332214e3597c2c7b50d13a24476db032200d9e556020adcf78bbfbf67";

/// Quotas of the organization (1, with the levels 1 and 2), the administrator (2, with the level 3) and `org/app`
/// (3, with the level 4).
async fn quotas(unit: &mut dyn AccountUnit) {
    let name = RepositoryName::from_path("org/app").unwrap();
    let repository = unit.repositories().find(&name).await.unwrap().unwrap().id;
    for (owner, levels) in [
        (
            QuotaOwner::Namespace("org".to_owned()),
            &[(QuotaLimitKind::Warning, 80), (QuotaLimitKind::Reject, 100)][..],
        ),
        (
            QuotaOwner::Namespace("admin".to_owned()),
            &[(QuotaLimitKind::Warning, 90)],
        ),
        (
            QuotaOwner::Repository(repository),
            &[(QuotaLimitKind::Warning, 70)],
        ),
    ] {
        let quotas = unit.quotas().unwrap();
        let id = quotas.insert_quota(&owner, 10 << 30).await.unwrap().unwrap();
        for (kind, percent) in levels {
            quotas.insert_limit(id, *kind, *percent).await.unwrap();
        }
    }
}

/// What the repositories hold.
async fn content(unit: &mut dyn AccountUnit, now: Timestamp) {
    for path in ["org/app", "org/open"] {
        let name = RepositoryName::from_path(path).unwrap();
        let repository = unit.repositories().find(&name).await.unwrap().unwrap().id;
        for (bytes, digest) in [(OLD_MANIFEST, OLD), (NEW_MANIFEST, NEW)] {
            let media_type = MediaType::known(MediaType::OCI_MANIFEST);
            let manifest = NewManifest::new(digest.parse().unwrap(), media_type, bytes.into());
            let (id, _) = unit.manifests().put(repository, &manifest, now).await.unwrap();
            let tag = Tag::new("latest").unwrap();
            unit.tags()
                .set(repository, &tag, TagTarget::new(id), now)
                .await
                .unwrap();
            let label = |uuid: &str, source| {
                LabelRecord::new(
                    format!("{uuid}-{repository}-{id}"),
                    "version".to_owned(),
                    "1".to_owned(),
                    "text/plain".to_owned(),
                    source,
                )
            };
            let labels = if (path, digest) == ("org/app", NEW) {
                let given = |uuid: &str, source| {
                    let mut label = label("", source);
                    uuid.clone_into(&mut label.uuid);
                    label
                };
                [
                    given("came-along", LabelSource::Manifest),
                    given("was-given", LabelSource::Api),
                ]
            } else {
                [
                    label("came-along", LabelSource::Manifest),
                    label("was-given", LabelSource::Api),
                ]
            };
            let kept = unit.labels().unwrap();
            kept.insert(repository, id, &labels).await.unwrap();
        }
        if path == "org/app" {
            let id = "1".repeat(64);
            let image = json!({
                "schemaVersion": 1,
                "name": path,
                "tag": "old",
                "fsLayers": [{ "blobSum": OLD }],
                "history": [{ "v1Compatibility": json!({ "id": id }).to_string() }],
            });
            let bytes = image.to_string();
            let digest = Digest::of(Algorithm::Sha256, bytes.as_bytes());
            let media_type = MediaType::known(MediaType::DOCKER_SCHEMA1);
            let manifest = NewManifest::new(digest, media_type, bytes.into());
            let (id, _) = unit.manifests().put(repository, &manifest, now).await.unwrap();
            let tag = Tag::new("old").unwrap();
            let target = TagTarget::new(id);
            unit.tags().set(repository, &tag, target, now).await.unwrap();
        }
    }
}

/// A policy of each kind for the organization, each user and `org/app`.
async fn policies(unit: &mut dyn AccountUnit) {
    let app = RepositoryName::from_path("org/app").unwrap();
    let app = unit.repositories().find(&app).await.unwrap().unwrap().id;
    let mut owners = vec![
        ("org", PolicyOwner::Namespace("org".to_owned())),
        ("app", PolicyOwner::Repository(app)),
    ];
    owners.extend(USERS.map(|name| (name, PolicyOwner::Namespace(name.to_owned()))));
    let kept = unit.lifecycle().unwrap();
    for (name, owner) in owners {
        for (kind, content) in [
            (
                PolicyKind::Prune,
                json!({ "method": "number_of_tags", "value": 100, "keep_pulled_within": "30d" }),
            ),
            (
                PolicyKind::Immutability,
                json!({ "tag_pattern": "no-such-tag", "tag_pattern_matches": true }),
            ),
        ] {
            let uuid = format!("{}-{name}", kind.as_str());
            let policy = PolicyRecord::new(uuid, kind, owner.clone(), content.to_string());
            kept.insert_policy(&policy).await.unwrap();
        }
    }
}

/// A token's value, by the name of the role that has it.
pub(super) fn token_value(name: &str) -> String {
    format!("{name:N<20}{name:S<20}")
}

/// The name of the token that has one scope.
pub(super) fn only(scope: Scope) -> String {
    format!("only{}", scope.as_str().replace(':', ""))
}

/// The name of the token that has all scopes but one, and not `super:user`.
pub(super) fn all_but(scope: Scope) -> String {
    format!("but{}", scope.as_str().replace(':', ""))
}

struct Filling<'a> {
    unit: &'a mut dyn AccountWrites,
    now: Timestamp,
    random: Arc<SeededRandom>,
    hasher: Bcrypt,
}

impl<'a> Filling<'a> {
    fn new(unit: &'a mut dyn AccountUnit, now: Timestamp) -> Self {
        let random = Arc::new(SeededRandom::default());
        Self {
            unit: unit.accounts(),
            now,
            hasher: Bcrypt::new(Arc::clone(&random) as _).with_cost(4),
            random,
        }
    }

    async fn fill(&mut self) {
        let organization = self.account(AccountKind::Organization, "org", None).await;
        let mut users = Vec::new();
        for name in USERS {
            users.push((name, self.account(AccountKind::User, name, None).await));
        }
        let user = |name: &str| users.iter().find(|(known, _)| *known == name).unwrap().1;
        let robot = self
            .account(AccountKind::Robot, "org+bot", Some(organization))
            .await;

        let members = self.teams(organization, &user).await;
        self.repositories(robot, members, user("spare")).await;
        let application = self.application(organization).await;
        self.tokens(application, user("admin"), user("root")).await;
        self.organization_extras(organization, members, user("admin"))
            .await;
        for (name, id) in &users {
            self.own_things(name, *id, application, organization, user("admin"))
                .await;
        }
        self.registry_wide(user("root")).await;
    }

    async fn account(&mut self, kind: AccountKind, name: &str, owner: Option<AccountId>) -> AccountId {
        let mut account = Account::new(kind, name, format!("uuid-{name}"), self.now);
        account.verified = true;
        account.owner = owner;
        match kind {
            AccountKind::Robot => account.robot_token = Some(self.sealed(ROBOT_TOKEN)),
            _ => account.email = Some(format!("{name}@registry.example")),
        }
        if kind == AccountKind::User {
            account.password_hash = Some(self.hasher.hash(&format!("{name}-password")).unwrap());
        }
        self.unit.insert_account(&account).await.unwrap().unwrap()
    }

    fn sealed(&self, secret: &str) -> String {
        secrets(Arc::clone(&self.random) as _).seal(secret)
    }

    /// Teams of each role; the id of the one with plain members.
    async fn teams(&mut self, organization: AccountId, user: &(dyn Fn(&str) -> AccountId + Sync)) -> i64 {
        let mut of_members = 0;
        for (name, role, member) in [
            ("owners", TeamRole::Admin, Some("admin")),
            ("makers", TeamRole::Creator, Some("creator")),
            ("members", TeamRole::Member, Some("member")),
            ("invited", TeamRole::Member, None),
        ] {
            let team = self.team(organization, name, role).await;
            if let Some(member) = member {
                assert!(self.unit.add_member(team, user(member)).await.unwrap());
            }
            if name == "members" {
                of_members = team;
            }
        }
        of_members
    }

    async fn team(&mut self, organization: AccountId, name: &str, role: TeamRole) -> i64 {
        let team = Team {
            id: 0,
            organization,
            name: name.to_owned(),
            role,
            description: format!("the team {name}"),
        };
        self.unit.insert_team(&team).await.unwrap().unwrap()
    }

    async fn repositories(&mut self, robot: AccountId, members: i64, spare: AccountId) {
        for (path, visibility) in [
            ("org/app", Visibility::Private),
            ("org/open", Visibility::Public),
            ("org/starless", Visibility::Public),
        ] {
            let name = RepositoryName::from_path(path).unwrap();
            let created = self
                .unit
                .create_repository(&name, visibility, Some("about it"), self.now);
            let record = created.await.unwrap().unwrap();
            for (grantee, role) in [
                (Grantee::Account(robot), RepositoryRole::Read),
                (Grantee::Account(spare), RepositoryRole::Write),
                (Grantee::Team(members), RepositoryRole::Read),
            ] {
                self.unit.set_grant(record.id, grantee, role).await.unwrap();
            }
            if path == "org/open" {
                for name in USERS {
                    let key = quay_core::accounts::AccountKey::Name(name);
                    let account = self.unit.account(key).await.unwrap().unwrap();
                    assert!(self.unit.star(account.id, record.id).await.unwrap());
                }
            }
        }
    }

    async fn application(&mut self, organization: AccountId) -> i64 {
        let application = Application {
            id: 0,
            organization,
            client_id: CLIENT.to_owned(),
            client_secret: self.sealed("the secret of the application"),
            name: "an application".to_owned(),
            description: "about it".to_owned(),
            application_uri: "https://application.example".to_owned(),
            redirect_uri: "https://application.example/back".to_owned(),
            avatar_email: None,
        };
        self.unit.insert_application(&application).await.unwrap()
    }

    async fn tokens(&mut self, application: i64, admin: AccountId, root: AccountId) {
        let but_superuser: Vec<_> = Scope::ALL
            .iter()
            .copied()
            .filter(|scope| *scope != Scope::Superuser)
            .collect();
        for (name, account, scopes) in [
            ("all", admin, &but_superuser[..]),
            ("reporead", admin, &[Scope::ReadRepo]),
            ("userread", admin, &[Scope::ReadUser]),
            ("super", root, Scope::ALL),
            ("nosuper", root, &but_superuser),
        ] {
            self.token(application, account, name, scopes).await;
        }
        for &scope in Scope::ALL {
            let account = if scope == Scope::Superuser { root } else { admin };
            let others: Vec<_> = Scope::ALL
                .iter()
                .copied()
                .filter(|other| *other != scope && *other != Scope::Superuser)
                .collect();
            let (only, but) = (only(scope), all_but(scope));
            self.token(application, account, &only, &[scope]).await;
            self.token(application, account, &but, &others).await;
        }
    }

    async fn token(&mut self, application: i64, account: AccountId, name: &str, scopes: &[Scope]) {
        let value = token_value(name);
        let (visible, secret) = value.split_at(20);
        let token = OAuthToken {
            id: 0,
            uuid: format!("token-{name}"),
            application,
            account,
            name: visible.to_owned(),
            hash: self.hasher.hash(secret).unwrap(),
            scopes: ScopeSet::of(scopes),
            created: self.now,
            expires: self.now.plus(std::time::Duration::from_hours(24)),
            last_accessed: None,
            title: Some(name.to_owned()),
            creator: Some(account),
        };
        self.unit.insert_oauth_token(&token).await.unwrap();
    }

    async fn organization_extras(&mut self, organization: AccountId, members: i64, admin: AccountId) {
        let prototype = Prototype {
            id: 0,
            uuid: "prototype".to_owned(),
            organization,
            activating: Some(admin),
            delegate: Grantee::Team(members),
            role: RepositoryRole::Read,
        };
        self.unit.insert_prototype(&prototype).await.unwrap();
        let invite = TeamInvite {
            id: 0,
            team: members,
            account: None,
            email: Some("asked@registry.example".to_owned()),
            inviter: admin,
            code: "code-by-mail".to_owned(),
        };
        self.unit.insert_invite(&invite).await.unwrap();
    }

    /// What a user has of their own.
    async fn own_things(
        &mut self,
        name: &str,
        id: AccountId,
        application: i64,
        organization: AccountId,
        admin: AccountId,
    ) {
        self.account(AccountKind::Robot, &format!("{name}+bot"), Some(id))
            .await;
        self.token(application, id, name, &[Scope::ReadRepo]).await;
        let token = AppToken {
            id: 0,
            uuid: format!("app-{name}"),
            account: id,
            title: "on a laptop".to_owned(),
            name: format!("{name:A<60}"),
            secret: self.sealed(&format!("{name:B<60}")),
            created: self.now,
            expires: None,
            last_accessed: None,
        };
        self.unit.insert_app_token(&token).await.unwrap();
        let assignment = TokenAssignment {
            id: 0,
            uuid: format!("asked-{name}"),
            application,
            account: id,
            redirect_uri: "https://application.example/back".to_owned(),
            scopes: ScopeSet::of(&[Scope::ReadRepo]),
        };
        self.unit.insert_assignment(&assignment).await.unwrap();
        let key = quay_core::accounts::TeamKey::Name(organization, "invited");
        let team = self.unit.team(key).await.unwrap().unwrap();
        let code = format!("code-{name}");
        let invite = TeamInvite {
            id: 0,
            team: team.id,
            account: Some(id),
            email: None,
            inviter: admin,
            code: code.clone(),
        };
        self.unit.insert_invite(&invite).await.unwrap();
        let notice = Notice {
            uuid: format!("notice-{name}"),
            account: id,
            kind: "org_team_invite".to_owned(),
            metadata: json!({ "code": code, "org": "org", "team": "invited", "inviter": "admin" })
                .to_string(),
            created: self.now,
            dismissed: false,
            lookup: Some(format!("org_team_invite:{code}")),
        };
        self.unit.insert_notice(&notice).await.unwrap();
    }

    async fn registry_wide(&mut self, root: AccountId) {
        let approval = KeyApproval {
            kind: "Super User API".to_owned(),
            approver: Some(root),
            at: self.now,
            notes: "looks good".to_owned(),
        };
        for (kid, approval) in [("approved", Some(approval)), ("waiting", None)] {
            let key = ServiceKey {
                kid: kid.to_owned(),
                name: format!("the key {kid}"),
                service: "service".to_owned(),
                jwk: json!({ "kty": "RSA", "kid": kid }).to_string(),
                metadata: json!({ "of": "a test" }).to_string(),
                created: self.now,
                expires: None,
                rotation_s: None,
                approval,
            };
            assert!(self.unit.insert_service_key(&key).await.unwrap());
        }
        let message = Message {
            uuid: "message".to_owned(),
            content: "back at six".to_owned(),
            severity: "info".to_owned(),
            media_type: "text/plain".to_owned(),
        };
        self.unit.insert_message(&message).await.unwrap();
    }
}
