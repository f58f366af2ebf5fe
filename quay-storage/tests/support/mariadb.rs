//! A MariaDB server of a test's own.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use quay_core::StoreError;
use quay_storage::{ConnectOptions, SqlMetadata};
use tempfile::TempDir;

use super::server::{Server, free_port, succeed};

pub(crate) struct MariaDb {
    directory: TempDir,
    port: u16,
    databases: AtomicUsize,
    options: Vec<String>,
    process: Mutex<Option<Child>>,
}

impl MariaDb {
    pub(crate) fn started() -> Self {
        Self::started_with(&[])
    }

    /// With more of the server's options.
    pub(crate) fn started_with(options: &[String]) -> Self {
        let server = Self {
            directory: TempDir::new().unwrap(),
            port: free_port(),
            databases: AtomicUsize::new(0),
            options: options.to_vec(),
            process: Mutex::new(None),
        };
        succeed(
            Command::new("mariadb-install-db")
                .args(["--no-defaults", "--auth-root-authentication-method=normal"])
                .args(["--skip-test-db", "--user=root"])
                .arg(format!("--datadir={}", server.data())),
        );
        server.start();
        server
    }

    fn data(&self) -> String {
        let data = self.directory.path().join("data");
        data.to_str().unwrap().to_owned()
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .arg("--no-defaults")
            .arg(format!("--socket={}/socket", self.data()))
            .arg("--user=root");
        command
    }
}

#[async_trait]
impl Server for MariaDb {
    fn fresh_database(&self) -> String {
        let name = format!("suite{}", self.databases.fetch_add(1, Ordering::SeqCst));
        succeed(
            self.client("mariadb")
                .arg(format!("--execute=CREATE DATABASE {name}")),
        );
        format!("mysql://root@127.0.0.1:{}/{name}", self.port)
    }

    fn stop(&self) {
        let process = self.process.lock().unwrap().take();
        if let Some(mut process) = process {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn start(&self) {
        let data = self.data();
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let process = Command::new("mariadbd")
            .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1"])
            // Durability is the server's business; these tests are about ours.
            .args([
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-buffer-pool-size=64M",
            ])
            .arg(format!("--datadir={data}"))
            .arg(format!("--port={}", self.port))
            .arg(format!("--socket={data}/socket"))
            .args(&self.options)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("MariaDB is installed");
        *self.process.lock().unwrap() = Some(process);
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.directory.path().join("log"));
        panic!("MariaDB did not start: {log:?}");
    }

    fn execute(&self, database: &str, sql: &str) {
        succeed(
            self.client("mariadb")
                .arg(format!("--execute={sql}"))
                .arg(database),
        );
    }

    fn dump(&self, database: &str) -> String {
        let dump = succeed(
            self.client("mariadb-dump")
                .args(["--skip-dump-date", "--routines", "--events"])
                .arg(database),
        );
        String::from_utf8(dump.stdout).unwrap()
    }

    async fn connect(&self, uri: &str, options: &ConnectOptions) -> Result<SqlMetadata, StoreError> {
        SqlMetadata::connect_mysql(uri, options)
            .await
            .inspect(SqlMetadata::count_usage)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.stop();
    }
}
