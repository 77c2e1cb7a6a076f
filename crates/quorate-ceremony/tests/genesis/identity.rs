//! Adversary 2: somebody has a copy of a node's identity. The node freezes the key once it sees
//! something in its own name that it did not make, and only then.

use crate::rig::*;
use quorate_ceremony::*;
use quorate_types::*;

/// The node refuses, says why, keeps the evidence, and does nothing more for this key.
fn frozen_by(world: &mut World, order: &VerifiedOrder, fault: Fault, what: Forgery) {
    let Fault::Impersonated(seen) = fault else { panic!("{fault}") };
    assert_eq!(seen.what, what);
    let state = world.state(1, 1);
    assert_eq!(state.frozen, Some(*seen));
    assert_eq!(world.prepare_one(1, order, 9), Err(Fault::Frozen));
    assert_eq!(world.prepare_one(1, order, 1), Err(Fault::Frozen), "not even what it said before");
    // A genesis then fails, and says what to do.
    let mut conductor = world.conductor(order);
    let (reason, culprits, burnt) = failed(world.run(&mut conductor, |_, _, _| None));
    assert!(matches!(reason, FailReason::Refused { node, .. } if node == index(1)));
    assert!(culprits.is_empty() && !burnt);
}

#[test]
fn a_ceremony_key_in_its_name_freezes_the_key() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let mut answers = world.prepare(&order, 1);
    let id = world.plan(&order, 1).id();
    answers[0] =
        PrepareAnswer::sign(&id, index(1), answers[1].ceremony_key, Some([1; 32]), &key(1));
    let fault = world.deal_one(1, 1, &answers).unwrap_err();
    frozen_by(&mut world, &order, fault, Forgery::CeremonyKey);
}

#[test]
fn a_ceremony_key_where_it_never_prepared_freezes_the_key() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let forged = World::seeded(9).prepare(&order, 1);
    let fault = world.deal_one(1, 1, &forged).unwrap_err();
    frozen_by(&mut world, &order, fault, Forgery::CeremonyKey);
}

#[test]
fn a_dealing_in_its_name_freezes_the_key() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let answers = world.prepare(&order, 1);
    let mut thief = World::seeded(5);
    *thief.disk(1) = world.disk(1).clone();
    let mut bundle = world.deal(1, &answers);
    bundle[0] = thief.deal_one(1, 1, &answers).unwrap();
    let request = ReceiveRequest { subject: subject(1), answers, bundle, parent: None };
    let fault = world.receive_one(1, &request).unwrap_err();
    frozen_by(&mut world, &order, fault, Forgery::Dealing);
}

#[test]
fn a_receipt_in_its_name_freezes_the_key() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let request = world.bundled(&order, 1);
    let mut receipts = Vec::new();
    for i in 2..=5 {
        let Ok(ReceiveAnswer::Receipt(r)) = world.receive_one(i, &request) else { panic!() };
        receipts.push(*r);
    }
    let public = receipts[0].public.clone();
    let signature = public.sign_receipt(index(1), &key(1));
    receipts.insert(0, Receipt { public, signature });
    let fault = world.activate_one(1, &order, &certificate(&receipts)).unwrap_err();
    frozen_by(&mut world, &order, fault, Forgery::Receipt);
}

#[test]
fn an_active_signature_in_its_name_freezes_the_key() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let certificate = world.certified(&order, 1);
    let actives = (1..=4).map(|i| certificate.public.sign_active(index(i), &key(i as u8)));
    let record =
        KeyRecord { order: order.signed().clone(), actives: actives.collect(), certificate };
    let request = RetireRequest { record, birth: None }.to_bytes();
    let fault = world.ask(1, StepKind::Retire, &request).unwrap_err();
    frozen_by(&mut world, &order, fault, Forgery::Active);
}

#[test]
fn nobody_freezes_a_key_without_the_identity() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let id = world.plan(&order, 1).id();
    let mut answers = world.prepare(&order, 1);
    let honest = answers.clone();
    let not_mine = |what| Fault::NotMine { what };

    // Another's signature, a flipped one, another attempt's, under another number.
    answers[0] = PrepareAnswer::sign(&id, index(1), honest[1].ceremony_key, Some([1; 32]), &key(2));
    assert_eq!(world.deal_one(1, 1, &answers), Err(not_mine("prepare answer")));
    answers[0] = honest[0].clone();
    answers[0].signature.0[5] ^= 1;
    assert_eq!(world.deal_one(1, 1, &answers), Err(not_mine("prepare answer")));
    answers[0] = world.prepare_one(1, &order, 2).unwrap();
    assert_eq!(world.deal_one(1, 1, &answers), Err(not_mine("prepare answer")));
    answers[0].number = 1;
    assert_eq!(world.deal_one(1, 1, &answers), Err(not_mine("prepare answer")));

    let bundle = world.deal(1, &honest);
    let mut request = ReceiveRequest { subject: subject(1), answers: honest, bundle, parent: None };
    request.bundle[0].signature.0[5] ^= 1;
    assert_eq!(world.receive_one(1, &request), Err(not_mine("dealing")));
    request.bundle[0].signature.0[5] ^= 1;
    request.bundle[0].dealing[40] ^= 1;
    assert_eq!(world.receive_one(1, &request), Err(not_mine("dealing")));
    request.bundle[0].dealing[40] ^= 1;
    assert!(world.state(1, 1).frozen.is_none());
    assert!(world.receive_one(1, &request).is_ok());
}
