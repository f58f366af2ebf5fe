//! Accounts: users, organizations, teams, robots, permissions and tokens.

mod log;
mod name;
mod options;
mod ports;
mod record;
mod rights;
mod role;
mod store;

pub use log::{ActionLog, LogEntry, LogKind};
pub use name::{is_account_name, is_email, robot_name};
pub use options::AccountOptions;
pub use ports::{
    KeyServerToken, LoginEngine, Mail, Mailer, NewKeyPair, PasswordHasher, PasswordVerdict, RegistryClaims,
    Seal, SecretBox, ServiceKeyCrypto, TokenIssuer,
};
pub use record::{
    AccessToken, Account, AccountId, AccountKind, AppToken, Application, AuthorizationCode, Change,
    Confirmation, ConfirmationPurpose, Grant, Grantee, KeyApproval, Message, Notice, OAuthToken, Prototype,
    ServiceKey, Starred, Team, TeamInvite, TeamSummary,
};
pub use rights::{Reach, Standing};
pub use role::{RepositoryRole, Scope, ScopeSet, TeamRole, UserRole};
pub use store::{
    AccountFilter, AccountKey, AccountReader, AccountReads, AccountStore, AccountUnit, AccountWriter,
    AccountWrites, AppTokenKey, CredentialReader, CredentialWriter, GrantReader, GrantWriter, NoticeReader,
    NoticeWriter, OAuthTokenFilter, OAuthTokenKey, TeamKey, TeamReader, TeamWriter,
};
