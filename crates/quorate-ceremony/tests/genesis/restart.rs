//! Killed between any two effects of any step, at any party: the same request finds the same
//! answer. (Every step of these tests decodes a node's whole state from bytes first.)

use crate::rig::*;
use quorate_ceremony::*;
use quorate_types::*;
use std::collections::BTreeMap;

/// What was asked, with the request and its answer.
type Exchange = (Ticket, Vec<u8>, Vec<u8>);

/// Runs a whole genesis and gives every request and the answers to it.
fn recorded() -> (World, VerifiedOrder, Vec<Exchange>) {
    let mut world = World::new();
    let order = world.order(|_| {});
    let mut seen = Vec::new();
    let mut conductor = world.conductor(&order);
    world.run(&mut conductor, |world, t, request| {
        let answer = world.carry(t, request).unwrap();
        seen.push((*t, request.to_vec(), answer.clone()));
        Some(Ok(answer))
    });
    assert_eq!(seen.len(), 25);
    (world, order, seen)
}

#[test]
fn a_repeated_request_gives_the_same_bytes_at_any_later_time() {
    let (mut world, _, seen) = recorded();
    let before: Vec<_> = world.nodes.values().map(|n| n.disk.clone()).collect();
    // In the opposite order, long after the order's life, and after the birth.
    world.now = world.now.plus(100 * Millis::DAY);
    for (t, request, answer) in seen.iter().rev() {
        let step = world.step(t.node.get(), t.step, request).unwrap();
        assert_eq!(step.send.as_ref(), Ok(answer), "{} of node {}", t.step, t.node);
        assert!(step.persist.list.is_empty(), "{}", t.step);
        assert_eq!(step.audit.len(), 1, "logged again: nobody knows whether it was");
        world.ask(t.node.get(), t.step, request).unwrap();
    }
    assert!(world.nodes.values().zip(before).all(|(n, disk)| n.disk == disk));
}

/// For each step and node: the kill, then the same conductor goes on.
fn killed(kill: impl Fn(&mut World, &Ticket, &[u8])) {
    for step in
        [StepKind::Prepare, StepKind::Deal, StepKind::Receive, StepKind::Activate, StepKind::Retire]
    {
        for node in 1..=5 {
            let mut world = World::new();
            let order = world.order(|_| {});
            let mut conductor = world.conductor(&order);
            let mut kills = 0;
            let outcome = world.run(&mut conductor, |world, t, request| {
                let now = kills == 0 && t.step == step && t.node == index(node);
                now.then(|| {
                    kills += 1;
                    kill(world, t, request);
                    Err(Failure::Unreachable)
                })
            });
            assert_eq!(kills, 1);
            let Outcome::Born { absent, .. } = outcome else { panic!("{step} of node {node}") };
            assert!(absent.is_empty());
        }
    }
}

#[test]
fn a_node_killed_before_it_persists_does_the_step_afresh() {
    killed(|world, t, request| {
        let step = world.step(t.node.get(), t.step, request).unwrap();
        assert!(step.send.is_ok());
    });
}

#[test]
fn a_node_killed_after_it_persists_answers_what_it_had_persisted() {
    killed(|world, t, request| {
        let lost = world.ask(t.node.get(), t.step, request).unwrap();
        assert_eq!(world.ask(t.node.get(), t.step, request).unwrap(), lost);
    });
}

#[test]
fn a_node_never_deals_twice_and_never_prepares_twice() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let answers = world.prepare(&order, 1);
    assert_eq!(world.prepare(&order, 1), answers);
    let dealings = world.deal(1, &answers);
    assert_eq!(world.deal(1, &answers), dealings);
    assert!(world.state(1, 1).secrets.polynomial.is_none(), "it could not if it would");
}

#[test]
fn a_conductor_killed_after_any_answer_is_followed_by_one_that_finishes() {
    for survive in 0..25 {
        let mut world = World::new();
        let order = world.order(|_| {});
        let mut conductor = world.conductor(&order);
        let mut carried = 0;
        'killed: loop {
            for send in conductor.poll(world.now) {
                if carried == survive {
                    break 'killed;
                }
                let answer = world.carry(&send.ticket, &send.request).unwrap();
                conductor.on_answer(&send.ticket, Ok(&answer), world.now);
                carried += 1;
            }
        }
        drop(conductor);
        let record = born(world.conduct(&order));
        assert_eq!(record.certificate.public.epoch.number, 1, "after {survive} answers");
    }
}

#[test]
fn answers_that_come_late_twice_or_to_nobody_change_nothing() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let mut conductor = world.conductor(&order);
    let mut old: BTreeMap<(StepKind, NodeIndex), (Ticket, Vec<u8>)> = BTreeMap::new();
    while conductor.outcome().is_none() {
        for send in conductor.poll(world.now) {
            let answer = world.carry(&send.ticket, &send.request).unwrap();
            conductor.on_answer(&send.ticket, Ok(&answer), world.now);
            // The same again, a contradiction, and everything that ever came.
            conductor.on_answer(&send.ticket, Ok(&answer), world.now);
            conductor.on_answer(&send.ticket, Ok(b"junk"), world.now);
            for (ticket, bytes) in old.values() {
                conductor.on_answer(ticket, Ok(bytes), world.now);
                conductor.on_answer(ticket, Ok(b"junk"), world.now);
            }
            old.insert((send.ticket.step, send.ticket.node), (send.ticket, answer));
        }
    }
    let outcome = conductor.outcome().unwrap().clone();
    assert!(matches!(&outcome, Outcome::Born { culprits, .. } if culprits.is_empty()));
}

#[test]
fn a_store_that_fails_is_asked_again() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let mut conductor = world.conductor(&order);
    let full = Failure::Fault { code: fault::UNAVAILABLE, message: "the disk is full".into() };
    let mut failures = 0;
    let outcome = world.run(&mut conductor, |_, t, _| {
        (t.node == index(2) && failures < 7).then(|| {
            failures += 1;
            Err(full.clone())
        })
    });
    assert_eq!(failures, 7);
    born(outcome);
}

#[test]
fn a_lost_secret_is_an_alarm_and_no_new_secret() {
    for (lost, fault) in [
        (SecretKind::Polynomial, Fault::SecretMissing("polynomial")),
        (SecretKind::CeremonyKey, Fault::SecretMissing("ceremony key")),
    ] {
        let mut world = World::new();
        let order = world.order(|_| {});
        let answers = world.prepare(&order, 1);
        let drop = |world: &mut World| {
            let list = vec![Change::Drop(1, lost)];
            let Subject { key, version, .. } = subject(1);
            world.disk(1).apply(&Changes { key, version, list });
        };
        if lost == SecretKind::Polynomial {
            drop(&mut world);
            assert_eq!(world.deal_one(1, 1, &answers), Err(fault.clone()));
        } else {
            let bundle = world.deal(1, &answers);
            drop(&mut world);
            let request = ReceiveRequest { subject: subject(1), answers, bundle, parent: None };
            assert_eq!(world.receive_one(1, &request), Err(fault.clone()));
        }
        assert_eq!(fault.whose(), Whose::Ours);
    }
}
