//! With nobody in the way.

use crate::{key::*, owner::Owner, rig::*};
use quorate_ceremony::*;
use quorate_crypto::SecretScalar;
use quorate_types::*;

const SAME: To<'_> = To { nodes: &[1, 2, 3, 4, 5], t: 3, q: 5 };

#[test]
fn a_refresh_keeps_the_key_and_changes_every_share() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let before: Vec<_> = (1..=5).map(|n| key.share(&world, n).unwrap()).collect();
    let moved = key.reshare(&mut world, &SAME);
    assert!(moved.absent.is_empty() && moved.unerased.is_empty() && moved.culprits.is_empty());
    for nodes in [[1, 2, 3], [2, 4, 5], [1, 3, 5]] {
        key.is_whole(&world, &nodes);
    }
    for node in 1..=5 {
        let share = key.share(&world, node).unwrap();
        assert!(fits(&share, node, &key.newest));
        assert_ne!(share.to_bytes(), before[usize::from(node) - 1].to_bytes());
    }
    // Shares of two epochs are no key.
    let mixed = [
        (index(1), key.share(&world, 1).unwrap()),
        (index(2), key.share(&world, 2).unwrap()),
        (index(3), SecretScalar::from_bytes(&before[2].to_bytes()).unwrap()),
    ];
    assert_ne!(public(&combined(&mixed)), *key.birth.certificate.public.public_key());
}

#[test]
fn the_shares_of_an_imported_key_are_refreshed_and_move_to_others() {
    for suite in [Suite::Tdh2Ristretto255, Suite::FrostEd25519] {
        let mut world = World::of(9, 3);
        let owner = Owner::of(&mut world, suite);
        let mut key = Key::imported(&mut world, &owner);
        key.reshare(&mut world, &SAME);
        key.reshare(&mut world, &To { nodes: &[4, 5, 6, 7, 8, 9], t: 4, q: 6 });
        let shares = [4, 6, 8, 9].map(|n| (index(n), key.share(&world, n).unwrap()));
        assert_eq!(*combined(&shares).to_bytes(), *owner.secret.to_bytes());
        let (birth, newest) =
            (key.birth.verify(&world.cluster), key.newest.verify_epoch(&world.cluster));
        let birth = birth.unwrap();
        assert!(birth.has(&newest.unwrap()));
        assert!(birth.order().import().is_some(), "imported for ever");
    }
}

#[test]
fn what_was_before_is_erased_everywhere() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    for _ in 0..3 {
        key.reshare(&mut world, &SAME);
    }
    for node in 1..=5 {
        // One share and one ceremony key: those of the epoch in force.
        assert_eq!(world.disk(node).secrets(), 2, "node {node}");
        let standing = world.state(node, key.number()).standing;
        assert_eq!(standing.live.len(), 1);
        assert_eq!(standing.in_force, Some(key.newest.certificate.public.epoch));
        assert!(world.state(node, 1).attempt.is_none(), "an epoch of the past is forgotten");
    }
}

#[test]
fn three_of_five_becomes_four_of_seven_and_then_two_of_three_others() {
    let mut world = World::of(9, 7);
    let mut key = Key::born(&mut world);
    let moved = key.reshare(&mut world, &To { nodes: &[1, 2, 3, 4, 5, 6, 7], t: 4, q: 7 });
    assert!(moved.absent.is_empty() && moved.unerased.is_empty());
    key.is_whole(&world, &[1, 3, 6, 7]);
    key.is_whole(&world, &[4, 5, 6, 7]);
    let three = [3, 6, 7].map(|n| (index(n), key.share(&world, n).unwrap()));
    assert_ne!(public(&combined(&three)), *key.birth.certificate.public.public_key());

    let moved = key.reshare(&mut world, &To { nodes: &[2, 8, 9], t: 2, q: 3 });
    assert!(moved.absent.is_empty() && moved.unerased.is_empty());
    key.is_whole(&world, &[8, 9]);
    key.is_whole(&world, &[2, 9]);
    for node in [1, 3, 4, 5, 6, 7] {
        assert_eq!(world.disk(node).secrets(), 0, "node {node} left and kept a secret");
    }
}

#[test]
fn wholly_new_members_without_history_take_the_key_over() {
    let mut world = World::of(9, 8);
    let mut key = Key::born(&mut world);
    for _ in 0..2 {
        key.reshare(&mut world, &SAME);
    }
    key.reshare(&mut world, &To { nodes: &[6, 7, 8, 9], t: 3, q: 4 });
    key.is_whole(&world, &[6, 7, 8]);
    key.is_whole(&world, &[7, 8, 9]);
    let state = world.state(9, key.number());
    assert_eq!(state.record.as_ref(), Some(&key.birth), "grants are in the birth's order");
    assert_eq!(state.head.as_ref(), Some(key.order.signed()));
}

#[test]
fn an_absent_member_is_repaired_by_the_next_reshare() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let to = To { q: 4, ..SAME };
    let order = key.order(&world, &to);
    let mut conductor = key.conductor(&world, &order);
    let down = |_: &mut World, ticket: &Ticket, _: &[u8]| {
        (ticket.node == index(5)).then_some(Err(Failure::Unreachable))
    };
    let outcome = world.run(&mut conductor, down);
    let moved = key.moved(order, outcome);
    assert_eq!((&moved.absent[..], &moved.unerased[..]), (&[5][..], &[5][..]));
    assert!(key.share(&world, 5).is_none());
    key.is_whole(&world, &[1, 2, 4]);

    let moved = key.reshare(&mut world, &SAME);
    assert!(moved.absent.is_empty() && moved.unerased.is_empty());
    key.is_whole(&world, &[3, 4, 5]);
    assert_eq!(world.disk(5).secrets(), 2, "its share of the past is gone too");
}

#[test]
fn a_member_that_missed_the_bundle_gets_it_from_a_peer() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let to = To { q: 4, ..SAME };
    let order = key.order(&world, &to);
    // Node 5 prepares, and hears of nothing else until the first conductor is gone.
    let mut conductor = key.conductor(&world, &order);
    let outcome = world.run(&mut conductor, |_, ticket, _| {
        let deaf = ticket.node == index(5) && ticket.step > StepKind::Prepare;
        deaf.then_some(Err(Failure::Unreachable))
    });
    let moved = key.moved(order.clone(), outcome);
    assert_eq!(moved.absent, [5]);
    // Another one, under the same order, brings it up to date.
    let mut conductor = key.conductor(&world, &order);
    let outcome = world.run(&mut conductor, |_, _, _| None);
    let number = key.number();
    let moved = key.moved(order, outcome);
    assert!(moved.absent.is_empty() && moved.unerased.is_empty());
    assert_eq!(key.number(), number, "an order applies once");
    assert!(fits(&key.share(&world, 5).unwrap(), 5, &key.newest));
}

#[test]
fn both_epochs_are_served_until_the_grace_is_over() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let mut draft = key.draft(&world, &SAME);
    let Action::Reshare(reshare) = &mut draft.action else { panic!() };
    reshare.grace = 30;
    let order = VerifiedOrder::verify(&world.cluster, &sign(&draft, &[101, 102])).unwrap();
    let mut conductor = key.conductor(&world, &order);
    let (begun, mut served) = (world.now, 0);
    let outcome = world.run(&mut conductor, |world, ticket, _| {
        if ticket.step == StepKind::Retire && served == 0 {
            assert!(world.now.0 - begun.0 >= 30_000, "retired before the grace was over");
            served = world.state(1, ticket.number).standing.serves().count();
        }
        None
    });
    assert_eq!(served, 2);
    key.moved(order, outcome);
    assert_eq!(world.state(1, key.number()).standing.serves().count(), 1);
}

#[test]
fn a_member_whose_prepare_answer_came_too_late_raises_no_alarm() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let to = To { q: 4, ..SAME };
    let order = key.order(&world, &to);
    let mut conductor = key.conductor(&world, &order);
    let mut told = None;
    let outcome = world.run(&mut conductor, |world, ticket, request| {
        if ticket.node != index(5) || !matches!(ticket.step, StepKind::Prepare | StepKind::Receive)
        {
            return None;
        }
        let answer = world.carry(ticket, request);
        if ticket.step == StepKind::Receive {
            told = Some(answer.clone());
            return Some(answer);
        }
        Some(Err(Failure::Unreachable)) // it has prepared; its answer is lost
    });
    // The bundle that it is brought has nothing for it.
    let Some(Err(Failure::Fault { code, .. })) = told else { panic!("{told:?}") };
    assert_eq!(code, Fault::NotReceiver.code());
    assert_eq!(key.moved(order, outcome).absent, [5]);
    key.reshare(&mut world, &SAME);
    key.is_whole(&world, &[1, 2, 5]);
}

/// The whole life of a signing key's shares, over edwards25519: born, refreshed, moved to another
/// committee with another threshold, and to one without history.
#[test]
fn shares_of_a_signing_key_move_as_any_others() {
    let mut world = World::of(9, 11);
    let mut key = Key::born_of(&mut world, Suite::FrostEd25519);
    let born = *key.birth.certificate.public.public_key();
    let point = quorate_crypto::group::Group::Edwards25519.decode(&born);
    assert!(point.is_ok(), "the public key is an Ed25519 public key");
    key.is_whole(&world, &[1, 3, 5]);
    let before: Vec<_> = (1..=5).map(|n| key.share(&world, n).unwrap()).collect();
    key.reshare(&mut world, &SAME);
    for node in 1..=5 {
        let share = key.share(&world, node).unwrap();
        assert!(fits(&share, node, &key.newest));
        assert_ne!(share.to_bytes(), before[usize::from(node) - 1].to_bytes());
    }
    key.is_whole(&world, &[2, 4, 5]);
    key.reshare(&mut world, &To { nodes: &[1, 2, 3, 4, 5, 6, 7], t: 4, q: 7 });
    key.is_whole(&world, &[1, 3, 6, 7]);
    key.reshare(&mut world, &To { nodes: &[2, 8, 9], t: 2, q: 3 });
    key.is_whole(&world, &[8, 9]);
    for node in [1, 3, 4, 5, 6, 7] {
        assert_eq!(world.disk(node).secrets(), 0, "node {node} left and kept a secret");
    }
}
