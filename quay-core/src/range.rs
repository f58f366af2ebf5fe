//! Byte ranges of a blob (RFC 9110, section 14).

/// A range as asked for, before the blob's size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 9110 knows these three forms")]
pub enum ByteRange {
    /// `first-last`, both inclusive.
    Inclusive(u64, u64),
    /// `first-`: from there to the end.
    From(u64),
    /// `-length`: the last bytes.
    Suffix(u64),
}

/// A range that lies within the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolvedRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Number of bytes, at least one.
    pub length: u64,
}

impl ResolvedRange {
    /// A range of `length` bytes from `start`.
    #[must_use]
    pub const fn new(start: u64, length: u64) -> Self {
        Self { start, length }
    }

    /// Offset of the last byte.
    #[must_use]
    pub const fn last(self) -> u64 {
        self.start.saturating_add(self.length).saturating_sub(1)
    }
}

impl ByteRange {
    /// Reads the value of a `Range` header.
    ///
    /// `None` means that the header is to be ignored: another unit, more than one range, or not
    /// understood (RFC 9110, 14.2 allows all three to be answered with the whole).
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, set) = header.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
            return None;
        }
        let (first, last) = set.trim().split_once('-')?;
        let number = |text: &str| -> Option<u64> {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            // A number that does not fit lies past every blob's end.
            Some(text.parse().unwrap_or(u64::MAX))
        };
        match (first, last) {
            ("", length) => Some(Self::Suffix(number(length)?)),
            (first, "") => Some(Self::From(number(first)?)),
            (first, last) => Some(Self::Inclusive(number(first)?, number(last)?)),
        }
    }

    /// Fits the range to a blob of `size` bytes; `None` when nothing of it can be sent (416).
    #[must_use]
    pub fn resolve(self, size: u64) -> Option<ResolvedRange> {
        let (start, end) = match self {
            Self::Inclusive(first, last) => {
                if last < first {
                    return None;
                }
                (first, last.saturating_add(1).min(size))
            }
            Self::From(first) => (first, size),
            Self::Suffix(length) => (size.saturating_sub(length), size),
        };
        let length = end.checked_sub(start)?;
        (length > 0).then_some(ResolvedRange { start, length })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_of_the_conformance_suite() {
        for (header, size, expected) in [
            ("bytes=500-1499", 3000, Some((500, 1000))),
            ("bytes=500-", 3000, Some((500, 2500))),
            ("bytes=-500", 3000, Some((2500, 500))),
            ("bytes=2000-5000", 3000, Some((2000, 1000))),
            ("bytes=500-0", 3000, None),
            ("bytes=3000-4000", 3000, None),
            ("bytes=-9999", 3000, Some((0, 3000))),
            ("bytes=-0", 3000, None),
            ("bytes=0-0", 1, Some((0, 1))),
            ("bytes=0-", 0, None),
        ] {
            let range = ByteRange::parse(header).unwrap();
            assert_eq!(
                range.resolve(size).map(|range| (range.start, range.length)),
                expected,
                "{header}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        for header in [
            "",
            "bytes",
            "items=0-1",
            "bytes=0-1,4-5",
            "bytes=a-b",
            "bytes=-",
            "bytes=+1-2",
            "bytes= - ",
        ] {
            assert_eq!(ByteRange::parse(header), None, "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn a_resolved_range_lies_inside(first in any::<u64>(), last in any::<u64>(), size in any::<u64>(), form in 0..3) {
            let range = match form { 0 => ByteRange::Inclusive(first, last), 1 => ByteRange::From(first), _ => ByteRange::Suffix(first) };
            if let Some(resolved) = range.resolve(size) {
                prop_assert!(resolved.length > 0 && resolved.start.checked_add(resolved.length).unwrap() <= size);
            }
        }
    }
}
