//! Plain Ed25519 verification, strict: the signature's own bytes, under no label of ours.

use super::SIGNATURE_LEN;
use crate::group::{DecodeError, Group, PointBytes};
use ed25519_dalek::{Signature, VerifyingKey};

/// Why a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The caller's: no public key of this suite.
    #[error("the public key: {0}")]
    Key(DecodeError),
    /// The signer's, or the message is another one.
    #[error("the signature does not verify for this message under this key")]
    Mismatch,
}

/// Verifies as RFC 8032 demands and no more loosely than any verifier that is in use: `s` below
/// the group order, `R` canonical and not of small order, the equation without the cofactor.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(
    public_key: &PointBytes,
    message: &[u8],
    signature: &[u8; SIGNATURE_LEN],
) -> Result<(), VerifyError> {
    Group::Edwards25519.decode(public_key).map_err(VerifyError::Key)?;
    let key = VerifyingKey::from_bytes(public_key).map_err(|_| VerifyError::Mismatch)?;
    key.verify_strict(message, &Signature::from_bytes(signature)).map_err(|_| VerifyError::Mismatch)
}
