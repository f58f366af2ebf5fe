//! The key that manifests of schema 1 are signed with (JWS as Docker's libtrust wrote it).

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quay_core::manifest::ManifestSigner;
use quay_core::{StoreError, StoreErrorKind};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Bytes of a key's hash that its id shows.
const FINGERPRINT: usize = 30;

/// Signs manifests of schema 1 with ES256.
///
/// Clients that insist on a signature take any key: it travels with the manifest, and a manifest's digest is taken of
/// what is signed. So nothing rests on this key, and a process may make one at its start.
pub struct ManifestKey {
    pair: EcdsaKeyPair,
    jwk: Value,
}

impl fmt::Debug for ManifestKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ManifestKey")
            .field("kid", &self.jwk["kid"])
            .finish_non_exhaustive()
    }
}

fn failed(what: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Other, what)
}

impl ManifestKey {
    /// Makes a key on the curve P-256. The randomness is the cryptographic library's own.
    ///
    /// # Errors
    /// When randomness or memory is missing.
    pub fn generate() -> Result<Self, StoreError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| failed("make a key pair"))?;
        let public = pair.public_key();
        let der: PublicKeyX509Der<'_> = public.as_der().map_err(|_| failed("write a public key"))?;
        // The point without compression (SEC 1, section 2.3.3).
        let (x, y) = match public.as_ref() {
            [4, point @ ..] if point.len() == 64 => point.split_at(32),
            _ => return Err(failed("read a public key")),
        };
        let jwk = json!({
            "crv": "P-256",
            "kid": fingerprint(der.as_ref()),
            "kty": "EC",
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        });
        Ok(Self { pair, jwk })
    }
}

impl ManifestSigner for ManifestKey {
    fn algorithm(&self) -> &'static str {
        "ES256"
    }

    fn public_key(&self) -> Value {
        self.jwk.clone()
    }

    fn sign(&self, content: &[u8]) -> Result<Vec<u8>, StoreError> {
        let signature = self.pair.sign(&SystemRandom::new(), content);
        Ok(signature
            .map_err(|_| failed("sign a manifest"))?
            .as_ref()
            .to_vec())
    }
}

/// A key's id: the beginning of its hash in groups of four letters.
fn fingerprint(der: &[u8]) -> String {
    let hash = Sha256::digest(der);
    let letters = base32(hash.get(..FINGERPRINT).unwrap_or_default());
    let groups = letters.as_bytes().chunks(4).map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(":")
}

/// RFC 4648, section 6, of whole groups of five bytes.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: [char; 32] = [
        'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S', 'T',
        'U', 'V', 'W', 'X', 'Y', 'Z', '2', '3', '4', '5', '6', '7',
    ];
    let mut letters = String::new();
    for group in bytes.chunks(5) {
        let number = group
            .iter()
            .fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        for place in (0..8).rev() {
            let index = usize::try_from(number >> (place * 5) & 31).unwrap_or_default();
            letters.extend(ALPHABET.get(index));
        }
    }
    letters
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn what_is_signed_verifies_with_the_key_that_travels_along() {
        let key = ManifestKey::generate().unwrap();
        let signature = key.sign(b"content").unwrap();
        assert_eq!(signature.len(), 64);
        let jwk = key.public_key();
        let number = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let point = [&[4][..], &number("x"), &number("y")].concat();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        assert!(public.verify(b"content", &signature).is_ok());
        assert!(public.verify(b"other", &signature).is_err());
        let kid = jwk["kid"].as_str().unwrap();
        assert_eq!(kid.len(), 59);
        assert!(kid.split(':').all(|group| group.len() == 4));
        assert!(!format!("{key:?}").contains("pair"));
    }

    #[test]
    fn letters() {
        assert_eq!(base32(b"fooba"), "MZXW6YTB");
        assert_eq!(base32(&[0xff; 5]), "77777777");
    }
}
