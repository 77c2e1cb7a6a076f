//! One-time keys, and what is sealed under them as it is.

use super::{Nonce, Scope};
use crate::{
    SecretBytes,
    group::PointBytes,
    hash::{Label, hash},
    tdh2::OpenError,
};
use aes_gcm::{
    Aes256Gcm,
    aead::{AeadInOut, KeyInit},
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The length of a key commitment.
pub const COMMITMENT_LEN: usize = 32;

/// The length of a tag.
pub const TAG_LEN: usize = 16;

/// Why something sealed does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ciphertext was changed, or sealed under another key, nonce, context or other data")]
pub struct SealError;

/// The key of one wrapping, and the commitment to it.
pub struct OneTimeKey {
    key: SecretBytes<32>,
    commitment: [u8; COMMITMENT_LEN],
}

impl OneTimeKey {
    pub(super) fn new(
        scope: &Scope<'_>,
        header: &[u8],
        nonce: &Nonce,
        shared: &PointBytes,
    ) -> Self {
        let parts: [&[u8]; 7] =
            [scope.fingerprint, scope.key, &scope.version, header, scope.context, nonce, shared];
        let wide = Zeroizing::new(hash(Label::WRAP_DEM, &parts));
        let (key, commitment) = wide.split_at(32);
        let mut own = Zeroizing::new([0; 32]);
        own.copy_from_slice(key);
        let mut committed = [0; COMMITMENT_LEN];
        committed.copy_from_slice(commitment);
        Self { key: SecretBytes::new(*own), commitment: committed }
    }

    /// To stand beside the ciphertext: it opens under one key or none. Says nothing of the key.
    #[must_use]
    pub const fn commitment(&self) -> &[u8; COMMITMENT_LEN] {
        &self.commitment
    }

    /// The key, if it is the one that was committed to.
    ///
    /// # Errors
    /// [`OpenError::Commitment`]: a partial was wrong, or context, header or nonce are not those
    /// that were sealed under. Compared in constant time.
    pub fn committed(
        self,
        commitment: &[u8; COMMITMENT_LEN],
    ) -> Result<SecretBytes<32>, OpenError> {
        if bool::from(self.commitment.ct_eq(commitment)) {
            Ok(self.key)
        } else {
            Err(OpenError::Commitment)
        }
    }

    /// The key, to be used once.
    #[must_use]
    pub fn into_key(self) -> SecretBytes<32> {
        self.key
    }

    /// AES-256-GCM in place, under the zero nonce: the key serves once, and so is used up.
    ///
    /// # Panics
    /// For more than the 64 GiB that AES-GCM takes.
    #[must_use]
    pub fn seal(self, other_data: &[u8], buffer: &mut [u8]) -> [u8; TAG_LEN] {
        self.cipher()
            .encrypt_inout_detached(&[0; 12].into(), other_data, buffer.into())
            .expect("what is wrapped is far below the limits of AES-GCM")
            .into()
    }

    /// Opens in place what [`OneTimeKey::seal`] sealed. The partials must have been verified:
    /// the tag does not commit to the key.
    ///
    /// # Errors
    /// [`SealError`]; the buffer is as it was.
    pub fn open(
        self,
        other_data: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), SealError> {
        self.cipher()
            .decrypt_inout_detached(&[0; 12].into(), other_data, buffer.into(), tag.into())
            .map_err(|_| SealError)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.key.expose().into())
    }
}
