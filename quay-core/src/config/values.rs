//! Keys in effect, read from the table's declaration into types.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{InvalidConfig, key};
use crate::name::Namespace;
use crate::registry::{ActionLogging, Options, PageSizes};

/// `PREFERRED_URL_SCHEME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlScheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl UrlScheme {
    /// The scheme as links begin with it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// When garbage is collected, and what broken uploads leave is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GarbageConfig {
    /// `GARBAGE_COLLECTION_FREQUENCY`: the pause once all garbage is collected; `None` where
    /// `FEATURE_GARBAGE_COLLECTION` is off.
    pub frequency: Option<Duration>,
    /// `BLOBUPLOAD_CLEANUP_FREQUENCY`: the pause between two looks at unfinished uploads.
    pub sweep: Duration,
    /// `BLOBUPLOAD_DELETION_DATE_THRESHOLD`: uploads that nobody came back to for so long are removed.
    pub upload_age: Duration,
}

/// One entry of `DISTRIBUTED_STORAGE_CONFIG`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageLocation {
    /// Its id.
    pub id: String,
    /// What it is.
    pub engine: StorageEngine,
}

/// A storage engine with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageEngine {
    /// `LocalStorage`.
    Local {
        /// `storage_path`, as written.
        path: String,
    },
}

pub(super) struct Reader<'a>(&'a Map<String, Value>);

pub(super) fn wrong(name: &str, reason: impl Into<String>) -> InvalidConfig {
    InvalidConfig::new(name, reason)
}

impl<'a> Reader<'a> {
    pub(super) const fn new(map: &'a Map<String, Value>) -> Self {
        Self(map)
    }

    /// What is written for a key, but for null.
    pub(super) fn given(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Whether null is written for a key.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(Value::is_null)
    }

    /// A key's value, or its default; null counts as not set.
    pub(super) fn value(&self, name: &str) -> Result<Value, InvalidConfig> {
        let declared = key(name).ok_or_else(|| wrong(name, "not a key"))?;
        if let Some(value) = self.given(name) {
            return if declared.kind.fits(value) {
                Ok(value.clone())
            } else {
                Err(wrong(name, format!("must be a {}", declared.kind.as_str())))
            };
        }
        serde_json::from_str(declared.effective_default()).map_err(|error| wrong(name, error.to_string()))
    }

    pub(super) fn boolean(&self, name: &str) -> Result<bool, InvalidConfig> {
        self.value(name)?
            .as_bool()
            .ok_or_else(|| wrong(name, "must be a boolean"))
    }

    pub(super) fn optional_boolean(&self, name: &str) -> Result<Option<bool>, InvalidConfig> {
        Ok(self.value(name)?.as_bool())
    }

    pub(super) fn number(&self, name: &str) -> Result<u64, InvalidConfig> {
        self.value(name)?
            .as_u64()
            .ok_or_else(|| wrong(name, "must be a whole number that is not negative"))
    }

    pub(super) fn text(&self, name: &str) -> Result<String, InvalidConfig> {
        match self.value(name)? {
            Value::String(text) => Ok(text),
            _ => Err(wrong(name, "must be a string")),
        }
    }

    pub(super) fn optional_text(&self, name: &str) -> Result<Option<String>, InvalidConfig> {
        match self.value(name)? {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            _ => Err(wrong(name, "must be a string")),
        }
    }

    pub(super) fn url_scheme(&self) -> Result<UrlScheme, InvalidConfig> {
        const NAME: &str = "PREFERRED_URL_SCHEME";
        match self.text(NAME)?.as_str() {
            "http" => Ok(UrlScheme::Http),
            "https" => Ok(UrlScheme::Https),
            _ => Err(wrong(NAME, "must be http or https")),
        }
    }

    pub(super) fn storage(&self) -> Result<Vec<StorageLocation>, InvalidConfig> {
        const CONFIG: &str = "DISTRIBUTED_STORAGE_CONFIG";
        const PREFERENCE: &str = "DISTRIBUTED_STORAGE_PREFERENCE";
        let Value::Object(entries) = self.value(CONFIG)? else {
            return Ok(Vec::new());
        };
        if entries.is_empty() {
            return Err(wrong(CONFIG, "must name one storage location at least"));
        }
        let mut locations = entries
            .iter()
            .map(|(id, entry)| storage_location(id, entry).map_err(|reason| wrong(CONFIG, reason)))
            .collect::<Result<Vec<_>, _>>()?;
        let preference: Vec<String> = match self.value(PREFERENCE)? {
            Value::Null => Vec::new(),
            Value::Array(ids) => ids
                .iter()
                .map(|id| id.as_str().map(ToOwned::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| wrong(PREFERENCE, "must be a list of storage ids"))?,
            _ => return Err(wrong(PREFERENCE, "must be a list of storage ids")),
        };
        if let Some(unknown) = preference.iter().find(|id| !entries.contains_key(*id)) {
            return Err(wrong(PREFERENCE, format!("{unknown} is not in {CONFIG}")));
        }
        if preference.is_empty() && locations.len() > 1 {
            return Err(wrong(
                PREFERENCE,
                "must say which of several locations is written to",
            ));
        }
        // What is not preferred is read last.
        locations.sort_by_key(|location| {
            preference
                .iter()
                .position(|id| *id == location.id)
                .unwrap_or(usize::MAX)
        });
        Ok(locations)
    }

    pub(super) fn registry(&self) -> Result<Options, InvalidConfig> {
        let library = if self.boolean("FEATURE_LIBRARY_SUPPORT")? {
            const NAME: &str = "LIBRARY_NAMESPACE";
            Some(Namespace::new(&self.text(NAME)?).map_err(|error| wrong(NAME, error.to_string()))?)
        } else {
            None
        };
        let read_only = match self.text("REGISTRY_STATE")?.as_str() {
            "normal" => false,
            "readonly" => true,
            _ => return Err(wrong("REGISTRY_STATE", "must be normal or readonly")),
        };
        // Quay raises smaller sizes to 100 (registry-protocol, section 7).
        let page = usize::try_from(self.number("V2_PAGINATION_SIZE")?).unwrap_or(usize::MAX);
        let page = page.clamp(100, 10_000);
        Ok(Options {
            library,
            nested_names: self.boolean("FEATURE_EXTENDED_REPOSITORY_NAMES")?,
            max_blob_size: self.size("MAXIMUM_LAYER_SIZE")?,
            lease: Duration::from_secs(self.number("PUSH_TEMP_TAG_EXPIRATION_SEC")?),
            oci: self.boolean("FEATURE_GENERAL_OCI_SUPPORT")?,
            sparse: self.boolean("FEATURE_SPARSE_INDEX")?,
            referrers: self.boolean("FEATURE_REFERRERS_API")?,
            read_only,
            page: PageSizes::new(page, page),
            action_log: if self.boolean("ALLOW_PULLS_WITHOUT_STRICT_LOGGING")? {
                ActionLogging::Relaxed
            } else {
                ActionLogging::Strict
            },
            time_machine: self.duration("DEFAULT_TAG_EXPIRATION")?,
            tag_lifetime: self.tag_lifetime()?,
            delete_repositories: self.boolean("FEATURE_REPOSITORY_GARBAGE_COLLECTION")?
                && self.boolean("FEATURE_NAMESPACE_GARBAGE_COLLECTION")?,
            quotas: if self.boolean("FEATURE_QUOTA_MANAGEMENT")? {
                Some(crate::registry::QuotaOptions::new(self.default_reject_quota()?))
            } else {
                None
            },
            reserved_labels: self.reserved_labels()?,
            old_pushes: if self.boolean("FEATURE_RESTRICTED_V1_PUSH")? {
                Some(self.texts("V1_PUSH_WHITELIST")?.into_iter().collect())
            } else {
                None
            },
            immutable_tags: self.boolean("FEATURE_IMMUTABLE_TAGS")?,
            immutable_tags_can_expire: self.boolean("FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE")?,
            auto_prune: self.auto_prune()?,
            last_pulls: self.boolean("FEATURE_AUTO_PRUNE")? || self.boolean("FEATURE_IMAGE_PULL_STATS")?,
            ..Options::default()
        })
    }

    /// Where pushes end into namespaces without a quota of their own; zero is nowhere.
    pub(super) fn default_reject_quota(&self) -> Result<Option<u64>, InvalidConfig> {
        let bytes = self.number("DEFAULT_SYSTEM_REJECT_QUOTA_BYTES")?;
        Ok((bytes > 0).then_some(bytes))
    }

    pub(super) fn garbage(&self) -> Result<GarbageConfig, InvalidConfig> {
        let seconds = |name: &str| Ok(Duration::from_secs(self.number(name)?.max(1)));
        let frequency = seconds("GARBAGE_COLLECTION_FREQUENCY")?;
        let minutes = self.number("BLOBUPLOAD_DELETION_DATE_THRESHOLD")?;
        Ok(GarbageConfig {
            frequency: self.boolean("FEATURE_GARBAGE_COLLECTION")?.then_some(frequency),
            sweep: seconds("BLOBUPLOAD_CLEANUP_FREQUENCY")?,
            upload_age: Duration::from_secs(minutes.max(1).saturating_mul(60)),
        })
    }

    fn tag_lifetime(&self) -> Result<(Duration, Duration), InvalidConfig> {
        const SHORTEST: &str = "LABELED_EXPIRATION_MINIMUM";
        const LONGEST: &str = "LABELED_EXPIRATION_MAXIMUM";
        let (shortest, longest) = (self.duration(SHORTEST)?, self.duration(LONGEST)?);
        if shortest > longest {
            return Err(wrong(SHORTEST, format!("must not be longer than {LONGEST}")));
        }
        Ok((shortest, longest))
    }

    /// Those that Quay has, or others, and more besides.
    fn reserved_labels(&self) -> Result<Vec<String>, InvalidConfig> {
        const MORE: &str = "LABEL_KEY_RESERVED_PREFIXES";
        let mut prefixes = self.texts("DEFAULT_LABEL_KEY_RESERVED_PREFIXES")?;
        let more = self.texts(MORE)?;
        if let Some(prefix) = more.iter().find(|prefix| !prefix.ends_with('.')) {
            return Err(wrong(MORE, format!("{prefix:?} must end with a dot")));
        }
        prefixes.extend(more);
        Ok(prefixes)
    }

    /// A size with its unit: `20G`, `512M`.
    fn size(&self, name: &str) -> Result<u64, InvalidConfig> {
        let text = self.text(name)?;
        let bytes = match text.strip_suffix('G') {
            Some(number) => number
                .parse::<u64>()
                .ok()
                .and_then(|number| number.checked_mul(1 << 30)),
            None => text
                .strip_suffix('M')
                .and_then(|number| number.parse::<u64>().ok())
                .and_then(|number| number.checked_mul(1 << 20)),
        };
        bytes.ok_or_else(|| wrong(name, "must be a number followed by G or M, such as 20G"))
    }
}

fn storage_location(id: &str, entry: &Value) -> Result<StorageLocation, String> {
    let Some([Value::String(engine), Value::Object(options)]) = entry.as_array().map(Vec::as_slice) else {
        return Err(format!("{id} must be a list of an engine and its options"));
    };
    if engine != "LocalStorage" {
        return Err(format!(
            "the engine {engine} of {id} is not supported by this version"
        ));
    }
    match options.get("storage_path") {
        Some(Value::String(path)) if !path.is_empty() => Ok(StorageLocation {
            id: id.to_owned(),
            engine: StorageEngine::Local { path: path.clone() },
        }),
        _ => Err(format!("{id} needs storage_path")),
    }
}
