//! Every way in which a proof of equal logarithms must fail.
#![allow(clippy::unwrap_used)] // a test

use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_POINT as B, ristretto::RistrettoPoint, scalar::Scalar,
    traits::Identity,
};
use quorate_crypto::{
    SecretScalar,
    dleq::{DleqError, MAX_BATCH, PROOF_LEN, Proof, prove, verify},
    group::decode_scalar,
};

struct Statement {
    secret: SecretScalar,
    public: RistrettoPoint,
    inputs: Vec<RistrettoPoint>,
    outputs: Vec<RistrettoPoint>,
}

fn statement(n: usize) -> Statement {
    let secret = SecretScalar::random(&mut rand::rng());
    let inputs: Vec<_> = (0..n).map(|_| RistrettoPoint::random(&mut rand::rng())).collect();
    let outputs = inputs.iter().map(|c| c * secret.expose()).collect();
    Statement { public: secret.public(), secret, inputs, outputs }
}

impl Statement {
    fn prove(&self, context: &[u8]) -> Proof {
        let rng = &mut rand::rng();
        prove(context, &self.secret, &self.public, &self.inputs, &self.outputs, rng).unwrap()
    }

    fn verify(&self, context: &[u8], proof: &Proof) -> Result<(), DleqError> {
        verify(context, &self.public, &self.inputs, &self.outputs, proof)
    }
}

#[test]
fn a_true_statement_of_any_size_verifies() {
    for n in [1, 2, 3, 64, 200] {
        let st = statement(n);
        let proof = Proof::from_bytes(&st.prove(b"ctx").to_bytes()).unwrap();
        assert_eq!(st.verify(b"ctx", &proof), Ok(()));
    }
}

#[test]
fn one_wrong_pair_in_a_batch_is_seen() {
    for wrong in 0..5 {
        let mut st = statement(5);
        st.outputs[wrong] += B;
        assert_eq!(st.verify(b"ctx", &st.prove(b"ctx")), Err(DleqError::Mismatch));
    }
}

#[test]
fn errors_that_cancel_under_equal_weights_are_seen() {
    let mut st = statement(2);
    st.outputs[0] += B;
    st.outputs[1] -= B;
    assert_eq!(st.verify(b"ctx", &st.prove(b"ctx")), Err(DleqError::Mismatch));
}

#[test]
fn every_field_of_the_statement_is_bound() {
    let st = statement(3);
    let proof = st.prove(b"ctx");
    let mut rows: Vec<(&str, &[u8], Statement)> = Vec::new();
    let copy = || Statement {
        secret: st.secret.clone(),
        public: st.public,
        inputs: st.inputs.clone(),
        outputs: st.outputs.clone(),
    };
    rows.push(("context", b"ctx2", copy()));
    rows.push(("context cut", b"ct", copy()));
    rows.push(("public", b"ctx", Statement { public: st.public + B, ..copy() }));
    for i in 0..3 {
        let mut x = copy();
        x.inputs[i] += B;
        rows.push(("input", b"ctx", x));
        let mut x = copy();
        x.outputs[i] += B;
        rows.push(("output", b"ctx", x));
    }
    let mut x = copy();
    x.inputs.swap(0, 1);
    x.outputs.swap(0, 1);
    rows.push(("order of pairs", b"ctx", x));
    let mut x = copy();
    x.inputs.pop();
    x.outputs.pop();
    rows.push(("number of pairs", b"ctx", x));
    for (name, context, x) in rows {
        assert_eq!(x.verify(context, &proof), Err(DleqError::Mismatch), "{name}");
    }
}

#[test]
fn every_flipped_bit_of_a_proof_is_seen() {
    let st = statement(2);
    let bytes = st.prove(b"ctx").to_bytes();
    for bit in 0..8 * PROOF_LEN {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let seen = Proof::from_bytes(&flipped).and_then(|p| st.verify(b"ctx", &p));
        assert!(seen.is_err(), "bit {bit}");
    }
}

#[test]
fn non_canonical_scalars_are_refused() {
    let st = statement(1);
    let bytes = st.prove(b"ctx").to_bytes();
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    for half in [0, 32] {
        let mut bad = bytes;
        bad[half..half + 32].copy_from_slice(order.as_ref().unwrap());
        assert_eq!(Proof::from_bytes(&bad), Err(DleqError::Encoding));
    }
}

#[test]
fn the_identity_is_refused_everywhere() {
    let proof = statement(1).prove(b"ctx");
    let id = RistrettoPoint::identity();
    for (p, c, d) in [(id, B, B), (B, id, B), (B, B, id)] {
        assert_eq!(verify(b"ctx", &p, &[c], &[d], &proof), Err(DleqError::Identity));
    }
}

#[test]
fn lengths_are_limited_and_equal() {
    let proof = statement(1).prove(b"ctx");
    for (n, m) in [(0, 0), (1, 2), (2, 1), (0, 1), (MAX_BATCH + 1, MAX_BATCH + 1)] {
        let (c, d) = (vec![B; n], vec![B; m]);
        let error = DleqError::Length { inputs: n, outputs: m };
        assert_eq!(verify(b"ctx", &B, &c, &d, &proof), Err(error));
        let one = SecretScalar::new(Scalar::ONE);
        assert_eq!(prove(b"ctx", &one, &B, &c, &d, &mut rand::rng()), Err(error));
    }
}

/// A generator stuck on one value must not give two statements one nonce.
#[test]
fn a_repeating_generator_repeats_no_nonce() {
    let st = statement(1);
    let nonce = |context: &[u8]| {
        let rng = &mut StuckRng;
        let p = prove(context, &st.secret, &st.public, &st.inputs, &st.outputs, rng).unwrap();
        let [c, s] =
            [0, 32].map(|at| decode_scalar(p.to_bytes()[at..at + 32].try_into().unwrap()).unwrap());
        s + c * st.secret.expose()
    };
    assert_eq!(nonce(b"one"), nonce(b"one"));
    assert_ne!(nonce(b"one"), nonce(b"two"));
}

struct StuckRng;

impl rand_core::TryRng for StuckRng {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(7)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(7)
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(7);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for StuckRng {}
