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
        let versions = std::fs::read_dir("/usr/lib/postgresql")
            .unwrap_or_else(|error| panic!("PostgreSQL is not installed: {error}"));
        let mut versions: Vec<PathBuf> = versions.map(|entry| entry.unwrap().path().join("bin")).collect();
        versions.sort();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server = Self {
            directory: TempDir::new().unwrap(),
            binaries: versions.pop().unwrap(),
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

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// The statements that it has run so far.
    pub(crate) fn statements(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.log()).unwrap();
        // Each takes a line of its own: ours hold no line breaks.
        let executed = log.lines().filter(|line| line.contains("execute "));
        executed
            .filter_map(|line| line.split_once(": ").and_then(|(_, rest)| rest.split_once(": ")))
            .map(|(_, statement)| statement.to_owned())
            .collect()
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
            "-p {} -h 127.0.0.1 -k {} -c fsync=off -c log_statement=all -c log_line_prefix=''",
            self.port,
            self.directory.path().display()
        );
        let log = self.log().display().to_string();
        self.run(
            "pg_ctl",
            &["-D", &self.data(), "-w", "-l", &log, "-o", &options, "start"],
        );
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
