//! The file system calls, in the order that makes them survive a crash. All of them block.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use bytes::Bytes;
use quay_core::ResolvedRange;
use quay_core::runtime::Timestamp;
use quay_core::{StoreError, StoreErrorKind};

/// Extensions of spare names; no upload's id has one, so that the inventory passes them over.
const LINK: &str = "link";
const COPY: &str = "copy";

fn failed(action: &str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let context = format!("{action} {}", path.display());
    move |error| StoreError::io(context, error)
}

fn sync_dir(path: &Path) -> Result<(), StoreError> {
    let sync = || File::open(path)?.sync_all();
    sync().map_err(failed("sync directory", path))
}

/// Makes a directory with its parents, each new name synced in the directory above it.
pub(super) fn create_dir_durably(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dir_durably(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => sync_dir(parent.unwrap_or(Path::new("."))),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed("create directory", path)(error)),
    }
}

/// Opens an upload's file to be written from `offset` on: what lies behind is cut off. A file that has
/// been published is replaced by a copy first, since published bytes are never touched again.
pub(super) fn open_upload(path: &Path, offset: u64) -> Result<File, StoreError> {
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
    };
    let file = open().map_err(failed("open upload", path))?;
    let metadata = file.metadata().map_err(failed("look at upload", path))?;
    if metadata.len() < offset {
        return Err(StoreError::new(
            StoreErrorKind::Corrupt,
            format!(
                "{} holds {} bytes of {offset} recorded",
                path.display(),
                metadata.len()
            ),
        ));
    }
    if metadata.nlink() > 1 {
        drop(file);
        return detach(path, offset);
    }
    if metadata.len() > offset {
        file.set_len(offset).map_err(failed("truncate upload", path))?;
    }
    Ok(file)
}

fn detach(path: &Path, offset: u64) -> Result<File, StoreError> {
    // Not a name that the inventory takes for an upload's.
    let copy_path = path.with_extension(COPY);
    let copy = || -> io::Result<File> {
        let mut source = io::Read::take(File::open(path)?, offset);
        let mut target = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&copy_path)?;
        io::copy(&mut source, &mut target)?;
        fs::rename(&copy_path, path)?;
        Ok(target)
    };
    copy().map_err(failed("copy upload", path))
}

pub(super) fn write_all(file: &File, pieces: &[Bytes], mut at: u64) -> io::Result<()> {
    for piece in pieces {
        file.write_all_at(piece, at)?;
        at = at.saturating_add(piece.len() as u64);
    }
    Ok(())
}

/// Makes an upload's bytes durable, and its name with the first of them.
pub(super) fn sync_upload(file: &File, path: &Path, offset: u64) -> Result<(), StoreError> {
    file.sync_data().map_err(failed("sync upload", path))?;
    match path.parent() {
        Some(parent) if offset == 0 => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Gives an upload's file its published name. Sync, name, sync: once the name can be seen after a crash,
/// the bytes can be, too.
pub(super) fn publish(upload: &Path, object: &Path, length: u64) -> Result<(), StoreError> {
    let metadata = match fs::metadata(upload) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(failed("look at upload", upload)(error)),
    };
    let whole = metadata.is_some_and(|metadata| metadata.len() == length);
    let file = if whole {
        File::open(upload).map_err(failed("open upload", upload))?
    } else {
        open_upload(upload, length)?
    };
    file.sync_data().map_err(failed("sync upload", upload))?;
    let Some(directory) = object.parent() else {
        return Err(StoreError::new(
            StoreErrorKind::Other,
            "a published name needs a directory",
        ));
    };
    create_dir_durably(directory)?;
    if !same_file(upload, object)? {
        // Linked beside the upload first: a link cannot replace, a rename can.
        let spare = upload.with_extension(LINK);
        remove(&spare)?;
        fs::hard_link(upload, &spare).map_err(failed("link upload", upload))?;
        fs::rename(&spare, object).map_err(failed("publish", object))?;
    }
    sync_dir(directory)
}

/// Whether two names mean the same file. A name that is not there means none.
pub(super) fn same_file(left: &Path, right: &Path) -> Result<bool, StoreError> {
    let identity = |path: &Path| match fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
    };
    let left = identity(left)?;
    Ok(left.is_some() && left == identity(right)?)
}

/// Removes a file; one that is not there is removed.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", path)(error)),
    }
}

/// Removes an upload with the spare names that a crash may have left beside it.
pub(super) fn remove_upload(path: &Path) -> Result<(), StoreError> {
    remove(&path.with_extension(LINK))?;
    remove(&path.with_extension(COPY))?;
    remove(path)
}

pub(super) fn open_existing(path: &Path) -> Result<Option<(File, u64)>, StoreError> {
    match File::open(path).and_then(|file| Ok((file.metadata()?.len(), file))) {
        Ok((size, file)) => Ok(Some((file, size))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("open", path)(error)),
    }
}

/// Reads a short range if the page cache has it, without waiting for the disk.
pub(super) fn read_if_cached(file: &File, range: ResolvedRange) -> Option<Bytes> {
    use rustix::io::{ReadWriteFlags, preadv2};

    let mut buffer = vec![0; usize::try_from(range.length).ok()?];
    let read = preadv2(
        file,
        &mut [io::IoSliceMut::new(&mut buffer)],
        range.start,
        ReadWriteFlags::NOWAIT,
    );
    (read == Ok(buffer.len())).then(|| buffer.into())
}

pub(super) fn read(file: &File, range: ResolvedRange) -> Result<Bytes, StoreError> {
    let length = usize::try_from(range.length)
        .map_err(|_| StoreError::new(StoreErrorKind::Unsupported, "the range does not fit into memory"))?;
    let mut buffer = vec![0; length];
    file.read_exact_at(&mut buffer, range.start)
        .map_err(|error| StoreError::io("read an object", error))?;
    Ok(buffer.into())
}

/// A file as a listing shows it.
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) modified: Timestamp,
    pub(super) links: u64,
}

pub(super) fn list(directory: &Path) -> Result<Vec<Listed>, StoreError> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).map_err(failed("list", directory))?;
    for entry in entries {
        let entry = entry.map_err(failed("list", directory))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Finished between the listing and the look.
        let Ok(metadata) = entry.metadata() else { continue };
        found.push(Listed {
            name,
            length: metadata.len(),
            modified: Timestamp::from_millis(metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000),
            links: metadata.nlink(),
        });
    }
    Ok(found)
}
