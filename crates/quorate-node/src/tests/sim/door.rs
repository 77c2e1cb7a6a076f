//! Where a node's share is used: it is seen whether the use stands durably in the log by then,
//! and that no nonce pair signs twice. A liar's door gives out something else.

use super::{Broken, disk::Disk};
use crate::evaluator::{Evaluator, Honest, Items};
use quorate_crypto::{
    SecretScalar,
    frost::{KeyShare, NoncePair, SignError, SigningSet},
};
use quorate_types::{AuditEntry, Decision, Event, Format};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

/// What is seen at all doors.
#[derive(Default)]
pub(crate) struct Seen {
    /// Nonce pairs that have signed.
    signed: Mutex<BTreeSet<[u8; 64]>>,
    broken: Mutex<Option<Broken>>,
}

impl Seen {
    pub(crate) fn broken(&self) -> Result<(), Broken> {
        self.broken.lock().unwrap().take().map_or(Ok(()), Err)
    }

    fn breaks(&self, rule: &'static str, how: String) {
        self.broken.lock().unwrap().get_or_insert(Broken { rule, how });
    }
}

pub(crate) struct Door {
    pub(crate) node: usize,
    pub(crate) disk: Arc<Disk>,
    pub(crate) seen: Arc<Seen>,
    /// The head of the request that the node is answering.
    pub(crate) request: Mutex<Vec<u8>>,
    /// Whether it lies at the next use.
    pub(crate) lies: AtomicBool,
}

impl Door {
    fn opens(&self) {
        let last = self.disk.durable_log(self.disk_end());
        let entry = last.first().map(|(_, leaf)| AuditEntry::from_bytes(leaf).unwrap());
        let granted = match entry.map(|entry| entry.event) {
            Some(Event::Request { head, decision: Decision::Granted(_), .. }) => {
                head == *self.request.lock().unwrap()
            }
            _ => false,
        };
        if !granted {
            let how = format!("node {} uses its share, and its log does not say so", self.node);
            self.seen.breaks("audit", how);
        }
    }

    fn disk_end(&self) -> u64 {
        quorate_store::Store::audit_head(&*self.disk).0.saturating_sub(1)
    }

    fn lies(&self) -> bool {
        self.lies.load(Ordering::SeqCst)
    }
}

impl Evaluator for Door {
    fn partials(&self, share: &SecretScalar, items: &Items) -> Vec<[u8; 32]> {
        self.opens();
        if self.lies() {
            return Honest.partials(&SecretScalar::from_bytes(&TWO).unwrap(), items);
        }
        Honest.partials(share, items)
    }

    fn sign(
        &self,
        key: &KeyShare,
        pairs: Vec<NoncePair>,
        sets: &[SigningSet],
    ) -> Vec<Result<[u8; 32], SignError>> {
        self.opens();
        let pairs_of = pairs.iter().map(|pair| *pair.commitments().to_bytes());
        let pairs_of: Vec<[u8; 64]> = pairs_of.collect();
        let mut shares = Honest.sign(key, pairs, sets);
        for (pair, share) in pairs_of.into_iter().zip(&mut shares) {
            // A pair of which a share was made: what is refused reveals nothing.
            if share.is_ok() && !self.seen.signed.lock().unwrap().insert(pair) {
                self.seen.breaks("nonces", format!("node {} signs twice under a pair", self.node));
            }
            if let (Ok(bytes), true) = (share, self.lies()) {
                bytes[0] ^= 1;
            }
        }
        shares
    }
}

const TWO: [u8; 32] = {
    let mut two = [0; 32];
    two[0] = 2;
    two
};
