//! A registry with accounts: who may log in, what tokens are signed with, the API and the pages around it.

use std::net::SocketAddr;
use std::sync::Arc;

use quay_auth::{
    AccountCredentials, Bcrypt, ClientSeal, DatabaseLogin, DatabaseSecrets, InvalidSecretKey, OAuthBearer,
    PasswordChecks, RegistryTokenOptions, RegistryTokens, RsaKeys, SecretKey,
};
use quay_core::accounts::{
    AccountAuthorizer, AccountOptions, AccountStore, Accounts, Changes, LoginEngine, Seal, SecretBox, Tools,
};
use quay_core::auth::Authenticator;
use quay_core::config::Config;
use quay_http::{
    ApiService, ApiSettings, InvalidMailServer, KeyService, LoginAttempts, RegistryService, Settings, Site,
    SmtpMailer, TokenService, TokioSpawner, WebService, tokio_runtime,
};
use semver::VersionReq;

use crate::compose::Stores;
use crate::instance_key::{Found, OwnKey};
use crate::secrets::{self, Secrets};
use crate::{Failure, Serve, Unusable, compose, health, workers};

/// The registry that a configuration asks for, with its loops begun. `address` is the one that it
/// listens on.
pub(crate) async fn site(
    config: &Config,
    serve: &Serve,
    stores: Stores,
    address: SocketAddr,
    spawner: &TokioSpawner,
) -> Result<Site, Failure> {
    let runtime = tokio_runtime(spawner.clone());
    let options = options(config, address);
    let store: Arc<dyn AccountStore> = Arc::clone(&stores.metadata) as _;
    let found = if store.reader().any_account().await? {
        secrets::Found::Accounts
    } else {
        secrets::Found::Nothing
    };
    let secrets = secrets::load(config, &serve.data, &*runtime.random, found)?;
    let (seal, secret_box) = boxes(&secrets, &runtime.random)?;

    let hasher = Arc::new(Bcrypt::new(Arc::clone(&runtime.random)));
    let checks = Arc::new(PasswordChecks::new(hasher, runtime.clone()));
    let login = DatabaseLogin::new(Arc::clone(&store), Arc::clone(&checks), runtime.clone());
    let login: Arc<dyn LoginEngine> = Arc::new(login);
    let oauth = OAuthBearer::new(Arc::clone(&store), Arc::clone(&checks), &options, runtime.clone());
    let credentials: Arc<dyn Authenticator> = Arc::new(AccountCredentials::new(
        Arc::clone(&store),
        Arc::clone(&login),
        Arc::clone(&secret_box),
        Arc::clone(&seal),
        oauth.clone(),
        Arc::new(options.clone()),
        runtime.clone(),
    ));

    let key_path = serve.data.join("service-key.pem");
    let key = Found::at(key_path.clone(), &runtime).await?;
    let token_options = RegistryTokenOptions::new(&options, config.registry.library.clone())
        .with_max_lifetime(config.token_max_lifetime);
    let tokens = Arc::new(RegistryTokens::new(
        key.key().clone(),
        token_options,
        Arc::clone(&store),
        runtime.clone(),
    ));

    let mut tools = Tools::new(
        checks,
        secret_box,
        seal,
        login,
        Arc::new(RsaKeys),
        Arc::clone(&tokens) as _,
    );
    if let Some(server) = &config.mail {
        let mailer = SmtpMailer::new(server, runtime.clone()).map_err(unusable_mail)?;
        tools = tools.with_mailer(Arc::new(mailer));
    }
    let accounts = Accounts::new(store, tools, runtime, options);
    let own_key = OwnKey {
        path: key_path,
        accounts: accounts.clone(),
        tokens: Arc::clone(&tokens),
        lifetime: config.instance_key,
    };
    own_key.begin(&key).await?;
    let changes = Arc::new(Changes::default());
    accounts.follow_changes(&changes).await?;

    let checks = health::checks(&accounts, &tokens, &stores.locations, serve.data.clone());
    let authorizer = Arc::new(AccountAuthorizer::new(accounts.clone(), Arc::clone(&changes)));
    let registry = compose::registry(config, stores, authorizer, config.registry.action_log, spawner);
    workers::keep_swept(&registry, spawner);
    workers::keep_following(&accounts, &changes, spawner);
    workers::keep_key(own_key, spawner);
    workers::keep_collected(&accounts, spawner);

    let attempts = LoginAttempts::new(accounts.runtime().clone());
    let settings = Settings::default()
        .with_login_attempts(attempts.clone())
        .with_refused_docker_versions(refused_docker_versions(accounts.options())?)
        .with_advertise_v2(accounts.options().advertise_v2);
    let token_settings = settings
        .clone()
        .with_authenticators(vec![Arc::clone(&credentials)]);
    let api_settings = ApiSettings::default()
        .with_login_attempts(attempts)
        .with_authenticators(vec![Arc::new(oauth), credentials])
        .with_nested_names(config.registry.nested_names);
    let api = ApiService::new(accounts.clone(), api_settings);
    let web = WebService::new(&api, checks);
    Ok(Site::new(
        RegistryService::new(registry.clone(), settings.with_authenticators(vec![tokens])),
        TokenService::new(accounts.clone(), registry, token_settings),
        api,
        KeyService::new(accounts),
        web,
    ))
}

/// What accounts are told, with an address that clients can be sent to.
fn options(config: &Config, address: SocketAddr) -> AccountOptions {
    let options = config.accounts.clone();
    if config.server_hostname.is_some() {
        return options;
    }
    let hostname = if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    };
    if !address.ip().is_loopback() {
        tracing::warn!(
            "SERVER_HOSTNAME is not set: clients are sent to {hostname} for tokens, wherever they come from"
        );
    }
    options.at(config.preferred_url_scheme.as_str(), &hostname)
}

fn unusable_mail(error: InvalidMailServer) -> Unusable {
    let key = match error {
        InvalidMailServer::Sender(_) => "MAIL_DEFAULT_SENDER",
        _ => "MAIL_SERVER",
    };
    Unusable(format!("{key}: {}", crate::in_full(&error)))
}

fn refused_docker_versions(options: &AccountOptions) -> Result<Option<VersionReq>, Unusable> {
    let refused = options.refused_docker_versions.as_deref().map(VersionReq::parse);
    refused
        .transpose()
        .map_err(|error| Unusable(format!("BLACKLIST_V2_SPEC: {error}")))
}

/// What seals for clients and what encrypts for the database.
fn boxes(
    secrets: &Secrets,
    random: &Arc<dyn quay_core::runtime::Random>,
) -> Result<(Arc<dyn Seal>, Arc<dyn SecretBox>), Unusable> {
    let unusable = |key: &'static str| move |error: InvalidSecretKey| Unusable(format!("{key}: {error}"));
    let seal = ClientSeal::new(&secrets.secret_key, Arc::clone(random)).map_err(unusable("SECRET_KEY"))?;
    let key = SecretKey::parse(&secrets.database_secret_key).map_err(unusable("DATABASE_SECRET_KEY"))?;
    let secret_box = DatabaseSecrets::new(&key, Arc::clone(random));
    Ok((Arc::new(seal), Arc::new(secret_box)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_sent_to_where_the_server_listens_unless_it_has_a_name() {
        let read = |yaml: &serde_json::Value| Config::from_map(yaml.as_object().unwrap()).unwrap();
        let nameless = read(&serde_json::json!({}));
        for (address, expected) in [
            ("127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("[::1]:5000", "http://[::1]:5000"),
            ("0.0.0.0:80", "http://localhost:80"),
            ("[::]:5000", "http://localhost:5000"),
        ] {
            let options = options(&nameless, address.parse().unwrap());
            assert_eq!(options.base_url, expected);
            assert_eq!(format!("http://{}", options.hostname), expected);
        }
        let named =
            read(&serde_json::json!({ "SERVER_HOSTNAME": "quay.example", "PREFERRED_URL_SCHEME": "https" }));
        let options = options(&named, "127.0.0.1:5000".parse().unwrap());
        assert_eq!(options.base_url, "https://quay.example");
    }
}
