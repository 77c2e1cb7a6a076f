//! What every honest node has said, and what it must not say beside it.

use crate::broken::{Broken, Held, holds};
use quorate_types::*;
use std::collections::{BTreeMap, BTreeSet};

/// An epoch that somebody has signed something for.
pub(crate) struct Epoch {
    pub(crate) public: EpochPublic,
    pub(crate) q: usize,
    /// Honest nodes that have signed a receipt.
    pub(crate) receipts: BTreeSet<NodeIndex>,
    /// Honest nodes that have signed it active.
    pub(crate) actives: BTreeSet<NodeIndex>,
}

/// Statements of honest nodes. A faulty node counts as having signed whatever helps.
pub(crate) struct Ledger {
    pub(crate) faulty: BTreeSet<NodeIndex>,
    pub(crate) epochs: BTreeMap<EpochName, Epoch>,
    once: BTreeMap<(&'static str, NodeIndex, u64), Vec<u8>>,
    genesis: BTreeMap<(NodeIndex, KeyVersion), EpochName>,
    /// The public key of each version that has one.
    pub(crate) born: BTreeMap<KeyVersion, [u8; 32]>,
}

impl Ledger {
    pub(crate) fn new(faulty: BTreeSet<NodeIndex>) -> Self {
        Self {
            faulty,
            epochs: BTreeMap::new(),
            once: BTreeMap::new(),
            genesis: BTreeMap::new(),
            born: BTreeMap::new(),
        }
    }

    /// What is said once for each number; whether this is the first time.
    pub(crate) fn once(
        &mut self,
        rule: &'static str,
        node: NodeIndex,
        number: u64,
        said: &[u8],
    ) -> Result<bool, Broken> {
        let before = self.once.insert((rule, node, number), said.to_vec());
        let first = before.is_none();
        holds!(rule, before.is_none_or(|b| b == said), "node {node}, number {number}");
        Ok(first)
    }

    /// An honest node has signed a receipt; whether for the first time.
    pub(crate) fn receipt(
        &mut self,
        node: NodeIndex,
        public: &EpochPublic,
        q: usize,
    ) -> Result<bool, Broken> {
        let number = public.epoch.number;
        let first = self.once("one receipt", node, number, public.epoch.bundle.as_bytes())?;
        if let Some(y) = self.born.get(&public.version)
            && public.parent.is_some()
        {
            holds!("I2", y == public.public_key(), "node {node} takes a share of another key");
        }
        let fresh = Epoch {
            public: public.clone(),
            q,
            receipts: BTreeSet::new(),
            actives: BTreeSet::new(),
        };
        let epoch = self.epochs.entry(public.epoch).or_insert(fresh);
        holds!("I4", epoch.public == *public, "{} names two epochs", public.epoch);
        epoch.receipts.insert(node);
        let of_number = self.epochs.values().filter(|e| e.public.epoch.number == number);
        let certified = of_number.filter(|e| self.signers(e, &e.receipts) >= e.q).count();
        holds!("one bundle", certified <= 1, "number {number} is certified twice");
        Ok(first)
    }

    /// An honest node has signed an epoch active.
    pub(crate) fn active(&mut self, node: NodeIndex, public: &EpochPublic) -> Held {
        let name = public.epoch;
        let certified = self.certified(&name);
        holds!("certified", certified, "node {node} activates {name} without q receipts");
        let version = public.version;
        if public.parent.is_none() {
            let one = *self.genesis.entry((node, version)).or_insert(name);
            holds!("one key", one == name, "node {node} has signed {one} and {name} active");
        }
        let Some(epoch) = self.epochs.get_mut(&name) else { return Ok(()) };
        epoch.actives.insert(node);
        let y = *public.public_key();
        if self.in_force(&name) {
            let born = *self.born.entry(version).or_insert(y);
            let rule = if public.parent.is_none() { "one key" } else { "I2" };
            holds!(rule, born == y, "{name} is in force under another key");
        }
        Ok(())
    }

    /// Whether honest nodes hold shares of two bundles of one number.
    pub(crate) fn is_split(&self, number: u64) -> bool {
        self.epochs.keys().filter(|e| e.number == number).count() > 1
    }

    /// Whether `q` nodes may have signed its receipts.
    pub(crate) fn certified(&self, name: &EpochName) -> bool {
        self.epochs.get(name).is_some_and(|e| self.signers(e, &e.receipts) >= e.q)
    }

    /// Whether `q` nodes may have signed it active.
    pub(crate) fn in_force(&self, name: &EpochName) -> bool {
        self.epochs.get(name).is_some_and(|e| self.signers(e, &e.actives) >= e.q)
    }

    fn signers(&self, epoch: &Epoch, honest: &BTreeSet<NodeIndex>) -> usize {
        let faulty = epoch.public.committee.indices().filter(|n| self.faulty.contains(n));
        honest.len() + faulty.count()
    }
}
