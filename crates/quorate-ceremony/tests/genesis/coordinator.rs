//! A coordinator that drops, repeats, reorders, swaps, or tells different nodes different things:
//! it can stop a ceremony, and never bend it.

use crate::rig::*;
use quorate_ceremony::*;
use quorate_crypto::Signature;
use quorate_types::*;

/// Two lists for one number: node 5 helps and signs two prepare answers.
fn two_lists(world: &mut World, order: &VerifiedOrder) -> [Vec<PrepareAnswer>; 2] {
    let one = world.prepare(order, 1);
    let mut two = one.clone();
    let (id, commitment) = (world.plan(order, 1).id(), one[4].commitment);
    two[4] = PrepareAnswer::sign(&id, index(5), one[0].ceremony_key, commitment, &key(5));
    [one, two]
}

#[test]
fn equivocating_prepare_lists_are_never_certified() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let [one, two] = two_lists(&mut world, &order);
    let left: Vec<_> = (1..=2).map(|i| world.deal_one(i, 1, &one).unwrap()).collect();
    let right: Vec<_> = (3..=4).map(|i| world.deal_one(i, 1, &two).unwrap()).collect();

    // A dealer deals under one list, and names who signed for two.
    let fault = world.deal_one(1, 1, &two).unwrap_err();
    let equivocators = vec![index(5)];
    assert_eq!(fault, Fault::NumberUsed { number: 1, equivocators: equivocators.clone() });
    assert_eq!((fault.culprits(), fault.whose()), (equivocators, Whose::Peer));

    // Dealings under two lists make no bundle at any node.
    let fifth = world.deal_one(5, 1, &one).unwrap();
    let bundle = [left, right, vec![fifth]].concat();
    for (node, answers) in [(1, &one), (3, &two), (5, &one)] {
        let request = ReceiveRequest {
            subject: subject(1),
            answers: answers.clone(),
            bundle: bundle.clone(),
            parent: None,
        };
        let fault = world.receive_one(node, &request).unwrap_err();
        assert!(matches!(fault, Fault::Bundle(BundleFault::Unsigned(_))), "{node}: {fault}");
    }
    // A list under which a node has not dealt gets no receipt from it.
    let request = ReceiveRequest { subject: subject(1), answers: two, bundle, parent: None };
    let fault = world.receive_one(1, &request).unwrap_err();
    assert!(matches!(fault, Fault::NumberUsed { .. }), "{fault}");
}

/// Two bundles for one number, both valid: node 5 helps and deals its polynomial twice.
fn two_bundles(world: &mut World, order: &VerifiedOrder) -> [ReceiveRequest; 2] {
    let answers = world.prepare(order, 1);
    let prepared = world.disk(5).clone();
    let bundle = world.deal(1, &answers);
    *world.disk(5) = prepared;
    let mut other = bundle.clone();
    other[4] = world.deal_one(5, 1, &answers).unwrap();
    assert_ne!(other[4], bundle[4]);
    [bundle, other].map(|bundle| ReceiveRequest {
        subject: subject(1),
        answers: answers.clone(),
        bundle,
        parent: None,
    })
}

#[test]
fn two_bundles_get_one_receipt() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let [one, two] = two_bundles(&mut world, &order);
    for (node, first, second) in [(1, &one, &two), (2, &two, &one)] {
        assert!(matches!(world.receive_one(node, first), Ok(ReceiveAnswer::Receipt(_))));
        let fault = world.receive_one(node, second).unwrap_err();
        assert_eq!(fault, Fault::NumberUsed { number: 1, equivocators: Vec::new() });
    }
}

#[test]
fn receipts_of_two_bundles_are_not_counted_together() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let [one, two] = two_bundles(&mut world, &order);
    let mut receipts: Vec<_> = Vec::new();
    for (node, request) in [(1, &one), (2, &one), (3, &two), (4, &two)] {
        let Ok(ReceiveAnswer::Receipt(r)) = world.receive_one(node, request) else { panic!() };
        receipts.push(*r);
    }
    for node in 1..=5 {
        let fault = world.activate_one(node, &order, &certificate(&receipts)).unwrap_err();
        let Fault::Certificate(CertificateError::Signatures { needed, got, .. }) = fault else {
            panic!("{fault}")
        };
        assert_eq!((needed, got), (4, 2));
    }
}

#[test]
fn a_bundle_mixed_of_two_attempts_is_refused() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let one = world.bundled(&order, 1);
    let two = world.bundled(&order, 2);
    let mut mixed = one.clone();
    mixed.bundle[1] = two.bundle[1].clone();
    let fault = world.receive_one(1, &mixed).unwrap_err();
    assert_eq!(fault, Fault::Bundle(BundleFault::Unsigned(index(2))));
    assert!(fault.culprits().is_empty(), "nothing proves that the dealer lied");
}

#[test]
fn a_dealing_of_another_key_is_refused() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let mut one = world.bundled(&order, 1);
    let other = world.order(|c| c.name = "other".parse().unwrap());
    let foreign = Subject { key: "other".parse().unwrap(), ..subject(1) };
    let answers = world.prepare(&other, 1);
    let request = DealRequest { subject: foreign, answers, dealers: all() };
    let bytes = world.ask(3, StepKind::Deal, &request.to_bytes()).unwrap();
    one.bundle[2] = SignedDealing::from_bytes(&bytes).unwrap();
    let fault = world.receive_one(1, &one).unwrap_err();
    assert_eq!(fault, Fault::Bundle(BundleFault::Unsigned(index(3))));
}

#[test]
fn a_dealing_of_another_cluster_is_refused() {
    let mut world = World::new();
    let mut elsewhere = World::seeded(2);
    elsewhere.cluster = cluster(&roster("elsewhere")).into();
    let order = world.order(|_| {});
    let mut one = world.bundled(&order, 1);
    let other = elsewhere.order(|_| {});
    one.bundle[2] = elsewhere.bundled(&other, 1).bundle.remove(2);
    let fault = world.receive_one(1, &one).unwrap_err();
    assert_eq!(fault, Fault::Bundle(BundleFault::Unsigned(index(3))));
    // Nor does a node take anything else from there.
    let request = prepare_request(&other, 2);
    let fault = world.ask(1, StepKind::Prepare, &request).unwrap_err();
    assert!(matches!(fault, Fault::Order(OrderError::Cluster { .. })), "{fault}");
}

#[test]
fn a_dropped_added_or_repeated_dealing_makes_no_bundle() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let good = world.bundled(&order, 1);
    let mut fewer = good.clone();
    fewer.bundle.remove(2);
    assert_eq!(world.receive_one(1, &fewer), Err(Fault::Bundle(BundleFault::Dealers)));
    let mut more = good.clone();
    let mut sixth = good.bundle[4].clone();
    sixth.dealer = index(6);
    more.bundle.push(sixth);
    assert_eq!(world.receive_one(1, &more), Err(Fault::Bundle(BundleFault::Dealers)));
    let mut twice = good.clone();
    twice.bundle[1] = good.bundle[0].clone();
    assert!(matches!(world.receive_one(1, &twice), Err(Fault::Malformed(_))));
    let mut swapped = good.clone();
    swapped.bundle.swap(0, 1);
    assert!(matches!(world.receive_one(1, &swapped), Err(Fault::Malformed(_))));
    assert!(world.receive_one(1, &good).is_ok());
}

#[test]
fn a_substituted_ceremony_key_is_refused() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let mut answers = world.prepare(&order, 1);
    let mine = answers[0].ceremony_key;
    answers[2].ceremony_key = mine; // "node 3's" values, to a key of the coordinator's choice
    let fault = world.deal_one(1, 1, &answers).unwrap_err();
    assert_eq!(fault, Fault::List(ListFault::Unsigned(index(3))));
    assert!(fault.culprits().is_empty());
    // Its victim knows its own key, and does not take a bad signature for a stolen identity.
    let fault = world.deal_one(3, 1, &answers).unwrap_err();
    assert_eq!(fault, Fault::NotMine { what: "prepare answer" });
    assert!(world.state(3, 1).frozen.is_none());
}

#[test]
fn a_prepare_answer_of_another_attempt_is_refused() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let other = world.prepare(&order, 2);
    let mut answers = world.prepare(&order, 1);
    answers[2] = other[2].clone();
    let fault = world.deal_one(1, 1, &answers).unwrap_err();
    assert_eq!(fault, Fault::List(ListFault::Unsigned(index(3))));
    // One that says to be of this attempt still carries the other's signature.
    answers[2].number = 1;
    let fault = world.deal_one(1, 1, &answers).unwrap_err();
    assert_eq!(fault, Fault::List(ListFault::Unsigned(index(3))));
}

#[test]
fn a_changed_committee_is_refused() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let answers = world.prepare(&order, 1);
    let fault = world.deal_one(1, 1, &answers[..4]).unwrap_err();
    assert_eq!(fault, Fault::List(ListFault::Members));
    let mut six = answers.clone();
    let id = world.plan(&order, 1).id();
    six.push(PrepareAnswer::sign(&id, index(6), answers[0].ceremony_key, Some([1; 32]), &key(66)));
    let fault = world.deal_one(1, 1, &six).unwrap_err();
    assert_eq!(fault, Fault::List(ListFault::Members));
    let mut posing = answers;
    posing[4] = PrepareAnswer::sign(&id, index(5), posing[0].ceremony_key, Some([1; 32]), &key(66));
    let fault = world.deal_one(1, 1, &posing).unwrap_err();
    assert_eq!(fault, Fault::List(ListFault::Unsigned(index(5))));
}

#[test]
fn steps_out_of_order_are_refused() {
    let mut world = World::new();
    let mut elsewhere = World::seeded(2);
    let order = world.order(|_| {});
    let good = elsewhere.bundled(&order, 1);
    // In the name of others only: what stands there in one's own name is another matter.
    let mut bystander = good.clone();
    bystander.answers.remove(0);
    bystander.bundle.remove(0);
    let early = |missing| Fault::TooEarly { missing };
    assert_eq!(world.deal_one(1, 1, &bystander.answers), Err(early("prepare")));
    assert_eq!(world.receive_one(1, &bystander), Err(early("prepare")));

    let answers = world.prepare(&order, 1);
    let request = ReceiveRequest { subject: subject(1), answers, bundle: Vec::new(), parent: None };
    assert_eq!(world.receive_one(1, &request), Err(early("deal")));
    assert!(world.state(1, 1).attempt.is_some() && world.state(1, 1).frozen.is_none());
}

#[test]
fn forged_receipts_and_receipts_of_others_do_not_count() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let good = world.certified(&order, 1);
    let refused = |world: &mut World, receipts: Vec<NodeSignature>| {
        let public = good.public.clone();
        let fault = world.activate_one(1, &order, &Certificate { public, receipts }).unwrap_err();
        assert!(matches!(fault, Fault::Certificate(_) | Fault::Malformed(_)), "{fault}");
        assert!(world.state(1, 1).standing.active.is_none());
    };
    let three = good.receipts[..3].to_vec();
    refused(&mut world, three.clone());
    // Forged.
    let forged = NodeSignature { node: index(4), signature: Signature([7; 64]) };
    refused(&mut world, [&three[..], &[forged]].concat());
    // Node 3's receipt as node 4's.
    let posing = NodeSignature { node: index(4), signature: three[2].signature };
    refused(&mut world, [&three[..], &[posing]].concat());
    // Node 3's twice.
    refused(&mut world, [&three[..], &[three[2]]].concat());
    // Of somebody who is no member.
    let stranger = good.public.sign_receipt(index(6), &key(66));
    refused(&mut world, [&three[..], &[stranger]].concat());
    // Signed by a member, for another purpose.
    let active = good.public.sign_active(index(4), &key(4));
    refused(&mut world, [&three[..], &[active]].concat());

    assert!(world.activate_one(1, &order, &good).is_ok());
}

#[test]
fn active_signatures_do_not_bear_another_public_key() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let one = world.certified(&order, 1);
    let two = world.certified(&order, 2);
    assert_ne!(one.public.public_key(), two.public.public_key());
    let mut actives = Vec::new();
    for node in 1..=5 {
        let Ok(ActivateAnswer::Active(s)) = world.activate_one(node, &order, &one) else {
            panic!()
        };
        actives.push(s);
    }
    let swapped = KeyRecord { order: order.signed().clone(), certificate: two, actives };
    let request = RetireRequest { record: swapped.clone(), birth: None }.to_bytes();
    let fault = world.ask(1, StepKind::Retire, &request).unwrap_err();
    assert!(matches!(fault, Fault::Certificate(CertificateError::Signatures { got: 0, .. })));
    // A public key changed within the certificate has no receipts.
    let mut changed = KeyRecord { certificate: one, ..swapped };
    changed.certificate.public.commitments[0] = [3; 32];
    let request = RetireRequest { record: changed, birth: None }.to_bytes();
    let fault = world.ask(1, StepKind::Retire, &request).unwrap_err();
    assert!(matches!(fault, Fault::Certificate(CertificateError::Signatures { got: 0, .. })));
    assert!(world.state(1, 1).record.is_none());
}

#[test]
fn answers_that_are_swapped_on_the_way_do_not_count() {
    let mut world = World::new();
    let order = world.order(|_| {});
    // Each step in turn: what node 2 answered is handed over as node 1's.
    for step in [StepKind::Prepare, StepKind::Deal, StepKind::Receive, StepKind::Activate] {
        let mut conductor = world.conductor(&order);
        let outcome = world.run(&mut conductor, |world, t, request| {
            let swap = t.step == step && t.node == index(1);
            swap.then(|| Ok(world.ask(2, t.step, request).unwrap()))
        });
        let (_, culprits, _) = failed(outcome);
        assert_eq!(culprits.len(), 1, "{step}");
        assert_eq!(culprits[0].node, index(1));
        assert!(matches!(&culprits[0].blame, Blame::Answer { step: s, .. } if *s == step));
    }
    assert!(world.state(1, 1).record.is_none());
}

#[test]
fn messages_of_one_step_are_nothing_in_another() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let request = prepare_request(&order, 1);
    for step in [StepKind::Deal, StepKind::Receive, StepKind::Activate, StepKind::Retire] {
        assert!(matches!(world.ask(1, step, &request), Err(Fault::Malformed(_))));
    }
    assert!(world.nodes[&index(1)].log.is_empty());
}

#[test]
fn two_conductors_at_once_make_one_key() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let (mut left, mut right) = (world.conductor(&order), world.conductor(&order));
    for _ in 0..100 {
        for conductor in [&mut left, &mut right] {
            for send in conductor.poll(world.now) {
                let answer = world.carry(&send.ticket, &send.request);
                let answer = answer.as_deref().map_err(Clone::clone);
                conductor.on_answer(&send.ticket, answer, world.now);
            }
        }
    }
    let left = born(left.outcome().unwrap().clone());
    assert_eq!(left, born(right.outcome().unwrap().clone()));
}
