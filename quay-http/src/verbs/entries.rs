//! The entries of a layer's archive as they are written there: each with the blocks before its content, so that it
//! can be copied as it is.

use std::io::{self, Read};

use tar::{EntryType, Header, PaxExtensions};

/// Archives are made of blocks of so many bytes.
pub(super) const BLOCK: usize = 512;
/// What stands before an entry about its name and its attributes, at the most, all of it together.
const LARGEST_EXTENSION: u64 = 1 << 20;
/// The longest path, as Linux takes them, and the deepest.
const LONGEST_PATH: usize = 4096;
const DEEPEST_PATH: usize = 256;

/// One entry.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its place in the archive.
    pub(super) ordinal: u32,
    /// All blocks before its content.
    pub(super) head: Vec<u8>,
    /// Its path, without what means nothing in it.
    pub(super) path: Vec<u8>,
    /// Where it leads, for links.
    pub(super) link: Vec<u8>,
    pub(super) kind: EntryType,
    /// Bytes of its content.
    pub(super) size: u64,
    /// What is said of it besides its path and where it leads, as records of pax.
    pub(super) records: Vec<u8>,
}

/// Reads an archive from its beginning to its end.
pub(super) struct Entries<R> {
    reader: R,
    /// Bytes of the last entry that nobody has read yet, and what fills its last block.
    content: u64,
    filling: u64,
    ordinal: u32,
}

pub(super) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// How much is missing to a whole block.
pub(super) const fn filling(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

impl<R: Read> Entries<R> {
    pub(super) const fn new(reader: R) -> Self {
        Self {
            reader,
            content: 0,
            filling: 0,
            ordinal: 0,
        }
    }

    /// The next entry; `None` behind the last, when all of the archive has been read: what is compressed says only
    /// at its end whether it is whole.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        self.skip(self.content.saturating_add(self.filling))?;
        (self.content, self.filling) = (0, 0);
        let mut head = Vec::with_capacity(BLOCK);
        let mut named = Named::default();
        loop {
            let Some(header) = self.header()? else {
                if !head.is_empty() {
                    return Err(invalid("a layer ends within an entry"));
                }
                io::copy(&mut self.reader, &mut io::sink())?;
                return Ok(None);
            };
            let kind = header.entry_type();
            let declared = header.entry_size()?;
            if head.len() as u64 > LARGEST_EXTENSION {
                return Err(invalid("what is said of an entry of a layer is too long"));
            }
            match kind {
                EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink => {
                    head.extend_from_slice(header.as_bytes());
                    let start = head.len();
                    let size = self.extension(declared, &mut head)?;
                    named.take(kind, head.get(start..start + size).unwrap_or_default())?;
                }
                // What is said of all that follows is said of nothing that matters here.
                EntryType::XGlobalHeader => {
                    self.extension(declared, &mut Vec::new())?;
                }
                EntryType::GNUSparse => {
                    return Err(invalid("a layer holds a file with holes, as old tars wrote them"));
                }
                _ => {
                    head.extend_from_slice(header.as_bytes());
                    return self.entry(head, &header, named, declared).map(Some);
                }
            }
        }
    }

    fn entry(&mut self, head: Vec<u8>, header: &Header, named: Named, declared: u64) -> io::Result<Entry> {
        let kind = header.entry_type();
        let size = match kind {
            EntryType::Directory
            | EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Fifo => 0,
            _ => named.size.unwrap_or(declared),
        };
        if size > u64::MAX / 2 {
            return Err(invalid("a layer holds a file of impossible size"));
        }
        let path = named.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = named
            .link
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let (path, link) = (plain(&path)?, link.unwrap_or_default());
        let depth = path.split(|&byte| byte == b'/').count();
        if path.len().max(link.len()) > LONGEST_PATH || depth > DEEPEST_PATH {
            return Err(invalid("a layer holds a path that is too long"));
        }
        let ordinal = self.ordinal;
        self.ordinal = ordinal
            .checked_add(1)
            .ok_or_else(|| invalid("a layer has too many entries"))?;
        (self.content, self.filling) = (size, filling(size));
        Ok(Entry {
            ordinal,
            head,
            path,
            link,
            kind,
            size,
            records: named.records,
        })
    }

    /// The content of the last entry.
    pub(super) fn content(&mut self) -> impl Read + '_ {
        Content(self)
    }

    /// One header; `None` at the archive's end.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut read = 0;
        while let Some(rest) = block.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                // Some archives end without saying so.
                Ok(0) if read == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if header.cksum()? != checksum(&header) {
            return Err(invalid("a layer is not an archive"));
        }
        Ok(Some(header))
    }

    /// Reads what stands before an entry, with what fills its last block.
    fn extension(&mut self, size: u64, into: &mut Vec<u8>) -> io::Result<usize> {
        if size > LARGEST_EXTENSION {
            return Err(invalid("what is said of an entry of a layer is too long"));
        }
        let all = size + filling(size);
        if (&mut self.reader).take(all).read_to_end(into)? as u64 != all {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        usize::try_from(size).map_err(|_| invalid("what is said of an entry of a layer is too long"))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        if io::copy(&mut (&mut self.reader).take(bytes), &mut io::sink())? != bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

struct Content<'a, R>(&'a mut Entries<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.0.content)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let read = self.0.reader.read(buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.content -= read as u64;
        Ok(read)
    }
}

/// What was said of an entry before it.
#[derive(Default)]
struct Named {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    records: Vec<u8>,
}

impl Named {
    fn take(&mut self, kind: EntryType, content: &[u8]) -> io::Result<()> {
        let text = || {
            content
                .split(|&byte| byte == 0)
                .next()
                .unwrap_or_default()
                .to_vec()
        };
        match kind {
            EntryType::GNULongName => self.path = Some(text()),
            EntryType::GNULongLink => self.link = Some(text()),
            _ => {
                for record in PaxExtensions::new(content) {
                    let record = record?;
                    let (key, value) = (record.key_bytes(), record.value_bytes());
                    match key {
                        b"path" => self.path = Some(value.to_vec()),
                        b"linkpath" => self.link = Some(value.to_vec()),
                        _ => {
                            if key == b"size" {
                                let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                                self.size =
                                    Some(size.ok_or_else(|| invalid("a layer holds a file of no size"))?);
                            }
                            self.records.extend(pax_record(key, value));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn checksum(header: &Header) -> u32 {
    let bytes = header.as_bytes().iter().enumerate();
    // The checksum's own field counts as spaces.
    bytes
        .map(|(index, &byte)| {
            if (148..156).contains(&index) {
                32
            } else {
                u32::from(byte)
            }
        })
        .sum()
}

/// A record of pax: its own length, key and value.
pub(super) fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    let mut length = rest + digits(rest);
    if rest + digits(length) != length {
        length = rest + digits(length);
    }
    let mut record = length.to_string().into_bytes();
    record.push(b' ');
    record.extend_from_slice(key);
    record.push(b'=');
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

/// A path without a beginning, an end and parts that mean nothing.
pub(super) fn plain(path: &[u8]) -> io::Result<Vec<u8>> {
    let parts = path
        .split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".");
    let mut plain = Vec::with_capacity(path.len());
    for part in parts {
        if part == b".." || part.contains(&0) {
            return Err(invalid("a layer holds a path that leads out of it"));
        }
        if !plain.is_empty() {
            plain.push(b'/');
        }
        plain.extend_from_slice(part);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_records() {
        assert_eq!(plain(b"./a//b/./c/").unwrap(), b"a/b/c");
        assert_eq!(plain(b"/").unwrap(), b"");
        assert!(plain(b"a/../../b").is_err());
        assert_eq!(pax_record(b"path", b"a"), b"9 path=a\n");
        assert_eq!(pax_record(b"path", &[b'x'; 90]).len(), 99);
        assert_eq!(pax_record(b"path", &[b'x'; 91]).len(), 101);
        assert_eq!(
            [filling(0), filling(1), filling(512), filling(513)],
            [0, 511, 0, 511]
        );
    }

    /// A header of a kind, with its content and what fills its last block.
    fn block(kind: EntryType, path: &str, content: &[u8]) -> Vec<u8> {
        let mut header = Header::new_ustar();
        header.set_path(path).unwrap();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_cksum();
        let mut block = [header.as_bytes(), content].concat();
        block.resize(
            block.len() + usize::try_from(filling(content.len() as u64)).unwrap(),
            0,
        );
        block
    }

    #[test]
    fn what_stands_before_an_entry_has_a_bound() {
        let said = pax_record(b"comment", &vec![b'x'; 400_000]);
        let archive = |times: usize| {
            let mut archive = block(EntryType::XHeader, "x", &said).repeat(times);
            archive.extend(block(EntryType::Regular, "file", b"content"));
            archive
        };
        assert!(Entries::new(&archive(2)[..]).next().unwrap().is_some());
        assert!(Entries::new(&archive(4)[..]).next().is_err());
        for (key, value) in [
            (&b"path"[..], "x".repeat(LONGEST_PATH + 1)),
            (b"linkpath", "x".repeat(LONGEST_PATH + 1)),
            (b"path", "x/".repeat(DEEPEST_PATH + 1)),
        ] {
            let mut archive = block(EntryType::XHeader, "x", &pax_record(key, value.as_bytes()));
            archive.extend(block(EntryType::Symlink, "file", b""));
            assert!(Entries::new(&archive[..]).next().is_err(), "{}", value.len());
        }
    }

    #[test]
    fn what_is_no_archive_is_told() {
        for content in [&b"short"[..], &[b'x'; 512], &[b'x'; 2000]] {
            assert!(Entries::new(content).next().is_err());
        }
        assert!(Entries::new(&b""[..]).next().unwrap().is_none());
    }
}
