//! Every attempt makes another key, and only one may be born.

use crate::rig::*;
use quorate_ceremony::*;
use quorate_types::*;

#[test]
fn a_node_signs_one_public_key_of_a_version_active_for_ever() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let one = world.certified(&order, 1);
    let two = world.certified(&order, 2);
    let Ok(ActivateAnswer::Active(first)) = world.activate_one(1, &order, &one) else { panic!() };
    let Ok(ActivateAnswer::Other(proof)) = world.activate_one(1, &order, &two) else { panic!() };
    assert_eq!((&proof.certificate, proof.active), (&one, first));
    assert!(proof.verify(&world.cluster).is_ok());
    assert_eq!(world.activate_one(1, &order, &one), Ok(ActivateAnswer::Active(first)));
    assert_eq!(world.state(1, 1).standing.serves().last(), Some(one.public.epoch));
}

#[test]
fn a_new_conductor_finishes_what_a_node_has_signed_active() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let one = world.certified(&order, 3);
    world.activate_one(2, &order, &one).unwrap();
    // It begins at number 1, where nobody has been.
    let record = born(world.conduct(&order));
    assert_eq!(record.certificate, one);
}

#[test]
fn a_new_order_finishes_what_was_certified_under_the_one_before() {
    let mut world = World::new();
    let first = world.order(|c| c.q = 4);
    let one = world.certified(&first, 3);
    world.activate_one(2, &first, &one).unwrap();
    let second = world.order_after(Some(&first), |c| c.first_number = 2000);
    let outcome = world.conduct(&second);
    assert!(matches!(outcome, Outcome::Born { as_ordered: false, .. }));
    assert_eq!(born(outcome).certificate, one);
}

#[test]
fn split_active_signatures_burn_the_version_and_the_next_one_is_born() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let (one, two) = (world.certified(&order, 1), world.certified(&order, 2));
    for (node, certificate) in [(1, &one), (2, &one), (3, &two), (4, &two)] {
        let answer = world.activate_one(node, &order, certificate);
        assert!(matches!(answer, Ok(ActivateAnswer::Active(_))));
    }
    let (reason, culprits, burnt) = failed(world.conduct(&order));
    assert!(matches!(reason, FailReason::Split(_)) && culprits.is_empty() && burnt, "{reason}");
    // No record of either verifies, with all the signatures that there will ever be.
    for certificate in [one, two] {
        let public = &certificate.public;
        let actives = (1..=5).filter_map(|i| {
            let active = world.state(i, 1).standing.active?;
            (active.certificate.public == *public).then_some(active.active)
        });
        let actives: Vec<_> = actives.collect();
        assert!(actives.len() <= 3);
        let order = order.signed().clone();
        assert!(KeyRecord { order, certificate, actives }.verify(&world.cluster).is_err());
    }
    let next = world.order_after(Some(&order), |c| c.version = KeyVersion::new(2).unwrap());
    assert_eq!(born(world.conduct(&next)).certificate.public.version.get(), 2);
}

/// One has signed another key, and the one who could make up for it signs nothing: only to
/// wait for it would leave operators without a key for as long as it likes.
#[test]
fn a_split_that_one_silent_member_could_mend_names_it_and_the_way_on() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let (one, two) = (world.certified(&order, 1), world.certified(&order, 2));
    for (node, certificate) in [(1, &two), (4, &one)] {
        world.activate_one(node, &order, certificate).unwrap();
    }
    let mut conductor = world.conductor(&order);
    let outcome = world.run(&mut conductor, |_, ticket, _| {
        let refused = || Failure::Fault { code: fault::UNAVAILABLE, message: "not now".into() };
        (ticket.step == StepKind::Activate && ticket.node == index(5)).then(|| Err(refused()))
    });
    let (reason, _, burnt) = failed(outcome);
    let FailReason::Undecided { nodes, .. } = &reason else { panic!("{reason}") };
    assert_eq!((nodes, burnt), (&vec![index(5)], false));
    assert!(reason.to_string().contains("order the next version"), "{reason}");
    let next = world.order_after(Some(&order), |c| c.version = KeyVersion::new(2).unwrap());
    assert_eq!(born(world.conduct(&next)).certificate.public.version.get(), 2);
}

#[test]
fn a_split_that_can_still_be_mended_is_mended() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let (one, two) = (world.certified(&order, 1), world.certified(&order, 2));
    // One node has signed the second, two the first: with q = 4 of 5 only the first can be.
    for (node, certificate) in [(1, &two), (4, &one), (5, &one)] {
        world.activate_one(node, &order, certificate).unwrap();
    }
    // The conductor hears of the second first.
    let mut conductor = world.conductor_at(&order, 7);
    let record = born(world.run(&mut conductor, |_, _, _| None));
    assert_eq!(record.certificate, one);
    assert_eq!(record.actives.len(), 4);
    // The node that had signed the other serves the one that was born, and keeps its promise.
    let state = world.state(1, 1);
    assert_eq!(state.standing.serves().last(), Some(one.public.epoch));
    assert!(world.state(1, 2).secrets.share.is_some());
    assert!(world.state(2, 2).secrets.share.is_none(), "others erase what cannot be born");
}

#[test]
fn a_birth_ends_every_other_attempt() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let open = world.prepare(&order, 5);
    let pending = world.bundled(&order, 6);
    let certified = world.certified(&order, 7);
    let record = born(world.conduct(&order));
    assert_eq!(record.certificate.public.epoch.number, 1);
    for i in 1..=5 {
        assert_eq!(world.disk(i).secrets(), 2, "the share and the ceremony key that are in use");
        for number in [5, 6, 7] {
            let secrets = world.state(i, number).secrets;
            assert!(secrets.share.is_none() && secrets.ceremony_key.is_none());
            assert!(secrets.polynomial.is_none());
        }
    }
    assert_eq!(world.deal_one(1, 5, &open), Err(Fault::Closed));
    assert_eq!(world.receive_one(1, &pending), Err(Fault::Closed));
    assert_eq!(
        world
            .activate_one(1, &order, &certified)
            .map(|a| a == ActivateAnswer::Born(Box::new(record))),
        Ok(true)
    );
}

#[test]
fn a_second_birth_is_refused_even_with_enough_signatures() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let certificate = world.certified(&order, 2);
    born(world.conduct(&order));
    // Only with more liars than the design allows for: every identity signs.
    let actives = (1..=5).map(|i| certificate.public.sign_active(index(i), &key(i as u8)));
    let actives = actives.collect();
    let record = KeyRecord { order: order.signed().clone(), certificate, actives };
    let request = RetireRequest { record, birth: None }.to_bytes();
    assert!(world.ask(1, StepKind::Retire, &request).is_err());
    assert_eq!(world.state(1, 1).record.unwrap().certificate.public.epoch.number, 1);
}

#[test]
fn a_member_without_the_share_is_brought_the_bundle_where_its_signature_is_needed() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let other = world.certified(&order, 9);
    let request = world.bundled(&order, 3);
    let mut receipts = Vec::new();
    for i in 1..=4 {
        let Ok(ReceiveAnswer::Receipt(r)) = world.receive_one(i, &request) else { panic!() };
        receipts.push(*r);
    }
    let one = certificate(&receipts);
    for i in 1..=3 {
        world.activate_one(i, &order, &one).unwrap();
    }
    world.activate_one(4, &order, &other).unwrap();
    // Four must sign; the fourth has signed another, the fifth has never received. The conductor
    // knows neither number, and operators have lost patience already.
    let second = world.order_after(Some(&order), |c| c.first_number = 2000);
    world.prepare_one(5, &second, 2020).unwrap();
    let record = born(world.conduct(&second));
    assert_eq!(record.certificate.public, one.public);
    let signers: Vec<_> = record.actives.iter().map(|s| s.node.get()).collect();
    assert_eq!(signers, [1, 2, 3, 5]);
    assert_eq!(world.state(5, 3).standing.serves().last(), Some(one.public.epoch));
}

/// A dealer that deals anew when the attempt is done once more would have the member that
/// missed the bundle use its number for another one, and never sign the certified epoch.
#[test]
fn a_member_that_missed_the_bundle_is_given_no_other_one() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let answers = world.prepare(&order, 3);
    let before_it_dealt = world.disk(4).clone();
    let bundle = world.deal(3, &answers);
    let request = ReceiveRequest { subject: subject(3), answers, bundle, parent: None };
    let receipts = (1..=4).map(|i| match world.receive_one(i, &request).unwrap() {
        ReceiveAnswer::Receipt(receipt) => *receipt,
        ReceiveAnswer::Complaint(c) => panic!("{c:?}"),
    });
    let one = certificate(&receipts.collect::<Vec<_>>());
    for i in 1..=3 {
        world.activate_one(i, &order, &one).unwrap();
    }
    // It signs nothing, and deals anew.
    *world.disk(4) = before_it_dealt;
    let refuses = |_: &mut World, ticket: &Ticket, _: &[u8]| {
        let no = || Failure::Fault { code: Fault::NotMember.code(), message: "no".into() };
        (ticket.node == index(4) && ticket.step == StepKind::Activate).then(|| Err(no()))
    };
    let mut conductor = world.conductor_at(&order, 7);
    let (reason, _, burnt) = failed(world.run(&mut conductor, refuses));
    assert!(matches!(reason, FailReason::Changed { .. }) && !burnt, "{reason}");
    assert!(world.state(5, 3).attempt.is_none_or(|a| a.receipt().is_none()));
    // With the bundle as it was the member has its share, and the key is born.
    assert!(matches!(world.receive_one(5, &request), Ok(ReceiveAnswer::Receipt(_))));
    let mut conductor = world.conductor_at(&order, 7);
    let record = born(world.run(&mut conductor, refuses));
    assert_eq!(record.certificate.public, one.public);
}

#[test]
fn a_refusal_does_not_keep_the_others_from_being_heard() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    world.certified(&order, 1);
    let two = world.certified(&order, 2);
    for i in 2..=5 {
        world.activate_one(i, &order, &two).unwrap();
    }
    // Of number 1 the first member says nothing but no; the others know what to finish.
    let refused = Failure::Fault { code: Fault::Subject.code(), message: "no".into() };
    let mut conductor = world.conductor(&order);
    let outcome = world.run(&mut conductor, |_, t, _| {
        let first = t.step == StepKind::Activate && t.number == 1 && t.node == index(1);
        first.then(|| Err(refused.clone()))
    });
    assert_eq!(born(outcome).certificate, two);
}
