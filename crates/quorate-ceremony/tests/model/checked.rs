//! The model as `stateright` takes it: every message to every node, at any time.

use crate::{
    config::Config,
    field::{count, subsets},
    step::{Liars, List},
    world::World,
};
use quorate_types::EpochName;
use stateright::{Model, Property};
use std::sync::Arc;

/// A configuration to be checked, and for a mutant the one property that it breaks: then the
/// first counterexample ends the search, and is a shortest one.
pub(crate) struct Checked(pub(crate) Arc<Config>, pub(crate) Option<&'static str>);

/// One message is delivered to one honest node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    Prepare { node: usize, number: u64, parent: EpochName },
    Deal { node: usize, list: List },
    Receive { node: usize, epoch: EpochName },
    Activate { node: usize, epoch: EpochName },
    Retire { node: usize, epoch: EpochName },
}

impl Model for Checked {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::born(&self.0)]
    }

    /// Conductors are no part of the state: whatever the messages allow, one of them may do.
    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (node, at) in world.honest() {
            for number in self.0.numbers().filter(|n| at.attempt(*n).is_none()) {
                for parent in world.epochs.iter().filter(|e| world.retired(e, Liars::Sign)) {
                    let parent = parent.public.epoch;
                    if world.may_follow(number, parent) {
                        actions.push(Action::Prepare { node, number, parent });
                    }
                }
            }
            for (number, attempt) in &at.attempts {
                let live = at.standing.live(*number).and_then(|l| l.parent);
                if let (None, Some(parent)) = (attempt.list, live) {
                    let lists = lists(world, *number, parent);
                    let own = lists.filter(|l| l.dealers >> node & 1 == 1);
                    actions.extend(own.map(|list| Action::Deal { node, list }));
                }
            }
            for epoch in &world.epochs {
                let name = epoch.public.epoch;
                if epoch.shares.is_some() && epoch.receipts >> node & 1 == 0 {
                    actions.push(Action::Receive { node, epoch: name });
                }
                if world.certified(epoch) {
                    actions.push(Action::Activate { node, epoch: name });
                }
                if world.retired(epoch, Liars::Sign) {
                    actions.push(Action::Retire { node, epoch: name });
                }
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let changed = match action {
            Action::Prepare { node, number, parent } => next.prepare(node, number, parent),
            Action::Deal { node, list } => next.deal(node, &list),
            Action::Receive { node, epoch } => next.receive(node, epoch),
            Action::Activate { node, epoch } => next.activate(node, epoch),
            Action::Retire { node, epoch } => next.retire(node, epoch),
        };
        changed.then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = invariants();
        match self.1 {
            Some(name) => all.retain(|p| p.name == name),
            // With more liars than the bound a key may be lost, but no wrong one ever appears.
            None if count(self.0.liars) > self.0.bound() => all.truncate(2),
            None => all.extend(possible(&self.0)),
        }
        all
    }
}

fn invariants() -> Vec<Property<Checked>> {
    vec![
        Property::always("I2", |_, w: &World| w.shares_are_of_the_secret()),
        Property::always("I4", |_, w: &World| w.one_name_is_one_sharing()),
        Property::always("I1 held", |_, w: &World| w.some_epoch_is_held()),
        Property::always("I1 served", |_, w: &World| w.some_epoch_is_served()),
        Property::always("I3 active", |_, w: &World| w.active_epochs_are_kept()),
        Property::always("I3 receipts", |_, w: &World| w.receipts_are_kept()),
        Property::always("I3 pending", |_, w: &World| w.nothing_outlives_its_parent()),
        Property::always("I6", |_, w: &World| w.a_fresh_attempt_succeeds(Liars::AreSilent)),
        Property::always("I6, liars help", |_, w: &World| {
            w.config.liars == 0 || w.a_fresh_attempt_succeeds(Liars::Sign)
        }),
    ]
}

/// What must be possible, or the model shows nothing.
fn possible(config: &Config) -> Vec<Property<Checked>> {
    let mut possible =
        vec![Property::sometimes("two epochs are served at once", |_, w: &World| {
            w.honest().any(|(_, node)| w.serves(node).len() > 1)
        })];
    if config.orders.len() > 3 {
        possible.push(Property::sometimes("shares move twice", |_, w: &World| {
            w.epochs.iter().filter(|e| w.retired(e, Liars::Sign)).count() > 2
        }));
    }
    if config.numbers().count() > 1 {
        possible.push(Property::sometimes("an active epoch is passed over", |_, w: &World| {
            w.honest().any(|(_, node)| {
                node.standing.highest_active().is_some_and(|n| {
                    let live = node.standing.live(n).and_then(|l| l.parent);
                    live != node.standing.in_force
                })
            })
        }));
    }
    possible
}

/// The lists of which a node may be sent one, for a number on a parent. That the liars of the
/// committee are on all of them only helps them.
fn lists(world: &World, number: u64, parent: EpochName) -> impl Iterator<Item = List> {
    let (terms, before) = (*world.config.terms(number), *world.config.terms(parent.number));
    let liars = world.config.liars & terms.committee;
    let receivers = subsets(terms.committee).filter(move |r| r & liars == liars);
    receivers
        .flat_map(move |receivers| {
            let dealers = subsets(before.committee);
            dealers.map(move |dealers| List { number, parent, dealers, receivers })
        })
        .filter(|list| world.lists(list))
}
