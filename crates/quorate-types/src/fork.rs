//! The end of a fork: which of two orders that follow the same one stays.

use crate::{
    codec::{CodecError, Part, Reader, Writer},
    ids::Hash,
    order::{Action, ChainId, OrderError, VerifiedOrder},
};
use std::collections::{BTreeMap, BTreeSet};

/// Of two orders that follow the same one, says which stays. A node that has seen both
/// takes no other order of their chain until it has this one.
///
/// It is no link of the chain: the chain goes on from the order that stays, or from what
/// came after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveFork {
    /// The chain that forked.
    pub chain: ChainId,
    /// The order that holds.
    pub stays: Hash,
    /// The order that does not, nor does what was chained after it.
    pub falls: Hash,
}

impl ResolveFork {
    pub(crate) fn check(&self, predecessor: &Hash) -> Result<(), OrderError> {
        let none = Hash::default();
        if self.stays == self.falls || self.stays == none || self.falls == none {
            return Err(OrderError::Rule("a fork has two orders: name both".into()));
        }
        if *predecessor != self.stays {
            return Err(OrderError::Rule("it must follow the order that stays".into()));
        }
        Ok(())
    }
}

impl Part for ResolveFork {
    fn write(&self, w: &mut Writer) {
        self.chain.write(w);
        self.stays.write(w);
        self.falls.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { chain: Part::read(r)?, stays: Part::read(r)?, falls: Part::read(r)? })
    }
}

impl VerifiedOrder {
    /// The fork that it ends, if it ends one.
    #[must_use]
    pub fn resolves(&self) -> Option<&ResolveFork> {
        match &self.order().action {
            Action::ResolveFork(fork) => Some(fork),
            _ => None,
        }
    }

    /// Whether it counts before another where both decide about one order: the later by
    /// its own time does, and of two of one time the one with the larger hash. So all who
    /// know both agree, in whatever order they came.
    #[must_use]
    pub fn overrules(&self, other: &Self) -> bool {
        let rank = |o: &Self| (o.order().issued_at, o.hash());
        rank(self) > rank(other)
    }
}

/// The orders among these that fell, with what was chained after them.
#[must_use]
pub fn fallen(orders: &[VerifiedOrder]) -> BTreeSet<Hash> {
    let mut newest: BTreeMap<Hash, (&VerifiedOrder, bool)> = BTreeMap::new();
    for order in orders {
        let Some(fork) = order.resolves() else { continue };
        for (named, falls) in [(fork.stays, false), (fork.falls, true)] {
            let decided = newest.entry(named).or_insert((order, falls));
            if order.overrules(decided.0) {
                *decided = (order, falls);
            }
        }
    }
    let mut fallen: BTreeSet<Hash> =
        newest.into_iter().filter(|(_, (_, falls))| *falls).map(|(order, _)| order).collect();
    loop {
        let after = |o: &&VerifiedOrder| {
            o.order().chain().is_some() && fallen.contains(&o.order().predecessor)
        };
        let more: Vec<Hash> = orders.iter().filter(after).map(VerifiedOrder::hash).collect();
        let before = fallen.len();
        fallen.extend(more);
        if fallen.len() == before {
            return fallen;
        }
    }
}
