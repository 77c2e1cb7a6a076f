//! Each reason to refuse, and that every refusal is signed, logged as it should be, and
//! leaves the share alone.

use super::fixture::*;
use quorate_crypto::{EncodedPoint, ShareIndex, dleq::Proof, tdh2};
use quorate_types::*;
use std::collections::BTreeMap;

fn context(name: &str, value: &str) -> EncryptionContext {
    EncryptionContext::new(BTreeMap::from([(name.to_owned(), value.to_owned())])).unwrap()
}

/// Refused with this reason; logged or not; the share untouched.
fn check(world: &World, ask: &Ask, reason: RefusalReason, logged: bool) -> Refusal {
    let (before, uses) = (world.nodes[0].audit().len(), world.nodes[0].uses());
    let refusal = world.refused(0, ask);
    assert_eq!(refusal.reason, reason);
    assert_eq!(refusal.request, RequestHead::hash(&ask.cluster, &ask.head.to_bytes()));
    let audit = world.nodes[0].audit();
    assert_eq!(audit.len() - before, usize::from(logged), "{reason:?}");
    if logged {
        let Event::Request { head, decision, .. } = &audit.last().unwrap().event else {
            panic!("not a request")
        };
        assert_eq!((head, decision), (&ask.head.to_bytes(), &Decision::Refused(reason)));
    }
    assert_eq!(world.nodes[0].uses(), uses);
    refusal
}

#[test]
fn a_good_request_is_answered_by_each_node_and_opens_together() {
    let world = World::with_key();
    let public = world.record().certificate.public.clone();
    let context = context("tenant", "a");
    let items: Vec<_> = (0..3).map(|_| world.item(&context)).collect();
    let mut ask = world.ask_for(items.clone());
    ask.head.context = context.clone();
    ask.head.prove = true;
    let mut partials = Vec::new();
    for i in [0, 2] {
        let (sealed, answer) = world.open(i, &world.bring(i, &ask).unwrap());
        assert_eq!(sealed.epoch, public.epoch);
        let node = world.nodes[i].core.index();
        let request = RequestHead::hash(&ask.cluster, &ask.head.to_bytes());
        let proved = PartialContext { public: &public, node, request }.to_bytes();
        let verified = verify_all(&world, &items, &context);
        let own = world.nodes[i].watch.share.lock().unwrap().clone().unwrap().public();
        let own = EncodedPoint::new(own).unwrap();
        let proof = Proof::from_bytes(&answer.proof.unwrap()).unwrap();
        tdh2::verify_partials(&proved, &own, &verified, &answer.partials, &proof).unwrap();
        partials.push((ShareIndex::new(node.get()).unwrap(), answer.partials));
    }
    for (at, item) in items.iter().enumerate() {
        let head = CiphertextHead::from_bytes(item).unwrap();
        let kem = tdh2::Ciphertext::from_bytes(&head.kem).unwrap();
        let point = EncodedPoint::decode(public.public_key()).unwrap();
        let binding =
            tdh2::Binding::new(world.cluster.fingerprint().as_bytes(), KEY.as_bytes(), 1, &point);
        let of_item: Vec<_> = partials.iter().map(|(i, p)| (*i, p[at])).collect();
        let threshold = public.committee.threshold();
        let (label, header) = (context.label(), head.header.to_bytes());
        tdh2::decapsulate(&binding, &label, &header, &kem, threshold, &of_item).unwrap();
    }
}

fn verify_all(
    world: &World,
    items: &[Vec<u8>],
    context: &EncryptionContext,
) -> Vec<tdh2::Verified> {
    let public = &world.record().certificate.public;
    let point = EncodedPoint::decode(public.public_key()).unwrap();
    let fingerprint = world.cluster.fingerprint().as_bytes();
    let binding = tdh2::Binding::new(fingerprint, KEY.as_bytes(), 1, &point);
    let one = |item: &Vec<u8>| {
        let head = CiphertextHead::from_bytes(item).unwrap();
        let kem = tdh2::Ciphertext::from_bytes(&head.kem).unwrap();
        tdh2::verify(&binding, &context.label(), &head.header.to_bytes(), &kem).unwrap()
    };
    items.iter().map(one).collect()
}

#[test]
fn unknown_keys_and_versions_are_refused() {
    let world = World::with_key();
    let mut ask = world.ask();
    ask.head.key = "other".parse().unwrap();
    check(&world, &ask, RefusalReason::UnknownKey, true);
    let mut ask = world.ask();
    ask.head.version = KeyVersion::new(2).unwrap();
    check(&world, &ask, RefusalReason::UnknownKey, true);
}

#[test]
fn a_client_without_a_grant_is_refused() {
    let world = World::with_key();
    let mut ask = world.ask();
    (ask.head.client, ask.signer) = (public(51), 51);
    check(&world, &ask, RefusalReason::NotGranted, true);
}

#[test]
fn a_grant_ends() {
    let world = World::with_key();
    world.clock.pass(90 * Millis::DAY);
    world.open(0, &world.bring(0, &world.ask()).unwrap());
    world.clock.pass(1);
    check(&world, &world.ask(), RefusalReason::GrantExpired, true);
}

#[test]
fn a_revoked_client_is_refused_at_once_and_for_ever() {
    let world = World::with_key();
    world.open(0, &world.bring(0, &world.ask()).unwrap());
    let revoke = world.order(Action::RevokeClient { client: public(50) }, Hash::default());
    let revoke = world.signed(revoke, &[102, 103]);
    crate::orders::submit(&world.nodes[0].core, &revoke.to_bytes()).unwrap();
    check(&world, &world.ask(), RefusalReason::UnknownClient, true);
    let mut world = world;
    world.restart(0, LIMITS);
    check(&world, &world.ask(), RefusalReason::UnknownClient, true);
}

#[test]
fn a_stranger_is_refused_and_fills_no_disk() {
    let world = World::with_key();
    let mut ask = world.ask();
    (ask.head.client, ask.signer) = (public(60), 60);
    check(&world, &ask, RefusalReason::UnknownClient, false);
}

#[test]
fn clocks_may_differ_by_the_window_and_no_more() {
    let world = World::with_key();
    let at = |skew: i64| {
        let mut ask = world.ask();
        ask.head.issued_at = Millis(START.saturating_add_signed(skew));
        ask
    };
    world.open(0, &world.bring(0, &at(30_000)).unwrap());
    let refusal = check(&world, &at(30_001), RefusalReason::Clock, false);
    assert_eq!(refusal.at, Millis(START), "the refusal tells the node's time");
    // Its life of 10 s and the window: 40 s ago.
    world.open(0, &world.bring(0, &at(-40_000)).unwrap());
    check(&world, &at(-40_001), RefusalReason::Expired, false);
    for jump in [3_600_000, 10 * 365 * 86_400_000] {
        let ask = world.ask();
        world.clock.jump_to(START + jump);
        check(&world, &ask, RefusalReason::Expired, false);
        world.clock.jump_to(START);
        world.open(0, &world.bring(0, &ask).unwrap());
    }
    let ask = world.ask();
    world.clock.jump_to(START - 60_000);
    check(&world, &ask, RefusalReason::Clock, false);
}

#[test]
fn items_that_are_not_the_signed_ones_are_refused() {
    let world = World::with_key();
    let items: Vec<_> = (0..2).map(|_| world.item(&EncryptionContext::default())).collect();
    let good = world.ask_for(items.clone());
    let changes: [fn(&mut Vec<Vec<u8>>); 3] =
        [|items| items.swap(0, 1), |items| items.truncate(1), |items| items.push(items[0].clone())];
    for (id, change) in (1..).zip(changes) {
        let mut ask = good.again(id);
        change(&mut ask.items);
        check(&world, &ask, RefusalReason::ItemsMismatch, true);
    }
}

#[test]
fn a_bad_item_of_a_batch_is_named_whatever_is_wrong_with_it() {
    let world = World::with_key();
    let (none, ours) = (EncryptionContext::default(), *world.cluster.fingerprint());
    let last = |items: &mut Vec<u8>, at: usize| {
        let end = items.len();
        items[end - at] ^= 1;
    };
    let flipped = |at: usize| {
        let mut item = world.item(&none);
        last(&mut item, at);
        item
    };
    let mut other_key = world.item(&none);
    let at = other_key.windows(7).position(|w| w == KEY.as_bytes()).unwrap();
    other_key[at] = b'q';
    let bad = [
        flipped(1),
        flipped(240),
        flipped(240 - 128),
        world.item(&context("tenant", "b")),
        world.item_for(&Fingerprint([9; 32]), &none),
        other_key,
        // Proofs that hold, under headers that name something else.
        world.sealed_with(&world.header(&ours, "other"), &ours, &none),
        world.sealed_with(&world.header(&Fingerprint([9; 32]), KEY), &ours, &none),
        b"no ciphertext".to_vec(),
        Vec::new(),
    ];
    for bad in bad {
        let one = world.ask_for(vec![bad.clone()]);
        assert_eq!(check(&world, &one, RefusalReason::InvalidItem, true).item, Some(0));
        let batch = world.ask_for(vec![world.item(&none), bad, world.item(&none)]);
        assert_eq!(check(&world, &batch, RefusalReason::InvalidItem, true).item, Some(1));
    }
}

#[test]
fn a_ciphertext_under_another_context_is_refused() {
    let world = World::with_key();
    let mut ask = world.ask_for(vec![world.item(&context("tenant", "a"))]);
    ask.head.context = context("tenant", "b");
    check(&world, &ask, RefusalReason::InvalidItem, true);
}

#[test]
fn a_key_that_is_ordered_but_not_born_has_no_share() {
    let world = World::with_key();
    let order = world.create("unborn", 1, Hash::default());
    crate::orders::submit(&world.nodes[0].core, &order.to_bytes()).unwrap();
    let mut ask = world.ask();
    ask.head.key = "unborn".parse().unwrap();
    check(&world, &ask, RefusalReason::NoShare, true);
}

#[test]
fn a_full_memory_refuses_and_forgets_nothing() {
    let mut world = World::with_key();
    world.restart(0, crate::core::CoreLimits { replay_entries: 2, ..LIMITS });
    let asks: Vec<_> = (0..3).map(|_| world.ask()).collect();
    for ask in &asks[..2] {
        world.open(0, &world.bring(0, ask).unwrap());
    }
    check(&world, &asks[2], RefusalReason::Busy, false);
    let mut other = asks[0].clone();
    other.head.prove = true;
    check(&world, &other, RefusalReason::Replayed, true);
    world.clock.pass(100_000);
    world.open(0, &world.bring(0, &world.ask()).unwrap());
}
