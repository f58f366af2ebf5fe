//! Superusers of a server without a `config.yaml`: a file in the data directory, a name on each line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use quay_core::accounts::is_account_name;

use crate::secrets::{self, Existing};
use crate::{Failure, Unusable};

pub(crate) fn path(data: &Path) -> PathBuf {
    data.join("superusers")
}

/// The names in the file, if there is one.
pub(crate) fn read(data: &Path) -> Result<BTreeSet<String>, Failure> {
    let path = path(data);
    let Some(text) = secrets::read(&path)? else {
        return Ok(BTreeSet::new());
    };
    let mut names = BTreeSet::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !is_account_name(line) {
            return Err(Unusable(format!("{}: {line:?} cannot be a user's name", path.display())).into());
        }
        names.insert(line.to_owned());
    }
    Ok(names)
}

/// Adds a name to the file.
pub(crate) fn add(data: &Path, name: &str) -> Result<(), Failure> {
    let mut names = read(data)?;
    names.insert(name.to_owned());
    let lines: String = names.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
    secrets::write(&path(data), &lines, Existing::Replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_added_once() {
        let data = tempfile::tempdir().unwrap();
        assert!(read(data.path()).unwrap().is_empty());
        for name in ["second", "first", "second"] {
            add(data.path(), name).unwrap();
        }
        let text = std::fs::read_to_string(path(data.path())).unwrap();
        assert_eq!(text, "first\nsecond\n");
        std::fs::write(path(data.path()), "\n Nobody \n").unwrap();
        assert!(read(data.path()).unwrap_err().to_string().contains("\"Nobody\""));
    }
}
