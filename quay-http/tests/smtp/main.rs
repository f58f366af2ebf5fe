//! Mail to a real server.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use quay_core::StoreErrorKind;
use quay_core::accounts::{Mail, Mailer as _};
use quay_core::config::{MailFailure, MailServer, MailTls, Secret};
use quay_http::{SmtpMailer, TokioSpawner, tokio_runtime};
use serde_json::Value;
use tempfile::TempDir;

/// aiosmtpd on a port of its own, ended with the value.
struct Server {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(tls: bool) -> Self {
        let directory = TempDir::new().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp/server.py");
        let python = std::env::var_os("SMTP_PYTHON").unwrap_or_else(|| "python3".into());
        // Somebody may take the port until it is used; the start fails then, and says so.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut command = Command::new(python);
        command
            .arg(script)
            .arg(port.to_string())
            .arg(directory.path().join("mails"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(directory.path().join("log")).unwrap());
        if tls {
            certify(directory.path());
            command.arg(directory.path().join("server.pem"));
            command.arg(directory.path().join("server.key"));
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        if line.trim() != "ready" {
            let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
            panic!("the Python of SMTP_PYTHON does not run aiosmtpd: {log}");
        }
        Self {
            child,
            port,
            directory,
        }
    }

    fn settings(&self) -> MailServer {
        let mut settings = MailServer::new("127.0.0.1", "Quay <quay@example.com>");
        settings.port = self.port;
        settings.tls = MailTls::Plain;
        settings
    }

    fn authority(&self) -> Vec<u8> {
        std::fs::read(self.directory.path().join("server.pem")).unwrap()
    }

    fn mails(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join("mails")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A certificate for localhost, signed by itself.
fn certify(directory: &Path) {
    let output = Command::new("openssl")
        .current_dir(directory)
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .args(["-keyout", "server.key", "-out", "server.pem"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn mail(to: &str) -> Mail {
    Mail::new(
        to.to_owned(),
        "Grüße".to_owned(),
        "Please confirm.\n.\nAs soon as you can.\n".to_owned(),
    )
}

fn mailer(settings: &MailServer, authorities: &[&[u8]]) -> SmtpMailer {
    SmtpMailer::trusting(settings, authorities, tokio_runtime(TokioSpawner::current())).unwrap()
}

#[tokio::test]
async fn mail_arrives() {
    let server = Server::start(false);
    let mailer = mailer(&server.settings(), &[]);
    mailer.send(&mail("me@example.com")).await.unwrap();
    mailer.send(&mail("you@example.com")).await.unwrap();
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(
        (&mails[0]["from"], &mails[0]["to"][0]),
        (&"quay@example.com".into(), &"me@example.com".into())
    );
    assert_eq!(mails[1]["to"][0], "you@example.com");
    assert_eq!(mails[0]["tls"], false);
    let content = mails[0]["content"].as_str().unwrap();
    assert!(content.contains("From: Quay <quay@example.com>"), "{content}");
    assert!(
        content.contains("Please confirm.\r\n.\r\nAs soon as you can."),
        "{content}"
    );
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let server = Server::start(false);
    let mut settings = server.settings();
    let strict = mailer(&settings, &[]);
    for (to, retryable) in [("refused@example.com", false), ("busy@example.com", true)] {
        let error = strict.send(&mail(to)).await.unwrap_err();
        assert_eq!(
            error.kind() == StoreErrorKind::Unavailable,
            retryable,
            "{to}: {error}"
        );
        assert!(!error.to_string().contains('@'), "{error}");
    }
    settings.failure = MailFailure::Logged;
    mailer(&settings, &[])
        .send(&mail("refused@example.com"))
        .await
        .unwrap();
    assert!(server.mails().is_empty());
    drop(server);
    assert!(strict.send(&mail("me@example.com")).await.is_err());
    mailer(&settings, &[])
        .send(&mail("me@example.com"))
        .await
        .unwrap();
}

#[tokio::test]
async fn with_tls_nothing_is_sent_without() {
    let server = Server::start(true);
    let mut settings = server.settings();
    "localhost".clone_into(&mut settings.host);
    settings.tls = MailTls::StartTls;
    settings.login = Some(("quay".to_owned(), Secret::new("secret".to_owned())));
    let authority = server.authority();
    let trusted: [&[u8]; 1] = [&authority];

    mailer(&settings, &trusted)
        .send(&mail("me@example.com"))
        .await
        .unwrap();
    let sent = server.mails();
    assert_eq!(sent.len(), 1);
    assert_eq!((&sent[0]["tls"], &sent[0]["login"]), (&true.into(), &true.into()));

    let refused = |settings: MailServer, trusted: Vec<Vec<u8>>| async move {
        let trusted: Vec<&[u8]> = trusted.iter().map(Vec::as_slice).collect();
        mailer(&settings, &trusted)
            .send(&mail("me@example.com"))
            .await
            .unwrap_err()
    };
    // Nobody vouches for the certificate.
    refused(settings.clone(), Vec::new()).await;
    // It is for another name.
    let mut other = settings.clone();
    "127.0.0.1".clone_into(&mut other.host);
    refused(other, vec![authority.clone()]).await;
    // The password is wrong.
    let mut wrong = settings.clone();
    wrong.login = Some(("quay".to_owned(), Secret::new("guess".to_owned())));
    let error = refused(wrong, vec![authority.clone()]).await;
    assert!(!format!("{error:?}").contains("guess"));
    // Without STARTTLS the server takes nothing.
    let mut plain = settings.clone();
    plain.tls = MailTls::Plain;
    plain.login = None;
    refused(plain, Vec::new()).await;
    assert_eq!(server.mails().len(), 1);

    // A server that offers no TLS gets nothing.
    let server = Server::start(false);
    let mut settings = server.settings();
    "localhost".clone_into(&mut settings.host);
    settings.tls = MailTls::StartTls;
    refused(settings, vec![authority]).await;
    assert!(server.mails().is_empty());
}
