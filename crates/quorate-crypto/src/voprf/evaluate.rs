//! A node's answer: its share times every blinded element.

use super::BlindedElement;
use crate::{
    SecretScalar,
    group::{PointBytes, times_batch},
};

/// `D_j = s_i·B_j` for a batch, in order: BlindEvaluate of RFC 9497 §3.3.2 under the share.
///
/// Constant time in the share.
///
/// # Security
/// This is a static Diffie–Hellman oracle by design: the caller has checked that the key's
/// purpose is to derive, and nothing else.
#[must_use]
pub fn evaluate(share: &SecretScalar, elements: &[BlindedElement]) -> Vec<PointBytes> {
    times_batch(share, elements.iter().map(|e| e.0.point()))
}
