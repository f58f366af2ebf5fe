//! OAuth applications and the tokens that they are given.

use std::time::Duration;

use serde_json::{Value, json};

use super::facade::{Accounts, Need, Subject, change, invalid, not_found, object, refuse};
use super::log::LogKind;
use super::record::{Account, AccountKind, Application, AuthorizationCode, OAuthToken};
use super::role::{Scope, ScopeSet};
use super::store::{AccountKey, OAuthTokenFilter, OAuthTokenKey};
use crate::caller::Caller;
use crate::error::Error;
use crate::metadata::PageRequest;

/// How long a token lives that a user hands to an application: ten years (data-model, section 5).
pub const OAUTH_TOKEN_LIFETIME: Duration = Duration::from_secs(315_576_000);
/// How long a code may wait to be exchanged for a token.
const CODE_LIFETIME: Duration = Duration::from_mins(5);
/// Characters of a token, or code, by which it is found; as many again are secret.
pub const TOKEN_NAME: usize = 20;

/// An application with its secret in plain text.
#[derive(Clone)]
#[non_exhaustive]
pub struct ApplicationView {
    /// The application.
    pub application: Application,
    /// Its secret.
    pub client_secret: String,
}

impl std::fmt::Debug for ApplicationView {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ApplicationView")
            .field("client_id", &self.application.client_id)
            .finish_non_exhaustive()
    }
}

/// What an application is to be; what is absent stays, or is empty at first.
#[derive(Debug, Clone, Default)]
#[expect(
    missing_docs,
    reason = "the fields are those of the request, quay-api.json createOrganizationApplication"
)]
#[expect(clippy::exhaustive_structs, reason = "built field by field from a request")]
pub struct ApplicationChanges {
    pub name: String,
    pub description: Option<String>,
    pub application_uri: Option<String>,
    pub redirect_uri: Option<String>,
    pub avatar_email: Option<String>,
}

impl ApplicationChanges {
    fn apply(&self, application: &mut Application) {
        application.name.clone_from(&self.name);
        for (new, field) in [
            (&self.description, &mut application.description),
            (&self.application_uri, &mut application.application_uri),
            (&self.redirect_uri, &mut application.redirect_uri),
        ] {
            if let Some(value) = new {
                field.clone_from(value);
            }
        }
        if self.avatar_email.is_some() {
            application.avatar_email.clone_from(&self.avatar_email);
        }
    }

    fn metadata(&self, client_id: &str) -> Value {
        object(&[
            ("name", json!(self.name)),
            ("description", json!(self.description)),
            ("application_uri", json!(self.application_uri)),
            ("redirect_uri", json!(self.redirect_uri)),
            ("avatar_email", json!(self.avatar_email)),
            ("application_name", json!(self.name)),
            ("client_id", json!(client_id)),
        ])
    }
}

/// A request for a token as an application's page sends a user here.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of the call")]
pub struct AuthorizationRequest<'a> {
    /// The application.
    pub client_id: &'a str,
    /// Where the answer goes.
    pub redirect_uri: &'a str,
    /// What is asked for.
    pub scope: &'a str,
    /// The PKCE challenge (RFC 7636, S256 only).
    pub challenge: Option<&'a str>,
}

/// Why an application gets no token.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotAuthorized {
    /// There is no such application, or it may not be answered at that address: the user is told, nobody
    /// is redirected.
    BadClient,
    /// The address is not the application's; the application is told at its own address.
    RedirectMismatch {
        /// The address that is the application's.
        registered: String,
    },
    /// A scope is unknown or switched off.
    BadScope,
    /// Something else went wrong.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for NotAuthorized {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A request for a token that may be put to a user.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckedRequest {
    /// The application.
    pub application: Application,
    /// The organization that it belongs to.
    pub organization: Account,
    /// What is asked for.
    pub scopes: ScopeSet,
    /// Whether the user has granted as much before, so that nobody needs to be asked.
    pub granted: bool,
}

/// An issued token in plain text.
#[derive(Clone)]
#[non_exhaustive]
pub struct IssuedToken {
    /// The token's row.
    pub token: OAuthToken,
    /// The token.
    pub value: String,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("IssuedToken")
            .field("uuid", &self.token.uuid)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    fn shown(&self, application: Application) -> Result<ApplicationView, Error> {
        let client_secret = self.0.tools.secrets.open(&application.client_secret)?;
        Ok(ApplicationView {
            application,
            client_secret,
        })
    }

    async fn application_of(&self, organization: &Account, client_id: &str) -> Result<Application, Error> {
        let found = self.reader().application(client_id).await?;
        found
            .filter(|application| application.organization == organization.id)
            .ok_or_else(not_found)
    }

    /// The applications of an organization.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller administers it.
    pub async fn applications(
        &self,
        caller: &Caller,
        organization: &str,
    ) -> Result<Vec<ApplicationView>, Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let found = self.reader().applications(organization.id).await?;
        found
            .into_iter()
            .map(|application| self.shown(application))
            .collect()
    }

    /// One application.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn application(
        &self,
        caller: &Caller,
        organization: &str,
        client_id: &str,
    ) -> Result<ApplicationView, Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        self.shown(self.application_of(&organization, client_id).await?)
    }

    /// An application and its organization, as anybody may see them.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn application_information(&self, client_id: &str) -> Result<(Application, Account), Error> {
        let mut reader = self.reader();
        let application = reader.application(client_id).await?.ok_or_else(not_found)?;
        let organization = reader
            .account(AccountKey::Id(application.organization))
            .await?
            .ok_or_else(not_found)?;
        Ok((application, organization))
    }

    fn new_application(&self, organization: &Account) -> Result<ApplicationView, Error> {
        let client_secret = self.code(40);
        let application = Application {
            id: 0,
            organization: organization.id,
            client_id: self.code(20),
            client_secret: self.0.tools.secrets.seal(&client_secret),
            name: String::new(),
            description: String::new(),
            application_uri: String::new(),
            redirect_uri: String::new(),
            avatar_email: None,
        };
        Ok(ApplicationView {
            application,
            client_secret,
        })
    }

    /// Registers an application.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) unless the caller administers the organization.
    pub async fn create_application(
        &self,
        caller: &Caller,
        organization: &str,
        changes: &ApplicationChanges,
    ) -> Result<ApplicationView, Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let mut view = self.new_application(&organization)?;
        changes.apply(&mut view.application);
        let metadata = changes.metadata(&view.application.client_id);
        let entry = self
            .entry(
                caller,
                LogKind::CreateApplication,
                Some(&organization.name),
                metadata,
            )
            .await?;
        view.application.id = change!(self, |unit| async {
            let id = unit.insert_application(&view.application).await?;
            unit.log(&entry).await?;
            Ok(id)
        })?;
        Ok(view)
    }

    /// Changes an application.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn change_application(
        &self,
        caller: &Caller,
        organization: &str,
        client_id: &str,
        changes: &ApplicationChanges,
    ) -> Result<ApplicationView, Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let mut application = self.application_of(&organization, client_id).await?;
        changes.apply(&mut application);
        let metadata = changes.metadata(client_id);
        let entry = self
            .entry(
                caller,
                LogKind::UpdateApplication,
                Some(&organization.name),
                metadata,
            )
            .await?;
        change!(self, |unit| async {
            unit.save_application(&application).await?;
            unit.log(&entry).await?;
            Ok(())
        })?;
        self.shown(application)
    }

    /// Removes an application with its tokens.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn delete_application(
        &self,
        caller: &Caller,
        organization: &str,
        client_id: &str,
    ) -> Result<(), Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let application = self.application_of(&organization, client_id).await?;
        let metadata = json!({ "application_name": application.name, "client_id": client_id });
        let entry = self
            .entry(
                caller,
                LogKind::DeleteApplication,
                Some(&organization.name),
                metadata,
            )
            .await?;
        let now = self.now();
        change!(self, |unit| async {
            // What was issued by way of the application must end with it.
            let mut after = None;
            loop {
                let page = PageRequest::new(after, 500);
                let filter = OAuthTokenFilter::Application(application.id);
                let tokens = unit.oauth_tokens(filter, &page).await?;
                for (token, _) in &tokens {
                    unit.change(&Subject::Credential(&token.uuid).key(), now).await?;
                }
                match tokens.last() {
                    Some((last, _)) => after = Some(last.id),
                    None => break,
                }
            }
            unit.delete_application(application.id).await?;
            unit.log(&entry).await?;
            Ok(())
        })
    }

    /// Gives an application another secret.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn reset_application_secret(
        &self,
        caller: &Caller,
        organization: &str,
        client_id: &str,
    ) -> Result<ApplicationView, Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let mut application = self.application_of(&organization, client_id).await?;
        let secret = self.code(40);
        application.client_secret = self.0.tools.secrets.seal(&secret);
        let metadata = json!({ "application_name": application.name, "client_id": client_id });
        let entry = self
            .entry(
                caller,
                LogKind::ResetApplicationClientSecret,
                Some(&organization.name),
                metadata,
            )
            .await?;
        change!(self, |unit| async {
            unit.save_application(&application).await?;
            unit.log(&entry).await?;
            Ok(())
        })?;
        self.shown(application)
    }

    /// A token that is not stored yet.
    pub(super) async fn new_oauth_token(
        &self,
        application: &Application,
        account: &Account,
        scopes: ScopeSet,
        lifetime: Duration,
    ) -> Result<IssuedToken, Error> {
        let (name, secret) = (self.code(TOKEN_NAME), self.code(TOKEN_NAME));
        let now = self.now();
        let token = OAuthToken {
            id: 0,
            uuid: self.uuid(),
            application: application.id,
            account: account.id,
            name: name.clone(),
            hash: self.hash(&secret).await?,
            scopes,
            created: now,
            expires: now.plus(lifetime),
            last_accessed: None,
            title: None,
            creator: None,
        };
        Ok(IssuedToken {
            token,
            value: format!("{name}{secret}"),
        })
    }

    /// The token that the first user of a registry is given: with every scope.
    pub(super) async fn first_token(&self, account: &Account) -> Result<String, Error> {
        let mut view = self.new_application(account)?;
        view.application.name = "Automatically generated for the first user".to_owned();
        let scopes: Vec<Scope> = Scope::ALL
            .iter()
            .copied()
            .filter(|scope| *scope != Scope::Superuser || self.0.options.superusers_enabled)
            .collect();
        let lifetime = Duration::from_hours(24);
        let mut issued = self
            .new_oauth_token(&view.application, account, ScopeSet::of(&scopes), lifetime)
            .await?;
        change!(self, |unit| async {
            let application = unit.insert_application(&view.application).await?;
            let mut token = issued.token.clone();
            token.application = application;
            unit.insert_oauth_token(&token).await?;
            Ok(())
        })?;
        Ok(std::mem::take(&mut issued.value))
    }

    /// A page of an application's tokens, by id.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn application_tokens(
        &self,
        caller: &Caller,
        organization: &str,
        client_id: &str,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(OAuthToken, Option<Account>)>, Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let application = self.application_of(&organization, client_id).await?;
        let filter = OAuthTokenFilter::Application(application.id);
        let tokens = self.reader().oauth_tokens(filter, page).await?;
        let makers: Vec<_> = tokens
            .iter()
            .map(|(token, _)| token.creator.unwrap_or(token.account))
            .collect();
        let names = self.names(makers).await?;
        Ok(tokens
            .into_iter()
            .map(|(token, _)| {
                let maker = names.get(&token.creator.unwrap_or(token.account)).cloned();
                (token, maker)
            })
            .collect())
    }

    /// Makes a token for an application, acting for the caller.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) for scopes that the caller does not hold,
    /// [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for ones that are unknown.
    pub async fn create_application_token(
        &self,
        caller: &Caller,
        organization: &str,
        client_id: &str,
        title: &str,
        scope: &str,
        lifetime: Option<Duration>,
    ) -> Result<IssuedToken, Error> {
        let (actor, organization) = self.organization(caller, organization, Need::Admin).await?;
        let application = self.application_of(&organization, client_id).await?;
        let scopes = ScopeSet::parse(scope, self.0.options.superusers_enabled);
        if scopes.is_empty() {
            return Err(invalid(format!("Invalid scope: {scope}")));
        }
        let held = match actor.reach {
            super::rights::Reach::Full => true,
            super::rights::Reach::Scopes(own) => own.covers(scopes),
        };
        if !held || (scopes.contains(Scope::Superuser) && !self.acts_as_superuser(&actor)) {
            return Err(refuse(caller));
        }
        let lifetime = lifetime.map_or(OAUTH_TOKEN_LIFETIME, |asked| asked.min(OAUTH_TOKEN_LIFETIME));
        let mut issued = self
            .new_oauth_token(&application, &actor.account, scopes, lifetime)
            .await?;
        issued.token.title = Some(title.to_owned());
        issued.token.creator = Some(actor.account.id);
        let metadata = json!({
            "application_name": application.name,
            "client_id": client_id,
            "name": title,
            "scope": scopes.to_string(),
            "token_uuid": issued.token.uuid,
        });
        let entry = self
            .entry(
                caller,
                LogKind::CreateOauthApiToken,
                Some(&organization.name),
                metadata,
            )
            .await?;
        change!(self, |unit| async {
            unit.insert_oauth_token(&issued.token).await?;
            unit.log(&entry).await?;
            Ok(())
        })?;
        Ok(issued)
    }

    /// Removes one of an application's tokens.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn delete_application_token(
        &self,
        caller: &Caller,
        organization: &str,
        client_id: &str,
        uuid: &str,
    ) -> Result<(), Error> {
        let (_, organization) = self.organization(caller, organization, Need::Admin).await?;
        let application = self.application_of(&organization, client_id).await?;
        let found = self.reader().oauth_token(OAuthTokenKey::Uuid(uuid)).await?;
        let (token, _) = found
            .filter(|(token, _)| token.application == application.id)
            .ok_or_else(not_found)?;
        let metadata = json!({
            "application_name": application.name,
            "client_id": client_id,
            "name": token.title,
            "token_uuid": token.uuid,
        });
        let entry = self
            .entry(
                caller,
                LogKind::RevokeOauthApiToken,
                Some(&organization.name),
                metadata,
            )
            .await?;
        self.revoke(&token, &entry).await
    }

    async fn revoke(&self, token: &OAuthToken, entry: &super::log::LogEntry) -> Result<(), Error> {
        let now = self.now();
        change!(self, |unit| async {
            unit.delete_oauth_token(token.id).await?;
            unit.log(entry).await?;
            unit.change(&Subject::Credential(&token.uuid).key(), now).await?;
            Ok(())
        })
    }

    /// A page of the tokens that act for the signed-in user, by id, with their applications' organizations.
    ///
    /// # Errors
    /// That nobody is signed in.
    pub async fn authorizations(
        &self,
        caller: &Caller,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(OAuthToken, Application, Account)>, Error> {
        let actor = self.user_admin(caller).await?;
        let filter = OAuthTokenFilter::Account(actor.account.id);
        let tokens = self.reader().oauth_tokens(filter, page).await?;
        let owners: Vec<_> = tokens
            .iter()
            .map(|(_, application)| application.organization)
            .collect();
        let names = self.names(owners).await?;
        Ok(tokens
            .into_iter()
            .filter_map(|(token, application)| {
                let organization = names.get(&application.organization).cloned()?;
                Some((token, application, organization))
            })
            .collect())
    }

    /// One of the tokens that act for the signed-in user.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn authorization(
        &self,
        caller: &Caller,
        uuid: &str,
    ) -> Result<(OAuthToken, Application, Account), Error> {
        let actor = self.user_admin(caller).await?;
        let mut reader = self.reader();
        let (token, application) = reader
            .oauth_token(OAuthTokenKey::Uuid(uuid))
            .await?
            .filter(|(token, _)| token.account == actor.account.id)
            .ok_or_else(not_found)?;
        let organization = reader
            .account(AccountKey::Id(application.organization))
            .await?
            .ok_or_else(not_found)?;
        Ok((token, application, organization))
    }

    /// Ends one of the tokens that act for the signed-in user.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn delete_authorization(&self, caller: &Caller, uuid: &str) -> Result<(), Error> {
        let (token, application, _) = self.authorization(caller, uuid).await?;
        let metadata = json!({
            "application_name": application.name,
            "client_id": application.client_id,
            "token_uuid": token.uuid,
        });
        let entry = self
            .entry(caller, LogKind::OauthTokenRevoked, None, metadata)
            .await?;
        self.revoke(&token, &entry).await
    }

    /// Checks an application's request for a token, and whether the signed-in user, if there is one, has
    /// granted as much before.
    ///
    /// # Errors
    /// Why the user cannot be asked.
    pub async fn check_authorization(
        &self,
        caller: &Caller,
        request: AuthorizationRequest<'_>,
    ) -> Result<CheckedRequest, NotAuthorized> {
        let found = self.reader().application(request.client_id).await?;
        let application = found.ok_or(NotAuthorized::BadClient)?;
        if !self.may_be_sent_to(&application, request.redirect_uri) {
            return Err(if application.redirect_uri.is_empty() {
                NotAuthorized::BadClient
            } else {
                NotAuthorized::RedirectMismatch {
                    registered: application.redirect_uri,
                }
            });
        }
        let scopes = ScopeSet::parse(request.scope, self.0.options.superusers_enabled);
        if scopes.is_empty() {
            return Err(NotAuthorized::BadScope);
        }
        let organization = self
            .reader()
            .account(AccountKey::Id(application.organization))
            .await?
            .filter(|organization| organization.enabled)
            .ok_or(NotAuthorized::BadClient)?;
        let granted = match self.session_user(caller).await {
            Ok(actor) => self.has_granted(&actor.account, &application, scopes).await?,
            Err(error) if error.store_error().is_some() => return Err(error.into()),
            Err(_) => false,
        };
        Ok(CheckedRequest {
            application,
            organization,
            scopes,
            granted,
        })
    }

    /// Tokens go to exactly the address that is the application's, or to this registry's own page that
    /// shows them. Quay compares the beginning only, which lets whoever can register a longer host name
    /// in.
    fn may_be_sent_to(&self, application: &Application, redirect_uri: &str) -> bool {
        let options = &self.0.options;
        let local = format!("{}{}", options.base_url, options.local_oauth_handler);
        !redirect_uri.is_empty() && (redirect_uri == application.redirect_uri || redirect_uri == local)
    }

    async fn has_granted(
        &self,
        account: &Account,
        application: &Application,
        scopes: ScopeSet,
    ) -> Result<bool, Error> {
        let now = self.now();
        let mut after = None;
        loop {
            let page = PageRequest::new(after, 500);
            let filter = OAuthTokenFilter::Account(account.id);
            let tokens = self.reader().oauth_tokens(filter, &page).await?;
            let Some((last, _)) = tokens.last() else {
                return Ok(false);
            };
            after = Some(last.id);
            let covers = |token: &OAuthToken| {
                token.application == application.id && token.expires > now && token.scopes.covers(scopes)
            };
            if tokens.iter().any(|(token, _)| covers(token)) {
                return Ok(true);
            }
        }
    }

    /// Gives an application a token that acts for the signed-in user, who has said yes.
    ///
    /// # Errors
    /// Why not.
    pub async fn grant_token(
        &self,
        caller: &Caller,
        request: AuthorizationRequest<'_>,
    ) -> Result<IssuedToken, NotAuthorized> {
        let checked = self.check_authorization(caller, request).await?;
        let actor = self.session_user(caller).await?;
        let issued = self
            .new_oauth_token(
                &checked.application,
                &actor.account,
                checked.scopes,
                OAUTH_TOKEN_LIFETIME,
            )
            .await?;
        change!(self, |unit| async {
            Ok(unit.insert_oauth_token(&issued.token).await?)
        })?;
        Ok(issued)
    }

    /// Gives an application a code that it may exchange for a token that acts for the signed-in user, who
    /// has said yes.
    ///
    /// # Errors
    /// Why not.
    pub async fn grant_code(
        &self,
        caller: &Caller,
        request: AuthorizationRequest<'_>,
    ) -> Result<String, NotAuthorized> {
        let checked = self.check_authorization(caller, request).await?;
        let actor = self.session_user(caller).await?;
        let (name, secret) = (self.code(TOKEN_NAME), self.code(TOKEN_NAME));
        let code = AuthorizationCode {
            name: name.clone(),
            hash: self.hash(&secret).await?,
            application: checked.application.id,
            account: actor.account.id,
            scopes: checked.scopes,
            redirect_uri: request.redirect_uri.to_owned(),
            challenge: request.challenge.map(ToOwned::to_owned),
            expires: self.now().plus(CODE_LIFETIME),
        };
        change!(self, |unit| async { Ok(unit.insert_code(&code).await?) })?;
        Ok(format!("{name}{secret}"))
    }

    /// Exchanges a code for a token (RFC 6749, section 4.1.3). The client shows its secret, or, having
    /// given a challenge, what the challenge was made of (RFC 7636).
    ///
    /// # Errors
    /// `Ok(Err(code))` with the error code of RFC 6749, section 5.2.
    pub async fn exchange_code(
        &self,
        client_id: &str,
        client_secret: Option<&str>,
        redirect_uri: &str,
        code: &str,
        verifier: Option<&str>,
    ) -> Result<Result<IssuedToken, &'static str>, Error> {
        let Some(application) = self.reader().application(client_id).await? else {
            return Ok(Err("invalid_client"));
        };
        let secret_fits = match client_secret {
            None => false,
            Some(given) => {
                let stored = self.0.tools.secrets.open(&application.client_secret)?;
                if !same(given, &stored) {
                    return Ok(Err("invalid_client"));
                }
                true
            }
        };
        let Some((name, secret)) = code.split_at_checked(TOKEN_NAME) else {
            return Ok(Err("invalid_grant"));
        };
        let taken = change!(self, |unit| async { Ok(unit.take_code(name).await?) })?;
        let Some(taken) = taken else {
            return Ok(Err("invalid_grant"));
        };
        let proven = match (&taken.challenge, verifier) {
            (Some(challenge), Some(verifier)) => same(challenge, &s256(verifier)),
            (Some(_), None) => false,
            (None, _) => secret_fits,
        };
        let fits = self.fits(secret, &taken.hash).await?;
        let now = self.now();
        if !proven
            || !fits
            || taken.application != application.id
            || taken.redirect_uri != redirect_uri
            || taken.expires <= now
        {
            return Ok(Err("invalid_grant"));
        }
        let account = self.reader().account(AccountKey::Id(taken.account)).await?;
        let Some(account) = account.filter(|account| account.enabled && account.kind == AccountKind::User)
        else {
            return Ok(Err("invalid_grant"));
        };
        let issued = self
            .new_oauth_token(&application, &account, taken.scopes, OAUTH_TOKEN_LIFETIME)
            .await?;
        change!(self, |unit| async {
            Ok(unit.insert_oauth_token(&issued.token).await?)
        })?;
        Ok(Ok(issued))
    }
}

/// Whether two texts are equal, in a time that depends on their length alone.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len()
        && left
            .bytes()
            .zip(right.bytes())
            .fold(0, |difference, (left, right)| difference | (left ^ right))
            == 0
}

/// The challenge that a verifier answers (RFC 7636, section 4.2).
fn s256(verifier: &str) -> String {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};

    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        // RFC 7636, appendix B.
        assert_eq!(
            s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaeK1t8URWU_jbt9jRCyms"
        );
        assert!(same("abc", "abc") && !same("abc", "abd") && !same("abc", "abcd"));
    }
}
