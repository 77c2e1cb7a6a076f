//! Every attack on the VOPRF that we know, and that it fails.

use super::{tests::Toy, *};
use crate::{
    SecretScalar,
    dleq::{DleqError, Proof},
    group::{B, encode_point},
    tdh2::tests::Stuck,
};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};

fn batch(n: usize) -> Batch {
    let inputs: Vec<[u8; 1]> = (0..n).map(|i| [i as u8]).collect();
    Batch::new(&inputs, &mut rand::rng()).unwrap()
}

const MISMATCH: PartialFault = PartialFault::Proof(DleqError::Mismatch);

#[test]
fn identity_and_non_canonical_elements_are_refused() {
    let mut negative = encode_point(&B);
    negative[0] ^= 1;
    let mut above_p = [0xff; 32];
    (above_p[0], above_p[31]) = (0xee, 0x7f); // p + 1, which is 1 when reduced
    let cases = [
        ([0; 32], DecodeError::Identity),
        (negative, DecodeError::Point),
        (above_p, DecodeError::Point),
        ([0xff; 32], DecodeError::Point),
    ];
    let (_, toy) = Toy::new();
    let batch = batch(2);
    let (good, proof) = toy.answer(1, batch.elements());
    for (bad, error) in cases {
        assert_eq!(BlindedElement::from_bytes(&bad), Err(error));
        for item in 0..good.len() {
            let mut partials = good.clone();
            partials[item] = bad;
            let fault = batch.verify(&toy.public(1), &partials, &proof).unwrap_err();
            assert_eq!(fault, PartialFault::Point { item });
        }
    }
}

#[test]
fn a_wrong_partial_in_any_place_is_refused() {
    let (_, toy) = Toy::new();
    for n in [1, 2, 5] {
        let batch = batch(n);
        let (good, proof) = toy.answer(1, batch.elements());
        let other = toy.answer(2, batch.elements()).0;
        for item in 0..good.len() {
            let mut partials = good.clone();
            partials[item] = other[item];
            // Also if the liar makes its best proof of them.
            let share = toy.share(1);
            let rng = &mut rand::rng();
            let own = prove(&share, &toy.public(1), batch.elements(), &partials, rng).unwrap();
            for proof in [&proof, &own] {
                let fault = batch.verify(&toy.public(1), &partials, proof).unwrap_err();
                assert_eq!(fault, MISMATCH, "{n}: {item}");
            }
        }
    }
}

#[test]
fn partials_in_another_order_or_number_are_refused() {
    let (_, toy) = Toy::new();
    let batch = batch(2);
    let (good, proof) = toy.answer(1, batch.elements());
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    assert_eq!(batch.verify(&toy.public(1), &swapped, &proof).unwrap_err(), MISMATCH);
    for wrong in [&good[..2], &[&good[..], &good[..1]].concat()[..], &[]] {
        let fault = batch.verify(&toy.public(1), wrong, &proof).unwrap_err();
        assert!(matches!(fault, PartialFault::Proof(DleqError::Length { .. })), "{fault}");
    }
}

/// Another node's answer, one of another epoch, and one of another key all fail under `Y_i`.
#[test]
fn an_answer_of_another_node_epoch_or_key_is_refused() {
    let (key, toy) = Toy::new();
    let (later, (_, other)) = (Toy::of(&key, 3), Toy::new());
    let batch = batch(2);
    for (partials, proof) in [
        toy.answer(2, batch.elements()),
        later.answer(1, batch.elements()),
        other.answer(1, batch.elements()),
    ] {
        assert_eq!(batch.verify(&toy.public(1), &partials, &proof).unwrap_err(), MISMATCH);
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_proof_is_refused() {
    let (_, toy) = Toy::new();
    let batch = batch(1);
    let (partials, proof) = toy.answer(1, batch.elements());
    for at in 0..64 {
        let mut bytes = proof.to_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = Proof::from_bytes(&bytes) else { continue };
        assert_eq!(batch.verify(&toy.public(1), &partials, &changed).unwrap_err(), MISMATCH);
    }
}

#[test]
fn a_proof_does_not_hold_for_another_batch() {
    let (_, toy) = Toy::new();
    let (one, two) = (batch(2), batch(2));
    let (partials, proof) = toy.answer(1, one.elements());
    assert_eq!(two.verify(&toy.public(1), &partials, &proof).unwrap_err(), MISMATCH);
}

/// A forger who can solve `Σ d_j·E_j = 0` satisfies the RFC's proof with wrong partials. The
/// search takes 2³³ steps for 1,024 items, too many for a test; so the forger is handed its
/// errors for weights that it knew beforehand, and the check element alone must stop it.
#[test]
fn errors_that_cancel_in_the_composites_are_stopped_by_the_check_element() {
    let (_, toy) = Toy::new();
    let batch = batch(3);
    let share = toy.share(1);
    let honest = evaluate(&share, batch.elements());
    // E_0 = B, E_1 = −B: as a solution would be for weights d_0 = d_1.
    let shift = |bytes: &PointBytes, by: RistrettoPoint| {
        let point = crate::group::decode_point(bytes).unwrap() + by;
        EncodedPoint::new(point).unwrap()
    };
    let mut points: Vec<_> = honest.iter().map(|p| EncodedPoint::decode(p).unwrap()).collect();
    assert!(batch.checked(&points).is_ok(), "an honest node's partials fit");
    points[0] = shift(&honest[0], B);
    points[1] = shift(&honest[1], -B);
    assert_eq!(batch.checked(&points).unwrap_err(), PartialFault::Check);
    // And for the item that the check is.
    let last = honest.len() - 1;
    points = honest.iter().map(|p| EncodedPoint::decode(p).unwrap()).collect();
    points[last] = shift(&honest[last], B);
    assert_eq!(batch.checked(&points).unwrap_err(), PartialFault::Check);
    // All under another key fits, as it must: that is the proof's part.
    let other = SecretScalar::new(share.expose() + Scalar::ONE);
    let other = evaluate(&other, batch.elements());
    let points: Vec<_> = other.iter().map(|p| EncodedPoint::decode(p).unwrap()).collect();
    assert!(batch.checked(&points).is_ok());
    let proof = prove(&share, &toy.public(1), batch.elements(), &other, &mut rand::rng()).unwrap();
    assert_eq!(batch.verify(&toy.public(1), &other, &proof).unwrap_err(), MISMATCH);
}

/// Why a key has one purpose: the same multiplication under a TDH2 key decrypts. The attacker
/// blinds a ciphertext's `U` and is handed the key's secret point.
#[test]
fn why_a_key_has_one_purpose() {
    let (key, toy) = Toy::new();
    let sender = SecretScalar::random(&mut rand::rng());
    let u = sender.public();
    let element = BlindedElement::from_bytes(&encode_point(&u)).unwrap();
    let partials = evaluate(&toy.share(1), &[element]);
    assert_eq!(partials[0], encode_point(&(u * toy.share(1).expose())), "a TDH2 partial");
    let whole = evaluate(&key, &[element]);
    assert_eq!(whole[0], encode_point(&(key.public() * sender.expose())), "r·Y");
}

/// Two statements under one nonce would give the share away: `s − s' = (c' − c)·k`.
#[test]
fn a_repeating_generator_repeats_no_nonce() {
    let (_, toy) = Toy::new();
    let share = toy.share(1);
    let proof = |batch: &Batch| {
        let partials = evaluate(&share, batch.elements());
        prove(&share, &toy.public(1), batch.elements(), &partials, &mut Stuck).unwrap()
    };
    let (one, two) = (proof(&batch(1)), proof(&batch(1)));
    let difference = (two.challenge - one.challenge).invert();
    assert_ne!((one.response - two.response) * difference, *share.expose());
}
