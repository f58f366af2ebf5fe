//! Accounts: users, organizations, teams, robots, permissions and tokens.

mod applications;
mod assignment;
mod authorization;
mod explain;
mod facade;
mod federation;
mod human;
mod invites;
mod keys;
mod log;
mod login;
mod name;
mod operator;
mod options;
mod organizations;
mod permissions;
mod policies;
mod ports;
mod quotas;
mod record;
mod registry_access;
mod repositories;
mod rights;
mod robots;
mod role;
mod search;
mod sign_up;
mod store;
mod superuser;
mod teams;
mod tokens;
mod users;

pub use applications::{ApplicationChanges, ApplicationView, IssuedToken, OAUTH_TOKEN_LIFETIME, TOKEN_NAME};
pub use authorization::{AuthorizationRequest, CheckedRequest, NotAuthorized};
pub use explain::{Explanation, Known, KnownTeam, Reason, ReasonKind, RepositoryAction, explain};
pub use facade::{Accounts, CHANGE_MEMORY, Subject, Tools};
pub use federation::FederationRule;
pub use human::HumanCheck;
pub use keys::{CreatedServiceKey, KeyPut, KeyStatus, ServiceKeyView};
pub use organizations::{Member, OrganizationChanges, OrganizationView};
pub use permissions::{Delegate, PrototypeView, UserPermission};
pub use policies::{PolicyInput, PolicyPlace, PolicyView};
pub use quotas::{QuotaPlace, QuotaReport, QuotaView};
pub use registry_access::{AccountAuthorizer, AskedActions, AskedScope, Changes, RegistryToken};
pub use robots::{Robot, RobotDetail, RobotOwner};
pub use search::{
    Counted, Found, FoundRepository, Popularity, PopularityWriter, RepositorySearch, SearchReader,
};
pub use sign_up::{Initialized, Recovery, SignUp};
pub use superuser::CreatedUser;
pub use teams::{TeamMember, TeamMembers};
pub use tokens::{ACCESS_TOKEN_NAME, APP_TOKEN_NAME, Entities};
pub use users::{Me, Membership, UserChanges};

pub use log::{ActionLog, LogEntry, LogKind};
pub use name::{is_account_name, is_email, robot_name};
pub use options::{AccountOptions, AvatarSource};
pub use ports::{
    FederatedSubject, HashingLeave, KeyServerToken, LoginEngine, Mail, Mailer, NewKeyPair, PasswordHasher,
    PasswordVerdict, RegistryClaims, RobotTokens, Seal, SecretBox, ServiceKeyCrypto, TokenIssuer,
    TokenRequest,
};
pub use record::{
    AccessToken, Account, AccountId, AccountKind, AppToken, Application, AuthorizationCode, Change,
    Confirmation, ConfirmationPurpose, Grant, Grantee, KeyApproval, Message, Notice, OAuthToken, Prototype,
    RepositoryDetails, ServiceKey, Starred, Team, TeamInvite, TeamSummary, TokenAssignment,
};
pub use repositories::{ListedRepository, RepositoryList, RepositoryView};
pub use rights::{Reach, Standing};
pub use role::{RepositoryRole, Scope, ScopeSet, TeamRole, UserRole};
pub use store::{
    AccountCursor, AccountFilter, AccountKey, AccountReader, AccountReads, AccountStore, AccountUnit,
    AccountWriter, AccountWrites, AppTokenKey, CredentialReader, CredentialWriter, GrantReader, GrantWriter,
    NoticeReader, NoticeWriter, OAuthTokenFilter, OAuthTokenKey, RepositoryReader, RepositoryWriter, Sight,
    TeamKey, TeamReader, TeamWriter,
};
