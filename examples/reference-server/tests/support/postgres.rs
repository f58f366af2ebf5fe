//! A PostgreSQL server of a test's own, ended with the value.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

pub(crate) struct Postgres {
    directory: TempDir,
    binaries: PathBuf,
    port: u16,
}

impl Postgres {
    pub(crate) fn started() -> Self {
        let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
        let mut versions: Vec<PathBuf> = versions.map(|entry| entry.unwrap().path().join("bin")).collect();
        versions.sort();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server = Self {
            directory: TempDir::new().unwrap(),
            binaries: versions.pop().expect("PostgreSQL is installed"),
            port,
        };
        let owned = Command::new("chown")
            .arg("postgres")
            .arg(server.directory.path())
            .status();
        assert!(owned.unwrap().success());
        server.run(
            "initdb",
            &["-A", "trust", "-U", "quay", "-N", "-D", &server.data()],
        );
        server.start();
        server
    }

    fn data(&self) -> String {
        self.directory.path().join("data").display().to_string()
    }

    /// The address of its database, as a configuration says it.
    pub(crate) fn uri(&self) -> String {
        format!("postgresql://quay@127.0.0.1:{}/postgres", self.port)
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = Command::new("runuser")
            .args(["-u", "postgres", "--"])
            .arg(self.binaries.join(program))
            .args(arguments)
            .current_dir("/")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(output.success(), "{program} {arguments:?}");
    }

    pub(crate) fn start(&self) {
        let options = format!(
            "-p {} -h 127.0.0.1 -k {} -c fsync=off",
            self.port,
            self.directory.path().display()
        );
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-o", &options, "start"]);
    }

    /// Ends it as a crash does.
    pub(crate) fn stop(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-m", "immediate", "stop"]);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = Command::new("runuser")
            .args(["-u", "postgres", "--"])
            .arg(self.binaries.join("pg_ctl"))
            .args(["-D", &self.data(), "-m", "immediate", "stop"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
    }
}
