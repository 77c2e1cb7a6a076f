//! Wrapping under a shared key: a distributed pseudorandom function of clear inputs (Naor, Pinkas
//! and Reingold, EUROCRYPT 1999; with proofs as in DiSE, Agrawal et al., CCS 2018, §5.2) gives one-time
//! keys. For ciphertexts that have no room for a group element.
//!
//! Notation: `x` the shared key, `s_i` node `i`'s share, `Y_i = s_i·B`, `t` the threshold;
//! HashToGroup that of RFC 9497 for ristretto255-SHA512.
//!
//! ```text
//! point:     P = HashToGroup(H(wrap/input., fingerprint, key, version, context, nonce))
//! evaluate:  D_i = s_i·P, one DLEQ proof of a whole batch under Y_i       (node i)
//! combine:   N = Σ λ_i·D_i over t nodes, which is x·P                      (client)
//! key ‖ commitment = H(wrap/dem., fingerprint, key, version, header, context, nonce, N)
//! ```
//!
//! The client names context and nonce, and each node hashes them to the group itself: it never
//! multiplies a point that somebody else has chosen, and policy sees the context of every use.
//!
//! # Security
//! Pseudorandom in the random-oracle model under gap DH against fewer than `t` static corruptions.
//! Who wraps must verify every node's proof before the key is used: a wrong one would seal what
//! nobody ever opens. Who unwraps may combine without proofs where a commitment stands beside the
//! ciphertext, and must verify them where none does: AES-GCM is not key-committing, and whoever
//! sealed could have prepared a ciphertext that opens under two keys, one of which a lying node's
//! error leads to. A nonce is drawn at random for every wrapping: 128 bits, so that 2⁴⁸ of them
//! repeat with probability 2⁻³³. Under a key that derives (RFC 9497) whoever may derive could
//! evaluate `P` blinded, so a key wraps or derives, never both.

#[cfg(test)]
mod attacks;
mod key;
mod partial;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use key::{COMMITMENT_LEN, OneTimeKey, SealError, TAG_LEN};
pub use partial::{partials, prove, verify};

use crate::{
    EncodedPoint, SecretBytes,
    group::{DecodeError, PointBytes},
    hash::{Label, hash},
    tdh2::{Combiner, OpenError},
    voprf::hash_to_group,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// The length of a nonce.
pub const NONCE_LEN: usize = 16;

/// Drawn at random for each wrapping; no secret.
pub type Nonce = [u8; NONCE_LEN];

/// Draws a nonce for a plaintext that is at hand: hashed with it, so that a generator that repeats
/// itself does not seal two plaintexts under one one-time key.
pub fn draw_nonce(plaintext: &[u8], other_data: &[u8], rng: &mut impl CryptoRng) -> Nonce {
    let fresh = SecretBytes::<32>::random(rng);
    let wide = Zeroizing::new(hash(Label::WRAP_NONCE, &[fresh.expose(), plaintext, other_data]));
    std::array::from_fn(|i| wide[i])
}

/// What wrappings are bound to: cluster, key name, version, encryption context. Not the epoch:
/// a ciphertext outlives the rotation of shares.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    fingerprint: &'a [u8; 32],
    key: &'a [u8],
    version: [u8; 4],
    context: &'a [u8],
}

/// A point that was hashed here from a scope and a nonce: all that a share multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrapPoint(EncodedPoint);

/// One wrapping to be combined.
#[derive(Clone, Copy, Debug)]
pub struct Wrapping<'a> {
    /// What else the one-time key is bound to; no secret.
    pub header: &'a [u8],
    /// As in the ciphertext.
    pub nonce: Nonce,
    /// In the order of the combiner's nodes.
    pub partials: &'a [PointBytes],
}

impl<'a> Scope<'a> {
    /// Version `version` of the key named `key` in the cluster `fingerprint`, under a context.
    #[must_use]
    pub fn new(fingerprint: &'a [u8; 32], key: &'a [u8], version: u32, context: &'a [u8]) -> Self {
        Self { fingerprint, key, version: version.to_be_bytes(), context }
    }

    /// The point of a nonce.
    ///
    /// # Errors
    /// [`DecodeError::Identity`]: nobody knows such a nonce.
    pub fn point(&self, nonce: &Nonce) -> Result<WrapPoint, DecodeError> {
        let parts: [&[u8]; 5] = [self.fingerprint, self.key, &self.version, self.context, nonce];
        EncodedPoint::new(hash_to_group(&hash(Label::WRAP_INPUT, &parts))).map(WrapPoint)
    }

    /// One-time keys of many wrappings, one for each, in order.
    ///
    /// # Security
    /// Nothing is assumed of the partials: a wrong one gives another key, which
    /// [`OneTimeKey::committed`] refuses. To seal under the keys, or to open what has no
    /// commitment, the partials must have been [`verify`]ed.
    #[must_use]
    pub fn keys(
        &self,
        combiner: &Combiner,
        wrappings: &[Wrapping<'_>],
    ) -> Vec<Result<OneTimeKey, OpenError>> {
        let partials: Vec<&[PointBytes]> = wrappings.iter().map(|w| w.partials).collect();
        let shared = combiner.shared_batch(&partials);
        let mut keys = Vec::with_capacity(wrappings.len());
        for (shared, w) in shared.into_iter().zip(wrappings) {
            keys.push(shared.map(|shared| OneTimeKey::new(self, w.header, &w.nonce, &shared)));
        }
        keys
    }
}
