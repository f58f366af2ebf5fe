//! Layers as streams of the archive in them.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use futures::StreamExt as _;
use futures::executor::block_on;
use futures::stream::BoxStream;
use quay_core::blob_store::{BlobBody, FileRange, Redirects};
use quay_core::registry::Blob;
use quay_core::{Registry, ResolvedRange, StoreError};

/// A layer has no more bytes than these, and so many times what is stored of it: what goes beyond is made to keep
/// others waiting.
const INFLATED: u64 = 1 << 30;
const INFLATED_TIMES: u64 = 100;
/// Bytes read from a file at once.
const PIECE: u64 = 256 << 10;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Opens a layer, whatever it is compressed with. Blocks, as reading from it does.
pub(super) fn open(registry: &Registry, layer: &Blob) -> io::Result<Box<dyn Read>> {
    let content = block_on(registry.open_blob(layer, None, Redirects::Refused)).map_err(io::Error::other)?;
    let pieces = match content.body {
        BlobBody::Bytes(bytes) => Pieces::Whole(bytes),
        BlobBody::File(part) => Pieces::File(part),
        BlobBody::Stream(pieces) => Pieces::Stream(pieces),
        _ => return Err(io::Error::other("a store does not deliver a layer")),
    };
    let stored = Stored {
        pieces,
        current: Bytes::new(),
        left: content.length,
    };
    Ok(Box::new(Bounded {
        left: content
            .length
            .saturating_mul(INFLATED_TIMES)
            .saturating_add(INFLATED),
        reader: decompressed(stored)?,
    }))
}

/// Ends what is larger than it can be.
struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let left = self.left.checked_sub(read as u64);
        self.left =
            left.ok_or_else(|| io::Error::other("a layer is far larger than what is stored of it"))?;
        Ok(read)
    }
}

/// What a layer's first bytes say that it is.
pub(super) fn decompressed(stored: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut stored = BufReader::new(stored);
    let mut start = Vec::new();
    (&mut stored).take(ZSTD.len() as u64).read_to_end(&mut start)?;
    let (is_gzip, is_zstd) = (start.starts_with(GZIP), start.starts_with(ZSTD));
    let stored = BufReader::new(io::Cursor::new(start).chain(stored));
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(stored))
    } else if is_zstd {
        Box::new(zstd::Decoder::with_buffer(stored)?)
    } else {
        Box::new(stored)
    })
}

enum Pieces {
    Whole(Bytes),
    File(FileRange),
    Stream(BoxStream<'static, Result<Bytes, StoreError>>),
}

/// A blob's bytes, all of them or an error.
struct Stored {
    pieces: Pieces,
    current: Bytes,
    left: u64,
}

impl Stored {
    fn next(&mut self) -> io::Result<Bytes> {
        match &mut self.pieces {
            Pieces::Whole(bytes) => Ok(std::mem::take(bytes)),
            Pieces::File(part) => {
                let length = self.left.min(PIECE);
                let start = part.range.start + part.range.length - self.left;
                let part = FileRange::new(Arc::clone(&part.file), ResolvedRange::new(start, length));
                Ok(part.read()?.into())
            }
            Pieces::Stream(pieces) => loop {
                match block_on(pieces.next()) {
                    Some(Ok(piece)) if piece.is_empty() => {}
                    Some(Ok(piece)) => return Ok(piece),
                    Some(Err(error)) => return Err(io::Error::other(error)),
                    None => return Ok(Bytes::new()),
                }
            },
        }
    }
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() && self.left > 0 {
            self.current = self.next()?;
            let come = self.current.len() as u64;
            if come == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.left = self.left.saturating_sub(come);
        }
        let count = self.current.len().min(buffer.len());
        if let Some(buffer) = buffer.get_mut(..count) {
            buffer.copy_from_slice(&self.current.split_to(count));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn read(stored: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        decompressed(io::Cursor::new(stored))?.read_to_end(&mut content)?;
        Ok(content)
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_inflates_without_end_is_ended() {
        let mut bounded = Bounded {
            reader: io::repeat(0),
            left: 1000,
        };
        let mut content = Vec::new();
        assert!(bounded.read_to_end(&mut content).is_err());
        assert!(content.len() <= 1000);
        let mut bounded = Bounded {
            reader: &[7; 10][..],
            left: 10,
        };
        let mut content = Vec::new();
        assert_eq!(bounded.read_to_end(&mut content).unwrap(), 10);
    }

    #[test]
    fn layers_are_read_as_what_they_are() {
        let content = b"content ".repeat(1000);
        let two = [gzip(&content[..4000]), gzip(&content[4000..])].concat();
        let zstd = zstd::encode_all(&content[..], 1).unwrap();
        for stored in [content.clone(), gzip(&content), two, zstd] {
            assert!(read(stored).unwrap() == content);
        }
        assert_eq!(read(Vec::new()).unwrap(), b"");
        assert_eq!(read(b"ab".to_vec()).unwrap(), b"ab");
    }

    #[test]
    fn what_is_broken_ends_in_an_error() {
        let whole = gzip(&b"content ".repeat(1000));
        let mut changed = whole.clone();
        let checksum = changed.len() - 6;
        changed[checksum] ^= 1;
        assert!(read(changed).is_err());
        assert!(read(whole[..whole.len() - 9].to_vec()).is_err());
        let zstd = zstd::encode_all(&[7_u8; 5000][..], 1).unwrap();
        assert!(read(zstd[..zstd.len() - 3].to_vec()).is_err());
    }
}
