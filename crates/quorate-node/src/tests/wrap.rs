//! Wrapping: what a node answers under a key of that purpose, that it hashes nonces to points
//! itself, and that it takes nothing else under such a key.

use super::fixture::*;
use quorate_crypto::{
    ShareIndex,
    dleq::Proof,
    group::{B, encode_point},
    tdh2::Combiner,
    voprf::Batch,
    wrap::{self, Nonce, Scope, WrapPoint, Wrapping},
};
use quorate_types::*;

const WRAP: &str = "vault";
const DERIVE: &str = "ids";

/// As [`World::with_key`], with a second key that wraps, granted to client 50.
fn world() -> (World, KeyRecord) {
    let world = World::with_key();
    let order = world.create_to(Purpose::Wrap, 2, WRAP, 1, Hash::default());
    let record = world.give_birth(&order);
    (world, record)
}

fn nonces(n: u8) -> Vec<Nonce> {
    (0..n).map(|i| [i; 16]).collect()
}

/// A request of client 50 for these nonces under the key that wraps.
fn ask(world: &World, nonces: &[Nonce], context: &EncryptionContext) -> Ask {
    let mut ask = world.ask_for(nonces.iter().map(|n| n.to_vec()).collect());
    ask.head.key = WRAP.parse().unwrap();
    ask.head.operation = Operation::Wrap;
    ask.head.context = context.clone();
    ask.head.prove = true;
    ask
}

fn points(world: &World, nonces: &[Nonce], context: &EncryptionContext) -> Vec<WrapPoint> {
    let label = context.label();
    let fingerprint = world.cluster.fingerprint();
    let scope = Scope::new(fingerprint.as_bytes(), WRAP.as_bytes(), 1, &label);
    nonces.iter().map(|n| scope.point(n).unwrap()).collect()
}

/// What node `i` answers, verified under its `Y_i` of the epoch in `record`.
fn verified(
    world: &World,
    record: &KeyRecord,
    i: usize,
    nonces: &[Nonce],
    context: &EncryptionContext,
) -> (ShareIndex, Vec<[u8; 32]>) {
    let (public, ask) = (&record.certificate.public, ask(world, nonces, context));
    let (sealed, answer) = world.open(i, &world.bring(i, &ask).unwrap());
    assert_eq!(sealed.epoch, public.epoch);
    let node = world.nodes[i].core.index();
    let own = public.decode_commitments().unwrap().ristretto_at(node).unwrap();
    let request = RequestHead::hash(world.cluster.fingerprint(), &ask.head.to_bytes());
    let bound = PartialContext { public, node, request }.to_bytes();
    let proof = Proof::from_bytes(&answer.proof.unwrap()).unwrap();
    let points = points(world, nonces, context);
    wrap::verify(&bound, &own, &points, &answer.partials, &proof).unwrap();
    (node, answer.partials)
}

/// The commitments to the one-time keys by these nodes.
fn keys(
    world: &World,
    record: &KeyRecord,
    by: &[usize],
    nonces: &[Nonce],
    context: &EncryptionContext,
) -> Vec<[u8; 32]> {
    let answers: Vec<_> = by.iter().map(|i| verified(world, record, *i, nonces, context)).collect();
    let nodes: Vec<_> = answers.iter().map(|(node, _)| *node).collect();
    let threshold = record.certificate.public.committee.threshold();
    let combiner = Combiner::new(threshold, &nodes).unwrap();
    let label = context.label();
    let fingerprint = world.cluster.fingerprint();
    let scope = Scope::new(fingerprint.as_bytes(), WRAP.as_bytes(), 1, &label);
    let by_item: Vec<Vec<_>> =
        (0..nonces.len()).map(|j| answers.iter().map(|(_, p)| p[j]).collect()).collect();
    let wrappings: Vec<_> = (nonces.iter().zip(&by_item))
        .map(|(nonce, partials)| Wrapping { header: b"", nonce: *nonce, partials })
        .collect();
    scope
        .keys(&combiner, &wrappings)
        .iter()
        .map(|k| *k.as_ref().ok().unwrap().commitment())
        .collect()
}

/// Refused with this reason, signed and logged; the share untouched.
fn refused(world: &World, ask: &Ask, reason: RefusalReason) -> Refusal {
    let (before, uses) = (world.nodes[0].audit().len(), world.nodes[0].uses());
    let refusal = world.refused(0, ask);
    assert_eq!(refusal.reason, reason);
    assert_eq!(world.nodes[0].audit().len(), before + 1);
    assert_eq!(world.nodes[0].uses(), uses);
    refusal
}

#[test]
fn every_quorum_gives_the_same_keys_also_after_a_refresh() {
    let (world, born) = world();
    let none = EncryptionContext::default();
    let first = keys(&world, &born, &[0, 1], &nonces(3), &none);
    for by in [[1, 2], [2, 0]] {
        assert_eq!(keys(&world, &born, &by, &nonces(3), &none), first);
    }
    assert_eq!(keys(&world, &born, &[0, 2], &nonces(1), &none), first[..1]);
    let app = EncryptionContext::new([("app".into(), "crm".into())].into()).unwrap();
    assert_ne!(keys(&world, &born, &[0, 1], &nonces(1), &app), first[..1]);

    let order = world.refresh_order(&born, &born.order);
    let descent = quorate_ceremony::Descent { birth: born.clone(), newest: None };
    let moved = world.move_shares(&order, descent, |_| {});
    assert_ne!(moved.certificate.public.epoch, born.certificate.public.epoch);
    assert_eq!(keys(&world, &moved, &[1, 2], &nonces(3), &none), first);
}

#[test]
fn a_wrapping_stands_in_the_audit_log_before_the_share_is_used() {
    let (world, record) = world();
    let ask = ask(&world, &nonces(1), &EncryptionContext::default());
    world.open(0, &world.bring(0, &ask).unwrap());
    let used_at = *world.nodes[0].watch.used_at.lock().unwrap().last().unwrap();
    let audit = world.nodes[0].audit();
    assert_eq!(used_at, audit.len() as u64);
    let Event::Request { head, decision, .. } = &audit.last().unwrap().event else {
        panic!("not a request")
    };
    assert_eq!(head, &ask.head.to_bytes());
    assert_eq!(decision, &Decision::Granted(record.certificate.public.epoch));
}

/// A nonce and nothing else: neither a point of the sender's choice nor a ciphertext.
#[test]
fn what_is_no_nonce_is_refused_and_named() {
    let (world, _) = world();
    let none = EncryptionContext::default();
    let bad = [vec![0; 15], vec![0; 17], encode_point(&B).to_vec(), world.item(&none), Vec::new()];
    for bad in bad {
        for at in 0..3 {
            let mut ask = ask(&world, &nonces(3), &none);
            let mut items = ask.items.clone();
            items[at] = bad.clone();
            ask = world.ask_for(items);
            ask.head.key = WRAP.parse().unwrap();
            ask.head.operation = Operation::Wrap;
            assert_eq!(refused(&world, &ask, RefusalReason::InvalidItem).item, Some(at as u16));
        }
    }
}

/// The attack of one key for two purposes: a wrapping's point, blinded, under an operation that
/// evaluates points; and the reverse.
#[test]
fn a_key_that_wraps_refuses_blinded_elements_and_the_reverse() {
    let (world, _) = world();
    let order = world.create_to(Purpose::Derive, 2, DERIVE, 1, Hash::default());
    world.give_birth(&order);
    let batch = Batch::new(&[b"alice"], &mut rand::rng()).unwrap();
    let element = batch.elements()[0].bytes().to_vec();
    let nonce = [7; 16].to_vec();
    for (key, operation, item) in [
        (WRAP, Operation::Derive, &element),
        (WRAP, Operation::Derive, &nonce),
        (WRAP, Operation::Decrypt, &element),
        (DERIVE, Operation::Wrap, &nonce),
        (DERIVE, Operation::Wrap, &element),
        (KEY, Operation::Wrap, &nonce),
    ] {
        let mut attack = world.ask_for(vec![item.clone()]);
        attack.head.key = key.parse().unwrap();
        attack.head.operation = operation;
        refused(&world, &attack, RefusalReason::WrongPurpose);
    }
}

#[test]
fn a_client_without_a_grant_wraps_nothing() {
    let (world, _) = world();
    let mut stranger = ask(&world, &nonces(1), &EncryptionContext::default());
    (stranger.head.client, stranger.signer) = (public(51), 51);
    refused(&world, &stranger, RefusalReason::NotGranted);
}
