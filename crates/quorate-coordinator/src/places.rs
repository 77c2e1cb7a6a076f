//! Which order has taken which place in its chain through this coordinator.
//!
//! Two operators who order something of one key at the same moment name the same predecessor. If
//! both orders reached nodes, the chain would have forked, and would take nothing until operators
//! have said which stays. So the second one is brought to nobody: its operator is told, and
//! orders again. This is a courtesy, not a protection: it is forgotten at a restart, another
//! coordinator does not know of it, and the nodes hold to their own rule.

use quorate_rpc::{Fault, FaultKind};
use quorate_types::{ChainId, Hash, VerifiedOrder};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Places that are remembered: far more than orders are made at the same moment.
const MOST: usize = 4096;

type Place = (ChainId, Hash);

/// The places that were taken, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    by: HashMap<Place, Hash>,
    order: VecDeque<Place>,
}

impl Places {
    /// Takes the place of an order, before any node hears of it.
    ///
    /// # Errors
    /// If another order has it.
    pub(crate) fn take(&self, order: &VerifiedOrder) -> Result<(), Fault> {
        let Some(place) = place(order) else { return Ok(()) };
        match self.lock().take(place, order.hash()) {
            None => Ok(()),
            Some(first) => Err(Fault::new(FaultKind::AlreadyExists, refusal(&first))),
        }
    }

    /// Gives the place of an order back that no node has applied.
    pub(crate) fn give_back(&self, order: &VerifiedOrder) {
        if let Some(place) = place(order) {
            self.lock().give_back(&place, &order.hash());
        }
    }

    /// Operators have said which of two orders stays: that may be the one that came second.
    pub(crate) fn resolved(&self, chain: &ChainId) {
        let mut taken = self.lock();
        taken.by.retain(|(of, _), _| of != chain);
        taken.order.retain(|(of, _)| of != chain);
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(first: &Hash) -> String {
    format!(
        "order {first} came first, and follows the same one: this order was brought to no node and \
         changes nothing. See `quorate order list` for what the other one does; if this is still \
         wanted, run the command again, which makes an order that follows it"
    )
}

fn place(order: &VerifiedOrder) -> Option<Place> {
    Some((order.order().chain()?, order.order().predecessor))
}

impl Taken {
    /// Who has the place, if that is another one.
    fn take(&mut self, place: Place, order: Hash) -> Option<Hash> {
        if let Some(first) = self.by.get(&place) {
            return Some(*first).filter(|first| *first != order);
        }
        if self.order.len() >= MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.by.remove(&oldest);
        }
        self.by.insert(place.clone(), order);
        self.order.push_back(place);
        None
    }

    fn give_back(&mut self, place: &Place, order: &Hash) {
        if self.by.get(place) == Some(order) {
            self.by.remove(place);
            self.order.retain(|p| p != place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u8) -> Place {
        (ChainId::Policy, Hash([n; 32]))
    }

    #[test]
    fn of_two_orders_after_the_same_one_the_second_is_brought_to_nobody() {
        let (mut taken, one, two) = (Taken::default(), Hash([1; 32]), Hash([2; 32]));
        assert_eq!(taken.take(at(0), one), None);
        assert_eq!(taken.take(at(0), one), None, "the same order again");
        assert_eq!(taken.take(at(0), two), Some(one));
        assert_eq!(taken.take(at(1), two), None, "it follows the first now");
        // What no node took is in nobody's way; what another has is not given back.
        taken.give_back(&at(0), &two);
        assert_eq!(taken.take(at(0), two), Some(one));
        taken.give_back(&at(0), &one);
        assert_eq!(taken.take(at(0), two), None);
    }

    #[test]
    fn the_oldest_places_are_forgotten() {
        let mut taken = Taken::default();
        for n in 0..=MOST as u64 {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            assert_eq!(taken.take((ChainId::Policy, Hash(hash)), Hash(hash)), None);
        }
        assert_eq!((taken.by.len(), taken.order.len()), (MOST, MOST));
        assert_eq!(taken.take((ChainId::Policy, Hash([0; 32])), Hash([9; 32])), None);
    }
}
