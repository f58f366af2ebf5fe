//! Files as bytes without copying them: the page cache, mapped, or handed to the kernel to send.
//!
//! The only unsafe code of this crate. What it relies on: blobs are never rewritten in place and never
//! truncated, only unlinked, as `quay_core::blob_store::FileRange` promises; a mapping keeps an unlinked
//! file. Whether pages are in memory is asked before they are touched, so that a thread that serves I/O
//! does not wait for a disk.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
#[cfg(feature = "server")]
use std::sync::Weak;

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapOptions};

/// Bytes asked about at once.
const PAGE: usize = 4096;

/// A mapped part of a file.
#[derive(Debug, Clone)]
pub(crate) struct Mapping(Arc<Inner>);

#[derive(Debug)]
#[cfg_attr(
    not(feature = "server"),
    expect(dead_code, reason = "the server alone asks where bytes come from")
)]
struct Inner {
    map: Mmap,
    file: Arc<File>,
    /// Where in the file the mapping begins.
    start: u64,
}

/// A slice of a mapping that keeps it alive.
struct Slice {
    mapping: Arc<Inner>,
    range: Range<usize>,
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self.mapping.map.get(self.range.clone()).unwrap_or_default()
    }
}

impl Mapping {
    /// Maps `length` bytes from `start`.
    pub(crate) fn new(file: &Arc<File>, start: u64, length: usize) -> io::Result<Self> {
        // SAFETY: the file is never written to or truncated while it is published (see above).
        let map = unsafe { MmapOptions::new().offset(start).len(length).map(&**file)? };
        Ok(Self(Arc::new(Inner {
            map,
            file: Arc::clone(file),
            start,
        })))
    }

    /// A piece of it. Costs no copy.
    pub(crate) fn slice(&self, range: Range<usize>) -> Bytes {
        Bytes::from_owner(Slice {
            mapping: Arc::clone(&self.0),
            range,
        })
    }

    /// Whether reading a piece would wait for nothing.
    pub(crate) fn is_resident(&self, range: &Range<usize>) -> bool {
        let Some(piece) = self.0.map.get(range.clone()) else {
            return false;
        };
        let address = piece.as_ptr().addr();
        let head = address % PAGE;
        let pages = (head + piece.len()).div_ceil(PAGE);
        let mut present = vec![0_u8; pages];
        // SAFETY: the pages lie inside a live mapping: `piece` does, a mapping starts and ends at page
        // bounds, and `present` has one byte for each of them.
        let answer = unsafe {
            libc::mincore(
                piece.as_ptr().wrapping_sub(head).cast_mut().cast(),
                pages * PAGE,
                present.as_mut_ptr(),
            )
        };
        answer == 0 && present.iter().all(|page| page & 1 == 1)
    }

    /// Reads a piece in. Waits for the disk.
    pub(crate) fn load(&self, range: &Range<usize>) -> io::Result<()> {
        let populated = self
            .0
            .map
            .advise_range(Advice::PopulateRead, range.start, range.len());
        match populated {
            // Kernels before 5.14 do not know that advice.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.touch(range);
                Ok(())
            }
            other => other,
        }
    }

    /// Reads a byte of each page.
    fn touch(&self, range: &Range<usize>) {
        let piece = self.0.map.get(range.clone()).unwrap_or_default();
        for page in piece.chunks(PAGE) {
            std::hint::black_box(page.first());
        }
        std::hint::black_box(piece.last());
    }

    #[cfg(feature = "server")]
    /// A handle that does not keep it alive.
    pub(crate) fn downgrade(&self) -> WeakMapping {
        WeakMapping(Arc::downgrade(&self.0))
    }
}

#[cfg(feature = "server")]
/// A mapping that may be gone.
#[derive(Debug)]
pub(crate) struct WeakMapping(Weak<Inner>);

#[cfg(feature = "server")]
/// Where bytes of memory lie in a file.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
}

#[cfg(feature = "server")]
impl WeakMapping {
    pub(crate) fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }

    /// Finds out where `bytes` come from, if they come from this mapping. While it lives, no other
    /// memory has its addresses.
    pub(crate) fn origin(&self, bytes: &[u8]) -> Option<Origin> {
        let mapping = self.0.upgrade()?;
        let whole = mapping.map.as_ptr_range();
        let part = bytes.as_ptr_range();
        if part.start < whole.start || part.end > whole.end {
            return None;
        }
        let inside = part.start.addr().checked_sub(whole.start.addr())?;
        Some(Origin {
            file: Arc::clone(&mapping.file),
            offset: mapping.start.checked_add(inside as u64)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn mapped() -> (Vec<u8>, Mapping) {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        file.write_all(&content).unwrap();
        (content, Mapping::new(&Arc::new(file), 5000, 200_000).unwrap())
    }

    #[test]
    fn a_part_is_read_as_it_lies_in_the_file() {
        let (content, mapping) = mapped();
        let range = 1000..150_001;
        mapping.load(&range).unwrap();
        mapping.touch(&range);
        assert!(mapping.is_resident(&range));
        assert_eq!(mapping.slice(range), content[6000..155_001]);
        assert!(!mapping.is_resident(&(0..200_001)), "outside the mapping");
    }

    #[cfg(feature = "server")]
    #[test]
    fn bytes_are_traced_to_the_file_while_the_mapping_lives() {
        let (_, mapping) = mapped();
        let weak = mapping.downgrade();
        let slice = mapping.slice(70..90);
        assert_eq!(weak.origin(&slice).unwrap().offset, 5070);
        assert!(weak.origin(b"elsewhere").is_none());
        drop(mapping);
        assert!(!weak.is_gone(), "a slice keeps it");
        drop(slice);
        assert!(weak.is_gone());
    }
}
