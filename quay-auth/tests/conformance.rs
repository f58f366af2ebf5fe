//! The authenticators pass quay-core's suite.

use std::sync::Arc;

use futures::executor::block_on;
use quay_auth::{AnonymousAllowed, StaticUsers};
use quay_core::Authenticator;
use quay_core::testing::auth::{KnownUser, run_authenticator};

#[test]
fn static_users_pass() {
    let users = StaticUsers::new("registry").with_user("alice", "secret").unwrap();
    let authenticator: Arc<dyn Authenticator> = Arc::new(users);
    let report = block_on(run_authenticator(
        &authenticator,
        Some(KnownUser::new("alice", "secret")),
    ));
    report.assert_passed();
    assert_eq!(report.not_applicable, []);
}

#[test]
fn anonymous_allowed_passes() {
    let authenticator: Arc<dyn Authenticator> = Arc::new(AnonymousAllowed);
    block_on(run_authenticator(&authenticator, None)).assert_passed();
}
