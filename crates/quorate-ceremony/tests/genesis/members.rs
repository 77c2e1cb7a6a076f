//! Members that cheat, and how they are named.

use crate::rig::*;
use curve25519_dalek::ristretto::RistrettoPoint;
use quorate_ceremony::{bundle::judge, *};
use quorate_crypto::{
    EncodedPoint, SecretScalar, Signature, Threshold,
    complaint::{COMPLAINT_LEN, Verdict},
    dealing::{self, Dealing, DealingFault, DealingParams, Receivers, commitment_hash},
    dleq,
    group::Group,
    hash::{Label, hash, hash32},
    sharing::{Commitments, CommitmentsError, Polynomial},
};
use quorate_types::*;

/// What node 5 knows when it deals: the list, and its own polynomial.
struct Cheat {
    list: PrepareList,
    polynomial: Polynomial,
}

impl Cheat {
    fn new(world: &World, order: &VerifiedOrder, request: &[u8]) -> Self {
        let answers = DealRequest::from_bytes(request).unwrap().answers;
        let list = PrepareList::verify(&world.plan(order, 1), answers, all()).unwrap();
        let stored = world.state(5, 1).secrets.polynomial.unwrap();
        let polynomial = Polynomial::from_bytes(Threshold::new(3, 5).unwrap(), &stored).unwrap();
        Self { list, polynomial }
    }

    fn deal(&self, world: &mut World, polynomial: &Polynomial, receivers: &Receivers) -> Dealing {
        let t = u16::try_from(polynomial.commit(Group::Ristretto255).threshold()).unwrap();
        let t = Threshold::new(t, 5).unwrap();
        let identity = *key(5).public().as_bytes();
        let ctx = *self.list.ctx().as_bytes();
        let params =
            DealingParams::new(Group::Ristretto255, ctx, index(5), identity, t, receivers).unwrap();
        dealing::deal(&params, polynomial, &mut world.rng).unwrap()
    }

    /// Node 5's signature over any bytes, as a dealing.
    fn sign(&self, world: &World, dealing: Vec<u8>) -> SignedDealing {
        let mut signed = SignedDealing { dealer: index(5), dealing, signature: Signature([0; 64]) };
        let ctx = self.list.ctx();
        let said = [&ctx.0[..], &5_u16.to_be_bytes(), &signed.hash(ctx).0].concat();
        let fingerprint = world.cluster.fingerprint().as_bytes();
        signed.signature = key(5).sign(Label::SIG_DEALING, fingerprint, &said);
        signed
    }
}

/// A genesis in which node 5 deals as `cheat` says.
fn with_cheating_dealer(
    world: &mut World,
    order: &VerifiedOrder,
    mut cheat: impl FnMut(&mut World, &Cheat) -> Vec<u8>,
) -> Outcome {
    let mut conductor = world.conductor(order);
    world.run(&mut conductor, |world, t, request| {
        let cheats = t.step == StepKind::Deal && t.node == index(5);
        cheats.then(|| {
            let known = Cheat::new(world, order, request);
            let dealing = cheat(world, &known);
            Ok(known.sign(world, dealing).to_bytes())
        })
    })
}

/// As [`with_cheating_dealer`], for lies that everybody sees. No honest node takes a bundle with
/// such a dealing either, whatever a conductor says.
fn public_lie(cheat: impl Fn(&mut World, &Cheat) -> Vec<u8>) -> DealingLie {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let (dealer, blame) = culprit(with_cheating_dealer(&mut world, &order, &cheat));
    let Blame::Dealing(lie) = blame else { panic!("{blame}") };
    assert_eq!(dealer, 5);

    let answers = world.prepare(&order, 1);
    let list =
        DealRequest { subject: subject(1), answers: answers.clone(), dealers: all() }.to_bytes();
    let known = Cheat::new(&world, &order, &list);
    let dealing = cheat(&mut world, &known);
    let mut bundle: Vec<_> = (1..=4).map(|i| world.deal_one(i, 1, &answers).unwrap()).collect();
    bundle.push(known.sign(&world, dealing));
    let request = ReceiveRequest { subject: subject(1), answers, bundle, parent: None };
    let fault = world.receive_one(1, &request).unwrap_err();
    assert_eq!(fault, Fault::Bundle(BundleFault::Lie { dealer: index(5), lie }));
    assert_eq!((fault.culprits(), fault.whose()), (vec![index(5)], Whose::Peer));
    let attempt = world.state(1, 1).attempt.unwrap();
    assert!(matches!(attempt, Attempt::ExpectBundle(_)), "nothing is revealed");
    lie
}

/// Node 5 seals node 2's value to a key that node 2 does not have.
fn cheat_node_two(world: &mut World, known: &Cheat) -> Vec<u8> {
    let stray = EncodedPoint::new(SecretScalar::random(&mut world.rng).public()).unwrap();
    let receivers = known.list.receivers().iter();
    let receivers = receivers.map(|(i, k)| (i, if i == index(2) { stray } else { *k })).collect();
    let receivers = Receivers::new(receivers).unwrap();
    known.deal(world, &known.polynomial, &receivers).to_bytes()
}

#[test]
fn a_dealer_that_cheats_one_receiver_is_named_by_a_complaint_that_proves_itself() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let outcome = with_cheating_dealer(&mut world, &order, cheat_node_two);
    let (_, culprits, _) = failed(outcome.clone());
    assert_eq!(culprit(outcome), (5, Blame::BadValue { receiver: index(2) }));

    // Anyone with the order can judge the evidence.
    let request = ReceiveRequest::from_bytes(&culprits[0].request).unwrap();
    let ReceiveAnswer::Complaint(complaint) =
        ReceiveAnswer::from_bytes(&culprits[0].answer).unwrap()
    else {
        panic!()
    };
    let plan = world.plan(&order, 1);
    assert_eq!(judge(&plan, &request, index(2), &complaint), Ok(Verdict::DealerLied));
    // Its proof is of what `proven_complaint` below proves for a good value.
    let (shared, proof) = complaint.complaint[2..].split_at(32);
    let shared = EncodedPoint::decode(shared.try_into().unwrap()).unwrap();
    let proof = dleq::Proof::from_bytes(proof.try_into().unwrap()).unwrap();
    let own = EncodedPoint::decode(&request.answers[1].ceremony_key).unwrap();
    let context = complaint_context(&plan, &request, 5, 2);
    let point = ephemeral(&request.bundle[4]);
    assert!(dleq::verify_encoded(&context, &own, &[point], &[shared], &proof).is_ok());
    // It is node 2's, about this dealing, and nobody else's.
    assert!(judge(&plan, &request, index(3), &complaint).is_err());
    let mut moved = complaint.clone();
    moved.dealer = index(4);
    assert!(judge(&plan, &request, index(2), &moved).is_err());

    // Its maker gives it again, gives no receipt, and has not given its ceremony key away.
    let again = world.receive_one(2, &request).unwrap();
    assert_eq!(again, ReceiveAnswer::Complaint(complaint.clone()));
    let secret = world.state(2, 1).secrets.ceremony_key.unwrap();
    let secret = &secret.to_bytes()[..];
    assert!(!complaint.complaint.windows(32).any(|w| w == secret));
    let mut other = request.clone();
    other.bundle.pop();
    assert!(world.receive_one(2, &other).is_err());
    assert!(matches!(world.state(2, 1).attempt, Some(Attempt::Complained(..))));
}

#[test]
fn a_dealer_that_chooses_after_it_saw_the_others_is_named() {
    let lie = public_lie(|world, known| {
        let t = Threshold::new(3, 5).unwrap();
        let secret = SecretScalar::random(&mut world.rng);
        let chosen = Polynomial::random(t, &secret, &mut world.rng).unwrap();
        known.deal(world, &chosen, known.list.receivers()).to_bytes()
    });
    assert_eq!(lie, DealingLie::Opening);
}

#[test]
fn a_dealer_that_raises_or_lowers_the_threshold_is_named() {
    for got in [2, 4, 5] {
        let lie = public_lie(|world, known| {
            let t = Threshold::new(got, 5).unwrap();
            let secret = SecretScalar::random(&mut world.rng);
            let other = Polynomial::random(t, &secret, &mut world.rng).unwrap();
            known.deal(world, &other, known.list.receivers()).to_bytes()
        });
        let count = CommitmentsError::Count { expected: 3, got: usize::from(got) };
        assert_eq!(lie, DealingLie::Dealing(DealingFault::Commitments(count)));
    }
}

#[test]
fn a_dealer_that_signs_no_dealing_is_named() {
    let lie = public_lie(|_, _| b"no dealing".to_vec());
    assert!(matches!(lie, DealingLie::Wire(_)));
}

const KNOWLEDGE: usize = 2 + 3 * 32;
const EPHEMERAL: usize = KNOWLEDGE + 64;

#[test]
fn a_dealer_that_copies_sealed_values_gets_no_complaint_for_an_oracle() {
    let lie = public_lie(|world, known| {
        let mine = known.deal(world, &known.polynomial, known.list.receivers()).to_bytes();
        let answers = known.list.answers().to_vec();
        let victim = world.deal_one(1, 1, &answers).unwrap();
        [&mine[..EPHEMERAL], &victim.dealing[EPHEMERAL..]].concat()
    });
    assert_eq!(lie, DealingLie::Dealing(DealingFault::EphemeralKnowledge));
}

/// CRYPTO.md §5, attack 4. The rusher is even given what the others are going to deal.
#[test]
fn a_rogue_key_that_cancels_the_others_is_named() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let t = Threshold::new(3, 5).unwrap();
    let commitments = |world: &World, node| {
        let stored = world.state(node, 1).secrets.polynomial.unwrap();
        Polynomial::from_bytes(t, &stored).unwrap().commit(Group::Ristretto255)
    };
    // C_0 = X − Σ C_{d,0} for an X whose logarithm node 5 knows: the key would be X.
    let rogue = |world: &World| {
        let mut bytes = commitments(world, 5).bytes().to_vec();
        let dealt = |d| *commitments(world, d).constant().ristretto().unwrap();
        let constant = dealt(5) - (1..=4).map(dealt).sum::<RistrettoPoint>();
        bytes[0] = constant.compress().0;
        Commitments::from_bytes(Group::Ristretto255, t, &bytes).unwrap()
    };
    let mut dealt_for = None;
    let mut conductor = world.conductor(&order);
    let outcome = world.run(&mut conductor, |world, ticket, request| {
        if ticket.node != index(5) {
            return None;
        }
        match ticket.step {
            StepKind::Prepare => {
                let honest = world.prepare_one(5, &order, 1).unwrap();
                let chosen = rogue(world);
                let id = world.plan(&order, 1).id();
                let identity = key(5).public();
                let hash = commitment_hash(&id.hash().0, index(5), identity.as_bytes(), &chosen);
                dealt_for = Some(chosen);
                let answer =
                    PrepareAnswer::sign(&id, index(5), honest.ceremony_key, Some(hash), &key(5));
                Some(Ok(PrepareReply::Prepared(answer).to_bytes()))
            }
            StepKind::Deal => {
                let known = Cheat::new(world, &order, request);
                let mut dealing =
                    known.deal(world, &known.polynomial, known.list.receivers()).to_bytes();
                dealing[2..34].copy_from_slice(&dealt_for.as_ref().unwrap().bytes()[0]);
                Some(Ok(known.sign(world, dealing).to_bytes()))
            }
            _ => None,
        }
    });
    let knowledge = DealingLie::Dealing(DealingFault::Knowledge);
    assert_eq!(culprit(outcome), (5, Blame::Dealing(knowledge)));
}

/// Node 3 complains about node 1, which dealt well.
fn false_complaint(
    q: u16,
    complaint: impl Fn(&World, &Plan, &[u8]) -> [u8; COMPLAINT_LEN],
) -> Outcome {
    let mut world = World::new();
    let order = world.order(|c| c.q = q);
    let mut conductor = world.conductor(&order);
    world.run(&mut conductor, |world, t, request| {
        (t.step == StepKind::Receive && t.node == index(3)).then(|| {
            let parsed = ReceiveRequest::from_bytes(request).unwrap();
            let plan = world.plan(&order, 1);
            let list = PrepareList::verify(&plan, parsed.answers.clone(), all()).unwrap();
            let (ctx, accused) = (list.ctx(), &parsed.bundle[0]);
            let complaint = complaint(world, &plan, request);
            let said = [&ctx.0[..], &1_u16.to_be_bytes(), &accused.hash(ctx).0, &complaint];
            let fingerprint = world.cluster.fingerprint().as_bytes();
            let signature = key(3).sign(Label::SIG_COMPLAINT, fingerprint, &said.concat());
            let signed = SignedComplaint { dealer: index(1), complaint, signature };
            Ok(ReceiveAnswer::Complaint(Box::new(signed)).to_bytes())
        })
    })
}

fn complaint_bytes(receiver: u16, shared: &[u8; 32], proof: &[u8; 64]) -> [u8; COMPLAINT_LEN] {
    let bytes = [&receiver.to_be_bytes()[..], shared, proof].concat();
    bytes.try_into().unwrap()
}

/// What the proof of a complaint is bound to, as `docs/protocol/dealing.md` says.
fn complaint_context(
    plan: &Plan,
    request: &ReceiveRequest,
    dealer: u16,
    receiver: u16,
) -> [u8; 64] {
    let list = PrepareList::verify(plan, request.answers.clone(), all()).unwrap();
    let (ctx, signed) = (list.ctx(), &request.bundle[usize::from(dealer - 1)]);
    let identity = key(dealer as u8).public();
    let statement = hash32(
        Label::DEALING_STATEMENT,
        &[&ctx.0, &dealer.to_be_bytes(), identity.as_bytes(), &signed.dealing[2..KNOWLEDGE]],
    );
    let parts: [&[u8]; 3] = [&signed.hash(ctx).0, &statement, &receiver.to_be_bytes()];
    hash(Label::DEALING_COMPLAINT, &parts)
}

fn ephemeral(signed: &SignedDealing) -> EncodedPoint {
    let bytes = signed.dealing[EPHEMERAL..EPHEMERAL + 32].try_into().unwrap();
    EncodedPoint::decode(bytes).unwrap()
}

/// The true Diffie–Hellman point of node 1's good value for node 3, truly proven.
fn proven_complaint(world: &World, plan: &Plan, request: &[u8]) -> [u8; COMPLAINT_LEN] {
    let request = ReceiveRequest::from_bytes(request).unwrap();
    let secret = world.state(3, 1).secrets.ceremony_key.unwrap();
    let own = EncodedPoint::decode(&request.answers[2].ceremony_key).unwrap();
    let ephemeral = ephemeral(&request.bundle[0]);
    let shared = EncodedPoint::new(ephemeral.point() * secret.expose()).unwrap();

    let context = complaint_context(plan, &request, 1, 3);
    let mut rng = World::seeded(8).rng;
    let proof =
        dleq::prove_encoded(&context, &secret, &own, &[ephemeral], &[shared], &mut rng).unwrap();
    complaint_bytes(3, shared.bytes(), &proof.to_bytes())
}

#[test]
fn a_receiver_that_complains_without_cause_is_named_and_the_others_go_on() {
    let outcome = false_complaint(4, proven_complaint);
    let Outcome::Born { culprits, absent, .. } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(culprits.len(), 1);
    assert_eq!(culprits[0].node, index(3));
    assert_eq!(culprits[0].blame, Blame::FalseComplaint { dealer: index(1) });
    assert!(absent.is_empty(), "without a share it still keeps the proof");
}

#[test]
fn complaints_without_proof_are_their_makers_fault() {
    let point = key_point();
    for bytes in [
        complaint_bytes(3, &point, &[1; 64]),
        complaint_bytes(3, &[0; 32], &[1; 64]),
        complaint_bytes(2, &point, &[1; 64]),
        [0xff; COMPLAINT_LEN],
    ] {
        let (reason, culprits, burnt) = failed(false_complaint(5, |_, _, _| bytes));
        assert!(matches!(reason, FailReason::TooFew { possible: 4, needed: 5, .. }), "{reason}");
        assert_eq!(culprits[0].node, index(3));
        assert_eq!(culprits[0].blame, Blame::FalseComplaint { dealer: index(1) });
        assert!(!burnt);
    }
}

fn key_point() -> [u8; 32] {
    let mut rng = World::seeded(4).rng;
    SecretScalar::random(&mut rng).public().compress().0
}

#[test]
fn a_ceremony_key_that_is_no_point_names_its_maker() {
    let mut world = World::new();
    let order = world.order(|_| {});
    let id = world.plan(&order, 1).id();
    for (ceremony_key, commitment, fault) in [
        ([0; 32], Some([1; 32]), ListFault::CeremonyKey(index(5))),
        ([0xff; 32], Some([1; 32]), ListFault::CeremonyKey(index(5))),
        (key_point(), None, ListFault::Commitment(index(5))),
    ] {
        let bad = PrepareAnswer::sign(&id, index(5), ceremony_key, commitment, &key(5));
        let mut answers = world.prepare(&order, 1);
        answers[4] = bad.clone();
        let refused = world.deal_one(1, 1, &answers).unwrap_err();
        assert_eq!(refused.culprits(), [index(5)]);
        assert_eq!(refused, Fault::List(fault));

        let mut conductor = world.conductor(&order);
        let outcome = world.run(&mut conductor, |_, t, _| {
            let reply = PrepareReply::Prepared(bad.clone());
            (t.node == index(5)).then(|| Ok(reply.to_bytes()))
        });
        assert_eq!(culprit(outcome).0, 5);
    }
}

#[test]
fn a_silent_member_is_waited_for_and_not_blamed() {
    for step in [StepKind::Prepare, StepKind::Deal, StepKind::Receive, StepKind::Activate] {
        let mut world = World::new();
        let order = world.order(|_| {});
        let mut conductor = world.conductor(&order);
        let silent = |_: &mut World, t: &Ticket, _: &[u8]| {
            (t.node == index(4) && t.step == step).then_some(Err(Failure::Unreachable))
        };
        let (reason, culprits, burnt) = failed(world.run(&mut conductor, silent));
        assert_eq!(reason, FailReason::Silent { step, nodes: vec![index(4)] });
        assert!(culprits.is_empty() && !burnt);
        // When it is back, the same order goes on where it was.
        let record = born(world.conduct(&order));
        assert_eq!(record.certificate.public.epoch.number, 1);
    }
}

#[test]
fn a_member_that_shows_somebody_elses_certificate_is_named() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let certificate = world.certified(&order, 3);
    let active = certificate.public.sign_active(index(2), &key(2));
    let order_bytes = order.signed().clone();
    let theirs = Certified { order: order_bytes, certificate, active };
    // Node 5 as node 2; a certificate without enough receipts; one of another key.
    let mut short = Certified { ..theirs.clone() };
    short.certificate.receipts.truncate(3);
    short.active = short.certificate.public.sign_active(index(5), &key(5));
    for lie in [theirs, short] {
        let mut conductor = world.conductor(&order);
        let outcome = world.run(&mut conductor, |_, t, _| {
            let reply = PrepareReply::Certified(Box::new(lie.clone()));
            (t.node == index(5)).then(|| Ok(reply.to_bytes()))
        });
        assert_eq!(culprit(outcome).0, 5);
    }
}

#[test]
fn a_member_that_signs_another_epoch_active_for_show_is_named() {
    let mut world = World::new();
    let order = world.order(|c| c.q = 4);
    let mut conductor = world.conductor(&order);
    let outcome = world.run(&mut conductor, |_, t, request| {
        (t.step == StepKind::Activate && t.node == index(5)).then(|| {
            let request = ActivateRequest::from_bytes(request).unwrap();
            let mut public = request.certificate.public;
            public.commitments[0] = [9; 32];
            let active = public.sign_active(index(5), &key(5));
            Ok(ActivateAnswer::Active(active).to_bytes())
        })
    });
    let Outcome::Born { record, culprits, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(record.actives.len(), 4);
    assert_eq!((culprits.len(), culprits[0].node), (1, index(5)));
}
