//! What a deployment decides about accounts: the keys of the configuration, as values.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

/// `AVATAR_KIND`: who draws the pictures beside names. What clients are told to draw them from is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AvatarSource {
    /// Clients themselves.
    Local,
    /// Gravatar, which clients then ask with the hash of an e-mail address.
    Gravatar,
}

impl AvatarSource {
    /// The name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Gravatar => "gravatar",
        }
    }
}

/// What is switched on, and how long things last. The defaults are Quay's, but for mail, which needs a
/// server.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, each a key of the configuration"
)]
pub struct AccountOptions {
    /// `SERVER_HOSTNAME`: `host[:port]`; what tokens are issued for.
    pub hostname: String,
    /// `PREFERRED_URL_SCHEME` and the host, without a slash at the end; what links begin with.
    pub base_url: String,
    /// `REGISTRY_TITLE`.
    pub title: String,
    /// `BRANDING`: the pictures that pages show, an object.
    pub branding: Value,
    /// `DOCUMENTATION_ROOT`: where pages find the manual.
    pub documentation_root: Option<String>,
    /// `FOOTER_LINKS`: what pages link to at their foot, an object.
    pub footer_links: Value,
    /// `FEATURE_SUPER_USERS`.
    pub superusers_enabled: bool,
    /// `SUPER_USERS`.
    pub superusers: HashSet<String>,
    /// `FEATURE_SUPERUSERS_FULL_ACCESS`.
    pub superusers_full_access: bool,
    /// `FEATURE_ANONYMOUS_ACCESS`.
    pub anonymous_access: bool,
    /// `FEATURE_USER_CREATION`.
    pub user_creation: bool,
    /// `FEATURE_INVITE_ONLY_USER_CREATION`.
    pub invite_only: bool,
    /// `FEATURE_DIRECT_LOGIN`.
    pub direct_login: bool,
    /// `FEATURE_USER_INITIALIZE`.
    pub user_initialize: bool,
    /// `FEATURE_USER_METADATA`.
    pub user_metadata: bool,
    /// `FEATURE_USER_RENAME`.
    pub user_rename: bool,
    /// `FEATURE_USER_LAST_ACCESSED`.
    pub last_accessed: bool,
    /// `LAST_ACCESSED_UPDATE_THRESHOLD_S`.
    pub last_accessed_threshold: Duration,
    /// `FEATURE_PARTIAL_USER_AUTOCOMPLETE`.
    pub partial_autocomplete: bool,
    /// `FEATURE_MAILING`.
    pub mailing: bool,
    /// `FEATURE_REQUIRE_TEAM_INVITE`.
    pub require_team_invite: bool,
    /// `FEATURE_ASSIGN_OAUTH_TOKEN`.
    pub assign_oauth_tokens: bool,
    /// `FEATURE_QUOTA_MANAGEMENT`.
    pub quota_management: bool,
    /// `FEATURE_EDIT_QUOTA`.
    pub edit_quota: bool,
    /// `DEFAULT_SYSTEM_REJECT_QUOTA_BYTES`, where it is not zero.
    pub default_reject_quota: Option<u64>,
    /// `FEATURE_APP_SPECIFIC_TOKENS`.
    pub app_tokens: bool,
    /// `APP_SPECIFIC_TOKEN_EXPIRATION`.
    pub app_token_lifetime: Option<Duration>,
    /// `EXPIRED_APP_SPECIFIC_TOKEN_GC`.
    pub app_token_gc: Option<Duration>,
    /// `FEATURE_REQUIRE_ENCRYPTED_BASIC_AUTH`.
    pub require_encrypted_passwords: bool,
    /// `FRESH_LOGIN_TIMEOUT`.
    pub fresh_login: Duration,
    /// `SESSION_TIMEOUT`.
    pub session_timeout: Duration,
    /// `FEATURE_PERMANENT_SESSIONS`.
    pub permanent_sessions: bool,
    /// `SESSION_COOKIE_NAME`.
    pub session_cookie: String,
    /// `SESSION_COOKIE_SECURE`, or links that begin with `https`.
    pub session_cookie_secure: bool,
    /// `TAG_EXPIRATION_OPTIONS`, in seconds.
    pub tag_expirations_s: Vec<i64>,
    /// `DEFAULT_TAG_EXPIRATION`, in seconds.
    pub default_tag_expiration_s: i64,
    /// `FEATURE_CHANGE_TAG_EXPIRATION`.
    pub change_tag_expiration: bool,
    /// `PERMANENTLY_DELETE_TAGS`: whether what is remembered of a tag can be erased.
    pub permanently_delete_tags: bool,
    /// `FEATURE_SECURITY_SCANNER`.
    pub security_scanner: bool,
    /// `FEATURE_REPOSITORY_ACTION_COUNTER`: whether it is counted what is done with repositories.
    pub action_counter: bool,
    /// `SEARCH_RESULTS_PER_PAGE`.
    pub search_page: usize,
    /// `SEARCH_MAX_RESULT_PAGE_COUNT`.
    pub search_pages: usize,
    /// `FEATURE_REPO_MIRROR`: whether what may be done to a repository can be changed.
    pub repository_states: bool,
    /// `FEATURE_AUTO_PRUNE`.
    pub auto_prune: bool,
    /// `FEATURE_IMAGE_PULL_STATS`: whether it is told how often tags and manifests were pulled.
    pub pull_statistics: bool,
    /// `FEATURE_IMMUTABLE_TAGS`.
    pub immutable_tags: bool,
    /// `FEATURE_PUBLIC_CATALOG`.
    pub public_catalog: bool,
    /// `CREATE_PRIVATE_REPO_ON_PUSH`.
    pub private_on_push: bool,
    /// `CREATE_NAMESPACE_ON_PUSH`.
    pub namespace_on_push: bool,
    /// `INSTANCE_SERVICE_KEY_SERVICE`: who issues tokens for the registry protocol.
    pub key_service: String,
    /// `UNAPPROVED_SERVICE_KEY_TTL_SEC`.
    pub unapproved_key_ttl: Duration,
    /// `EXPIRED_SERVICE_KEY_TTL_SEC`.
    pub expired_key_ttl: Duration,
    /// `BROWSER_API_CALLS_XHR_ONLY`.
    pub browser_calls_xhr_only: bool,
    /// `BLACKLIST_V2_SPEC`: docker versions that are told that there is no version 2 here.
    pub refused_docker_versions: Option<String>,
    /// `FEATURE_ADVERTISE_V2`.
    pub advertise_v2: bool,
    /// `REGISTRY_STATE` is `readonly`.
    pub read_only: bool,
    /// `LOCAL_OAUTH_HANDLER`: the path that tokens may always be sent to.
    pub local_oauth_handler: String,
    /// `DIRECT_OAUTH_CLIENTID_WHITELIST`.
    pub direct_oauth_clients: HashSet<String>,
    /// `ACTION_LOG_AUDIT_LOGINS`.
    pub audit_logins: bool,
    /// `ACTION_LOG_AUDIT_LOGIN_FAILURES`.
    pub audit_login_failures: bool,
    /// `ROBOTS_DISALLOW`.
    pub robots_disallow: bool,
    /// `ROBOTS_WHITELIST`: robots that may be used even so.
    pub robots_whitelist: HashSet<String>,
    /// `BLACKLISTED_EMAIL_DOMAINS` where `FEATURE_BLACKLISTED_EMAILS` is on.
    pub refused_email_domains: HashSet<String>,
    /// `CONTACT_INFO`.
    pub contact_info: Vec<String>,
    /// `USER_RECOVERY_TOKEN_LIFETIME`: how long a link counts that sets a new password.
    pub recovery_lifetime: Duration,
    /// `AVATAR_KIND`.
    pub avatars: AvatarSource,
    /// `RECAPTCHA_SITE_KEY` where `FEATURE_RECAPTCHA` is on: signing up, recovery and new organizations need a
    /// person's answer then.
    pub recaptcha_site_key: Option<String>,
    /// `RECAPTCHA_WHITELISTED_USERS`: users who need not answer.
    pub recaptcha_spared: HashSet<String>,
}

impl AccountOptions {
    /// Quay's defaults for a registry that clients know as `hostname`, by links that begin with `scheme`.
    #[must_use]
    pub fn new(scheme: &str, hostname: &str) -> Self {
        const DAY: i64 = 86_400;
        Self {
            hostname: hostname.to_owned(),
            base_url: format!("{scheme}://{hostname}"),
            title: "Project Quay".to_owned(),
            branding: Self::branding(None),
            documentation_root: None,
            footer_links: json!({}),
            superusers_enabled: true,
            superusers: HashSet::new(),
            superusers_full_access: false,
            anonymous_access: true,
            user_creation: true,
            invite_only: false,
            direct_login: true,
            user_initialize: false,
            user_metadata: false,
            user_rename: false,
            last_accessed: true,
            last_accessed_threshold: Duration::from_mins(1),
            partial_autocomplete: true,
            mailing: false,
            require_team_invite: true,
            assign_oauth_tokens: true,
            quota_management: false,
            edit_quota: true,
            default_reject_quota: None,
            app_tokens: true,
            app_token_lifetime: None,
            app_token_gc: Some(Duration::from_hours(24)),
            require_encrypted_passwords: false,
            fresh_login: Duration::from_mins(10),
            session_timeout: Duration::from_hours(31 * 24),
            permanent_sessions: true,
            session_cookie: "_csrf_token".to_owned(),
            session_cookie_secure: scheme == "https",
            tag_expirations_s: vec![0, DAY, 7 * DAY, 14 * DAY, 28 * DAY],
            default_tag_expiration_s: 14 * DAY,
            change_tag_expiration: true,
            permanently_delete_tags: false,
            security_scanner: false,
            action_counter: true,
            search_page: 10,
            search_pages: 10,
            repository_states: false,
            auto_prune: false,
            pull_statistics: false,
            immutable_tags: false,
            public_catalog: false,
            private_on_push: true,
            namespace_on_push: false,
            key_service: "quay".to_owned(),
            unapproved_key_ttl: Duration::from_hours(24),
            expired_key_ttl: Duration::from_hours(7 * 24),
            browser_calls_xhr_only: true,
            refused_docker_versions: Some("<1.6.0".to_owned()),
            advertise_v2: true,
            read_only: false,
            local_oauth_handler: "/oauth/localapp".to_owned(),
            direct_oauth_clients: HashSet::new(),
            audit_logins: true,
            audit_login_failures: false,
            robots_disallow: false,
            robots_whitelist: HashSet::new(),
            refused_email_domains: HashSet::new(),
            contact_info: Vec::new(),
            recovery_lifetime: Duration::from_mins(30),
            avatars: AvatarSource::Local,
            recaptcha_site_key: None,
            recaptcha_spared: HashSet::new(),
        }
    }

    /// `BRANDING`, with Quay's own where nothing is configured.
    pub(crate) fn branding(configured: Option<Value>) -> Value {
        configured.filter(Value::is_object).unwrap_or_else(|| {
            json!({
                "logo": "/static/img/quay-horizontal-color.svg",
                "footer_img": null,
                "footer_url": null,
            })
        })
    }

    /// The same, for another address: `host[:port]` as clients know it, and the scheme of links to it.
    #[must_use]
    pub fn at(mut self, scheme: &str, hostname: &str) -> Self {
        hostname.clone_into(&mut self.hostname);
        self.base_url = format!("{scheme}://{hostname}");
        self.session_cookie_secure |= scheme == "https";
        self
    }

    /// Whether a user is a superuser of this installation.
    #[must_use]
    pub fn is_superuser(&self, name: &str) -> bool {
        self.superusers_enabled && self.superusers.contains(name)
    }
}
