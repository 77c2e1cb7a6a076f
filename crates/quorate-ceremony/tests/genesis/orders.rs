//! Who may start a ceremony, and which one.

use crate::rig::*;
use quorate_ceremony::*;
use quorate_types::*;
use std::sync::Arc;

fn prepare(world: &mut World, order: &SignedOrder, number: u64) -> Result<Vec<u8>, Fault> {
    let request = PrepareRequest {
        order: order.clone(),
        earlier: Vec::new(),
        number,
        descent: None,
        scheduled: None,
    };
    world.ask(1, StepKind::Prepare, &request.to_bytes())
}

fn chain_fault(result: Result<PrepareAnswer, Fault>) -> ChainFault {
    match result {
        Err(Fault::Chain(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_order_with_too_few_signatures_is_refused() {
    let mut world = World::new();
    let draft = world.draft(None, |_| {});
    for signers in [&[][..], &[101], &[101, 50]] {
        let fault = prepare(&mut world, &sign(&draft, signers), 1).unwrap_err();
        let Fault::Order(OrderError::Signatures { needed: 2, got }) = fault else { panic!() };
        assert!(got < 2);
    }
    assert!(prepare(&mut world, &sign(&draft, &[101, 102]), 1).is_ok());
}

#[test]
fn an_order_changed_after_it_was_signed_is_refused() {
    let mut world = World::new();
    let signed = sign(&world.draft(None, |_| {}), &[101, 102]);
    // A lower threshold, another committee, a lower q: the signatures are of other bytes.
    for change in [
        (|c: &mut CreateKey| c.committee = committee(&[1, 2, 3, 4, 5], 2)) as fn(&mut CreateKey),
        |c| c.committee = committee(&[1, 2, 3, 4], 3),
        |c| c.q = 4,
    ] {
        let mut changed = signed.clone();
        changed.0.body = world.draft(None, change).to_bytes();
        let fault = prepare(&mut world, &changed, 1).unwrap_err();
        assert!(matches!(fault, Fault::Order(OrderError::Signatures { got: 0, .. })), "{fault}");
    }
}

#[test]
fn an_order_is_used_first_within_its_life() {
    let mut world = World::new();
    let order = world.order(|_| {});
    world.now = Millis(START.0 - 60 * 60 * 1000);
    let early = chain_fault(world.prepare_one(1, &order, 1));
    assert!(matches!(early, ChainFault::Order(OrderError::Expired(_))), "{early}");
    world.now = START;
    world.prepare_one(1, &order, 1).unwrap();
    world.now = START.plus(2 * Millis::DAY);
    // Node 1 has used it: it goes on. Node 2 has not: it begins nothing.
    assert!(world.prepare_one(1, &order, 2).is_ok());
    let late = chain_fault(world.prepare_one(2, &order, 1));
    assert!(matches!(late, ChainFault::Order(OrderError::Expired(_))), "{late}");
}

#[test]
fn numbers_outside_of_the_order_are_refused() {
    let mut world = World::new();
    let order = world.order(|c| c.first_number = 100);
    for number in [1, 99, 1124, u64::MAX] {
        let fault = world.prepare_one(1, &order, number).unwrap_err();
        assert_eq!(fault, Fault::NumberRange { first: 100, last: 1123, got: number });
    }
    assert!(prepare(&mut world, order.signed(), 0).is_err());
    assert!(world.prepare_one(1, &order, 100).is_ok());
    assert!(world.prepare_one(1, &order, 1123).is_ok());
}

#[test]
fn an_order_that_makes_no_key_starts_no_ceremony() {
    let mut world = World::new();
    let action = Action::AddClient { name: "app".parse().unwrap(), client: key(50).public() };
    let draft = Order { action, ..world.draft(None, |_| {}) };
    let fault = prepare(&mut world, &sign(&draft, &[101, 102]), 1).unwrap_err();
    assert_eq!(fault, Fault::WrongAction);
}

#[test]
fn a_node_outside_of_the_committee_takes_no_part() {
    let mut world = World::new();
    let order = world.order(|c| {
        c.committee = committee(&[2, 3, 4, 5], 3);
        c.q = 4;
    });
    assert_eq!(world.prepare_one(1, &order, 1), Err(Fault::NotMember));
    // But it keeps the proof of the key.
    let mut conductor = world.conductor(&order);
    let record = born(world.run(&mut conductor, |_, _, _| None));
    let retire = RetireRequest { record: record.clone(), birth: None }.to_bytes();
    let report = world.ask(1, StepKind::Retire, &retire).unwrap();
    assert!(!RetireAnswer::from_bytes(&report).unwrap().serving);
    assert_eq!(world.state(1, 1).record, Some(record));
}

#[test]
fn only_the_newest_order_counts_and_its_numbers_begin_above() {
    let mut world = World::new();
    let first = world.order(|_| {});
    let answers = world.prepare(&first, 1);

    let overlapping = world.order_after(Some(&first), |c| c.first_number = 1024);
    let fault = chain_fault(world.prepare_one(1, &overlapping, 1024));
    assert!(matches!(fault, ChainFault::Sequence(_)), "{fault}");
    let skipping = world.order_after(Some(&first), |c| c.version = KeyVersion::new(3).unwrap());
    let fault = chain_fault(world.prepare_one(1, &skipping, 1025));
    assert!(matches!(fault, ChainFault::Sequence(_)), "{fault}");

    let second = world.order_after(Some(&first), |c| c.first_number = 1025);
    world.prepare_one(1, &second, 1025).unwrap();
    let superseded = Fault::Chain(ChainFault::Superseded { head: second.hash() });
    assert_eq!(world.deal_one(1, 1, &answers), Err(superseded.clone()));
    assert_eq!(world.prepare_one(1, &first, 2), Err(superseded));
    // What was answered is answered again all the same.
    assert_eq!(world.prepare_one(1, &first, 1).as_ref(), Ok(&answers[0]));
    // What cannot go on any more is erased.
    assert!(world.state(1, 1).secrets.polynomial.is_none());
    assert!(world.state(1, 1).secrets.ceremony_key.is_none());
    assert!(world.state(1, 1025).secrets.polynomial.is_some());
}

#[test]
fn a_promised_share_outlives_a_newer_order() {
    let mut world = World::new();
    let first = world.order(|_| {});
    let certificate = world.certified(&first, 1);
    let second = world.order_after(Some(&first), |c| c.first_number = 1025);
    world.prepare_one(1, &second, 1025).unwrap();
    assert!(world.state(1, 1).secrets.share.is_some());
    // What was certified under the earlier order can still be finished.
    let answer = world.activate_one(1, &first, &certificate);
    assert!(matches!(answer, Ok(ActivateAnswer::Active(_))), "{answer:?}");
}

#[test]
fn of_two_orders_with_one_predecessor_the_first_stays() {
    let mut world = World::new();
    let first = world.order(|_| {});
    let other = world.order(|c| c.q = 4);
    world.prepare_one(1, &first, 1).unwrap();
    let forked = ChainFault::Forked { first: first.hash(), second: other.hash() };
    assert_eq!(chain_fault(world.prepare_one(1, &other, 2)), forked);
    assert_eq!(
        world.prepare_one(1, &other, 1),
        Err(Fault::NumberUsed { number: 1, equivocators: Vec::new() })
    );
}

#[test]
fn a_node_that_missed_orders_is_told_in_passing() {
    let mut world = World::new();
    let first = world.order(|_| {});
    let second = world.order_after(Some(&first), |c| c.first_number = 1025);
    let third = world.order_after(Some(&second), |c| c.version = KeyVersion::new(2).unwrap());
    world.prepare_one(1, &first, 1).unwrap();
    assert_eq!(chain_fault(world.prepare_one(1, &third, 2049)), ChainFault::Gap);
    assert_eq!(chain_fault(world.prepare_one(2, &third, 2049)), ChainFault::Gap);

    let earlier = vec![first.signed().clone(), second.signed().clone()];
    // The first is too old to be used: the newest, which names it, vouches for it.
    world.now = START.plus(Millis::DAY - 1000);
    let cluster = Arc::clone(&world.cluster);
    let mut conductor =
        Conductor::starting_at(cluster, third.clone(), earlier, 2049, PACE).unwrap();
    let record = born(world.run(&mut conductor, |_, _, _| None));
    assert_eq!(record.certificate.public.version.get(), 2);
    let orders = |i| world.nodes[&index(i)].log.iter().filter(|e| matches!(e, Event::Order { .. }));
    assert_eq!((orders(1).count(), orders(2).count()), (3, 3));
}

#[test]
fn orders_of_another_chain_do_not_fill_a_gap() {
    let mut world = World::new();
    let first = world.order(|_| {});
    let second = world.order_after(Some(&first), |c| c.first_number = 1025);
    let stranger = world.order(|c| c.name = "other".parse().unwrap());
    let request = PrepareRequest {
        order: second.signed().clone(),
        earlier: vec![stranger.signed().clone()],
        number: 1025,
        descent: None,
        scheduled: None,
    };
    let fault = world.ask(1, StepKind::Prepare, &request.to_bytes()).unwrap_err();
    assert!(matches!(fault, Fault::Chain(ChainFault::Sequence(_))), "{fault}");
}

#[test]
fn an_order_under_an_older_roster_starts_nothing() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let answers = world.prepare(&order, 1);
    let genesis = world.cluster.chain()[0].clone();
    let fingerprint = *world.cluster.fingerprint();
    let next = Roster {
        version: 2,
        previous: world.cluster.roster_hash(),
        written_at: world.now,
        ..roster("test")
    };
    let chain = [genesis, sign_roster(&next, &fingerprint)];
    world.cluster = Arc::new(Cluster::verify(&fingerprint, &chain).unwrap());
    let old = Fault::Roster { here: 2, order: 1 };
    assert_eq!(world.prepare_one(1, &order, 2), Err(old.clone()));
    assert_eq!(world.deal_one(1, 1, &answers), Err(old));
}

#[test]
fn a_conductor_takes_the_next_number_and_stops_at_the_last() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let used = Failure::Fault {
        code: Fault::NumberUsed { number: 0, equivocators: Vec::new() }.code(),
        message: "used".into(),
    };
    let mut conductor = world.conductor_at(&order, 1020);
    let mut tried = Vec::new();
    let outcome = world.run(&mut conductor, |_, t, _| {
        if tried.last() != Some(&t.number) {
            tried.push(t.number);
        }
        (t.node == index(3)).then(|| Err(used.clone()))
    });
    assert_eq!(tried, [1020, 1021, 1022, 1023, 1024]);
    assert_eq!(failed(outcome), (FailReason::NumbersUsed, Vec::new(), false));
}
