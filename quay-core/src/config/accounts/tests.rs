use serde_json::json;

use super::*;
use crate::config::Config;

fn read(value: &Value) -> Result<Config, InvalidConfig> {
    Config::from_map(value.as_object().unwrap())
}

#[test]
fn the_defaults_are_those_of_accounts_themselves() {
    let config = Config::default();
    let expected = AccountOptions::new("http", "localhost");
    assert_eq!(format!("{:?}", config.accounts), format!("{expected:?}"));
    assert_eq!(config.mail, None);
    assert_eq!((config.secret_key, config.database_secret_key), (None, None));
    assert_eq!(config.instance_key.expiration, Duration::from_hours(2));
    assert_eq!(config.instance_key.refresh, Duration::from_mins(55));
    assert_eq!(config.token_max_lifetime, Duration::from_mins(61));
    assert_eq!(config.warnings, []);
}

/// Every key of accounts, with another value than its default.
const EVERY_KEY: &str = r#"{
        "SERVER_HOSTNAME": "quay.example:8443",
        "PREFERRED_URL_SCHEME": "https",
        "REGISTRY_TITLE": "Ours",
        "FEATURE_SUPER_USERS": false,
        "SUPER_USERS": ["admin"],
        "FEATURE_SUPERUSERS_FULL_ACCESS": true,
        "FEATURE_ANONYMOUS_ACCESS": false,
        "FEATURE_USER_CREATION": false,
        "FEATURE_INVITE_ONLY_USER_CREATION": true,
        "FEATURE_DIRECT_LOGIN": false,
        "FEATURE_USER_INITIALIZE": true,
        "FEATURE_USER_METADATA": true,
        "FEATURE_USER_RENAME": true,
        "FEATURE_USER_LAST_ACCESSED": false,
        "LAST_ACCESSED_UPDATE_THRESHOLD_S": 5,
        "FEATURE_PARTIAL_USER_AUTOCOMPLETE": false,
        "FEATURE_MAILING": true,
        "MAIL_SERVER": "mail.example",
        "FEATURE_REQUIRE_TEAM_INVITE": false,
        "FEATURE_APP_SPECIFIC_TOKENS": false,
        "APP_SPECIFIC_TOKEN_EXPIRATION": "4w",
        "EXPIRED_APP_SPECIFIC_TOKEN_GC": null,
        "FEATURE_REQUIRE_ENCRYPTED_BASIC_AUTH": true,
        "FRESH_LOGIN_TIMEOUT": "0s",
        "SESSION_TIMEOUT": "1y",
        "FEATURE_PERMANENT_SESSIONS": false,
        "SESSION_COOKIE_NAME": "session",
        "TAG_EXPIRATION_OPTIONS": ["0s", "1h"],
        "DEFAULT_TAG_EXPIRATION": "60m",
        "FEATURE_CHANGE_TAG_EXPIRATION": false,
        "PERMANENTLY_DELETE_TAGS": true,
        "FEATURE_SECURITY_SCANNER": true,
        "FEATURE_REPOSITORY_ACTION_COUNTER": false,
        "SEARCH_RESULTS_PER_PAGE": 25, "SEARCH_MAX_RESULT_PAGE_COUNT": 4,
        "FEATURE_REPO_MIRROR": true,
        "FEATURE_AUTO_PRUNE": true,
        "FEATURE_IMAGE_PULL_STATS": true,
        "FEATURE_IMMUTABLE_TAGS": true,
        "FEATURE_PUBLIC_CATALOG": true,
        "CREATE_PRIVATE_REPO_ON_PUSH": false,
        "CREATE_NAMESPACE_ON_PUSH": true,
        "INSTANCE_SERVICE_KEY_SERVICE": "ours",
        "UNAPPROVED_SERVICE_KEY_TTL_SEC": 1,
        "EXPIRED_SERVICE_KEY_TTL_SEC": 2,
        "BROWSER_API_CALLS_XHR_ONLY": false,
        "BLACKLIST_V2_SPEC": "",
        "FEATURE_ADVERTISE_V2": false,
        "REGISTRY_STATE": "readonly",
        "LOCAL_OAUTH_HANDLER": "/local",
        "DIRECT_OAUTH_CLIENTID_WHITELIST": ["client"],
        "ACTION_LOG_AUDIT_LOGINS": "false",
        "ACTION_LOG_AUDIT_LOGIN_FAILURES": true,
        "ROBOTS_DISALLOW": true,
        "ROBOTS_WHITELIST": ["org+robot"],
        "FEATURE_BLACKLISTED_EMAILS": true,
        "BLACKLISTED_EMAIL_DOMAINS": ["Spam.Example"],
        "CONTACT_INFO": ["mailto:admin@example.com"],
        "USER_RECOVERY_TOKEN_LIFETIME": "10m",
        "AVATAR_KIND": "gravatar",
        "FEATURE_RECAPTCHA": true,
        "RECAPTCHA_SITE_KEY": "site",
        "RECAPTCHA_SECRET_KEY": "secret",
        "RECAPTCHA_WHITELISTED_USERS": ["spared"],
        "FEATURE_ASSIGN_OAUTH_TOKEN": false,
        "FEATURE_QUOTA_MANAGEMENT": true,
        "FEATURE_EDIT_QUOTA": false,
        "DEFAULT_SYSTEM_REJECT_QUOTA_BYTES": 1000,
        "BRANDING": {"logo": "/logo.svg"},
        "DOCUMENTATION_ROOT": "https://manual.example",
        "FOOTER_LINKS": {"terms": "https://terms.example"}
    }"#;

#[test]
fn every_key_of_accounts_is_read() {
    // Another value than the default for each, so that a key that is not read is noticed.
    let written: Value = serde_json::from_str(EVERY_KEY).unwrap();
    let config = read(&written).unwrap();
    let fields = |options: &AccountOptions| {
        let text = format!("{options:#?}");
        // One line for each field, those of lists and sets apart; what lies deeper is no field.
        let lines = text
            .lines()
            .filter(|line| line.starts_with("    ") && !line.starts_with("     ") && line.contains(": "));
        lines.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let defaults = fields(&AccountOptions::new("http", "localhost"));
    for line in fields(&config.accounts) {
        let is_list = line.ends_with('[') || line.ends_with('{') || line.ends_with('(');
        assert!(is_list || !defaults.contains(&line), "{line}");
    }
    let accounts = &config.accounts;
    assert_eq!(accounts.base_url, "https://quay.example:8443");
    assert!(accounts.superusers.contains("admin") && accounts.robots_whitelist.contains("org+robot"));
    assert!(accounts.direct_oauth_clients.contains("client"));
    assert_eq!(accounts.branding["logo"], "/logo.svg");
    assert_eq!(accounts.footer_links["terms"], "https://terms.example");
    assert!(accounts.refused_email_domains.contains("spam.example"));
    assert_eq!(accounts.contact_info, ["mailto:admin@example.com"]);
    assert_eq!(accounts.recaptcha_site_key.as_deref(), Some("site"));
    assert!(accounts.recaptcha_spared.contains("spared"));
    let secret = config.recaptcha_secret.as_ref().map(Secret::reveal);
    assert_eq!(secret, Some("secret"));
    assert_eq!(accounts.tag_expirations_s, [0, 3600]);
    assert_eq!(accounts.app_token_lifetime, Some(Duration::from_hours(28 * 24)));
    assert_eq!(
        (accounts.app_token_gc, accounts.fresh_login),
        (None, Duration::ZERO)
    );
    assert_eq!(config.not_in_effect, [""; 0], "keys that are read are in effect");
    assert_eq!(config.warnings, []);
}

#[test]
fn people_are_told_from_programs_with_both_keys() {
    for (value, key) in [
        (json!({ "FEATURE_RECAPTCHA": true }), "RECAPTCHA_SITE_KEY"),
        (
            json!({ "FEATURE_RECAPTCHA": true, "RECAPTCHA_SITE_KEY": "site", "RECAPTCHA_SECRET_KEY": "" }),
            "RECAPTCHA_SECRET_KEY",
        ),
        (json!({ "AVATAR_KIND": "drawn" }), "AVATAR_KIND"),
        (
            json!({ "USER_RECOVERY_TOKEN_LIFETIME": "soon" }),
            "USER_RECOVERY_TOKEN_LIFETIME",
        ),
    ] {
        let error = read(&value).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
    let off = json!({ "RECAPTCHA_SITE_KEY": "site", "RECAPTCHA_SECRET_KEY": "secret" });
    let config = read(&off).unwrap();
    assert!(config.recaptcha_secret.is_none() && config.accounts.recaptcha_site_key.is_none());
}

#[test]
fn refused_domains_and_lists_need_their_switch() {
    let config = read(&json!({ "BLACKLISTED_EMAIL_DOMAINS": ["spam.example"] })).unwrap();
    assert!(config.accounts.refused_email_domains.is_empty());
    for (value, expected) in [(json!(true), true), (json!("True"), true), (json!(null), true)] {
        let config = read(&json!({ "ACTION_LOG_AUDIT_LOGINS": value })).unwrap();
        assert_eq!(config.accounts.audit_logins, expected, "{value}");
    }
}

#[test]
fn links_that_begin_with_https_make_secure_cookies() {
    let secure = |value| read(&value).unwrap().accounts.session_cookie_secure;
    assert!(!secure(json!({})));
    assert!(secure(json!({ "SESSION_COOKIE_SECURE": true })));
    assert!(secure(json!({ "PREFERRED_URL_SCHEME": "https" })));
    let options = AccountOptions::new("http", "localhost").at("http", "127.0.0.1:5000");
    assert_eq!(
        (options.hostname.as_str(), options.base_url.as_str()),
        ("127.0.0.1:5000", "http://127.0.0.1:5000")
    );
    assert!(!options.session_cookie_secure);
    assert!(options.at("https", "quay.example").session_cookie_secure);
}

#[test]
fn mail_is_sent_where_there_is_a_server() {
    let mail = |value| {
        let config = read(&value).unwrap();
        let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(config.accounts.mailing, config.mail.is_some());
        (config.mail, warnings.join(", "))
    };
    assert_eq!(mail(json!({})), (None, String::new()));
    assert_eq!(
        mail(json!({ "FEATURE_MAILING": false, "MAIL_SERVER": "m" })).0,
        None
    );
    let (none, warning) = mail(json!({ "FEATURE_MAILING": true }));
    assert_eq!(none, None);
    assert!(
        warning.contains("FEATURE_MAILING") && warning.contains("MAIL_SERVER"),
        "{warning}"
    );

    let (server, warnings) = mail(json!({ "MAIL_SERVER": "mail.example" }));
    let server = server.unwrap();
    assert_eq!((server.host.as_str(), server.port), ("mail.example", 587));
    assert_eq!(
        (server.tls, server.failure),
        (MailTls::StartTls, MailFailure::Told)
    );
    assert_eq!(
        (server.sender.as_str(), server.login),
        ("admin@example.com", None)
    );
    assert_eq!(warnings, "");

    let (server, _) = mail(json!({
        "MAIL_SERVER": "mail.example", "MAIL_PORT": 25, "MAIL_USE_TLS": false, "MAIL_FAIL_SILENTLY": true,
        "MAIL_USERNAME": "quay", "MAIL_PASSWORD": "geheim", "MAIL_DEFAULT_SENDER": "Quay <quay@example.com>",
    }));
    let server = server.unwrap();
    assert!(
        !format!("{server:?}").contains("geheim"),
        "a password is not printed"
    );
    assert_eq!(
        (server.port, server.tls, server.failure),
        (25, MailTls::Plain, MailFailure::Logged)
    );
    assert_eq!(
        server.login,
        Some(("quay".to_owned(), Secret::new("geheim".to_owned())))
    );

    let (server, warning) = mail(json!({ "MAIL_SERVER": "mail.example", "MAIL_USERNAME": "quay" }));
    assert_eq!(server.unwrap().login, None);
    assert!(warning.contains("MAIL_PASSWORD"), "{warning}");
}

#[test]
fn secrets_are_not_printed() {
    let keys = json!({ "SECRET_KEY": "geheim", "DATABASE_SECRET_KEY": "geheim", "PAGE_TOKEN_KEY": "geheim" });
    let config = read(&keys).unwrap();
    assert_eq!(config.secret_key.as_ref().unwrap().reveal(), "geheim");
    assert_eq!(config.database_secret_key.as_ref().unwrap().reveal(), "geheim");
    assert_eq!(config.page_token_key.as_ref().unwrap().reveal(), "geheim");
    assert!(!format!("{config:?}").contains("geheim"));
}

#[test]
fn what_cannot_be_used_is_named() {
    for (key, value, reason) in [
        ("AUTHENTICATION_TYPE", json!("LDAP"), "does not support LDAP"),
        (
            "SERVER_HOSTNAME",
            json!("https://quay.example"),
            "such as quay.example.com:8443",
        ),
        ("SERVER_HOSTNAME", json!(""), "must be a host"),
        ("SECRET_KEY", json!(""), "must not be empty"),
        ("SECRET_KEY", json!(12), "must be a string"),
        ("DATABASE_SECRET_KEY", json!(["a"]), "must be a string"),
        ("SUPER_USERS", json!("admin"), "must be a list"),
        (
            "SUPER_USERS",
            json!(["admin", 7]),
            "a list of strings, and 7 is none",
        ),
        ("FRESH_LOGIN_TIMEOUT", json!("10"), "such as 10m"),
        ("FRESH_LOGIN_TIMEOUT", json!(600), "must be a string"),
        ("SESSION_TIMEOUT", json!("1 month"), "such as 10m"),
        ("SESSION_TIMEOUT", json!("0s"), "longer than 0s"),
        (
            "LAST_ACCESSED_UPDATE_THRESHOLD_S",
            json!(3_153_600_001_u64),
            "no more than 3153600000",
        ),
        (
            "REGISTRY_JWT_AUTH_MAX_FRESH_S",
            json!(i64::MAX),
            "no more than 3153600000",
        ),
        ("MAIL_SERVER", json!("mail.example:25"), "without a port"),
        ("MAIL_SERVER", json!("mail example"), "without a port"),
        ("APP_SPECIFIC_TOKEN_EXPIRATION", json!("never"), "such as 10m"),
        (
            "TAG_EXPIRATION_OPTIONS",
            json!(["2w", "soon"]),
            "soon must be a number",
        ),
        (
            "DEFAULT_TAG_EXPIRATION",
            json!("3w"),
            "one of TAG_EXPIRATION_OPTIONS",
        ),
        ("SESSION_COOKIE_NAME", json!("a b"), "the name of a cookie"),
        ("INSTANCE_SERVICE_KEY_EXPIRATION", json!(0), "1 at least"),
        (
            "INSTANCE_SERVICE_KEY_REFRESH",
            json!(120),
            "less than INSTANCE_SERVICE_KEY_EXPIRATION",
        ),
        ("REGISTRY_JWT_AUTH_MAX_FRESH_S", json!(60), "at least 3600"),
        ("LAST_ACCESSED_UPDATE_THRESHOLD_S", json!(-1), "not negative"),
        ("MAIL_PORT", json!(70000), "from 1 to 65535"),
        ("MAIL_PORT", json!("smtp"), "must be a number"),
        ("ACTION_LOG_AUDIT_LOGINS", json!("yes"), "must be a boolean"),
        ("FEATURE_MAILING", json!("true"), "must be a boolean"),
    ] {
        let error = read(&json!({ key: value })).unwrap_err();
        assert_eq!(error.key(), key);
        assert!(error.to_string().contains(reason), "{error}");
    }
}
