//! The reference server: Quay's configuration over the workspace's crates. Composition, flags and
//! signals; the rules live in `quay-core`.

mod accounts;
mod compose;
mod configuration;
mod health;
mod instance_key;
mod secrets;
mod superusers;
mod user;
mod workers;

use std::error::Error;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use quay_auth::AnonymousAllowed;
use quay_core::auth::AllowAll;
use quay_core::registry::ActionLogging;
use quay_core::{StoreError, StoreErrorKind};
use quay_http::{RegistryService, Server, Settings, TokioSpawner};
use tokio::signal::unix::{SignalKind, signal};

/// How long the end waits for what has no connection any more.
const LAST_WRITES: Duration = Duration::from_secs(30);

/// Why the server does not start or has ended.
type Failure = Box<dyn Error + Send + Sync>;

/// A configuration that nothing can be done with.
#[derive(Debug)]
struct Unusable(String);

impl std::fmt::Display for Unusable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for Unusable {}

/// A container registry.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the registry until told to stop.
    Serve(Serve),
    /// Look after users without a server.
    #[command(subcommand)]
    User(user::Command),
}

/// Where a registry is. The flags are kept stable.
#[derive(Debug, Args)]
struct Place {
    /// Holds whatever the configuration does not place elsewhere.
    #[arg(long, value_name = "DIR", default_value = "./quay-data")]
    data: PathBuf,
    /// A directory with Quay's config.yaml.
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
}

/// Flags of `serve`. They are kept stable.
#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    place: Place,
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Serve a registry without accounts: anonymous callers may do everything under /v2, deleting included,
    /// and there is nothing else.
    #[arg(long)]
    open: bool,
    /// A host in a private network that the server may call, such as an identity provider; repeat for
    /// more. Others are refused.
    #[arg(long, value_name = "HOST")]
    allow_private: Vec<String>,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .init();
    keep_to_ourselves();
    let command = Cli::parse().command;
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| match &command {
            Command::Serve(serve) => runtime.block_on(run(serve)),
            Command::User(command) => runtime.block_on(user::run(command)),
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", in_full(&*error));
            ExitCode::from(status(&*error))
        }
    }
}

/// The exit status for an error: 2, as for wrong flags, when what was asked for cannot be had; trying
/// again is of no use then.
fn status(error: &(dyn Error + 'static)) -> u8 {
    if error.is::<Unusable>() {
        return 2;
    }
    match error.downcast_ref::<StoreError>() {
        Some(error) if error.kind() == StoreErrorKind::Unsupported => 2,
        _ => 1,
    }
}

/// An error with everything behind it, for the operator.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Connections, blobs and the database each take file handles; the soft limit is for programs that cannot
/// cope with many.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// What is kept holds hashes and sealed secrets: it is for nobody else on this machine.
fn keep_to_ourselves() {
    use rustix::fs::Mode;

    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

async fn run(serve: &Serve) -> Result<(), Failure> {
    raise_file_limit();
    let config = configuration::read(serve.place.config.as_deref())?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if !config.not_in_effect.is_empty() {
        tracing::info!(keys = ?config.not_in_effect, "known keys that are not in effect in this version");
    }
    if serve.open && !serve.listen.ip().is_loopback() {
        tracing::warn!(
            address = %serve.listen,
            "everybody who can reach this address may push and delete, since --open is given"
        );
    }
    if !serve.open {
        secrets::check(&config)?;
    }
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = async move {
        tokio::select! {
            _ = stop.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("ending; requests that are being answered may finish");
    };
    let spawner = TokioSpawner::current();
    let stores = compose::stores(&config, &serve.place, &spawner).await?;
    let listener =
        TcpListener::bind(serve.listen).map_err(|error| format!("listen on {}: {error}", serve.listen))?;
    let address = listener.local_addr()?;
    if serve.open {
        let registry = compose::registry(&config, stores, Arc::new(AllowAll), ActionLogging::Off, &spawner);
        workers::keep_swept(&registry, config.garbage, &spawner);
        workers::keep_collecting(&registry, config.garbage, &spawner);
        if config.registry.quotas.is_some() {
            workers::keep_sizes_counted(&registry, &spawner);
        }
        workers::keep_policies(&registry, config.policies, &spawner);
        workers::keep_pulls_counted(&registry, &spawner);
        let pulled = registry.clone();
        let settings = Settings::default().with_authenticators(vec![Arc::new(AnonymousAllowed)]);
        announce(address)?;
        Server::new()
            .serve(listener, RegistryService::new(registry, settings), shutdown)
            .await?;
        workers::record_pulls(&pulled).await;
    } else {
        let (site, registry) = accounts::site(&config, serve, stores, address, &spawner).await?;
        announce(address)?;
        Server::new().serve(listener, site, shutdown).await?;
        workers::record_pulls(&registry).await;
    }
    // A push whose client has gone may still be writing what it has.
    if tokio::time::timeout(LAST_WRITES, spawner.idle()).await.is_err() {
        tracing::warn!("some writes did not end; they are as if their clients had gone");
    }
    Ok(())
}

/// Tells whoever has started the server where it is.
fn announce(address: SocketAddr) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on http://{address}")?;
    stdout.flush()
}
