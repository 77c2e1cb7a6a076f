//! sled behind a barrier. What sled acknowledges is not on the medium: its `flush` ends in
//! `sync_file_range`. So the barrier syncs sled's own file after it.

use rustix::fs::{FlockOperation, flock};
use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::{
    StoreError,
    disk::{Disk, DiskFile, open_existing, unreadable},
    record::MAX_PHYSICAL,
    watch::Watch,
};

/// Bytes that sled may keep in memory.
const CACHE: u64 = 32 << 20;

/// One sled tree and the file under it.
pub(crate) struct Engine {
    /// `None` only while being dropped.
    db: Option<sled::Db>,
    dir: PathBuf,
    file: DiskFile,
    disk: Arc<Disk>,
    watch: Watch,
}

/// Physical changes that happen together.
pub(crate) type Changes = std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>;

impl Engine {
    /// Makes sled's directory and opens it.
    pub(crate) fn create(disk: Arc<Disk>, dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir(dir).map_err(|e| unreadable(dir, "make", &e))?;
        Self::start(disk, dir)
    }

    /// Opens sled's directory, which must be there: sled would silently begin anew.
    pub(crate) fn open(disk: Arc<Disk>, dir: &Path) -> Result<Self, StoreError> {
        for file in ["conf", "db"] {
            disk.sync(&open_existing(&dir.join(file))?)?;
        }
        // A kill while sled writes a snapshot at start leaves `snap.X.generating`, which sled
        // then takes for the newest snapshot and calls corrupt (sled #1527, #1533). It is renamed
        // only after its sync, so a file of this name is never needed.
        for entry in fs::read_dir(dir).map_err(|e| unreadable(dir, "list", &e))? {
            let path = entry.map_err(|e| unreadable(dir, "list", &e))?.path();
            if path.extension().is_some_and(|e| e == "generating") {
                disk.remove(&path)?;
            }
        }
        Self::start(disk, dir)
    }

    fn start(disk: Arc<Disk>, dir: &Path) -> Result<Self, StoreError> {
        try_threads().map_err(|e| unreadable(dir, "start threads for it", &e))?;
        // `flush_every_ms(None)`: no thread of sled's writes behind our back.
        let config = sled::Config::new().path(dir).flush_every_ms(None).cache_capacity(CACHE);
        let db = guarded(dir, || {
            config.open().map_err(|error| match error {
                // sled writes and syncs while it opens: after a failure nothing may follow.
                sled::Error::Io(e) => disk.poison(&format!("{}: sled: {e}", dir.display())),
                other => failed(dir, &other),
            })
        })?;
        let file = open_existing(&dir.join("db"))?;
        for name in ["conf", "db"] {
            disk.sync_path(&dir.join(name))?;
        }
        disk.sync_dir(dir)?;
        let flushed = db.clone();
        let watch =
            Watch::start(move || nudge(&flushed)).map_err(|e| unreadable(dir, "watch", &e))?;
        Ok(Self { watch, db: Some(db), dir: dir.to_owned(), file, disk })
    }

    /// Applies all changes, or none, and returns when they are durable.
    pub(crate) fn apply(&self, changes: &Changes) -> Result<(), StoreError> {
        self.disk.alive()?;
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => {
                    debug_assert!(value.len() <= MAX_PHYSICAL);
                    batch.insert(key.as_slice(), value.as_slice());
                }
                None => batch.remove(key.as_slice()),
            }
        }
        let written =
            self.watch.over(|| self.db().apply_batch(batch).and_then(|()| self.db().flush()));
        written
            .map_err(|e| self.disk.poison(&format!("{}: cannot write: {e}", self.dir.display())))?;
        #[cfg(test)]
        if self.disk.faults.barrier_is_out() {
            return Ok(());
        }
        self.disk.sync(&self.file)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        self.db().get(key).map_err(|e| failed(&self.dir, &e))
    }

    /// Entries from `start` (exclusive if `after`) on, by key.
    pub(crate) fn range(
        &self,
        start: std::ops::Bound<Vec<u8>>,
    ) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> {
        let range = (start, std::ops::Bound::<Vec<u8>>::Unbounded);
        self.db().range::<Vec<u8>, _>(range).map(|r| r.map_err(|e| failed(&self.dir, &e)))
    }

    fn db(&self) -> &sled::Db {
        self.db.as_ref().expect("the database is taken only by drop")
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A first flush under watch leaves nothing to the one of sled's own drop.
        let flushed = self.disk.is_poisoned() || self.watch.over(|| self.db().flush()).is_ok();
        let db = self.db.take();
        // sled writes when it is dropped. After a failed write nothing may be written any more,
        // so a poisoned engine is leaked; the process is about to end.
        if self.disk.is_poisoned() || !flushed {
            std::mem::forget(db);
            return;
        }
        self.watch.stop();
        drop(db);
        // sled's writer threads hold its file a little longer than its handle lives. Their lock
        // on it tells when they are gone: only then may somebody else open the directory.
        for _ in 0..LETTING_GO_MS {
            if flock(&self.file.file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        tracing::warn!("sled did not let go of its file");
    }
}

/// sled starts its threads once. It goes on without those that it cannot have, and without any of
/// them it waits for ever. So it is tried first whether they can be had.
fn try_threads() -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let shut = gate.lock();
        let wait = || drop(gate.lock());
        let started: Result<Vec<_>, _> =
            (0..THREADS).map(|_| thread::Builder::new().spawn_scoped(scope, wait)).collect();
        drop(shut);
        // Joined, so that the operating system has them back.
        started?.into_iter().for_each(|thread| drop(thread.join()));
        Ok(())
    })
}

/// What sled starts (`threadpool.rs`: seven that wait for work), and the watch.
const THREADS: usize = 8;

/// Flushes on a thread of its own, which may have to wait.
fn nudge(db: &sled::Db) {
    let db = db.clone();
    // Without a thread to spare there will be another nudge.
    let _ = thread::Builder::new().spawn(move || drop(db.flush()));
}

/// Milliseconds that a drop waits for sled's threads at the most; they need less than one.
const LETTING_GO_MS: u32 = 5000;

/// Runs sled over a directory that may hold anything. sled panics on some damage; in a build that
/// unwinds that is the refusal of a corrupt store, in one that aborts the process ends.
pub(crate) fn guarded<T>(
    dir: &Path,
    run: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(StoreError::corrupt(dir, "sled panicked while reading its files")))
}

fn failed(dir: &Path, error: &sled::Error) -> StoreError {
    match error {
        sled::Error::Io(e) => unreadable(dir, "read", e),
        other => StoreError::corrupt(dir, format!("sled says: {other}")),
    }
}
