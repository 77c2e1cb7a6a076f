//! One id, one use: within a process and across restarts.

use super::fixture::*;
use quorate_types::*;

#[test]
fn one_id_with_other_content_is_a_replay() {
    let world = World::with_key();
    let ask = world.ask();
    world.open(0, &world.bring(0, &ask).unwrap());
    let mut other = world.ask_for(vec![world.item(&EncryptionContext::default())]);
    other.head.id = ask.head.id;
    assert_eq!(world.refused(0, &other).reason, RefusalReason::Replayed);
    // The very same one is a retry, and is logged as what it is: another use.
    let before = world.nodes[0].audit().len();
    world.open(0, &world.bring(0, &ask).unwrap());
    assert_eq!(world.nodes[0].audit().len(), before + 1);
    // Other nodes have not seen either; each takes the first that it sees.
    world.open(1, &world.bring(1, &other).unwrap());
    assert_eq!(world.refused(1, &ask).reason, RefusalReason::Replayed);
}

#[test]
fn whoever_repeats_a_request_fills_no_disk() {
    let world = World::with_key();
    let ask = world.ask();
    let before = world.nodes[0].audit().len();
    for _ in 0..20 {
        world.bring(0, &ask).unwrap();
    }
    assert_eq!(world.nodes[0].audit().len() - before, 8);
    assert_eq!(world.refused(0, &ask).reason, RefusalReason::Replayed);
}

#[test]
fn a_restarted_node_remembers_whom_it_has_answered() {
    let mut world = World::with_key();
    let ask = world.ask();
    world.open(0, &world.bring(0, &ask).unwrap());
    let mut other = world.ask();
    other.head.id = ask.head.id;
    world.clock.pass(5_000);
    world.restart(0, LIMITS);
    assert_eq!(world.refused(0, &other).reason, RefusalReason::Replayed);
    world.open(0, &world.bring(0, &ask).unwrap());
    world.open(0, &world.bring(0, &world.ask()).unwrap());
}

#[test]
fn a_restarted_node_that_cannot_know_all_refuses_what_came_before() {
    let mut world = World::with_key();
    let asks: Vec<_> = (0..3).map(|_| world.ask()).collect();
    for ask in &asks {
        world.open(0, &world.bring(0, ask).unwrap());
    }
    let unseen = world.ask();
    world.clock.pass(1_000);
    // It may remember fewer than it has answered.
    world.restart(0, crate::core::CoreLimits { replay_entries: 2, ..LIMITS });
    assert_eq!(world.refused(0, &unseen).reason, RefusalReason::Replayed);
    world.clock.pass(91_000);
    world.open(0, &world.bring(0, &world.ask()).unwrap());
}

#[test]
fn a_clock_that_jumped_before_the_restart_opens_no_gap() {
    let mut world = World::with_key();
    let ask = world.ask();
    world.open(0, &world.bring(0, &ask).unwrap());
    // An hour ahead, used there, corrected, restarted: all within a minute.
    world.clock.jump_to(START + 3_600_000);
    world.open(0, &world.bring(0, &world.ask()).unwrap());
    world.clock.jump_to(START + 2_000);
    world.restart(0, LIMITS);
    let mut other = world.ask();
    other.head.id = ask.head.id;
    other.head.issued_at = ask.head.issued_at;
    assert_eq!(world.refused(0, &other).reason, RefusalReason::Replayed);
    // Served again once the fence has passed.
    world.clock.pass(31_000);
    world.open(0, &world.bring(0, &world.ask()).unwrap());
}
