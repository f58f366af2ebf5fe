//! The first page, and what its scripts and those of other people's find in it.

use quay_core::accounts::{AccountOptions, Scope};
use serde_json::{Map, Value, json};

use super::documents::Documents;

/// The settings that pages need, in the names of the configuration.
fn config(options: &AccountOptions) -> Value {
    let (scheme, _) = options.base_url.split_once("://").unwrap_or(("https", ""));
    json!({
        "SERVER_HOSTNAME": options.hostname,
        "PREFERRED_URL_SCHEME": scheme,
        "REGISTRY_TITLE": options.title,
        "REGISTRY_TITLE_SHORT": options.title,
        "CONTACT_INFO": options.contact_info,
        "AUTHENTICATION_TYPE": "Database",
        "AVATAR_KIND": options.avatars.as_str(),
        "RECAPTCHA_SITE_KEY": options.recaptcha_site_key,
        "REGISTRY_STATE": state(options),
        "LOCAL_OAUTH_HANDLER": options.local_oauth_handler,
        // Pages of others stop without these.
        "SETUP_COMPLETE": true,
        "BRANDING": options.branding,
        "DOCUMENTATION_ROOT": options.documentation_root,
        "FOOTER_LINKS": options.footer_links,
        "TAG_EXPIRATION_OPTIONS": options.tag_expirations_s.iter().map(|&seconds| period(seconds)).collect::<Vec<_>>(),
        "DEFAULT_TAG_EXPIRATION": period(options.default_tag_expiration_s),
    })
}

/// A period as the configuration has it: `2w`.
fn period(seconds: i64) -> String {
    for (unit, length) in [("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60)] {
        if seconds != 0 && seconds % length == 0 {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

fn features(options: &AccountOptions) -> Value {
    json!({
        "ANONYMOUS_ACCESS": options.anonymous_access,
        "APP_SPECIFIC_TOKENS": options.app_tokens,
        "ASSIGN_OAUTH_TOKEN": options.assign_oauth_tokens,
        "CHANGE_TAG_EXPIRATION": options.change_tag_expiration,
        "DIRECT_LOGIN": options.direct_login,
        "INVITE_ONLY_USER_CREATION": options.invite_only,
        "MAILING": options.mailing,
        "PARTIAL_USER_AUTOCOMPLETE": options.partial_autocomplete,
        "PUBLIC_CATALOG": options.public_catalog,
        "RECAPTCHA": options.recaptcha_site_key.is_some(),
        "REQUIRE_ENCRYPTED_BASIC_AUTH": options.require_encrypted_passwords,
        "REQUIRE_TEAM_INVITE": options.require_team_invite,
        "SUPERUSERS_FULL_ACCESS": options.superusers_full_access,
        "SUPER_USERS": options.superusers_enabled,
        "USER_CREATION": options.user_creation,
        "USER_INITIALIZE": options.user_initialize,
        "USER_LAST_ACCESSED": options.last_accessed,
        "USER_METADATA": options.user_metadata,
        "USER_RENAME": options.user_rename,
    })
}

const fn state(options: &AccountOptions) -> &'static str {
    if options.read_only { "readonly" } else { "normal" }
}

/// The services of others that pages know of, none of which is set up here. Pages read the members of each
/// without asking whether it is there.
fn services() -> Value {
    let github = json!({
        "CLIENT_ID": null,
        "AUTHORIZE_ENDPOINT": "https://github.com/login/oauth/authorize",
        "GITHUB_ENDPOINT": "https://github.com/",
        "ORG_RESTRICT": false,
    });
    json!({
        "GITHUB_LOGIN_CONFIG": github,
        "GITHUB_TRIGGER_CONFIG": github,
        "GITLAB_TRIGGER_CONFIG": {
            "CLIENT_ID": null,
            "AUTHORIZE_ENDPOINT": "https://gitlab.com/oauth/authorize",
            "GITLAB_ENDPOINT": "https://gitlab.com",
        },
    })
}

/// `GET /config`
pub(crate) fn settings(options: &AccountOptions) -> Value {
    json!({
        "config": config(options),
        "features": features(options),
        "oauth": services(),
        "external_login": [],
        "registry_state": state(options),
        "account_recovery_mode": false,
        "version_number": env!("CARGO_PKG_VERSION"),
    })
}

fn scopes(options: &AccountOptions) -> Value {
    let offered = Scope::ALL
        .iter()
        .filter(|scope| options.superusers_enabled || **scope != Scope::Superuser);
    let described = offered.map(|scope| {
        let described = json!({
            "scope": scope.as_str(),
            "title": scope.title(),
            "description": scope.description(),
            "dangerous": scope.is_dangerous(),
        });
        (scope.as_str().to_owned(), described)
    });
    described.collect::<Map<_, _>>().into()
}

/// `GET /`, and where pages of others have views. Old clients take the token out of the text before they log in.
pub(crate) fn first(options: &AccountOptions, documents: &Documents, csrf: &str) -> String {
    let endpoints = documents.endpoints(options);
    let endpoints = String::from_utf8_lossy(&endpoints);
    let variables = [
        ("endpoints", in_script(&endpoints)),
        ("features", in_script(&features(options).to_string())),
        ("config", in_script(&config(options).to_string())),
        ("oauth", in_script(&services().to_string())),
        ("external_login", "[]".to_owned()),
        ("auth_scopes", in_script(&scopes(options).to_string())),
        ("vuln_priority", "{}".to_owned()),
        ("registry_state", format!("'{}'", state(options))),
        // Hexadecimal digits: nothing to escape.
        ("token", format!("'{csrf}'")),
    ];
    let mut script = String::new();
    for (name, value) in variables {
        for part in ["window.__", name, " = ", &value, ";\n"] {
            script.push_str(part);
        }
    }
    let title = in_html(&options.title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <script>\n{script}</script>\n</head>\n<body>\n<h1>{title}</h1>\n</body>\n</html>\n"
    )
}

/// JSON that cannot end the script that it stands in.
fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// Text that stands in a page, or in quotes in one of its tags.
pub(crate) fn in_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_options_ends_the_script() {
        let mut options = AccountOptions::new("https", "registry.example");
        options.title = "</script><script>alert(1)</script>".to_owned();
        let page = first(&options, &Documents::default(), "abc");
        assert_eq!(page.matches("<script>").count(), 1, "{page}");
        assert_eq!(page.matches("</script>").count(), 1, "{page}");
        assert!(page.contains("window.__token = 'abc';"));
    }

    #[test]
    fn periods_are_written_as_they_are_configured() {
        for (seconds, expected) in [
            (0, "0s"),
            (86_400, "1d"),
            (1_209_600, "2w"),
            (90, "90s"),
            (7200, "2h"),
        ] {
            assert_eq!(period(seconds), expected);
        }
    }
}
