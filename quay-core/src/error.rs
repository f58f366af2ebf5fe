//! Errors as values with a code: what ports report, and what the facade answers.

use std::fmt;
use std::time::Duration;

use crate::digest::{Digest, InvalidDigest};
use crate::name::InvalidName;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong inside a store, in the terms that core branches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// No space, no quota, no inodes.
    Full,
    /// Another writer was faster; the whole unit of work may be tried again.
    Conflict,
    /// The store cannot be reached now.
    Unavailable,
    /// The store does not have this ability.
    Unsupported,
    /// What is stored contradicts itself.
    Corrupt,
    /// Anything else.
    Other,
}

/// A failure of a port. The driver's own error travels as the source.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct StoreError {
    kind: StoreErrorKind,
    context: Box<str>,
    source: Option<Source>,
}

impl StoreError {
    /// An error of `kind`; `context` says what was attempted, on what.
    pub fn new(kind: StoreErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into().into(),
            source: None,
        }
    }

    /// Attaches the driver's error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An I/O failure: a full disk is told from the rest.
    #[must_use]
    pub fn io(context: impl Into<String>, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => StoreErrorKind::Full,
            Io::WouldBlock | Io::TimedOut => StoreErrorKind::Unavailable,
            _ => StoreErrorKind::Other,
        };
        Self::new(kind, context).with_source(error)
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Conflict | StoreErrorKind::Unavailable)
    }
}

/// Why a body ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The connection broke, or fewer bytes came than were announced.
    #[error("the body ended before all announced bytes had arrived")]
    Truncated,
    /// No byte came for too long.
    #[error("no byte of the body arrived for too long")]
    TimedOut,
    /// The body goes on past what was announced.
    #[error("the body is longer than announced")]
    Excess,
    /// The body goes on past the limit.
    #[error("the body is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The registry takes no more of it, for a reason of its own.
    #[error("the registry takes no more of the body")]
    Refused,
}

/// An error code of the registry protocol (distribution-spec, "Error codes", and Docker's and ours).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    InvalidRequest,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PreconditionFailed,
    RangeInvalid,
    SizeInvalid,
    TagImmutable,
    TagInvalid,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unknown,
    Unsupported,
}

impl Code {
    /// The code as it stands in an error body.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid | Self::RangeInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::Denied => "DENIED",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TagImmutable => "TAG_IMMUTABLE",
            Self::TagInvalid => "TAG_INVALID",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
            Self::Unsupported => "UNSUPPORTED",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What kind of failure an operation of the registry met. Each kind has one code, one HTTP status and
/// one retry flag; `tests::every_kind` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The repository's name does not follow the grammar.
    NameInvalid,
    /// The repository does not exist (told only to a caller who may know).
    NameUnknown,
    /// The caller may not do this; whether the thing exists is not told.
    Unauthorized,
    /// The registry or the repository takes no writes.
    ReadOnly,
    /// A quota does not allow what would be added.
    QuotaExceeded,
    /// A digest does not follow the grammar, or the content has another one.
    DigestInvalid,
    /// A tag does not follow the grammar.
    TagInvalid,
    /// The tag stays as it is (`registry-protocol.md`, section 5).
    TagImmutable,
    /// The repository does not hold the blob.
    BlobUnknown,
    /// The blob is held by a live manifest and cannot be deleted.
    BlobInUse,
    /// No such upload in this repository for this caller.
    UploadUnknown,
    /// The body broke off, or does not match what was announced.
    UploadInvalid,
    /// A chunk does not start where the upload stands.
    RangeInvalid,
    /// Another request is writing to the same upload.
    UploadBusy,
    /// The body or layer is larger than allowed.
    TooLarge,
    /// No byte arrived for too long.
    BodyTimeout,
    /// No such manifest.
    ManifestUnknown,
    /// The manifest cannot be accepted.
    ManifestInvalid,
    /// The manifest's media type is not one this registry stores.
    MediaTypeUnsupported,
    /// The manifest is larger than allowed.
    ManifestTooLarge,
    /// The manifest names a blob or manifest that the repository does not hold.
    ManifestBlobUnknown,
    /// A condition of the request does not hold.
    PreconditionFailed,
    /// The request does not make sense.
    InvalidRequest,
    /// The operation is switched off or not offered.
    Unsupported,
    /// The storage is full.
    StorageFull,
    /// A store cannot be reached; later it may.
    Unavailable,
    /// Nobody has been proven to be calling, and somebody must be.
    InvalidToken,
    /// The password must be checked again first.
    FreshLoginRequired,
    /// The caller is known and may not do this.
    Forbidden,
    /// A name and password that do not fit.
    LoginFailed,
    /// Too many failed logins.
    Throttled,
    /// What the caller named is not there.
    NotFound,
    /// What is there forbids it: a name that is taken, a last administrator, an entry that is missing.
    Rejected,
    /// It is offered no more.
    Gone,
    /// A defect, or a store that contradicts itself.
    Internal,
}

impl ErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::NameInvalid,
        Self::NameUnknown,
        Self::Unauthorized,
        Self::ReadOnly,
        Self::QuotaExceeded,
        Self::DigestInvalid,
        Self::TagInvalid,
        Self::TagImmutable,
        Self::BlobUnknown,
        Self::BlobInUse,
        Self::UploadUnknown,
        Self::UploadInvalid,
        Self::RangeInvalid,
        Self::UploadBusy,
        Self::TooLarge,
        Self::BodyTimeout,
        Self::ManifestUnknown,
        Self::ManifestInvalid,
        Self::MediaTypeUnsupported,
        Self::ManifestTooLarge,
        Self::ManifestBlobUnknown,
        Self::PreconditionFailed,
        Self::InvalidRequest,
        Self::Unsupported,
        Self::StorageFull,
        Self::Unavailable,
        Self::InvalidToken,
        Self::FreshLoginRequired,
        Self::Forbidden,
        Self::LoginFailed,
        Self::Throttled,
        Self::NotFound,
        Self::Rejected,
        Self::Gone,
        Self::Internal,
    ];

    /// The code in the error body.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::NameInvalid => Code::NameInvalid,
            Self::NameUnknown | Self::NotFound => Code::NameUnknown,
            Self::Unauthorized | Self::InvalidToken | Self::FreshLoginRequired => Code::Unauthorized,
            Self::ReadOnly | Self::QuotaExceeded | Self::Forbidden | Self::LoginFailed => Code::Denied,
            Self::Throttled => Code::TooManyRequests,
            Self::DigestInvalid => Code::DigestInvalid,
            Self::TagInvalid => Code::TagInvalid,
            Self::TagImmutable => Code::TagImmutable,
            Self::BlobUnknown => Code::BlobUnknown,
            Self::BlobInUse | Self::Unsupported | Self::Gone => Code::Unsupported,
            Self::UploadUnknown => Code::BlobUploadUnknown,
            Self::UploadInvalid | Self::UploadBusy | Self::BodyTimeout => Code::BlobUploadInvalid,
            Self::RangeInvalid => Code::RangeInvalid,
            Self::TooLarge => Code::SizeInvalid,
            Self::ManifestUnknown => Code::ManifestUnknown,
            Self::ManifestInvalid | Self::MediaTypeUnsupported | Self::ManifestTooLarge => {
                Code::ManifestInvalid
            }
            Self::ManifestBlobUnknown => Code::ManifestBlobUnknown,
            Self::PreconditionFailed => Code::PreconditionFailed,
            Self::InvalidRequest | Self::Rejected => Code::InvalidRequest,
            Self::StorageFull | Self::Unavailable => Code::Unavailable,
            Self::Internal => Code::Unknown,
        }
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NameInvalid
            | Self::DigestInvalid
            | Self::TagInvalid
            | Self::UploadInvalid
            | Self::ManifestInvalid
            | Self::InvalidRequest
            | Self::Rejected => 400,
            Self::Unauthorized | Self::InvalidToken | Self::FreshLoginRequired => 401,
            Self::QuotaExceeded | Self::Forbidden | Self::LoginFailed => 403,
            Self::NameUnknown
            | Self::NotFound
            | Self::BlobUnknown
            | Self::UploadUnknown
            | Self::ManifestUnknown
            | Self::ManifestBlobUnknown => 404,
            Self::ReadOnly | Self::BlobInUse | Self::Unsupported => 405,
            Self::BodyTimeout => 408,
            Self::UploadBusy | Self::TagImmutable => 409,
            Self::Gone => 410,
            Self::PreconditionFailed => 412,
            Self::TooLarge | Self::ManifestTooLarge => 413,
            Self::MediaTypeUnsupported => 415,
            Self::RangeInvalid => 416,
            Self::Throttled => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
            Self::StorageFull => 507,
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::UploadBusy | Self::BodyTimeout | Self::StorageFull | Self::Unavailable | Self::Throttled
        )
    }

    /// Quay's API error type (`quay-api.md`, "Errors").
    #[must_use]
    pub const fn quay_type(self) -> &'static str {
        match self {
            Self::NameUnknown
            | Self::BlobUnknown
            | Self::ManifestUnknown
            | Self::UploadUnknown
            | Self::NotFound => "not_found",
            Self::InvalidToken => "invalid_token",
            Self::FreshLoginRequired => "fresh_login_required",
            Self::Unauthorized | Self::Forbidden => "insufficient_scope",
            Self::TagImmutable => "tag_immutable",
            Self::Internal | Self::Unavailable | Self::StorageFull => "downstream_issue",
            _ => "invalid_request",
        }
    }
}

/// A failed operation of the registry.
///
/// `Display` is for the operator. [`Error::public_message`] and [`Error::detail`] are for the client
/// and name nothing that the client did not send or may not know.
#[derive(Debug)]
pub struct Error(Box<Inner>);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The store's own text is this error's; what lies behind it is not.
        self.0
            .source
            .as_ref()
            .and_then(|source| std::error::Error::source(source))
    }
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    public: Option<String>,
    detail: Option<serde_json::Value>,
    stored: Option<u64>,
    retry_after: Option<Duration>,
    source: Option<StoreError>,
}

impl Error {
    /// An error whose message may be shown to the client.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            public: None,
            detail: None,
            stored: None,
            retry_after: None,
            source: None,
        }))
    }

    /// Attaches what goes into the error body's `detail`.
    #[must_use]
    pub fn with_detail(mut self, detail: serde_json::Value) -> Self {
        self.0.detail = Some(detail);
        self
    }

    /// A failed precondition: `current` is the digest that the tag has now, if it has one.
    #[must_use]
    pub fn precondition(current: Option<&Digest>) -> Self {
        let current = current.map(ToString::to_string);
        Self::new(
            ErrorKind::PreconditionFailed,
            "the tag does not meet the request's condition",
        )
        .with_detail(serde_json::json!({ "current": current }))
    }

    /// A chunk that does not start where the upload stands, at `stored` bytes.
    #[must_use]
    pub fn range(stored: u64) -> Self {
        let mut error = Self::new(
            ErrorKind::RangeInvalid,
            format!("the chunk must start at byte {stored}, where the upload stands"),
        );
        error.0.stored = Some(stored);
        error
    }

    /// Too many failed logins; the next one may come after `retry_after`.
    #[must_use]
    pub fn throttled(retry_after: Duration) -> Self {
        let mut error = Self::new(
            ErrorKind::Throttled,
            "Too many login attempts. Please try again later.",
        );
        error.0.retry_after = Some(retry_after);
        error
    }

    /// When the request may be repeated, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// How many bytes the upload holds, where that is why the request failed.
    #[must_use]
    pub fn stored(&self) -> Option<u64> {
        self.0.stored
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The code in the error body.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.kind.code()
    }

    /// Quay's API error type.
    #[must_use]
    pub fn quay_type(&self) -> &'static str {
        self.0.kind.quay_type()
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_retryable()
    }

    /// What the client is told.
    #[must_use]
    pub fn public_message(&self) -> &str {
        self.0.public.as_deref().unwrap_or(&self.0.message)
    }

    /// What goes into the error body's `detail`.
    #[must_use]
    pub fn detail(&self) -> Option<&serde_json::Value> {
        self.0.detail.as_ref()
    }

    /// The store's failure behind it, for whoever answers in the terms of a port.
    #[must_use]
    pub fn into_store_error(self) -> Option<StoreError> {
        self.0.source
    }

    /// The store's failure behind it, for the operator's log.
    #[must_use]
    pub fn store_error(&self) -> Option<&StoreError> {
        self.0.source.as_ref()
    }
}

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        let (kind, public) = match source.kind {
            StoreErrorKind::Full => (ErrorKind::StorageFull, "the registry's storage is full"),
            StoreErrorKind::Conflict | StoreErrorKind::Unavailable => (
                ErrorKind::Unavailable,
                "the registry's storage cannot be reached, try again later",
            ),
            StoreErrorKind::Unsupported => (ErrorKind::Unsupported, "the registry's storage cannot do this"),
            StoreErrorKind::Corrupt | StoreErrorKind::Other => (ErrorKind::Internal, "internal error"),
        };
        let mut error = Self::new(kind, source.to_string());
        error.0.public = Some(public.to_owned());
        error.0.source = Some(source);
        error
    }
}

impl From<InvalidName> for Error {
    fn from(error: InvalidName) -> Self {
        let kind = if error.what() == "tag" {
            ErrorKind::TagInvalid
        } else {
            ErrorKind::NameInvalid
        };
        Self::new(kind, error.to_string())
    }
}

impl From<InvalidDigest> for Error {
    fn from(error: InvalidDigest) -> Self {
        Self::new(ErrorKind::DigestInvalid, error.to_string())
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        let kind = match error {
            BodyError::Truncated | BodyError::Excess => ErrorKind::UploadInvalid,
            BodyError::TimedOut => ErrorKind::BodyTimeout,
            BodyError::TooLarge { .. } => ErrorKind::TooLarge,
            BodyError::Refused => ErrorKind::QuotaExceeded,
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind() {
        let table: Vec<_> = ErrorKind::ALL
            .iter()
            .map(|kind| {
                (
                    format!("{kind:?}"),
                    kind.code().as_str(),
                    kind.status(),
                    kind.is_retryable(),
                )
            })
            .collect();
        let expected = [
            ("NameInvalid", "NAME_INVALID", 400, false),
            ("NameUnknown", "NAME_UNKNOWN", 404, false),
            ("Unauthorized", "UNAUTHORIZED", 401, false),
            ("ReadOnly", "DENIED", 405, false),
            ("QuotaExceeded", "DENIED", 403, false),
            ("DigestInvalid", "DIGEST_INVALID", 400, false),
            ("TagInvalid", "TAG_INVALID", 400, false),
            ("TagImmutable", "TAG_IMMUTABLE", 409, false),
            ("BlobUnknown", "BLOB_UNKNOWN", 404, false),
            ("BlobInUse", "UNSUPPORTED", 405, false),
            ("UploadUnknown", "BLOB_UPLOAD_UNKNOWN", 404, false),
            ("UploadInvalid", "BLOB_UPLOAD_INVALID", 400, false),
            ("RangeInvalid", "BLOB_UPLOAD_INVALID", 416, false),
            ("UploadBusy", "BLOB_UPLOAD_INVALID", 409, true),
            ("TooLarge", "SIZE_INVALID", 413, false),
            ("BodyTimeout", "BLOB_UPLOAD_INVALID", 408, true),
            ("ManifestUnknown", "MANIFEST_UNKNOWN", 404, false),
            ("ManifestInvalid", "MANIFEST_INVALID", 400, false),
            ("MediaTypeUnsupported", "MANIFEST_INVALID", 415, false),
            ("ManifestTooLarge", "MANIFEST_INVALID", 413, false),
            ("ManifestBlobUnknown", "MANIFEST_BLOB_UNKNOWN", 404, false),
            ("PreconditionFailed", "PRECONDITION_FAILED", 412, false),
            ("InvalidRequest", "INVALID_REQUEST", 400, false),
            ("Unsupported", "UNSUPPORTED", 405, false),
            ("StorageFull", "UNAVAILABLE", 507, true),
            ("Unavailable", "UNAVAILABLE", 503, true),
            ("InvalidToken", "UNAUTHORIZED", 401, false),
            ("FreshLoginRequired", "UNAUTHORIZED", 401, false),
            ("Forbidden", "DENIED", 403, false),
            ("LoginFailed", "DENIED", 403, false),
            ("Throttled", "TOOMANYREQUESTS", 429, true),
            ("NotFound", "NAME_UNKNOWN", 404, false),
            ("Rejected", "INVALID_REQUEST", 400, false),
            ("Gone", "UNSUPPORTED", 410, false),
            ("Internal", "UNKNOWN", 500, false),
        ]
        .map(|(kind, code, status, retry)| (kind.to_owned(), code, status, retry));
        assert_eq!(table, expected);
    }

    #[test]
    fn the_client_is_not_told_what_the_operator_is() {
        let store = StoreError::io(
            "write /srv/secret/path",
            std::io::Error::from(std::io::ErrorKind::StorageFull),
        );
        let error = Error::from(store);
        assert!(error.to_string().contains("/srv/secret/path"));
        assert!(!error.public_message().contains("secret"));
        assert!(size_of::<Error>() <= 64);
    }
}
