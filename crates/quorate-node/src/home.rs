//! Files of a node's home: written once, for the owner only, durable before anyone relies
//! on them.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum HomeError {
    /// It is there already.
    #[error("{path} is there already and is never overwritten; name another home")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Larger than anything that belongs there.
    #[error("{path}: at most {max} bytes are read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
    /// A secret that others can read.
    #[error("{path}: must be a file of mode 0400 or 0600, got {mode:04o}: chmod 0400 it")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The operating system refuses.
    #[error("cannot {action} {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The operating system's words.
        error: io::Error,
    },
}

impl HomeError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { path: path.to_owned(), action, error }
    }
}

/// Makes a directory for its owner only, with those above it; one that is there stays.
pub(crate) fn make_dir(path: &Path) -> Result<(), HomeError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(HomeError::io("make", path))
}

/// Refuses a path at which something is.
pub(crate) fn must_be_free(path: &Path) -> Result<(), HomeError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(HomeError::io("look at", path)(error)),
        Ok(_) => Err(HomeError::Exists { path: path.to_owned() }),
    }
}

/// Writes a new file, durable with its name when this returns; never over an old one.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), HomeError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => HomeError::Exists { path: path.to_owned() },
        _ => HomeError::io("make", path)(error),
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(HomeError::io("write", path))?;
    sync_dir(path)
}

/// Makes a file's name durable.
fn sync_dir(path: &Path) -> Result<(), HomeError> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|d| d.sync_all()).map_err(HomeError::io("sync", dir))
}

/// Writes a file in place of the one that is there, durable with its name when this returns.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), HomeError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    match fs::remove_file(&beside) {
        Ok(()) => {} // of an attempt that was cut short
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(HomeError::io("remove", &beside)(error)),
    }
    write_new(&beside, bytes, mode)?;
    fs::rename(&beside, path).map_err(HomeError::io("replace", path))?;
    sync_dir(path)
}

/// Reads a file of at most `max` bytes.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>, HomeError> {
    let file = File::open(path).map_err(HomeError::io("open", path))?;
    read_from(file, path, max)
}

/// As [`read`], but only from a file that nobody but its owner can read.
pub(crate) fn read_secret(path: &Path, max: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, HomeError> {
    let file = File::open(path).map_err(HomeError::io("open", path))?;
    let mode = file.metadata().map_err(HomeError::io("look at", path))?.mode() & 0o7777;
    if mode != 0o400 && mode != 0o600 {
        return Err(HomeError::Mode { path: path.to_owned(), mode });
    }
    read_from(file, path, max).map(zeroize::Zeroizing::new)
}

/// As [`read`], as text; bytes that are no UTF-8 become what no format takes.
pub(crate) fn read_text(path: &Path, max: u64) -> Result<String, HomeError> {
    Ok(String::from_utf8_lossy(&read(path, max)?).into_owned())
}

fn read_from(file: File, path: &Path, max: u64) -> Result<Vec<u8>, HomeError> {
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(HomeError::io("read", path))?;
    if bytes.len() as u64 > max {
        return Err(HomeError::TooLarge { path: path.to_owned(), max });
    }
    Ok(bytes)
}
