//! Round one: a node draws a nonce pair and commits to it, before it knows the message.

use super::{
    border::{Rng06, hedged},
    round2::KeyShare,
};
use frost_ed25519::round1::{NonceCommitment, SigningCommitments, SigningNonces};
use rand_core::CryptoRng;
use std::fmt;

/// The length of a pair of commitments: hiding ‖ binding.
pub const COMMITMENTS_LEN: usize = 64;

/// Bytes that are no commitments: the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "nonce commitments are two canonical edwards25519 points of prime order, neither the identity"
)]
pub struct CommitmentsFault;

/// The secret of one signature share. Serves once: [`super::sign`] takes it away. No `Clone`, no
/// encoding, wiped on drop, never printed.
pub struct NoncePair(Box<SigningNonces>);

/// `(D_i, E_i)`: what a node says of a nonce pair.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NonceCommitments {
    points: SigningCommitments,
    bytes: [u8; COMMITMENTS_LEN],
}

/// Draws a nonce pair (§5.1). `unique` is never the same twice for one share.
///
/// # Security
/// Each nonce is `H3(H32(frost/nonce., 32 fresh bytes, unique, count) ‖ share)`: a weak generator
/// gives nothing away, and one that repeats itself does not repeat a pair as long as `unique`
/// does not. What a copy of a running process holds in memory it does hold twice: a process must
/// not be restored.
pub fn commit(
    key: &KeyShare,
    unique: &[u8],
    rng: &mut impl CryptoRng,
) -> (NoncePair, NonceCommitments) {
    commit_by_rfc(key, &mut hedged(unique, rng))
}

/// As [`commit`] with the RFC's randomness.
pub(super) fn commit_by_rfc(
    key: &KeyShare,
    rng: &mut impl CryptoRng,
) -> (NoncePair, NonceCommitments) {
    let nonces = Box::new(SigningNonces::new(key.package().signing_share(), &mut Rng06(rng)));
    let commitments = NonceCommitments::of(*nonces.commitments());
    (NoncePair(nonces), commitments)
}

impl NoncePair {
    /// What it was committed to with.
    #[must_use]
    pub fn commitments(&self) -> NonceCommitments {
        NonceCommitments::of(*self.0.commitments())
    }

    pub(super) fn expose(&self) -> &SigningNonces {
        &self.0
    }

    /// With the nonces of a vector.
    #[cfg(test)]
    pub(super) fn of(nonces: SigningNonces) -> Self {
        Self(Box::new(nonces))
    }
}

impl fmt::Debug for NoncePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoncePair([redacted])")
    }
}

impl NonceCommitments {
    fn of(points: SigningCommitments) -> Self {
        let mut bytes = [0; COMMITMENTS_LEN];
        // Neither nonce is zero (probability 2⁻²⁵²), which alone has no encoding; then the zeros
        // that stay here decode nowhere.
        for (half, point) in bytes.chunks_exact_mut(32).zip([points.hiding(), points.binding()]) {
            if let Ok(encoded) = point.serialize()
                && encoded.len() == half.len()
            {
                half.copy_from_slice(&encoded);
            }
        }
        Self { points, bytes }
    }

    /// Decodes strictly; what decodes, encodes to the same bytes.
    ///
    /// # Errors
    /// [`CommitmentsFault`].
    pub fn from_bytes(bytes: &[u8; COMMITMENTS_LEN]) -> Result<Self, CommitmentsFault> {
        let point = |half| NonceCommitment::deserialize(half).map_err(|_| CommitmentsFault);
        let (hiding, binding) = bytes.split_at(COMMITMENTS_LEN / 2);
        let points = SigningCommitments::new(point(hiding)?, point(binding)?);
        Ok(Self { points, bytes: *bytes })
    }

    /// Hiding ‖ binding.
    #[must_use]
    pub const fn to_bytes(&self) -> &[u8; COMMITMENTS_LEN] {
        &self.bytes
    }

    pub(super) const fn points(&self) -> &SigningCommitments {
        &self.points
    }
}

impl fmt::Debug for NonceCommitments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NonceCommitments({:02x}{:02x}…)", self.bytes[0], self.bytes[1])
    }
}
