//! Digests and the hashers that make them, with a state that survives the process.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::digest::Digest as _;
use sha2::digest::common::hazmat::{DeserializeStateError, SerializableState};
use sha2::{Sha256, Sha512};

/// A digest algorithm that this registry computes and stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, the canonical one.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The registered name: `sha256`, `sha512`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl FromStr for Algorithm {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(InvalidDigest("the algorithm is neither sha256 nor sha512")),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that is not a digest this registry accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid digest: {0}")]
pub struct InvalidDigest(&'static str);

/// A content digest: `algorithm:lower-case hex` (image-spec, "Digests").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// The value, padded with zeros behind `algorithm.length()`.
    value: [u8; 64],
}

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The algorithm that made it.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The value as lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.value.get(..self.algorithm.length()).unwrap_or_default())
    }

    /// A digest that no other sorts before.
    pub(crate) const fn lowest() -> Self {
        Self {
            algorithm: Algorithm::Sha256,
            value: [0; 64],
        }
    }

    fn from_value(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut value = [0; 64];
        for (target, source) in value.iter_mut().zip(bytes) {
            *target = *source;
        }
        Self { algorithm, value }
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (algorithm, encoded) = text
            .split_once(':')
            .ok_or(InvalidDigest("it has no colon between algorithm and value"))?;
        let algorithm: Algorithm = algorithm.parse()?;
        if encoded.len() != algorithm.length() * 2 {
            return Err(InvalidDigest("the value has the wrong length for its algorithm"));
        }
        if !encoded
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(InvalidDigest("the value is not lower-case hexadecimal"));
        }
        let mut value = [0; 64];
        hex::decode_to_slice(encoded, value.get_mut(..algorithm.length()).unwrap_or_default())
            .map_err(|_| InvalidDigest("the value is not lower-case hexadecimal"))?;
        Ok(Self { algorithm, value })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.algorithm, self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Computes a digest from pieces. Its state can be stored and taken up again by another process.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// The version byte in front of a stored state. The layout behind it is sha2's own.
    const STATE_VERSION: u8 = 1;

    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::from_value(Algorithm::Sha256, &state.finalize()),
            State::Sha512(state) => Digest::from_value(Algorithm::Sha512, &state.finalize()),
        }
    }

    /// The state in a fixed, versioned layout, to be stored with an upload session.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let mut saved = vec![Self::STATE_VERSION];
        match &self.0 {
            State::Sha256(state) => saved.extend_from_slice(&state.serialize()),
            State::Sha512(state) => saved.extend_from_slice(&state.serialize()),
        }
        saved
    }

    /// Takes up a state made by [`Hasher::save`].
    ///
    /// # Errors
    /// [`InvalidDigest`] when the state is of another version, algorithm or length.
    pub fn restore(algorithm: Algorithm, saved: &[u8]) -> Result<Self, InvalidDigest> {
        const BROKEN: InvalidDigest = InvalidDigest("the stored hash state is not one of this version");
        let Some((&Self::STATE_VERSION, state)) = saved.split_first() else {
            return Err(BROKEN);
        };
        let broken = |_: DeserializeStateError| BROKEN;
        Ok(Self(match algorithm {
            Algorithm::Sha256 => {
                State::Sha256(Sha256::deserialize(&state.try_into().map_err(|_| BROKEN)?).map_err(broken)?)
            }
            Algorithm::Sha512 => {
                State::Sha512(Sha512::deserialize(&state.try_into().map_err(|_| BROKEN)?).map_err(broken)?)
            }
        }))
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Hasher").field(&self.algorithm()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(
            Digest::of(Algorithm::Sha256, b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            Digest::of(Algorithm::Sha512, b"abc").to_string(),
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
    }

    #[test]
    fn refuses_malformed_digests() {
        let upper = format!("sha256:{}", "A".repeat(64));
        let long = format!("sha256:{}", "a".repeat(65));
        let unknown = format!("sha384:{}", "a".repeat(96));
        for text in [
            "",
            "sha256",
            "sha256:",
            ":abc",
            "sha256:zz",
            "md5:abc",
            &upper,
            &long,
            &unknown,
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_foreign_state_is_refused() {
        let saved = Hasher::new(Algorithm::Sha256).save();
        assert!(Hasher::restore(Algorithm::Sha512, &saved).is_err());
        assert!(Hasher::restore(Algorithm::Sha256, &[]).is_err());
        assert!(Hasher::restore(Algorithm::Sha256, &[9; 105]).is_err());
    }

    proptest! {
        #[test]
        fn print_parse(bytes in prop::collection::vec(any::<u8>(), 0..64), wide in any::<bool>()) {
            let algorithm = if wide { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let digest = Digest::of(algorithm, &bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        }

        #[test]
        fn resuming_changes_nothing(bytes in prop::collection::vec(any::<u8>(), 0..500), cut in 0usize..500, wide in any::<bool>()) {
            let algorithm = if wide { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let cut = cut.min(bytes.len());
            let mut first = Hasher::new(algorithm);
            first.update(&bytes[..cut]);
            let mut second = Hasher::restore(algorithm, &first.save()).unwrap();
            second.update(&bytes[cut..]);
            prop_assert_eq!(second.finish(), Digest::of(algorithm, &bytes));
        }
    }
}
