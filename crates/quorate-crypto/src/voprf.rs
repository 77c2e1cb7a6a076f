//! VOPRF(ristretto255, SHA-512) of RFC 9497, mode 0x01, under a shared key.
//!
//! Notation: `x` the shared key, `s_i` node `i`'s share, `Y_i = s_i·B` its verifying key, `t`
//! the threshold; `H1` HashToGroup, `H` SHA-512.
//!
//! ```text
//! blind:     r random, not 0;  B_j = r_j·H1(input_j)                    (client, RFC 9497 §3.3.1)
//! evaluate:  D_ij = s_i·B_j, one DLEQ proof of all of them under Y_i    (node i, §3.3.2, §2.2.1)
//! combine:   N_j = Σ λ_i·D_ij over t verified nodes, which is x·B_j     (client)
//! finalize:  H(len ‖ input_j ‖ len ‖ r_j⁻¹·N_j ‖ "Finalize")            (client, §3.3.2)
//! ```
//!
//! Every node answers as a server of the RFC whose key is its share, and so needs no proof
//! system of its own; the output is the RFC's under `x`, in every epoch and from every quorum.
//!
//! # Security
//! Nodes see uniform points, which say nothing of input or output. Nodes evaluate whatever
//! element they are given, so a key of this suite must serve nothing else: under a TDH2 key the
//! same multiplication would decrypt. A wrong partial gives a wrong output that nothing
//! else could tell, so only [`VerifiedPartials`] can be combined.
//!
//! The RFC's proof of a batch is weak for large batches: each weight `d_j` of ComputeComposites
//! is a hash of the `j`th pair alone (§2.2.1), so a lying server can search each item's error
//! by itself for `Σ d_j·E_j = 0`: a generalised birthday (Wagner, CRYPTO 2002), about 2³³ steps
//! for 1,024 items instead of 2¹²⁶. A [`Batch`] of more than one input therefore ends with a
//! *check element* `Σ ρ_j·B_j` under secret weights, which looks like every other; a node's
//! partials must keep the same relation. `docs/protocol/voprf.md` has the bytes.

mod batch;
mod blind;
mod evaluate;
mod proof;
mod rfc;

#[cfg(test)]
mod attacks;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod vectors;

pub use batch::{Batch, VerifiedPartials};
pub use blind::{BlindError, Blinding};
pub use evaluate::evaluate;
pub use proof::{PartialFault, prove, verify};
pub(crate) use rfc::hash_to_group;

use crate::{
    EncodedPoint, SecretBytes,
    dleq::MAX_BATCH,
    group::{DecodeError, PointBytes},
    hash::{Label, hash},
};
use zeroize::Zeroizing;

/// The length of an output: SHA-512's.
pub const OUTPUT_LEN: usize = 64;

/// The longest input: the RFC counts it in two bytes.
pub const MAX_INPUT: usize = 65_535;

/// The most inputs of one [`Batch`]: with the check element as many as one proof takes.
pub const MAX_INPUTS: usize = MAX_BATCH - 1;

/// A blinded element as a client sent it: canonical and not the identity, nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlindedElement(EncodedPoint);

impl BlindedElement {
    /// Decodes strictly.
    ///
    /// # Errors
    /// [`DecodeError::Point`], [`DecodeError::Identity`] (RFC 9497 §4.1).
    pub fn from_bytes(bytes: &PointBytes) -> Result<Self, DecodeError> {
        EncodedPoint::decode(bytes).map(Self)
    }

    /// Its canonical encoding.
    #[must_use]
    pub const fn bytes(&self) -> &PointBytes {
        self.0.bytes()
    }
}

/// What is blinded for an input under a context: `H(voprf/input., context, input)`, 64 bytes. No
/// two pairs have the same, an empty context being one too.
#[must_use]
pub fn private_input(context: &[u8], input: &[u8]) -> SecretBytes<64> {
    let hashed = Zeroizing::new(hash(Label::VOPRF_INPUT, &[context, input]));
    SecretBytes::new(*hashed)
}
