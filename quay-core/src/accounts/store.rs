//! The port for accounts and everything that hangs on them.
//!
//! Reads are grouped by concept and serve alone ([`AccountStore::reader`]) and within a unit of work
//! ([`AccountUnit::accounts`]), which adds the writes. A store for a plain registry implements none of
//! this. The suite in `quay_core::testing::accounts` (feature `testing`) proves an implementation.
//!
//! Names, addresses, uuids and codes are compared and sorted bytewise; no text is a pattern. Ids are above
//! zero and never used again. A page goes on behind its `after`, whether that is still there or not, and is
//! shorter than its limit only at the end of the list. Reads within a unit of work see its own changes. A
//! unit of work that meets another one fails with [`Conflict`](crate::StoreErrorKind::Conflict) and is tried
//! again by the caller, as is one that stores a uuid, code or token name that is there already.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use super::log::LogEntry;
use super::record::{
    AccessToken, Account, AccountId, AppToken, Application, AuthorizationCode, Change, Confirmation,
    ConfirmationPurpose, Grant, Grantee, Message, Notice, OAuthToken, Prototype, RepositoryDetails,
    ServiceKey, Starred, Team, TeamInvite, TeamSummary, TokenAssignment,
};
use super::rights::Standing;
use super::role::RepositoryRole;
use super::search::{PopularityWriter, SearchReader};
use crate::error::StoreError;
use crate::metadata::{
    MetadataStore, PageRequest, RepositoryId, RepositoryRecord, RepositoryState, UnitOfWork, Visibility,
};
use crate::name::RepositoryName;
use crate::runtime::Timestamp;

/// By what an account is found.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "the unique keys of an account")]
pub enum AccountKey<'a> {
    /// Its id.
    Id(AccountId),
    /// Its name.
    Name(&'a str),
    /// Its e-mail address.
    Email(&'a str),
    /// Its uuid.
    Uuid(&'a str),
}

/// Which accounts a list holds.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum AccountFilter<'a> {
    /// Users, those that are switched off as well or not.
    Users {
        /// Whether those that are switched off count.
        disabled: bool,
    },
    /// Organizations.
    Organizations,
    /// Robots of a user or organization.
    RobotsOf(AccountId),
    /// Organizations with a team that the account belongs to, those that are switched off left out.
    OrganizationsOf(AccountId),
    /// Users who are members of any team of an organization, each once. Robots do not count.
    MembersOf(AccountId),
    /// Members of one team, robots among them.
    InTeam(i64),
    /// Users with a role of their own in a repository of a namespace, who are in none of its teams. Robots
    /// do not count.
    CollaboratorsOf {
        /// The organization.
        organization: AccountId,
        /// Its name.
        namespace: &'a str,
    },
    /// Users whose names begin with a text, robots of `robots_of` and organizations as well; none that is
    /// switched off.
    Prefix {
        /// The beginning, taken literally.
        prefix: &'a str,
        /// Whose robots count, if any.
        robots_of: Option<AccountId>,
        /// Whether organizations count.
        organizations: bool,
    },
}

/// The last account of a page: lists by name go on behind the name, others behind the id.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the keys that lists are ordered by")]
pub struct AccountCursor {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: String,
}

impl From<&Account> for AccountCursor {
    fn from(account: &Account) -> Self {
        Self {
            id: account.id,
            name: account.name.clone(),
        }
    }
}

/// Accounts, read. Lists of users, organizations and robots are in byte order of the names, others in the
/// order of the ids.
///
/// # Errors
/// Every method: the store's. The same holds for the other traits of this module.
#[async_trait]
pub trait AccountReader: Send {
    /// An account by one of its keys. Deleted ones are not found.
    async fn account(&mut self, key: AccountKey<'_>) -> Result<Option<Account>, StoreError>;

    /// A page of accounts. Cost follows the page, whatever the number of accounts; a page of collaborators
    /// costs those besides who are passed over.
    async fn accounts(
        &mut self,
        filter: AccountFilter<'_>,
        page: &PageRequest<AccountCursor>,
    ) -> Result<Vec<Account>, StoreError>;

    /// Whether there is any user or organization. Cost: one row.
    async fn any_account(&mut self) -> Result<bool, StoreError>;

    /// Whether a namespace holds repositories, those that are being deleted left out.
    async fn has_repositories(&mut self, namespace: &str) -> Result<bool, StoreError>;
}

/// By what a team is found.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "the unique keys of a team")]
pub enum TeamKey<'a> {
    /// Its id.
    Id(i64),
    /// Its organization and name.
    Name(AccountId, &'a str),
}

/// Teams, read.
#[async_trait]
pub trait TeamReader: Send {
    /// A team by one of its keys.
    async fn team(&mut self, key: TeamKey<'_>) -> Result<Option<Team>, StoreError>;

    /// A page of an organization's teams by name. Cost follows the page, and the members and repositories
    /// that are counted.
    async fn teams(
        &mut self,
        organization: AccountId,
        page: &PageRequest<String>,
    ) -> Result<Vec<TeamSummary>, StoreError>;

    /// The teams that an account belongs to: in one organization by name, or in all by id.
    async fn teams_of(
        &mut self,
        account: AccountId,
        organization: Option<AccountId>,
    ) -> Result<Vec<Team>, StoreError>;

    /// Whether an organization has a user who may act and administers it by one of its teams, `but` one not
    /// counted. Cost: one statement.
    async fn has_admin(
        &mut self,
        organization: AccountId,
        but: Option<AccountId>,
    ) -> Result<bool, StoreError>;

    /// The open invitations to a team, oldest first.
    async fn invites(&mut self, team: i64) -> Result<Vec<TeamInvite>, StoreError>;

    /// A page of the open invitations to a team, by id.
    async fn invites_paged(
        &mut self,
        team: i64,
        page: &PageRequest<i64>,
    ) -> Result<Vec<TeamInvite>, StoreError>;

    /// An invitation by its code.
    async fn invite(&mut self, code: &str) -> Result<Option<TeamInvite>, StoreError>;
}

/// Permissions, read.
#[async_trait]
pub trait GrantReader: Send {
    /// What is known of an account with regard to a namespace and one of its repositories: the role that it
    /// was given in the repository, the highest one given there to a team that it belongs to, and the
    /// highest role of its teams in the organization that the namespace is called after. Whether the
    /// namespace is the account's own, and whether the account is a superuser, is the caller's to add.
    ///
    /// Guarantees: all of it is of one moment. Who or what is not there has no standing. Cost: one statement,
    /// which follows the number of the account's teams, whatever the organization's size.
    async fn standing(
        &mut self,
        account: AccountId,
        namespace: &str,
        repository: Option<RepositoryId>,
    ) -> Result<Standing, StoreError>;

    /// The role that somebody was given in a repository.
    async fn grant(
        &mut self,
        repository: RepositoryId,
        grantee: Grantee,
    ) -> Result<Option<RepositoryRole>, StoreError>;

    /// A page of the accounts with a role in a repository, by id.
    async fn account_grants(
        &mut self,
        repository: RepositoryId,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(Account, RepositoryRole)>, StoreError>;

    /// A page of the teams with a role in a repository, by id.
    async fn team_grants(
        &mut self,
        repository: RepositoryId,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(Team, RepositoryRole)>, StoreError>;

    /// A page of the repositories of a namespace in which somebody has a role of their own, by id, those that
    /// are being deleted left out.
    async fn grants_of(
        &mut self,
        grantee: Grantee,
        namespace: &str,
        page: &PageRequest<RepositoryId>,
    ) -> Result<Vec<Grant>, StoreError>;

    /// A page of the repositories that somebody may see, by path: with a role of their own or of a team, in
    /// the namespace called like `account`'s name, in an organization of which a team of theirs is `admin`,
    /// and public ones if asked for. Each once, however many ways there are to it. Images alone, and none
    /// that is being deleted.
    async fn visible(
        &mut self,
        account: Option<(AccountId, &str)>,
        public: bool,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError>;

    /// The default permissions of an organization, oldest first.
    async fn prototypes(&mut self, organization: AccountId) -> Result<Vec<Prototype>, StoreError>;

    /// One of them.
    async fn prototype(
        &mut self,
        organization: AccountId,
        uuid: &str,
    ) -> Result<Option<Prototype>, StoreError>;
}

/// What somebody sees of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sight {
    /// All of it: who owns or administers it.
    Everything,
    /// What they or their teams have a role in, and what is public if asked for.
    Granted {
        /// Who looks, unless it is nobody in particular.
        account: Option<AccountId>,
        /// Whether what is public counts.
        public: bool,
    },
}

/// Repositories as people look at them, read.
#[async_trait]
pub trait RepositoryReader: Send {
    /// A page of a namespace's repositories by path, of what is seen. Each once; images alone, and none that is
    /// being deleted. Cost follows the page, and the repositories of the namespace that are somebody's by roles.
    async fn repositories_in(
        &mut self,
        namespace: &str,
        sight: Sight,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError>;

    /// A page of the repositories that an account has starred, by path, those that are being deleted left out.
    async fn starred_repositories(
        &mut self,
        account: AccountId,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError>;

    /// More about repositories, in any order; nothing of those that are not there. Cost: one statement for a
    /// page, whatever the repositories hold.
    async fn repository_details(
        &mut self,
        repositories: &[RepositoryId],
        account: Option<AccountId>,
        now: Timestamp,
    ) -> Result<Vec<RepositoryDetails>, StoreError>;
}

/// By what an OAuth token is found.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "the unique keys of a token")]
pub enum OAuthTokenKey<'a> {
    /// Its first 20 characters.
    Name(&'a str),
    /// Its uuid.
    Uuid(&'a str),
}

/// Which OAuth tokens a list holds.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a token has an account and an application"
)]
pub enum OAuthTokenFilter {
    /// Those that act for an account.
    Account(AccountId),
    /// Those of an application.
    Application(i64),
}

/// By what an app-specific token is found.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "the unique keys of a token")]
pub enum AppTokenKey<'a> {
    /// Its first 60 characters.
    Name(&'a str),
    /// Its uuid.
    Uuid(&'a str),
}

/// Tokens and applications, read.
#[async_trait]
pub trait CredentialReader: Send {
    /// An app-specific token.
    async fn app_token(&mut self, key: AppTokenKey<'_>) -> Result<Option<AppToken>, StoreError>;

    /// A page of the app-specific tokens of an account, or of all, by id.
    async fn app_tokens(
        &mut self,
        account: Option<AccountId>,
        page: &PageRequest<i64>,
    ) -> Result<Vec<AppToken>, StoreError>;

    /// As [`app_tokens`](Self::app_tokens), those alone that end at a time or before it. Cost follows the
    /// page, and the tokens of the account, or all, that are passed over.
    async fn app_tokens_ending(
        &mut self,
        account: Option<AccountId>,
        by: Timestamp,
        page: &PageRequest<i64>,
    ) -> Result<Vec<AppToken>, StoreError>;

    /// A repository's access token by its first 32 characters. None of a repository that is being deleted.
    async fn access_token(&mut self, name: &str) -> Result<Option<AccessToken>, StoreError>;

    /// An application by its client id.
    async fn application(&mut self, client_id: &str) -> Result<Option<Application>, StoreError>;

    /// The applications of an organization, oldest first.
    async fn applications(&mut self, organization: AccountId) -> Result<Vec<Application>, StoreError>;

    /// An OAuth token with its application.
    async fn oauth_token(
        &mut self,
        key: OAuthTokenKey<'_>,
    ) -> Result<Option<(OAuthToken, Application)>, StoreError>;

    /// A page of OAuth tokens with their applications, by id.
    async fn oauth_tokens(
        &mut self,
        filter: OAuthTokenFilter,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(OAuthToken, Application)>, StoreError>;

    /// A token that a user is asked to make, with the application.
    async fn assignment(&mut self, uuid: &str) -> Result<Option<(TokenAssignment, Application)>, StoreError>;

    /// A page of the tokens that a user is asked to make, or that are to be made for an application, with
    /// their applications, by id.
    async fn assignments(
        &mut self,
        filter: OAuthTokenFilter,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(TokenAssignment, Application)>, StoreError>;
}

/// Keys, messages, notices, stars and changes, read.
#[async_trait]
pub trait NoticeReader: Send {
    /// A service key, usable or not.
    async fn service_key(&mut self, kid: &str) -> Result<Option<ServiceKey>, StoreError>;

    /// A page of service keys, of one service or of all, by kid.
    async fn service_keys(
        &mut self,
        service: Option<&str>,
        page: &PageRequest<String>,
    ) -> Result<Vec<ServiceKey>, StoreError>;

    /// The messages that every user sees, oldest first.
    async fn messages(&mut self) -> Result<Vec<Message>, StoreError>;

    /// What a user was told and has not put away, what was stored last first, `limit` after the first `skip`.
    async fn notices(
        &mut self,
        account: AccountId,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Notice>, StoreError>;

    /// One thing that a user was told, put away or not. `None` when it was told to somebody else.
    async fn notice(&mut self, account: AccountId, uuid: &str) -> Result<Option<Notice>, StoreError>;

    /// Of the codes for one purpose that were sent to an account and not used yet, the one that ends last.
    async fn last_confirmation(
        &mut self,
        account: AccountId,
        purpose: ConfirmationPurpose,
    ) -> Result<Option<Confirmation>, StoreError>;

    /// A page of the repositories that an account has starred, by path, those that are being deleted left
    /// out.
    async fn stars(
        &mut self,
        account: AccountId,
        page: &PageRequest<String>,
    ) -> Result<Vec<Starred>, StoreError>;

    /// The changes recorded since a time or at it, oldest first.
    async fn changes(&mut self, since: Timestamp) -> Result<Vec<Change>, StoreError>;
}

/// Everything that can be read of accounts.
pub trait AccountReads:
    AccountReader + TeamReader + GrantReader + RepositoryReader + SearchReader + CredentialReader + NoticeReader
{
}

impl<T> AccountReads for T where
    T: AccountReader
        + TeamReader
        + GrantReader
        + RepositoryReader
        + SearchReader
        + CredentialReader
        + NoticeReader
        + ?Sized
{
}

/// Accounts, written.
#[async_trait]
pub trait AccountWriter: Send {
    /// Locks an account: until this unit of work ends, another one that locks it waits, or fails with
    /// `Conflict`, and reads afterwards what this one has left. Whoever changes what hangs on an account
    /// according to what hangs on it locks it first. `false` when it is not there; a store whose units of
    /// work follow one another anyway may answer `true` without looking.
    async fn lock_account(&mut self, account: AccountId) -> Result<bool, StoreError>;

    /// Locks the beginnings of a registry: until this unit of work ends, another one that locks them waits,
    /// or fails with `Conflict`, and sees afterwards what this one has left. Whoever creates an account
    /// because there is none locks them before looking. Cost: one row.
    async fn lock_beginnings(&mut self) -> Result<(), StoreError>;

    /// Stores a new account; hands out its id. `None`, with nothing stored, when its name or its e-mail
    /// address is taken. Of units of work that take one name or address at once, one gets it; the others get
    /// `None`, or `Conflict` and then `None`.
    async fn insert_account(&mut self, account: &Account) -> Result<Option<AccountId>, StoreError>;

    /// Stores every field of an account as it is now. `false`, with nothing stored, when its name or its
    /// e-mail address is taken by another; at once with others as
    /// [`insert_account`](Self::insert_account).
    async fn save_account(&mut self, account: &Account) -> Result<bool, StoreError>;

    /// Removes an account with its robots, teams and memberships, permissions and default permissions that
    /// name it, tokens, codes, applications (with everybody's tokens for them), notices, stars, and the
    /// invitations to it and by it. The repositories of its namespace are marked for deletion and out of the
    /// way, so that its name is free at once, also for repositories of the same names. A robot has no
    /// namespace. Cost follows what goes.
    async fn delete_account(&mut self, account: &Account, now: Timestamp) -> Result<(), StoreError>;

    /// Moves all repositories and robots of a namespace to another name, with everything that they hold and
    /// that others have in them. `false`, with nothing moved, when the name of one would be longer than 255
    /// bytes. The account itself is saved by the caller, who has seen to it that there are no repositories
    /// under the new name. Cost follows the namespace.
    async fn rename_namespace(
        &mut self,
        account: AccountId,
        from: &str,
        to: &str,
    ) -> Result<bool, StoreError>;

    /// Notes that an account was used.
    async fn touch_account(&mut self, account: AccountId, now: Timestamp) -> Result<(), StoreError>;

    /// Creates a repository. `None`, with nothing changed, when there is one of that name already.
    async fn create_repository(
        &mut self,
        name: &RepositoryName,
        visibility: Visibility,
        description: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<RepositoryRecord>, StoreError>;
}

/// Repositories as people look at them, written.
#[async_trait]
pub trait RepositoryWriter: Send {
    /// A repository by name, locked until this unit of work ends, whatever its state.
    async fn find_repository(
        &mut self,
        name: &RepositoryName,
    ) -> Result<Option<RepositoryRecord>, StoreError>;

    /// Stores what is said of a repository.
    async fn describe_repository(
        &mut self,
        repository: &RepositoryRecord,
        description: Option<&str>,
    ) -> Result<(), StoreError>;

    /// Stores who may see a repository.
    async fn set_visibility(
        &mut self,
        repository: &RepositoryRecord,
        visibility: Visibility,
    ) -> Result<(), StoreError>;

    /// Stores what may be done to a repository.
    async fn set_state(
        &mut self,
        repository: &RepositoryRecord,
        state: RepositoryState,
    ) -> Result<(), StoreError>;

    /// Marks a repository for deletion and moves it out of the way, so that its name is free at once. The roles
    /// in it, its tokens and the marks on it go; what it holds stays for the collector.
    async fn delete_repository(&mut self, repository: &RepositoryRecord) -> Result<(), StoreError>;
}

/// Teams, written.
#[async_trait]
pub trait TeamWriter: Send {
    /// Stores a new team; hands out its id. `None` when its name is taken.
    async fn insert_team(&mut self, team: &Team) -> Result<Option<i64>, StoreError>;

    /// Stores a team's role and description.
    async fn save_team(&mut self, team: &Team) -> Result<(), StoreError>;

    /// Removes a team with its permissions, default permissions for it, members and invitations.
    async fn delete_team(&mut self, team: i64) -> Result<(), StoreError>;

    /// Adds a member. `false` when it is one already, also by another unit of work of this moment.
    async fn add_member(&mut self, team: i64, account: AccountId) -> Result<bool, StoreError>;

    /// Removes a member. `false` when it is none.
    async fn remove_member(&mut self, team: i64, account: AccountId) -> Result<bool, StoreError>;

    /// Stores an invitation.
    async fn insert_invite(&mut self, invite: &TeamInvite) -> Result<(), StoreError>;

    /// Removes an invitation. `false` when there is none.
    async fn delete_invite(&mut self, id: i64) -> Result<bool, StoreError>;
}

/// Permissions, written.
#[async_trait]
pub trait GrantWriter: Send {
    /// Gives somebody a role in a repository, in place of the one they have.
    async fn set_grant(
        &mut self,
        repository: RepositoryId,
        grantee: Grantee,
        role: RepositoryRole,
    ) -> Result<(), StoreError>;

    /// Takes somebody's role away. `false` when they have none.
    async fn remove_grant(&mut self, repository: RepositoryId, grantee: Grantee) -> Result<bool, StoreError>;

    /// Takes away every role of its own that an account has in a namespace's repositories. Those of its
    /// teams stay.
    async fn remove_grants_in(&mut self, account: AccountId, namespace: &str) -> Result<(), StoreError>;

    /// Stores a new default permission.
    async fn insert_prototype(&mut self, prototype: &Prototype) -> Result<(), StoreError>;

    /// Changes a default permission's role.
    async fn save_prototype(&mut self, prototype: &Prototype) -> Result<(), StoreError>;

    /// Removes a default permission.
    async fn delete_prototype(&mut self, id: i64) -> Result<(), StoreError>;
}

/// Tokens and applications, written.
#[async_trait]
pub trait CredentialWriter: Send {
    /// Stores an app-specific token.
    async fn insert_app_token(&mut self, token: &AppToken) -> Result<(), StoreError>;

    /// Removes an app-specific token.
    async fn delete_app_token(&mut self, id: i64) -> Result<(), StoreError>;

    /// Removes app-specific tokens that ended before a time, not at it, those that ended first before
    /// others, at most `limit`; says how many. Cost follows the limit.
    async fn collect_app_tokens(&mut self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// Notes that an app-specific token was used.
    async fn touch_app_token(&mut self, id: i64, now: Timestamp) -> Result<(), StoreError>;

    /// Stores a repository's access token.
    async fn insert_access_token(&mut self, token: &AccessToken) -> Result<(), StoreError>;

    /// Stores a new application; hands out its id.
    async fn insert_application(&mut self, application: &Application) -> Result<i64, StoreError>;

    /// Stores an application as it is now; its organization and client id stay.
    async fn save_application(&mut self, application: &Application) -> Result<(), StoreError>;

    /// Removes an application with its tokens, its codes and what asks users to make tokens.
    async fn delete_application(&mut self, id: i64) -> Result<(), StoreError>;

    /// Stores an OAuth token.
    async fn insert_oauth_token(&mut self, token: &OAuthToken) -> Result<(), StoreError>;

    /// Removes an OAuth token.
    async fn delete_oauth_token(&mut self, id: i64) -> Result<(), StoreError>;

    /// Notes that an OAuth token was used.
    async fn touch_oauth_token(&mut self, id: i64, now: Timestamp) -> Result<(), StoreError>;

    /// Removes everything by which somebody acts as a user: app-specific tokens, OAuth tokens, the codes for
    /// them and what asks for more of them, and codes sent by mail.
    async fn delete_credentials(&mut self, account: AccountId) -> Result<(), StoreError>;

    /// Stores that a user is asked to make a token.
    async fn insert_assignment(&mut self, assignment: &TokenAssignment) -> Result<(), StoreError>;

    /// Removes what asks a user to make a token; says whether it was there. Of two units of work at most one
    /// hears that it was.
    async fn delete_assignment(&mut self, id: i64) -> Result<bool, StoreError>;

    /// Stores an authorization code.
    async fn insert_code(&mut self, code: &AuthorizationCode) -> Result<(), StoreError>;

    /// Takes an authorization code out: nobody gets it a second time, unless this unit of work is undone. Of
    /// takers at once, one gets it.
    async fn take_code(&mut self, name: &str) -> Result<Option<AuthorizationCode>, StoreError>;

    /// Removes authorization codes that ended before a time, as
    /// [`collect_app_tokens`](Self::collect_app_tokens) does.
    async fn collect_codes(&mut self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;
}

/// Keys, messages, notices, stars, changes and the action log, written.
#[async_trait]
pub trait NoticeWriter: Send {
    /// Stores a new service key. `false` when there is one of that kid.
    async fn insert_service_key(&mut self, key: &ServiceKey) -> Result<bool, StoreError>;

    /// Stores a service key as it is now.
    async fn save_service_key(&mut self, key: &ServiceKey) -> Result<(), StoreError>;

    /// Removes a service key. `false` when there is none.
    async fn delete_service_key(&mut self, kid: &str) -> Result<bool, StoreError>;

    /// Stores a message.
    async fn insert_message(&mut self, message: &Message) -> Result<(), StoreError>;

    /// Removes a message. `false` when there is none.
    async fn delete_message(&mut self, uuid: &str) -> Result<bool, StoreError>;

    /// Stores a notice.
    async fn insert_notice(&mut self, notice: &Notice) -> Result<(), StoreError>;

    /// Puts a notice away, or back.
    async fn dismiss_notice(&mut self, uuid: &str, dismissed: bool) -> Result<(), StoreError>;

    /// Removes everybody's notices that are found by `lookup`.
    async fn delete_notices(&mut self, lookup: &str) -> Result<(), StoreError>;

    /// Stores a code that was sent by mail.
    async fn insert_confirmation(&mut self, confirmation: &Confirmation) -> Result<(), StoreError>;

    /// Takes a code out, as [`CredentialWriter::take_code`] does.
    async fn take_confirmation(&mut self, code_hash: &str) -> Result<Option<Confirmation>, StoreError>;

    /// Removes all codes for one purpose that were sent to an account.
    async fn delete_confirmations(
        &mut self,
        account: AccountId,
        purpose: ConfirmationPurpose,
    ) -> Result<(), StoreError>;

    /// Removes codes sent by mail that ended before a time, as
    /// [`CredentialWriter::collect_app_tokens`] does.
    async fn collect_confirmations(&mut self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// Marks a repository. `false` when it is marked already.
    async fn star(&mut self, account: AccountId, repository: RepositoryId) -> Result<bool, StoreError>;

    /// Takes the mark away. `false` when there is none.
    async fn unstar(&mut self, account: AccountId, repository: RepositoryId) -> Result<bool, StoreError>;

    /// Records a change that tokens must feel. Of changes to one subject the latest time is kept, whatever
    /// the order in which they are recorded: clocks of several processes differ.
    async fn change(&mut self, subject: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Removes changes recorded before a time, which no token can feel any more.
    async fn forget_changes(&mut self, before: Timestamp) -> Result<(), StoreError>;

    /// Appends to the action log, as [`ActionLog`](super::ActionLog) does. Who and what it is about need not
    /// be there, and may go later: the entry stays.
    async fn log(&mut self, entry: &LogEntry) -> Result<(), StoreError>;
}

/// Everything that can be read and written of accounts, within a unit of work.
pub trait AccountWrites:
    AccountReads
    + AccountWriter
    + TeamWriter
    + GrantWriter
    + RepositoryWriter
    + PopularityWriter
    + CredentialWriter
    + NoticeWriter
{
}

impl<T> AccountWrites for T where
    T: AccountReads
        + AccountWriter
        + TeamWriter
        + GrantWriter
        + RepositoryWriter
        + PopularityWriter
        + CredentialWriter
        + NoticeWriter
        + ?Sized
{
}

/// A unit of work of a store that keeps accounts.
pub trait AccountUnit: UnitOfWork {
    /// Accounts and everything that hangs on them.
    fn accounts(&mut self) -> &mut dyn AccountWrites;
}

/// A store that keeps accounts beside repositories.
#[async_trait]
pub trait AccountStore: MetadataStore + Debug {
    /// Reads that stand alone; each sees what was committed before it began, also what was committed since
    /// the reader was made.
    fn reader(&self) -> Box<dyn AccountReads>;

    /// Opens a unit of work, as [`MetadataStore::begin`] does.
    ///
    /// # Errors
    /// The store's.
    async fn begin_accounts(&self) -> Result<Box<dyn AccountUnit>, StoreError>;
}
