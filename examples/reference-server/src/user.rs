//! `user`: accounts made by whoever runs the server, the first of them above all.

use std::collections::BTreeSet;
use std::io::{BufRead, Read as _, Write as _};
use std::path::Path;

use clap::{Args, Subcommand};
use quay_core::config::{Config, Database};
use quay_core::{Caller, ErrorKind, Principal, StoreError, StoreErrorKind};
use quay_http::{TokioSpawner, tokio_runtime};

use crate::{Failure, Place, Unusable, accounts, compose, configuration, secrets, superusers};

/// More than any password takes.
const LONGEST_LINE: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a user who may sign in at once.
    Create(Create),
}

/// Flags of `user create`. They are kept stable.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The user's name.
    name: String,
    /// The user's e-mail address.
    #[arg(long, value_name = "ADDR")]
    email: String,
    /// Make the user a superuser, or say what to add to config.yaml for that.
    #[arg(long)]
    superuser: bool,
    /// Read the password from standard input: one line of at least 8 characters without white space.
    #[arg(long, required = true)]
    password_stdin: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create(create) => self::create(create).await,
    }
}

/// How the operator of a server without accounts gets the first.
pub(crate) fn how_to_begin(place: &Place, config: &Config) -> String {
    let mut flags = format!(" --data {}", quoted(&place.data));
    if let Some(directory) = &place.config {
        flags.push_str(" --config ");
        flags.push_str(&quoted(directory));
    }
    let stop = if has_sqlite(config) {
        "stop this server, then run"
    } else {
        "run"
    };
    format!(
        "there are no accounts yet, so nobody can sign in. To create the first superuser, {stop} `reference-server \
         user create NAME --email ADDR --superuser --password-stdin{flags}` with the password on standard input"
    )
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-+:@".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn has_sqlite(config: &Config) -> bool {
    matches!(config.database, None | Some(Database::Sqlite { .. }))
}

async fn create(create: &Create) -> Result<(), Failure> {
    let config = configuration::read(create.place.config.as_deref())?;
    secrets::check(&config)?;
    let password = password(&mut std::io::stdin().lock())?;
    let spawner = TokioSpawner::current();
    let opened = compose::metadata(&config, &create.place, &spawner).await;
    let store = opened.map_err(|error| in_use(error, &config))?;
    let runtime = tokio_runtime(spawner);
    let options = config.accounts.clone();
    let client = accounts::client(&[])?;
    let composed = accounts::compose(&config, &create.place.data, store, &client, options, runtime).await?;
    let system = Caller::new(Principal::System);
    composed
        .accounts
        .create_verified_user(&system, &create.name, &password, &create.email)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidRequest => Unusable(error.public_message().into()).into(),
            ErrorKind::Rejected => Failure::from(error.public_message()),
            _ => Failure::from(error),
        })?;
    let told = if create.superuser {
        make_superuser(&create.name, &create.place, &config)?
    } else {
        String::new()
    };
    let mut stdout = std::io::stdout();
    write!(stdout, "created {}\n{told}", create.name)?;
    Ok(stdout.flush()?)
}

/// Reads the line with the password.
fn password(input: &mut dyn BufRead) -> Result<String, Failure> {
    let unusable = |message: &str| Failure::from(Unusable(message.to_owned()));
    let mut line = Vec::new();
    input.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    if line.len() as u64 == LONGEST_LINE {
        return Err(unusable("the password is too long"));
    }
    let line = String::from_utf8(line).map_err(|_| unusable("the password is not UTF-8 text"))?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(unusable(
            "there is no password on standard input: one line is read from there",
        ));
    }
    if password.chars().count() < 8 || password.chars().any(char::is_whitespace) {
        return Err(unusable(
            "the password must be at least 8 characters and contain no white space",
        ));
    }
    Ok(password.to_owned())
}

/// A server keeps its SQLite database to itself.
fn in_use(error: Failure, config: &Config) -> Failure {
    match error.downcast_ref::<StoreError>() {
        Some(known) if known.kind() == StoreErrorKind::Unavailable && has_sqlite(config) => {
            let reason = crate::in_full(&*error);
            format!("{reason}: stop the server first or use the API").into()
        }
        _ => error,
    }
}

/// Makes a name count as a superuser's, or says what the operator has to do for it.
fn make_superuser(name: &str, place: &Place, config: &Config) -> Result<String, Failure> {
    let Some(directory) = &place.config else {
        superusers::add(&place.data, name).map_err(|error| {
            let path = superusers::path(&place.data);
            let reason = crate::in_full(&*error);
            format!(
                "{name} was created and is no superuser yet: {reason}; put the name on a line of its own in {}",
                path.display()
            )
        })?;
        return Ok(format!(
            "{name} is a superuser of servers started without --config: the name is kept in {}\n",
            superusers::path(&place.data).display()
        ));
    };
    let lines = missing_lines(name, config);
    if lines.is_empty() {
        return Ok(format!("{name} is a superuser\n"));
    }
    Ok(format!(
        "{name} is no superuser yet: let {} say this, in place of what it says now, and start the server again\n{lines}",
        directory.join("config.yaml").display()
    ))
}

/// What `config.yaml` must say for a name to be a superuser's, where it says something else. JSON is YAML,
/// and quoted: some names would be numbers or truth values otherwise.
fn missing_lines(name: &str, config: &Config) -> String {
    let mut lines = String::new();
    if !config.accounts.superusers.contains(name) {
        let mut names: BTreeSet<&str> = config.accounts.superusers.iter().map(String::as_str).collect();
        names.insert(name);
        lines = format!("SUPER_USERS: {}\n", serde_json::json!(names));
    }
    if !config.accounts.superusers_enabled {
        lines.push_str("FEATURE_SUPER_USERS: true\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        for (input, expected) in [
            ("long-enough\n", Some("long-enough")),
            ("long-enough\r\nmore\n", Some("long-enough")),
            ("long-enough", Some("long-enough")),
            ("пароль-1", Some("пароль-1")),
            ("", None),
            ("\n", None),
            ("short\n", None),
            ("long enough\n", None),
            (" long-enough\n", None),
        ] {
            let read = password(&mut input.as_bytes());
            assert_eq!(read.as_deref().ok(), expected, "{input:?}");
        }
        assert!(password(&mut "a".repeat(5000).as_bytes()).is_err());
        let error = password(&mut &b"secret \xff\n"[..]).unwrap_err();
        assert!(error.is::<Unusable>() && !error.to_string().contains("secret"));
    }

    #[test]
    fn what_config_must_say() {
        let lines = |yaml: serde_json::Value, name| {
            missing_lines(name, &Config::from_map(yaml.as_object().unwrap()).unwrap())
        };
        let named = serde_json::json!({ "SUPER_USERS": ["root", "admin"] });
        assert_eq!(lines(named.clone(), "admin"), "");
        assert_eq!(lines(named, "12"), "SUPER_USERS: [\"12\",\"admin\",\"root\"]\n");
        let off = serde_json::json!({ "FEATURE_SUPER_USERS": false });
        assert_eq!(
            lines(off, "admin"),
            "SUPER_USERS: [\"admin\"]\nFEATURE_SUPER_USERS: true\n"
        );
    }

    #[test]
    fn paths_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted(Path::new("./quay-data")), "./quay-data");
        assert_eq!(quoted(Path::new("/my data")), "'/my data'");
        assert_eq!(quoted(Path::new("it's")), r"'it'\''s'");
    }
}
