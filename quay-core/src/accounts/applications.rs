//! OAuth applications and the tokens that they are given.

use std::time::Duration;

use serde_json::{Value, json};

use super::assignment::take_back_assignments;
use super::facade::{Accounts, Need, Subject, change, invalid, not_found, object, refuse};
use super::log::LogKind;
use super::record::{Account, Application, OAuthToken};
use super::role::{Scope, ScopeSet};
use super::store::{AccountKey, AccountWrites, OAuthTokenFilter, OAuthTokenKey};
use crate::caller::Caller;
use crate::error::Error;
use crate::metadata::PageRequest;

/// How long a token lives that a user hands to an application: ten years (data-model, section 5).
pub const OAUTH_TOKEN_LIFETIME: Duration = Duration::from_hours(87_660);
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

    fn new_application(&self, organization: &Account) -> ApplicationView {
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
        ApplicationView {
            application,
            client_secret,
        }
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
        let mut view = self.new_application(&organization);
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
        change!(self, |unit| async {
            unit.lock_account(organization.id).await?;
            unit.application(client_id).await?.ok_or_else(not_found)?;
            self.void_tokens_of(unit, application.id).await?;
            unit.delete_application(application.id).await?;
            unit.log(&entry).await?;
            Ok(())
        })
    }

    /// Lets everything feel it that was issued by way of an application's tokens, which are about to go, and
    /// asks nobody for more of them.
    pub(super) async fn void_tokens_of(
        &self,
        unit: &mut dyn AccountWrites,
        application: i64,
    ) -> Result<(), Error> {
        take_back_assignments(unit, OAuthTokenFilter::Application(application)).await?;
        let mut after = None;
        loop {
            let page = PageRequest::new(after, 500);
            let filter = OAuthTokenFilter::Application(application);
            let tokens = unit.oauth_tokens(filter, &page).await?;
            let Some((last, _)) = tokens.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for (token, _) in &tokens {
                let subject = Subject::Credential(&token.uuid).key();
                unit.change(&subject, self.now()).await?;
            }
        }
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
        let mut view = self.new_application(account);
        "Automatically generated for the first user".clone_into(&mut view.application.name);
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
        change!(self, |unit| async {
            unit.delete_oauth_token(token.id).await?;
            unit.log(entry).await?;
            unit.change(&Subject::Credential(&token.uuid).key(), self.now())
                .await?;
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
}
