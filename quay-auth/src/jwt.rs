//! JSON web tokens as this registry takes them: RS256; of identity providers ES256 as well; nothing else.

use std::fmt::Write as _;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quay_core::runtime::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// As much as servers take in one header line.
const MAX_TOKEN: usize = 32 * 1024;
/// What a header of algorithm, type and key needs is a tenth of that.
const MAX_HEADER: usize = 2 * 1024;

/// How far two clocks may be apart, in seconds.
pub(crate) const LEEWAY_S: i64 = 30;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
}

/// A token taken apart. Nothing in it is proven.
pub(crate) struct Token<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes a token apart. `None` when it is none, or of another kind than RS256.
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        Self::parse_foreign(token).filter(|token| token.algorithm == Algorithm::Rs256)
    }

    /// Takes a token apart that somebody else may have signed. `None` when it is none, or of another kind
    /// than RS256 and ES256.
    pub(crate) fn parse_foreign(token: &'a str) -> Option<Self> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if header.len() > MAX_HEADER {
            return None;
        }
        // The alphabet has no dot: what has more than three parts fails here.
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::Rs256,
            "ES256" => Algorithm::Es256,
            _ => return None,
        };
        if header.crit.is_some() {
            return None;
        }
        Some(Self {
            algorithm,
            kid: header.kid,
            signed,
            payload: URL_SAFE_NO_PAD.decode(payload).ok()?,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// What the token says. Proves nothing.
    pub(crate) fn claims<C: DeserializeOwned>(&self) -> Option<C> {
        serde_json::from_slice(&self.payload).ok()
    }

    /// Whether the private half of this key signed it, with RS256.
    pub(crate) fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.algorithm == Algorithm::Rs256 && self.verifies(&key.0)
    }

    /// Whether the private half of this key signed it, with ES256.
    pub(crate) fn is_signed_by_curve(&self, key: &CurveKey) -> bool {
        self.algorithm == Algorithm::Es256 && self.verifies(&key.0)
    }

    fn verifies(&self, key: &ParsedPublicKey) -> bool {
        key.verify_sig(self.signed.as_bytes(), &self.signature).is_ok()
    }
}

/// From when to when a token counts, in seconds since the epoch. None of them may be missing.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Validity {
    pub(crate) exp: i64,
    pub(crate) nbf: i64,
    pub(crate) iat: i64,
}

impl Validity {
    /// Whether it counts now, give or take what clocks may differ.
    pub(crate) fn holds(self, now: Timestamp) -> bool {
        let now = now.as_millis().div_euclid(1000);
        let soon = now.saturating_add(LEEWAY_S);
        self.nbf <= soon && self.iat <= soon && now < self.exp.saturating_add(LEEWAY_S)
    }
}

/// `aud`: one, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(crate) fn includes(&self, audience: &str) -> bool {
        match self {
            Self::One(only) => only == audience,
            Self::Many(all) => all.iter().any(|one| one == audience),
        }
    }
}

/// A public RSA key, parsed once.
#[derive(Debug)]
pub(crate) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// Reads a JWK. `None` when it is no public RSA key of at least 2048 bits.
    pub(crate) fn from_jwk(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        // Whoever hands out a private key must not be told that it is a fine public one.
        if text("kty") != Some("RSA") || jwk.get("d").is_some() {
            return None;
        }
        if text("alg").is_some_and(|alg| alg != "RS256") || text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
        let components = RsaPublicKeyComponents {
            n: number("n")?,
            e: number("e")?,
        };
        let leading_zeros = components.n.iter().take_while(|&&byte| byte == 0).count();
        let size = components.n.len() - leading_zeros;
        if !(256..=1024).contains(&size) || components.e.len() > 8 {
            return None;
        }
        let parsed = components
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .ok()?;
        Some(Self(parsed))
    }
}

/// A public key on the curve P-256, parsed once.
#[derive(Debug)]
pub(crate) struct CurveKey(ParsedPublicKey);

impl CurveKey {
    /// Reads a JWK. `None` when it is no public key for ES256.
    pub(crate) fn from_jwk(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("kty") != Some("EC") || text("crv") != Some("P-256") || jwk.get("d").is_some() {
            return None;
        }
        if text("alg").is_some_and(|alg| alg != "ES256") || text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let coordinate = |name: &str| -> Option<[u8; 32]> {
            let bytes = URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok()?;
            bytes.try_into().ok()
        };
        // The point without compression (SEC 1, section 2.3.3).
        let point = [&[4][..], &coordinate("x")?, &coordinate("y")?].concat();
        let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
        Some(Self(parsed))
    }
}

/// The id of a key: the hexadecimal SHA-256 of the JWK, without the id that it may hold, as JSON with
/// sorted keys and no spaces. The same as Python's `json.dumps(sort_keys=True, separators=(",", ":"))`.
pub(crate) fn kid_of(jwk: &Value) -> String {
    let mut text = String::new();
    match jwk {
        Value::Object(members) => {
            canonical_object(members.iter().filter(|(name, _)| *name != "kid"), &mut text);
        }
        other => canonical(other, &mut text),
    }
    hex::encode(Sha256::digest(text.as_bytes()))
}

fn canonical_object<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>, text: &mut String) {
    let mut members: Vec<_> = members.collect();
    members.sort_unstable_by_key(|&(name, _)| name);
    text.push('{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        canonical_string(name, text);
        text.push(':');
        canonical(value, text);
    }
    text.push('}');
}

fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => canonical_object(members.iter(), text),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                canonical(item, text);
            }
            text.push(']');
        }
        Value::String(string) => canonical_string(string, text),
        other => text.push_str(&other.to_string()),
    }
}

/// As Python writes it: everything beyond ASCII is escaped.
fn canonical_string(string: &str, text: &mut String) {
    for character in Value::from(string).to_string().chars() {
        if character.is_ascii() {
            text.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a text does not fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Made in Python.
    #[test]
    fn known_ids() {
        let known: Value = serde_json::from_str(include_str!("../tests/data/instance.json")).unwrap();
        let (jwk, kid) = (&known["jwk"], known["kid"].as_str().unwrap());
        assert_eq!(kid_of(jwk), kid);
        let mut named = jwk.clone();
        named["kid"] = kid.into();
        assert_eq!(kid_of(&named), kid);
        let mut other = jwk.clone();
        other["x"] = json!({ "b": [1, true, null], "a": "ä\n\"\\\u{2028}\u{1F600}" });
        other["alg"] = "RS256".into();
        assert_eq!(
            kid_of(&other),
            "363d1e41ca37f860a26b4a69dedb9df729c8461e15e969e13917c4febf81db2b"
        );
    }

    #[test]
    fn only_public_rsa_keys_of_some_size_are_keys() {
        let known: Value = serde_json::from_str(include_str!("../tests/data/instance.json")).unwrap();
        let good = &known["jwk"];
        assert!(PublicKey::from_jwk(good).is_some());
        let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
        for (member, value) in [
            ("kty", json!("EC")),
            ("kty", json!(null)),
            ("n", json!(short)),
            ("n", json!("")),
            ("n", json!(5)),
            ("e", json!("")),
            ("e", json!("AA")),
            ("d", json!("AQAB")),
            ("alg", json!("HS256")),
            ("use", json!("enc")),
        ] {
            let mut jwk = good.clone();
            jwk[member] = value;
            assert!(PublicKey::from_jwk(&jwk).is_none(), "{member}");
        }
        for value in [json!(null), json!([]), json!("RSA"), json!({})] {
            assert!(PublicKey::from_jwk(&value).is_none());
        }
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let validity = Validity {
            exp: 2000,
            nbf: 1000,
            iat: 1000,
        };
        for (now_s, holds) in [
            (969, false),
            (970, true),
            (1500, true),
            (2029, true),
            (2030, false),
        ] {
            assert_eq!(
                validity.holds(Timestamp::from_millis(now_s * 1000)),
                holds,
                "{now_s}"
            );
        }
        let ever = Validity {
            exp: i64::MAX,
            nbf: i64::MIN,
            iat: i64::MIN,
        };
        assert!(ever.holds(Timestamp::from_millis(0)));
    }
}
