//! Orders: verified, in sequence, once; of two that follow one the first stays.

use super::fixture::*;
use crate::orders::{self, Applied};
use quorate_rpc::{Fault, FaultKind};
use quorate_types::*;
use std::sync::atomic::Ordering;

fn submit(world: &World, order: &SignedOrder) -> Result<(Applied, Hash), Fault> {
    orders::submit(&world.nodes[0].core, &order.to_bytes())
}

fn add(world: &World, client: u8, predecessor: Hash) -> SignedOrder {
    world.signed(world.add_order(client, predecessor), &[101, 102])
}

#[test]
fn an_order_is_applied_once_and_logged() {
    let mut world = World::empty();
    let order = add(&world, 50, Hash::default());
    let (applied, hash) = submit(&world, &order).unwrap();
    assert_eq!(applied, Applied::Now);
    for _ in 0..2 {
        assert_eq!(submit(&world, &order).unwrap(), (Applied::Before, hash));
        assert_eq!(world.nodes[0].audit().len(), 1);
        assert_eq!(world.nodes[0].audit()[0].event, Event::Order { order: hash });
        world.restart(0, LIMITS);
    }
    let (policy, key, _) = orders::heads(&world.nodes[0].core, "payroll").unwrap();
    assert_eq!((policy, key), (hash, Hash::default()));
}

#[test]
fn an_order_needs_its_quorum_its_cluster_and_its_time() {
    let world = World::empty();
    let kind = |order: &SignedOrder| submit(&world, order).unwrap_err().kind;
    for signers in [&[101_u8][..], &[101, 120], &[101, 50], &[]] {
        let few = world.signed(world.add_order(50, Hash::default()), signers);
        assert_eq!(kind(&few), FaultKind::PermissionDenied, "{signers:?}");
    }
    let mut foreign = world.add_order(50, Hash::default());
    foreign.fingerprint = Fingerprint([9; 32]);
    assert_eq!(kind(&world.signed(foreign, &[101, 102])), FaultKind::FailedPrecondition);
    world.clock.pass(Millis::DAY + 1);
    assert_eq!(kind(&add(&world, 50, Hash::default())), FaultKind::FailedPrecondition);
    world.clock.jump_to(START - 6 * 60 * 1000);
    assert_eq!(kind(&add(&world, 50, Hash::default())), FaultKind::FailedPrecondition);
    assert!(world.nodes[0].audit().is_empty(), "whoever brings rubbish fills no disk");
}

#[test]
fn of_two_orders_that_follow_one_the_first_stays_and_who_signed_both_is_named() {
    let world = World::empty();
    let (_, first) = submit(&world, &add(&world, 50, Hash::default())).unwrap();
    let second = world.signed(world.add_order(51, Hash::default()), &[102, 103]);
    let fault = submit(&world, &second).unwrap_err();
    assert_eq!(fault.kind, FaultKind::AlreadyExists);
    assert!(fault.message.contains(&first.to_string()), "{fault}");
    assert!(fault.message.ends_with("op-2"), "{fault}");
    assert_eq!(world.nodes[0].core.clients.standing(&public(51)), None);
    let gap = add(&world, 53, Hash([8; 32]));
    assert_eq!(submit(&world, &gap).unwrap_err().kind, FaultKind::FailedPrecondition);
}

#[test]
fn orders_are_listed_by_page_in_the_order_of_arrival() {
    let world = World::empty();
    let (mut predecessor, mut sent) = (Hash::default(), Vec::new());
    for client in 50..55 {
        let order = add(&world, client, predecessor);
        predecessor = submit(&world, &order).unwrap().1;
        sent.push(order.to_bytes());
    }
    let core = &world.nodes[0].core;
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let (page, next) = orders::list(core, after, 2).unwrap();
        assert!(page.len() <= 2);
        all.extend(page);
        after = next;
        if after == 0 {
            break;
        }
    }
    assert_eq!(all, sent);
}

#[test]
fn orders_in_a_directory_are_applied_in_whatever_order_they_lie() {
    let world = World::empty();
    let dir = tempfile::tempdir().unwrap();
    let first = add(&world, 50, Hash::default());
    let hash = VerifiedOrder::verify(&world.cluster, &first).unwrap().hash();
    let second = add(&world, 51, hash);
    for (name, order) in [("a", &second), ("b", &first)] {
        let text = armor::write(armor::Title::ORDER, order);
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    std::fs::write(dir.path().join("c"), "rubbish").unwrap();
    crate::startup::import_orders(&world.nodes[0].core, dir.path());
    let known = |c| world.nodes[0].core.clients.standing(&public(c)).is_some();
    assert!(known(50) && known(51));
}

/// A node that joins later must get what was decided before its time, in sequence, and only
/// that: what it could have had in time and did not take stays refused.
#[test]
fn orders_that_died_before_the_node_began_are_taken_in_sequence() {
    let world = World::empty();
    let first = add(&world, 50, Hash::default());
    let hash = VerifiedOrder::verify(&world.cluster, &first).unwrap().hash();
    let second = add(&world, 51, hash);
    let mut later =
        world.add_order(52, VerifiedOrder::verify(&world.cluster, &second).unwrap().hash());
    later.expires_at = Millis(START + 2 * Millis::DAY);
    let later = world.signed(later, &[101, 102]);
    world.clock.pass(Millis::DAY + 1);
    // Without its first entry nothing says when it began.
    assert_eq!(submit(&world, &first).unwrap_err().kind, FaultKind::FailedPrecondition);
    world.nodes[0].core.log(Event::Started).unwrap();
    let gap = submit(&world, &second).unwrap_err();
    assert!(gap.message.contains("bring its first one first"), "{gap}");
    assert_eq!(submit(&world, &first).unwrap().0, Applied::Now);
    assert_eq!(submit(&world, &second).unwrap().0, Applied::Now);
    // The third lived when the node began, and is dead now.
    world.clock.pass(Millis::DAY);
    let dead = submit(&world, &later).unwrap_err();
    assert!(dead.message.contains("its life is over"), "{dead}");
    assert_eq!(world.nodes[0].core.clients.standing(&public(52)), None);
}

#[test]
fn a_revocation_is_taken_at_any_age_but_not_from_the_future_or_of_too_few() {
    let world = World::empty();
    world.nodes[0].core.log(Event::Started).unwrap();
    let revoke = world.order(Action::RevokeClient { client: public(50) }, Hash([8; 32]));
    let (few, good) = (world.signed(revoke.clone(), &[101]), world.signed(revoke, &[101, 102]));
    world.clock.jump_to(START - 6 * 60 * 1000);
    assert!(submit(&world, &good).is_err(), "it comes from the future");
    world.clock.jump_to(START + 300 * Millis::DAY);
    assert_eq!(submit(&world, &few).unwrap_err().kind, FaultKind::PermissionDenied);
    let standing = || world.nodes[0].core.clients.standing(&public(50));
    assert_eq!(standing(), None);
    assert_eq!(submit(&world, &good).unwrap().0, Applied::Now);
    assert_eq!(standing(), Some(crate::clients::Standing::Revoked));
    assert_eq!(submit(&world, &good).unwrap().0, Applied::Before);
}

#[test]
fn orders_that_come_together_are_applied_under_one_commit_and_each_is_answered() {
    let world = World::empty();
    let node = &world.nodes[0];
    let mut items: Vec<_> =
        (0..60).map(|i| world.create(&format!("key-{i}"), 1, Hash::default())).collect();
    let too_few = world
        .signed(world.order(Action::RevokeClient { client: public(50) }, Hash::default()), &[101]);
    items.push(too_few);
    let mut items: Vec<_> = items.iter().map(Format::to_bytes).collect();
    items.push(b"rubbish".to_vec());
    items.push(items[7].clone());
    let results = orders::submit_all(&node.core, &items);
    assert!(results[..60].iter().all(Result::is_ok));
    assert_eq!(results[60].as_ref().unwrap_err().kind, FaultKind::PermissionDenied);
    assert_eq!(results[61].as_ref().unwrap_err().kind, FaultKind::InvalidArgument);
    assert_eq!(results[62], Ok(()), "it was applied a moment ago");
    assert_eq!(node.store.commits.load(Ordering::SeqCst), 1);
    assert_eq!(node.logged_orders().len(), 60);
}

#[test]
fn orders_of_one_chain_that_come_together_are_looked_at_one_after_the_other() {
    let world = World::empty();
    let create = world.create("key", 1, Hash::default());
    let (one, other) = (add(&world, 50, Hash::default()), add(&world, 60, Hash::default()));
    let next = add(&world, 51, VerifiedOrder::verify(&world.cluster, &one).unwrap().hash());
    let items = [&create, &one, &next, &other, &create].map(Format::to_bytes);
    let results = orders::submit_all(&world.nodes[0].core, &items);
    assert_eq!(results[3].as_ref().unwrap_err().kind, FaultKind::AlreadyExists, "a fork");
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 4, "{results:?}");
    assert_eq!(world.nodes[0].logged_orders().len(), 3);
}

/// A crash, or a refused entry, loses the answer and nothing else.
#[test]
fn orders_that_come_together_and_are_not_logged_are_not_acknowledged() {
    let world = World::empty();
    let items = ["a", "b"].map(|name| world.create(name, 1, Hash::default()).to_bytes());
    let node = &world.nodes[0];
    node.store.refuse_audit.store(true, Ordering::SeqCst);
    let results = orders::submit_all(&node.core, &items);
    assert!(results.iter().all(Result::is_err), "{results:?}");
    node.store.refuse_audit.store(false, Ordering::SeqCst);
    assert_eq!(orders::submit_all(&node.core, &items), [Ok(()), Ok(())]);
    assert_eq!(node.logged_orders().len(), 2);
}
