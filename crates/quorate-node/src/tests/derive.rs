//! Deriving: what a node answers under a key of that purpose, and that a key of one purpose
//! refuses the other's requests.

use super::fixture::*;
use quorate_crypto::{
    ShareIndex,
    dleq::Proof,
    group::{B, encode_point},
    tdh2,
    voprf::{Batch, VerifiedPartials},
};
use quorate_types::*;

const DERIVE: &str = "ids";

/// As [`World::with_key`], with a second key that derives, granted to client 50.
fn world() -> (World, KeyRecord) {
    let world = World::with_key();
    let order = world.create_to(Purpose::Derive, 2, DERIVE, 1, Hash::default());
    let record = world.give_birth(&order);
    (world, record)
}

/// A request of client 50 for these elements under the key that derives.
fn ask(world: &World, items: Vec<Vec<u8>>) -> Ask {
    let mut ask = world.ask_for(items);
    ask.head.key = DERIVE.parse().unwrap();
    ask.head.operation = Operation::Derive;
    ask.head.prove = true;
    ask
}

fn items(batch: &Batch) -> Vec<Vec<u8>> {
    batch.elements().iter().map(|e| e.bytes().to_vec()).collect()
}

/// What node `i` answers, verified under its `Y_i` of the epoch in `record`.
fn verified(
    world: &World,
    record: &KeyRecord,
    i: usize,
    batch: &Batch,
) -> (ShareIndex, VerifiedPartials) {
    let public = &record.certificate.public;
    let (sealed, answer) = world.open(i, &world.bring(i, &ask(world, items(batch))).unwrap());
    assert_eq!(sealed.epoch, public.epoch);
    let index = world.nodes[i].core.index();
    let commitments = public.decode_commitments().unwrap();
    let own = commitments.ristretto_at(index).unwrap();
    let proof = Proof::from_bytes(&answer.proof.unwrap()).unwrap();
    (index, batch.verify(&own, &answer.partials, &proof).unwrap())
}

fn derive(world: &World, record: &KeyRecord, nodes: &[usize], inputs: &[&[u8]]) -> Vec<[u8; 64]> {
    let batch = Batch::new(inputs, &mut rand::rng()).unwrap();
    let nodes: Vec<_> = nodes.iter().map(|i| verified(world, record, *i, &batch)).collect();
    let threshold = record.certificate.public.committee.threshold();
    batch.finalize(threshold, &nodes).unwrap().iter().map(|o| *o.expose()).collect()
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
fn every_quorum_derives_the_same_also_after_a_refresh() {
    let (world, born) = world();
    let inputs: [&[u8]; 3] = [b"alice", b"bob", b"alice"];
    let first = derive(&world, &born, &[0, 1], &inputs);
    assert_eq!(first[0], first[2]);
    assert_ne!(first[0], first[1]);
    for nodes in [[1, 2], [2, 0]] {
        assert_eq!(derive(&world, &born, &nodes, &inputs), first);
    }
    assert_eq!(derive(&world, &born, &[0, 2], &inputs[..1]), first[..1]);

    let order = world.refresh_order(&born, &born.order);
    let descent = quorate_ceremony::Descent { birth: born.clone(), newest: None };
    let moved = world.move_shares(&order, descent, |_| {});
    assert_ne!(moved.certificate.public.epoch, born.certificate.public.epoch);
    assert_eq!(derive(&world, &moved, &[1, 2], &inputs), first);
}

#[test]
fn a_derivation_stands_in_the_audit_log_before_the_share_is_used() {
    let (world, record) = world();
    let batch = Batch::new(&[b"alice"], &mut rand::rng()).unwrap();
    let ask = ask(&world, items(&batch));
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

#[test]
fn a_request_of_1024_elements_is_answered() {
    let (world, record) = world();
    let inputs: Vec<[u8; 2]> = (0..1023_u16).map(u16::to_be_bytes).collect();
    let batch = Batch::new(&inputs, &mut rand::rng()).unwrap();
    assert_eq!(batch.elements().len(), 1024);
    verified(&world, &record, 0, &batch);
}

/// The attack of one secret for two purposes: a ciphertext's `U` is offered as a blinded
/// element. A node that evaluated it would decrypt for whoever may not, past the ciphertext's
/// proof and its context.
#[test]
fn a_ciphertexts_point_offered_as_a_blinded_element_is_refused_under_a_key_that_decrypts() {
    let (world, _) = world();
    let victim = CiphertextHead::from_bytes(&world.item(&EncryptionContext::default())).unwrap();
    let u = victim.kem[..32].to_vec();
    tdh2::Ciphertext::from_bytes(&victim.kem).unwrap();

    let mut attack = ask(&world, vec![u.clone()]);
    attack.head.key = KEY.parse().unwrap();
    refused(&world, &attack, RefusalReason::WrongPurpose);
    // The same point under the operation that the key allows is no ciphertext.
    attack = attack.again(1);
    attack.head.operation = Operation::Decrypt;
    assert_eq!(refused(&world, &attack, RefusalReason::InvalidItem).item, Some(0));
}

#[test]
fn a_key_that_derives_refuses_to_decrypt() {
    let (world, _) = world();
    let batch = Batch::new(&[b"alice"], &mut rand::rng()).unwrap();
    for item in [world.item(&EncryptionContext::default()), items(&batch).remove(0)] {
        let mut attack = ask(&world, vec![item]);
        attack.head.operation = Operation::Decrypt;
        refused(&world, &attack, RefusalReason::WrongPurpose);
    }
}

#[test]
fn what_is_no_blinded_element_is_refused_and_named() {
    let (world, _) = world();
    let batch = Batch::new(&["alice", "bob"], &mut rand::rng()).unwrap();
    let mut negative = encode_point(&B).to_vec();
    negative[0] ^= 1;
    let short = items(&batch)[0][..31].to_vec();
    let long = [&items(&batch)[0][..], &[0]].concat();
    let bad = [vec![0; 32], vec![0xff; 32], negative, short, long, Vec::new()];
    for bad in bad {
        for at in 0..3 {
            let mut items = items(&batch);
            items[at] = bad.clone();
            let refusal = refused(&world, &ask(&world, items), RefusalReason::InvalidItem);
            assert_eq!(refusal.item, Some(at as u16));
        }
    }
}

#[test]
fn a_client_without_a_grant_derives_nothing() {
    let (world, _) = world();
    let batch = Batch::new(&[b"alice"], &mut rand::rng()).unwrap();
    let mut stranger = ask(&world, items(&batch));
    (stranger.head.client, stranger.signer) = (public(51), 51);
    refused(&world, &stranger, RefusalReason::NotGranted);
}
