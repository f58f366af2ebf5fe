//! Keys about accounts, tokens, keys and mail.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;

use super::values::{Reader, UrlScheme, wrong};
use super::{InvalidConfig, Secret, Warning, duration};
use crate::accounts::{AccountOptions, AvatarSource};

/// Tokens for the registry protocol live an hour.
const TOKEN_LIFETIME_S: u64 = 3600;

/// How the key that an instance signs with is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceKeyLifetime {
    /// `INSTANCE_SERVICE_KEY_EXPIRATION`: how long it counts after it was last seen to.
    pub expiration: Duration,
    /// `INSTANCE_SERVICE_KEY_REFRESH`: how often it is seen to.
    pub refresh: Duration,
}

/// The server that mail is handed to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailServer {
    /// `MAIL_SERVER`.
    pub host: String,
    /// `MAIL_PORT`.
    pub port: u16,
    /// `MAIL_USE_TLS`.
    pub tls: MailTls,
    /// `MAIL_USERNAME` and `MAIL_PASSWORD`, where both are set.
    pub login: Option<(String, Secret)>,
    /// `MAIL_DEFAULT_SENDER`: an address, perhaps with a name in front.
    pub sender: String,
    /// `MAIL_FAIL_SILENTLY`.
    pub failure: MailFailure,
}

impl MailServer {
    /// A server at `host` with Quay's defaults, for mail from `sender`.
    #[must_use]
    pub fn new(host: &str, sender: &str) -> Self {
        Self {
            host: host.to_owned(),
            port: 587,
            tls: MailTls::StartTls,
            login: None,
            sender: sender.to_owned(),
            failure: MailFailure::Told,
        }
    }
}

/// How the way to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MailTls {
    /// Not at all.
    Plain,
    /// By STARTTLS, or nothing is sent.
    StartTls,
}

/// What becomes of a mail that the server does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MailFailure {
    /// Whoever asked for it is told.
    Told,
    /// It is only logged.
    Logged,
}

impl Reader<'_> {
    pub(super) fn duration(&self, name: &str) -> Result<Duration, InvalidConfig> {
        const FORM: &str = "must be a number followed by s, m, h, d, w or y, such as 10m";
        duration::parse(&self.text(name)?).ok_or_else(|| wrong(name, FORM))
    }

    /// A key for which null means something: never.
    fn duration_or_never(&self, name: &str) -> Result<Option<Duration>, InvalidConfig> {
        if self.is_null(name) || self.value(name)?.is_null() {
            return Ok(None);
        }
        self.duration(name).map(Some)
    }

    /// A session that ends at once is none.
    fn session_timeout(&self) -> Result<Duration, InvalidConfig> {
        const NAME: &str = "SESSION_TIMEOUT";
        match self.duration(NAME)? {
            Duration::ZERO => Err(wrong(NAME, "must be longer than 0s")),
            timeout => Ok(timeout),
        }
    }

    /// How many of something there are at the most: one at least.
    fn count(&self, name: &str) -> Result<usize, InvalidConfig> {
        const MOST: u64 = 1000;
        match self.number(name)? {
            count if (1..=MOST).contains(&count) => Ok(usize::try_from(count).unwrap_or(1)),
            _ => Err(wrong(name, format!("must be a number from 1 to {MOST}"))),
        }
    }

    fn seconds(&self, name: &str) -> Result<Duration, InvalidConfig> {
        /// A hundred years of 365 days.
        const MOST: u64 = 3_153_600_000;
        match self.number(name)? {
            seconds if seconds <= MOST => Ok(Duration::from_secs(seconds)),
            _ => Err(wrong(name, format!("must be no more than {MOST} seconds"))),
        }
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, InvalidConfig> {
        let items = match self.value(name)? {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                other => Err(wrong(
                    name,
                    format!("must be a list of strings, and {other} is none"),
                )),
            })
            .collect()
    }

    fn text_set(&self, name: &str) -> Result<HashSet<String>, InvalidConfig> {
        Ok(self.texts(name)?.into_iter().collect())
    }

    /// A switch that Quay's own description takes for a text.
    fn boolean_or_text(&self, name: &str) -> Result<bool, InvalidConfig> {
        match self.given(name) {
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => self.boolean(name),
        }
    }

    pub(super) fn secret(&self, name: &str) -> Result<Option<Secret>, InvalidConfig> {
        match self.optional_text(name)? {
            Some(text) if text.is_empty() => Err(wrong(name, "must not be empty")),
            text => Ok(text.map(Secret::new)),
        }
    }

    pub(super) fn server_hostname(&self) -> Result<Option<String>, InvalidConfig> {
        const NAME: &str = "SERVER_HOSTNAME";
        let hostname = self.optional_text(NAME)?;
        if let Some(hostname) = &hostname
            && (hostname.is_empty() || hostname.contains(|character| "/@ ".contains(character)))
        {
            return Err(wrong(
                NAME,
                "must be a host, perhaps with a port, such as quay.example.com:8443, and no more",
            ));
        }
        Ok(hostname)
    }

    /// Only accounts in the registry's own database are supported.
    pub(super) fn authentication(&self) -> Result<(), InvalidConfig> {
        const NAME: &str = "AUTHENTICATION_TYPE";
        match self.text(NAME)?.as_str() {
            "Database" => Ok(()),
            other => Err(wrong(
                NAME,
                format!("must be Database: this version does not support {other}"),
            )),
        }
    }

    pub(super) fn token_max_lifetime(&self) -> Result<Duration, InvalidConfig> {
        const NAME: &str = "REGISTRY_JWT_AUTH_MAX_FRESH_S";
        match self.seconds(NAME)? {
            lifetime if lifetime >= Duration::from_secs(TOKEN_LIFETIME_S) => Ok(lifetime),
            _ => Err(wrong(
                NAME,
                format!("must be at least {TOKEN_LIFETIME_S}: so many seconds live the tokens issued here"),
            )),
        }
    }

    pub(super) fn instance_key(&self) -> Result<InstanceKeyLifetime, InvalidConfig> {
        const EXPIRATION: &str = "INSTANCE_SERVICE_KEY_EXPIRATION";
        const REFRESH: &str = "INSTANCE_SERVICE_KEY_REFRESH";
        let minutes = |name| {
            let seconds = self.number(name)?.checked_mul(60).filter(|&seconds| seconds > 0);
            // What is added to the time of day must fit there.
            let seconds = seconds.filter(|&seconds| u32::try_from(seconds).is_ok());
            seconds
                .map(Duration::from_secs)
                .ok_or_else(|| wrong(name, "must be a number of minutes, 1 at least"))
        };
        let (expiration, refresh) = (minutes(EXPIRATION)?, minutes(REFRESH)?);
        if refresh >= expiration {
            return Err(wrong(
                REFRESH,
                format!("must be less than {EXPIRATION}, or the key ends before it is prolonged"),
            ));
        }
        Ok(InstanceKeyLifetime { expiration, refresh })
    }

    /// The mail server, where there is one and mail is not switched off.
    pub(super) fn mail(&self, warnings: &mut Vec<Warning>) -> Result<Option<MailServer>, InvalidConfig> {
        const SWITCH: &str = "FEATURE_MAILING";
        const PORT: &str = "MAIL_PORT";
        const SERVER: &str = "MAIL_SERVER";
        let switched_on = self.boolean(SWITCH)?;
        let host = self.text(SERVER)?;
        if host.contains(|character: char| character.is_whitespace() || character == '/')
            || (host.matches(':').count() == 1)
        {
            return Err(wrong(SERVER, "must be a host without a port, which is MAIL_PORT"));
        }
        let port = self.number(PORT)?;
        let port = u16::try_from(port)
            .ok()
            .filter(|&port| port > 0)
            .ok_or_else(|| wrong(PORT, "must be a port, from 1 to 65535"))?;
        let tls = if self.boolean("MAIL_USE_TLS")? {
            MailTls::StartTls
        } else {
            MailTls::Plain
        };
        let failure = if self.boolean("MAIL_FAIL_SILENTLY")? {
            MailFailure::Logged
        } else {
            MailFailure::Told
        };
        let sender = self.text("MAIL_DEFAULT_SENDER")?;
        let username = self
            .optional_text("MAIL_USERNAME")?
            .filter(|name| !name.is_empty());
        let password = self
            .optional_text("MAIL_PASSWORD")?
            .filter(|text| !text.is_empty());
        if !switched_on {
            return Ok(None);
        }
        if host.is_empty() {
            if self.given(SWITCH).is_some() {
                warnings.push(Warning::WithoutEffect {
                    key: SWITCH,
                    reason: "no mail is sent, since MAIL_SERVER is not set",
                });
            }
            return Ok(None);
        }
        if username.is_some() && password.is_none() {
            warnings.push(Warning::WithoutEffect {
                key: "MAIL_USERNAME",
                reason: "nobody logs in to the mail server, since MAIL_PASSWORD is not set",
            });
        }
        Ok(Some(MailServer {
            host,
            port,
            tls,
            login: username.zip(password.map(Secret::new)),
            sender,
            failure,
        }))
    }

    fn tag_expirations(&self) -> Result<(Vec<i64>, i64), InvalidConfig> {
        const OPTIONS: &str = "TAG_EXPIRATION_OPTIONS";
        const DEFAULT: &str = "DEFAULT_TAG_EXPIRATION";
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let mut options = Vec::new();
        for text in self.texts(OPTIONS)? {
            let duration = duration::parse(&text).ok_or_else(|| {
                wrong(
                    OPTIONS,
                    format!("{text} must be a number followed by s, m, h, d, w or y, such as 2w"),
                )
            })?;
            options.push(seconds(duration));
        }
        let default = seconds(self.duration(DEFAULT)?);
        if options.contains(&default) {
            Ok((options, default))
        } else {
            Err(wrong(DEFAULT, format!("must be one of {OPTIONS}")))
        }
    }

    fn session_cookie(&self) -> Result<String, InvalidConfig> {
        const NAME: &str = "SESSION_COOKIE_NAME";
        let name = self.text(NAME)?;
        // RFC 6265 takes a name from HTTP's tokens.
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(wrong(NAME, "must be the name of a cookie, such as _csrf_token"));
        }
        Ok(name)
    }

    fn avatars(&self) -> Result<AvatarSource, InvalidConfig> {
        const NAME: &str = "AVATAR_KIND";
        match self.text(NAME)?.as_str() {
            "local" => Ok(AvatarSource::Local),
            "gravatar" => Ok(AvatarSource::Gravatar),
            _ => Err(wrong(NAME, "must be local or gravatar")),
        }
    }

    /// The keys for telling people from programs, where that is switched on: the site's and the secret one.
    pub(super) fn recaptcha(&self) -> Result<Option<(String, Secret)>, InvalidConfig> {
        const SITE: &str = "RECAPTCHA_SITE_KEY";
        const SECRET: &str = "RECAPTCHA_SECRET_KEY";
        let switched_on = self.boolean("FEATURE_RECAPTCHA")?;
        let site = self.optional_text(SITE)?.filter(|key| !key.is_empty());
        let secret = self.optional_text(SECRET)?.filter(|key| !key.is_empty());
        if !switched_on {
            return Ok(None);
        }
        let needed = |name| wrong(name, "must be set, since FEATURE_RECAPTCHA is on");
        let site = site.ok_or_else(|| needed(SITE))?;
        let secret = secret.ok_or_else(|| needed(SECRET))?;
        Ok(Some((site, Secret::new(secret))))
    }

    /// What accounts are told. Without a hostname they are told `localhost`, and the host knows better.
    pub(super) fn accounts(
        &self,
        scheme: UrlScheme,
        hostname: Option<&str>,
        mailing: bool,
        read_only: bool,
    ) -> Result<AccountOptions, InvalidConfig> {
        let (tag_expirations_s, default_tag_expiration_s) = self.tag_expirations()?;
        let refused_email_domains = if self.boolean("FEATURE_BLACKLISTED_EMAILS")? {
            let domains = self.texts("BLACKLISTED_EMAIL_DOMAINS")?;
            domains.iter().map(|domain| domain.to_ascii_lowercase()).collect()
        } else {
            HashSet::new()
        };
        let refused_docker_versions = self.text("BLACKLIST_V2_SPEC")?;
        let secure = self.boolean("SESSION_COOKIE_SECURE")? || scheme == UrlScheme::Https;
        Ok(AccountOptions {
            title: self.text("REGISTRY_TITLE")?,
            branding: AccountOptions::branding(Some(self.value("BRANDING")?)),
            documentation_root: self.optional_text("DOCUMENTATION_ROOT")?,
            footer_links: self.value("FOOTER_LINKS")?,
            superusers_enabled: self.boolean("FEATURE_SUPER_USERS")?,
            superusers: self.text_set("SUPER_USERS")?,
            superusers_full_access: self.boolean("FEATURE_SUPERUSERS_FULL_ACCESS")?,
            anonymous_access: self.boolean("FEATURE_ANONYMOUS_ACCESS")?,
            user_creation: self.boolean("FEATURE_USER_CREATION")?,
            invite_only: self.boolean("FEATURE_INVITE_ONLY_USER_CREATION")?,
            direct_login: self.boolean("FEATURE_DIRECT_LOGIN")?,
            user_initialize: self.boolean("FEATURE_USER_INITIALIZE")?,
            user_metadata: self.boolean("FEATURE_USER_METADATA")?,
            user_rename: self.boolean("FEATURE_USER_RENAME")?,
            last_accessed: self.boolean("FEATURE_USER_LAST_ACCESSED")?,
            last_accessed_threshold: self.seconds("LAST_ACCESSED_UPDATE_THRESHOLD_S")?,
            partial_autocomplete: self.boolean("FEATURE_PARTIAL_USER_AUTOCOMPLETE")?,
            mailing,
            require_team_invite: self.boolean("FEATURE_REQUIRE_TEAM_INVITE")?,
            assign_oauth_tokens: self.boolean("FEATURE_ASSIGN_OAUTH_TOKEN")?,
            quota_management: self.boolean("FEATURE_QUOTA_MANAGEMENT")?,
            edit_quota: self.boolean("FEATURE_EDIT_QUOTA")?,
            default_reject_quota: self.default_reject_quota()?,
            app_tokens: self.boolean("FEATURE_APP_SPECIFIC_TOKENS")?,
            app_token_lifetime: self.duration_or_never("APP_SPECIFIC_TOKEN_EXPIRATION")?,
            app_token_gc: self.duration_or_never("EXPIRED_APP_SPECIFIC_TOKEN_GC")?,
            require_encrypted_passwords: self.boolean("FEATURE_REQUIRE_ENCRYPTED_BASIC_AUTH")?,
            fresh_login: self.duration("FRESH_LOGIN_TIMEOUT")?,
            session_timeout: self.session_timeout()?,
            permanent_sessions: self.boolean("FEATURE_PERMANENT_SESSIONS")?,
            session_cookie: self.session_cookie()?,
            session_cookie_secure: secure,
            tag_expirations_s,
            default_tag_expiration_s,
            change_tag_expiration: self.boolean("FEATURE_CHANGE_TAG_EXPIRATION")?,
            permanently_delete_tags: self.boolean("PERMANENTLY_DELETE_TAGS")?,
            security_scanner: self.boolean("FEATURE_SECURITY_SCANNER")?,
            action_counter: self.boolean("FEATURE_REPOSITORY_ACTION_COUNTER")?,
            search_page: self.count("SEARCH_RESULTS_PER_PAGE")?,
            search_pages: self.count("SEARCH_MAX_RESULT_PAGE_COUNT")?,
            repository_states: self.boolean("FEATURE_REPO_MIRROR")?,
            auto_prune: self.boolean("FEATURE_AUTO_PRUNE")?,
            pull_statistics: self.boolean("FEATURE_IMAGE_PULL_STATS")?,
            immutable_tags: self.boolean("FEATURE_IMMUTABLE_TAGS")?,
            public_catalog: self.boolean("FEATURE_PUBLIC_CATALOG")?,
            private_on_push: self.boolean("CREATE_PRIVATE_REPO_ON_PUSH")?,
            namespace_on_push: self.boolean("CREATE_NAMESPACE_ON_PUSH")?,
            key_service: self.text("INSTANCE_SERVICE_KEY_SERVICE")?,
            unapproved_key_ttl: self.seconds("UNAPPROVED_SERVICE_KEY_TTL_SEC")?,
            expired_key_ttl: self.seconds("EXPIRED_SERVICE_KEY_TTL_SEC")?,
            browser_calls_xhr_only: self.boolean("BROWSER_API_CALLS_XHR_ONLY")?,
            refused_docker_versions: Some(refused_docker_versions).filter(|versions| !versions.is_empty()),
            advertise_v2: self.boolean("FEATURE_ADVERTISE_V2")?,
            read_only,
            local_oauth_handler: self.text("LOCAL_OAUTH_HANDLER")?,
            direct_oauth_clients: self.text_set("DIRECT_OAUTH_CLIENTID_WHITELIST")?,
            audit_logins: self.boolean_or_text("ACTION_LOG_AUDIT_LOGINS")?,
            audit_login_failures: self.boolean("ACTION_LOG_AUDIT_LOGIN_FAILURES")?,
            robots_disallow: self.optional_boolean("ROBOTS_DISALLOW")?.unwrap_or(false),
            robots_whitelist: self.text_set("ROBOTS_WHITELIST")?,
            refused_email_domains,
            contact_info: self.texts("CONTACT_INFO")?,
            recovery_lifetime: self.duration("USER_RECOVERY_TOKEN_LIFETIME")?,
            avatars: self.avatars()?,
            recaptcha_site_key: self.recaptcha()?.map(|(site, _)| site),
            recaptcha_spared: self.text_set("RECAPTCHA_WHITELISTED_USERS")?,
            ..AccountOptions::new(scheme.as_str(), hostname.unwrap_or("localhost"))
        })
    }
}

#[cfg(test)]
mod tests;
