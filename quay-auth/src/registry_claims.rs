//! What tokens for the registry protocol say of an identity, and back (registry-protocol, section 4).

use std::sync::Arc;
use std::time::Duration;

use quay_core::accounts::{Account, AccountOptions, RegistryClaims, RepositoryRole, ScopeSet};
use quay_core::auth::Identity;
use quay_core::runtime::Timestamp;
use quay_core::{Access, CredentialKind, Namespace, Principal, RepositoryName, TokenGrants};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Whose token it is when it is nobody's.
const ANONYMOUS: &str = "(anonymous)";
/// Content trust, which this registry does not sign for.
const NO_ROOT: &str = "$disabled";

/// What a token grants in one repository: an entry of its `access` claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AccessEntry {
    /// `repository`; nothing else grants anything.
    #[serde(rename = "type")]
    pub kind: String,
    /// The repository's name as the client wrote it.
    pub name: String,
    /// `push`, `pull` and `*`: what was granted of what was asked for, perhaps nothing.
    pub actions: Vec<String>,
}

impl AccessEntry {
    /// What is granted in a repository.
    #[must_use]
    pub fn repository(name: impl Into<String>, actions: Vec<String>) -> Self {
        Self {
            kind: "repository".to_owned(),
            name: name.into(),
            actions,
        }
    }

    fn role(&self) -> Option<RepositoryRole> {
        let role = |action: &String| match action.as_str() {
            "*" => Some(RepositoryRole::Admin),
            "push" => Some(RepositoryRole::Write),
            "pull" => Some(RepositoryRole::Read),
            _ => None,
        };
        self.actions.iter().filter_map(role).max()
    }
}

/// How the names in tokens are to be read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenNames {
    /// `SERVER_HOSTNAME`, which clients may put before a name.
    pub hostname: String,
    /// The namespace of names that have none, if there is one (`LIBRARY_NAMESPACE`).
    pub library: Option<Namespace>,
    /// Whether the scope `super:user` means anything here (`FEATURE_SUPER_USERS`).
    pub superusers: bool,
}

impl TokenNames {
    /// For a registry with these options.
    #[must_use]
    pub fn new(options: &AccountOptions, library: Option<Namespace>) -> Self {
        Self {
            hostname: options.hostname.clone(),
            library,
            superusers: options.superusers_enabled,
        }
    }

    fn path(&self, name: &str) -> Option<String> {
        let without_host = name
            .strip_prefix(&self.hostname)
            .and_then(|rest| rest.strip_prefix('/'));
        let name = RepositoryName::parse(without_host.unwrap_or(name), self.library.as_ref()).ok()?;
        Some(name.path().to_owned())
    }
}

/// The `context` claim, as far as it is read.
#[derive(Debug, Deserialize)]
pub(crate) struct Context {
    version: Option<i64>,
    entity_kind: Option<String>,
    entity_reference: Option<String>,
    scope: Option<String>,
    credential: Option<String>,
}

/// What is known of the credential behind an identity: its kind, and how far it reaches.
fn credential_of(identity: &Identity) -> (CredentialKind, &Access) {
    match &identity.access {
        Access::Grants(grants) => (grants.credential, &grants.behind),
        access => (identity.kind, access),
    }
}

/// The `subject` claim of an identity: a name, `(anonymous)`, or nobody's for a repository's token.
#[must_use]
pub fn subject_of(identity: &Identity) -> Option<String> {
    match &identity.principal {
        Principal::User(name) | Principal::Robot(name) => Some(name.to_string()),
        Principal::Token(_) => None,
        _ => Some(ANONYMOUS.to_owned()),
    }
}

/// The `context` claim of an identity, without the keys of content trust. `account` is the identity's
/// account: its uuid stands in where the identity names no credential.
///
/// Beside what Quay writes, `scope` holds how far an OAuth token reaches, and `credential` which secret of a
/// robot's it was. A repository's token is named by its public half, never by its code.
#[must_use]
pub fn context_of(identity: &Identity, account: Option<&Account>) -> Value {
    let (credential, access) = credential_of(identity);
    let (entity, legacy) = match (&identity.principal, credential) {
        (Principal::User(_), CredentialKind::OAuthToken) => ("oauthtoken", "oauth"),
        (Principal::User(_), CredentialKind::AppSpecificToken) => ("appspecifictoken", "user"),
        (Principal::User(_), _) => ("user", "user"),
        (Principal::Robot(_), _) => ("robot", "user"),
        (Principal::Token(_), _) => ("token", "token"),
        _ => return Value::Object(Map::new()),
    };
    let reference = match &identity.principal {
        Principal::Robot(name) | Principal::Token(name) => Some(name.to_string()),
        _ => identity.credential_id.as_deref().map(ToOwned::to_owned),
    };
    let reference = reference.or_else(|| account.map(|account| account.uuid.clone()));
    let mut context = Map::new();
    let mut put = |name: &str, value: Value| {
        context.insert(name.to_owned(), value);
    };
    put("version", 2.into());
    put("entity_kind", entity.into());
    put("entity_reference", reference.clone().into());
    put("kind", legacy.into());
    // A robot's uuid changes with its secret: what was issued for the one before can be told.
    if let (Principal::Robot(_), Some(uuid)) = (&identity.principal, &identity.credential_id) {
        put("credential", uuid.as_ref().into());
    }
    match &identity.principal {
        Principal::User(name) | Principal::Robot(name) => put("user", name.as_ref().into()),
        _ => put("token", reference.clone().into()),
    }
    match (access, entity) {
        (Access::Own, _) | (Access::Repository { .. }, "token") => {}
        (Access::Scopes(scopes), _) => put("scope", scopes.to_string().into()),
        // Whatever else limits a credential has no place in a token: nothing is left of it.
        _ => put("scope", "".into()),
    }
    if entity == "oauthtoken" {
        put("oauth", reference.into());
    }
    Value::Object(context)
}

/// What a token for an identity says. `account` is the identity's account, if it has one; `audience` is the
/// service that the client asked for; `grants` is what was granted.
///
/// The time of issue is cut to whole seconds, which is all that a token can say.
#[must_use]
pub fn claims(
    identity: &Identity,
    account: Option<&Account>,
    audience: Option<String>,
    grants: &[AccessEntry],
    issued: Timestamp,
    lifetime: Duration,
) -> RegistryClaims {
    let mut context = context_of(identity, account);
    let roots: Map<String, Value> = grants
        .iter()
        .map(|entry| (entry.name.clone(), NO_ROOT.into()))
        .collect();
    if let Value::Object(context) = &mut context {
        context.insert("com.apostille.roots".to_owned(), roots.into());
        context.insert("com.apostille.root".to_owned(), NO_ROOT.into());
    }
    let access: Vec<Value> = grants
        .iter()
        .map(|entry| serde_json::json!({ "type": entry.kind, "name": entry.name, "actions": entry.actions }))
        .collect();
    RegistryClaims::new(
        audience,
        subject_of(identity),
        issued,
        lifetime,
        access.into(),
        context,
    )
}

/// Whom a token's claims speak of, and what they grant. Pure: proves nothing, looks nothing up. `None` for
/// claims that this registry does not make.
#[must_use]
pub fn identity_of(claims: &RegistryClaims, names: &TokenNames) -> Option<Identity> {
    let access = Vec::<AccessEntry>::deserialize(&claims.access).ok()?;
    let context = Context::deserialize(&claims.context).ok()?;
    identity(
        claims.subject.as_deref(),
        None,
        claims.issued,
        &access,
        &context,
        names,
    )
}

pub(crate) fn identity(
    subject: Option<&str>,
    id: Option<&str>,
    issued: Timestamp,
    access: &[AccessEntry],
    context: &Context,
    names: &TokenNames,
) -> Option<Identity> {
    let roles: Vec<(String, RepositoryRole)> = access
        .iter()
        .filter(|entry| entry.kind == "repository")
        .filter_map(|entry| Some((names.path(&entry.name)?, entry.role()?)))
        .collect();
    let reference = context.entity_reference.as_deref();
    let (principal, credential) = match (context.version, context.entity_kind.as_deref(), subject) {
        (None, None, Some(ANONYMOUS)) | (Some(2), Some("anonymous"), Some(ANONYMOUS)) => {
            (Principal::Anonymous, CredentialKind::None)
        }
        (Some(2), Some("token"), None) => (Principal::Token(reference?.into()), CredentialKind::AccessToken),
        (Some(2), Some(kind), Some(name)) if !name.is_empty() && name != ANONYMOUS => match kind {
            "user" => (Principal::User(name.into()), CredentialKind::Password),
            "robot" => (Principal::Robot(name.into()), CredentialKind::RobotToken),
            "oauthtoken" => (Principal::User(name.into()), CredentialKind::OAuthToken),
            "appspecifictoken" => (Principal::User(name.into()), CredentialKind::AppSpecificToken),
            _ => return None,
        },
        _ => return None,
    };
    let behind = match (&context.scope, credential) {
        (Some(scope), _) => Access::Scopes(ScopeSet::parse(scope, names.superusers)),
        // Not one of ours, so that nobody knows how far it reached.
        (None, CredentialKind::OAuthToken) => Access::Scopes(ScopeSet::default()),
        (None, CredentialKind::AccessToken) => match roles.as_slice() {
            [(path, role)] => Access::Repository {
                path: path.as_str().into(),
                role: *role,
            },
            _ => Access::Scopes(ScopeSet::default()),
        },
        (None, _) => Access::Own,
    };
    let mut grants = TokenGrants::new(issued, credential, behind, roles);
    grants.id = id.map(Into::into);
    let mut identity =
        Identity::new(principal, CredentialKind::RegistryToken).with_access(Access::Grants(Arc::new(grants)));
    let reference = match credential {
        CredentialKind::RobotToken => context.credential.as_deref().or(reference),
        _ => reference,
    };
    if let (Some(reference), false) = (reference, credential == CredentialKind::None) {
        identity = identity.with_credential_id(reference);
    }
    Some(identity)
}

#[cfg(test)]
mod tests;
