//! The store that a node runs on.

use quorate_crypto::IdentityKey;
use std::{
    fs::File,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};
use zeroize::Zeroizing;

use crate::{
    Batch, Space, Store, StoreError, Tree,
    audit_log::AuditLog,
    batch::check_key,
    commit::{self, Live, Writer},
    disk::Disk,
    engine::Engine,
    group::Group,
    manifest::Slots,
    open::{self, Opening, Parts},
    read::Reading,
    room::Room,
    seal::Owner,
    store::Record,
};

/// sled behind a barrier, with sealed records, a signed manifest, and the audit log beside it.
///
/// Dropping it, or [`SledStore::close`], writes a last manifest with the newest audit head.
pub struct SledStore {
    // Fields are dropped in this order: the lock goes last.
    pub(crate) engine: Engine,
    live: RwLock<Live>,
    group: Group<Batch>,
    audit: AuditLog,
    slots: Slots,
    pub(crate) room: Room,
    disk: Arc<Disk>,
    owner: Owner,
    identity: IdentityKey,
    _lock: File,
}

impl SledStore {
    /// Makes a store in a directory that is missing or empty, and opens it. For a new node only: a
    /// node that has lost its directory is repaired from its peers.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`], or the disk's.
    pub fn create(dir: &Path, mut opening: Opening) -> Result<Self, StoreError> {
        let disk = Arc::new(Disk::new(opening.on_poison.take()));
        open::create(&disk, dir, &opening)?;
        open::open(disk, dir, opening).map(Self::from_parts)
    }

    /// Opens a store and verifies all of it.
    ///
    /// # Errors
    /// A clear one for each of: no store, another's store, another format, in use, a wrong KEK, and
    /// corruption, which names the file and the record.
    pub fn open(dir: &Path, mut opening: Opening) -> Result<Self, StoreError> {
        let disk = Arc::new(Disk::new(opening.on_poison.take()));
        open::open(disk, dir, opening).map(Self::from_parts)
    }

    /// Writes the last manifest and lets go of the directory.
    ///
    /// # Errors
    /// Poison. What was acknowledged is durable all the same.
    pub fn close(self) -> Result<(), StoreError> {
        self.fold_audit_head()
    }

    pub(crate) fn from_parts(parts: Parts) -> Self {
        let Parts { owner, identity, disk, engine, slots, audit, live, room, lock } = parts;
        let (group, live) = (Group::new(0), RwLock::new(live));
        Self { engine, live, group, audit, slots, room, disk, owner, identity, _lock: lock }
    }

    fn alive_with_room(&self) -> Result<(), StoreError> {
        self.disk.alive()?;
        let space = self.room.space();
        if space.allows_writes() {
            return Ok(());
        }
        Err(StoreError::Full { free: space.free, hard: space.hard })
    }

    fn submit(&self, batch: Batch) -> Result<(), StoreError> {
        self.group.submit(batch, 1, commit::fits, |batches| self.lead(&batches)).map(drop)
    }

    fn lead(&self, batches: &[Batch]) -> Result<(), StoreError> {
        let writer = Writer {
            disk: &self.disk,
            engine: &self.engine,
            slots: &self.slots,
            owner: &self.owner,
            identity: &self.identity,
        };
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        // A failed step leaves memory ahead of the disk: whatever failed, nothing may follow.
        writer
            .commit(&mut live, batches, self.audit.chain())
            .map_err(|e| self.disk.poison(&e.to_string()))
    }

    /// Writes a manifest that remembers the audit log as it is now, unless the last one does.
    fn fold_audit_head(&self) -> Result<(), StoreError> {
        self.disk.alive()?;
        self.room.give_back_if_full();
        let remembered =
            self.live.read().unwrap_or_else(PoisonError::into_inner).manifest.audit.clone();
        if remembered == self.audit.chain() { Ok(()) } else { self.submit(Batch::new()) }
    }

    fn read<T>(
        &self,
        run: impl FnOnce(&Reading<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        // Checked under the lock: a failed step never shows what it did not make durable.
        self.disk.alive()?;
        let (engine, owner, keyring) = (&self.engine, &self.owner, &live.keyring);
        run(&Reading { engine, owner, keyring })
    }
}

impl Store for SledStore {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        self.alive_with_room()?;
        self.submit(batch)
    }

    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        check_key(tree, key)?;
        self.read(|r| r.get(tree, key))
    }

    fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.read(|r| r.scan(tree, prefix, after, limit))
    }

    fn audit_append_many(&self, leaves: Vec<Vec<u8>>) -> Result<u64, StoreError> {
        self.alive_with_room()?;
        let count = leaves.len() as u64;
        let first = self.audit.append(leaves)?;
        if first / FOLD_EVERY != (first + count) / FOLD_EVERY {
            self.fold_audit_head()?;
        }
        Ok(first)
    }

    fn audit_read(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.disk.alive()?;
        self.audit.read(from, limit)
    }

    fn audit_head(&self) -> (u64, [u8; 32]) {
        let chain = self.audit.chain();
        (chain.length(), *chain.head())
    }

    fn manifest_head(&self) -> (u64, [u8; 32]) {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        (live.manifest.sequence, live.manifest.hash())
    }

    fn poisoned(&self) -> bool {
        self.disk.is_poisoned()
    }

    fn space(&self) -> Space {
        self.room.space()
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // Nothing acknowledged depends on this: it only makes a cut log's tail visible.
        if !self.disk.is_poisoned() && !std::thread::panicking() {
            let _ = self.fold_audit_head();
        }
    }
}

/// Entries after which the manifest learns the audit head: bounds what an edit of the files of a
/// stopped node could cut off unseen by the node itself. Peers see it anyway. Small in tests.
const FOLD_EVERY: u64 = if cfg!(test) { 16 } else { 4096 };
