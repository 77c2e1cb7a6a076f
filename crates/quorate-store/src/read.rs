//! Reading records, one at a time or all of them at start.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};
use zeroize::Zeroizing;

use crate::{
    EpochId, StoreError, Tree,
    engine::{Engine, guarded},
    keyring::Keyring,
    merkle::Index,
    record::{self, Head, MANIFEST_KEY},
    seal::{self, Owner, record_aad},
    store::Record,
};

/// What a read works with.
pub(crate) struct Reading<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) owner: &'a Owner,
    pub(crate) keyring: &'a Keyring,
}

impl Reading<'_> {
    pub(crate) fn get(
        &self,
        tree: Tree,
        key: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let head = self.engine.get(&record::head_key(tree, key))?;
        head.map(|value| self.open(tree, key, &value)).transpose()
    }

    pub(crate) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(record::head_key(tree, after)),
            _ => Bound::Included(record::head_key(tree, prefix)),
        };
        let prefix = record::head_key(tree, prefix);
        let mut out = Vec::new();
        for entry in self.engine.range(start) {
            let (physical, value) = entry?;
            if out.len() == limit || !physical.starts_with(&prefix) {
                break;
            }
            let key = physical[1..].to_vec();
            let value = self.open(tree, &key, &value)?;
            out.push((key, value));
        }
        Ok(out)
    }

    /// Joins a record's pieces, and opens it if it is sealed.
    fn open(&self, tree: Tree, key: &[u8], value: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let head_key = record::head_key(tree, key);
        let refuse = |what: &str| {
            let what = format!("{} {what}", record::describe(&head_key));
            StoreError::corrupt(self.engine.dir(), what)
        };
        let head = parse(self.engine, &head_key, value)?;
        let mut body = Zeroizing::new(Vec::with_capacity(head.length));
        body.extend_from_slice(&head.body);
        for number in 1..head.pieces {
            let key = record::piece_key(tree, key, number);
            let piece = self.engine.get(&key)?.ok_or_else(|| refuse("lacks a piece"))?;
            record::leaf(&key, &piece).ok_or_else(|| refuse("has a changed piece"))?;
            body.extend_from_slice(record::decode_piece(&piece).unwrap_or_default());
        }
        if body.len() != head.length {
            return Err(refuse("has pieces of another length"));
        }
        let Some(epoch) = head.epoch else { return Ok(body) };
        let aad = record_aad(self.owner, tree, key, &epoch, head.sequence);
        let epoch_key = self
            .keyring
            .get(&epoch)
            .ok_or_else(|| refuse(&format!("is sealed under epoch {epoch}, which has no key")))?;
        seal::open(epoch_key, &aad, &body)
            .ok_or_else(|| refuse(&format!("does not open under the key of epoch {epoch}")))
    }
}

/// What a start finds in the engine.
pub(crate) struct Census {
    /// The manifest, not verified; `None` if sled has lost it.
    pub(crate) manifest: Option<Vec<u8>>,
    pub(crate) index: Index,
    pub(crate) sealed: BTreeMap<EpochId, BTreeSet<Vec<u8>>>,
}

/// Reads every physical record and holds its check.
pub(crate) fn census(engine: &Engine) -> Result<Census, StoreError> {
    let mut census = Census { manifest: None, index: Index::new(), sealed: BTreeMap::new() };
    guarded(engine.dir(), || {
        for entry in engine.range(Bound::Unbounded) {
            let (key, value) = entry?;
            census.add(engine, &key, &value)?;
        }
        Ok(())
    })?;
    Ok(census)
}

impl Census {
    fn add(&mut self, engine: &Engine, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if key == MANIFEST_KEY {
            self.manifest = Some(value.to_vec());
            return Ok(());
        }
        let Some(leaf) = record::leaf(key, value) else {
            let what = format!("{} was changed", record::describe(key));
            return Err(StoreError::corrupt(engine.dir(), what));
        };
        if record::split_head_key(key).is_some()
            && let Some(epoch) = parse(engine, key, value)?.epoch
        {
            self.sealed.entry(epoch).or_default().insert(key.to_vec());
        }
        self.index.set(key, Some(leaf));
        Ok(())
    }

    /// Holds that each epoch with live records has a key, and that it opens one of them.
    pub(crate) fn hold_keys(&self, reading: &Reading<'_>) -> Result<(), StoreError> {
        for heads in self.sealed.values() {
            let Some((tree, key)) = heads.first().and_then(|h| record::split_head_key(h)) else {
                continue;
            };
            reading.get(tree, key)?;
        }
        Ok(())
    }
}

/// The head of a record whose check holds.
pub(crate) fn parse(engine: &Engine, head_key: &[u8], value: &[u8]) -> Result<Head, StoreError> {
    record::leaf(head_key, value).and_then(|_| record::decode_head(value)).ok_or_else(|| {
        let what = format!("{} was changed", record::describe(head_key));
        StoreError::corrupt(engine.dir(), what)
    })
}
