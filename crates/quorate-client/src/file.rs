//! Small files: read whole and bounded, replaced so that a crash leaves the old or the new.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system says so.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// Larger than anything of ours.
    #[error("{path} is larger than {max} bytes; is it the right file?")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
}

impl FileError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }
}

/// The text of a file of at most `max` bytes; `None` if there is no such file.
pub(crate) fn read(path: &Path, max: u64) -> Result<Option<Zeroizing<String>>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(FileError::at(path)(e)),
    };
    let length = file.metadata().map_err(FileError::at(path))?.len();
    if length > max {
        return Err(FileError::TooLarge { path: path.to_owned(), max });
    }
    // All at once, so that a growing buffer leaves no copy of a secret behind.
    let capacity = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1);
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    file.take(max).read_to_string(&mut text).map_err(FileError::at(path))?;
    Ok(Some(text))
}

/// Replaces a file: written beside it, synced, renamed, and the directory synced. A crash
/// leaves the old content or the new one; of several at once, each is whole and one stays.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Of this process and this call: threads may replace one file at the same time.
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}.{call}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = write_synced(&beside, bytes, mode).and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&beside); // the first error is the one to tell
        return Err(FileError::at(path)(error));
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|d| d.sync_all()).map_err(FileError::at(parent))
}

static CALLS: AtomicU64 = AtomicU64::new(0);

fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    set_mode(&mut options, mode);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory that only its owner can enter.
pub(crate) fn private_dir(path: &Path) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(FileError::at(path))
}

/// The permission bits, if they let others at the file.
pub(crate) fn open_to_others(path: &Path) -> Result<Option<u32>, FileError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(FileError::at(path)(e)),
    };
    let mode = mode_of(&metadata);
    Ok((mode & 0o077 != 0).then_some(mode))
}

#[cfg(unix)]
fn mode_of(metadata: &fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777
}

#[cfg(not(unix))]
fn mode_of(_metadata: &fs::Metadata) -> u32 {
    0o600
}

#[cfg(unix)]
fn set_mode(options: &mut OpenOptions, mode: u32) {
    std::os::unix::fs::OpenOptionsExt::mode(options, mode);
}

#[cfg(not(unix))]
fn set_mode(_options: &mut OpenOptions, _mode: u32) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_replace_one_file_do_not_get_in_each_others_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pin");
        std::thread::scope(|scope| {
            for thread in 0..8u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..30 {
                        replace(path, &[thread; 4096], 0o644).unwrap();
                    }
                });
            }
        });
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() == 4096 && bytes.iter().all(|b| *b == bytes[0]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something is left beside it");
    }
}
