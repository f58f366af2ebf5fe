//! Sessions of browsers and of clients that log in like one (`quay-api.md`, 2.1).
//!
//! A session is a sealed value in a cookie: any process that holds the key understands it, and nothing is
//! stored. It ends with its time, with the cookie, or when the account's uuid changes.

use std::fmt::{self, Debug};

use http::HeaderMap;
use http::header::COOKIE;
use quay_core::accounts::{Account, AccountOptions, Seal};
use quay_core::runtime::{Runtime, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

const PURPOSE: &str = "session";
/// Cookies longer than this are not ours.
const LONGEST: usize = 4096;

/// What a cookie says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// The uuid of the account that has logged in.
    pub(crate) user: Option<String>,
    /// What every write must show, so that no other site's page can make one.
    pub(crate) csrf: String,
    pub(crate) created: Timestamp,
    /// When the password was last checked.
    pub(crate) password_checked: Option<Timestamp>,
}

impl Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Session");
        shown
            .field("logged_in", &self.user.is_some())
            .finish_non_exhaustive()
    }
}

/// A session as it is sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    version: u8,
    user: Option<String>,
    csrf: String,
    created_ms: i64,
    password_checked_ms: Option<i64>,
}

const VERSION: u8 = 1;

impl Session {
    /// A session of nobody.
    pub(crate) fn anonymous(runtime: &Runtime) -> Self {
        Self {
            user: None,
            csrf: csrf_token(runtime),
            created: runtime.clock.now(),
            password_checked: None,
        }
    }

    /// A new session of whoever has just shown their password, or has been vouched for. Nothing of an
    /// earlier session is left in it.
    pub(crate) fn logged_in(account: &Account, runtime: &Runtime) -> Self {
        Self {
            user: Some(account.uuid.clone()),
            password_checked: Some(runtime.clock.now()),
            ..Self::anonymous(runtime)
        }
    }

    /// The same session without its account: what is left of it for a caller who is somebody else.
    pub(crate) fn disowned(self) -> Self {
        Self {
            user: None,
            password_checked: None,
            ..self
        }
    }

    /// The first of a request's cookies that is a session and has not ended.
    pub(crate) fn of(
        headers: &HeaderMap,
        options: &AccountOptions,
        seal: &dyn Seal,
        now: Timestamp,
    ) -> Option<Self> {
        let lines = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok());
        let pairs = lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let ours = pairs.filter(|(name, value)| *name == options.session_cookie && value.len() <= LONGEST);
        let mut sessions = ours.filter_map(|(_, value)| Self::open(value, seal));
        sessions.find(|session| now < session.created.plus(options.session_timeout))
    }

    fn open(sealed: &str, seal: &dyn Seal) -> Option<Self> {
        let content = seal.open(PURPOSE, sealed)?;
        let sealed: Sealed = serde_json::from_slice(&content).ok()?;
        (sealed.version == VERSION && !sealed.csrf.is_empty()).then(|| Self {
            user: sealed.user,
            csrf: sealed.csrf,
            created: Timestamp::from_millis(sealed.created_ms),
            password_checked: sealed.password_checked_ms.map(Timestamp::from_millis),
        })
    }

    fn sealed(&self, seal: &dyn Seal) -> String {
        let sealed = Sealed {
            version: VERSION,
            user: self.user.clone(),
            csrf: self.csrf.clone(),
            created_ms: self.created.as_millis(),
            password_checked_ms: self.password_checked.map(Timestamp::as_millis),
        };
        seal.seal(PURPOSE, serde_json::json!(sealed).to_string().as_bytes())
    }

    /// The value of `Set-Cookie` that hands the session to the client.
    pub(crate) fn cookie(&self, options: &AccountOptions, seal: &dyn Seal) -> String {
        let max_age = options.permanent_sessions.then_some(options.session_timeout);
        cookie(options, &self.sealed(seal), max_age.map(|age| age.as_secs()))
    }

    /// Whether a request that shows this token comes from a page that was given it.
    pub(crate) fn allows(&self, shown: &str) -> bool {
        self.csrf.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

fn cookie(options: &AccountOptions, value: &str, max_age_s: Option<u64>) -> String {
    let name = &options.session_cookie;
    let secure = if options.session_cookie_secure {
        "; Secure"
    } else {
        ""
    };
    let age = max_age_s.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    format!("{name}={value}{age}; Path=/; HttpOnly; SameSite=Lax{secure}")
}

fn csrf_token(runtime: &Runtime) -> String {
    format!("{}{}", runtime.random_id(), runtime.random_id())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quay_core::accounts::AccountKind;
    use quay_core::testing::{ManualClock, SeededRandom, ThreadSpawner};

    use super::*;

    #[test]
    fn nothing_of_an_earlier_session_is_left_after_a_login() {
        let clock = Arc::new(ManualClock::default());
        let random = Arc::new(SeededRandom::default());
        let runtime = Runtime::new(Arc::clone(&clock) as _, random, Arc::new(ThreadSpawner));
        let account = Account::new(
            AccountKind::User,
            "me",
            "uuid-me".to_owned(),
            Timestamp::default(),
        );
        let before = Session::anonymous(&runtime);
        let after = Session::logged_in(&account, &runtime);
        assert_ne!(before.csrf, after.csrf);
        assert!(!after.allows(&before.csrf) && after.allows(&after.csrf));
        assert!(!after.allows("") && !after.allows(&after.csrf.to_uppercase()));
        assert_eq!(after.user.as_deref(), Some("uuid-me"));
        assert_eq!(after.password_checked, Some(after.created));
        let disowned = after.clone().disowned();
        assert_eq!((disowned.user, disowned.password_checked), (None, None));
        assert_eq!(disowned.csrf, after.csrf);
        assert!(
            !format!("{after:?}").contains(&after.csrf),
            "secrets are not printed"
        );
    }
}
