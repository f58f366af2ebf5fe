//! Key pairs: those of this instance, and those of services.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use quay_core::accounts::{KeyServerToken, NewKeyPair, ServiceKeyCrypto};
use quay_core::runtime::Timestamp;
use quay_core::{StoreError, StoreErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::jwt::{Audience, PublicKey, Token, Validity, kid_of};

fn failed(what: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Other, what)
}

/// A private key with which this instance signs. Cheap to clone; prints its id only.
///
/// The host keeps it: it writes [`to_pem`](Self::to_pem) to a file that nobody else may read, and reads it
/// with [`from_pem`](Self::from_pem). Other instances know the public half by its
/// [`ServiceKey`](quay_core::accounts::ServiceKey).
#[derive(Clone)]
pub struct InstanceKey(Arc<Inner>);

struct Inner {
    pair: KeyPair,
    kid: String,
    jwk: Value,
    /// The header of every token that it signs, encoded.
    header: String,
}

impl fmt::Debug for InstanceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("InstanceKey")
            .field("kid", &self.0.kid)
            .finish_non_exhaustive()
    }
}

impl InstanceKey {
    /// Makes an RSA key of 2048 bits. Takes up to a second of a processor. The randomness is the
    /// cryptographic library's own, which the operating system seeds.
    ///
    /// # Errors
    /// When randomness or memory is missing.
    pub fn generate() -> Result<Self, StoreError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| failed("make a key pair"))?;
        Ok(Self::of(pair))
    }

    /// Reads a private RSA key of at least 2048 bits: PEM, of PKCS#8 or of PKCS#1 as OpenSSL writes it.
    ///
    /// # Errors
    /// [`Corrupt`](StoreErrorKind::Corrupt) when it is none.
    pub fn from_pem(pem: &str) -> Result<Self, StoreError> {
        let corrupt = |what| StoreError::new(StoreErrorKind::Corrupt, format!("read a private key: {what}"));
        let (label, der) = read_pem(pem).ok_or_else(|| corrupt("it is not PEM"))?;
        let pair = match label {
            "PRIVATE KEY" => KeyPair::from_pkcs8(&der),
            "RSA PRIVATE KEY" => KeyPair::from_der(&der),
            _ => return Err(corrupt("it is neither PKCS#8 nor PKCS#1, or it is encrypted")),
        };
        let pair = pair.map_err(|_| corrupt("it is not an RSA key of at least 2048 bits"))?;
        Ok(Self::of(pair))
    }

    fn of(pair: KeyPair) -> Self {
        let public = pair.public_key();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({
            "kty": "RSA",
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
        });
        let kid = kid_of(&jwk);
        let header = json!({ "alg": "RS256", "kid": kid, "typ": "JWT" });
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        Self(Arc::new(Inner {
            pair,
            kid,
            jwk,
            header,
        }))
    }

    /// The key as PEM of PKCS#8. Whoever has it is this registry.
    ///
    /// # Errors
    /// When memory is missing.
    pub fn to_pem(&self) -> Result<String, StoreError> {
        let der: Pkcs8V1Der<'_> = self.0.pair.as_der().map_err(|_| failed("write a private key"))?;
        Ok(write_pem("PRIVATE KEY", der.as_ref()))
    }

    /// The public half as PEM.
    ///
    /// # Errors
    /// When memory is missing.
    pub fn public_pem(&self) -> Result<String, StoreError> {
        let public: PublicKeyX509Der<'_> = self
            .0
            .pair
            .public_key()
            .as_der()
            .map_err(|_| failed("write a public key"))?;
        Ok(write_pem("PUBLIC KEY", public.as_ref()))
    }

    /// Its id: the hexadecimal SHA-256 of the JWK.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.0.kid
    }

    /// The public half as a JWK.
    #[must_use]
    pub fn jwk(&self) -> &Value {
        &self.0.jwk
    }

    /// A token that says `claims`, signed (RS256). Takes about a millisecond.
    ///
    /// # Errors
    /// When the claims are no JSON, or memory is missing.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, StoreError> {
        let claims =
            serde_json::to_vec(claims).map_err(|error| failed("write a token").with_source(error))?;
        let mut token = format!("{}.{}", self.0.header, URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; self.0.pair.public_modulus_len()];
        self.0
            .pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                token.as_bytes(),
                &mut signature,
            )
            .map_err(|_| failed("sign a token"))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

/// The label and content of the first block of a PEM text (RFC 7468).
fn read_pem(pem: &str) -> Option<(&str, Vec<u8>)> {
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body
        .chars()
        .filter(|character| !character.is_ascii_whitespace())
        .collect();
    Some((label, STANDARD.decode(body).ok()?))
}

fn write_pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at_checked(64).unwrap_or((rest, ""));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END ");
    pem.push_str(label);
    pem.push_str("-----\n");
    pem
}

/// Makes and uses the RSA keys of services.
#[derive(Debug, Clone, Copy, Default)]
pub struct RsaKeys;

#[derive(Deserialize)]
struct ServiceClaims {
    iss: String,
    aud: Audience,
    exp: i64,
    nbf: i64,
    iat: i64,
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

impl ServiceKeyCrypto for RsaKeys {
    fn generate(&self) -> Result<NewKeyPair, StoreError> {
        let key = InstanceKey::generate()?;
        Ok(NewKeyPair::new(
            key.kid().to_owned(),
            key.jwk().clone(),
            key.public_pem()?,
            key.to_pem()?,
        ))
    }

    fn kid(&self, jwk: &Value) -> Option<String> {
        PublicKey::from_jwk(jwk).map(|_| kid_of(jwk))
    }

    /// A token that names no key has an empty `kid`.
    fn peek(&self, token: &str) -> Option<KeyServerToken> {
        let token = Token::parse(token)?;
        let claims: Issuer = token.claims()?;
        Some(KeyServerToken::new(token.kid.unwrap_or_default(), claims.iss))
    }

    fn verify(&self, token: &str, jwk: &Value, issuer: &str, audience: &str, now: Timestamp) -> bool {
        let proven = || {
            let token = Token::parse(token)?;
            if !token.is_signed_by(&PublicKey::from_jwk(jwk)?) {
                return None;
            }
            token.claims::<ServiceClaims>()
        };
        proven().is_some_and(|claims| {
            let (exp, nbf, iat) = (claims.exp, claims.nbf, claims.iat);
            let validity = Validity { exp, nbf, iat };
            claims.iss == issuer && claims.aud.includes(audience) && validity.holds(now)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PEM: &str = include_str!("../tests/data/instance.pem");
    const AUDIENCE: &str = "https://registry.example";

    fn known() -> Value {
        serde_json::from_str(include_str!("../tests/data/instance.json")).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(1_600_000_000_000)
    }

    fn verify(token: &str) -> bool {
        RsaKeys.verify(token, &known()["jwk"], "clair", AUDIENCE, now())
    }

    #[test]
    fn a_key_that_openssl_wrote() {
        let key = InstanceKey::from_pem(PEM).unwrap();
        assert_eq!(key.kid(), known()["kid"]);
        assert_eq!(*key.jwk(), known()["jwk"]);
        assert_eq!(RsaKeys.kid(key.jwk()).as_deref(), Some(key.kid()));
        let again = InstanceKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(again.kid(), key.kid());
        assert!(!format!("{key:?}").contains("BEGIN"));
    }

    #[test]
    fn generated_pairs_fit() {
        let pair = RsaKeys.generate().unwrap();
        assert_eq!(RsaKeys.kid(&pair.jwk), Some(pair.kid.clone()));
        let key = InstanceKey::from_pem(&pair.private_pem).unwrap();
        assert_eq!(key.kid(), pair.kid);
        assert_eq!(key.public_pem().unwrap(), pair.public_pem);
        assert!(pair.public_pem.starts_with("-----BEGIN PUBLIC KEY-----\nMII"));
        assert!(pair.private_pem.ends_with("\n-----END PRIVATE KEY-----\n"));
        assert!(pair.private_pem.lines().all(|line| line.len() <= 64));
        assert_ne!(RsaKeys.generate().unwrap().kid, pair.kid);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for pem in [
            "",
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            &PEM.replacen("MII", "MIJ", 1),
        ] {
            let error = InstanceKey::from_pem(pem).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{pem}");
        }
    }

    /// A token that another implementation signed.
    #[test]
    fn a_known_token_counts_for_whom_it_was_made() {
        let known = known();
        let (token, jwk) = (known["token"].as_str().unwrap(), &known["jwk"]);
        let kid = known["kid"].as_str().unwrap().to_owned();
        assert_eq!(
            RsaKeys.peek(token),
            Some(KeyServerToken::new(kid, "clair".into()))
        );
        assert!(verify(token));
        assert!(!RsaKeys.verify(token, jwk, "quay", AUDIENCE, now()));
        assert!(!RsaKeys.verify(token, jwk, "clair", "https://other.example", now()));
        for (after_s, holds) in [(329, true), (330, false)] {
            let then = now().plus(Duration::from_secs(after_s));
            assert_eq!(RsaKeys.verify(token, jwk, "clair", AUDIENCE, then), holds);
        }
        let before = now().minus(Duration::from_secs(31));
        assert!(!RsaKeys.verify(token, jwk, "clair", AUDIENCE, before));
        let other = InstanceKey::generate().unwrap();
        assert!(!RsaKeys.verify(token, other.jwk(), "clair", AUDIENCE, now()));
        assert!(!RsaKeys.verify(token, &json!({}), "clair", AUDIENCE, now()));
    }

    #[test]
    fn every_claim_must_be_there_and_fit() {
        let key = InstanceKey::from_pem(PEM).unwrap();
        let claims = json!({
            "iss": "clair", "aud": ["x", AUDIENCE],
            "exp": 1_600_000_300_i64, "nbf": 1_600_000_000_i64, "iat": 1_600_000_000_i64,
        });
        assert!(verify(&key.sign(&claims).unwrap()));
        for name in ["iss", "aud", "exp", "nbf", "iat"] {
            for value in [
                None,
                Some(json!(null)),
                Some(json!({})),
                Some(json!(-1.5)),
                Some(json!("x")),
            ] {
                let mut wrong = claims.clone();
                wrong.as_object_mut().unwrap().remove(name);
                if let Some(value) = value {
                    wrong[name] = value;
                }
                assert!(!verify(&key.sign(&wrong).unwrap()), "{name}");
            }
        }
    }

    #[test]
    fn forged_tokens() {
        let known = known();
        let good = known["token"].as_str().unwrap();
        let parts: Vec<&str> = good.split('.').collect();
        let [header, payload, signature] = parts.try_into().unwrap();
        let encode = |header: &str| URL_SAFE_NO_PAD.encode(header);
        for forged in [
            String::new(),
            "..".to_owned(),
            format!("{header}.{payload}"),
            format!("{header}.{payload}."),
            format!("{good}."),
            format!("{good}.x"),
            format!("{good} "),
            format!("{good}="),
            format!("x.{good}"),
            format!("{}.{payload}.", encode(r#"{"alg":"none"}"#)),
            format!("{}.{payload}.{signature}", encode(r#"{"alg":"none"}"#)),
            format!("{}.{payload}.{signature}", encode(r#"{"alg":"HS256"}"#)),
            format!("{}.{payload}.{signature}", encode(r#"{"alg":"rs256"}"#)),
            format!(
                "{}.{payload}.{signature}",
                encode(r#"{"alg":"RS256","alg":"none"}"#)
            ),
            format!(
                "{}.{payload}.{signature}",
                encode(&format!("{:4000}", r#"{"alg":"RS256"}"#))
            ),
            format!("{header}.{}.{signature}", encode(r#"{"iss":"clair"}"#)),
        ] {
            assert!(!verify(&forged), "{forged}");
        }
        let (last, rest) = (good.len() - 1, &good[..good.len() - 1]);
        for other in ["A", "B", "Q", "g", "w"] {
            assert!(good[last..] == *other || !verify(&format!("{rest}{other}")));
        }
    }
}
