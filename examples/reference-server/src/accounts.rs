//! A registry with accounts: who may log in, what tokens are signed with, the API and the pages around it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quay_auth::{
    AccountCredentials, Bcrypt, ClientSeal, DatabaseLogin, DatabaseSecrets, FederatedRobots,
    InvalidSecretKey, OAuthBearer, PasswordChecks, RegistryTokenOptions, RegistryTokens, RsaKeys, SecretKey,
};
use quay_core::Registry;
use quay_core::accounts::{
    AccountAuthorizer, AccountOptions, AccountStore, Accounts, Changes, LoginEngine, RobotTokens, Seal,
    SecretBox, Tools,
};
use quay_core::auth::Authenticator;
use quay_core::config::Config;
use quay_core::http::HttpClient;
use quay_core::runtime::Runtime;
use quay_http::{
    ApiService, ApiSettings, FederationService, InvalidMailServer, KeyService, LoginAttempts, Recaptcha,
    RegistryService, ReqwestClient, Settings, Site, SmtpMailer, TokenService, TokioSpawner, V1Service,
    VerbsService, WebService, tokio_runtime,
};
use semver::VersionReq;

use crate::compose::Stores;
use crate::instance_key::{Found, OwnKey};
use crate::secrets::{self, Secrets};
use crate::{Failure, Serve, Unusable, health, superusers, user, workers};

/// Accounts as a configuration asks for them, and what they are proven and acted for with.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) accounts: Accounts,
    oauth: OAuthBearer,
    credentials: Arc<dyn Authenticator>,
    tokens: Arc<RegistryTokens>,
    key_path: PathBuf,
    key: Found,
    found: secrets::Found,
}

/// Accounts in `store`, with the secrets of the configuration or of the data directory. The key that
/// tokens are signed with is not kept yet. Other hosts are called by `client`.
pub(crate) async fn compose(
    config: &Config,
    data: &Path,
    store: Arc<dyn AccountStore>,
    client: &Arc<dyn HttpClient>,
    options: AccountOptions,
    runtime: Runtime,
) -> Result<Composed, Failure> {
    let found = if store.reader().any_account().await? {
        secrets::Found::Accounts
    } else {
        secrets::Found::Nothing
    };
    let secrets = secrets::load(config, data, &*runtime.random, found)?;
    let (seal, secret_box) = (seal(&secrets, &runtime)?, secret_box(&secrets, &runtime)?);

    let hasher = Arc::new(Bcrypt::new(Arc::clone(&runtime.random)));
    let checks = Arc::new(PasswordChecks::new(hasher, runtime.clone()));
    let login = DatabaseLogin::new(Arc::clone(&store), Arc::clone(&checks), runtime.clone());
    let login: Arc<dyn LoginEngine> = Arc::new(login);
    let oauth = OAuthBearer::new(Arc::clone(&store), Arc::clone(&checks), &options, runtime.clone());
    let key_path = data.join("service-key.pem");
    let key = Found::at(key_path.clone(), &runtime).await?;
    let token_options = RegistryTokenOptions::new(&options, config.registry.library.clone())
        .with_max_lifetime(config.token_max_lifetime);
    let tokens = Arc::new(RegistryTokens::new(
        key.key().clone(),
        token_options,
        Arc::clone(&store),
        runtime.clone(),
    ));

    let robots: Arc<dyn RobotTokens> = Arc::new(FederatedRobots::new(
        Arc::clone(client),
        Arc::clone(&tokens),
        runtime.clone(),
    ));
    let credentials = AccountCredentials::new(
        Arc::clone(&store),
        Arc::clone(&login),
        Arc::clone(&secret_box),
        Arc::clone(&seal),
        oauth.clone(),
        Arc::new(options.clone()),
        runtime.clone(),
    );
    let credentials: Arc<dyn Authenticator> = Arc::new(credentials.with_federation(Arc::clone(&robots)));

    let mut tools = Tools::new(
        checks,
        secret_box,
        seal,
        login,
        Arc::new(RsaKeys),
        Arc::clone(&tokens) as _,
    );
    if let Some(server) = &config.mail {
        let mailer = SmtpMailer::new(server, runtime.clone()).map_err(|error| unusable_mail(&error))?;
        tools = tools.with_mailer(Arc::new(mailer));
    }
    if let Some(secret) = &config.recaptcha_secret {
        let check = Recaptcha::new(Arc::clone(client), secret.reveal());
        tools = tools.with_human_check(Arc::new(check));
    }
    Ok(Composed {
        accounts: Accounts::new(store, tools.with_robot_tokens(robots), runtime, options),
        oauth,
        credentials,
        tokens,
        key_path,
        key,
        found,
    })
}

/// Calls other hosts, private ones only where that is allowed.
pub(crate) fn client(private: &[String]) -> Result<Arc<dyn HttpClient>, Failure> {
    Ok(Arc::new(
        ReqwestClient::new::<&[u8]>([])?.with_private_targets_allowed(private)?,
    ))
}

/// The registry that a configuration asks for, with its loops begun, and the pages around it. `address` is the one that it
/// listens on.
pub(crate) async fn site(
    config: &Config,
    serve: &Serve,
    stores: Stores,
    address: SocketAddr,
    spawner: &TokioSpawner,
) -> Result<(Site, Registry), Failure> {
    let data = &serve.place.data;
    let mut options = options(config, address);
    if serve.place.config.is_none() {
        options.superusers.extend(superusers::read(data)?);
    }
    let store = Arc::clone(&stores.metadata) as _;
    let client = client(&serve.allow_private)?;
    let composed = compose(
        config,
        data,
        store,
        &client,
        options,
        tokio_runtime(spawner.clone()),
    )
    .await?;
    if composed.found == secrets::Found::Nothing {
        tracing::warn!("{}", user::how_to_begin(&serve.place, config));
    }
    let Composed {
        accounts,
        oauth,
        credentials,
        tokens,
        key_path,
        key,
        ..
    } = composed;
    let own_key = OwnKey {
        path: key_path,
        accounts: accounts.clone(),
        tokens: Arc::clone(&tokens),
        lifetime: config.instance_key,
    };
    own_key.begin(&key).await?;
    let changes = Arc::new(Changes::default());
    accounts.follow_changes(&changes).await?;

    let checks = health::checks(&accounts, &tokens, &stores.locations, data);
    let authorizer = Arc::new(AccountAuthorizer::new(accounts.clone(), Arc::clone(&changes)));
    let registry = crate::compose::registry(config, stores, authorizer, config.registry.action_log, spawner);
    workers::keep_swept(&registry, config.garbage, spawner);
    workers::keep_collecting(&registry, config.garbage, spawner);
    if config.registry.quotas.is_some() {
        workers::keep_sizes_counted(&registry, spawner);
    }
    workers::keep_policies(&registry, config.policies, spawner);
    workers::keep_pulls_counted(&registry, spawner);
    workers::keep_following(&accounts, &changes, spawner);
    workers::keep_key(own_key, spawner);
    workers::keep_collected(&accounts, spawner);
    if accounts.options().action_counter && !accounts.options().read_only {
        workers::keep_counting(&accounts, spawner);
    }
    if accounts.options().security_scanner {
        tracing::warn!(
            "FEATURE_SECURITY_SCANNER is on, but no scanner can be connected yet: images stay queued"
        );
    }

    let attempts = LoginAttempts::new(accounts.runtime().clone());
    let settings = Settings::default()
        .with_login_attempts(attempts.clone())
        .with_refused_docker_versions(refused_docker_versions(accounts.options())?)
        .with_advertise_v2(accounts.options().advertise_v2);
    let token_settings = settings
        .clone()
        .with_authenticators(vec![Arc::clone(&credentials)]);
    let both = vec![
        Arc::clone(&credentials),
        Arc::clone(&tokens) as Arc<dyn Authenticator>,
    ];
    let old_settings = settings.clone().with_authenticators(both);
    let api_settings = ApiSettings::default()
        .with_login_attempts(attempts)
        .with_authenticators(vec![Arc::new(oauth), credentials])
        .with_nested_names(config.registry.nested_names);
    let api = ApiService::new(accounts.clone(), registry.clone(), api_settings);
    let web = WebService::new(&api, checks);
    let v1 = V1Service::new(accounts.clone(), registry.clone(), old_settings.clone());
    let verbs = VerbsService::new(registry.clone(), old_settings)
        .with_accounts(accounts.clone())
        .with_aci(config.aci_conversion);
    let site = Site::new(
        RegistryService::new(registry.clone(), settings.with_authenticators(vec![tokens])),
        TokenService::new(accounts.clone(), registry.clone(), token_settings),
        api,
        KeyService::new(accounts.clone()),
        FederationService::new(accounts),
        web,
    );
    Ok((site.with_v1(v1).with_verbs(verbs), registry))
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

fn unusable_mail(error: &InvalidMailServer) -> Unusable {
    let key = match error {
        InvalidMailServer::Sender(_) => "MAIL_DEFAULT_SENDER",
        _ => "MAIL_SERVER",
    };
    Unusable(format!("{key}: {}", crate::in_full(error)))
}

fn refused_docker_versions(options: &AccountOptions) -> Result<Option<VersionReq>, Unusable> {
    let refused = options.refused_docker_versions.as_deref().map(VersionReq::parse);
    refused
        .transpose()
        .map_err(|error| Unusable(format!("BLACKLIST_V2_SPEC: {error}")))
}

fn unusable_secret(key: &'static str) -> impl FnOnce(InvalidSecretKey) -> Unusable {
    move |error| Unusable(format!("{key}: {error}"))
}

/// What seals for clients.
fn seal(secrets: &Secrets, runtime: &Runtime) -> Result<Arc<dyn Seal>, Unusable> {
    let seal = ClientSeal::new(&secrets.secret_key, Arc::clone(&runtime.random));
    Ok(Arc::new(seal.map_err(unusable_secret("SECRET_KEY"))?))
}

/// What encrypts for the database.
fn secret_box(secrets: &Secrets, runtime: &Runtime) -> Result<Arc<dyn SecretBox>, Unusable> {
    let key = SecretKey::parse(&secrets.database_secret_key);
    let key = key.map_err(unusable_secret("DATABASE_SECRET_KEY"))?;
    Ok(Arc::new(DatabaseSecrets::new(&key, Arc::clone(&runtime.random))))
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
