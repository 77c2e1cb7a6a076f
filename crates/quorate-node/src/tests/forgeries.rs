//! Requests that their client did not make: nothing leaves, nothing is logged.

use super::fixture::*;
use crate::requests::{self, Incoming, Reply};
use quorate_rpc::FaultKind;
use quorate_types::*;

fn nothing_happens(world: &World, incoming: &Incoming) -> FaultKind {
    let before = (world.nodes[0].audit().len(), world.nodes[0].uses());
    let fault = requests::answer(&world.nodes[0].core, incoming).unwrap_err();
    assert_eq!((world.nodes[0].audit().len(), world.nodes[0].uses()), before);
    fault.kind
}

#[test]
fn a_request_with_any_bit_flipped_is_not_authentic() {
    let world = World::with_key();
    let good = world.ask().incoming();
    for at in 0..good.head.len() {
        let mut bad = world.ask().incoming();
        bad.head.clone_from(&good.head);
        bad.signature.clone_from(&good.signature);
        bad.head[at] ^= 1 << (at % 8);
        let kind = nothing_happens(&world, &bad);
        assert!(
            [FaultKind::Unauthenticated, FaultKind::InvalidArgument].contains(&kind),
            "byte {at}: {kind:?}"
        );
    }
    for at in 0..64 {
        let mut bad = world.ask().incoming();
        bad.signature[at] ^= 1;
        assert_eq!(nothing_happens(&world, &bad), FaultKind::Unauthenticated);
    }
}

#[test]
fn a_request_signed_by_another_or_for_another_cluster_is_not_authentic() {
    let world = World::with_key();
    // Another client, the coordinator, an operator, another node.
    for signer in [51, 120, 101, 2] {
        let mut ask = world.ask();
        ask.signer = signer;
        assert_eq!(nothing_happens(&world, &ask.incoming()), FaultKind::Unauthenticated);
    }
    let mut ask = world.ask();
    ask.cluster = Fingerprint([9; 32]);
    assert_eq!(nothing_happens(&world, &ask.incoming()), FaultKind::Unauthenticated);
}

#[test]
fn a_coordinator_an_operator_or_a_node_cannot_make_a_request_of_its_own() {
    let world = World::with_key();
    for party in [120, 101, 2] {
        let mut ask = world.ask();
        (ask.head.client, ask.signer, ask.peer) = (public(party), party, party);
        let before = (world.nodes[0].audit().len(), world.nodes[0].uses());
        assert_eq!(world.refused(0, &ask).reason, RefusalReason::UnknownClient);
        assert_eq!((world.nodes[0].audit().len(), world.nodes[0].uses()), before);
    }
}

#[test]
fn a_request_comes_from_its_client_a_coordinator_or_an_operator() {
    let world = World::with_key();
    for peer in [50, 120, 101] {
        let mut ask = world.ask();
        ask.peer = peer;
        assert!(matches!(world.bring(0, &ask), Ok(Reply::Sealed(..))), "{peer}");
    }
    for peer in [51, 2, 99] {
        let mut ask = world.ask();
        ask.peer = peer;
        assert_eq!(nothing_happens(&world, &ask.incoming()), FaultKind::PermissionDenied);
    }
}

#[test]
fn sizes_are_held_before_anything_else() {
    let world = World::with_key();
    let bad: [fn(&mut Incoming); 7] = [
        |i| i.head.resize(request::MAX_HEAD + 1, 0),
        |i| i.head.truncate(20),
        |i| i.head.clear(),
        |i| i.items.clear(),
        |i| i.items = vec![Vec::new(); request::MAX_ITEMS + 1],
        |i| i.items[0].resize(request::MAX_ITEM + 1, 0),
        |i| i.signature.push(0),
    ];
    for change in bad {
        let mut incoming = world.ask().incoming();
        change(&mut incoming);
        assert_eq!(nothing_happens(&world, &incoming), FaultKind::InvalidArgument);
    }
}

#[test]
fn work_that_nobody_waits_for_is_not_begun() {
    let world = World::with_key();
    let mut incoming = world.ask().incoming();
    incoming.deadline = std::time::Instant::now();
    assert_eq!(nothing_happens(&world, &incoming), FaultKind::DeadlineExceeded);
}
