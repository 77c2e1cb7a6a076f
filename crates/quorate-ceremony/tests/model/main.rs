//! The epoch protocol, checked exhaustively: every order in which messages reach nodes, with
//! losses, repetitions and crashes, for small committees with liars, several orders and any
//! number of conductors at once. The rules are the crate's own ([`Standing`]); what is ideal
//! here is the cryptography (`docs/protocol/epochs.md`).
//!
//! [`Standing`]: quorate_ceremony::Standing

mod checked;
mod config;
mod field;
mod hash;
mod invariants;
mod step;
mod world;

use checked::{Action, Checked};
use config::{Config, Mutant};
use stateright::{Checker, Model};
use std::{sync::Arc, time::Instant};

/// Visits every state, and says how many there are.
fn holds(what: &str, config: Config) -> usize {
    let begun = Instant::now();
    let checker =
        Checked(Arc::new(config.complete()), None).checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!(
        "{what}: {states} states, {} transitions, depth {}, {:.1} s",
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f32()
    );
    checker.assert_properties();
    states
}

/// The length of a shortest path to a state in which the invariant is broken.
fn broken(mutant: Mutant, invariant: &'static str, config: Config) -> usize {
    let model = Checked(Arc::new(config.with(mutant).complete()), Some(invariant));
    let checker = model.checker().spawn_bfs().join();
    let states = checker.unique_state_count();
    let path = checker.discovery(invariant).unwrap_or_else(|| panic!("{mutant:?} is not found"));
    let actions: Vec<Action> = path.into_actions();
    println!("{mutant:?}: {invariant} after {} steps, {states} states", actions.len());
    actions.len()
}

/// A key whose shares stay with the same nodes, under two orders with so many numbers each.
fn twice(n: usize, t: usize, q: usize, first: u64, second: u64) -> Config {
    Config::born(n, t, q).refresh(first).refresh(second)
}

fn once(n: usize, t: usize, q: usize, numbers: u64) -> Config {
    Config::born(n, t, q).refresh(numbers)
}

#[test]
fn every_member_signs() {
    holds("2 of 3", twice(3, 2, 3, 1, 1));
    holds("2 of 3, a liar, two numbers", twice(3, 2, 3, 2, 1).liars(&[3]));
    holds("3 of 4", twice(4, 3, 4, 1, 1));
    holds("3 of 4, a liar", twice(4, 3, 4, 1, 1).liars(&[4]));
}

/// Without the permutations: every node its own, and every share counts.
#[test]
fn nodes_that_are_alike_hide_nothing() {
    holds("2 of 3, no symmetry", twice(3, 2, 3, 1, 1).every_node_its_own());
    holds("2 of 3, a liar, no symmetry", twice(3, 2, 3, 1, 1).liars(&[3]).every_node_its_own());
}

#[test]
fn a_member_may_be_away() {
    holds("2 of 3, q = 2", once(3, 2, 2, 1));
    holds("2 of 4, q = 3, a liar", once(4, 2, 3, 1).liars(&[4]));
}

#[test]
fn the_committee_changes() {
    let replaced = Config::born(3, 2, 3).order(&[2, 3, 4], 2, 3, 1).order(&[1, 2, 3], 2, 3, 1);
    holds("2 of 3, one replaced, and back", replaced);
    let grown = Config::born(3, 2, 3).order(&[1, 2, 3, 4], 3, 4, 1).order(&[1, 2, 3], 2, 3, 1);
    holds("2 of 3 to 3 of 4, and back", grown);
}

/// A key may be lost then, but never gives a wrong result.
#[test]
fn more_liars_than_the_bound_mix_nothing() {
    holds("2 of 3, q = 2, a liar", once(3, 2, 2, 1).liars(&[3]));
}

#[test]
fn every_broken_rule_is_found() {
    use Mutant::{
        ActiveWithoutShare, DropsActiveAbove, ErasesAtActivation, NamedByNumber,
        ParentMustBeActive, PendingKept, RetireWithoutActives, SecondReceipt, ServesNewestOnly,
    };
    let found = [
        broken(RetireWithoutActives, "I1 served", once(3, 2, 3, 1)),
        broken(RetireWithoutActives, "I1 held", once(3, 2, 3, 2)),
        broken(ActiveWithoutShare, "I1 served", once(3, 2, 2, 1)),
        broken(ParentMustBeActive, "I6", once(3, 2, 3, 2)),
        broken(PendingKept, "I3 pending", once(3, 2, 3, 2)),
        broken(ServesNewestOnly, "I1 served", once(3, 2, 3, 1)),
        broken(ErasesAtActivation, "I3 active", once(3, 2, 3, 1)),
        broken(DropsActiveAbove, "I3 active", once(3, 2, 3, 2)),
        broken(SecondReceipt, "I3 receipts", once(3, 2, 3, 1).liars(&[3])),
        broken(NamedByNumber, "I4", once(3, 2, 2, 1).liars(&[3])),
    ];
    // Shortest paths: a change of the model that makes one longer hides something.
    assert_eq!(found, [9, 20, 10, 21, 18, 9, 9, 21, 6, 8]);
}

mod large;
