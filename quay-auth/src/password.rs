//! Password hashes (data-model, section 9).

use std::sync::Arc;

use quay_core::accounts::PasswordHasher;
use quay_core::runtime::Random;
use quay_core::{StoreError, StoreErrorKind};

/// Hashes that cost more take minutes; whoever could store one would stop the registry.
const MAX_COST: u32 = 17;
const MIN_COST: u32 = 4;

/// bcrypt, as Quay stores it: `$2a$`, `$2b$` or `$2y$`, of which the first 72 bytes of a password count.
#[derive(Debug, Clone)]
pub struct Bcrypt {
    random: Arc<dyn Random>,
    cost: u32,
}

impl Bcrypt {
    /// With Quay's cost of 12: about a quarter of a second.
    #[must_use]
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self {
            random,
            cost: bcrypt::DEFAULT_COST,
        }
    }

    /// New hashes are to cost `2^cost` rounds. Costs below 4 and above 17 are taken for those.
    #[must_use]
    pub fn with_cost(mut self, cost: u32) -> Self {
        self.cost = cost.clamp(MIN_COST, MAX_COST);
        self
    }
}

/// Behind a zero byte bcrypt would begin again, so that other passwords had the same hash.
fn is_hashable(password: &str) -> bool {
    !password.contains('\0')
}

impl PasswordHasher for Bcrypt {
    fn hash(&self, password: &str) -> Result<String, StoreError> {
        if !is_hashable(password) {
            let what = "hash a password: it must not hold a zero byte";
            return Err(StoreError::new(StoreErrorKind::Other, what));
        }
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        let parts = bcrypt::hash_with_salt(password, self.cost, salt)
            .map_err(|error| StoreError::new(StoreErrorKind::Other, "hash a password").with_source(error))?;
        Ok(parts.format_for_version(bcrypt::Version::TwoB))
    }

    fn verify(&self, password: &str, hash: &str) -> bool {
        // `$2x$` marks hashes of an implementation with a bug.
        let known = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|prefix| hash.starts_with(prefix));
        let cost = hash
            .parse::<bcrypt::HashParts>()
            .ok()
            .map(|parts| parts.get_cost());
        if !known || !cost.is_some_and(|cost| (MIN_COST..=MAX_COST).contains(&cost)) || !is_hashable(password)
        {
            return false;
        }
        bcrypt::verify(password, hash).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use quay_core::testing::SeededRandom;

    use super::*;

    fn hasher() -> Bcrypt {
        Bcrypt::new(Arc::new(SeededRandom::default())).with_cost(0)
    }

    /// Made with Python's bcrypt.
    #[test]
    fn known_hashes() {
        let long = "x".repeat(72);
        for (password, hash) in [
            (
                "correct horse",
                "$2a$04$VHYtlW4SvlEUUZIKucVxY.eJtGF5nhKCC9oaALfO8ZFZXnYwn6/Gy",
            ),
            (
                "pässwörd",
                "$2a$04$.Wzm42OkB61RM5o9e6NHdeuiW6.va4UA1bSnDub.XL9cel6eEWeKC",
            ),
            (
                long.as_str(),
                "$2a$04$xFsoqk9BDCcGjYxsEkxLU.AGy7NhJE/7z3Sw0bydH37w5lfSvRAy6",
            ),
            (
                "correct horse",
                "$2b$04$bEluwFiofClQbgM2rm1OGe6Q3GveFvKgPNW.Y8qE6p9OVwcPq8dFu",
            ),
            (
                "pässwörd",
                "$2b$04$s7VNKLbxu/qzn4YfmBLLGebiJQA/rNf9U9w/HAvPjEcZISkOFUGhq",
            ),
            (
                long.as_str(),
                "$2b$04$8tufwS2BeZFBnF4XoxIhsect.UQJUnh7XfUoYZWpKsp7IQH1w9QG.",
            ),
        ] {
            assert!(hasher().verify(password, hash));
            assert!(hasher().verify(password, &hash.replacen("$2b$", "$2y$", 1)));
            assert!(!hasher().verify("correct horse ", hash));
            assert!(!hasher().verify("", hash));
        }
    }

    #[test]
    fn only_the_first_72_bytes_count() {
        let hash = hasher().hash(&"ä".repeat(36)).unwrap();
        assert!(hasher().verify(&"ä".repeat(90), &hash));
        assert!(!hasher().verify(&"ä".repeat(35), &hash));
        let hash = hasher().hash(&"y".repeat(300)).unwrap();
        assert!(hasher().verify(&"y".repeat(72), &hash));
    }

    #[test]
    fn hashes_are_salted_and_cost_what_they_should() {
        let hasher = hasher();
        let (one, two) = (hasher.hash("secret").unwrap(), hasher.hash("secret").unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("$2b$04$") && hasher.verify("secret", &one));
        let dear = hasher.with_cost(5).hash("secret").unwrap();
        assert!(dear.starts_with("$2b$05$"));
        assert_eq!(Bcrypt::new(Arc::new(SeededRandom::default())).cost, 12);
    }

    #[test]
    fn what_is_no_hash_proves_nothing() {
        let hash = hasher().hash("secret").unwrap();
        assert!(hasher().hash("sec\0ret").is_err());
        assert!(!hasher().verify("secret\0secret", &hash));
        for hash in [
            "",
            "secret",
            "$2b$04$",
            &hash.replacen("$2b$", "$2x$", 1),
            &hash.replacen("$04$", "$31$", 1),
            &hash[..59],
            &format!("{hash}x"),
            &"ä".repeat(30),
        ] {
            assert!(!hasher().verify("secret", hash), "{hash}");
        }
    }
}
