//! Signing: what a node does with nonces, whoever asks and in whatever order.

use super::{eavesdropper::Eavesdropper, fixture::*, states::second};
use crate::requests::Reply;
use quorate_crypto::{
    SecretScalar, ShareIndex,
    frost::{NonceCommitments, SigningSet, aggregate, verify},
    group::Group,
};
use quorate_types::{
    signing::{MAX_MESSAGE, MAX_NONCES, NonceHandle, NonceOrder, SignItem, SignerCommitments},
    *,
};
use std::collections::BTreeMap;

const SIGN: &str = "release";

/// As [`World::with_key`], with a second key that signs, 2 of 3, granted to client 50.
fn world() -> (World, KeyRecord) {
    let world = World::with_key();
    let order = world.create_to(Purpose::Sign, 2, SIGN, 1, Hash::default());
    let record = world.give_birth(&order);
    (world, record)
}

fn ask(world: &World, operation: Operation, items: Vec<Vec<u8>>) -> Ask {
    let mut ask = world.ask_for(items);
    ask.head.key = SIGN.parse().unwrap();
    ask.head.operation = operation;
    ask
}

fn draw_request(world: &World, record: &KeyRecord, count: u16) -> Ask {
    let order = NonceOrder { epoch: record.certificate.public.epoch, count };
    ask(world, Operation::SignCommit, vec![order.to_bytes()])
}

/// Commitments that node `i` draws.
fn draw(world: &World, record: &KeyRecord, i: usize, count: u16) -> Vec<SignerCommitments> {
    let ask = draw_request(world, record, count);
    let (sealed, answer) = world.open(i, &world.bring(i, &ask).unwrap());
    assert_eq!(sealed.epoch, record.certificate.public.epoch);
    SignerCommitments::from_words(world.nodes[i].core.index(), &answer.partials).unwrap()
}

fn item(record: &KeyRecord, message: &[u8], signers: &[SignerCommitments]) -> SignItem {
    let epoch = record.certificate.public.epoch;
    SignItem { epoch, signers: signers.to_vec(), message: message.to_vec() }
}

fn sign_request(world: &World, items: &[SignItem]) -> Ask {
    ask(world, Operation::Sign, items.iter().map(Format::to_bytes).collect())
}

/// The signature shares of node `i` for a request.
fn shares(world: &World, i: usize, request: &Ask) -> Vec<[u8; 32]> {
    let (_, answer) = world.open(i, &world.bring(i, request).unwrap());
    assert_eq!(answer.partials.len(), request.items.len());
    answer.partials
}

fn signature(record: &KeyRecord, item: &SignItem, shares: &[(ShareIndex, [u8; 32])]) -> [u8; 64] {
    let points = item.signers.iter();
    let points: BTreeMap<ShareIndex, NonceCommitments> =
        points.map(|s| (s.node, NonceCommitments::from_bytes(&s.commitments).unwrap())).collect();
    let set = SigningSet::new(&item.message, points);
    let public = &record.certificate.public;
    let (t, commitments) = (public.committee.threshold(), public.decode_commitments().unwrap());
    aggregate(&set, shares, t, &commitments).unwrap()
}

/// A message signed by nodes `a` and `b`, verified under the key that was born.
fn signed(world: &World, record: &KeyRecord, nodes: [usize; 2], message: &[u8]) -> [u8; 64] {
    let signers: Vec<_> = nodes.iter().map(|i| draw(world, record, *i, 1)[0]).collect();
    let item = item(record, message, &signers);
    let request = sign_request(world, std::slice::from_ref(&item));
    let of = |i: &usize| (world.nodes[*i].core.index(), shares(world, *i, &request)[0]);
    let signature = signature(record, &item, &nodes.iter().map(of).collect::<Vec<_>>());
    verify(record.certificate.public.public_key(), message, &signature).unwrap();
    signature
}

/// Refused with this reason, signed; the share untouched.
fn refused(world: &World, i: usize, ask: &Ask, reason: RefusalReason) -> Refusal {
    let uses = world.nodes[i].uses();
    let refusal = world.refused(i, ask);
    assert_eq!(refusal.reason, reason);
    assert_eq!(world.nodes[i].uses(), uses, "the share was used");
    refusal
}

fn waiting(world: &World, i: usize) -> usize {
    world.nodes[i].core.nonces.len()
}

#[test]
fn every_quorum_signs_under_one_key_also_after_a_refresh() {
    let (world, born) = world();
    for nodes in [[0, 1], [1, 2], [0, 2]] {
        signed(&world, &born, nodes, b"good");
    }
    let order = world.refresh_order(&born, &born.order);
    let descent = quorate_ceremony::Descent { birth: born.clone(), newest: None };
    let moved = world.move_shares(&order, descent, |_| {});
    assert_ne!(moved.certificate.public.epoch, born.certificate.public.epoch);
    let signature = signed(&world, &moved, [0, 2], b"good");
    verify(born.certificate.public.public_key(), b"good", &signature).unwrap();
}

#[test]
fn a_signature_stands_in_the_audit_log_before_share_and_nonces_are_used() {
    let (world, record) = world();
    let signers = [draw(&world, &record, 0, 1)[0], draw(&world, &record, 1, 1)[0]];
    let drawn = world.nodes[0].audit();
    let decided = |entry: &AuditEntry| match &entry.event {
        Event::Request { head, decision, .. } => {
            (RequestHead::from_bytes(head).unwrap().operation, decision.clone())
        }
        _ => panic!("not a request"),
    };
    let granted = Decision::Granted(record.certificate.public.epoch);
    assert_eq!(decided(drawn.last().unwrap()), (Operation::SignCommit, granted.clone()));
    let request = sign_request(&world, &[item(&record, b"m", &signers)]);
    shares(&world, 0, &request);
    let audit = world.nodes[0].audit();
    assert_eq!(*world.nodes[0].watch.used_at.lock().unwrap().last().unwrap(), audit.len() as u64);
    assert_eq!(decided(audit.last().unwrap()), (Operation::Sign, granted));
}

/// A node whose disk does not take the entry signs nothing, and keeps the nonces.
#[test]
fn no_nonce_is_touched_before_the_audit_entry_is_durable() {
    let (world, record) = world();
    let signers = [draw(&world, &record, 0, 1)[0], draw(&world, &record, 1, 1)[0]];
    let request = sign_request(&world, &[item(&record, b"m", &signers)]);
    let refuse =
        |on| world.nodes[0].store.refuse_audit.store(on, std::sync::atomic::Ordering::SeqCst);
    refuse(true);
    world.bring(0, &request).unwrap_err();
    assert!(world.bring(0, &draw_request(&world, &record, 5)).is_err());
    assert_eq!(waiting(&world, 0), 1, "neither taken nor drawn");
    refuse(false);
    shares(&world, 0, &request);
    assert_eq!(waiting(&world, 0), 0);
}

/// One nonce pair, one answer: neither another message, nor another set, nor the very same request
/// again gets a second.
#[test]
fn a_nonce_pair_answers_once_whatever_is_asked_again() {
    let (world, record) = world();
    let (mine, theirs) = (draw(&world, &record, 0, 1)[0], draw(&world, &record, 1, 2));
    let first = sign_request(&world, &[item(&record, b"one", &[mine, theirs[0]])]);
    shares(&world, 0, &first);
    for again in [
        first.clone(),
        first.again(7),
        sign_request(&world, &[item(&record, b"two", &[mine, theirs[0]])]),
        sign_request(&world, &[item(&record, b"one", &[mine, theirs[1]])]),
    ] {
        let refusal = refused(&world, 0, &again, RefusalReason::NonceGone);
        assert_eq!(refusal.item, Some(0));
    }
    // The refusals stand in the log, each beside the grant that went before it.
    let refusals = world.nodes[0].audit().into_iter().filter(|e| {
        matches!(
            e.event,
            Event::Request { decision: Decision::Refused(RefusalReason::NonceGone), .. }
        )
    });
    assert_eq!(refusals.count(), 4);
}

/// What is named in a request that is refused after all is gone too: here the second item's pair
/// has been used, and so the first's is lost.
#[test]
fn a_batch_that_names_one_used_pair_spends_all_of_them() {
    let (world, record) = world();
    let (mine, theirs) = (draw(&world, &record, 0, 2), draw(&world, &record, 1, 2));
    let one = |at: usize| item(&record, b"m", &[mine[at], theirs[at]]);
    shares(&world, 0, &sign_request(&world, &[one(1)]));
    let refusal =
        refused(&world, 0, &sign_request(&world, &[one(0), one(1)]), RefusalReason::NonceGone);
    assert_eq!(refusal.item, Some(1));
    refused(&world, 0, &sign_request(&world, &[one(0)]), RefusalReason::NonceGone);
    // Nor does one request get two signatures under one pair.
    let mine = draw(&world, &record, 0, 1)[0];
    let twice = [item(&record, b"a", &[mine, theirs[0]]), item(&record, b"b", &[mine, theirs[1]])];
    assert_eq!(
        refused(&world, 0, &sign_request(&world, &twice), RefusalReason::NonceGone).item,
        Some(1)
    );
    assert_eq!(waiting(&world, 0), 0);
}

#[test]
fn a_handle_of_an_earlier_start_signs_nothing() {
    let (mut world, record) = world();
    let signers = [draw(&world, &record, 0, 1)[0], draw(&world, &record, 1, 1)[0]];
    world.restart(0, LIMITS);
    let request = sign_request(&world, &[item(&record, b"m", &signers)]);
    refused(&world, 0, &request, RefusalReason::NonceGone);
    // Nor if a number of this start is put under the boot id of the earlier one.
    let new = draw(&world, &record, 0, 1)[0];
    let number = new.handle.number;
    let mixed = SignerCommitments { handle: NonceHandle { number, ..signers[0].handle }, ..new };
    let request = sign_request(&world, &[item(&record, b"m", &[mixed, signers[1]])]);
    refused(&world, 0, &request, RefusalReason::NonceGone);
    let request = sign_request(&world, &[item(&record, b"m", &[new, signers[1]])]);
    shares(&world, 0, &request);
}

/// Whoever has a client's key asks for each pair again and again, byte for byte and with other
/// messages, in three starts of the node and for pairs of the starts before; and then solves all
/// that the node has signed for the node's share.
#[test]
fn no_share_follows_from_all_that_a_node_signs() {
    let (mut world, record) = world();
    let public = &record.certificate.public;
    let one = world.nodes[0].core.index();
    let mut ears = Eavesdropper::of(one, public.public_key());
    let (mut pairs, mut signed) = (Vec::new(), 0);
    for start in 0..3 {
        if start > 0 {
            world.restart(0, LIMITS);
        }
        let theirs = draw(&world, &record, 1, 2);
        for _ in 0..2 {
            let mine = draw(&world, &record, 0, 2);
            pairs.extend(mine.into_iter().zip(theirs.clone()).map(|(a, b)| [a, b]));
        }
        for (at, pair) in pairs.iter().enumerate() {
            world.clock.pass(20_000); // so that the replay cache has room
            for again in [0, 0, 1, 2] {
                let message = format!("start {start}, pair {at}, message {again}").into_bytes();
                let item = item(&record, &message, pair);
                let first = sign_request(&world, std::slice::from_ref(&item));
                for request in [first.clone(), first.again(start + 1), first] {
                    let Ok(reply @ Reply::Sealed(..)) = world.bring(0, &request) else { continue };
                    let (_, answer) = world.open(0, &reply);
                    let signers = pair.map(|s| (s.node, s.commitments));
                    ears.hears(&message, &signers, &answer.partials[0]);
                    signed += 1;
                }
            }
        }
    }
    assert_eq!(signed, pairs.len(), "each pair signs once");
    if let Some(share) = ears.share() {
        let is = public.decode_commitments().unwrap().verify_share(one, &share);
        panic!("nonces came again, and the share is recovered (it is the share: {is})");
    }
}

#[test]
fn a_new_epoch_ends_all_nonces() {
    let (world, born) = world();
    let signers = [draw(&world, &born, 0, 2), draw(&world, &born, 1, 2)];
    let order = world.refresh_order(&born, &born.order);
    let descent = quorate_ceremony::Descent { birth: born.clone(), newest: None };
    let moved = world.move_shares(&order, descent, |_| {});
    assert_eq!((waiting(&world, 0), waiting(&world, 1)), (0, 0));
    let pair = |at: usize| [signers[0][at], signers[1][at]];
    let old = sign_request(&world, &[item(&born, b"m", &pair(0))]);
    refused(&world, 0, &old, RefusalReason::NoShare);
    let new = sign_request(&world, &[item(&moved, b"m", &pair(1))]);
    refused(&world, 0, &new, RefusalReason::NonceGone);
    refused(&world, 0, &draw_request(&world, &born, 1), RefusalReason::NoShare);
}

#[test]
fn nonces_expire() {
    let (world, record) = world();
    let signers = [draw(&world, &record, 0, 1)[0], draw(&world, &record, 1, 1)[0]];
    world.clock.pass(600_001);
    let request = sign_request(&world, &[item(&record, b"m", &signers)]);
    refused(&world, 0, &request, RefusalReason::NonceGone);
}

#[test]
fn one_client_can_neither_use_nor_crowd_out_anothers_nonces() {
    let (world, record) = world();
    let signers = [draw(&world, &record, 0, 1)[0], draw(&world, &record, 1, 1)[0]];
    // No other client is granted this key; what the map does for one is tested beside it.
    let mut stranger = sign_request(&world, &[item(&record, b"m", &signers)]);
    (stranger.head.client, stranger.signer) = (public(51), 51);
    refused(&world, 0, &stranger, RefusalReason::NotGranted);
    assert_eq!(waiting(&world, 0), 1, "a refused request takes nothing");
    for _ in 0..15 {
        draw(&world, &record, 0, MAX_NONCES);
    }
    let most = draw_request(&world, &record, MAX_NONCES);
    refused(&world, 0, &most, RefusalReason::TooManyNonces);
    assert_eq!(draw(&world, &record, 0, MAX_NONCES - 1).len(), usize::from(MAX_NONCES) - 1);
    refused(&world, 0, &draw_request(&world, &record, 1), RefusalReason::TooManyNonces);
    let request = sign_request(&world, &[item(&record, b"m", &signers)]);
    shares(&world, 0, &request);
}

/// Sets that name another commitment for this node, strangers, too few, or not this node; and what
/// is no request at all.
#[test]
fn what_is_no_exact_set_of_members_is_refused_and_named() {
    let (world, record) = world();
    let drawn: Vec<_> = (0..3).map(|i| draw(&world, &record, i, 4)).collect();
    let good = item(&record, b"m", &[drawn[0][0], drawn[1][0]]);
    let stranger = SignerCommitments { node: ShareIndex::new(9).unwrap(), ..drawn[1][1] };
    let mut bad_point = drawn[1][1];
    bad_point.commitments[..32].copy_from_slice(&[0; 32]);
    let mut identity = drawn[1][1];
    identity.commitments[32..].copy_from_slice(&{
        let mut one = [0; 32];
        one[0] = 1;
        one
    });
    let alone = |signers: &[SignerCommitments]| {
        let mut bytes = good.to_bytes();
        let (from, count) = (6 + 40, u16::try_from(signers.len()).unwrap());
        let tail = bytes.split_off(from + 2 + 2 * SignerCommitments::LEN);
        bytes.truncate(from);
        bytes.extend(count.to_be_bytes());
        for s in signers {
            let mut w = Writer::new();
            s.write(&mut w);
            bytes.extend(w.finish());
        }
        [bytes, tail].concat()
    };
    let sets: [&[SignerCommitments]; 7] = [
        &[drawn[1][1], drawn[2][1]],              // not this node
        &[drawn[0][1]],                           // below the threshold
        &[drawn[0][1], stranger],                 // no member
        &[drawn[0][1], drawn[0][2], drawn[1][1]], // one node twice
        &[drawn[1][1], drawn[0][1]],              // out of order
        &[drawn[0][1], bad_point],
        &[drawn[0][1], identity],
    ];
    for signers in sets {
        for at in 0..2 {
            let mut items = vec![good.to_bytes(), good.to_bytes()];
            items[at] = alone(signers);
            let request = ask(&world, Operation::Sign, items);
            let refusal = refused(&world, 0, &request, RefusalReason::InvalidItem);
            assert_eq!(refusal.item, Some(at as u16), "{signers:?}");
        }
    }
    let long = item(&record, &[7; MAX_MESSAGE + 1], &good.signers);
    refused(&world, 0, &sign_request(&world, &[long]), RefusalReason::InvalidItem);
    for junk in [Vec::new(), vec![7; 40], draw_request(&world, &record, 1).items.remove(0)] {
        refused(&world, 0, &ask(&world, Operation::Sign, vec![junk]), RefusalReason::InvalidItem);
    }
    assert_eq!(waiting(&world, 0), 4, "nothing was taken");
    let whole = item(&record, &[7; MAX_MESSAGE], &good.signers);
    shares(&world, 0, &sign_request(&world, &[whole]));
}

/// Two of a key that needs three: refused before anything is taken, though two are a set.
#[test]
fn a_set_below_the_keys_threshold_is_refused_and_costs_nothing() {
    let world = World::with_key();
    let order = world.create_to(Purpose::Sign, 3, SIGN, 1, Hash::default());
    let record = world.give_birth(&order);
    let drawn: Vec<_> = (0..3).map(|i| draw(&world, &record, i, 1)[0]).collect();
    let two = sign_request(&world, &[item(&record, b"m", &drawn[..2])]);
    refused(&world, 0, &two, RefusalReason::InvalidItem);
    assert_eq!(waiting(&world, 0), 1);
    shares(&world, 0, &sign_request(&world, &[item(&record, b"m", &drawn)]));
}

/// Row 12: this node's own commitment, swapped for one of an attacker's choice under its handle.
#[test]
fn a_set_with_another_commitment_under_this_nodes_handle_costs_the_pair_and_gets_no_share() {
    let (world, record) = world();
    let (mine, theirs) = (draw(&world, &record, 0, 2), draw(&world, &record, 1, 1)[0]);
    let swapped = SignerCommitments { commitments: mine[1].commitments, ..mine[0] };
    let request = sign_request(&world, &[item(&record, b"m", &[swapped, theirs])]);
    assert_eq!(world.refused(0, &request).reason, RefusalReason::InvalidItem);
    let honest = sign_request(&world, &[item(&record, b"m", &[mine[0], theirs])]);
    refused(&world, 0, &honest, RefusalReason::NonceGone);
}

#[test]
fn orders_for_nonces_have_their_limits() {
    let (world, record) = world();
    let epoch = record.certificate.public.epoch;
    for count in [0, MAX_NONCES + 1, u16::MAX] {
        let item = NonceOrder { epoch, count }.to_bytes();
        let request = ask(&world, Operation::SignCommit, vec![item]);
        refused(&world, 0, &request, RefusalReason::InvalidItem);
    }
    let item = NonceOrder { epoch, count: 1 }.to_bytes();
    let two = ask(&world, Operation::SignCommit, vec![item.clone(), item]);
    refused(&world, 0, &two, RefusalReason::InvalidItem);
    assert_eq!(waiting(&world, 0), 0);
    assert_eq!(draw(&world, &record, 0, MAX_NONCES).len(), usize::from(MAX_NONCES));
}

/// Row 16, between all three purposes: a key does its own operations only, and a share of one is no
/// share of another.
#[test]
fn a_key_that_signs_does_nothing_else_and_no_other_key_signs() {
    let (world, record) = world();
    let drawn = [draw(&world, &record, 0, 1)[0], draw(&world, &record, 1, 1)[0]];
    let sign = sign_request(&world, &[item(&record, b"m", &drawn)]);
    for operation in [Operation::Decrypt, Operation::Derive] {
        let random = Group::Ristretto255.mul_base(&SecretScalar::random(&mut rand::rng()));
        for item in [world.item(&EncryptionContext::default()), random.encode().to_vec()] {
            let request = ask(&world, operation, vec![item]);
            refused(&world, 0, &request, RefusalReason::WrongPurpose);
        }
    }
    let derive = world.create_to(Purpose::Derive, 2, "ids", 1, Hash::default());
    world.give_birth(&derive);
    for other in [KEY, "ids"] {
        for mut request in [sign.clone(), draw_request(&world, &record, 1)] {
            request = request.again(other.len() as u8);
            request.head.id.0[1] = request.items.len() as u8 + request.items[0].len() as u8;
            request.head.key = other.parse().unwrap();
            refused(&world, 0, &request, RefusalReason::WrongPurpose);
        }
    }
    shares(&world, 0, &sign);
}

#[test]
fn an_older_version_signs_nothing_new_whatever_was_drawn_for_it() {
    let (world, born) = world();
    let before: Vec<_> = [0, 1].iter().map(|i| draw(&world, &born, *i, 1)[0]).collect();
    let order = VerifiedOrder::verify(&world.cluster, &born.order).unwrap();
    let next = world.give_birth(&second(&world, &order, |_| {}));
    refused(&world, 0, &draw_request(&world, &born, 1), RefusalReason::OlderVersion);
    let late = sign_request(&world, &[item(&born, b"late", &before)]);
    refused(&world, 0, &late, RefusalReason::OlderVersion);
    let version = KeyVersion::new(2).unwrap();
    let mut ask = draw_request(&world, &next, 1);
    ask.head.version = version;
    let drawn = |i: usize| {
        let (_, answer) = world.open(i, &world.bring(i, &ask).unwrap());
        SignerCommitments::from_words(world.nodes[i].core.index(), &answer.partials).unwrap()[0]
    };
    let item = item(&next, b"good", &[drawn(0), drawn(1)]);
    let mut request = sign_request(&world, std::slice::from_ref(&item));
    request.head.version = version;
    let of = |i: usize| (world.nodes[i].core.index(), shares(&world, i, &request)[0]);
    let signature = signature(&next, &item, &[of(0), of(1)]);
    verify(next.certificate.public.public_key(), b"good", &signature).unwrap();
}

#[test]
fn a_request_of_1024_messages_is_signed() {
    let (world, record) = world();
    let draw_all = |i| (0..4).flat_map(|_| draw(&world, &record, i, 256)).collect::<Vec<_>>();
    let (mine, theirs) = (draw_all(0), draw_all(1));
    let message = |at: usize| format!("message {at}").into_bytes();
    let items: Vec<SignItem> =
        (0..1024).map(|at| item(&record, &message(at), &[mine[at], theirs[at]])).collect();
    let request = sign_request(&world, &items);
    let (a, b) = (shares(&world, 0, &request), shares(&world, 1, &request));
    let (one, two) = (world.nodes[0].core.index(), world.nodes[1].core.index());
    for at in [0, 1, 511, 1023] {
        let made = signature(&record, &items[at], &[(one, a[at]), (two, b[at])]);
        verify(record.certificate.public.public_key(), &message(at), &made).unwrap();
    }
}
