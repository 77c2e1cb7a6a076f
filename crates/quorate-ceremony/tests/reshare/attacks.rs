//! Members, conductors and old orders that would bend a reshare.

use crate::{key::*, rig::*};
use quorate_ceremony::*;
use quorate_crypto::{EncodedPoint, SecretScalar, dealing, group::Group, sharing::Polynomial};
use quorate_types::*;

const SAME: To<'_> = To { nodes: &[1, 2, 3, 4, 5], t: 3, q: 5 };

/// Deals in a dealer's name, with its identity, what the test likes.
fn forge(
    world: &World,
    plan: &Plan,
    request: &DealRequest,
    dealer: u16,
    secret: &SecretScalar,
    threshold: u16,
) -> SignedDealing {
    forge_to(world, plan, request, dealer, secret, threshold, None)
}

/// The same, with another key for one receiver.
fn forge_to(
    world: &World,
    plan: &Plan,
    request: &DealRequest,
    dealer: u16,
    secret: &SecretScalar,
    threshold: u16,
    stray: Option<(NodeIndex, EncodedPoint)>,
) -> SignedDealing {
    forge_over(world, plan, request, (dealer, secret), threshold, stray, None)
}

/// The same, over a group of the dealer's choice.
fn forge_over(
    world: &World,
    plan: &Plan,
    request: &DealRequest,
    (dealer, secret): (u16, &SecretScalar),
    threshold: u16,
    stray: Option<(NodeIndex, EncodedPoint)>,
    other_group: Option<Group>,
) -> SignedDealing {
    let list = PrepareList::verify(plan, request.answers.clone(), request.dealers.clone()).unwrap();
    let mut rng: rand::rngs::StdRng = rand::SeedableRng::seed_from_u64(5);
    let t = quorate_crypto::Threshold::new(threshold, 5).unwrap();
    let polynomial = Polynomial::random(t, secret, &mut rng).unwrap();
    let me = key(dealer as u8);
    let keys = list.receivers().iter().map(|(i, k)| match stray {
        Some((node, stray)) if node == i => (i, stray),
        _ => (i, *k),
    });
    let receivers = dealing::Receivers::new(keys.collect()).unwrap();
    let group = other_group.unwrap_or(plan.group());
    let params = dealing::DealingParams::new(
        group,
        *list.ctx().as_bytes(),
        index(dealer),
        *me.public().as_bytes(),
        t,
        &receivers,
    );
    let dealing = dealing::deal(&params.unwrap(), &polynomial, &mut rng).unwrap();
    SignedDealing::sign(world.cluster.fingerprint(), list.ctx(), index(dealer), &dealing, &me)
}

fn with_liar(lie: impl Fn(&World, &Plan, &DealRequest) -> SignedDealing) -> (World, Key, Moved) {
    with_liar_to(&SAME, lie)
}

fn with_liar_to(
    to: &To<'_>,
    lie: impl Fn(&World, &Plan, &DealRequest) -> SignedDealing,
) -> (World, Key, Moved) {
    with_liar_of(Suite::Tdh2Ristretto255, to, lie)
}

fn with_liar_of(
    suite: Suite,
    to: &To<'_>,
    lie: impl Fn(&World, &Plan, &DealRequest) -> SignedDealing,
) -> (World, Key, Moved) {
    let mut world = World::new();
    let mut key = Key::born_of(&mut world, suite);
    let order = key.order(&world, to);
    let parent = key.newest.verify_epoch(&world.cluster).unwrap();
    let mut conductor = key.conductor(&world, &order);
    let outcome = world.run(&mut conductor, |world, ticket, request| {
        if ticket.step != StepKind::Deal || ticket.node != index(2) {
            return None;
        }
        let plan = Plan::reshare(order.clone(), ticket.number, parent.clone()).unwrap();
        let request = DealRequest::from_bytes(request).unwrap();
        Some(Ok(lie(world, &plan, &request).to_bytes()))
    });
    let moved = key.moved(order, outcome);
    (world, key, moved)
}

#[test]
fn a_dealer_that_deals_another_secret_than_its_share_is_named_and_left_out() {
    let secret = SecretScalar::from_bytes(&[7; 32].map(|b| b & 0x0f)).unwrap();
    let (world, key, moved) =
        with_liar(|world, plan, request| forge(world, plan, request, 2, &secret, 3));
    let [(2, Blame::Dealing(_))] = &moved.culprits[..] else { panic!("{:?}", moved.culprits) };
    assert!(moved.absent.is_empty(), "it lied as a dealer, and receives all the same");
    key.is_whole(&world, &[2, 3, 4]);
}

#[test]
fn a_dealer_that_raises_the_threshold_is_named_and_left_out() {
    let (world, key, moved) = with_liar(|world, plan, request| {
        let share = world.state(2, 1).share_in_force.unwrap();
        forge(world, plan, request, 2, &share, 4)
    });
    let [(2, Blame::Dealing(_))] = &moved.culprits[..] else { panic!("{:?}", moved.culprits) };
    key.is_whole(&world, &[1, 2, 5]);
}

#[test]
fn a_dealing_for_another_attempt_is_not_taken() {
    let (world, key, moved) = with_liar(|world, plan, request| {
        let share = world.state(2, 1).share_in_force.unwrap();
        let mut other = request.clone();
        other.dealers = vec![index(1), index(2), index(4)];
        forge(world, plan, &other, 2, &share, 3)
    });
    let [(2, Blame::Answer { .. })] = &moved.culprits[..] else { panic!("{:?}", moved.culprits) };
    key.is_whole(&world, &[1, 2, 5]);
}

#[test]
fn a_silent_dealer_is_left_out_of_the_next_attempt() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let order = key.order(&world, &SAME);
    let mut conductor = key.conductor(&world, &order);
    let outcome = world.run(&mut conductor, |_, ticket, _| {
        let silent = ticket.step == StepKind::Deal && ticket.node == index(1);
        silent.then_some(Err(Failure::Unreachable))
    });
    let moved = key.moved(order, outcome);
    assert!(moved.absent.is_empty() && moved.culprits.is_empty(), "silence is never guilt");
    key.is_whole(&world, &[1, 2, 3]);
}

#[test]
fn a_dealer_that_cheats_one_receiver_is_named_by_its_complaint_and_left_out() {
    // Somebody with node 2's identity and share seals node 4's value to a key that node 4 does
    // not have. Node 2 itself sees that it is not its own dealing, and stops.
    let (world, key, moved) = with_liar_to(&To { q: 4, ..SAME }, |world, plan, request| {
        let share = world.state(2, 1).share_in_force.unwrap();
        let mut rng: rand::rngs::StdRng = rand::SeedableRng::seed_from_u64(6);
        let stray = EncodedPoint::new(SecretScalar::random(&mut rng).public()).unwrap();
        forge_to(world, plan, request, 2, &share, 3, Some((index(4), stray)))
    });
    let [(2, Blame::BadValue { receiver })] = &moved.culprits[..] else {
        panic!("{:?}", moved.culprits)
    };
    assert_eq!(*receiver, index(4));
    assert_eq!(moved.absent, [2]);
    key.is_whole(&world, &[1, 3, 4]);
    assert!(world.state(2, 1).frozen.is_some());
}

#[test]
fn an_order_under_another_public_key_moves_nothing() {
    let mut world = World::new();
    let key = Key::born(&mut world);
    let mut draft = key.draft(&world, &SAME);
    let Action::Reshare(reshare) = &mut draft.action else { panic!() };
    reshare.public_key = [9; 32];
    let order = VerifiedOrder::verify(&world.cluster, &sign(&draft, &[101, 102])).unwrap();
    let request = PrepareRequest {
        order: order.signed().clone(),
        earlier: Vec::new(),
        number: 1025,
        descent: Some(Box::new(key.descent())),
        scheduled: None,
    };
    assert_eq!(world.ask(1, StepKind::Prepare, &request.to_bytes()), Err(Fault::Parent));
}

#[test]
fn an_order_moves_shares_once_whatever_a_coordinator_asks() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    key.reshare(&mut world, &SAME);
    let request = PrepareRequest {
        order: key.order.signed().clone(),
        earlier: Vec::new(),
        number: key.number() + 1,
        descent: Some(Box::new(key.descent())),
        scheduled: None,
    };
    assert_eq!(world.ask(1, StepKind::Prepare, &request.to_bytes()), Err(Fault::Parent));
}

#[test]
fn a_superseded_order_moves_nothing() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let first = key.order(&world, &SAME);
    let descent = key.descent();
    key.reshare(&mut world, &SAME); // the same order again: drafts are equal
    key.reshare(&mut world, &SAME);
    let newest = key.descent();
    for descent in [descent, newest] {
        let request = PrepareRequest {
            order: first.signed().clone(),
            earlier: Vec::new(),
            number: 1030,
            descent: Some(Box::new(descent)),
            scheduled: None,
        };
        let answer = world.ask(1, StepKind::Prepare, &request.to_bytes());
        match answer {
            Ok(bytes) => {
                let reply = PrepareReply::from_bytes(&bytes).unwrap();
                assert!(matches!(reply, PrepareReply::Past(_)), "{reply:?}");
            }
            Err(fault) => assert_eq!(fault, Fault::Parent),
        }
    }
}

#[test]
fn a_retire_certificate_of_too_few_erases_nothing() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let mut world_after = World::new();
    let mut twin = Key::born(&mut world_after);
    twin.reshare(&mut world_after, &SAME);
    let mut record = twin.newest.clone();
    record.actives.truncate(4);
    let request = RetireRequest { record, birth: Some(key.birth.clone()) };
    let fault = world.ask(1, StepKind::Retire, &request.to_bytes()).unwrap_err();
    assert!(matches!(fault, Fault::Certificate(CertificateError::Signatures { .. })), "{fault}");
    assert!(key.share(&world, 1).is_some());
    key.reshare(&mut world, &SAME);
}

#[test]
fn nothing_below_what_is_in_force_is_activated_or_received_again() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let (mut old_receive, mut old_activate) = (None, None);
    let order = key.order(&world, &SAME);
    let mut conductor = key.conductor(&world, &order);
    let outcome = world.run(&mut conductor, |_, ticket, request| {
        match ticket.step {
            StepKind::Receive => old_receive = Some(request.to_vec()),
            StepKind::Activate => old_activate = Some(request.to_vec()),
            _ => {}
        }
        None
    });
    key.moved(order, outcome);
    key.reshare(&mut world, &SAME);
    let fault = world.ask(1, StepKind::Receive, &old_receive.unwrap());
    assert!(fault.is_err(), "{fault:?}");
    let answer = world.ask(1, StepKind::Activate, &old_activate.unwrap()).unwrap();
    let answer = ActivateAnswer::from_bytes(&answer).unwrap();
    assert!(matches!(answer, ActivateAnswer::Born(r) if *r == key.newest));
    assert_eq!(world.state(1, key.number()).standing.serves().count(), 1);
}

/// A dealer that deals its very share, but over the group of another suite: its commitments are
/// no commitments here, and it is named.
#[test]
fn a_dealing_over_the_other_group_names_its_dealer() {
    let (ristretto, edwards) = (Group::Ristretto255, Group::Edwards25519);
    for (suite, other) in [(Suite::FrostEd25519, ristretto), (Suite::VoprfRistretto255, edwards)] {
        let (world, key, moved) = with_liar_of(suite, &SAME, |world, plan, request| {
            assert_ne!(plan.group(), other);
            let share = world.state(2, 1).share_in_force.unwrap();
            forge_over(world, plan, request, (2, &share), 3, None, Some(other))
        });
        let [(2, Blame::Dealing(_))] = &moved.culprits[..] else { panic!("{:?}", moved.culprits) };
        key.is_whole(&world, &[1, 3, 5]);
    }
}

/// The lies of above in the other group: another secret, another threshold, one bad value.
#[test]
fn lying_dealers_of_a_signing_key_are_named_too() {
    let secret = SecretScalar::from_bytes(&[7; 32].map(|b| b & 0x0f)).unwrap();
    for (threshold, own) in [(3, false), (4, true)] {
        let (world, key, moved) =
            with_liar_of(Suite::FrostEd25519, &SAME, |world, plan, request| {
                let share = world.state(2, 1).share_in_force.unwrap();
                let dealt = if own { &share } else { &secret };
                forge(world, plan, request, 2, dealt, threshold)
            });
        let [(2, Blame::Dealing(_))] = &moved.culprits[..] else { panic!("{:?}", moved.culprits) };
        key.is_whole(&world, &[2, 3, 4]);
    }
    let to = To { q: 4, ..SAME };
    let (_, _, moved) = with_liar_of(Suite::FrostEd25519, &to, |world, plan, request| {
        let share = world.state(2, 1).share_in_force.unwrap();
        let mut rng: rand::rngs::StdRng = rand::SeedableRng::seed_from_u64(6);
        let stray = EncodedPoint::new(SecretScalar::random(&mut rng).public()).unwrap();
        forge_to(world, plan, request, 2, &share, 3, Some((index(4), stray)))
    });
    let [(2, Blame::BadValue { receiver })] = &moved.culprits[..] else {
        panic!("{:?}", moved.culprits)
    };
    assert_eq!(*receiver, index(4));
}
