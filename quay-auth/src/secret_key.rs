//! What `SECRET_KEY` and `DATABASE_SECRET_KEY` mean as bytes (data-model, section 9).

use std::fmt;

/// Python refuses to read longer integers, so Quay takes such a key for text.
const MAX_DECIMAL_DIGITS: usize = 4300;

/// A configured secret that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSecretKey {
    /// There is nothing in it.
    #[error("the secret key is empty")]
    Empty,
    /// It holds characters that do not fit in a byte.
    #[error("the secret key is neither an integer nor a uuid and holds characters beyond U+00FF")]
    WideCharacter,
}

/// A key of 256 bits, made of a configured text as Quay does. Prints nothing.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(..)")
    }
}

impl SecretKey {
    /// Reads a configured key: a decimal integer with an even count of hexadecimal digits, else a uuid,
    /// else one byte per character; repeated and cut to 32 bytes.
    ///
    /// # Errors
    /// [`InvalidSecretKey`] for an empty text, and for one that holds characters beyond U+00FF.
    pub fn parse(text: &str) -> Result<Self, InvalidSecretKey> {
        let bytes = match integer(text).or_else(|| uuid(text)) {
            Some(bytes) => bytes,
            None => text
                .chars()
                .map(|character| u8::try_from(u32::from(character)))
                .collect::<Result<_, _>>()
                .map_err(|_| InvalidSecretKey::WideCharacter)?,
        };
        if bytes.is_empty() {
            return Err(InvalidSecretKey::Empty);
        }
        let mut key = [0; 32];
        for (target, byte) in key.iter_mut().zip(bytes.iter().cycle()) {
            *target = *byte;
        }
        Ok(Self(key))
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The big-endian bytes of a decimal integer. `None` for what Python's `int` refuses, for negative ones
/// and for those with an odd count of hexadecimal digits, except a single one.
fn integer(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    // Single underscores may stand between digits.
    if text.split('_').any(str::is_empty) {
        return None;
    }
    let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'_').collect();
    if digits.len() > MAX_DECIMAL_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Little-endian while it grows.
    let mut bytes: Vec<u8> = Vec::new();
    for digit in digits {
        let mut carry = u16::from(digit - b'0');
        for byte in &mut bytes {
            carry += u16::from(*byte) * 10;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        if carry > 0 {
            bytes.push((carry & 0xff) as u8);
        }
    }
    if bytes.is_empty() {
        bytes.push(0);
    }
    bytes.reverse();
    let odd = bytes.len() > 1 && bytes.first().is_some_and(|&first| first < 0x10);
    (!odd).then_some(bytes)
}

/// The bytes of a uuid in any form that Python's `uuid.UUID` takes.
fn uuid(text: &str) -> Option<Vec<u8>> {
    let text = text.replace("urn:", "").replace("uuid:", "");
    let digits = text.trim_matches(['{', '}']).replace('-', "");
    if digits.len() != 32 {
        return None;
    }
    hex::decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> String {
        hex::encode(SecretKey::parse(text).unwrap().as_bytes())
    }

    /// Expected values: Quay's function, run in Python.
    #[test]
    fn known_answers() {
        for (text, expected) in [
            (
                "5",
                "0505050505050505050505050505050505050505050505050505050505050505",
            ),
            (
                "0",
                "0000000000000000000000000000000000000000000000000000000000000000",
            ),
            (
                "007",
                "0707070707070707070707070707070707070707070707070707070707070707",
            ),
            (
                "255",
                "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            ),
            (
                "4095",
                "3430393534303935343039353430393534303935343039353430393534303935",
            ),
            (
                "-17",
                "2d31372d31372d31372d31372d31372d31372d31372d31372d31372d31372d31",
            ),
            (
                " 258 ",
                "2032353820203235382020323538202032353820203235382020323538202032",
            ),
            (
                "1_000",
                "315f303030315f303030315f303030315f303030315f303030315f303030315f",
            ),
            (
                "1__000",
                "315f5f303030315f5f303030315f5f303030315f5f303030315f5f303030315f",
            ),
            (
                "123456789012345678901234567890",
                "3132333435363738393031323334353637383930313233343536373839303132",
            ),
            (
                "340282366920938463463374607431768211455",
                "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            ),
            (
                "12345678901234567890123456789012",
                "9bd30a3c645943dd1690a03a149bd30a3c645943dd1690a03a149bd30a3c6459",
            ),
            (
                "8f3a1c5e-7b2d-4e6f-9a0b-1c2d3e4f5a6b",
                "8f3a1c5e7b2d4e6f9a0b1c2d3e4f5a6b8f3a1c5e7b2d4e6f9a0b1c2d3e4f5a6b",
            ),
            (
                "8F3A1C5E7B2D4E6F9A0B1C2D3E4F5A6B",
                "8f3a1c5e7b2d4e6f9a0b1c2d3e4f5a6b8f3a1c5e7b2d4e6f9a0b1c2d3e4f5a6b",
            ),
            (
                "{8f3a1c5e-7b2d-4e6f-9a0b-1c2d3e4f5a6b}",
                "8f3a1c5e7b2d4e6f9a0b1c2d3e4f5a6b8f3a1c5e7b2d4e6f9a0b1c2d3e4f5a6b",
            ),
            (
                "urn:uuid:8f3a1c5e-7b2d-4e6f-9a0b-1c2d3e4f5a6b",
                "8f3a1c5e7b2d4e6f9a0b1c2d3e4f5a6b8f3a1c5e7b2d4e6f9a0b1c2d3e4f5a6b",
            ),
            (
                "a secret",
                "6120736563726574612073656372657461207365637265746120736563726574",
            ),
            (
                "clé",
                "636ce9636ce9636ce9636ce9636ce9636ce9636ce9636ce9636ce9636ce9636c",
            ),
            (
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
                "6162636465666768696a6b6c6d6e6f707172737475767778797a414243444546",
            ),
            (
                "777777777777777777777777777777777777777777777777777777777777777777777777777777777777777777777777777",
                "3737373737373737373737373737373737373737373737373737373737373737",
            ),
            (
                "1234567",
                "12d68712d68712d68712d68712d68712d68712d68712d68712d68712d68712d6",
            ),
        ] {
            assert_eq!(key(text), expected, "{text}");
        }
    }

    #[test]
    fn not_every_text_is_a_key() {
        assert_eq!(SecretKey::parse("").unwrap_err(), InvalidSecretKey::Empty);
        assert_eq!(
            SecretKey::parse("schlüssel€").unwrap_err(),
            InvalidSecretKey::WideCharacter
        );
        assert_eq!(
            format!("{:?}", SecretKey::parse("secret").unwrap()),
            "SecretKey(..)"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_key_or_refused(text in "\\PC{0,80}") {
            let refused = SecretKey::parse(&text).is_err();
            prop_assert_eq!(refused, text.is_empty() || text.chars().any(|c| u32::from(c) > 255));
        }

        #[test]
        fn integers_are_their_bytes(value: u64) {
            let digits = format!("{value:02x}");
            let expected = if digits.len() % 2 == 0 {
                hex::decode(digits).unwrap()
            } else {
                value.to_string().into_bytes()
            };
            let cycled: Vec<u8> = expected.iter().copied().cycle().take(32).collect();
            prop_assert_eq!(key(&value.to_string()), hex::encode(cycled));
        }
    }
}
