//! Encrypted columns (data-model, section 9).

use std::fmt;
use std::sync::Arc;

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ccm::aead::{Aead, KeyInit};
use ccm::consts::{U13, U16};
use ccm::{Ccm, Nonce};
use quay_core::accounts::SecretBox;
use quay_core::runtime::Random;
use quay_core::{StoreError, StoreErrorKind};

use crate::secret_key::SecretKey;

type Cipher = Ccm<Aes256, U16, U13>;

const PREFIX: &str = "v0$$";
const NONCE_LEN: usize = 13;

/// Encrypts secrets for the database in Quay's format, so that rows of an existing Quay can be read:
/// `v0$$` and the base64 of nonce, ciphertext and tag of AES-256-CCM. Prints nothing.
pub struct DatabaseSecrets {
    cipher: Cipher,
    random: Arc<dyn Random>,
}

impl fmt::Debug for DatabaseSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DatabaseSecrets(..)")
    }
}

impl DatabaseSecrets {
    /// With `DATABASE_SECRET_KEY`.
    #[must_use]
    pub fn new(key: &SecretKey, random: Arc<dyn Random>) -> Self {
        Self {
            cipher: Cipher::new(key.as_bytes().into()),
            random,
        }
    }
}

impl SecretBox for DatabaseSecrets {
    /// Encrypts a text of at most 65535 bytes, which is as much as the format takes. A longer one gives an
    /// empty text, which cannot be opened.
    fn seal(&self, plain: &str) -> String {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce);
        let Ok(sealed) = self.cipher.encrypt(&Nonce::<U13>::from(nonce), plain.as_bytes()) else {
            tracing::error!(bytes = plain.len(), "a secret is too long to be encrypted");
            return String::new();
        };
        format!("{PREFIX}{}", STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    fn open(&self, sealed: &str) -> Result<String, StoreError> {
        let corrupt = |what| {
            StoreError::new(
                StoreErrorKind::Corrupt,
                format!("open an encrypted column: {what}"),
            )
        };
        let encoded = sealed
            .strip_prefix(PREFIX)
            .ok_or_else(|| corrupt("it is not in a known format"))?;
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|error| corrupt("it is not base64").with_source(error))?;
        let (nonce, ciphertext) = bytes
            .split_first_chunk::<NONCE_LEN>()
            .ok_or_else(|| corrupt("it is too short"))?;
        let plain = self
            .cipher
            .decrypt(&Nonce::<U13>::from(*nonce), ciphertext)
            .map_err(|_| corrupt("it was changed, or made with another DATABASE_SECRET_KEY"))?;
        String::from_utf8(plain).map_err(|_| corrupt("it is not text"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quay_core::testing::SeededRandom;

    use super::*;

    fn secrets(key: &str) -> DatabaseSecrets {
        DatabaseSecrets::new(&SecretKey::parse(key).unwrap(), Arc::new(SeededRandom::default()))
    }

    /// Made with another implementation of AES-CCM.
    #[test]
    fn known_answers() {
        for (key, plain, sealed) in [
            (
                "8f3a1c5e-7b2d-4e6f-9a0b-1c2d3e4f5a6b",
                "somesecret",
                "v0$$AAECAwQFBgcICQoLDBWMOeJUqAE/XB9BA5UYwpiOzHEDL8+2+a0Z",
            ),
            (
                "a database key",
                "",
                "v0$$AAECAwQFBgcICQoLDGHRnojY3PoqDbhTLgI0pJw=",
            ),
            (
                "123456789012345678901234567890",
                "pässwörd ✓ longer than one block of the cipher",
                "v0$$AAECAwQFBgcICQoLDJfVA2t+7OrauEHHHsisXAZf2ZYc7rJgn6A4KkfLJJj66puyMGMwwU8uGl6VyjA7KZth6swpK3BQ8ZBeSJ+zZSqvcQ==",
            ),
        ] {
            assert_eq!(secrets(key).open(sealed).unwrap(), plain);
            let other = secrets("another key").open(sealed).unwrap_err();
            assert_eq!(other.kind(), StoreErrorKind::Corrupt);
        }
    }

    #[test]
    fn what_is_too_long_is_not_lost_in_silence() {
        let secrets = secrets("key");
        let longest = "x".repeat(65_535);
        assert_eq!(secrets.open(&secrets.seal(&longest)).unwrap(), longest);
        let sealed = secrets.seal(&"x".repeat(65_536));
        assert_eq!(secrets.open(&sealed).unwrap_err().kind(), StoreErrorKind::Corrupt);
        for text in [
            "",
            "v0$$",
            "v0$$AAAA",
            "v1$$AAECAwQFBgcICQoLDGHRnojY3PoqDbhTLgI0pJw=",
        ] {
            assert_eq!(secrets.open(text).unwrap_err().kind(), StoreErrorKind::Corrupt);
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(plain in "\\PC{0,200}") {
            let secrets = secrets("key");
            let sealed = secrets.seal(&plain);
            prop_assert_ne!(&sealed, &secrets.seal(&plain));
            prop_assert_eq!(secrets.open(&sealed).unwrap(), plain);
        }

        #[test]
        fn whatever_is_changed_does_not_open(plain in "[a-z]{0,40}", at: proptest::sample::Index, with in 0_u8..=127) {
            let secrets = secrets("key");
            let sealed = secrets.seal(&plain);
            let mut bytes = sealed.clone().into_bytes();
            let place = at.index(bytes.len());
            prop_assume!(bytes[place] != with);
            bytes[place] = with;
            prop_assert!(secrets.open(&String::from_utf8(bytes).unwrap()).is_err());
        }
    }
}
