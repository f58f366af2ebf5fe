//! The suite on a PostgreSQL server that this test starts.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use quay_core::MetadataStore;
use quay_core::testing::{Instance, metadata};
use quay_storage::SqlMetadata;
use tempfile::TempDir;

/// A server of our own in a directory of its own.
struct Server {
    directory: TempDir,
    binaries: PathBuf,
    port: u16,
    databases: AtomicUsize,
}

impl Server {
    fn start() -> Self {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL is installed")
            .map(|entry| entry.unwrap().path().join("bin"))
            .collect();
        versions.sort();
        // Somebody may take the port between the two; the start fails then, and says so.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server = Self {
            directory: TempDir::new().unwrap(),
            binaries: versions.pop().expect("PostgreSQL is installed"),
            port,
            databases: AtomicUsize::new(0),
        };
        let data = server.directory.path().join("data");
        let data = data.to_str().unwrap();
        // The server refuses to run as root.
        let owner = Command::new("chown")
            .arg("postgres")
            .arg(server.directory.path())
            .output()
            .unwrap();
        assert!(owner.status.success(), "{owner:?}");
        server.run("initdb", &["-A", "trust", "-U", "quay", "-N", "-D", data]);
        let options = format!("-p {port} -h 127.0.0.1 -k {data} -c fsync=off");
        let log = format!("{data}/log");
        server.run("pg_ctl", &["-D", data, "-w", "-l", &log, "-o", &options, "start"]);
        server
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let output = Command::new("runuser")
            .args(["-u", "postgres", "--"])
            .arg(self.binaries.join(program))
            .args(arguments)
            .current_dir("/")
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        output
    }

    fn fresh_database(&self) -> String {
        let name = format!("suite{}", self.databases.fetch_add(1, Ordering::SeqCst));
        let port = self.port.to_string();
        self.run("createdb", &["-h", "127.0.0.1", "-p", &port, "-U", "quay", &name]);
        format!("postgresql://quay@127.0.0.1:{port}/{name}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.directory.path().join("data");
        self.run(
            "pg_ctl",
            &["-D", data.to_str().unwrap(), "-m", "immediate", "stop"],
        );
    }
}

struct Database {
    uri: String,
    store: Arc<SqlMetadata>,
}

async fn connect(uri: &str) -> Arc<SqlMetadata> {
    Arc::new(SqlMetadata::connect_postgres(uri, 10).await.unwrap())
}

#[async_trait]
impl Instance<dyn MetadataStore> for Database {
    fn store(&self) -> Arc<dyn MetadataStore> {
        Arc::<SqlMetadata>::clone(&self.store)
    }

    async fn reopen(&mut self) -> Option<Arc<dyn MetadataStore>> {
        self.store = connect(&self.uri).await;
        Some(self.store())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes() {
    let server = Server::start();
    let server = &server;
    let report = metadata::run(&|| {
        async move {
            let uri = server.fresh_database();
            let store = connect(&uri).await;
            Box::new(Database { uri, store }) as Box<dyn Instance<dyn MetadataStore>>
        }
        .boxed()
    })
    .await;
    report.assert_passed();
    assert_eq!(report.not_applicable, []);
}
