//! Every attack on wrapping that we know, and that it fails.

use super::{tests::*, *};
use crate::{
    dleq::DleqError,
    group::{B, decode_point, encode_point},
    tdh2::PartialFault,
    voprf::{self, tests::Toy},
};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use std::collections::BTreeSet;

/// Each part of what a wrapping is bound to gives another point and another key, also where the
/// bytes one after the other are the same.
#[test]
fn every_part_of_the_scope_counts() {
    let fingerprint = [0xf2; 32];
    let scopes = [
        Scope::new(&FINGERPRINT, b"payroll", 1, b"context"),
        Scope::new(&fingerprint, b"payroll", 1, b"context"),
        Scope::new(&FINGERPRINT, b"payrol", 1, b"lcontext"),
        Scope::new(&FINGERPRINT, b"payroll", 2, b"context"),
        Scope::new(&FINGERPRINT, b"payroll", 1, b"contex"),
        Scope::new(&FINGERPRINT, b"payroll", 1, b""),
    ];
    let mut seen = BTreeSet::new();
    for scope in &scopes {
        for nonce in [[1; NONCE_LEN], [2; NONCE_LEN]] {
            assert!(seen.insert(*scope.point(&nonce).unwrap().0.bytes()));
            for header in [&b""[..], b"head"] {
                // One point for all: what differs is what the key is derived from.
                let key = OneTimeKey::new(scope, header, &nonce, &[1; 32]);
                assert!(seen.insert(*key.commitment()));
            }
        }
    }
}

/// A node that lies about any item of a batch is found by its proof.
#[test]
fn a_wrong_partial_in_any_place_is_refused() {
    let (_, toy) = Toy::new();
    let scope = scope(b"");
    for n in [1, 2, 5] {
        let points = points(&scope, n);
        let (good, proof) = answer(&toy, 1, &points);
        for item in 0..n {
            let mut bad = good.clone();
            bad[item] = encode_point(&(decode_point(&bad[item]).unwrap() + B));
            let fault = verify(b"ctx", &toy.public(1), &points, &bad, &proof).unwrap_err();
            assert_eq!(fault, PartialFault::Proof(DleqError::Mismatch));
        }
    }
}

/// Errors that cancel under the weights of RFC 9497, each a hash of one pair, do not cancel here:
/// every weight is hashed from the whole statement.
#[test]
fn errors_that_cancel_in_a_sum_are_refused() {
    let (_, toy) = Toy::new();
    let points = points(&scope(b""), 2);
    let (mut partials, _) = answer(&toy, 1, &points);
    for (item, error) in [(0, Scalar::ONE), (1, -Scalar::ONE)] {
        let point: RistrettoPoint = decode_point(&partials[item]).unwrap() + B * error;
        partials[item] = encode_point(&point);
    }
    let (share, public) = (toy.share(1), toy.public(1));
    let forged = prove(b"ctx", &share, &public, &points, &partials, &mut rand::rng()).unwrap();
    let fault = verify(b"ctx", &public, &points, &partials, &forged).unwrap_err();
    assert_eq!(fault, PartialFault::Proof(DleqError::Mismatch));
}

/// A proof is for one context, one node's share of one epoch, and these points in this order.
#[test]
fn a_proof_serves_nothing_else() {
    let (key, toy) = Toy::new();
    let later = Toy::of(&key, 3);
    let points = points(&scope(b""), 2);
    let (partials, proof) = answer(&toy, 1, &points);
    let swapped = [points[1], points[0]];
    let other = super::tests::points(&scope(b"another"), 2);
    for (context, public, points) in [
        (&b"other"[..], toy.public(1), &points[..]),
        (b"ctx", toy.public(2), &points),
        (b"ctx", later.public(1), &points),
        (b"ctx", toy.public(1), &swapped),
        (b"ctx", toy.public(1), &other),
    ] {
        assert!(verify(context, &public, points, &partials, &proof).is_err());
    }
    verify(b"ctx", &toy.public(1), &points, &partials, &proof).unwrap();
}

/// Fewer nodes, a node twice, partials of two epochs: no key, or one that the commitment refuses.
#[test]
fn nothing_but_a_quorum_of_one_epoch_gives_the_key() {
    let (key, toy) = Toy::new();
    let later = Toy::of(&key, 3);
    let scope = scope(b"");
    let commitment = keys(&toy, &scope, &[1, 2, 3], 1)[0].1;
    let points = points(&scope, 1);
    let of = |toy: &Toy, i| answer(toy, i, &points).0[0];
    let mixed = [of(&toy, 1), of(&toy, 2), of(&later, 3)];
    let few = [of(&toy, 1), of(&toy, 2)];
    let combiner = combiner(&toy, &[1, 2, 3]);
    let open = |partials: &[PointBytes]| {
        let wrapping = Wrapping { header: b"head", nonce: [0; NONCE_LEN], partials };
        scope.keys(&combiner, &[wrapping]).remove(0)?.committed(&commitment).map(drop)
    };
    assert_eq!(open(&mixed), Err(OpenError::Commitment));
    assert_eq!(open(&few), Err(OpenError::Count { expected: 3, got: 2 }));
    assert_eq!(open(&[of(&toy, 1), of(&toy, 2), of(&toy, 3)]), Ok(()));
    // A node that answers what is no point is named, and spoils nobody else's key.
    let junk = [of(&toy, 1), [0xff; 32], of(&toy, 3)];
    assert!(matches!(open(&junk), Err(OpenError::Partial { index }) if index.get() == 2));
}

/// Why a key never both derives and wraps: who may derive could have the point of any nonce
/// evaluated, blinded, and would unwrap what no node's policy has seen.
#[test]
fn a_key_that_also_derived_would_unwrap() {
    let (_, toy) = Toy::new();
    let point = points(&scope(b"secret context"), 1)[0];
    let blind = Scalar::from(12_345_u64);
    let blinded = encode_point(&(point.0.point() * blind));
    let element = voprf::BlindedElement::from_bytes(&blinded).unwrap();
    let (evaluated, _) = toy.answer(1, &[element]);
    let unblinded = decode_point(&evaluated[0]).unwrap() * blind.invert();
    assert_eq!(encode_point(&unblinded), partials(&toy.share(1), &[point])[0]);
}
