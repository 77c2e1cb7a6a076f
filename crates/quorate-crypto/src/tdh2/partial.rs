//! A node's answer: its share times `U`, and on demand the proof that it is so.

use super::Verified;
use crate::{
    EncodedPoint, SecretScalar,
    dleq::{self, DleqError, Proof},
    group::{PointBytes, times_batch},
};
use rand_core::CryptoRng;

/// Why partials are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartialFault {
    /// One of them is no group element, or the identity.
    #[error("partial {item} of the batch is no canonical point, or the identity")]
    Point {
        /// Its position, from 0.
        item: usize,
    },
    /// The proof does not hold for all of them, or there are none, or not one for each
    /// ciphertext.
    #[error("the partials are not proved: {0}")]
    Proof(#[from] DleqError),
}

/// `U_i = s_i·U`, constant time.
#[must_use]
pub fn partial(share: &SecretScalar, verified: &Verified) -> PointBytes {
    (share.expose() * verified.u.point()).compress().0
}

/// As [`partial`] for a batch, constant time.
#[must_use]
pub fn partial_batch(share: &SecretScalar, verified: &[Verified]) -> Vec<PointBytes> {
    times_batch(share, verified.iter().map(|v| v.u.point()))
}

/// One proof that every partial is the share times its ciphertext's `U`, and `share_public` =
/// `Y_i` the share times `B`. `context` binds what the proof is for: cluster, key, version,
/// epoch, node.
///
/// # Errors
/// [`PartialFault`] for what is no batch of partials; a proof of wrong partials is made and
/// does not verify.
pub fn prove_partials(
    context: &[u8],
    share: &SecretScalar,
    share_public: &EncodedPoint,
    verified: &[Verified],
    partials: &[PointBytes],
    rng: &mut impl CryptoRng,
) -> Result<Proof, PartialFault> {
    prove_points(context, share, share_public, &inputs(verified), partials, rng)
}

/// As [`prove_partials`] for any points.
pub(crate) fn prove_points(
    context: &[u8],
    share: &SecretScalar,
    share_public: &EncodedPoint,
    inputs: &[EncodedPoint],
    partials: &[PointBytes],
    rng: &mut impl CryptoRng,
) -> Result<Proof, PartialFault> {
    let outputs = decode(partials)?;
    Ok(dleq::prove_encoded(context, share, share_public, inputs, &outputs, rng)?)
}

/// Verifies a proof of [`prove_partials`] against the node's `Y_i` of this very epoch.
///
/// # Errors
/// [`PartialFault`]: the node lies, or answers for another epoch, key or context.
pub fn verify_partials(
    context: &[u8],
    share_public: &EncodedPoint,
    verified: &[Verified],
    partials: &[PointBytes],
    proof: &Proof,
) -> Result<(), PartialFault> {
    verify_points(context, share_public, &inputs(verified), partials, proof)
}

/// As [`verify_partials`] for any points.
pub(crate) fn verify_points(
    context: &[u8],
    share_public: &EncodedPoint,
    inputs: &[EncodedPoint],
    partials: &[PointBytes],
    proof: &Proof,
) -> Result<(), PartialFault> {
    let outputs = decode(partials)?;
    Ok(dleq::verify_encoded(context, share_public, inputs, &outputs, proof)?)
}

fn inputs(verified: &[Verified]) -> Vec<EncodedPoint> {
    verified.iter().map(|v| v.u).collect()
}

fn decode(partials: &[PointBytes]) -> Result<Vec<EncodedPoint>, PartialFault> {
    partials
        .iter()
        .enumerate()
        .map(|(item, p)| EncodedPoint::decode(p).map_err(|_| PartialFault::Point { item }))
        .collect()
}
