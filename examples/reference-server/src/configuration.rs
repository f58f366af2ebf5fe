//! Reads `config.yaml` into the model of `quay_core::config`.

use std::path::Path;

use quay_core::config::Config;
use serde_json::Value;

use crate::{Failure, Unusable};

/// The configuration in `directory`, or the defaults without one.
pub(crate) fn read(directory: Option<&Path>) -> Result<Config, Failure> {
    let Some(directory) = directory else {
        return Ok(Config::default());
    };
    let path = directory.join("config.yaml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
    parse(&text).map_err(|error| Unusable(format!("{}: {error}", path.display())).into())
}

fn parse(text: &str) -> Result<Config, Failure> {
    // As PyYAML reads it: numbers with a leading zero are octal, the last of two equal keys counts.
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
    };
    let document: Option<Value> = serde_saphyr::from_str_with_options(text, options)?;
    let map = match document {
        None | Some(Value::Null) => serde_json::Map::new(),
        Some(Value::Object(map)) => map,
        Some(_) => return Err("the file must be a mapping of keys to values".into()),
    };
    Ok(Config::from_map(&map)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_is_read_as_quay_reads_it() {
        let config =
            parse("MAXIMUM_LAYER_SIZE: 1G\nFEATURE_SPARSE_INDEX: yes\nMAXIMUM_LAYER_SIZE: 2G\n").unwrap();
        assert_eq!(config.registry.max_blob_size, 2 << 30);
        assert!(config.registry.sparse);
        assert!(parse("").is_ok());
        assert!(parse("- a\n").unwrap_err().to_string().contains("mapping"));
        assert!(parse("A: [\n").is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Some(Path::new("/nonexistent"))).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/config.yaml"));
    }
}
