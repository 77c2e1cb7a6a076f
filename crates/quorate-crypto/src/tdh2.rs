//! TDH2 (Shoup–Gennaro, EUROCRYPT 1998, also called SG02) over ristretto255, as a key
//! encapsulation in commitment form.
//!
//! Notation: `B`, `B2` generators; `x` the shared key, `Y = x·B`; `s_i` node `i`'s share,
//! `Y_i = s_i·B`; `t` the threshold.
//!
//! ```text
//! encapsulate: r, s random scalars, k a random payload key
//!   U = r·B   Ū = r·B2   W = s·B   W̄ = s·B2
//!   wrap ‖ commitment = H(tdh2/dem, fingerprint, key, version, U, r·Y, label)
//!   wrapped = AES-256-GCM(wrap, nonce 0, aad = header, k)
//!   e = H(tdh2/proof, fingerprint, key, version, Y, label,
//!         U, Ū, W, W̄, header, commitment, wrapped)
//!   z = s + e·r
//! verify:      z·B = W + e·U  and  z·B2 = W̄ + e·Ū
//! partial:     U_i = s_i·U
//! decapsulate: r·Y = Σ λ_i·U_i
//! ```
//!
//! # Security
//! Chosen-ciphertext secure in the random-oracle model under DDH against fewer than `t`
//! static corruptions. A node that answered without [`verify`] would be a static
//! Diffie–Hellman oracle, so only a [`Verified`] ciphertext can be evaluated. AES-GCM is not
//! key-committing; the commitment, compared before unwrapping, makes the whole so: a
//! ciphertext opens to one payload key or to none, whatever partials are offered.
//! `docs/protocol/tdh2.md` has the bytes.

mod check;
mod ciphertext;
mod open;
mod partial;
mod seal;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod vectors;

pub use check::{BatchFault, Verified, verify, verify_batch};
pub use ciphertext::{CIPHERTEXT_LEN, Ciphertext, CiphertextFault};
pub use open::{Combiner, OpenError, decapsulate};
pub use partial::{PartialFault, partial, partial_batch, prove_partials, verify_partials};
pub(crate) use partial::{prove_points, verify_points};
pub use seal::encapsulate;

use crate::{
    EncodedPoint,
    group::PointBytes,
    hash::{Label, hash, hash_to_scalar},
};
use curve25519_dalek::scalar::Scalar;
use zeroize::Zeroizing;

/// What a ciphertext is bound to: cluster, key name, version and public key. Not the epoch:
/// a ciphertext outlives the rotation of shares.
#[derive(Clone, Debug)]
pub struct Binding<'a> {
    fingerprint: &'a [u8; 32],
    key: &'a [u8],
    version: [u8; 4],
    public: EncodedPoint,
}

impl<'a> Binding<'a> {
    /// Binds to version `version` of the key named `key` in the cluster `fingerprint`, whose
    /// public key is `public`.
    #[must_use]
    pub fn new(
        fingerprint: &'a [u8; 32],
        key: &'a [u8],
        version: u32,
        public: &EncodedPoint,
    ) -> Self {
        Self { fingerprint, key, version: version.to_be_bytes(), public: *public }
    }

    /// The key's public point `Y`.
    #[must_use]
    pub fn public(&self) -> &EncodedPoint {
        &self.public
    }

    /// `wrap ‖ commitment = H(tdh2/dem, fingerprint, key, version, U, r·Y, label)`.
    fn dem(&self, u: &PointBytes, shared: &PointBytes, label: &[u8]) -> Zeroizing<[u8; 64]> {
        let parts: [&[u8]; 6] = [self.fingerprint, self.key, &self.version, u, shared, label];
        Zeroizing::new(hash(Label::TDH2_DEM, &parts))
    }

    /// The challenge `e`: over everything that a ciphertext carries but `z`, and all that it
    /// is bound to.
    fn challenge(&self, label: &[u8], header: &[u8], c: &Ciphertext) -> Scalar {
        let parts: [&[u8]; 12] = [
            self.fingerprint,
            self.key,
            &self.version,
            self.public.bytes(),
            label,
            &c.u,
            &c.u2,
            &c.w,
            &c.w2,
            header,
            &c.commitment,
            &c.wrapped,
        ];
        hash_to_scalar(Label::TDH2_PROOF, &parts)
    }
}
