//! A node's disk, which can be full, or lose its power in the middle of a write.

use quorate_store::{Batch, MemStore, Record, Space, Store, StoreError, Tree};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use zeroize::Zeroizing;

/// A [`MemStore`], whose writes are durable as soon as they are done, with a power switch. Once
/// the power is off the process learns nothing more of it: [`Disk::image`] is what a new one finds.
#[derive(Default)]
pub(crate) struct Disk {
    inner: MemStore,
    cut: Mutex<Option<Cut>>,
    dead: AtomicBool,
}

/// When the power goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Writes that are done before.
    pub(crate) after: u32,
    /// Whether the write in which it goes is found afterwards. Nobody is told that it was done.
    pub(crate) kept: bool,
}

impl Disk {
    pub(crate) fn cut_power(&self, cut: Cut) {
        *self.cut.lock().unwrap() = Some(cut);
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.inner.set_full(full);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// What is durable, for the next process.
    pub(crate) fn image(&self) -> Arc<Self> {
        Arc::new(Self { inner: self.inner.image(), ..Self::default() })
    }

    /// Entries of the audit log from `from` on, whoever still runs.
    pub(crate) fn durable_log(&self, from: u64) -> Vec<(u64, Vec<u8>)> {
        self.inner.audit_read(from, usize::MAX).unwrap()
    }

    fn alive(&self) -> Result<&MemStore, StoreError> {
        if self.is_dead() { Err(gone()) } else { Ok(&self.inner) }
    }

    /// Whether the power goes in this write, and whether the write is found afterwards.
    fn strikes(&self) -> Option<Cut> {
        let mut cut = self.cut.lock().unwrap();
        let now = (*cut)?;
        if now.after > 0 {
            *cut = Some(Cut { after: now.after - 1, ..now });
            return None;
        }
        self.dead.store(true, Ordering::SeqCst);
        Some(now)
    }
}

fn gone() -> StoreError {
    StoreError::Poisoned { cause: "the power is off".to_owned() }
}

impl Store for Disk {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let disk = self.alive()?;
        match self.strikes() {
            None => disk.commit(batch),
            Some(cut) => {
                if cut.kept {
                    disk.commit(batch)?;
                }
                Err(gone())
            }
        }
    }
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.alive()?.get(tree, key)
    }
    fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.alive()?.scan(tree, prefix, after, limit)
    }
    /// Entries of one call are not one write: where the power goes, only the first may be there.
    fn audit_append_many(&self, mut leaves: Vec<Vec<u8>>) -> Result<u64, StoreError> {
        let disk = self.alive()?;
        match self.strikes() {
            None => disk.audit_append_many(leaves),
            Some(cut) => {
                leaves.truncate(if cut.kept { leaves.len() } else { leaves.len() / 2 });
                if !leaves.is_empty() {
                    disk.audit_append_many(leaves)?;
                }
                Err(gone())
            }
        }
    }
    fn audit_read(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.alive()?.audit_read(from, limit)
    }
    fn audit_head(&self) -> (u64, [u8; 32]) {
        self.inner.audit_head()
    }
    fn manifest_head(&self) -> (u64, [u8; 32]) {
        self.inner.manifest_head()
    }
    fn poisoned(&self) -> bool {
        self.is_dead()
    }
    fn space(&self) -> Space {
        self.inner.space()
    }
}
