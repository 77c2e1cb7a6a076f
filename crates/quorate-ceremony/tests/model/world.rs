//! A state: what every honest node has on disk, and every message that was ever sent.
//!
//! Messages are never taken away: a lost one is not delivered, a late or repeated one is
//! delivered later or again. A crash changes nothing, since a step persists before it answers
//! and does nothing else: it happened, or it did not.

use crate::{
    config::Config,
    field::{MAX_NODES, SECRET, Values, bits, evaluate},
};
use quorate_ceremony::{Live, Named, Proof, Standing};
use quorate_types::{EpochName, Hash, Millis};
use std::sync::Arc;

/// The public values of an epoch, and ideal proofs about it: whoever has one has verified it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Public {
    pub(crate) epoch: EpochName,
    pub(crate) parent: Option<EpochName>,
}

impl Named for Public {
    fn epoch(&self) -> EpochName {
        self.epoch
    }
    fn parent(&self) -> Option<EpochName> {
        self.parent
    }
}

impl Proof for Public {
    type Of = Self;
    fn of(&self) -> &Self {
        self
    }
}

/// The real rules.
pub(crate) type Rules = Standing<Public, Public>;

/// What an honest node has on disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) standing: Rules,
    /// The newest order that it knows.
    pub(crate) head: Option<usize>,
    /// Its attempts, by ascending number.
    pub(crate) attempts: Vec<(u64, Attempt)>,
    /// The shares that are not erased, by ascending number.
    pub(crate) shares: Vec<(u64, u8)>,
}

/// What it keeps of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The list under which it has dealt or received: names the epoch that this makes.
    pub(crate) list: Option<EpochName>,
    /// The epoch whose receipt it has signed.
    pub(crate) receipt: Option<Public>,
}

impl Node {
    pub(crate) fn attempt(&self, number: u64) -> Option<&Attempt> {
        self.attempts.iter().find(|(n, _)| *n == number).map(|(_, a)| a)
    }

    pub(crate) fn attempt_mut(&mut self, number: u64) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|(n, _)| *n == number).map(|(_, a)| a)
    }

    pub(crate) fn share(&self, number: u64) -> Option<u8> {
        self.shares.iter().find(|(n, _)| *n == number).map(|(_, s)| *s)
    }

    pub(crate) fn seal(&mut self, number: u64, share: u8) {
        self.shares.retain(|(n, _)| *n != number);
        self.shares.push((number, share));
        self.shares.sort_unstable();
    }

    /// Whether the node holds the share of an epoch.
    pub(crate) fn holds(&self, epoch: EpochName) -> bool {
        let live = self.standing.live(epoch.number);
        live.is_some_and(|l| l.epoch == Some(epoch)) && self.share(epoch.number).is_some()
    }
}

/// An epoch that somebody has dealt for, with all signatures of honest nodes about it. Liars
/// have signed everything, and dealt what they hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Epoch {
    pub(crate) public: Public,
    /// Who deals.
    pub(crate) dealers: u8,
    /// Who is on the list with a ceremony key.
    pub(crate) receivers: u8,
    /// Who has dealt.
    pub(crate) dealt: u8,
    /// What each of them has dealt: its share of the parent.
    pub(crate) constants: Values,
    /// The share of every receiver, once all have dealt.
    pub(crate) shares: Option<Values>,
    /// Who has signed a receipt.
    pub(crate) receipts: u8,
    /// Who has signed it active.
    pub(crate) actives: u8,
}

/// The prepare answers of honest nodes for one number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Prepared {
    pub(crate) nodes: u8,
    /// Who of them offers to deal the share of which parent.
    pub(crate) offers: Vec<(EpochName, u8)>,
}

impl Prepared {
    /// Who offers a share of this epoch.
    pub(crate) fn offers(&self, parent: EpochName) -> u8 {
        self.offers.iter().find(|(p, _)| *p == parent).map_or(0, |(_, mask)| *mask)
    }

    /// Whose answers can be on a list for this parent.
    pub(crate) fn answers(&self, parent: EpochName) -> u8 {
        let other = self.offers.iter().filter(|(p, _)| *p != parent);
        self.nodes & !other.fold(0, |mask, (_, m)| mask | m)
    }
}

/// A state.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) config: Arc<Config>,
    /// By bit; liars have none.
    pub(crate) nodes: Vec<Option<Arc<Node>>>,
    /// Ascending by name.
    pub(crate) epochs: Vec<Epoch>,
    /// By number, from 2.
    pub(crate) prepared: Vec<Prepared>,
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        (&self.nodes, &self.epochs, &self.prepared)
            == (&other.nodes, &other.epochs, &other.prepared)
    }
}

impl World {
    /// A key is born, and all of its committee hold their shares.
    pub(crate) fn born(config: &Arc<Config>) -> Self {
        let order = &config.orders[0];
        let epoch = name(1, None, order.committee, order.committee);
        let public = Public { epoch, parent: None };
        let mut shares = Values::default();
        let mut polynomial = polynomial(epoch, 0, order.t, SECRET);
        polynomial.truncate(order.t);
        for node in bits(order.committee) {
            shares[node] = evaluate(&polynomial, node);
        }
        let node = |bit: usize| {
            if config.honest() >> bit & 1 == 0 {
                return None;
            }
            if order.committee >> bit & 1 == 0 {
                return Some(Arc::new(Node::default())); // it will join without history
            }
            let live =
                Live { dealt: true, epoch: Some(epoch), active: true, ..Live::prepared(1, None) };
            let (active, in_force) = (Some(public), Some(epoch));
            let in_force_since = Millis::default();
            let standing =
                Rules { active, noted: None, in_force, in_force_since, live: vec![live] };
            let attempt = Attempt { list: Some(epoch), receipt: Some(public) };
            Some(Arc::new(Node {
                standing,
                head: Some(0),
                attempts: vec![(1, attempt)],
                shares: vec![(1, shares[bit])],
            }))
        };
        let signed = order.committee & !config.liars;
        let birth = Epoch {
            public,
            dealers: order.committee,
            receivers: order.committee,
            dealt: signed,
            constants: Values::default(),
            shares: Some(shares),
            receipts: signed,
            actives: signed,
        };
        let numbers = config.orders[config.orders.len() - 1].numbers.1 - 1;
        Self {
            config: Arc::clone(config),
            nodes: (0..MAX_NODES).map(node).collect(),
            epochs: vec![birth],
            prepared: vec![Prepared::default(); numbers as usize],
        }
    }

    /// The honest nodes.
    pub(crate) fn honest(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter_map(|(bit, node)| Some((bit, node.as_deref()?)))
    }

    pub(crate) fn epoch(&self, name: EpochName) -> Option<&Epoch> {
        let at = self.epochs.binary_search_by_key(&name, |e| e.public.epoch).ok()?;
        Some(&self.epochs[at])
    }

    pub(crate) fn epoch_mut(&mut self, name: EpochName) -> Option<&mut Epoch> {
        let at = self.epochs.binary_search_by_key(&name, |e| e.public.epoch).ok()?;
        Some(&mut self.epochs[at])
    }

    pub(crate) fn prepared(&self, number: u64) -> &Prepared {
        &self.prepared[number as usize - 2]
    }

    pub(crate) fn prepared_mut(&mut self, number: u64) -> &mut Prepared {
        &mut self.prepared[number as usize - 2]
    }
}

/// Names an epoch: an ideal hash of the number, the parent, the dealers and the list.
pub(crate) fn name(
    number: u64,
    parent: Option<EpochName>,
    dealers: u8,
    receivers: u8,
) -> EpochName {
    let mut hash = [0; 32];
    (hash[0], hash[1]) = (dealers, receivers);
    if let Some(parent) = parent {
        hash[2] = parent.number as u8;
        hash[3..].copy_from_slice(&parent.bundle.0[..29]);
    }
    EpochName { number, bundle: Hash(hash) }
}

/// What a dealer deals: fresh in every epoch, with its share for the constant.
pub(crate) fn polynomial(epoch: EpochName, dealer: usize, t: usize, constant: u8) -> Vec<u8> {
    let mut mixed = epoch.number * 31 + dealer as u64;
    let mut coefficient = |_| {
        for byte in epoch.bundle.0 {
            mixed = (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        ((mixed >> 20) % 101) as u8
    };
    std::iter::once(constant).chain((1..t).map(&mut coefficient)).collect()
}
