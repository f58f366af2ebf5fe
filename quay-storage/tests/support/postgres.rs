//! A PostgreSQL server of a test's own.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use quay_core::StoreError;
use quay_storage::{ConnectOptions, SqlMetadata};
use tempfile::TempDir;

use super::server::{Server, free_port, succeed};

pub(crate) struct Postgres {
    directory: TempDir,
    binaries: PathBuf,
    port: u16,
    databases: AtomicUsize,
}

impl Postgres {
    pub(crate) fn started() -> Self {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL is installed")
            .map(|entry| entry.unwrap().path().join("bin"))
            .collect();
        versions.sort();
        let server = Self {
            directory: TempDir::new().unwrap(),
            binaries: versions.pop().expect("PostgreSQL is installed"),
            port: free_port(),
            databases: AtomicUsize::new(0),
        };
        server.own();
        let data = server.data().display().to_string();
        server.run("initdb", &["-A", "trust", "-U", "quay", "-N", "-D", &data]);
        server.start();
        server
    }

    /// Where the server keeps its data and settings.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Makes everything the server's own, which refuses to run as root.
    pub(crate) fn own(&self) {
        succeed(
            Command::new("chown")
                .args(["-R", "postgres"])
                .arg(self.directory.path()),
        );
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        succeed(
            Command::new("runuser")
                .args(["-u", "postgres", "--"])
                .arg(self.binaries.join(program))
                .args(arguments)
                .current_dir("/"),
        )
    }

    fn client(&self, program: &str, arguments: &[&str]) -> Output {
        let port = self.port.to_string();
        let all = [&["-h", "127.0.0.1", "-p", &port, "-U", "quay"], arguments].concat();
        self.run(program, &all)
    }
}

#[async_trait]
impl Server for Postgres {
    fn fresh_database(&self) -> String {
        let name = format!("suite{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.client("createdb", &[&name]);
        format!("postgresql://quay@127.0.0.1:{}/{name}", self.port)
    }

    fn stop(&self) {
        let data = self.data().display().to_string();
        self.run("pg_ctl", &["-D", &data, "-m", "immediate", "stop"]);
    }

    fn start(&self) {
        let data = self.data().display().to_string();
        let options = format!("-p {} -h localhost -k {data} -c fsync=off", self.port);
        let log = format!("{data}/log");
        self.run(
            "pg_ctl",
            &["-D", &data, "-w", "-l", &log, "-o", &options, "start"],
        );
    }

    fn execute(&self, database: &str, sql: &str) {
        self.client(
            "psql",
            &["-v", "ON_ERROR_STOP=1", "-q", "-d", database, "-c", sql],
        );
    }

    fn dump(&self, database: &str) -> String {
        let dump = self.client("pg_dump", &[database]);
        // Newer releases bracket a dump with a random word.
        String::from_utf8(dump.stdout)
            .unwrap()
            .lines()
            .filter(|line| !line.contains("restrict "))
            .collect::<Vec<_>>()
            .join("\n")
    }

    async fn connect(&self, uri: &str, options: &ConnectOptions) -> Result<SqlMetadata, StoreError> {
        SqlMetadata::connect_postgres(uri, options)
            .await
            .inspect(SqlMetadata::count_usage)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
