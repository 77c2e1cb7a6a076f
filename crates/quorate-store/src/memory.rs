//! A store that forgets everything when it is dropped.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use quorate_audit::Chain;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    Batch, EpochId, Space, Store, StoreError, Tree,
    batch::{Change, check_key},
    store::Record,
};

/// The trait in memory, for tests and simulators: same rules and limits, no disk, no sealing. It is
/// the slow, obviously right model that the engine is compared with.
#[derive(Default)]
pub struct MemStore {
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    records: BTreeMap<(Tree, Vec<u8>), Held>,
    leaves: Vec<Vec<u8>>,
    chain: Chain,
    commits: u64,
    manifest: [u8; 32],
    poisoned: Option<String>,
    full: bool,
}

impl MemStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every call fails, as after a failed sync.
    pub fn poison(&self, cause: &str) {
        self.state().poisoned = Some(cause.to_owned());
    }

    /// From now on the disk is full, or is not.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// The number of records sealed under each epoch.
    #[must_use]
    pub fn epochs(&self) -> HashMap<EpochId, usize> {
        let mut count = HashMap::new();
        for (epoch, _) in self.state().records.values() {
            if let Some(epoch) = epoch {
                *count.entry(epoch.clone()).or_default() += 1;
            }
        }
        count
    }

    /// A copy of everything, as a disk image is: to be put back later.
    #[must_use]
    pub fn image(&self) -> Self {
        Self { state: Mutex::new(self.state().clone()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panicking test thread leaves whole states only: each change below is one insertion.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        match &state.poisoned {
            Some(cause) => Err(StoreError::Poisoned { cause: cause.clone() }),
            None => Ok(state),
        }
    }

    fn writable(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.alive()?;
        if state.full {
            return Err(StoreError::Full { free: 0, hard: SPACE.hard });
        }
        Ok(state)
    }
}

impl Store for MemStore {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let mut state = self.writable()?;
        for change in batch.changes() {
            match change {
                Change::Put { tree, key, value } => {
                    state.records.insert((*tree, key.clone()), (None, value.clone()));
                }
                Change::Seal { tree, key, epoch, value } => {
                    let record = (Some(epoch.clone()), value.clone());
                    state.records.insert((*tree, key.clone()), record);
                }
                Change::Delete { tree, key } => {
                    state.records.remove(&(*tree, key.clone()));
                }
                Change::Erase { epoch } => {
                    state.records.retain(|_, (e, _)| e.as_ref() != Some(epoch));
                }
            }
        }
        state.commits += 1;
        let mut hash = Sha256::new();
        hash.update(state.manifest);
        hash.update(state.commits.to_be_bytes());
        state.manifest = hash.finalize().into();
        Ok(())
    }

    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        check_key(tree, key)?;
        Ok(self.alive()?.records.get(&(tree, key.to_vec())).map(|(_, v)| v.clone()))
    }

    fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let state = self.alive()?;
        let from = after.unwrap_or_default().max(prefix).to_vec();
        let wanted = |key: &[u8]| after.is_none_or(|a| key > a);
        let found = (state.records.range((tree, from)..))
            .take_while(|((t, k), _)| *t == tree && k.starts_with(prefix))
            .filter(|((_, k), _)| wanted(k));
        Ok(found.take(limit).map(|((_, k), (_, v))| (k.clone(), v.clone())).collect())
    }

    fn audit_append_many(&self, leaves: Vec<Vec<u8>>) -> Result<u64, StoreError> {
        quorate_audit::check_batch(&leaves).map_err(StoreError::Leaf)?;
        let mut state = self.writable()?;
        let first = state.chain.length();
        for leaf in leaves {
            state.chain.append(&leaf);
            state.leaves.push(leaf);
        }
        Ok(first)
    }

    fn audit_read(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let state = self.alive()?;
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let found = (0_u64..).zip(&state.leaves).skip(from).take(limit);
        Ok(found.map(|(i, leaf)| (i, leaf.clone())).collect())
    }

    fn audit_head(&self) -> (u64, [u8; 32]) {
        let state = self.state();
        (state.chain.length(), *state.chain.head())
    }

    fn manifest_head(&self) -> (u64, [u8; 32]) {
        let state = self.state();
        (state.commits, state.manifest)
    }

    fn poisoned(&self) -> bool {
        self.state().poisoned.is_some()
    }

    fn space(&self) -> Space {
        if self.state().full { Space { free: 0, ..SPACE } } else { SPACE }
    }
}

/// A value, and the epoch that it is sealed under.
type Held = (Option<EpochId>, Zeroizing<Vec<u8>>);

const SPACE: Space = Space { free: 1 << 40, soft: 128 << 20, hard: 64 << 20 };
