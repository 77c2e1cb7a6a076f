//! A node's answer: its share times every point, and on demand one proof of all.

use super::WrapPoint;
use crate::{
    EncodedPoint, SecretScalar,
    dleq::Proof,
    group::{PointBytes, times_batch},
    tdh2::{PartialFault, prove_points, verify_points},
};
use rand_core::CryptoRng;

/// `D_j = s_i·P_j`, in order, constant time in the share.
#[must_use]
pub fn partials(share: &SecretScalar, points: &[WrapPoint]) -> Vec<PointBytes> {
    times_batch(share, points.iter().map(|p| p.0.point()))
}

/// One proof that every partial is the share times its point, and `share_public` = `Y_i` the
/// share times `B`. `context` binds what the proof is for: cluster, key, version, epoch, node.
///
/// # Errors
/// [`PartialFault`] for what is no batch of partials; a proof of wrong partials is made and
/// does not verify.
pub fn prove(
    context: &[u8],
    share: &SecretScalar,
    share_public: &EncodedPoint,
    points: &[WrapPoint],
    partials: &[PointBytes],
    rng: &mut impl CryptoRng,
) -> Result<Proof, PartialFault> {
    prove_points(context, share, share_public, &inputs(points), partials, rng)
}

/// Verifies a proof of [`prove`] against the node's `Y_i` of this very epoch.
///
/// # Errors
/// [`PartialFault`]: the node lies, or answers for another epoch, key or context.
pub fn verify(
    context: &[u8],
    share_public: &EncodedPoint,
    points: &[WrapPoint],
    partials: &[PointBytes],
    proof: &Proof,
) -> Result<(), PartialFault> {
    verify_points(context, share_public, &inputs(points), partials, proof)
}

fn inputs(points: &[WrapPoint]) -> Vec<EncodedPoint> {
    points.iter().map(|p| p.0).collect()
}
