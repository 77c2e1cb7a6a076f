//! One durable step: what the leader of a group of batches does.

use quorate_crypto::IdentityKey;
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Batch, EpochId, StoreError, Tree,
    batch::{Change, MAX_BATCH_BYTES, MAX_CHANGES},
    disk::Disk,
    engine::{Changes, Engine},
    keyring::Keyring,
    manifest::{Claims, Manifest, Slots},
    merkle::Index,
    read,
    record::{self, Head, MANIFEST_KEY},
    seal::{self, Owner, record_aad},
};

/// What is live, as of the newest durable manifest. Readers share it, the leader of a commit has it
/// alone until its step is durable: so nobody reads what a power cut could take back.
pub(crate) struct Live {
    pub(crate) index: Index,
    pub(crate) keyring: Keyring,
    /// Physical heads of the records that are sealed under each epoch.
    pub(crate) sealed: BTreeMap<EpochId, BTreeSet<Vec<u8>>>,
    pub(crate) manifest: Manifest,
}

/// What a step works with.
pub(crate) struct Writer<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) engine: &'a Engine,
    pub(crate) slots: &'a Slots,
    pub(crate) owner: &'a Owner,
    pub(crate) identity: &'a IdentityKey,
}

/// Whether a batch may join a group: within the limits of one batch, and never sealing under an
/// epoch that the group erases.
pub(crate) fn fits(taken: &[Batch], next: &Batch) -> bool {
    let all = || taken.iter().chain([next]);
    all().map(Batch::len).sum::<usize>() <= MAX_CHANGES
        && all().map(Batch::weight).sum::<usize>() <= MAX_BATCH_BYTES
        && !next.seals_under().any(|epoch| taken.iter().any(|b| b.erases(epoch)))
}

impl Writer<'_> {
    /// Makes a group of batches durable. What a crash between two of these writes means:
    /// after 1: keys without records, dropped at the next start;
    /// in 2: sled shows the whole group or nothing of it;
    /// after 2: sled is one ahead of the slots, admitted at the next start, nobody was told;
    /// after 3: everything is there; erased keys are dropped at the next start.
    pub(crate) fn commit(
        &self,
        live: &mut Live,
        batches: &[Batch],
        audit: quorate_audit::Chain,
    ) -> Result<(), StoreError> {
        let mut step = Step::new(self, live);
        for change in batches.iter().flat_map(Batch::changes) {
            step.stage(change)?;
        }
        let Step { mut changes, fresh, erased, live, .. } = step;
        for (key, value) in &changes {
            let leaf = value.as_ref().and_then(|v| record::leaf(key, v));
            live.index.set(key, leaf);
        }
        let claims = Claims { count: live.index.count(), root: live.index.root(), audit };
        let next = Manifest::next(Some(&live.manifest), claims, self.owner, self.identity);
        changes.insert(MANIFEST_KEY.to_vec(), Some(next.bytes().to_vec()));

        live.keyring.append(self.disk, &fresh)?; // 1
        self.engine.apply(&changes)?; // 2
        self.slots.write(self.disk, &next)?; // 3
        if erased {
            live.keyring.rewrite(self.disk)?; // 4
        }
        live.manifest = next;
        Ok(())
    }
}

struct Step<'a, 'w> {
    writer: &'a Writer<'w>,
    live: &'a mut Live,
    sequence: u64,
    changes: Changes,
    fresh: Vec<EpochId>,
    erased: bool,
}

impl<'a, 'w> Step<'a, 'w> {
    fn new(writer: &'a Writer<'w>, live: &'a mut Live) -> Self {
        let sequence = live.manifest.sequence + 1;
        let (changes, fresh, erased) = (Changes::new(), Vec::new(), false);
        Self { writer, live, sequence, changes, fresh, erased }
    }

    fn stage(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Put { tree, key, value } => {
                self.remove(&record::head_key(*tree, key))?;
                self.insert(*tree, key, None, value);
            }
            Change::Seal { tree, key, epoch, value } => {
                self.remove(&record::head_key(*tree, key))?;
                self.seal(*tree, key, epoch, value);
            }
            Change::Delete { tree, key } => self.remove(&record::head_key(*tree, key))?,
            Change::Erase { epoch } => self.erase(epoch)?,
        }
        Ok(())
    }

    fn seal(&mut self, tree: Tree, key: &[u8], epoch: &EpochId, value: &[u8]) {
        if self.live.keyring.get(epoch).is_none() {
            self.live.keyring.make(epoch.clone());
            self.fresh.push(epoch.clone());
        }
        let aad = record_aad(self.writer.owner, tree, key, epoch, self.sequence);
        let epoch_key = self.live.keyring.get(epoch).expect("it was made above if it was missing");
        let body = seal::seal(epoch_key, &aad, value);
        self.insert(tree, key, Some(epoch), &body);
        let heads = self.live.sealed.entry(epoch.clone()).or_default();
        heads.insert(record::head_key(tree, key));
    }

    fn erase(&mut self, epoch: &EpochId) -> Result<(), StoreError> {
        for head in self.live.sealed.remove(epoch).unwrap_or_default() {
            self.remove(&head)?;
        }
        self.erased |= self.live.keyring.get(epoch).is_some();
        self.live.keyring.forget(epoch);
        Ok(())
    }

    fn insert(&mut self, tree: Tree, key: &[u8], epoch: Option<&EpochId>, body: &[u8]) {
        for (key, value) in record::encode(tree, key, epoch, self.sequence, body) {
            self.changes.insert(key, Some(value));
        }
    }

    /// Removes a record, head and pieces, if it is there.
    fn remove(&mut self, head_key: &[u8]) -> Result<(), StoreError> {
        let Some(head) = self.old(head_key)? else { return Ok(()) };
        let Some((tree, key)) = record::split_head_key(head_key) else { return Ok(()) };
        for number in 1..head.pieces {
            self.changes.insert(record::piece_key(tree, key, number), None);
        }
        self.changes.insert(head_key.to_vec(), None);
        if let Some(heads) = head.epoch.as_ref().and_then(|e| self.live.sealed.get_mut(e)) {
            heads.remove(head_key);
        }
        Ok(())
    }

    /// The head that stands there now: staged in this step, or live.
    fn old(&self, head_key: &[u8]) -> Result<Option<Head>, StoreError> {
        let parse = |value: &[u8]| read::parse(self.writer.engine, head_key, value);
        match self.changes.get(head_key) {
            Some(None) => Ok(None),
            Some(Some(value)) => parse(value).map(Some),
            None => self.writer.engine.get(head_key)?.map(|v| parse(&v)).transpose(),
        }
    }
}
