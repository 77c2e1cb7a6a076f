//! Sharing and decoding against the slow model, on random input.
#![allow(clippy::unwrap_used)] // a test

#[path = "model/lib.rs"]
mod model;

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use proptest::{
    collection::{btree_set, vec},
    prelude::*,
    strategy::ValueTree,
};
use quorate_crypto::{
    MAX_COMMITTEE, SecretScalar, ShareIndex, Threshold,
    complaint::Complaint,
    dealing::Dealing,
    dleq,
    group::Group,
    sharing::{Commitments, Polynomial, combine_points, lagrange_at_zero, reconstruct},
};

fn scalar() -> impl Strategy<Value = Scalar> {
    any::<[u8; 32]>().prop_map(|b| Scalar::from_bytes_mod_order(b) + Scalar::ONE)
}

/// A polynomial and at least as many indices as it has coefficients, in any order.
fn sharing() -> impl Strategy<Value = (Vec<Scalar>, Vec<u16>)> {
    (2usize..8).prop_flat_map(|t| {
        let indices = btree_set(1u16.., t..t + 4).prop_map(Vec::from_iter).prop_shuffle();
        (vec(scalar(), t), indices)
    })
}

fn ours(coefficients: &[Scalar]) -> (Threshold, Polynomial) {
    let t = Threshold::new(coefficients.len() as u16, MAX_COMMITTEE).unwrap();
    let bytes: Vec<u8> = coefficients.iter().flat_map(Scalar::to_bytes).collect();
    (t, Polynomial::from_bytes(t, &bytes).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sharing_agrees_with_the_model((coefficients, indices) in sharing()) {
        let (t, f) = ours(&coefficients);
        let commitments = f.commit(Group::Ristretto255);
        let points = model::commit(&coefficients);
        prop_assert_eq!(commitments.bytes(), points.iter().map(model::enc).collect::<Vec<_>>());
        let again = Commitments::from_bytes(Group::Ristretto255, t, commitments.bytes()).unwrap();
        prop_assert_eq!(&again, &commitments);

        let mut shares = Vec::new();
        for i in &indices {
            let index = ShareIndex::new(*i).unwrap();
            let share = f.evaluate(index);
            prop_assert_eq!(*share.expose(), model::evaluate(&coefficients, *i));
            prop_assert_eq!(commitments.at(index), model::commitment_at(&points, *i).into());
            prop_assert!(commitments.verify_share(index, &share));
            let wrong = SecretScalar::new(share.expose() + Scalar::ONE);
            prop_assert!(!commitments.verify_share(index, &wrong));
            shares.push((index, share));
        }
        let secret = reconstruct(&commitments, &shares).unwrap();
        prop_assert_eq!(*secret.expose(), coefficients[0]);

        let base = RistrettoPoint::mul_base(&Scalar::from(9_u64));
        let partials: Vec<_> = shares.iter().map(|(i, s)| (*i, s.expose() * base)).collect();
        prop_assert_eq!(combine_points(t, &partials).unwrap(), coefficients[0] * base);
    }

    #[test]
    fn lagrange_agrees_with_the_model(indices in btree_set(1u16.., 1..12)) {
        let ours: Vec<_> = indices.iter().map(|i| ShareIndex::new(*i).unwrap()).collect();
        let theirs = model::lagrange(&Vec::from_iter(indices));
        prop_assert_eq!(lagrange_at_zero(&ours).unwrap(), theirs);
    }

    #[test]
    fn weighted_sums_agree_with_the_model(
        (a, b) in (2usize..6).prop_flat_map(|t| (vec(scalar(), t), vec(scalar(), t))),
        (v, w) in (scalar(), scalar()),
    ) {
        let sum: Vec<Scalar> = a.iter().zip(&b).map(|(a, b)| v * a + w * b).collect();
        let (a, b) = (ours(&a).1.commit(Group::Ristretto255), ours(&b).1.commit(Group::Ristretto255));
        let weighted = Commitments::weighted_sum(&[(v, &a), (w, &b)]).unwrap();
        prop_assert_eq!(weighted.bytes(), model::commit(&sum).iter().map(model::enc).collect::<Vec<_>>());
    }

    #[test]
    fn batch_proofs_agree_with_the_model(
        (k, logs, context) in (scalar(), vec(scalar(), 1..6), vec(any::<u8>(), 0..40)),
    ) {
        let inputs = model::commit(&logs);
        let outputs: Vec<_> = inputs.iter().map(|c| k * c).collect();
        let fresh = model::VectorRng::new("dleq").bytes();
        let theirs = model::dleq(&context, &k, &inputs, &outputs, &fresh);
        let secret = SecretScalar::new(k);
        let rng = &mut model::VectorRng::new("dleq");
        let ours = dleq::prove(&context, &secret, &secret.public(), &inputs, &outputs, rng);
        prop_assert_eq!(ours.unwrap().to_bytes(), theirs.proof);
    }
}

/// Attack 27: decoders on hostile bytes. A dealing's and a complaint's skeleton is made
/// likely, so that the fuzzer gets past the first count.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let skeleton = (0u16..5, 0u16..5, vec(any::<u8>(), 0..600)).prop_map(|(t, n, noise)| {
        let at = 2 + 32 * usize::from(t) + 96;
        let mut bytes = t.to_be_bytes().to_vec();
        bytes.extend(noise);
        bytes.resize(bytes.len().max(at + 2), 0);
        bytes[at..at + 2].copy_from_slice(&n.to_be_bytes());
        for j in 0..usize::from(n) {
            bytes.resize(bytes.len().max(at + 2 + 50 * (j + 1)), 1);
            bytes[at + 2 + 50 * j..][..2].copy_from_slice(&(j as u16 + 1).to_be_bytes());
        }
        bytes.resize(at + 2 + 50 * usize::from(n) + 64, 3);
        bytes
    });
    prop_oneof![vec(any::<u8>(), 0..400), skeleton]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn decoders_never_panic_and_have_one_encoding(bytes in hostile(), extra in any::<u8>()) {
        if let Ok(dealing) = Dealing::from_bytes(&bytes) {
            prop_assert_eq!(dealing.to_bytes(), &bytes[..]);
            let longer = [&bytes[..], &[extra]].concat();
            prop_assert!(Dealing::from_bytes(&longer).is_err(), "trailing byte");
            prop_assert!(Dealing::from_bytes(&bytes[..bytes.len() - 1]).is_err(), "cut short");
        }
        if let Ok(complaint) = Complaint::from_bytes(&bytes) {
            prop_assert_eq!(&complaint.to_bytes()[..], &bytes[..]);
        }
        let t = Threshold::new(2, 2).unwrap();
        let _ = Polynomial::from_bytes(t, &bytes);
        if let Some(proof) = bytes.first_chunk::<64>()
            && let Ok(decoded) = dleq::Proof::from_bytes(proof)
        {
            prop_assert_eq!(&decoded.to_bytes(), proof);
        }
    }
}

/// The fuzzer's skeleton does reach a whole dealing.
#[test]
fn the_fuzzer_reaches_whole_dealings() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let whole = (0..200)
        .filter(|_| {
            let bytes = hostile().new_tree(&mut runner).unwrap().current();
            Dealing::from_bytes(&bytes).is_ok()
        })
        .count();
    assert!(whole > 10, "only {whole} of 200");
}

/// Attack 27: a claimed length allocates nothing.
#[test]
fn huge_counts_are_refused_at_once() {
    let mut bytes = vec![0xff; 2];
    assert!(Dealing::from_bytes(&bytes).is_err());
    bytes = vec![0, 65];
    bytes.resize(1 << 16, 1);
    assert!(Dealing::from_bytes(&bytes).is_err());
}
