//! The check that every node makes before it touches its share.

use super::{Binding, Ciphertext, CiphertextFault};
use crate::{
    EncodedPoint,
    group::{B, B2, decode_point, decode_scalar},
    hash::{Label, hash},
};
use curve25519_dalek::{
    ristretto::{RistrettoPoint, VartimeRistrettoPrecomputation},
    scalar::Scalar,
    traits::{IsIdentity, VartimeMultiscalarMul, VartimePrecomputedMultiscalarMul},
};
use rand_core::CryptoRng;
use std::sync::LazyLock;

/// A ciphertext whose proof holds. Only [`verify`] and [`verify_batch`] make one, and only
/// this can be evaluated: never with the share of another key than the binding's.
#[derive(Clone, Debug)]
pub struct Verified {
    pub(super) u: EncodedPoint,
}

/// The first bad item of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("item {item} of the batch: {fault}")]
pub struct BatchFault {
    /// Its position, from 0.
    pub item: usize,
    /// What is wrong with it.
    pub fault: CiphertextFault,
}

/// Checks `z·B = W + e·U` and `z·B2 = W̄ + e·Ū`. Everything here is public; variable time.
///
/// # Errors
/// [`CiphertextFault::Decode`], [`CiphertextFault::Proof`].
pub fn verify(
    binding: &Binding<'_>,
    label: &[u8],
    header: &[u8],
    ciphertext: &Ciphertext,
) -> Result<Verified, CiphertextFault> {
    Statement::decode(binding, label, header, ciphertext)?.check()
}

/// Checks many ciphertexts under one binding and label by one multiscalar multiplication:
///
/// `Σ p_i (z_i·B − W_i − e_i·U_i) + q_i (z_i·B2 − W̄_i − e_i·Ū_i) = 0`
///
/// with independent 128-bit weights `p_i`, `q_i` from `H(tdh2/weights, fresh randomness, e_1,
/// z_1, …)`. Each `e_i` is a hash over every other byte of item `i` and its header.
///
/// # Security
/// A batch with a bad item passes with probability 2⁻¹²⁸: the weights are unknown to whoever
/// made the items. On failure the items are checked one by one.
///
/// # Errors
/// The first bad item.
pub fn verify_batch(
    binding: &Binding<'_>,
    label: &[u8],
    items: &[(&[u8], Ciphertext)],
    rng: &mut impl CryptoRng,
) -> Result<Vec<Verified>, BatchFault> {
    let mut statements = Vec::with_capacity(items.len());
    for (item, (header, ciphertext)) in items.iter().enumerate() {
        let statement = Statement::decode(binding, label, header, ciphertext);
        statements.push(statement.map_err(|fault| BatchFault { item, fault })?);
    }
    if items.len() > 1 && all_hold(&statements, rng) {
        return Ok(statements.into_iter().map(|s| s.verified).collect());
    }
    statements
        .into_iter()
        .enumerate()
        .map(|(item, s)| s.check().map_err(|fault| BatchFault { item, fault }))
        .collect()
}

/// What a ciphertext claims, decoded.
struct Statement {
    verified: Verified,
    u2: RistrettoPoint,
    w: RistrettoPoint,
    w2: RistrettoPoint,
    e: Scalar,
    z: Scalar,
}

impl Statement {
    fn decode(
        binding: &Binding<'_>,
        label: &[u8],
        header: &[u8],
        c: &Ciphertext,
    ) -> Result<Self, CiphertextFault> {
        Ok(Self {
            verified: Verified { u: EncodedPoint::decode(&c.u)? },
            u2: decode_point(&c.u2)?,
            w: decode_point(&c.w)?,
            w2: decode_point(&c.w2)?,
            e: binding.challenge(label, header, c),
            z: decode_scalar(&c.z)?,
        })
    }

    /// Both equations, each by itself: no weights, no randomness.
    fn check(self) -> Result<Verified, CiphertextFault> {
        let e = -self.e;
        let w = RistrettoPoint::vartime_double_scalar_mul_basepoint(
            &e,
            self.verified.u.point(),
            &self.z,
        );
        let w2 = B2_WINDOWS.vartime_mixed_multiscalar_mul([self.z], [e], [self.u2]);
        if w == self.w && w2 == self.w2 { Ok(self.verified) } else { Err(CiphertextFault::Proof) }
    }
}

/// The weighted sum over all statements is the identity.
fn all_hold(statements: &[Statement], rng: &mut impl CryptoRng) -> bool {
    let seed = weight_seed(statements, rng);
    let (mut on_b, mut on_b2) = (Scalar::ZERO, Scalar::ZERO);
    let mut scalars = Vec::with_capacity(4 * statements.len() + 2);
    let mut points = Vec::with_capacity(4 * statements.len() + 2);
    for (i, s) in statements.iter().enumerate() {
        let (p, q) = weights(&seed, i as u64);
        on_b += p * s.z;
        on_b2 += q * s.z;
        // The sum is negated, so that the weights on W and W̄ stay 128 bits short.
        scalars.extend([p, p * s.e, q, q * s.e]);
        points.extend([s.w, *s.verified.u.point(), s.w2, s.u2]);
    }
    scalars.extend([-on_b, -on_b2]);
    points.extend([B, *B2]);
    RistrettoPoint::vartime_multiscalar_mul(&scalars, &points).is_identity()
}

fn weight_seed(statements: &[Statement], rng: &mut impl CryptoRng) -> [u8; 64] {
    let mut fresh = [0; 32];
    rng.fill_bytes(&mut fresh);
    let said: Vec<[u8; 32]> =
        statements.iter().flat_map(|s| [s.e.to_bytes(), s.z.to_bytes()]).collect();
    let parts: Vec<&[u8]> =
        std::iter::once(&fresh[..]).chain(said.iter().map(|b| &b[..])).collect();
    hash(Label::TDH2_WEIGHTS, &parts)
}

/// Two independent 128-bit weights for item `i`.
fn weights(seed: &[u8; 64], i: u64) -> (Scalar, Scalar) {
    let wide = hash(Label::TDH2_WEIGHTS, &[seed, &i.to_be_bytes()]);
    let half = |at: usize| {
        let mut low = [0; 16];
        low.copy_from_slice(&wide[at..at + 16]);
        Scalar::from(u128::from_le_bytes(low))
    };
    (half(0), half(16))
}

/// Odd multiples of `B2` for variable-time multiplication.
static B2_WINDOWS: LazyLock<VartimeRistrettoPrecomputation> =
    LazyLock::new(|| VartimeRistrettoPrecomputation::new([*B2]));
