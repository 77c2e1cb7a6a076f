//! The invariants of DESIGN §4.2, over one state.

use crate::{
    config::Mutant,
    field::{Values, all_give_the_secret, bits, count, subsets},
    step::{Liars, List},
    world::{Public, World},
};
use quorate_types::EpochName;

impl World {
    /// I1: some certified epoch is held by `t` honest nodes.
    pub(crate) fn some_epoch_is_held(&self) -> bool {
        self.epochs.iter().filter(|e| self.certified(e)).any(|e| {
            let name = e.public.epoch;
            let holders = self.honest().filter(|(_, node)| node.holds(name)).count();
            holders >= self.config.terms(name.number).t
        })
    }

    /// I1: while at most `q − t'` nodes are down or lying, `t` honest live nodes serve one
    /// and the same epoch.
    pub(crate) fn some_epoch_is_served(&self) -> bool {
        let mut served: Vec<(usize, u8)> = Vec::new();
        for epoch in &self.epochs {
            let name = epoch.public.epoch;
            let nodes =
                self.honest().filter(|(_, n)| n.holds(name) && self.serves(n).contains(&name));
            let mask = nodes.fold(0, |mask, (bit, _)| mask | 1 << bit);
            served.push((self.config.terms(name.number).t, mask));
        }
        let most = self.config.bound() - count(self.config.liars);
        let mut down = subsets(self.config.honest()).filter(|d| count(*d) <= most);
        down.all(|down| served.iter().any(|(t, mask)| count(mask & !down) >= *t))
    }

    /// I2: any `t` shares of an epoch, of honest nodes and liars alike, give the secret.
    pub(crate) fn shares_are_of_the_secret(&self) -> bool {
        self.epochs.iter().all(|epoch| {
            let name = epoch.public.epoch;
            let Some(mut values) = epoch.shares else { return true };
            let mut mask = epoch.receivers & self.config.liars;
            for (bit, node) in self.honest().filter(|(_, node)| node.holds(name)) {
                mask |= 1 << bit;
                values[bit] = node.share(name.number).expect("held");
            }
            all_give_the_secret(mask, self.config.terms(name.number).t, &values)
        })
    }

    /// I3: who has signed an epoch active holds it, or there is a retire certificate of a
    /// higher one.
    pub(crate) fn active_epochs_are_kept(&self) -> bool {
        self.epochs.iter().all(|epoch| {
            let name = epoch.public.epoch;
            let lost = bits(epoch.actives)
                .any(|bit| self.nodes[bit].as_ref().is_some_and(|node| !node.holds(name)));
            !lost || self.retired_above(name.number, name)
        })
    }

    /// I3: who has signed a receipt holds the share, or there is a retire certificate of an
    /// epoch above its parent.
    pub(crate) fn receipts_are_kept(&self) -> bool {
        self.epochs.iter().all(|epoch| {
            let Public { epoch: name, parent } = epoch.public;
            let lost = bits(epoch.receipts)
                .any(|bit| self.nodes[bit].as_ref().is_some_and(|node| !node.holds(name)));
            !lost || self.retired_above(parent.map_or(0, |p| p.number), name)
        })
    }

    fn retired_above(&self, number: u64, other: EpochName) -> bool {
        let above = |e: EpochName| e.number > number && e != other;
        self.epochs.iter().any(|e| above(e.public.epoch) && self.retired(e, Liars::Sign))
    }

    /// I3: no pending share outlives its parent, but for that of the epoch in force, which came
    /// late; and what a node's rules have ended is off its disk.
    pub(crate) fn nothing_outlives_its_parent(&self) -> bool {
        self.honest().all(|(_, node)| {
            let standing = &node.standing;
            let mut pending = standing.live.iter().filter(|l| l.epoch.is_some() && !l.active);
            let held = standing.live.iter().filter(|l| l.epoch.is_some()).map(|l| l.number);
            pending.all(|l| l.parent == standing.in_force || l.epoch == standing.in_force)
                && held.eq(node.shares.iter().map(|(number, _)| *number))
        })
    }

    /// I4: what a client combines, answers under one name, gives the secret.
    pub(crate) fn one_name_is_one_sharing(&self) -> bool {
        let by_number = self.config.mutant == Mutant::NamedByNumber;
        self.epochs.iter().all(|epoch| {
            let name = epoch.public.epoch;
            let (mut mask, mut values) = (0, Values::default());
            for (bit, node) in self.honest() {
                let same = |e: &EpochName| *e == name || by_number && e.number == name.number;
                if self.serves(node).iter().any(same) {
                    mask |= 1 << bit;
                    values[bit] = node.share(name.number).unwrap_or(0);
                }
            }
            all_give_the_secret(mask, self.config.terms(name.number).t, &values)
        })
    }

    /// I6: with the faults gone a fresh attempt under a fresh order succeeds, and leaves
    /// nothing else anywhere. `liars`: whether they help, or nothing is heard of them.
    ///
    /// It does what the conductor does: finish the highest epoch that somebody has signed
    /// active if it can be, then deal on what is in force.
    pub(crate) fn a_fresh_attempt_succeeds(&self, liars: Liars) -> bool {
        let mut world = self.clone();
        world.finish(liars);
        let Some(made) = world.attempt() else { return false };
        world.honest().all(|(_, node)| {
            node.holds(made) && world.serves(node) == [made] && node.standing.live.len() == 1
        })
    }

    fn everywhere(&mut self, mut step: impl FnMut(&mut Self, usize)) {
        bits(self.config.honest()).for_each(|bit| step(self, bit));
    }

    fn highest_in_force(&self) -> Option<EpochName> {
        self.honest().filter_map(|(_, n)| n.standing.in_force).max()
    }

    fn finish(&mut self, liars: Liars) {
        let mut revisited: Vec<EpochName> = Vec::new();
        while let Some(in_force) = self.highest_in_force() {
            let active = self.honest().filter_map(|(_, node)| {
                let live = node.standing.live(node.standing.highest_active()?)?;
                live.epoch.filter(|e| e.number > in_force.number && !revisited.contains(e))
            });
            let Some(best) = active.max() else { return };
            self.everywhere(|world, bit| _ = world.activate(bit, best));
            if self.epoch(best).is_some_and(|e| self.retired(e, liars)) {
                self.everywhere(|world, bit| _ = world.retire(bit, best));
            }
            revisited.push(best);
        }
    }

    fn attempt(&mut self) -> Option<EpochName> {
        let (receivers, parent) = (self.config.honest(), self.highest_in_force()?);
        let number = self.config.orders[self.config.orders.len() - 1].numbers.0;
        self.everywhere(|world, bit| _ = world.prepare(bit, number, parent));
        let offers = self.prepared(number).offers(parent);
        let t = self.config.terms(parent.number).t;
        let dealers = bits(offers).take(t).fold(0, |mask, bit| mask | 1 << bit);
        let list = List { number, parent, dealers, receivers };
        if !self.lists(&list) {
            return None;
        }
        bits(dealers).for_each(|bit| _ = self.deal(bit, &list));
        let made = crate::world::name(number, Some(parent), dealers, receivers);
        self.epoch(made)?;
        self.everywhere(|world, bit| _ = world.receive(bit, made));
        if !self.certified(self.epoch(made)?) {
            return None;
        }
        self.everywhere(|world, bit| _ = world.activate(bit, made));
        if !self.retired(self.epoch(made)?, Liars::AreSilent) {
            return None;
        }
        self.everywhere(|world, bit| _ = world.retire(bit, made));
        Some(made)
    }
}
