//! What accounts need of their host: hashing, sealing, mail, tokens and keys.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::auth::Identity;
use crate::error::StoreError;
use crate::runtime::Timestamp;

/// Leave to compute one hash, kept until it is computed.
#[derive(Debug)]
pub struct HashingLeave {
    _kept: Option<Box<dyn Debug + Send>>,
}

impl HashingLeave {
    /// Leave that is given back when this value is dropped.
    #[must_use]
    pub fn new(kept: impl Debug + Send + 'static) -> Self {
        let kept: Box<dyn Debug + Send> = Box::new(kept);
        Self { _kept: Some(kept) }
    }

    /// Leave that nobody else lacks.
    #[must_use]
    pub const fn free() -> Self {
        Self { _kept: None }
    }
}

/// Hashes passwords and compares them. Takes up to a second of a processor: call it by way of
/// [`runtime::blocking`](crate::runtime::blocking), with [`leave`](Self::leave).
#[async_trait]
pub trait PasswordHasher: Debug + Send + Sync + 'static {
    /// Waits for leave to compute one hash. Everybody has it at once, unless the implementation limits how
    /// many are computed at a time. Dropped, it waits no more.
    ///
    /// # Errors
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) when too many wait already.
    async fn leave(&self) -> Result<HashingLeave, StoreError> {
        Ok(HashingLeave::free())
    }

    /// The text to be stored for a password.
    ///
    /// # Errors
    /// When randomness or memory is missing.
    fn hash(&self, password: &str) -> Result<String, StoreError>;

    /// Whether `password` is the one that `hash` was made of. `false` as well for a hash that cannot be
    /// read. Takes as long for a wrong password as for the right one.
    fn verify(&self, password: &str, hash: &str) -> bool;
}

/// Keeps secrets that are shown again: encrypts them for the database (data-model, section 9).
pub trait SecretBox: Debug + Send + Sync + 'static {
    /// Encrypts a text.
    fn seal(&self, plain: &str) -> String;

    /// Decrypts what [`seal`](Self::seal) or Quay made.
    ///
    /// # Errors
    /// [`Corrupt`](crate::StoreErrorKind::Corrupt) when it was made with another key or changed.
    fn open(&self, sealed: &str) -> Result<String, StoreError>;
}

/// Hands values to clients who bring them back: sessions, page tokens, links in mails. They can neither
/// read nor change them.
pub trait Seal: Debug + Send + Sync + 'static {
    /// Seals bytes for one purpose; the text holds letters, digits, `-` and `_` only.
    fn seal(&self, purpose: &str, content: &[u8]) -> String;

    /// What was sealed for this purpose; `None` for anything else.
    fn open(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>>;

    /// A password as clients may keep it, to be used in its place (data-model, section 9).
    fn encrypt_password(&self, password: &str) -> String;

    /// The password in a text that [`encrypt_password`](Self::encrypt_password) or Quay made; `None` when
    /// it is none.
    fn decrypt_password(&self, text: &str) -> Option<String>;
}

/// What a token for the registry protocol says (registry-protocol, section 4).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RegistryClaims {
    /// Who the token is for: `service` as the client sent it.
    pub audience: Option<String>,
    /// Whose it is: a user's or robot's name, `(anonymous)`, or nobody's for a repository's token.
    pub subject: Option<String>,
    /// From when.
    pub issued: Timestamp,
    /// For how long.
    pub lifetime: Duration,
    /// What it grants: the `access` claim.
    pub access: serde_json::Value,
    /// What proved the identity: the `context` claim.
    pub context: serde_json::Value,
}

impl RegistryClaims {
    /// Claims.
    #[must_use]
    pub const fn new(
        audience: Option<String>,
        subject: Option<String>,
        issued: Timestamp,
        lifetime: Duration,
        access: serde_json::Value,
        context: serde_json::Value,
    ) -> Self {
        Self {
            audience,
            subject,
            issued,
            lifetime,
            access,
            context,
        }
    }
}

/// A token for the registry protocol that is to be issued.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenRequest<'a> {
    /// Whose it is, and by which credential.
    pub identity: &'a Identity,
    /// The identity's account, if it has one.
    pub account: Option<&'a super::Account>,
    /// Who the token will be shown to: `service` as the client sent it.
    pub audience: Option<&'a str>,
    /// Repositories, named as the client did, and the actions granted in each.
    pub grants: &'a [(String, Vec<&'static str>)],
    /// From when it counts.
    pub issued: Timestamp,
    /// For how long.
    pub lifetime: Duration,
}

impl<'a> TokenRequest<'a> {
    /// A request for a token that grants nothing and is for nobody in particular.
    #[must_use]
    pub const fn new(identity: &'a Identity, issued: Timestamp, lifetime: Duration) -> Self {
        Self {
            identity,
            account: None,
            audience: None,
            grants: &[],
            issued,
            lifetime,
        }
    }
}

/// Signs tokens for the registry protocol.
#[async_trait]
pub trait TokenIssuer: Debug + Send + Sync + 'static {
    /// Signs a token. Whoever reads it gets back the identity, as far as its credential reached, and the
    /// grants.
    ///
    /// # Errors
    /// When there is no key to sign with.
    async fn issue(&self, request: &TokenRequest<'_>) -> Result<String, StoreError>;

    /// The id of the key that is signed with, for whoever looks for what is wrong; none where there are no
    /// ids.
    fn key_id(&self) -> Option<String> {
        None
    }
}

/// What an identity provider said of a robot, and the robot's owner trusts it to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FederatedSubject {
    /// The provider: the claim `iss`.
    pub issuer: String,
    /// Who that is there: the claim `sub`.
    pub subject: String,
}

impl FederatedSubject {
    /// A subject of an issuer.
    #[must_use]
    pub const fn new(issuer: String, subject: String) -> Self {
        Self { issuer, subject }
    }
}

/// Lets robots log in with what an identity provider says of them (`quay-api.md`, 3.4).
#[async_trait]
pub trait RobotTokens: Debug + Send + Sync + 'static {
    /// Whether tokens of an issuer can be judged at all, by how it is reached.
    fn takes_issuer(&self, issuer: &str) -> bool {
        let _ = issuer;
        true
    }

    /// Judges a token of an identity provider by what the robot's `federation` trusts. `None` when it is
    /// not trusted, not valid now, or cannot be judged because the provider does not answer; the operator's
    /// log tells these apart.
    ///
    /// Guarantees: only providers that the robot names are asked anything.
    ///
    /// Cancellation: nothing is left behind; the provider's keys may still be fetched, for the next.
    ///
    /// Cost: no statement; two calls to the provider when its keys are not known.
    async fn judge(&self, robot: &super::Account, token: &str) -> Option<FederatedSubject>;

    /// A token of this registry that counts as the robot's password for an hour: until the robot gets
    /// another token of its own, is deleted, or stops to trust `subject`.
    ///
    /// # Errors
    /// When there is no key to sign with.
    async fn issue(
        &self,
        robot: &super::Account,
        subject: &FederatedSubject,
        issued: Timestamp,
    ) -> Result<String, StoreError>;

    /// Whether a token is one that [`issue`](Self::issue) made for this robot, on any instance of this
    /// registry, and counts now.
    ///
    /// Cost: a statement when the key that it is signed with has not been looked up lately.
    ///
    /// # Errors
    /// The store's.
    async fn is_issued(&self, robot: &super::Account, token: &str) -> Result<bool, StoreError>;
}

/// A key pair for a service (`quay-api.md`, 3.12).
#[derive(Clone)]
#[non_exhaustive]
pub struct NewKeyPair {
    /// Identifies the key (data-model, section 5).
    pub kid: String,
    /// The public key as a JWK.
    pub jwk: serde_json::Value,
    /// The public key as PEM.
    pub public_pem: String,
    /// The private key as PEM. Nobody keeps it but whom it is handed to.
    pub private_pem: String,
}

impl NewKeyPair {
    /// A pair.
    #[must_use]
    pub const fn new(kid: String, jwk: serde_json::Value, public_pem: String, private_pem: String) -> Self {
        Self {
            kid,
            jwk,
            public_pem,
            private_pem,
        }
    }
}

impl Debug for NewKeyPair {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NewKeyPair")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// A token that one service presents to manage its keys, taken apart but not yet trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyServerToken {
    /// The key that it claims to be signed with.
    pub kid: String,
    /// The service that it claims to come from.
    pub issuer: String,
}

impl KeyServerToken {
    /// What a token claims.
    #[must_use]
    pub const fn new(kid: String, issuer: String) -> Self {
        Self { kid, issuer }
    }
}

/// Makes and uses key pairs. Takes up to a second of a processor to make one.
pub trait ServiceKeyCrypto: Debug + Send + Sync + 'static {
    /// Makes an RSA key pair of 2048 bits.
    ///
    /// # Errors
    /// When randomness is missing.
    fn generate(&self) -> Result<NewKeyPair, StoreError>;

    /// The id of a public key: the hexadecimal SHA-256 of the JWK with sorted keys and no spaces. `None`
    /// when it is not a public key that can be used.
    fn kid(&self, jwk: &serde_json::Value) -> Option<String>;

    /// What a token (RS256) claims of its key and issuer. Proves nothing.
    fn peek(&self, token: &str) -> Option<KeyServerToken>;

    /// Whether a token is signed (RS256) by the private half of `jwk`, names `audience` and `issuer`, and
    /// is valid at `now`.
    fn verify(
        &self,
        token: &str,
        jwk: &serde_json::Value,
        issuer: &str,
        audience: &str,
        now: Timestamp,
    ) -> bool;
}

/// A mail to one person.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mail {
    /// The address.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The text, without markup.
    pub text: String,
}

impl Mail {
    /// A mail.
    #[must_use]
    pub const fn new(to: String, subject: String, text: String) -> Self {
        Self { to, subject, text }
    }
}

impl Debug for Mail {
    /// Texts hold codes, and addresses are somebody's.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Mail")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// Sends mail.
#[async_trait]
pub trait Mailer: Debug + Send + Sync + 'static {
    /// Hands a mail to a server.
    ///
    /// # Errors
    /// When no server takes it.
    async fn send(&self, mail: &Mail) -> Result<(), StoreError>;
}

/// What somebody's password proved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordVerdict {
    /// It is this account's.
    Proven(Box<super::Account>),
    /// The name or the password is wrong; which is not told.
    Invalid,
    /// It is right, and the account is switched off.
    Disabled,
    /// Too many failures: not even looked at.
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// A plain password where only encrypted ones are taken.
    EncryptedRequired,
}

/// Proves users by name and password: the registry's own database, or a directory.
#[async_trait]
pub trait LoginEngine: Debug + Send + Sync + 'static {
    /// Judges a name, or e-mail address, and a password in plain text.
    ///
    /// Does not reveal by its timing whether the user exists. Failures are counted, and a success ends the
    /// count.
    ///
    /// # Errors
    /// The store's.
    async fn verify(&self, username: &str, password: &str) -> Result<PasswordVerdict, StoreError>;
}
