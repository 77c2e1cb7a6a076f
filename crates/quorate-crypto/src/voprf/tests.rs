//! What holds when everybody is honest, and what is refused at the door.

use super::*;
use crate::{
    SecretScalar, ShareIndex, Threshold,
    dleq::Proof,
    group::Group,
    sharing::{CombineError, Commitments, Polynomial},
};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};

pub(super) fn hex32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// A key shared among five.
pub(crate) struct Toy {
    pub(crate) t: Threshold,
    pub(super) polynomial: Polynomial,
    pub(super) commitments: Commitments,
}

impl Toy {
    pub(crate) fn of(key: &SecretScalar, t: u16) -> Self {
        let t = Threshold::new(t, 5).unwrap();
        let polynomial = Polynomial::random(t, key, &mut rand::rng()).unwrap();
        let commitments = polynomial.commit(Group::Ristretto255);
        Self { t, polynomial, commitments }
    }

    pub(crate) fn new() -> (SecretScalar, Self) {
        let key = SecretScalar::random(&mut rand::rng());
        let toy = Self::of(&key, 3);
        (key, toy)
    }

    pub(crate) fn share(&self, i: u16) -> SecretScalar {
        self.polynomial.evaluate(ShareIndex::new(i).unwrap())
    }

    pub(crate) fn public(&self, i: u16) -> EncodedPoint {
        self.commitments.ristretto_at(ShareIndex::new(i).unwrap()).unwrap()
    }

    pub(crate) fn answer(&self, i: u16, elements: &[BlindedElement]) -> (Vec<PointBytes>, Proof) {
        let share = self.share(i);
        let partials = evaluate(&share, elements);
        let rng = &mut rand::rng();
        let proof = prove(&share, &self.public(i), elements, &partials, rng).unwrap();
        (partials, proof)
    }

    /// The outputs of a batch by these nodes.
    pub(super) fn derive(&self, batch: &Batch, nodes: &[u16]) -> Vec<[u8; 64]> {
        let one = |i: &u16| {
            let (partials, proof) = self.answer(*i, batch.elements());
            let verified = batch.verify(&self.public(*i), &partials, &proof).unwrap();
            (ShareIndex::new(*i).unwrap(), verified)
        };
        let nodes: Vec<_> = nodes.iter().map(one).collect();
        let outputs = batch.finalize(self.t, &nodes).unwrap();
        outputs.iter().map(|o| *o.expose()).collect()
    }
}

/// A node's partials, proved and verified without a batch's check.
pub(super) fn verified_alone(toy: &Toy, i: u16, elements: &[BlindedElement]) -> Vec<EncodedPoint> {
    let (partials, proof) = toy.answer(i, elements);
    verify(&toy.public(i), elements, &partials, &proof).unwrap()
}

/// The slow model: the function itself, without blinding, sharing or batch (RFC 9497 §3.3.1,
/// Evaluate).
pub(super) fn model(key: &SecretScalar, input: &[u8]) -> [u8; 64] {
    let point: RistrettoPoint = rfc::hash_to_group(input) * key.expose();
    let mut message = Vec::new();
    for part in [input, &crate::group::encode_point(&point)] {
        message.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        message.extend(part);
    }
    message.extend(b"Finalize");
    rfc::hash(&[&message])
}

#[test]
fn the_output_is_that_of_the_whole_key_from_every_quorum_and_epoch() {
    let (key, toy) = Toy::new();
    let later = Toy::of(&key, 3);
    let longest = vec![7; MAX_INPUT];
    let inputs: [&[u8]; 4] = [b"", b"a", b"the input", &longest];
    let expected: Vec<_> = inputs.iter().map(|i| model(&key, i)).collect();
    for _ in 0..2 {
        let batch = Batch::new(&inputs, &mut rand::rng()).unwrap();
        assert_eq!(batch.elements().len(), 5, "four inputs and the check element");
        for nodes in [[1, 2, 3], [3, 4, 5], [5, 1, 4]] {
            assert_eq!(toy.derive(&batch, &nodes), expected);
            assert_eq!(later.derive(&batch, &nodes), expected);
        }
    }
    let one = Batch::new(&[b"a"], &mut rand::rng()).unwrap();
    assert_eq!(one.elements().len(), 1);
    assert_eq!(toy.derive(&one, &[2, 3, 4]), [expected[1]]);
}

#[test]
fn a_full_batch_is_derived() {
    let (key, toy) = Toy::new();
    let inputs: Vec<[u8; 2]> = (0..MAX_INPUTS as u16).map(u16::to_be_bytes).collect();
    let batch = Batch::new(&inputs, &mut rand::rng()).unwrap();
    assert_eq!(batch.elements().len(), MAX_BATCH);
    let outputs = toy.derive(&batch, &[1, 3, 5]);
    for at in [0, 500, MAX_INPUTS - 1] {
        assert_eq!(outputs[at], model(&key, &inputs[at]));
    }
}

#[test]
fn no_two_requests_for_one_input_look_alike() {
    let elements: Vec<_> = (0..3)
        .flat_map(|_| Batch::new(&[b"a", b"a"], &mut rand::rng()).unwrap().elements().to_vec())
        .collect();
    for (i, a) in elements.iter().enumerate() {
        assert!(elements[..i].iter().all(|b| a != b));
    }
}

#[test]
fn a_blind_of_zero_is_refused() {
    let zero = SecretScalar::new(Scalar::ZERO);
    assert_eq!(Blinding::with(b"a", zero).unwrap_err(), BlindError::Zero);
}

#[test]
fn lengths_and_counts_out_of_bounds_are_refused() {
    let rng = &mut rand::rng();
    let long = vec![0; MAX_INPUT + 1];
    assert_eq!(Blinding::new(&long, rng).unwrap_err(), BlindError::TooLong(MAX_INPUT + 1));
    assert_eq!(Batch::new(&[[0; 1]; 0], rng).unwrap_err(), BlindError::Count(0));
    let many = vec![[0; 1]; MAX_INPUTS + 1];
    assert_eq!(Batch::new(&many, rng).unwrap_err(), BlindError::Count(MAX_INPUTS + 1));
}

#[test]
fn fewer_than_t_nodes_or_one_twice_derive_nothing() {
    let (_, toy) = Toy::new();
    let batch = Batch::new(&[b"a"], &mut rand::rng()).unwrap();
    let verified = |i: u16| {
        let (partials, proof) = toy.answer(i, batch.elements());
        let verified = batch.verify(&toy.public(i), &partials, &proof).unwrap();
        (ShareIndex::new(i).unwrap(), verified)
    };
    let two = [verified(1), verified(2)];
    let few = CombineError::TooFew { expected: 3, got: 2 };
    assert_eq!(batch.finalize(toy.t, &two).unwrap_err(), few);
    let twice = [verified(1), verified(2), verified(1)];
    let index = ShareIndex::new(1).unwrap();
    assert_eq!(batch.finalize(toy.t, &twice).unwrap_err(), CombineError::Duplicate(index));
}

#[test]
fn secrets_print_nothing_and_are_wiped() {
    let batch = Batch::new(&[b"secret", b"second"], &mut rand::rng()).unwrap();
    assert_eq!(format!("{batch:?}"), "Batch(2 inputs, [redacted])");
    assert_eq!(
        format!("{:?}", Blinding::new(b"secret", &mut rand::rng()).unwrap()),
        "Blinding([redacted])"
    );
    assert!(std::mem::needs_drop::<Blinding>());
    assert!(std::mem::needs_drop::<VerifiedPartials>());
}

/// A byte moved between context and input, and no context, are other inputs.
#[test]
fn a_private_input_is_unambiguous() {
    let all = [(&b"ab"[..], &b"c"[..]), (b"a", b"bc"), (b"", b"abc"), (b"abc", b"")];
    let hashed = all.map(|(context, input)| *private_input(context, input).expose());
    for (i, a) in hashed.iter().enumerate() {
        assert!(hashed[..i].iter().all(|b| a != b));
    }
    assert_eq!(hashed[0], crate::hash::hash(crate::hash::Label::VOPRF_INPUT, &[b"ab", b"c"]));
}
