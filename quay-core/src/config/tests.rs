use serde_json::json;

use super::*;

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
fn what_cannot_be_used_is_named() {
    for (value, key, reason) in [
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
        (json!({ "DB_URI": "mysql://x" }), "DB_URI", "MySQL"),
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
        "MAIL_PORT": "x",
        "MAIL_SERVER": "mail",
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
            .any(|warning| warning.contains("MAIL_PORT should be a number"))
    );
    assert_eq!(config.preferred_url_scheme, UrlScheme::Http);
    assert_eq!(config.not_in_effect, ["MAIL_PORT", "MAIL_SERVER"]);
}
