//! The pages that users see on an application's behalf.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::CONTENT_SECURITY_POLICY;
use quay_core::accounts::{CheckedRequest, Scope};
use quay_core::{Algorithm, Digest};

use super::super::page::in_html;
use super::super::reply::Reply;
use super::consent::Question;
use super::redirect::source;

/// The policy of answers that load and run nothing.
pub(crate) const NOTHING: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Takes the token out of the address, where it would stay in the browser's history.
const SHOW: &str = "
const answer = new URLSearchParams(location.hash.slice(1) || location.search);
const shown = answer.get('access_token') || answer.get('code') || answer.get('error') || '';
document.getElementById('token').textContent = shown;
history.replaceState(null, '', location.pathname);
";

/// The policy of the page that shows the token: this script, and nothing else.
static SHOW_POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = hex::decode(Digest::of(Algorithm::Sha256, SHOW.as_bytes()).hex()).unwrap_or_default();
    let hash = STANDARD.encode(digest);
    format!(
        "default-src 'none'; script-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

fn page(title: &str, content: &str) -> String {
    let title = in_html(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n</head>\n\
         <body>\n<h1>{title}</h1>\n{content}</body>\n</html>\n"
    )
}

/// A page with one sentence for somebody whom an application has sent here in vain.
pub(crate) fn refusal(status: StatusCode, title: &str, message: &str) -> Reply {
    let content = format!("<p>{}</p>\n", in_html(message));
    Reply::html(status, page(title, &content))
}

/// The page that shows the token.
pub(crate) fn local(title: &str) -> Reply {
    let content = format!(
        "<p>Your token. It is shown once: whoever has it can act in your name.</p>\n\
         <p><code id=\"token\"></code></p>\n<script>{SHOW}</script>\n"
    );
    Reply::html(StatusCode::OK, page(title, &content)).with_header(CONTENT_SECURITY_POLICY, &SHOW_POLICY)
}

fn scope(scope: Scope) -> String {
    let warning = if scope.is_dangerous() {
        "<br>\n<strong>Warning: this is as much as you can do yourself.</strong>"
    } else {
        ""
    };
    format!(
        "<li><b>{}</b> (<code>{}</code>)<br>\n{}{warning}</li>\n",
        in_html(scope.title()),
        scope.as_str(),
        in_html(scope.description())
    )
}

/// Who asks, and for what.
fn asked(checked: &CheckedRequest) -> String {
    let application = &checked.application;
    let scopes: String = checked.scopes.iter().map(scope).collect();
    // Somebody else has written the address: it is shown, not followed.
    format!(
        "<p>The application <b>{}</b> of the organization <b>{}</b> asks for access to your account.</p>\n\
         <p>{}</p>\n<p><code>{}</code></p>\n<ul>\n{scopes}</ul>\n",
        in_html(&application.name),
        in_html(&checked.organization.name),
        in_html(&application.description),
        in_html(&application.application_uri),
    )
}

fn button(action: &str, label: &str, hidden: &str) -> String {
    format!(
        "<form method=\"post\" action=\"{action}\">\n{hidden}<button type=\"submit\">{label}</button>\n</form>\n"
    )
}

fn hidden<'a>(fields: impl Iterator<Item = (&'static str, &'a str)>) -> String {
    let field = |(name, value): (&str, &str)| {
        let value = in_html(value);
        format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">\n")
    };
    fields.map(field).collect()
}

/// Asks somebody who has followed the link in an invitation.
pub(crate) fn invitation(title: &str, user: &str, code: &str, csrf: &str) -> Reply {
    let content = format!(
        "<p>You have been asked to join a team. You are signed in as <b>{}</b>.</p>\n{}",
        in_html(user),
        button(
            "/confirminvite",
            "Join",
            &hidden([("code", code), ("_csrf_token", csrf)].into_iter())
        ),
    );
    let policy = NOTHING.replace("form-action 'none'", "form-action 'self'");
    Reply::html(StatusCode::OK, page(title, &content)).with_header(CONTENT_SECURITY_POLICY, &policy)
}

/// Asks a user.
pub(crate) fn question(
    title: &str,
    user: &str,
    question: &Question,
    checked: &CheckedRequest,
    csrf: &str,
) -> Reply {
    let fields = question.fields();
    let fields = fields.iter().filter_map(|&(name, value)| Some((name, value?)));
    let hidden = hidden(fields.chain([("_csrf_token", csrf)]));
    let content = format!(
        "{}<p>You are signed in as <b>{}</b>.</p>\n{}{}",
        asked(checked),
        in_html(user),
        button("/oauth/authorizeapp", "Authorize", &hidden),
        button("/oauth/denyapp", "Cancel", &hidden),
    );
    // Browsers hold the redirect that answers a form against the form's own policy.
    let policy = NOTHING.replace(
        "form-action 'none'",
        &match source(&question.redirect_uri) {
            Some(source) => format!("form-action 'self' {source}"),
            None => "form-action 'self'".to_owned(),
        },
    );
    Reply::html(StatusCode::OK, page(title, &content)).with_header(CONTENT_SECURITY_POLICY, &policy)
}

/// Tells somebody who has not signed in to do that first.
pub(crate) fn sign_in_first(title: &str, checked: &CheckedRequest) -> Reply {
    let content = format!(
        "{}<p><strong>Please <a href=\"/\">sign in</a> first, then open this page again.</strong></p>\n",
        asked(checked)
    );
    Reply::html(StatusCode::OK, page(title, &content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_page_ends_it() {
        let page = page("<script>", "");
        assert!(!page.contains("<script>"), "{page}");
        assert!(SHOW_POLICY.contains("script-src 'sha256-") && !SHOW.contains("</"));
    }
}
