//! An order that holds is in the log, whatever happens between its commit and its entry.

use super::fixture::*;
use crate::{
    orders::{self, Applied},
    records,
};
use quorate_rpc::FaultKind;
use quorate_store::Store;
use quorate_types::*;
use std::sync::atomic::Ordering;

fn add(world: &World, client: u8, predecessor: Hash) -> Vec<u8> {
    world.signed(world.add_order(client, predecessor), &[101, 102]).to_bytes()
}

/// An order whose commit went through and whose entry did not.
fn applied_and_not_logged(world: &World) -> (Vec<u8>, Hash) {
    let node = &world.nodes[0];
    let order = add(world, 50, Hash::default());
    node.store.refuse_audit.store(true, Ordering::SeqCst);
    let refused = orders::submit(&node.core, &order).unwrap_err();
    assert_eq!(refused.kind, FaultKind::Unavailable, "not acknowledged without its entry");
    node.store.refuse_audit.store(false, Ordering::SeqCst);
    assert!(node.logged_orders().is_empty());
    let hash = orders::heads(&node.core, "").unwrap().0;
    assert_ne!(hash, Hash::default(), "it holds");
    (order, hash)
}

fn marks(world: &World) -> usize {
    records::marks(&*world.nodes[0].core.store).unwrap().len()
}

#[test]
fn an_order_that_comes_again_is_logged_if_it_was_not() {
    let mut world = World::empty();
    let (order, hash) = applied_and_not_logged(&world);
    for _ in 0..3 {
        let again = orders::submit(&world.nodes[0].core, &order).unwrap();
        assert_eq!(again, (Applied::Before, hash));
        assert_eq!(world.nodes[0].logged_orders(), [hash]);
    }
    world.restart(0, LIMITS);
    assert_eq!(world.nodes[0].logged_orders(), [hash]);
}

#[test]
fn what_a_crash_left_unlogged_is_logged_at_the_next_start_and_once() {
    let mut world = World::empty();
    let (order, hash) = applied_and_not_logged(&world);
    for _ in 0..3 {
        world.restart(0, LIMITS);
        assert_eq!(world.nodes[0].logged_orders(), [hash]);
    }
    assert_eq!(orders::submit(&world.nodes[0].core, &order).unwrap().0, Applied::Before);
    assert_eq!(world.nodes[0].logged_orders(), [hash]);
}

#[test]
fn a_crash_after_the_entry_logs_nothing_twice_and_marks_do_not_pile_up() {
    let mut world = World::empty();
    let (mut predecessor, mut all) = (Hash::default(), Vec::new());
    for client in 50..55 {
        let order = add(&world, client, predecessor);
        predecessor = orders::submit(&world.nodes[0].core, &order).unwrap().1;
        all.push(predecessor);
        assert_eq!(marks(&world), 1, "the newest one's, until the next commit");
        world.restart(0, LIMITS);
        assert_eq!(world.nodes[0].logged_orders(), all);
    }
}

#[test]
fn a_long_log_after_the_mark_hides_neither_a_missing_entry_nor_one_that_is_there() {
    let mut world = World::empty();
    let (_, hash) = applied_and_not_logged(&world);
    let other = AuditEntry { at: Millis(START), event: Event::Started }.to_bytes();
    world.nodes[0].store.audit_append_many(vec![other.clone(); 700]).unwrap();
    world.restart(0, LIMITS);
    assert_eq!(world.nodes[0].logged_orders(), [hash], "it was missing");
    world.nodes[0].store.audit_append_many(vec![other; 700]).unwrap();
    world.restart(0, LIMITS);
    assert_eq!(world.nodes[0].logged_orders(), [hash], "it is there, in the second page");
}

#[test]
fn a_start_that_cannot_log_what_is_missing_is_refused() {
    let world = World::empty();
    let (_, hash) = applied_and_not_logged(&world);
    let core = &world.nodes[0].core;
    core.unlogged.doubt();
    world.nodes[0].store.refuse_audit.store(true, Ordering::SeqCst);
    assert_eq!(crate::startup::load(core).unwrap_err().kind, FaultKind::Unavailable);
    world.nodes[0].store.refuse_audit.store(false, Ordering::SeqCst);
    crate::startup::load(core).unwrap();
    assert_eq!(world.nodes[0].logged_orders(), [hash]);
}
