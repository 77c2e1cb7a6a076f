//! Whoever dies, the key lives, and whoever comes back goes on.

use crate::{disk::Disk, key::*, rig::*};
use quorate_ceremony::*;
use quorate_types::Format;

const SAME: To<'_> = To { nodes: &[1, 2, 3, 4, 5], t: 3, q: 5 };

#[test]
fn a_conductor_killed_after_any_answer_is_followed_by_one_that_finishes() {
    let mut ends = 0;
    for answers in 0.. {
        let mut world = World::new();
        let mut key = Key::born(&mut world);
        let order = key.order(&world, &SAME);
        let mut first = key.conductor(&world, &order);
        let mut heard = 0;
        let finished = loop {
            if first.outcome().is_some() {
                break true;
            }
            if heard >= answers {
                break false;
            }
            for send in first.poll(world.now) {
                let answer = world.carry(&send.ticket, &send.request);
                heard += 1;
                first.on_answer(&send.ticket, answer.as_deref().map_err(Clone::clone), world.now);
                if heard >= answers {
                    break;
                }
            }
            world.now = world.now.plus(250);
        };
        // At any time enough nodes serve one and the same epoch.
        let mut epochs = std::collections::BTreeMap::<_, usize>::new();
        for node in 1..=5 {
            for epoch in world.state(node, 1).standing.serves() {
                *epochs.entry(epoch).or_default() += 1;
            }
        }
        assert!(epochs.values().any(|n| *n >= 3), "after {answers} answers: {epochs:?}");
        let mut second = key.conductor(&world, &order);
        let outcome = world.run(&mut second, |_, _, _| None);
        let moved = key.moved(order, outcome);
        assert!(moved.absent.is_empty() && moved.unerased.is_empty(), "after {answers} answers");
        key.is_whole(&world, &[1, 4, 5]);
        if finished {
            ends += 1;
            if ends == 2 {
                assert!(answers >= 25, "five steps of five nodes, got {answers}");
                return;
            }
        }
    }
}

#[test]
fn a_node_killed_at_any_step_comes_back_and_the_reshare_completes() {
    for step in
        [StepKind::Prepare, StepKind::Deal, StepKind::Receive, StepKind::Activate, StepKind::Retire]
    {
        for persists in [false, true] {
            let mut world = World::new();
            let mut key = Key::born(&mut world);
            let order = key.order(&world, &SAME);
            let mut conductor = key.conductor(&world, &order);
            let mut killed = false;
            let outcome = world.run(&mut conductor, |world, ticket, request| {
                if killed || ticket.step != step || ticket.node != index(2) {
                    return None;
                }
                killed = true;
                if persists {
                    world.carry(ticket, request).unwrap();
                } else {
                    assert!(world.step(2, step, request).unwrap().send.is_ok());
                }
                Some(Err(Failure::Unreachable))
            });
            assert!(killed, "{step} persists {persists}");
            let moved = key.moved(order, outcome);
            assert!(moved.absent.is_empty() && moved.unerased.is_empty());
            key.is_whole(&world, &[1, 2, 3]);
        }
    }
}

/// A node that learns of an epoch's coming into force before it is asked to activate it
/// signs it active all the same, and knows its signature when it comes back.
#[test]
fn an_active_signature_given_late_is_no_forgery() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let order = key.order(&world, &To { q: 4, ..SAME });
    let mut conductor = key.conductor(&world, &order);
    let mut activate = None;
    let outcome = world.run(&mut conductor, |_, ticket, request| {
        if ticket.step == StepKind::Activate {
            activate = Some(request.to_vec());
        }
        let late = matches!(ticket.step, StepKind::Activate | StepKind::Retire);
        (late && ticket.node == index(5)).then_some(Err(Failure::Unreachable))
    });
    key.moved(order, outcome);
    let mut record = key.newest.clone();
    let epoch = record.certificate.public.epoch;
    // The next order brings the proof; the activation of before comes after it.
    let next = key.order(&world, &To { q: 4, ..SAME });
    let mut conductor = key.conductor(&world, &next);
    while world.state(5, epoch.number).standing.in_force != Some(epoch) {
        for send in conductor.poll(world.now) {
            let answer = world.carry(&send.ticket, &send.request);
            let answer = answer.as_deref().map_err(Clone::clone);
            conductor.on_answer(&send.ticket, answer, world.now);
        }
        world.now = world.now.plus(250);
    }
    let answer = world.ask(5, StepKind::Activate, &activate.unwrap()).unwrap();
    let ActivateAnswer::Active(signature) = ActivateAnswer::from_bytes(&answer).unwrap() else {
        panic!("it holds the share");
    };
    record.actives.push(signature);
    let retire = RetireRequest { record, birth: Some(key.birth.clone()) };
    assert!(world.ask(5, StepKind::Retire, &retire.to_bytes()).is_ok());
    assert!(world.state(5, 1).frozen.is_none());
}

#[test]
fn a_dealer_never_deals_twice_differently_for_one_number() {
    let mut world = World::new();
    let key = Key::born(&mut world);
    let order = key.order(&world, &SAME);
    let mut conductor = key.conductor(&world, &order);
    let mut dealt = 0;
    world.run(&mut conductor, |world, ticket, request| {
        if ticket.step == StepKind::Deal {
            let first = world.carry(ticket, request).unwrap();
            assert_eq!(world.carry(ticket, request).unwrap(), first);
            let mut other = DealRequest::from_bytes(request).unwrap();
            other.dealers = other.dealers.iter().map(|d| index(d.get() + 1)).collect();
            let fault = world.ask(ticket.node.get(), StepKind::Deal, &other.to_bytes());
            assert!(matches!(fault, Err(Fault::NumberUsed { .. })), "{fault:?}");
            dealt += 1;
        }
        None
    });
    assert_eq!(dealt, 3, "t dealers deal");
}

#[test]
fn two_conductors_at_once_move_the_shares_once() {
    for order_of_turns in 0..40_u32 {
        let mut world = World::seeded(u64::from(order_of_turns));
        let mut key = Key::born(&mut world);
        let order = key.order(&world, &SAME);
        let mut two = [key.conductor(&world, &order), key.conductor(&world, &order)];
        let mut dice = order_of_turns.wrapping_mul(2_654_435_761) | 1;
        for _ in 0..20_000 {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let which = (dice >> 16) as usize % 2;
            for send in two[which].poll(world.now) {
                let answer = world.carry(&send.ticket, &send.request);
                let answer = answer.as_deref().map_err(Clone::clone);
                two[which].on_answer(&send.ticket, answer, world.now);
            }
            world.now = world.now.plus(100);
            if two.iter().all(|c| c.outcome().is_some()) {
                break;
            }
        }
        let outcomes: Vec<_> = two.iter().map(|c| c.outcome().cloned().unwrap()).collect();
        let records: Vec<_> = outcomes
            .iter()
            .map(|o| match o {
                Outcome::Moved { record, .. } => record.certificate.public.epoch,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(records[0], records[1], "turns {order_of_turns}");
        key.moved(order, outcomes[0].clone());
        key.is_whole(&world, &[2, 3, 5]);
    }
}

#[test]
fn an_old_disk_image_deals_nothing_and_is_repaired() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let image = world.disk(4).clone();
    key.reshare(&mut world, &SAME);
    *world.disk(4) = image;
    // It still thinks that the birth's epoch is in force; the next reshare tells it.
    let moved = key.reshare(&mut world, &SAME);
    assert!(moved.absent.is_empty() && moved.unerased.is_empty());
    key.is_whole(&world, &[3, 4, 5]);
    assert_eq!(world.disk(4).secrets(), 2);
}

/// Two conductors that hear other members make two certificates of one epoch. Whichever a
/// node has kept, it deals on the same parent.
#[test]
fn nodes_that_keep_different_proofs_of_one_epoch_deal_together() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let to = To { q: 4, ..SAME };
    let order = key.order(&world, &to);
    let mut conductor = key.conductor(&world, &order);
    let outcome = world.run(&mut conductor, |world, ticket, request| {
        if ticket.step != StepKind::Retire || ticket.node > index(2) {
            return None;
        }
        let mut other = RetireRequest::from_bytes(request).unwrap();
        other.record.certificate.receipts.remove(2);
        other.record.actives.remove(3);
        Some(world.carry(ticket, &other.to_bytes()))
    });
    key.moved(order, outcome);
    let kept = |node| world.state(node, 0).newest;
    assert_ne!(kept(1), kept(5));
    let moved = key.reshare(&mut world, &SAME);
    assert!(moved.culprits.is_empty() && moved.absent.is_empty(), "{:?}", moved.culprits);
    key.is_whole(&world, &[1, 2, 5]);
}

/// Row 7: more than `n - t` disks are lost, and others have their nodes' places.
#[test]
fn with_too_few_shares_left_nothing_is_made_up_and_it_is_said_so() {
    // Three are enough.
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    for lost in [1, 2] {
        *world.disk(lost) = Disk::default();
    }
    key.reshare(&mut world, &SAME);
    key.is_whole(&world, &[1, 2, 3]);
    // Two are not, wherever the third is.
    for away in [false, true] {
        let mut world = World::new();
        let key = Key::born(&mut world);
        for lost in [1, 2, 3] {
            *world.disk(lost) = Disk::default();
        }
        let order = key.order(&world, &SAME);
        let mut conductor = key.conductor(&world, &order);
        let outcome = world.run(&mut conductor, |_, ticket, _| {
            (away && ticket.node == index(3)).then_some(Err(Failure::Unreachable))
        });
        let (reason, culprits, _) = failed(outcome);
        let silent = if away { vec![index(3)] } else { Vec::new() };
        let (epoch, holders) = (key.number(), vec![index(4), index(5)]);
        let few = FailReason::FewShares { epoch, holders, needed: 3, silent };
        assert_eq!((&reason, &culprits[..]), (&few, &[][..]));
        assert_eq!(reason.to_string().contains("KEY LOST"), !away, "{reason}");
        assert!((1..=5).all(|n| world.state(n, key.number() + 1024).secrets.share.is_none()));
    }
}

#[test]
fn who_leaves_is_not_waited_for_and_not_named_when_who_stays_is_silent() {
    let mut world = World::new();
    let key = Key::born(&mut world);
    let order = key.order(&world, &To { nodes: &[2, 3, 4, 5], t: 3, q: 4 });
    let mut conductor = key.conductor(&world, &order);
    let outcome = world.run(&mut conductor, |_, ticket, _| {
        let away = [index(1), index(5)].contains(&ticket.node);
        away.then_some(Err(Failure::Unreachable))
    });
    let silent = FailReason::Silent { step: StepKind::Prepare, nodes: vec![index(5)] };
    assert_eq!(failed(outcome).0, silent);
}
