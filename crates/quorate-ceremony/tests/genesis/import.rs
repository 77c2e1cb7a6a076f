//! Imports: an owner's one dealing, and everybody who would bend it.

use crate::{owner::*, rig::*};
use quorate_ceremony::{bundle::judge, fault::NO_OWNER, *};
use quorate_crypto::{
    SecretScalar,
    complaint::{COMPLAINT_LEN, Verdict},
    dealing::DealingFault,
    hash::Label,
    sharing::{self, CommitmentsError},
};
use quorate_types::*;

const SUITES: [Suite; 3] = [Suite::Tdh2Ristretto255, Suite::FrostEd25519, Suite::VoprfRistretto255];

fn tdh2(world: &mut World) -> Owner {
    Owner::of(world, Suite::Tdh2Ristretto255)
}

/// The conductor's request to the owner, after everybody has prepared.
fn deal_request(world: &mut World, order: &VerifiedOrder, number: u64) -> DealRequest {
    let answers = world.prepare(order, number);
    DealRequest { subject: subject(number), answers, dealers: vec![NodeIndex::OWNER] }
}

fn receive_request(request: &DealRequest, dealing: SignedDealing) -> ReceiveRequest {
    let (subject, answers) = (request.subject.clone(), request.answers.clone());
    ReceiveRequest { subject, answers, bundle: vec![dealing], parent: None }
}

#[test]
fn an_imported_key_of_each_suite_is_born_and_any_three_shares_are_the_owners_key() {
    for suite in SUITES {
        let mut world = World::new();
        let owner = Owner::of(&mut world, suite);
        let order = owner.order(&world);
        let record = born(owner.conduct(&mut world, &order));
        let key = record.verify(&world.cluster).unwrap();
        assert_eq!(key.order().import(), Some(&owner.import()), "known as imported for ever");
        assert_eq!((key.public().public_key(), key.public().parent), (&owner.public_key(), None));
        let commitments = key.public().decode_commitments().unwrap();
        let share = |i: u16| (index(i), world.state(i, 1).secrets.share.unwrap());
        for pick in [[1, 2, 3], [1, 3, 5], [3, 4, 5]] {
            let secret = sharing::reconstruct(&commitments, &pick.map(share)).unwrap();
            assert_eq!(*secret.to_bytes(), *owner.secret.to_bytes());
        }
        for i in 1..=5 {
            let state = world.state(i, 1);
            assert_eq!(state.standing.serves().last(), Some(key.public().epoch));
            assert!(state.secrets.polynomial.is_none(), "nodes deal nothing");
            assert_eq!(state.attempt.unwrap().dealt().unwrap().dealing, None);
        }
    }
}

/// An import in which the owner answers as `cheat` says.
fn with_cheat(cheat: impl Fn(&mut World, &Owner, &Dealer) -> SignedDealing) -> (World, Outcome) {
    let mut world = World::new();
    let owner = tdh2(&mut world);
    let order = owner.order(&world);
    let mut conductor = world.conductor(&order);
    let outcome = world.run(&mut conductor, |world, t, request| {
        is_owner(t).then(|| {
            let known = Dealer::of(&owner, world, &order, request);
            Ok(cheat(world, &owner, &known).to_bytes())
        })
    });
    (world, outcome)
}

/// As [`with_cheat`], for lies that everybody sees: no honest node takes such a bundle either,
/// whatever a conductor says.
fn public_lie(cheat: impl Fn(&mut World, &Owner, &Dealer) -> Vec<u8>) -> DealingLie {
    let cheat = |world: &mut World, owner: &Owner, known: &Dealer| {
        let dealing = cheat(world, owner, known);
        known.sign(world, dealing)
    };
    let (dealer, blame) = culprit(with_cheat(cheat).1);
    let Blame::Dealing(lie) = blame else { panic!("{blame}") };
    assert_eq!(dealer, NodeIndex::OWNER.get());

    let mut world = World::new();
    let owner = tdh2(&mut world);
    let order = owner.order(&world);
    let request = deal_request(&mut world, &order, 1);
    let known = Dealer::of(&owner, &world, &order, &request.to_bytes());
    let dealing = cheat(&mut world, &owner, &known);
    for i in 1..=5 {
        let fault = world.receive_one(i, &receive_request(&request, dealing.clone())).unwrap_err();
        assert_eq!(fault, Fault::Bundle(BundleFault::Lie { dealer: NodeIndex::OWNER, lie }));
        assert!(world.state(i, 1).secrets.share.is_none());
    }
    lie
}

#[test]
fn an_owner_who_deals_another_key_than_was_ordered_is_refused() {
    let lie = public_lie(|world, _, known| {
        let other = SecretScalar::random(&mut world.rng);
        known.deal(world, &other, 3, known.list.receivers())
    });
    assert_eq!(lie, DealingLie::Dealing(DealingFault::Constant));
}

#[test]
fn an_owner_who_deals_with_another_degree_is_refused() {
    for t in [2, 4] {
        let lie = public_lie(|world, owner, known| {
            known.deal(world, &owner.secret, t, known.list.receivers())
        });
        let count = CommitmentsError::Count { expected: 3, got: usize::from(t) };
        assert_eq!(lie, DealingLie::Dealing(DealingFault::Commitments(count)));
    }
}

#[test]
fn an_owner_who_cheats_one_node_is_convicted_by_its_complaint_and_the_attempt_ends() {
    let (mut world, outcome) = with_cheat(|world, owner, known| {
        let receivers = known.astray(world, 2);
        let dealing = known.deal(world, &owner.secret, 3, &receivers);
        known.sign(world, dealing)
    });
    let (reason, culprits, burnt) = failed(outcome);
    assert!(!burnt && reason.to_string().contains("the key's owner broke the rules"), "{reason}");
    assert_eq!(culprits[0].node, NodeIndex::OWNER);
    assert_eq!(culprits[0].blame, Blame::BadValue { receiver: index(2) });
    // Anyone with the order can judge the evidence; and nothing was born.
    let request = ReceiveRequest::from_bytes(&culprits[0].request).unwrap();
    let answer = ReceiveAnswer::from_bytes(&culprits[0].answer).unwrap();
    let ReceiveAnswer::Complaint(complaint) = answer else { panic!() };
    let order = world.state(1, 1).order.unwrap();
    let order = VerifiedOrder::verify(&world.cluster, &order).unwrap();
    let verdict = judge(&world.plan(&order, 1), &request, index(2), &complaint);
    assert_eq!(verdict, Ok(Verdict::DealerLied));
    assert!((1..=5).all(|i| world.state(i, 1).record.is_none()));
    // Node 2 says so again, and takes nothing else under this number.
    assert_eq!(world.receive_one(2, &request), Ok(ReceiveAnswer::Complaint(complaint)));
}

#[test]
fn a_false_complaint_about_the_owner_convicts_the_node() {
    let mut world = World::new();
    let owner = tdh2(&mut world);
    let order = owner.order(&world);
    let mut conductor = world.conductor(&order);
    let outcome = world.run(&mut conductor, |world, t, request| {
        if is_owner(t) {
            return Some(Ok(owner.deal(world, &order, request)));
        }
        // Node 4 complains about its own, good value.
        (t.step == StepKind::Receive && t.node == index(4)).then(|| {
            let request = ReceiveRequest::from_bytes(request).unwrap();
            let plan = world.plan(&order, 1);
            let list = PrepareList::verify(&plan, request.answers.clone(), request.dealers());
            let ctx = *list.unwrap().ctx();
            let hash = request.bundle[0].hash(&ctx);
            let mut complaint = [7; COMPLAINT_LEN];
            complaint[..2].copy_from_slice(&4_u16.to_be_bytes());
            let owner = NodeIndex::OWNER.get().to_be_bytes();
            let said = [&ctx.0[..], &owner, &hash.0, &complaint].concat();
            let fingerprint = world.cluster.fingerprint().as_bytes();
            let signature = key(4).sign(Label::SIG_COMPLAINT, fingerprint, &said);
            let signed = SignedComplaint { dealer: NodeIndex::OWNER, complaint, signature };
            Ok(ReceiveAnswer::Complaint(Box::new(signed)).to_bytes())
        })
    });
    let (_, culprits, _) = failed(outcome);
    let blame = Blame::FalseComplaint { dealer: NodeIndex::OWNER };
    assert_eq!((culprits[0].node, &culprits[0].blame), (index(4), &blame));
}

#[test]
fn a_stranger_deals_no_imported_key_and_no_node_does() {
    let mut world = World::new();
    let owner = tdh2(&mut world);
    let order = owner.order(&world);
    let request = deal_request(&mut world, &order, 1);
    let known = Dealer::of(&owner, &world, &order, &request.to_bytes());
    // The right key, dealt rightly: but signed by a stranger, an operator, or a member.
    let dealing = known.deal(&mut world, &owner.secret, 3, known.list.receivers());
    for stranger in [78, 101, 3] {
        let signed = known.sign_as(&key(stranger), &world, dealing.clone());
        let fault = world.receive_one(1, &receive_request(&request, signed)).unwrap_err();
        assert_eq!(fault, Fault::Bundle(BundleFault::Unsigned(NodeIndex::OWNER)));
    }
    // A node is asked to deal: as the only dealer, or beside the owner; or among the receivers.
    let fault = world.ask(3, StepKind::Deal, &request.to_bytes()).unwrap_err();
    assert_eq!(fault, Fault::NotDealer);
    for dealers in [vec![index(3)], vec![index(3), NodeIndex::OWNER], all(), Vec::new()] {
        let request = DealRequest { dealers, ..request.clone() };
        let fault = world.ask(3, StepKind::Deal, &request.to_bytes()).unwrap_err();
        assert_eq!(fault, Fault::List(ListFault::Dealers));
    }
    let plan = world.plan(&order, 1);
    let few = request.answers[..4].to_vec();
    let list = PrepareList::verify(&plan, few, vec![NodeIndex::OWNER]);
    assert_eq!(list.unwrap_err(), ListFault::Members);
    let mut more = request.answers.clone();
    let key77 = request.answers[0].ceremony_key;
    more.push(PrepareAnswer::sign(&plan.id(), NodeIndex::OWNER, key77, None, &key(77)));
    let list = PrepareList::verify(&plan, more, vec![NodeIndex::OWNER]);
    assert_eq!(list.unwrap_err(), ListFault::Members);
    // A member that commits to deal something deals nothing either.
    let mut bad = request.answers.clone();
    bad[2] = PrepareAnswer::sign(&plan.id(), index(3), bad[2].ceremony_key, Some([1; 32]), &key(3));
    let list = PrepareList::verify(&plan, bad, vec![NodeIndex::OWNER]);
    assert_eq!(list.unwrap_err(), ListFault::Commitment(index(3)));
}

#[test]
fn orders_that_import_what_is_no_key_or_by_whom_it_must_not_be_are_refused() {
    let mut world = World::new();
    let owner = tdh2(&mut world);
    let refused = |change: &dyn Fn(&mut ImportKey)| {
        let signed = sign(&owner.draft(&world, change), &[101, 103]);
        VerifiedOrder::verify(&world.cluster, &signed).unwrap_err().to_string()
    };
    for (what, public_key) in [("not a canonical", [0xff; 32]), ("the identity", [0; 32])] {
        let text = refused(&|i| i.public_key = public_key);
        assert!(text.contains(what), "{text}");
    }
    // A point with a component of small order, which Ed25519 verifiers would take.
    let torsion = refused(&|i| {
        (i.create.suite, i.create.purpose) = (Suite::FrostEd25519, Purpose::Sign);
        i.public_key = [0; 32];
    });
    assert!(torsion.contains("small order") || torsion.contains("identity"), "{torsion}");
    for party in [3, 120] {
        let text = refused(&|i| i.dealer = key(party).public());
        assert!(text.contains("its owner does"), "{text}");
    }
    // The rules of a birth hold too.
    let text = refused(&|i| i.create.q = 3);
    assert!(text.contains("q must be"), "{text}");
    // Two signatures are needed, as for every order.
    let few = sign(&owner.draft(&world, |_| {}), &[101]);
    let error = VerifiedOrder::verify(&world.cluster, &few).unwrap_err();
    assert_eq!(error, OrderError::Signatures { needed: 2, got: 1 });
}

/// What the owner deals is lost with its machine; the same order goes on where it was.
#[test]
fn an_owner_who_dies_half_way_deals_the_same_again_and_one_key_is_born() {
    let mut world = World::new();
    let owner = tdh2(&mut world);
    let order = owner.order(&world);
    // Nobody is there to deal.
    let mut conductor = world.conductor(&order);
    let outcome = world.run(&mut conductor, |_, t, _| {
        let message = "not here".into();
        is_owner(t).then_some(Err(Failure::Fault { code: NO_OWNER, message }))
    });
    let (reason, culprits, _) = failed(outcome);
    assert!(culprits.is_empty(), "silence is never guilt");
    assert_eq!(reason.to_string(), "the key's owner refuses the deal step (code 21): not here");
    // The owner dies after dealing; so does the conductor, once two nodes have their shares.
    let mut first = Vec::new();
    let mut conductor = world.conductor(&order);
    let outcome = world.run(&mut conductor, |world, t, request| {
        if is_owner(t) {
            first = owner.deal(world, &order, request);
            return Some(Ok(first.clone()));
        }
        let lost = t.step == StepKind::Receive && t.node > index(2);
        lost.then_some(Err(Failure::Unreachable))
    });
    let (reason, ..) = failed(outcome);
    assert!(matches!(reason, FailReason::Silent { step: StepKind::Receive, .. }), "{reason}");
    assert!(world.state(2, 1).secrets.share.is_some());
    assert!(world.state(3, 1).secrets.share.is_none());
    // Again: nodes give the same answers, the owner the same dealing.
    let mut second = Vec::new();
    let mut conductor = world.conductor(&order);
    let outcome = world.run(&mut conductor, |world, t, request| {
        is_owner(t).then(|| {
            second = owner.deal(world, &order, request);
            Ok(second.clone())
        })
    });
    let record = born(outcome);
    assert_eq!(first, second);
    assert_eq!(record.certificate.public.epoch.number, 1);
    // And once more: it is born, and nothing is dealt.
    let mut conductor = world.conductor(&order);
    let outcome = world.run(&mut conductor, |_, t, _| {
        assert!(!is_owner(t) || t.number == 1, "no other number is begun");
        is_owner(t).then(|| Ok(second.clone()))
    });
    assert_eq!(born(outcome).certificate.public, record.certificate.public);
}

/// A newer program that dealt differently does no harm: the number is burnt, the next one is taken.
#[test]
fn a_second_dealing_for_one_number_is_refused_and_the_next_number_is_taken() {
    let mut world = World::new();
    let owner = tdh2(&mut world);
    let order = owner.order(&world);
    let request = deal_request(&mut world, &order, 1);
    let known = Dealer::of(&owner, &world, &order, &request.to_bytes());
    let dealing = known.deal(&mut world, &owner.secret, 3, known.list.receivers());
    let signed = known.sign(&world, dealing);
    for i in [1, 2] {
        world.receive_one(i, &receive_request(&request, signed.clone())).unwrap();
    }
    let record = born(owner.conduct(&mut world, &order));
    assert_eq!(record.certificate.public.epoch.number, 2);
    assert_eq!(record.certificate.public.public_key(), &owner.public_key());
    record.verify(&world.cluster).unwrap();
}

#[test]
fn a_node_signs_one_epoch_of_an_import_active_for_ever() {
    let mut world = World::new();
    let owner = tdh2(&mut world);
    let order = owner.order(&world);
    let mut certified = |number| {
        let request = deal_request(&mut world, &order, number);
        let dealing = owner.deal(&world, &order, &request.to_bytes());
        let dealing = SignedDealing::from_bytes(&dealing).unwrap();
        certificate(&world.receive(&receive_request(&request, dealing)))
    };
    let (first, second) = (certified(1), certified(2));
    assert_eq!(first.public.public_key(), second.public.public_key());
    assert_ne!(first.public.commitments[1], second.public.commitments[1]);
    let active = world.activate_one(1, &order, &first).unwrap();
    assert!(matches!(active, ActivateAnswer::Active(_)));
    let other = world.activate_one(1, &order, &second).unwrap();
    assert!(matches!(other, ActivateAnswer::Other(c) if c.certificate == first));
    assert_eq!(world.activate_one(1, &order, &first).unwrap(), active);
}

/// A certificate of another key than the order's proves nothing, whoever has signed it.
#[test]
fn a_record_of_another_public_key_than_was_ordered_is_refused() {
    let mut world = World::new();
    let (owner, other) = (tdh2(&mut world), tdh2(&mut world));
    let order = owner.order(&world);
    let mut record = born(owner.conduct(&mut world, &order));
    record.certificate.public.commitments[0] = other.public_key();
    let public = record.certificate.public.clone();
    let sign = |i: u16| public.sign_receipt(index(i), &key(i as u8));
    record.certificate.receipts = (1..=5).map(sign).collect();
    record.actives = (1..=5).map(|i| public.sign_active(index(i), &key(i as u8))).collect();
    let error = record.verify(&world.cluster).unwrap_err();
    assert_eq!(error, CertificateError::NotAsOrdered { what: "public key" });
}
