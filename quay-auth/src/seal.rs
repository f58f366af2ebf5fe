//! What clients hold for the registry, and passwords as they may keep them (data-model, section 9).

use std::fmt;
use std::sync::Arc;

use aes::Aes256;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use quay_core::accounts::Seal;
use quay_core::runtime::Random;
use serde::{Deserialize, Serialize};

use crate::secret_key::{InvalidSecretKey, SecretKey};

/// The first byte of what is sealed, so that the format may change.
const VERSION: u8 = 1;
const SALT_LEN: usize = 16;
const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;

/// Passwords are padded to whole blocks of this many bytes, two of the cipher's.
const PASSWORD_BLOCK: usize = 32;
const IV_LEN: usize = 16;

/// Seals with `SECRET_KEY`. Prints nothing.
///
/// Sealed values are encrypted and authenticated with AES-256-GCM. Each has a key and a nonce of its own,
/// derived (HKDF-SHA256) from the secret, the purpose and 16 random bytes, so that no count of sealed values
/// wears a key out. Encrypted passwords are in Quay's format.
pub struct ClientSeal {
    root: Prk,
    passwords: SecretKey,
    random: Arc<dyn Random>,
}

impl fmt::Debug for ClientSeal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientSeal(..)")
    }
}

/// How much key material HKDF is to give.
struct Material;

impl KeyType for Material {
    fn len(&self) -> usize {
        KEY_LEN + NONCE_LEN
    }
}

#[derive(Serialize, Deserialize)]
struct Password {
    password: String,
}

impl ClientSeal {
    /// With `SECRET_KEY`, as it is configured.
    ///
    /// # Errors
    /// [`InvalidSecretKey`] when it cannot be used.
    pub fn new(secret_key: &str, random: Arc<dyn Random>) -> Result<Self, InvalidSecretKey> {
        let passwords = SecretKey::parse(secret_key)?;
        // All of the secret counts here, not only its first 32 bytes.
        let root = Salt::new(HKDF_SHA256, b"quay client seal").extract(secret_key.as_bytes());
        Ok(Self {
            root,
            passwords,
            random,
        })
    }

    fn cipher(&self, purpose: &str, salt: &[u8; SALT_LEN]) -> Option<(LessSafeKey, Nonce)> {
        // The salt has a fixed length, so that no two pairs of salt and purpose look alike.
        let info: [&[u8]; 3] = [&[VERSION], salt, purpose.as_bytes()];
        let mut material = [0; KEY_LEN + NONCE_LEN];
        self.root.expand(&info, Material).ok()?.fill(&mut material).ok()?;
        let (key, nonce) = material.split_at_checked(KEY_LEN)?;
        let key = UnboundKey::new(&AES_256_GCM, key).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        Some((LessSafeKey::new(key), nonce))
    }

    fn try_seal(&self, purpose: &str, content: &[u8]) -> Option<String> {
        let mut salt = [0; SALT_LEN];
        self.random.fill(&mut salt);
        let (key, nonce) = self.cipher(purpose, &salt)?;
        let mut sealed = content.to_vec();
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed)
            .ok()?;
        Some(URL_SAFE_NO_PAD.encode([&[VERSION][..], &salt, &sealed].concat()))
    }
}

impl Seal for ClientSeal {
    /// Takes a few microseconds. Beyond 64 GiB, which AES-GCM does not take, the text is empty and opens
    /// nothing.
    fn seal(&self, purpose: &str, content: &[u8]) -> String {
        self.try_seal(purpose, content).unwrap_or_default()
    }

    fn open(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (&version, rest) = bytes.split_first()?;
        if version != VERSION {
            return None;
        }
        let (salt, sealed) = rest.split_first_chunk::<SALT_LEN>()?;
        let (key, nonce) = self.cipher(purpose, salt)?;
        let mut sealed = sealed.to_vec();
        let plain = key.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
        Some(plain.to_vec())
    }

    fn encrypt_password(&self, password: &str) -> String {
        let password = Password {
            password: password.to_owned(),
        };
        let mut plain = serde_json::to_vec(&password).unwrap_or_default();
        let padding = PASSWORD_BLOCK - plain.len() % PASSWORD_BLOCK;
        // At most 32, see above.
        plain.resize(plain.len() + padding, u8::try_from(padding).unwrap_or_default());
        let mut iv = [0; IV_LEN];
        self.random.fill(&mut iv);
        let sealed = cbc::Encryptor::<Aes256>::new(self.passwords.as_bytes().into(), &iv.into())
            .encrypt_padded_vec::<NoPadding>(&plain);
        STANDARD.encode([&iv[..], &sealed].concat())
    }

    fn decrypt_password(&self, text: &str) -> Option<String> {
        let bytes = STANDARD.decode(text).ok()?;
        let (iv, sealed) = bytes.split_first_chunk::<IV_LEN>()?;
        let plain = cbc::Decryptor::<Aes256>::new(self.passwords.as_bytes().into(), iv.into())
            .decrypt_padded_vec::<NoPadding>(sealed)
            .ok()?;
        let padding = usize::from(*plain.last()?);
        if !(1..=PASSWORD_BLOCK).contains(&padding) {
            return None;
        }
        let (plain, padding) = plain.split_at_checked(plain.len().checked_sub(padding)?)?;
        if padding.iter().any(|&byte| usize::from(byte) != padding.len()) {
            return None;
        }
        let password: Password = serde_json::from_slice(plain).ok()?;
        Some(password.password)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quay_core::testing::SeededRandom;

    use super::*;

    fn client_seal(key: &str) -> ClientSeal {
        ClientSeal::new(key, Arc::new(SeededRandom::default())).unwrap()
    }

    /// Made with another implementation of AES-CBC.
    #[test]
    fn known_passwords() {
        for (key, password, text) in [
            (
                "a secret key",
                "correct horse",
                "AAECAwQFBgcICQoLDA0OD/ZRanP8mrXHbSFcuDQj97pOQQHvA5PCvnHr2RZroFxP",
            ),
            (
                "8f3a1c5e-7b2d-4e6f-9a0b-1c2d3e4f5a6b",
                "pässwörd ✓",
                "AAECAwQFBgcICQoLDA0OD4lEOAXRrZeTHQfuJ2nrMLE0KAkjsoBNSISBIpZbJ2PdK5N465H2UCVuBeFUwtai6latcVfkSoK0GJ8oOOfzR6A=",
            ),
        ] {
            assert_eq!(client_seal(key).decrypt_password(text).as_deref(), Some(password));
            assert_eq!(client_seal("another key").decrypt_password(text), None);
        }
    }

    #[test]
    fn plain_passwords_are_not_taken_for_encrypted_ones() {
        let seal = client_seal("key");
        for text in ["", "password", "AAAA", &"A".repeat(64), &"QUJD".repeat(40)] {
            assert_eq!(seal.decrypt_password(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_sealed_opens_for_its_purpose_only() {
        let seal = client_seal("key");
        let sealed = seal.seal("session", b"content");
        assert_eq!(seal.open("session", &sealed).unwrap(), b"content");
        assert_eq!(seal.open("page", &sealed), None);
        assert_eq!(client_seal("another key").open("session", &sealed), None);
        let other = client_seal("0123456789012345678901234567890123 more");
        let longer = client_seal("0123456789012345678901234567890123 less");
        assert_eq!(longer.open("session", &other.seal("session", b"content")), None);
        for text in ["", "AQ", "AQAAAAAAAAAAAAAAAAAAAAAA", "!"] {
            assert_eq!(seal.open("session", text), None);
        }
    }

    proptest! {
        #[test]
        fn seals_open(content: Vec<u8>, purpose in "[a-z]{1,9}") {
            let seal = client_seal("key");
            let sealed = seal.seal(&purpose, &content);
            prop_assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            prop_assert_eq!(seal.open(&purpose, &sealed), Some(content));
        }

        #[test]
        fn whatever_is_changed_does_not_open(at: proptest::sample::Index, with in 0_u8..=127) {
            let seal = client_seal("key");
            let mut bytes = seal.seal("session", b"somebody").into_bytes();
            let place = at.index(bytes.len());
            prop_assume!(bytes[place] != with);
            bytes[place] = with;
            prop_assert_eq!(seal.open("session", &String::from_utf8(bytes).unwrap()), None);
        }

        #[test]
        fn encrypted_passwords_decrypt(password in "\\PC{0,100}") {
            let seal = client_seal("key");
            let text = seal.encrypt_password(&password);
            prop_assert_ne!(&text, &seal.encrypt_password(&password));
            prop_assert_eq!(seal.decrypt_password(&text), Some(password));
        }

        #[test]
        fn no_text_upsets_it(text in "[A-Za-z0-9+/]{0,200}={0,2}") {
            let seal = client_seal("key");
            prop_assert_eq!(seal.decrypt_password(&text), None);
            prop_assert_eq!(seal.open("session", &text), None);
        }
    }
}
