//! The suites for [`Authenticator`] and [`Authorizer`].

use std::sync::Arc;

use super::{Failure, Report, ensure};
use crate::auth::{Action, Authentication, Authenticator, Authorizer, Credentials, Resource};
use crate::caller::{Caller, Principal};
use crate::name::RepositoryName;

/// A user that the authenticator under test knows by password, if it knows users by password.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct KnownUser<'a> {
    /// Name.
    pub username: &'a str,
    /// Password.
    pub password: &'a str,
}

impl<'a> KnownUser<'a> {
    /// A user.
    #[must_use]
    pub const fn new(username: &'a str, password: &'a str) -> Self {
        Self { username, password }
    }
}

/// Runs the suite for authenticators.
pub async fn run_authenticator(
    authenticator: &Arc<dyn Authenticator>,
    known: Option<KnownUser<'_>>,
) -> Report {
    let mut report = Report::default();
    report.add("nothing_proves_nobody", nothing(authenticator).await);
    report.add("the_challenge_can_be_sent", challenge(authenticator));
    let password = match known {
        Some(known) => passwords(authenticator, known).await,
        None => Err(Failure::NotApplicable("passwords")),
    };
    report.add("only_the_right_password_counts", password);
    report
}

async fn nothing(authenticator: &Arc<dyn Authenticator>) -> Result<(), Failure> {
    for credentials in [
        Credentials::None,
        Credentials::Unreadable,
        Credentials::Bearer(""),
        Credentials::Bearer("x"),
    ] {
        let seen = authenticator.authenticate(credentials).await?;
        let named =
            matches!(&seen, Authentication::Proven(identity) if identity.principal != Principal::Anonymous);
        ensure!(!named, "{credentials:?} prove {seen:?}");
    }
    Ok(())
}

fn challenge(authenticator: &Arc<dyn Authenticator>) -> Result<(), Failure> {
    for scope in [None, Some("repository:a/b:pull,push")] {
        let challenge = authenticator.challenge(scope);
        let visible = challenge.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        ensure!(
            visible && !challenge.is_empty(),
            "the challenge cannot stand in a header: {challenge:?}"
        );
        let quotes = challenge.matches('"').count();
        ensure!(
            quotes.is_multiple_of(2),
            "the challenge's quotes do not pair: {challenge:?}"
        );
    }
    Ok(())
}

async fn passwords(authenticator: &Arc<dyn Authenticator>, known: KnownUser<'_>) -> Result<(), Failure> {
    let KnownUser { username, password } = known;
    let ask = async |username: &str, password: &str| {
        authenticator
            .authenticate(Credentials::Basic { username, password })
            .await
    };
    let seen = ask(username, password).await?;
    ensure!(
        matches!(seen, Authentication::Proven(_)),
        "the right password gives {seen:?}"
    );
    let longer = format!("{password}x");
    let wrong = ask(username, &longer).await?;
    ensure!(
        matches!(wrong, Authentication::Denied(_)),
        "a wrong password gives {wrong:?}"
    );
    let unknown = ask("nobody-of-that-name", password).await?;
    ensure!(
        wrong == unknown,
        "a wrong password and an unknown user can be told apart: {wrong:?}, {unknown:?}"
    );
    let empty = ask(username, "").await?;
    ensure!(
        !matches!(empty, Authentication::Proven(_)),
        "an empty password gives {empty:?}"
    );
    Ok(())
}

/// Runs the suite for authorizers.
pub async fn run_authorizer(authorizer: &Arc<dyn Authorizer>) -> Report {
    let mut report = Report::default();
    report.add(
        "the_same_question_has_the_same_answer",
        repeatable(authorizer).await,
    );
    report.add("every_decision_has_a_reason", reasons(authorizer).await);
    report
}

fn callers() -> [Caller; 2] {
    [
        Caller::anonymous(),
        Caller::new(Principal::User("somebody".into())),
    ]
}

fn name() -> Result<RepositoryName, Failure> {
    RepositoryName::from_path("some/where").map_err(|error| Failure::new(error.to_string()))
}

async fn repeatable(authorizer: &Arc<dyn Authorizer>) -> Result<(), Failure> {
    let name = name()?;
    for caller in callers() {
        for &action in Action::ALL {
            let resource = Resource::Repository {
                name: &name,
                record: None,
            };
            let first = authorizer.authorize(action, resource, &caller).await?;
            let second = authorizer.authorize(action, resource, &caller).await?;
            ensure!(
                first == second,
                "{action:?} by {caller:?} is {first:?}, then {second:?}"
            );
        }
    }
    Ok(())
}

async fn reasons(authorizer: &Arc<dyn Authorizer>) -> Result<(), Failure> {
    use crate::auth::Decision;

    for caller in callers() {
        for &action in Action::ALL {
            let decision = authorizer.authorize(action, Resource::Registry, &caller).await?;
            let (Decision::Allow(reason) | Decision::Deny(reason)) = decision;
            ensure!(
                !reason.is_empty(),
                "{action:?} by {caller:?} is decided without a reason"
            );
        }
    }
    Ok(())
}
