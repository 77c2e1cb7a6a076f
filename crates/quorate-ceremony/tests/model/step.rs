//! The steps at an honest node: what the functions of the crate do once they have verified a
//! message, by the same methods of `Standing`, and nothing else. Each gives whether anything
//! has changed. [`Mutant`]s are around those methods, never in them.

use crate::{
    config::Mutant,
    field::{Values, bits, count, evaluate, interpolate},
    world::{Attempt, Epoch, Node, Public, World, name, polynomial},
};
use quorate_ceremony::{Activation, End, Live, Receiving, may_follow};
use quorate_types::{EpochName, Hash};
use std::sync::Arc;

/// Which signatures a quorum may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liars {
    Sign,
    AreSilent,
}

/// Everything that a dealer and a receiver must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) number: u64,
    pub(crate) parent: EpochName,
    pub(crate) dealers: u8,
    pub(crate) receivers: u8,
}

impl World {
    fn quorum(&self, epoch: &Epoch, signed: u8, liars: Liars) -> bool {
        let terms = self.config.terms(epoch.public.epoch.number);
        let liars = if liars == Liars::Sign { self.config.liars } else { 0 };
        count((signed | liars) & terms.committee) >= terms.q
    }

    /// Whether there is a certificate: `q` receipts.
    pub(crate) fn certified(&self, epoch: &Epoch) -> bool {
        self.quorum(epoch, epoch.receipts, Liars::Sign)
    }

    /// Whether there is a birth or retire certificate.
    pub(crate) fn retired(&self, epoch: &Epoch, liars: Liars) -> bool {
        let actives = self.config.mutant == Mutant::RetireWithoutActives
            || self.quorum(epoch, epoch.actives, liars);
        self.certified(epoch) && actives
    }

    /// Whether a conductor may ask for an attempt of this number on this parent.
    pub(crate) fn may_follow(&self, number: u64, parent: EpochName) -> bool {
        let order = |n| Hash([self.config.order_of(n) as u8; 32]);
        may_follow((order(number), number), (order(parent.number), parent), false)
    }

    /// Whether a list can be made of the answers that there are.
    pub(crate) fn lists(&self, list: &List) -> bool {
        let (terms, parent) =
            (self.config.terms(list.number), self.config.terms(list.parent.number));
        let prepared = self.prepared(list.number);
        let liars = self.config.liars;
        let held_by_liars = self.epoch(list.parent).map_or(0, |e| e.receivers & liars);
        count(list.dealers) == parent.t
            && list.dealers & !(prepared.offers(list.parent) | held_by_liars) == 0
            && list.dealers & !parent.committee == 0
            && list.receivers & !(prepared.answers(list.parent) | liars) == 0
            && list.receivers & !terms.committee == 0
            && count(list.receivers) >= terms.q
    }

    fn change(&mut self, bit: usize) -> &mut Node {
        Arc::make_mut(self.nodes[bit].as_mut().expect("an honest node"))
    }

    fn node(&self, bit: usize) -> &Node {
        self.nodes[bit].as_ref().expect("an honest node")
    }

    /// Step 1, with the proof of the parent.
    pub(crate) fn prepare(&mut self, bit: usize, number: u64, parent: EpochName) -> bool {
        let (order, terms) = (self.config.order_of(number), *self.config.terms(number));
        let parents = self.config.terms(parent.number).committee;
        let node = self.node(bit);
        let known = node.attempt(number).is_some();
        if known || (terms.committee | parents) >> bit & 1 == 0 || node.head > Some(order) {
            return false;
        }
        if self.config.mutant == Mutant::ParentMustBeActive
            && node.standing.serves().last().is_some_and(|e| e != parent)
        {
            return false;
        }
        let (mut after, mut ends) = (node.clone(), Vec::new());
        self.adopt(&mut after, bit, parent, &mut ends);
        if !after.standing.descends(number, Some(parent)) {
            return false;
        }
        let newer = after.head != Some(order);
        after.head = Some(order);
        ends.extend(after.standing.prepare(number, Some(parent), newer).expect("few attempts"));
        let holds = after.standing.holds_active(parent) && parents >> bit & 1 == 1;
        erase(&mut after, &ends);
        after.attempts.push((number, Attempt::default()));
        after.attempts.sort_unstable_by_key(|(n, _)| *n);
        *self.change(bit) = after;

        let prepared = self.prepared_mut(number);
        prepared.nodes |= 1 << bit;
        if holds {
            match prepared.offers.iter_mut().find(|(p, _)| *p == parent) {
                Some((_, mask)) => *mask |= 1 << bit,
                None => prepared.offers.push((parent, 1 << bit)),
            }
            prepared.offers.sort_unstable();
        }
        true
    }

    /// Step 2.
    pub(crate) fn deal(&mut self, bit: usize, list: &List) -> bool {
        let List { number, parent, dealers, receivers } = *list;
        let epoch = name(number, Some(parent), dealers, receivers);
        let node = self.node(bit);
        let Some(attempt) = node.attempt(number) else { return false };
        let prepared_on = node.standing.live(number).map(|l| l.parent);
        if attempt.list.is_some()
            || prepared_on != Some(Some(parent))
            || !node.standing.descends(number, Some(parent))
            || node.head != Some(self.config.order_of(number))
            || node.standing.in_force != Some(parent)
        {
            return false;
        }
        let Some(share) = node.share(parent.number) else { return false };
        let node = self.change(bit);
        if !node.standing.deal(number) {
            return false;
        }
        node.attempt_mut(number).expect("found above").list = Some(epoch);

        if let Err(at) = self.epochs.binary_search_by_key(&epoch, |e| e.public.epoch) {
            let mut begun = Epoch {
                public: Public { epoch, parent: Some(parent) },
                dealers,
                receivers,
                dealt: 0,
                constants: Values::default(),
                shares: None,
                receipts: 0,
                actives: 0,
            };
            let of_parent = self.epoch(parent).expect("a parent is certified").shares;
            for liar in bits(dealers & self.config.liars) {
                begun.constants[liar] = of_parent.expect("all have dealt")[liar];
            }
            self.epochs.insert(at, begun);
        }
        let (t, liars) = (self.config.terms(number).t, self.config.liars);
        let begun = self.epoch_mut(epoch).expect("begun");
        begun.dealt |= 1 << bit;
        begun.constants[bit] = share;
        if begun.dealt | liars & dealers == dealers {
            begun.shares = Some(combine(begun, t));
        }
        true
    }

    /// Step 3, with the proof of the parent.
    pub(crate) fn receive(&mut self, bit: usize, epoch: EpochName) -> bool {
        let mutant = self.config.mutant;
        let (number, of) = (epoch.number, self.epoch(epoch).expect("begun"));
        let public = of.public;
        let Some(share) = of.shares.map(|s| s[bit]).filter(|_| of.receivers >> bit & 1 == 1) else {
            return false;
        };
        let node = self.node(bit);
        let Some(attempt) = node.attempt(number) else { return false };
        let prepared_on = node.standing.live(number).map(|l| l.parent);
        if prepared_on != Some(public.parent) {
            return false;
        }
        let again = attempt.receipt.is_some() || attempt.list.is_some_and(|l| l != epoch);
        let second = mutant == Mutant::SecondReceipt && attempt.receipt != Some(public);
        if again && !second {
            return false;
        }
        let in_force = self.in_force(node);
        let receives = match node.standing.receiving(&public, in_force.as_ref()) {
            Receiving::Always => true,
            Receiving::UnderNewestOrder => node.head == Some(self.config.order_of(number)),
            Receiving::Never => false,
        };
        if !receives {
            return false;
        }
        let node = self.change(bit);
        if !node.standing.receive(epoch) {
            return false;
        }
        node.seal(number, share);
        let attempt = Attempt { list: Some(epoch), receipt: Some(public) };
        *node.attempt_mut(number).expect("found above") = attempt;
        self.epoch_mut(epoch).expect("begun").receipts |= 1 << bit;
        true
    }

    /// Step 4, with a certificate.
    pub(crate) fn activate(&mut self, bit: usize, epoch: EpochName) -> bool {
        let public = self.epoch(epoch).expect("begun").public;
        let mutant = self.config.mutant;
        if self.config.terms(epoch.number).committee >> bit & 1 == 0 {
            return false;
        }
        let node = self.node(bit);
        let receipt = node.attempt(epoch.number).and_then(|a| a.receipt);
        let in_force = self.in_force(node);
        let mut standing = node.standing.clone();
        let activation = standing.activation(&public, in_force.as_ref(), receipt.as_ref());
        let mut signs = false;
        match activation {
            Activation::Active => {
                standing.activate(epoch.number);
                signs = true;
            }
            Activation::Noted => {
                standing.note(public);
                signs = mutant == Mutant::ActiveWithoutShare;
            }
            Activation::Again | Activation::Past | Activation::Other => {}
        }
        let of = self.epoch_mut(epoch).expect("begun");
        let signed = signs && of.actives >> bit & 1 == 0;
        of.actives |= u8::from(signs) << bit;
        let node = self.change(bit);
        if mutant == Mutant::ErasesAtActivation && activation == Activation::Active {
            standing.live.retain(|l| Some(l.number) != public.parent.map(|p| p.number));
            erase(node, &[End::Erase(public.parent.expect("a reshare").number)]);
        }
        let changed = node.standing != standing;
        node.standing = standing;
        changed || signed
    }

    /// Step 5, with a birth or retire certificate.
    pub(crate) fn retire(&mut self, bit: usize, epoch: EpochName) -> bool {
        let order = self.config.order_of(epoch.number);
        let before = self.node(bit);
        let (mut after, mut ends) = (before.clone(), Vec::new());
        self.adopt(&mut after, bit, epoch, &mut ends);
        if after.head.is_none_or(|head| head + 1 == order) {
            after.head = Some(order);
        }
        let receipt = before.attempt(epoch.number).and_then(|a| a.receipt);
        after.standing.retire(epoch, receipt.is_some_and(|r| r.epoch == epoch));
        erase(&mut after, &ends);
        let changed = after != *before;
        *self.change(bit) = after;
        changed
    }

    /// A node takes a proven epoch over, after the birth.
    fn adopt(&self, node: &mut Node, bit: usize, epoch: EpochName, ends: &mut Vec<End>) {
        if node.standing.in_force.is_none() {
            let birth = self.epochs[0].public.epoch;
            self.put_in_force(node, bit, birth, ends);
        }
        self.put_in_force(node, bit, epoch, ends);
    }

    fn put_in_force(&self, node: &mut Node, bit: usize, epoch: EpochName, ends: &mut Vec<End>) {
        let member = self.config.terms(epoch.number).committee >> bit & 1 == 1;
        let before = node.standing.live.clone();
        let Some(mut ended) = node.standing.put_in_force(epoch, member) else { return };
        let above = |l: &&Live| l.active && l.number > epoch.number;
        if self.config.mutant == Mutant::PendingKept {
            let pending = |l: &&Live| l.epoch.is_some() && !l.active && l.number > epoch.number;
            for live in before.iter().filter(pending) {
                let end = End::Erase(live.number);
                if ended.contains(&end) {
                    ended.retain(|e| *e != end);
                    node.standing.live.push(*live);
                }
            }
            node.standing.live.sort_unstable_by_key(|l| l.number);
        }
        if self.config.mutant == Mutant::DropsActiveAbove {
            for live in before.iter().filter(above).filter(|l| l.parent != Some(epoch)) {
                node.standing.live.retain(|l| l.number != live.number);
                ended.push(End::Erase(live.number));
            }
        }
        ends.extend(ended);
    }

    /// The epoch in force at a node, with the proof of it.
    fn in_force(&self, node: &Node) -> Option<Public> {
        Some(self.epoch(node.standing.in_force?).expect("proven").public)
    }

    /// The epochs that a node answers for.
    pub(crate) fn serves(&self, node: &Node) -> Vec<EpochName> {
        let mut serves: Vec<EpochName> = node.standing.serves().collect();
        if self.config.mutant == Mutant::ServesNewestOnly && serves.len() > 1 {
            serves.drain(..serves.len() - 1);
        }
        serves
    }
}

/// As the store does it.
fn erase(node: &mut Node, ends: &[End]) {
    for end in ends {
        let (End::Erase(number) | End::Forget(number)) = *end;
        node.shares.retain(|(n, _)| *n != number);
        if matches!(end, End::Forget(_)) {
            node.attempts.retain(|(n, _)| *n != number);
        }
    }
}

/// Every receiver's share, Σ λ_d f_d(j).
fn combine(epoch: &Epoch, t: usize) -> Values {
    let mut shares = Values::default();
    for receiver in bits(epoch.receivers) {
        let mut values = Values::default();
        for dealer in bits(epoch.dealers) {
            let f = polynomial(epoch.public.epoch, dealer, t, epoch.constants[dealer]);
            values[dealer] = evaluate(&f, receiver);
        }
        shares[receiver] = interpolate(epoch.dealers, &values);
    }
    shares
}
