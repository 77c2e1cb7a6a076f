//! Standing orders: shares that move again by themselves, not too often and not for ever.

use crate::{key::*, rig::*};
use quorate_ceremony::*;
use quorate_types::*;
use std::sync::Arc;

const SAME: To<'_> = To { nodes: &[1, 2, 3, 4, 5], t: 3, q: 5 };
const HOUR: u64 = 60 * 60 * 1000;

fn scheduled(world: &mut World, times: u16) -> Key {
    let mut key = Key::born(world);
    let mut draft = key.draft(world, &SAME);
    let Action::Reshare(reshare) = &mut draft.action else { panic!() };
    reshare.repeat = Some(Repeat { every: 3600, times, until: START.plus(10 * HOUR) });
    let order = VerifiedOrder::verify(&world.cluster, &sign(&draft, &[101, 102])).unwrap();
    let mut conductor = key.conductor(world, &order);
    let outcome = world.run(&mut conductor, |_, _, _| None);
    key.moved(order, outcome);
    key
}

fn again(world: &mut World, key: &Key) -> Outcome {
    let cluster = Arc::clone(&world.cluster);
    let mut conductor = Conductor::again(cluster, key.order.clone(), key.descent(), PACE).unwrap();
    world.run(&mut conductor, |_, _, _| None)
}

fn not_due(outcome: Outcome) {
    let (reason, _, _) = failed(outcome);
    let FailReason::Refused { code, .. } = reason else { panic!("{reason}") };
    assert_eq!(code, fault::NOT_DUE);
}

#[test]
fn a_schedule_moves_shares_again_when_it_is_due_and_not_before() {
    let mut world = World::new();
    let mut key = scheduled(&mut world, 10);
    let first = key.number();
    not_due(again(&mut world, &key));
    world.now = world.now.plus(HOUR / 2);
    not_due(again(&mut world, &key));
    world.now = world.now.plus(HOUR / 2);
    let outcome = again(&mut world, &key);
    key.moved(key.order.clone(), outcome);
    assert!(key.number() > first);
    key.is_whole(&world, &[1, 3, 5]);
    not_due(again(&mut world, &key));
}

#[test]
fn a_schedule_ends() {
    let mut world = World::new();
    let mut key = scheduled(&mut world, 2);
    world.now = world.now.plus(HOUR);
    let outcome = again(&mut world, &key);
    key.moved(key.order.clone(), outcome);
    // Both attempts that it allowed are used.
    world.now = world.now.plus(HOUR);
    let (reason, _, _) = failed(again(&mut world, &key));
    assert_eq!(reason, FailReason::NumbersUsed);

    let mut world = World::new();
    let key = scheduled(&mut world, 10);
    world.now = START.plus(11 * HOUR);
    not_due(again(&mut world, &key));
}

#[test]
fn a_newer_order_ends_a_schedule() {
    let mut world = World::new();
    let mut key = scheduled(&mut world, 10);
    let schedule = key.order.clone();
    world.now = world.now.plus(HOUR);
    key.reshare(&mut world, &SAME);
    let cluster = Arc::clone(&world.cluster);
    let mut conductor = Conductor::again(cluster, schedule, key.descent(), PACE).unwrap();
    let (reason, _, _) = failed(world.run(&mut conductor, |_, _, _| None));
    let over = matches!(reason, FailReason::Refused { code: 7, .. } | FailReason::NumbersUsed);
    assert!(over, "{reason}");
}

/// Submitted again by an operator, an order that has moved the shares moves them no further.
#[test]
fn the_order_of_a_schedule_moves_shares_once_when_it_is_submitted_again() {
    let mut world = World::new();
    let mut key = scheduled(&mut world, 10);
    let number = key.number();
    world.now = world.now.plus(2 * HOUR);
    let mut conductor = key.conductor(&world, &key.order);
    let outcome = world.run(&mut conductor, |_, _, _| None);
    key.moved(key.order.clone(), outcome);
    assert_eq!(key.number(), number);
}
