//! The servers that are compared, each in a process of its own on a port of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Error, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use benches::wire::{Connection, failed};

/// What is to be started.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// This workspace's reference server on its embedded default.
    Ours { program: PathBuf },
    /// The same with accounts, its metadata on the embedded default or in PostgreSQL.
    OursWithAccounts {
        program: PathBuf,
        /// More lines of its configuration.
        config: String,
        /// The database server's first process, if there is one.
        database: Option<u32>,
        name: &'static str,
    },
    /// The same without accounts, with more lines of configuration.
    OursWith {
        program: PathBuf,
        config: String,
        /// The database server's first process, if there is one.
        database: Option<u32>,
        name: &'static str,
    },
    /// The same with its metadata in PostgreSQL.
    OursOnPostgres {
        program: PathBuf,
        uri: String,
        /// The database server's first process.
        database: u32,
    },
    /// CNCF distribution.
    Distribution { program: PathBuf },
}

impl Kind {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Ours { .. } => "ours",
            Self::OursOnPostgres { .. } => "ours/postgres",
            Self::OursWithAccounts { name, .. } | Self::OursWith { name, .. } => name,
            Self::Distribution { .. } => "distribution",
        }
    }

    /// Processes whose work is the server's, too, but is told apart.
    pub(crate) const fn database(&self) -> Option<u32> {
        match self {
            Self::OursOnPostgres { database, .. } => Some(*database),
            Self::OursWithAccounts { database, .. } | Self::OursWith { database, .. } => *database,
            Self::Ours { .. } | Self::Distribution { .. } => None,
        }
    }
}

/// A server that runs until it is dropped. Its data go with it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) label: String,
    pub(crate) address: SocketAddr,
    child: Child,
    data: Option<TempDir>,
    /// From the start of the process to its first answer.
    pub(crate) start: Duration,
}

impl Server {
    /// Starts a server on an empty directory below `place`.
    pub(crate) async fn start(kind: &Kind, place: &Path) -> Result<Self> {
        fs::create_dir_all(place)?;
        let data = tempfile::Builder::new().prefix("registry-").tempdir_in(place)?;
        Self::start_in(kind, data).await
    }

    async fn start_in(kind: &Kind, data: TempDir) -> Result<Self> {
        let started = Instant::now();
        let (mut child, address) = match kind {
            Kind::Ours { program } => ours(program, data.path(), true)?,
            Kind::OursWithAccounts { program, config, .. } => {
                fs::write(data.path().join("config.yaml"), config)?;
                ours(program, data.path(), false)?
            }
            Kind::OursWith { program, config, .. } => {
                fs::write(data.path().join("config.yaml"), config)?;
                ours(program, data.path(), true)?
            }
            Kind::OursOnPostgres { program, uri, .. } => {
                let config = format!("DB_URI: {uri}\n");
                fs::write(data.path().join("config.yaml"), config)?;
                ours(program, data.path(), true)?
            }
            Kind::Distribution { program } => distribution(program, data.path())?,
        };
        if let Err(error) = first_answer(address, started).await {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        Ok(Self {
            kind: kind.clone(),
            label: kind.name().to_owned(),
            address,
            child,
            data: Some(data),
            start: started.elapsed(),
        })
    }

    /// Ends the server and starts it again on the same data.
    pub(crate) async fn restart(mut self) -> Result<Self> {
        self.end();
        let data = self
            .data
            .take()
            .ok_or_else(|| failed("the server's data are gone"))?;
        let label = self.label.clone();
        let mut again = Self::start_in(&self.kind, data).await?;
        again.label = label;
        Ok(again)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        Connection::open(self.address).await
    }

    fn end(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ours(program: &Path, data: &Path, open: bool) -> Result<(Child, SocketAddr)> {
    let mut command = Command::new(program);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .stdout(Stdio::piped());
    if open {
        command.arg("--open");
    }
    if data.join("config.yaml").is_file() {
        command.arg("--config").arg(data);
    }
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| failed("no standard output"))?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line
        .trim()
        .strip_prefix("listening on http://")
        .and_then(|address| address.parse().ok())
        .ok_or_else(|| failed(format!("{} said {line:?}", program.display())))?;
    Ok((child, address))
}

fn distribution(program: &Path, data: &Path) -> Result<(Child, SocketAddr)> {
    // It cannot pick a port by itself.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let config = serde_json::json!({
        "version": "0.1",
        "log": { "accesslog": { "disabled": true }, "level": "error" },
        "storage": {
            "filesystem": { "rootdirectory": data.join("storage") },
            "cache": { "blobdescriptor": "inmemory" },
            "delete": { "enabled": true },
        },
        "http": { "addr": address.to_string() },
    });
    let path = data.join("config.yml");
    fs::write(&path, config.to_string())?;
    let child = Command::new(program)
        .arg("serve")
        .arg(path)
        .env("OTEL_TRACES_EXPORTER", "none")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Error::other(format!("start {}: {error}", program.display())))?;
    Ok((child, address))
}

async fn first_answer(address: SocketAddr, started: Instant) -> Result<()> {
    while started.elapsed() < Duration::from_mins(1) {
        if TcpStream::connect(address).is_ok() {
            let mut connection = Connection::open(address).await?;
            connection.ask("GET", "/v2/", "", b"", &[200, 401]).await?;
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
    Err(failed(format!("nothing answers at {address}")))
}
