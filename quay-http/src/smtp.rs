//! Mail over SMTP: one connection for each mail.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use quay_core::accounts::{Mail, Mailer};
use quay_core::config::{MailFailure, MailServer, MailTls};
use quay_core::runtime::{Runtime, Timestamp};
use quay_core::{StoreError, StoreErrorKind};

/// How long the server may take for one step.
const STEP: Duration = Duration::from_secs(10);
/// How long it may take for all of them: somebody waits for the answer to their request.
const TIME: Duration = Duration::from_secs(30);

/// Why mail cannot be sent by way of a server.
#[derive(Debug)]
#[non_exhaustive]
pub enum InvalidMailServer {
    /// The sender is no address.
    Sender(Box<dyn Error + Send + Sync>),
    /// The host's name or the authorities for certificates cannot be used.
    Tls(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for InvalidMailServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sender(_) => "the sender is not an address such as quay@example.com",
            Self::Tls(_) => "no certificate of the mail server could be checked",
        })
    }
}

impl Error for InvalidMailServer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Sender(source) | Self::Tls(source) => Some(&**source),
        }
    }
}

/// Hands mail to an SMTP server.
///
/// With STARTTLS, the server's certificate must be for its name and from an authority that the system
/// trusts; neither password nor mail is sent otherwise. Needs a tokio runtime with its timer.
#[derive(Debug)]
pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    sender: Mailbox,
    /// `host:port`
    server: String,
    failure: MailFailure,
    runtime: Runtime,
}

impl SmtpMailer {
    /// A way to `server`.
    ///
    /// # Errors
    /// [`InvalidMailServer`]; the server is not spoken to.
    pub fn new(server: &MailServer, runtime: Runtime) -> Result<Self, InvalidMailServer> {
        Self::trusting(server, &[], runtime)
    }

    /// A way to `server`, which may also have a certificate from one of these authorities, each in PEM.
    ///
    /// # Errors
    /// [`InvalidMailServer`]; the server is not spoken to.
    pub fn trusting(
        server: &MailServer,
        authorities: &[&[u8]],
        runtime: Runtime,
    ) -> Result<Self, InvalidMailServer> {
        let sender: Mailbox = server
            .sender
            .parse()
            .map_err(|error| InvalidMailServer::Sender(Box::new(error)))?;
        let tls = if server.tls == MailTls::Plain {
            Tls::None
        } else {
            let parameters = parameters(&server.host, authorities);
            Tls::Required(parameters.map_err(|error| InvalidMailServer::Tls(Box::new(error)))?)
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host.as_str())
            .port(server.port)
            .timeout(Some(STEP))
            .tls(tls);
        if let Some((username, password)) = &server.login {
            builder = builder.credentials(Credentials::new(username.clone(), password.reveal().to_owned()));
        }
        Ok(Self {
            transport: builder.build(),
            sender,
            server: format!("{}:{}", server.host, server.port),
            failure: server.failure,
            runtime,
        })
    }

    fn message(&self, mail: &Mail) -> Result<Message, StoreError> {
        let invalid = |source: Box<dyn Error + Send + Sync>| {
            StoreError::new(StoreErrorKind::Other, "write a mail").with_source(source)
        };
        let to: Mailbox = mail.to.parse().map_err(|error| invalid(Box::new(error)))?;
        let id = format!("<{}@{}>", self.runtime.random_id(), self.sender.email.domain());
        Message::builder()
            .from(self.sender.clone())
            .to(to)
            .subject(mail.subject.as_str())
            .date(system_time(self.runtime.clock.now()))
            .message_id(Some(id))
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone())
            .map_err(|error| invalid(Box::new(error)))
    }

    async fn hand_over(&self, message: Message) -> Result<(), StoreError> {
        let unavailable = || {
            let context = format!("hand a mail to {}", self.server);
            StoreError::new(StoreErrorKind::Unavailable, context)
        };
        match tokio::time::timeout(TIME, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            // The same mail would be refused again.
            Ok(Err(error)) if error.is_permanent() => {
                let context = format!("hand a mail to {}: it was refused", self.server);
                Err(StoreError::new(StoreErrorKind::Other, context).with_source(error))
            }
            Ok(Err(error)) => Err(unavailable().with_source(error)),
            Err(late) => Err(unavailable().with_source(late)),
        }
    }
}

fn parameters(host: &str, authorities: &[&[u8]]) -> Result<TlsParameters, lettre::transport::smtp::Error> {
    let mut builder = TlsParameters::builder(host.to_owned());
    for authority in authorities {
        builder = builder.add_root_certificate(Certificate::from_pem(authority)?);
    }
    builder.build_rustls()
}

fn system_time(at: Timestamp) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or_default());
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

#[async_trait]
impl Mailer for SmtpMailer {
    /// Takes half a minute at the most.
    ///
    /// Cancellation: the server may have the mail or not.
    async fn send(&self, mail: &Mail) -> Result<(), StoreError> {
        let outcome = match self.message(mail) {
            Ok(message) => self.hand_over(message).await,
            Err(error) => Err(error),
        };
        match (outcome, self.failure) {
            (Err(error), MailFailure::Logged) => {
                tracing::warn!(server = self.server, "a mail was not sent: {error}");
                // What the server says may name the recipient.
                tracing::debug!(source = error.source(), "a mail was not sent");
                Ok(())
            }
            (outcome, _) => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quay_core::testing::{ManualClock, SeededRandom, ThreadSpawner};

    use super::*;

    fn mailer(server: &MailServer) -> Result<SmtpMailer, InvalidMailServer> {
        let runtime = Runtime::new(
            Arc::new(ManualClock::default()),
            Arc::new(SeededRandom::default()),
            Arc::new(ThreadSpawner),
        );
        SmtpMailer::new(server, runtime)
    }

    #[test]
    fn a_message_is_one_whatever_is_in_it() {
        let mailer = mailer(&MailServer::new("localhost", "Quay <quay@example.com>")).unwrap();
        let mail = Mail::new(
            "me@example.com".to_owned(),
            "Grüße\r\nBcc: everybody@example.com".to_owned(),
            "line\n.\nQUIT\n".to_owned(),
        );
        let message = mailer.message(&mail).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        assert!(text.contains("From: Quay <quay@example.com>\r\n"), "{text}");
        assert!(text.contains("To: me@example.com\r\n"), "{text}");
        assert!(
            text.contains("Date: Sun, 13 Sep 2020 12:26:40 +0000\r\n"),
            "{text}"
        );
        assert!(text.contains("Message-ID: <"), "{text}");
        assert!(!text.contains("\nBcc:"), "{text}");
        let to: Vec<_> = message.envelope().to().iter().map(ToString::to_string).collect();
        assert_eq!(to, ["me@example.com"]);

        for to in [
            "",
            "nobody",
            "a@example.com, b@example.com",
            "a@example.com\r\nRCPT TO:<b@example.com>",
        ] {
            let mail = Mail::new(to.to_owned(), String::new(), String::new());
            assert!(mailer.message(&mail).is_err(), "{to:?}");
        }
    }

    #[test]
    fn a_sender_is_an_address() {
        let error = mailer(&MailServer::new("localhost", "Quay")).unwrap_err();
        assert!(matches!(error, InvalidMailServer::Sender(_)), "{error}");
        assert!(error.source().is_some());
    }
}
