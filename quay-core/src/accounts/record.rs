//! What is stored of accounts: one struct per kind of row.

use super::role::{RepositoryRole, ScopeSet, TeamRole};
use crate::metadata::{RepositoryId, Visibility};
use crate::runtime::Timestamp;

/// An account's id. 64 bits, never used again.
pub type AccountId = i64;

/// What an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccountKind {
    /// A person.
    User,
    /// An organization.
    Organization,
    /// A robot account of a person or an organization.
    Robot,
}

impl AccountKind {
    /// The name under which it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Organization => "organization",
            Self::Robot => "robot",
        }
    }

    /// Reads a stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "user" => Some(Self::User),
            "organization" => Some(Self::Organization),
            "robot" => Some(Self::Robot),
            _ => None,
        }
    }
}

/// A user, an organization or a robot (data-model, section 1).
///
/// `id` is 0 until it has been stored.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the columns that data-model describes")]
#[expect(clippy::exhaustive_structs, reason = "stores build it column by column")]
pub struct Account {
    pub id: AccountId,
    /// Changes whenever what was issued to the account must stop to count.
    pub uuid: String,
    pub name: String,
    pub kind: AccountKind,
    /// Whose robot it is.
    pub owner: Option<AccountId>,
    pub email: Option<String>,
    /// The password's hash; none for organizations, robots and users without a password.
    pub password_hash: Option<String>,
    pub verified: bool,
    pub enabled: bool,
    /// How long the time machine remembers, in seconds.
    pub tag_expiration_s: i64,
    pub invalid_logins: i64,
    pub last_invalid_login: Option<Timestamp>,
    pub invoice_email: bool,
    pub invoice_email_address: Option<String>,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub company: Option<String>,
    pub location: Option<String>,
    pub created: Timestamp,
    pub last_accessed: Option<Timestamp>,
    /// A robot's description.
    pub description: String,
    /// A robot's metadata, a JSON object.
    pub metadata: String,
    /// A robot's token, sealed.
    pub robot_token: Option<String>,
    /// Identity providers whose tokens stand for this robot: a JSON list of issuer and subject.
    pub federation: Option<String>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Account")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// An account that is not stored yet: enabled, not verified.
    #[must_use]
    pub fn new(kind: AccountKind, name: &str, uuid: String, created: Timestamp) -> Self {
        Self {
            id: 0,
            uuid,
            name: name.to_owned(),
            kind,
            owner: None,
            email: None,
            password_hash: None,
            verified: false,
            enabled: true,
            tag_expiration_s: 1_209_600,
            invalid_logins: 0,
            last_invalid_login: None,
            invoice_email: false,
            invoice_email_address: None,
            given_name: None,
            family_name: None,
            company: None,
            location: None,
            created,
            last_accessed: None,
            description: String::new(),
            metadata: "{}".to_owned(),
            robot_token: None,
            federation: None,
        }
    }

    /// Whether it is a robot.
    #[must_use]
    pub fn is_robot(&self) -> bool {
        self.kind == AccountKind::Robot
    }

    /// Whether it is an organization.
    #[must_use]
    pub fn is_organization(&self) -> bool {
        self.kind == AccountKind::Organization
    }
}

/// A row: a struct whose fields say all there is to say.
macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            #[expect(clippy::exhaustive_structs, reason = "stores build it column by column")]
            pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
        )*
    };
}

/// A row with a secret in it: as [`rows`], and prints no more than the fields that it shows.
macro_rules! secret_rows {
    ($($(#[$doc:meta])* $name:ident shows($($shown:ident),*) {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, PartialEq, Eq)]
            #[expect(clippy::exhaustive_structs, reason = "stores build it column by column")]
            pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

            impl std::fmt::Debug for $name {
                fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter
                        .debug_struct(stringify!($name))
                        $(.field(stringify!($shown), &self.$shown))*
                        .finish_non_exhaustive()
                }
            }
        )*
    };
}

rows! {
    /// A team of an organization.
    Team {
        /// Its id, 0 until it is stored.
        id: i64,
        /// Its organization.
        organization: AccountId,
        /// Its name, unique in the organization.
        name: String,
        /// What its members may do.
        role: TeamRole,
        /// What it is for, Markdown.
        description: String,
    }
    /// A team as lists show it.
    TeamSummary {
        /// The team.
        team: Team,
        /// How many members it has.
        members: i64,
        /// In how many repositories it has a role.
        repositories: i64,
    }
    /// Who a role in a repository is given to, and which.
    Grant {
        /// The repository.
        repository: i64,
        /// The repository's path.
        path: String,
        /// Who may see the repository anyway.
        visibility: Visibility,
        /// Who has the role.
        grantee: Grantee,
        /// The role.
        role: RepositoryRole,
    }
    /// A default permission: a role that is given in each repository that somebody creates.
    Prototype {
        /// Its id, 0 until it is stored.
        id: i64,
        /// How it is addressed.
        uuid: String,
        /// The organization.
        organization: AccountId,
        /// Whose new repositories it is about; everybody's when absent.
        activating: Option<AccountId>,
        /// Who is given the role.
        delegate: Grantee,
        /// The role.
        role: RepositoryRole,
    }
    /// A public key of a service.
    ServiceKey {
        /// Identifies it everywhere.
        kid: String,
        /// What it is called.
        name: String,
        /// The service.
        service: String,
        /// The key, a JSON object.
        jwk: String,
        /// What is known of it, a JSON object.
        metadata: String,
        /// When it was made.
        created: Timestamp,
        /// When it ends, if it does.
        expires: Option<Timestamp>,
        /// How often it is to be replaced, in seconds.
        rotation_s: Option<i64>,
        /// Who said that it may be used.
        approval: Option<KeyApproval>,
    }
    /// Somebody's word that a key may be used.
    KeyApproval {
        /// `Super User API`, `Key Rotation` or `Automatic`.
        kind: String,
        /// Who, if it was a person.
        approver: Option<AccountId>,
        /// When.
        at: Timestamp,
        /// Why.
        notes: String,
    }
    /// A message that every user sees.
    Message {
        /// How it is addressed.
        uuid: String,
        /// The text.
        content: String,
        /// `info`, `warning` or `error`.
        severity: String,
        /// `text/plain` or `text/markdown`.
        media_type: String,
    }
    /// A repository that somebody has marked.
    Starred {
        /// The repository's path.
        path: String,
        /// What it is.
        description: Option<String>,
        /// Who may see it.
        visibility: Visibility,
    }
    /// A change that must be felt by tokens issued before it.
    Change {
        /// What changed: see [`Subject`](super::Subject).
        subject: String,
        /// When.
        at: Timestamp,
    }
}

secret_rows! {
    /// Somebody who has been asked to join a team.
    TeamInvite shows(id, team, account, inviter) {
        /// Its id, 0 until it is stored.
        id: i64,
        /// The team.
        team: i64,
        /// Who is asked, when it is somebody with an account.
        account: Option<AccountId>,
        /// Where the question went, when it is somebody without.
        email: Option<String>,
        /// Who asks.
        inviter: AccountId,
        /// What proves that the question arrived.
        code: String,
    }
    /// An application that asks for OAuth tokens.
    Application shows(id, organization, client_id, name) {
        /// Its id, 0 until it is stored.
        id: i64,
        /// The organization that it belongs to.
        organization: AccountId,
        /// How it is addressed: 20 characters.
        client_id: String,
        /// Its secret of 40 characters, sealed.
        client_secret: String,
        /// Its name.
        name: String,
        /// What it is.
        description: String,
        /// Where it is.
        application_uri: String,
        /// Where tokens may be sent.
        redirect_uri: String,
        /// Whose avatar it shows.
        avatar_email: Option<String>,
    }
    /// An OAuth access token.
    OAuthToken shows(id, uuid, application, account, scopes, expires) {
        /// Its id, 0 until it is stored.
        id: i64,
        /// How it is addressed.
        uuid: String,
        /// The application that it was made for.
        application: i64,
        /// Who it acts for.
        account: AccountId,
        /// The first 20 characters, by which it is found.
        name: String,
        /// The hash of the rest.
        hash: String,
        /// What it may be used for.
        scopes: ScopeSet,
        /// When it was made.
        created: Timestamp,
        /// When it ends.
        expires: Timestamp,
        /// When it was used last, roughly.
        last_accessed: Option<Timestamp>,
        /// What its maker called it.
        title: Option<String>,
        /// Who made it, where that is not who it acts for.
        creator: Option<AccountId>,
    }
    /// A token that an organization's administrator has asked a user to make for an application.
    TokenAssignment shows(uuid, application, account, scopes) {
        /// The row.
        id: i64,
        /// How it is addressed.
        uuid: String,
        /// The application that is to get the token.
        application: i64,
        /// Who is asked, and will be acted for.
        account: AccountId,
        /// Where the token is to be sent.
        redirect_uri: String,
        /// What the token may be used for.
        scopes: ScopeSet,
    }
    /// A code that an application exchanges for a token, once.
    AuthorizationCode shows(application, account, scopes, expires) {
        /// The first 20 characters, by which it is found.
        name: String,
        /// The hash of the rest.
        hash: String,
        /// The application.
        application: i64,
        /// Who the token will act for.
        account: AccountId,
        /// What it may be used for.
        scopes: ScopeSet,
        /// Where the code was sent.
        redirect_uri: String,
        /// The PKCE challenge (RFC 7636, S256), if the application gave one.
        challenge: Option<String>,
        /// When it ends.
        expires: Timestamp,
    }
    /// A token that stands for a user in one program.
    AppToken shows(id, uuid, account, expires) {
        /// Its id, 0 until it is stored.
        id: i64,
        /// How it is addressed.
        uuid: String,
        /// Whose it is.
        account: AccountId,
        /// What the user calls it.
        title: String,
        /// The first 60 characters, by which it is found.
        name: String,
        /// The other 60, sealed.
        secret: String,
        /// When it was made.
        created: Timestamp,
        /// When it ends, if it does.
        expires: Option<Timestamp>,
        /// When it was used last, roughly.
        last_accessed: Option<Timestamp>,
    }
    /// A token for one repository.
    AccessToken shows(id, repository, role) {
        /// Its id, 0 until it is stored.
        id: i64,
        /// The repository.
        repository: i64,
        /// The repository's path.
        path: String,
        /// What it is called.
        friendly_name: String,
        /// The first 32 characters, by which it is found.
        name: String,
        /// The other 32, sealed.
        code: String,
        /// What it allows.
        role: RepositoryRole,
        /// When it was made.
        created: Timestamp,
    }
    /// Something that one user is told.
    Notice shows(uuid, account, kind, dismissed) {
        /// How it is addressed.
        uuid: String,
        /// Who is told.
        account: AccountId,
        /// What kind of thing.
        kind: String,
        /// What about it, a JSON object.
        metadata: String,
        /// When.
        created: Timestamp,
        /// Whether it has been put away.
        dismissed: bool,
        /// By what it is found again when the reason for it ends.
        lookup: Option<String>,
    }
    /// A code that was sent by mail.
    Confirmation shows(account, purpose, expires) {
        /// The code, hashed.
        code_hash: String,
        /// Whose address it proves.
        account: AccountId,
        /// What it is for.
        purpose: ConfirmationPurpose,
        /// The address that becomes the account's.
        new_email: Option<String>,
        /// When it ends.
        expires: Timestamp,
    }
}

/// Who is given a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "somebody or a team")]
pub enum Grantee {
    /// A user or robot.
    Account(AccountId),
    /// A team.
    Team(i64),
}

/// What a code sent by mail is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfirmationPurpose {
    /// Proving a new account's address.
    Confirm,
    /// Choosing a new password.
    Recover,
}

impl ConfirmationPurpose {
    /// The name under which it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Recover => "recover",
        }
    }

    /// Reads a stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "confirm" => Some(Self::Confirm),
            "recover" => Some(Self::Recover),
            _ => None,
        }
    }
}

/// What is said and known of a repository besides what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row, made by stores")]
pub struct RepositoryDetails {
    /// Which.
    pub repository: RepositoryId,
    /// What is said of it.
    pub description: Option<String>,
    /// When the newest of its tags that are alive began.
    pub last_modified: Option<Timestamp>,
    /// Whether the account that looks has starred it.
    pub is_starred: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "SECRETSECRET";

    fn secret() -> String {
        SECRET.to_owned()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one record of each kind")]
    fn what_is_printed_holds_no_secret() {
        let (id, now) = (7, Timestamp::from_millis(1));
        let printed = [
            format!(
                "{:?}",
                TeamInvite {
                    id,
                    team: id,
                    account: None,
                    email: Some(secret()),
                    inviter: id,
                    code: secret(),
                }
            ),
            format!(
                "{:?}",
                Application {
                    id,
                    organization: id,
                    client_id: String::new(),
                    client_secret: secret(),
                    name: String::new(),
                    description: String::new(),
                    application_uri: String::new(),
                    redirect_uri: String::new(),
                    avatar_email: Some(secret()),
                }
            ),
            format!(
                "{:?}",
                OAuthToken {
                    id,
                    uuid: String::new(),
                    application: id,
                    account: id,
                    name: secret(),
                    hash: secret(),
                    scopes: ScopeSet::default(),
                    created: now,
                    expires: now,
                    last_accessed: None,
                    title: None,
                    creator: None,
                }
            ),
            format!(
                "{:?}",
                AuthorizationCode {
                    name: secret(),
                    hash: secret(),
                    application: id,
                    account: id,
                    scopes: ScopeSet::default(),
                    redirect_uri: String::new(),
                    challenge: Some(secret()),
                    expires: now,
                }
            ),
            format!(
                "{:?}",
                AppToken {
                    id,
                    uuid: String::new(),
                    account: id,
                    title: String::new(),
                    name: secret(),
                    secret: secret(),
                    created: now,
                    expires: None,
                    last_accessed: None,
                }
            ),
            format!(
                "{:?}",
                AccessToken {
                    id,
                    repository: id,
                    path: String::new(),
                    friendly_name: String::new(),
                    name: secret(),
                    code: secret(),
                    role: RepositoryRole::Read,
                    created: now,
                }
            ),
            format!(
                "{:?}",
                Notice {
                    uuid: String::new(),
                    account: id,
                    kind: String::new(),
                    metadata: format!("{{\"code\":\"{SECRET}\"}}"),
                    created: now,
                    dismissed: false,
                    lookup: Some(secret()),
                }
            ),
            format!(
                "{:?}",
                Confirmation {
                    code_hash: secret(),
                    account: id,
                    purpose: ConfirmationPurpose::Recover,
                    new_email: Some(secret()),
                    expires: now,
                }
            ),
            format!(
                "{:?}",
                crate::accounts::Mail::new(secret(), String::new(), format!("open {SECRET}"))
            ),
        ];
        for printed in printed {
            assert!(!printed.contains(SECRET), "{printed}");
            assert!(printed.ends_with(".. }"), "{printed}");
        }
    }
}
