//! Complaints: the blame is just, and they open nothing else (CRYPTO.md §5 row 26, §7).
#![allow(clippy::unwrap_used)] // a test

#[path = "committee/lib.rs"]
mod committee;

use committee::{CTX, Committee, coefficients, fault, index, model, random};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use quorate_crypto::{
    SecretScalar,
    complaint::{ComplainError, Complaint, Verdict, judge},
    dealing::{BadValue, DealingFault, OpenError},
};

/// Row 26: each kind of bad value, complained about by its receiver only.
#[test]
fn a_bad_value_is_complained_about_and_the_blame_is_just() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let off_by_one = |i, honest| {
        let honest = Scalar::from_canonical_bytes(honest).unwrap();
        if i == 2 { (honest + Scalar::ONE).to_bytes() } else { honest.to_bytes() }
    };
    let dealt = committee.model(1, coefficients(2)).deal_values(off_by_one);
    let verified = committee.verify(1, &dealt.bytes).unwrap();
    let error = verified.open(index(2), committee.secret(2)).unwrap_err();
    assert_eq!(error, OpenError::BadValue(BadValue::Mismatch));

    let rng = &mut rand::rng();
    let complaint = verified.complain(index(2), committee.secret(2), rng).unwrap();
    let complaint = Complaint::from_bytes(&complaint.to_bytes()).unwrap();
    assert_eq!(complaint.receiver(), index(2));
    assert_eq!(judge(&verified, &complaint), Verdict::DealerLied);

    assert!(verified.open(index(1), committee.secret(1)).is_ok());
    let refused = verified.complain(index(1), committee.secret(1), rng).unwrap_err();
    assert_eq!(refused, ComplainError::GoodValue);
}

/// Row 26: a dealer that seals to another key, with every proof right.
#[test]
fn a_value_sealed_to_another_key_is_a_proven_lie() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let mut lie = committee.model(1, coefficients(2));
    lie.receivers[1].1 = RistrettoPoint::mul_base(&random());
    let verified = committee.verify(1, &lie.deal().bytes).unwrap();
    let error = verified.open(index(2), committee.secret(2)).unwrap_err();
    assert_eq!(error, OpenError::BadValue(BadValue::Sealed));
    let complaint = verified.complain(index(2), committee.secret(2), &mut rand::rng()).unwrap();
    assert_eq!(judge(&verified, &complaint), Verdict::DealerLied);
}

/// Row 26: a receiver that lies about a good value, by every means that it has.
#[test]
fn a_false_complaint_falls_on_its_receiver() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let dealt = committee.model(1, coefficients(2)).deal();
    let verified = committee.verify(1, &dealt.bytes).unwrap();
    let secret = *committee.secret(2).expose();
    let context = model::complaint_context(&CTX, &dealt.bytes, &dealt.statement, 2);
    let file = |receiver: u16, shared: RistrettoPoint, proof: [u8; 64]| {
        let bytes = [&receiver.to_be_bytes()[..], &model::enc(&shared), &proof].concat();
        judge(&verified, &Complaint::from_bytes(&bytes).unwrap())
    };
    let prove = |k: &Scalar, shared: RistrettoPoint| {
        model::dleq(&context, k, &[dealt.ephemeral], &[shared], &[9; 32]).proof
    };
    let shared = secret * dealt.ephemeral;
    let wrong = shared + RistrettoPoint::mul_base(&Scalar::ONE);
    // The true point and proof: the value is seen to be good.
    assert_eq!(file(2, shared, prove(&secret, shared)), Verdict::ReceiverLied);
    // A wrong point that would open to rubbish, under a true or a foreign key.
    assert_eq!(file(2, wrong, prove(&secret, wrong)), Verdict::ReceiverLied);
    let other = random();
    let foreign = other * dealt.ephemeral;
    assert_eq!(file(2, foreign, prove(&other, foreign)), Verdict::ReceiverLied);
    // In another's name, and in the name of nobody.
    assert_eq!(file(1, shared, prove(&secret, shared)), Verdict::ReceiverLied);
    assert_eq!(file(44, shared, prove(&secret, shared)), Verdict::ReceiverLied);
}

/// Row 10: a true complaint with any bit flipped convicts nobody but its sender; and it
/// cannot be carried to another dealing.
#[test]
fn every_flipped_bit_of_a_complaint_is_seen() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let bad = |_, _| [1; 32];
    let verified = {
        let dealt = committee.model(1, coefficients(2)).deal_values(bad);
        committee.verify(1, &dealt.bytes).unwrap()
    };
    let complaint = verified.complain(index(2), committee.secret(2), &mut rand::rng()).unwrap();
    assert_eq!(judge(&verified, &complaint), Verdict::DealerLied);
    let bytes = complaint.to_bytes();
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let verdict = Complaint::from_bytes(&flipped).map(|c| judge(&verified, &c));
        assert!(verdict != Ok(Verdict::DealerLied), "bit {bit}");
    }
    let other = committee.model(1, coefficients(2)).deal_values(bad);
    let other = committee.verify(1, &other.bytes).unwrap();
    assert_eq!(judge(&other, &complaint), Verdict::ReceiverLied);
}

#[test]
fn a_foreign_ceremony_key_blames_nobody_and_reveals_nothing() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let dealing = committee.deal(1, &SecretScalar::random(&mut rand::rng()));
    let verified = committee.verify(1, &dealing.to_bytes()).unwrap();
    let wrong = OpenError::WrongKey(index(2));
    assert_eq!(verified.open(index(2), committee.secret(1)).unwrap_err(), wrong);
    let rng = &mut rand::rng();
    let refused = verified.complain(index(2), committee.secret(1), rng).unwrap_err();
    assert_eq!(refused, ComplainError::Receiver(wrong));
    let nobody = OpenError::NotReceiver(index(9));
    assert_eq!(verified.open(index(9), committee.secret(1)).unwrap_err(), nobody);
}

/// CRYPTO.md §7: dealer 3 copies the ephemeral point and a sealed value of honest dealer
/// 1, so that receiver 2's complaint about *its* dealing would open the honest value.
/// First shown to work against a receiver that skips the ephemeral proof.
#[test]
fn a_complaint_is_no_decryption_oracle() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let honest = committee.model(1, coefficients(2)).deal();
    let revealed = *committee.secret(2).expose() * honest.ephemeral;
    let at = &honest.sealed[1];
    let key = &committee.receivers.key(index(2)).unwrap();
    let opens =
        model::seal(&honest.statement, &honest.ephemeral, 2, key.point(), &revealed, at.value);
    assert_eq!(opens.sealed, at.sealed, "who learns the point, opens the honest value");

    let thief = committee.model(3, coefficients(2)).deal();
    let ephemeral = 2 + 64 + 64;
    for copy in [
        ephemeral..ephemeral + 32,         // the ephemeral point alone
        ephemeral..thief.bytes.len() - 64, // and the sealed values
        ephemeral..thief.bytes.len(),      // and the proof
    ] {
        let mut bytes = thief.bytes.clone();
        bytes[copy.clone()].copy_from_slice(&honest.bytes[copy]);
        let refused = committee.verify(3, &bytes).unwrap_err();
        assert_eq!(refused, fault(DealingFault::EphemeralKnowledge));
    }
    // The whole honest dealing in the thief's name fails one proof earlier.
    let refused = committee.verify(3, &honest.bytes).unwrap_err();
    assert_eq!(refused, fault(DealingFault::Knowledge));
}
