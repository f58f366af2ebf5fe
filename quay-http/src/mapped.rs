//! Files as bytes without copying them: the page cache, mapped.
//!
//! The only unsafe code of this crate. What it relies on: blobs are never rewritten in place and never
//! truncated, only unlinked, as `quay_core::blob_store::FileRange` promises; a mapping keeps an unlinked
//! file. Whether pages are in memory is asked before they are touched, so that a thread that serves I/O
//! does not wait for a disk.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapOptions};

/// Bytes asked about at once.
const PAGE: usize = 4096;

/// A mapped part of a file.
#[derive(Debug, Clone)]
pub(crate) struct Mapping(Arc<Mmap>);

/// A slice of a mapping that keeps it alive.
struct Slice {
    mapping: Arc<Mmap>,
    range: Range<usize>,
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self.mapping.get(self.range.clone()).unwrap_or_default()
    }
}

impl Mapping {
    /// Maps `length` bytes from `start`.
    pub(crate) fn new(file: &File, start: u64, length: usize) -> io::Result<Self> {
        // SAFETY: the file is never written to or truncated while it is published (see above).
        let map = unsafe { MmapOptions::new().offset(start).len(length).map(file)? };
        Ok(Self(Arc::new(map)))
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
        let Some(piece) = self.0.get(range.clone()) else {
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
        self.0
            .advise_range(Advice::PopulateRead, range.start, range.len())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_part_is_read_as_it_lies_in_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        file.write_all(&content).unwrap();
        let mapping = Mapping::new(&file, 5000, 200_000).unwrap();
        let range = 1000..150_001;
        mapping.load(&range).unwrap();
        assert!(mapping.is_resident(&range));
        assert_eq!(mapping.slice(range), content[6000..155_001]);
        assert!(!mapping.is_resident(&(0..200_001)), "outside the mapping");
    }
}
