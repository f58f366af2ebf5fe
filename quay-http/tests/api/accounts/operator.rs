//! What only the registry itself may do, whoever else asks.

use quay_core::{Access, Caller, CredentialKind, ErrorKind, Principal};

use super::*;

#[tokio::test]
async fn only_the_registry_itself_makes_users_without_a_superuser() {
    let host = Host::with(without_mail()).await;
    let create = |caller: Caller, name: &'static str| {
        let accounts = host.accounts.clone();
        async move {
            let email = format!("{name}@registry.example");
            let made = accounts.create_verified_user(&caller, name, "long-enough", &email);
            made.await.map_err(|error| error.kind())
        }
    };
    for (principal, expected) in [
        (Principal::Anonymous, ErrorKind::InvalidToken),
        (Principal::User("me".into()), ErrorKind::Forbidden),
        (Principal::User("system".into()), ErrorKind::Forbidden),
        (Principal::Robot("me+robot".into()), ErrorKind::Forbidden),
        (Principal::Token("token".into()), ErrorKind::Forbidden),
    ] {
        let mut caller = Caller::new(principal);
        caller.credential = CredentialKind::Session;
        caller.access = Access::Own;
        assert_eq!(create(caller, "somebody").await.unwrap_err(), expected);
    }
    let made = create(Caller::new(Principal::System), "somebody").await.unwrap();
    assert!(made.verified && made.enabled);
    let again = create(Caller::new(Principal::System), "somebody").await;
    assert_eq!(again.unwrap_err(), ErrorKind::Rejected);
    let unusable = create(Caller::new(Principal::System), "Somebody").await;
    assert_eq!(unusable.unwrap_err(), ErrorKind::InvalidRequest);
}
