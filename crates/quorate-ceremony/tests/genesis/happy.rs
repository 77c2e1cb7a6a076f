//! Nobody in the way.

use crate::rig::*;
use quorate_ceremony::*;
use quorate_crypto::{SecretScalar, Threshold, sharing};
use quorate_types::*;

/// The key that any three nodes' shares give.
fn shares(world: &World, number: u64) -> Vec<(NodeIndex, SecretScalar)> {
    let share = |i| world.state(i, number).secrets.share.unwrap();
    (1..=5).map(|i| (index(i), share(i))).collect()
}

#[test]
fn three_of_five_is_born_and_any_three_shares_are_the_key() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let outcome = world.conduct(&order);
    let Outcome::Born { record, as_ordered: true, absent, culprits } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(absent.is_empty() && culprits.is_empty());

    let public = record.verify(&world.cluster).unwrap().public().clone();
    assert_eq!((record.certificate.receipts.len(), record.actives.len()), (5, 5));
    let shares = shares(&world, public.epoch.number);
    let t = Threshold::new(3, 5).unwrap();
    let commitments =
        sharing::Commitments::from_bytes(public.suite.group(), t, &public.commitments).unwrap();
    for pick in [[0, 1, 2], [0, 2, 4], [2, 3, 4]] {
        let some: Vec<_> = pick.iter().map(|i| shares[*i].clone()).collect();
        let secret = sharing::reconstruct(&commitments, &some).unwrap();
        assert_eq!(secret.public().compress().as_bytes(), public.public_key());
    }
}

#[test]
fn every_node_keeps_the_proof_the_share_and_its_ceremony_key_and_no_polynomial() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let record = born(world.conduct(&order));
    for i in 1..=5 {
        let state = world.state(i, 1);
        assert_eq!(state.record.as_ref(), Some(&record));
        assert_eq!(state.standing.serves().last(), Some(record.certificate.public.epoch));
        assert!(matches!(state.attempt, Some(Attempt::Active(..))));
        assert!(state.secrets.share.is_some() && state.secrets.ceremony_key.is_some());
        assert!(state.secrets.polynomial.is_none());
    }
}

#[test]
fn every_step_is_logged_before_it_is_answered() {
    let mut world = World::new();
    let order = world.order(|_| {});
    world.conduct(&order);
    let log = &world.nodes[&index(4)].log;
    assert_eq!(log[0], Event::Order { order: order.hash() });
    let steps: Vec<_> = log[1..]
        .iter()
        .map(|e| match e {
            Event::Ceremony { step, number: 1, .. } => step.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(steps, ["prepare", "deal", "receive", "activate", "retire"]);
}

#[test]
fn progress_tells_who_is_waited_for() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let mut conductor = world.conductor(&order);
    let sends = conductor.poll(world.now);
    assert_eq!(sends.len(), 5);
    for send in &sends[..3] {
        let answer = world.carry(&send.ticket, &send.request).unwrap();
        conductor.on_answer(&send.ticket, Ok(&answer), world.now);
    }
    let progress = conductor.progress();
    assert_eq!((progress.step, progress.number), (StepKind::Prepare, 1));
    assert_eq!((progress.done, progress.of, progress.needed), (3, 5, 5));
    assert_eq!(progress.waiting_for, [index(4), index(5)]);
    assert!(conductor.poll(world.now).is_empty(), "nobody is asked twice at once");
    let later = world.now.plus(PACE.answer_within);
    assert_eq!(conductor.poll(later).len(), 2, "what stays unanswered counts as lost");
}

#[test]
fn with_q_of_four_an_absent_receiver_does_not_hold_up_the_birth_and_catches_up() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let mut bundle = Vec::new();
    let mut conductor = world.conductor(&order);
    let late = |_: &mut World, t: &Ticket, request: &[u8]| {
        if t.step == StepKind::Receive {
            bundle = request.to_vec();
        }
        let away = t.node == index(5) && t.step >= StepKind::Receive;
        away.then_some(Err(Failure::Unreachable))
    };
    let outcome = world.run(&mut conductor, late);
    let Outcome::Born { record, absent, culprits, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(absent, [index(5)]);
    assert!(culprits.is_empty(), "silence is never guilt");
    assert_eq!(record.actives.len(), 4);

    // It hears of the birth first, then gets the bundle from anyone, and its share from it.
    let retire = RetireRequest { record: (*record).clone(), birth: None }.to_bytes();
    let report = world.ask(5, StepKind::Retire, &retire).unwrap();
    assert!(!RetireAnswer::from_bytes(&report).unwrap().serving);
    world.ask(5, StepKind::Receive, &bundle).unwrap();
    let report = world.ask(5, StepKind::Retire, &retire).unwrap();
    assert!(RetireAnswer::from_bytes(&report).unwrap().serving);
    let state = world.state(5, 1);
    assert_eq!(state.standing.serves().last(), Some(record.certificate.public.epoch));
    let share = state.secrets.share.unwrap();
    let t = Threshold::new(3, 5).unwrap();
    let public = &record.certificate.public;
    let commitments =
        sharing::Commitments::from_bytes(public.suite.group(), t, &public.commitments).unwrap();
    assert!(commitments.verify_share(index(5), &share));
}

#[test]
fn a_member_without_the_share_notes_the_certificate_and_signs_nothing() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let request = world.bundled(&order, 1);
    let receipts: Vec<_> = (1..=4)
        .map(|i| match world.receive_one(i, &request).unwrap() {
            ReceiveAnswer::Receipt(r) => *r,
            ReceiveAnswer::Complaint(_) => panic!(),
        })
        .collect();
    let certificate = certificate(&receipts);
    assert_eq!(world.activate_one(5, &order, &certificate), Ok(ActivateAnswer::Noted));
    let state = world.state(5, 1);
    assert!(state.standing.active.is_none() && state.standing.serves().next().is_none());
    assert_eq!(state.standing.noted.unwrap().certificate, certificate);
    // Once it has its share, it signs.
    world.receive_one(5, &request).unwrap();
    let answer = world.activate_one(5, &order, &certificate);
    assert!(matches!(answer, Ok(ActivateAnswer::Active(_))));
}

#[test]
fn a_born_key_is_not_made_again() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let record = born(world.conduct(&order));
    // The same order again: the same key.
    assert_eq!(born(world.conduct(&order)).certificate, record.certificate);
    // Under an unused number: every node shows the birth certificate instead.
    let mut conductor = world.conductor_at(&order, 7);
    assert_eq!(born(world.run(&mut conductor, |_, _, _| None)), record);
    assert!(world.state(1, 7).attempt.is_none());
    // Another order for the same version: the outcome says that it was not this one.
    let again = world.order(|c| c.first_number = 5000);
    let outcome = world.conduct(&again);
    assert!(matches!(&outcome, Outcome::Born { as_ordered: false, .. }), "{outcome:?}");
    assert_eq!(born(outcome), record);
}
