//! A node's answer: its share times every blinded element.

use super::BlindedElement;
use crate::{SecretScalar, group::PointBytes};
use curve25519_dalek::ristretto::RistrettoPoint;
use zeroize::Zeroizing;

/// `D_j = s_i·B_j` for a batch, in order: BlindEvaluate of RFC 9497 §3.3.2 under the share.
///
/// Constant time in the share. Every element is multiplied by half the share and doubled while
/// it is encoded, so that the whole batch shares one field inversion.
///
/// # Security
/// This is a static Diffie–Hellman oracle by design: the caller has checked that the key's
/// purpose is to derive, and nothing else.
#[must_use]
pub fn evaluate(share: &SecretScalar, elements: &[BlindedElement]) -> Vec<PointBytes> {
    let half = SecretScalar::new(share.expose().div_by_2());
    let halves: Zeroizing<Vec<RistrettoPoint>> =
        Zeroizing::new(elements.iter().map(|e| half.expose() * e.0.point()).collect());
    RistrettoPoint::double_and_compress_batch(halves.iter()).into_iter().map(|c| c.0).collect()
}
