//! Authenticators and authorizers that are broken on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::executor::block_on;
use quay_core::auth::{
    Action, Authentication, Authenticator, Authorizer, Credentials, Decision, Identity, Resource,
};
use quay_core::testing::auth::{KnownUser, run_authenticator, run_authorizer};
use quay_core::{Caller, CredentialKind, Principal, StoreError};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    AnyBearer,
    AnyPassword,
    PrefixOfPassword,
    EmptyPassword,
    NoPassword,
    TellsUnknownUsers,
    SilentChallenge,
    BrokenChallenge,
}

#[derive(Debug)]
struct Broken(Fault);

fn proven(name: &str) -> Authentication {
    Authentication::Proven(Identity::new(
        Principal::User(name.into()),
        CredentialKind::Password,
    ))
}

#[async_trait]
impl Authenticator for Broken {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Authentication, StoreError> {
        let fault = self.0;
        Ok(match credentials {
            Credentials::Bearer(_) if fault == Fault::AnyBearer => proven("bearer"),
            Credentials::Basic { username, password } => {
                let right = match fault {
                    Fault::AnyPassword => true,
                    Fault::PrefixOfPassword => password.starts_with("secret"),
                    Fault::EmptyPassword => password == "secret" || password.is_empty(),
                    Fault::NoPassword => false,
                    _ => password == "secret",
                };
                match (username, right) {
                    ("alice", true) => proven(username),
                    ("alice", false) if fault == Fault::TellsUnknownUsers => {
                        Authentication::Denied("wrong password")
                    }
                    _ => Authentication::Denied("wrong"),
                }
            }
            _ => Authentication::NotMine,
        })
    }

    fn challenge(&self, _: Option<&str>) -> String {
        match self.0 {
            Fault::SilentChallenge => String::new(),
            Fault::BrokenChallenge => "Basic realm=\"\r\n".to_owned(),
            _ => "Basic realm=\"test\"".to_owned(),
        }
    }
}

#[test]
fn every_broken_authenticator_is_caught() {
    use Fault::*;
    for fault in [
        None,
        AnyBearer,
        AnyPassword,
        PrefixOfPassword,
        EmptyPassword,
        NoPassword,
        TellsUnknownUsers,
        SilentChallenge,
        BrokenChallenge,
    ] {
        let broken: Arc<dyn Authenticator> = Arc::new(Broken(fault));
        let known = KnownUser::new("alice", "secret");
        let report = block_on(run_authenticator(&broken, Some(known)));
        assert_eq!(report.failed.is_empty(), fault == None, "{fault:?}: {report:?}");
    }
}

/// Answers differently each time, or without a reason.
#[derive(Debug)]
struct Moody {
    moody: bool,
    yes: AtomicBool,
}

#[async_trait]
impl Authorizer for Moody {
    async fn authorize(&self, _: Action, _: Resource<'_>, _: &Caller) -> Result<Decision, StoreError> {
        Ok(if self.moody && self.yes.fetch_xor(true, Ordering::SeqCst) {
            Decision::Allow("today")
        } else {
            Decision::Deny(if self.moody { "today" } else { "" })
        })
    }
}

#[test]
fn every_broken_authorizer_is_caught() {
    for moody in [true, false] {
        let broken: Arc<dyn Authorizer> = Arc::new(Moody {
            moody,
            yes: AtomicBool::new(false),
        });
        assert!(
            !block_on(run_authorizer(&broken)).failed.is_empty(),
            "moody: {moody}"
        );
    }
}
