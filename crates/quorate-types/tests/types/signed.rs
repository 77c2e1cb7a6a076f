//! Signatures over one body: one for each signer, strictly verified.

use crate::fixtures::*;
use quorate_crypto::hash::Label;
use quorate_types::{signed::Signer, *};

const OTHER: Fingerprint = Fingerprint([1; 32]);

fn count(signed: &Signed, fingerprint: &Fingerprint) -> usize {
    signed.valid(Label::SIG_ORDER, fingerprint, |k| genesis().is_operator(k)).count()
}

#[test]
fn only_distinct_operators_count() {
    let fingerprint = *cluster().fingerprint();
    let mut signed = Signed::unsigned(b"body".to_vec());
    for n in [101, 101, 101] {
        signed.sign(&key(n), Label::SIG_ORDER, &fingerprint);
    }
    assert_eq!(signed.signers().len(), 1, "one signer, one signature");
    assert_eq!(count(&signed, &fingerprint), 1);
    signed.sign(&key(1), Label::SIG_ORDER, &fingerprint); // a node is no operator
    assert_eq!(count(&signed, &fingerprint), 1);
    signed.sign(&key(103), Label::SIG_ORDER, &fingerprint);
    assert_eq!(count(&signed, &fingerprint), 2);
}

#[test]
fn signatures_for_another_cluster_purpose_or_body_do_not_count() {
    let fingerprint = *cluster().fingerprint();
    let mut foreign = Signed::unsigned(b"body".to_vec());
    foreign.sign(&key(101), Label::SIG_ORDER, &OTHER);
    assert_eq!(count(&foreign, &fingerprint), 0);
    let mut purpose = Signed::unsigned(b"body".to_vec());
    purpose.sign(&key(101), Label::SIG_ROSTER, &fingerprint);
    assert_eq!(count(&purpose, &fingerprint), 0);
    let mut body = Signed::unsigned(b"body".to_vec());
    body.sign(&key(101), Label::SIG_ORDER, &fingerprint);
    body.body[0] ^= 1;
    assert_eq!(count(&body, &fingerprint), 0);
}

#[test]
fn a_signature_under_anothers_key_does_not_count() {
    let fingerprint = *cluster().fingerprint();
    let mut signed = Signed::unsigned(b"body".to_vec());
    let signature = key(101).sign(Label::SIG_ORDER, fingerprint.as_bytes(), b"body");
    signed.add(Signer { key: public(102), signature });
    assert_eq!(count(&signed, &fingerprint), 0);
}

/// One signature repeated in the bytes would be read as two signers.
#[test]
fn repeated_and_unsorted_signers_do_not_parse() {
    let fingerprint = *cluster().fingerprint();
    let mut signed = Signed::unsigned(b"body".to_vec());
    signed.sign(&key(101), Label::SIG_ORDER, &fingerprint);
    signed.sign(&key(102), Label::SIG_ORDER, &fingerprint);
    let good = SignedOrder(signed.clone()).to_bytes();
    assert!(SignedOrder::from_bytes(&good).is_ok());
    let signers = good.len() - 2 * 96;
    let (first, second) = (&good[signers..signers + 96], &good[signers + 96..]);
    for pair in [[first, first], [second, first]] {
        let bytes = [&good[..signers], pair[0], pair[1]].concat();
        let error = SignedOrder::from_bytes(&bytes).unwrap_err().to_string();
        assert!(error.contains("strictly ascending"), "{error}");
    }
}
