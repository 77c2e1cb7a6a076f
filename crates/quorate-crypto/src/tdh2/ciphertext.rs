//! A ciphertext's 240 bytes.

use crate::group::{DecodeError, PointBytes, ScalarBytes, decode_scalar};

/// Length of an encoded ciphertext.
pub const CIPHERTEXT_LEN: usize = 240;

/// Length of a wrapped payload key: 32 bytes and a tag of 16.
pub(super) const WRAPPED_LEN: usize = 48;

/// Why a ciphertext is refused: the fault of whoever made or carried it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CiphertextFault {
    /// Not 240 bytes.
    #[error("a TDH2 ciphertext has {CIPHERTEXT_LEN} bytes, got {got}")]
    Length {
        /// The length offered.
        got: usize,
    },
    /// One of its points or its scalar is not canonical, or a point is the identity.
    #[error("a field of the ciphertext is refused: {0}")]
    Decode(#[from] DecodeError),
    /// The proof does not hold: changed, or made for another key, version, cluster or label.
    #[error("the ciphertext's proof fails: changed, or made for another key, cluster or context")]
    Proof,
}

/// A TDH2 ciphertext, not yet verified: an encapsulated payload key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ciphertext {
    /// `U = r·B`.
    pub(super) u: PointBytes,
    /// `Ū = r·B2`.
    pub(super) u2: PointBytes,
    /// `W = s·B`.
    pub(super) w: PointBytes,
    /// `W̄ = s·B2`.
    pub(super) w2: PointBytes,
    /// `z = s + e·r`.
    pub(super) z: ScalarBytes,
    /// Commits to the key that wraps the payload key.
    pub(super) commitment: [u8; 32],
    /// The payload key under AES-256-GCM.
    pub(super) wrapped: [u8; WRAPPED_LEN],
}

impl Ciphertext {
    /// Reads `U ‖ Ū ‖ W ‖ W̄ ‖ z ‖ commitment ‖ wrapped`: exact length, canonical `z`. The
    /// points are decoded by [`super::verify`].
    ///
    /// # Errors
    /// [`CiphertextFault::Length`], [`CiphertextFault::Decode`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CiphertextFault> {
        let length = CiphertextFault::Length { got: bytes.len() };
        let bytes: &[u8; CIPHERTEXT_LEN] = bytes.try_into().map_err(|_| length)?;
        let ciphertext = Self {
            u: field(bytes, 0),
            u2: field(bytes, 32),
            w: field(bytes, 64),
            w2: field(bytes, 96),
            z: field(bytes, 128),
            commitment: field(bytes, 160),
            wrapped: field(bytes, 192),
        };
        decode_scalar(&ciphertext.z)?;
        Ok(ciphertext)
    }

    /// The 240 bytes; [`Ciphertext::from_bytes`] gives the same ciphertext back.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; CIPHERTEXT_LEN] {
        let mut out = [0; CIPHERTEXT_LEN];
        let fields: [&[u8]; 7] =
            [&self.u, &self.u2, &self.w, &self.w2, &self.z, &self.commitment, &self.wrapped];
        let mut rest = &mut out[..];
        for field in fields {
            let (head, tail) = rest.split_at_mut(field.len());
            head.copy_from_slice(field);
            rest = tail;
        }
        out
    }
}

fn field<const N: usize>(bytes: &[u8; CIPHERTEXT_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
