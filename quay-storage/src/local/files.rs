//! The file system calls, in the order that makes them survive a crash. All of them block.

use std::fs::{self, File, OpenOptions, TryLockError};
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
/// What is added to an upload's id for the file that it was published as and has been taken apart from.
pub(super) const ORPHAN: &str = "published";

fn failed(action: &str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let context = format!("{action} {}", path.display());
    move |error| StoreError::io(context, error)
}

fn sync_dir(path: &Path) -> Result<(), StoreError> {
    let sync = || File::open(path)?.sync_all();
    sync().map_err(failed("sync directory", path))
}

/// Makes a directory with the parents that it lacks, each name synced in the directory above it, its own
/// also when it is there already: whoever made it may have crashed before that.
pub(super) fn create_dir_durably(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let Some(parent) = parent else {
                return Err(failed("create directory", path)(error));
            };
            create_dir_durably(parent)?;
            match fs::create_dir(path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(failed("create directory", path)(error));
                }
                _ => {}
            }
        }
        Err(error) => return Err(failed("create directory", path)(error)),
    }
    sync_dir(parent.unwrap_or(Path::new(".")))
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
    // Locked before it is looked at: another process may be writing to it, or publishing it.
    lock(&file, path)?;
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
        target.sync_data()?;
        Ok(target)
    };
    let file = copy().map_err(failed("copy upload", path))?;
    lock(&file, path)?;
    // Should the object that was published be nobody's, the sweep finds it by this name, which is an
    // upload's without a session.
    let orphan = path.with_file_name(format!(
        "{}{ORPHAN}",
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    match fs::hard_link(path, &orphan) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(failed("link upload", path)(error));
        }
        _ => {}
    }
    fs::rename(&copy_path, path).map_err(failed("copy upload", path))?;
    if let Some(directory) = path.parent() {
        sync_dir(directory)?;
    }
    Ok(file)
}

/// Keeps other processes from writing to a file at the same time, as long as it is open.
fn lock(file: &File, path: &Path) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::new(
            StoreErrorKind::Conflict,
            format!("{} is being written to by another process", path.display()),
        )),
        Err(TryLockError::Error(error)) => Err(failed("lock upload", path)(error)),
    }
}

pub(super) fn write(file: &File, bytes: &[u8], start: u64) -> Result<(), StoreError> {
    file.write_all_at(bytes, start)
        .map_err(|error| StoreError::io("write an upload", error))
}

/// Makes an upload's bytes durable, and its name with the first of them.
pub(super) fn sync_upload(file: &File, path: &Path, offset: u64) -> Result<(), StoreError> {
    file.sync_data().map_err(failed("sync upload", path))?;
    match path.parent() {
        Some(parent) if offset == 0 => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Gives an upload's file its published name, in a directory that is there. Sync, name, sync: once the
/// name can be seen after a crash, the bytes can be, too.
pub(super) fn publish(upload: &Path, object: &Path, length: u64) -> Result<(), StoreError> {
    let file = match open_existing(upload)? {
        // Nothing is written to it, so that it may have been published before.
        Some((file, held)) if held == length => {
            lock(&file, upload)?;
            let held = file.metadata().map_err(failed("look at upload", upload))?.len();
            if held != length {
                return Err(StoreError::new(
                    StoreErrorKind::Conflict,
                    format!("{} has just been written to", upload.display()),
                ));
            }
            file
        }
        _ => open_upload(upload, length)?,
    };
    if let Err(error) = file.sync_data() {
        // The kernel reports a lost write once. What it could not write must not be taken for written
        // the next time.
        let _ = remove(upload);
        return Err(failed("sync upload", upload)(error));
    }
    let sync = || object.parent().map_or(Ok(()), sync_dir);
    match fs::hard_link(upload, object) {
        Ok(()) => {
            // A name that may not last must not be found: nobody would know of it.
            return sync().inspect_err(|_| {
                let _ = remove(object);
            });
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if !same_file(upload, object)? {
                // Linked beside the upload first: a link cannot replace, a rename can.
                let spare = upload.with_extension(LINK);
                remove(&spare)?;
                fs::hard_link(upload, &spare).map_err(failed("link upload", upload))?;
                fs::rename(&spare, object).map_err(failed("publish", object))?;
            }
        }
        Err(error) => return Err(failed("publish", object)(error)),
    }
    sync()
}

/// Takes the published name from an upload's file again. `false` when it names another file by now.
pub(super) fn unpublish(upload: &Path, object: &Path) -> Result<bool, StoreError> {
    if !same_file(upload, object)? {
        return Ok(false);
    }
    // Moved away before it is looked at: another process may replace the name at any time.
    let spare = upload.with_extension(LINK);
    fs::rename(object, &spare).map_err(failed("unpublish", object))?;
    let is_its_own = same_file(upload, &spare)?;
    if !is_its_own {
        match fs::hard_link(&spare, object) {
            // Replaced once more by the same content.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            other => other.map_err(failed("put back", object))?,
        }
    }
    remove(&spare)?;
    Ok(is_its_own)
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

/// The names in a directory that are wanted, in order.
pub(super) fn names(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).map_err(failed("list", directory))?;
    for entry in entries {
        let entry = entry.map_err(failed("list", directory))?;
        found.extend(entry.file_name().into_string().ok().filter(|name| wanted(name)));
    }
    found.sort();
    Ok(found)
}

/// A file, unless it is gone.
pub(super) fn look(directory: &Path, name: &str) -> Result<Option<Listed>, StoreError> {
    let path = directory.join(name);
    match fs::metadata(&path) {
        Ok(metadata) => Ok(Some(Listed {
            name: name.to_owned(),
            length: metadata.len(),
            modified: Timestamp::from_millis(metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000),
            links: metadata.nlink(),
        })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", &path)(error)),
    }
}
