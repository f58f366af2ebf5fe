use std::time::Duration;

use serde_json::json;

use super::*;
use crate::registry::{ActionLogging, Options, RESERVED_LABELS};

fn read(value: &Value) -> Result<Config, InvalidConfig> {
    Config::from_map(value.as_object().unwrap())
}

#[test]
fn every_default_is_json_of_its_type_and_names_are_unique() {
    let mut names = std::collections::HashSet::new();
    for key in KEYS {
        assert!(names.insert(key.name), "{} is declared twice", key.name);
        for text in [Some(key.default), key.default_later].into_iter().flatten() {
            let value: Value = serde_json::from_str(text).unwrap();
            // Quay itself ships a few defaults that its own schema does not allow.
            let fits = key.kind.fits(&value) || (key.nullable && value.is_null());
            assert!(fits || !key.in_effect, "{}: {text}", key.name);
        }
        assert!(
            !key.secret || key.default == "null",
            "{} has a built-in secret",
            key.name
        );
    }
    assert!(KEYS.len() >= 470);
}

#[test]
fn the_documentation_is_what_the_table_says() {
    let committed = include_str!("../../../docs/configuration.md");
    let path = std::env::temp_dir().join("configuration.md");
    let current = committed == markdown();
    if !current {
        std::fs::write(&path, markdown()).unwrap();
    }
    assert!(current, "copy {} to docs/configuration.md", path.display());
}

#[test]
fn without_a_file_everything_is_accepted_that_later_releases_accept() {
    let config = Config::default();
    assert!(config.registry.oci && config.registry.referrers && config.registry.nested_names);
    assert!(!config.registry.sparse && !config.registry.read_only);
    assert_eq!(config.registry.max_blob_size, 20 << 30);
    assert_eq!(config.registry.lease.as_secs(), 3600);
    assert_eq!(config.storage, []);
    assert_eq!(config.database, None);
}

#[test]
fn keys_in_effect_are_typed() {
    let config = read(&json!({
        "FEATURE_GENERAL_OCI_SUPPORT": false,
        "FEATURE_LIBRARY_SUPPORT": false,
        "MAXIMUM_LAYER_SIZE": "512M",
        "REGISTRY_STATE": "readonly",
        "V2_PAGINATION_SIZE": 500,
        "ALLOW_PULLS_WITHOUT_STRICT_LOGGING": true,
        "DB_URI": "postgresql+psycopg2://quay:geheim@localhost/quay",
        "DISTRIBUTED_STORAGE_CONFIG": {
            "a": ["LocalStorage", { "storage_path": "/a" }],
            "b": ["LocalStorage", { "storage_path": "/b" }],
        },
        "DISTRIBUTED_STORAGE_PREFERENCE": ["b"],
    }))
    .unwrap();
    assert!(!config.registry.oci && config.registry.library.is_none() && config.registry.read_only);
    assert_eq!(config.registry.max_blob_size, 512 << 20);
    assert_eq!(config.registry.page.default, 500);
    assert_eq!(config.registry.action_log, ActionLogging::Relaxed);
    assert_eq!(Config::default().registry.action_log, ActionLogging::Strict);
    let ids: Vec<_> = config
        .storage
        .iter()
        .map(|location| location.id.as_str())
        .collect();
    assert_eq!(ids, ["b", "a"]);
    assert!(
        !format!("{config:?}").contains("geheim"),
        "a password is not printed"
    );
    let Some(Database::Postgres { uri }) = config.database else {
        panic!("not PostgreSQL")
    };
    assert_eq!(uri.reveal(), "postgresql://quay:geheim@localhost/quay");
}

#[test]
fn the_time_machine_and_labels() {
    let config = read(&json!({
        "DEFAULT_TAG_EXPIRATION": "1d",
        "LABELED_EXPIRATION_MINIMUM": "2m",
        "LABELED_EXPIRATION_MAXIMUM": "1w",
        "LABEL_KEY_RESERVED_PREFIXES": ["ours."],
    }))
    .unwrap();
    assert_eq!(config.registry.time_machine.as_secs(), 86_400);
    let (shortest, longest) = config.registry.tag_lifetime;
    assert_eq!((shortest.as_secs(), longest.as_secs()), (120, 604_800));
    let reserved = &config.registry.reserved_labels;
    assert!(
        reserved.iter().any(|prefix| prefix == "ours.") && reserved.iter().any(|prefix| prefix == "quay")
    );
    let defaults = Config::default().registry;
    assert_eq!(defaults.reserved_labels, RESERVED_LABELS);
    let options = Options::default();
    assert_eq!(defaults.time_machine, options.time_machine);
    assert_eq!(defaults.tag_lifetime, options.tag_lifetime);
}

#[test]
fn what_cannot_be_used_is_named() {
    for (value, key, reason) in [
        (
            json!({ "LABELED_EXPIRATION_MINIMUM": "2w", "LABELED_EXPIRATION_MAXIMUM": "1w" }),
            "LABELED_EXPIRATION_MINIMUM",
            "longer",
        ),
        (
            json!({ "LABELED_EXPIRATION_MAXIMUM": "soon" }),
            "LABELED_EXPIRATION_MAXIMUM",
            "10m",
        ),
        (
            json!({ "LABEL_KEY_RESERVED_PREFIXES": ["ours"] }),
            "LABEL_KEY_RESERVED_PREFIXES",
            "dot",
        ),
        (
            json!({ "MAXIMUM_LAYER_SIZE": "20T" }),
            "MAXIMUM_LAYER_SIZE",
            "20G",
        ),
        (
            json!({ "MAXIMUM_LAYER_SIZE": 20 }),
            "MAXIMUM_LAYER_SIZE",
            "string",
        ),
        (
            json!({ "FEATURE_SPARSE_INDEX": "yes" }),
            "FEATURE_SPARSE_INDEX",
            "boolean",
        ),
        (
            json!({ "V2_PAGINATION_SIZE": -1 }),
            "V2_PAGINATION_SIZE",
            "negative",
        ),
        (
            json!({ "DB_URI": "mysql://u:p@x" }),
            "DB_URI",
            "name of a database",
        ),
        (json!({ "DB_URI": "oracle://x/y" }), "DB_URI", "mysql:"),
        (
            json!({ "DB_CONNECTION_ARGS": { "max_connections": 0 } }),
            "DB_CONNECTION_ARGS",
            "max_connections",
        ),
        (
            json!({ "DB_CONNECTION_ARGS": { "timeout": -1 } }),
            "DB_CONNECTION_ARGS",
            "timeout",
        ),
        (
            json!({ "DB_URI": "mysql://h/d", "DB_CONNECTION_ARGS": { "ssl": { "cert": "/c" } } }),
            "DB_CONNECTION_ARGS",
            "go together",
        ),
        (
            json!({ "DB_URI": "postgresql://h/d", "DB_CONNECTION_ARGS": { "sslmode": "maybe" } }),
            "DB_CONNECTION_ARGS",
            "sslmode",
        ),
        (
            json!({ "DB_CONNECTION_POOLING": "no" }),
            "DB_CONNECTION_POOLING",
            "boolean",
        ),
        (json!({ "DB_URI": "sqlite:/x" }), "DB_URI", "address"),
        (
            json!({ "PREFERRED_URL_SCHEME": "ftp" }),
            "PREFERRED_URL_SCHEME",
            "https",
        ),
        (
            json!({ "DISTRIBUTED_STORAGE_CONFIG": { "a": ["SwiftStorage", {}] } }),
            "DISTRIBUTED_STORAGE_CONFIG",
            "SwiftStorage",
        ),
        (
            json!({ "DISTRIBUTED_STORAGE_CONFIG": { "a": ["LocalStorage", { "storage_path": "/a" }] }, "DISTRIBUTED_STORAGE_PREFERENCE": ["b"] }),
            "DISTRIBUTED_STORAGE_PREFERENCE",
            "b is not in",
        ),
    ] {
        let error = read(&value).unwrap_err();
        assert_eq!(error.key(), key);
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn what_is_not_understood_is_warned_of() {
    let config = read(&json!({
        "TOTALLY_UNKNOWN": 1,
        "preferred_url_scheme": "https",
        "LDAP_TIMEOUT": "x",
        "LDAP_URI": "ldap://directory",
    }))
    .unwrap();
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.iter().any(|warning| warning.contains("TOTALLY_UNKNOWN")),
        "{warnings:?}"
    );
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("did you mean PREFERRED_URL_SCHEME"))
    );
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("LDAP_TIMEOUT should be a number"))
    );
    assert_eq!(config.preferred_url_scheme, UrlScheme::Http);
    assert_eq!(config.not_in_effect, ["LDAP_TIMEOUT", "LDAP_URI"]);
}

#[test]
fn addresses_of_databases_lose_what_only_python_understands() {
    for (written, read_as, warned) in [
        (
            "mysql+pymysql://user:pa%40ss@host:3306/db?charset=utf8mb4",
            "mysql://user:pa%40ss@host:3306/db",
            None,
        ),
        ("mysql://user@host/db", "mysql://user@host/db", None),
        (
            "mysql+pymysql://h/db?unix_socket=/run/s&read_timeout=3",
            "mysql://h/db?socket=/run/s",
            Some("read_timeout"),
        ),
        (
            "mysql://h/db?ssl_ca=/ca.pem",
            "mysql://h/db?ssl-ca=/ca.pem&ssl-mode=VERIFY_IDENTITY",
            None,
        ),
        (
            "mysql://h/db?ssl-mode=REQUIRED",
            "mysql://h/db?ssl-mode=REQUIRED",
            None,
        ),
        ("postgresql://u:p@h/db", "postgresql://u:p@h/db", None),
        (
            "postgresql+psycopg2://u:p@h/db?client_encoding=utf8&sslmode=verify-full&keepalives=1",
            "postgresql://u:p@h/db?sslmode=verify-full",
            Some("keepalives"),
        ),
        ("sqlite:////var/quay.db", "/var/quay.db", None),
        ("sqlite:///test/data/test.db", "test/data/test.db", None),
    ] {
        let config = read(&json!({ "DB_URI": written })).unwrap();
        let address = match &config.database {
            Some(Database::MySql { uri } | Database::Postgres { uri }) => uri.reveal(),
            Some(Database::Sqlite { path }) => path,
            None => panic!("{written} is a database"),
        };
        assert_eq!(address, read_as, "{written}");
        let expected: Vec<_> = warned
            .map(|option| Warning::UnknownOption {
                key: "DB_URI",
                option: option.to_owned(),
            })
            .into_iter()
            .collect();
        assert_eq!(config.warnings, expected, "{written}");
    }
}

#[test]
fn connections_to_databases_are_what_the_drivers_of_quay_make_of_them() {
    let tls = |mode, ca: Option<&str>, client: Option<(&str, &str)>| {
        Some((
            mode,
            ca.map(ToOwned::to_owned),
            client.map(|(certificate, key)| (certificate.to_owned(), key.to_owned())),
        ))
    };
    let (mysql, postgres) = ("mysql://h/d", "postgresql://h/d");
    for (uri, arguments, expected) in [
        (mysql, json!({}), None),
        (mysql, json!({ "ssl": {} }), None),
        (
            mysql,
            json!({ "ssl": { "ca": "/ca" }, "threadlocals": true, "autorollback": true }),
            tls(DatabaseTlsMode::VerifyFull, Some("/ca"), None),
        ),
        (
            mysql,
            json!({ "ssl": { "ca": "/ca", "check_hostname": false } }),
            tls(DatabaseTlsMode::VerifyCa, Some("/ca"), None),
        ),
        (
            mysql,
            json!({ "ssl": { "cert": "/c", "key": "/k" } }),
            tls(DatabaseTlsMode::Required, None, Some(("/c", "/k"))),
        ),
        (
            mysql,
            json!({ "ssl": true }),
            tls(DatabaseTlsMode::Required, None, None),
        ),
        (
            postgres,
            json!({ "sslmode": "disable" }),
            tls(DatabaseTlsMode::Disabled, None, None),
        ),
        (
            postgres,
            json!({ "sslmode": "require" }),
            tls(DatabaseTlsMode::Required, None, None),
        ),
        (
            postgres,
            json!({ "sslmode": "require", "sslrootcert": "/ca" }),
            tls(DatabaseTlsMode::VerifyCa, Some("/ca"), None),
        ),
        (
            postgres,
            json!({ "sslmode": "verify-full", "sslrootcert": "/ca", "sslcert": "/c", "sslkey": "/k" }),
            tls(DatabaseTlsMode::VerifyFull, Some("/ca"), Some(("/c", "/k"))),
        ),
        (
            postgres,
            json!({ "sslrootcert": "/ca" }),
            tls(DatabaseTlsMode::Preferred, Some("/ca"), None),
        ),
    ] {
        let config = read(&json!({ "DB_URI": uri, "DB_CONNECTION_ARGS": arguments })).unwrap();
        let found = config
            .database_connection
            .tls
            .map(|tls| (tls.mode, tls.ca, tls.client));
        assert_eq!(found, expected, "{uri} {arguments}");
        assert_eq!(config.warnings, [], "{uri} {arguments}");
    }
    let config = read(&json!({
        "DB_URI": mysql,
        "DB_CONNECTION_ARGS": {
            "max_connections": 40, "timeout": 2, "stale_timeout": 1.5, "connect_timeout": 0, "sslmode": "require",
            "ssl": { "ca": "/ca", "cipher": "x" },
        },
        "DB_CONNECTION_POOLING": false,
    }))
    .unwrap();
    let connection = &config.database_connection;
    assert_eq!(connection.max_connections, Some(40));
    assert_eq!(connection.timeout, Some(Duration::from_secs(2)));
    assert_eq!(connection.stale_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(connection.connect_timeout, None);
    assert!(!connection.pooling);
    let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.iter().any(|warning| warning.contains("sslmode")),
        "{warnings:?}"
    );
    assert!(
        warnings.iter().any(|warning| warning.contains("ssl.cipher")),
        "{warnings:?}"
    );
}

#[test]
fn old_formats() {
    let read = |yaml: &Value| Config::from_map(yaml.as_object().unwrap()).unwrap();
    let config = read(&json!({}));
    assert!(!config.aci_conversion);
    assert_eq!(config.registry.old_pushes, None);
    let config = read(&json!({
        "FEATURE_ACI_CONVERSION": true,
        "FEATURE_RESTRICTED_V1_PUSH": true,
        "V1_PUSH_WHITELIST": ["org"],
    }));
    assert!(config.aci_conversion);
    assert!(config.registry.old_pushes.unwrap().contains("org"));
    // The list means nothing as long as nothing is restricted.
    assert_eq!(
        read(&json!({ "V1_PUSH_WHITELIST": ["org"] })).registry.old_pushes,
        None
    );
    let config = read(&json!({ "FEATURE_RESTRICTED_V1_PUSH": true }));
    assert!(config.registry.old_pushes.unwrap().is_empty());
}
