//! Every write of our own goes through here, so that a failed one poisons the store, and so that
//! tests can make each one fail.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::StoreError;

/// Called once, with the cause, by the thread whose write failed.
pub type OnPoison = Box<dyn Fn(&str) + Send + Sync>;

/// The disk as one store sees it. After one failed write, sync, rename or removal, all later ones
/// fail: Linux may have dropped the pages of a failed sync, so a second one that succeeds proves
/// nothing.
pub(crate) struct Disk {
    dead: AtomicBool,
    cause: Mutex<Option<String>>,
    on_poison: Option<OnPoison>,
    #[cfg(test)]
    pub(crate) faults: crate::tests::Faults,
}

/// An open file and its name for messages.
pub(crate) struct DiskFile {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
}

impl Disk {
    pub(crate) fn new(on_poison: Option<OnPoison>) -> Self {
        Self {
            dead: AtomicBool::new(false),
            cause: Mutex::new(None),
            on_poison,
            #[cfg(test)]
            faults: crate::tests::Faults::default(),
        }
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Fails if an earlier write has failed.
    pub(crate) fn alive(&self) -> Result<(), StoreError> {
        if !self.is_poisoned() {
            return Ok(());
        }
        let cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        Err(StoreError::Poisoned { cause: cause.clone().unwrap_or_default() })
    }

    /// Fail-stop: no further write will be tried.
    pub(crate) fn poison(&self, cause: &str) -> StoreError {
        {
            let mut first = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(cause) = &*first {
                return StoreError::Poisoned { cause: cause.clone() };
            }
            *first = Some(cause.to_owned());
            self.dead.store(true, Ordering::Release);
        }
        tracing::error!(cause, "a write to the store failed: this process must end");
        if let Some(tell) = &self.on_poison {
            tell(cause);
        }
        StoreError::Poisoned { cause: cause.to_owned() }
    }

    fn step<T>(
        &self,
        action: &'static str,
        path: &Path,
        run: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, StoreError> {
        self.alive()?;
        #[cfg(test)]
        let run = || self.faults.before(action).and_then(|()| run());
        run().map_err(|e| self.poison(&format!("{}: cannot {action}: {e}", path.display())))
    }

    /// Makes a file that must not be there, readable by its owner only.
    pub(crate) fn create(&self, path: &Path) -> Result<DiskFile, StoreError> {
        let mut options = File::options();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = self.step("create", path, || options.open(path))?;
        Ok(DiskFile { file, path: path.to_owned() })
    }

    pub(crate) fn write_at(
        &self,
        file: &DiskFile,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        self.step("write", &file.path, || file.file.write_all_at(bytes, at))
    }

    /// `fdatasync`: the file's bytes and length are on the medium when it returns.
    pub(crate) fn sync(&self, file: &DiskFile) -> Result<(), StoreError> {
        self.step("sync", &file.path, || file.file.sync_data())
    }

    pub(crate) fn truncate(&self, file: &DiskFile, len: u64) -> Result<(), StoreError> {
        self.step("truncate", &file.path, || file.file.set_len(len))?;
        self.sync(file)
    }

    /// Makes names in a directory durable.
    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<(), StoreError> {
        self.step("sync", dir, || File::open(dir)?.sync_all())
    }

    pub(crate) fn sync_path(&self, path: &Path) -> Result<(), StoreError> {
        self.step("sync", path, || File::open(path)?.sync_all())
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        self.step("rename", from, || fs::rename(from, to))
    }

    pub(crate) fn remove(&self, path: &Path) -> Result<(), StoreError> {
        self.step("remove", path, || fs::remove_file(path))
    }

    /// Writes a whole file that is complete and durable whenever it is seen under its name.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<DiskFile, StoreError> {
        let temporary = temporary_of(path);
        if temporary.exists() {
            self.remove(&temporary)?;
        }
        let mut file = self.create(&temporary)?;
        self.write_at(&file, 0, bytes)?;
        self.sync(&file)?;
        // A crash here leaves the old file and a temporary one, which the next start removes.
        self.rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |dir| self.sync_dir(dir))?;
        file.path = path.to_owned();
        Ok(file)
    }
}

/// Opens a file that must be there, for reading and writing.
pub(crate) fn open_existing(path: &Path) -> Result<DiskFile, StoreError> {
    let missing = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => StoreError::corrupt(path, "the file is missing"),
        _ => unreadable(path, "open", &e),
    };
    let file = File::options().read(true).write(true).open(path).map_err(missing)?;
    Ok(DiskFile { file, path: path.to_owned() })
}

/// Reads a whole small file; longer than `limit` is corruption, so that nothing is allocated by a
/// claimed length.
pub(crate) fn read_small(file: &DiskFile, limit: u64) -> Result<Vec<u8>, StoreError> {
    let path = &file.path;
    let len = file.file.metadata().map_err(|e| unreadable(path, "look at", &e))?.len();
    if len > limit {
        let what = format!("the file has {len} bytes, at most {limit} are possible");
        return Err(StoreError::corrupt(path, what));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    file.file.read_exact_at(&mut bytes, 0).map_err(|e| unreadable(path, "read", &e))?;
    Ok(bytes)
}

pub(crate) fn unreadable(path: &Path, action: &'static str, error: &io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), action, error: error.to_string() }
}

/// Where [`Disk::replace`] writes before it renames.
pub(crate) fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}
