//! What is wrong with a ciphertext, found without asking anybody.

use quorate_crypto::tdh2::{self, Binding, Ciphertext, CiphertextFault};
use quorate_types::{
    CiphertextHead, CodecError, EncryptionContext, Fingerprint, Format, KeyName, KeyVersion,
    ciphertext::{MAX_HEAD, Sealed},
};
use thiserror::Error;

/// Why a ciphertext does not open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CiphertextError {
    /// Something else.
    #[error("this is no Quorate ciphertext: it does not begin with QRT1")]
    NotQuorate,
    /// Made by a newer Quorate.
    #[error(transparent)]
    Version(CodecError),
    /// Its end is missing.
    #[error("the ciphertext is truncated: {0}")]
    Truncated(&'static str),
    /// Something was added.
    #[error("the ciphertext is extended: {0} bytes follow its end")]
    Extended(usize),
    /// Another cluster's.
    #[error("the ciphertext is of another cluster ({got}, this is {expected})")]
    OtherCluster {
        /// This cluster's fingerprint, its first 8 digits.
        expected: String,
        /// The ciphertext's.
        got: String,
    },
    /// It names a key that there is not.
    #[error(
        "the ciphertext names key {name} version {version}, which the cluster does not have: it \
         was changed, or the key is gone"
    )]
    UnknownKey {
        /// The key.
        name: KeyName,
        /// Its version.
        version: KeyVersion,
    },
    /// A byte of its head is not what any encryption writes.
    #[error("the ciphertext was changed: {0}")]
    Head(String),
    /// The head's proof does not hold.
    #[error(
        "the ciphertext was changed, or sealed under another encryption context or another key"
    )]
    Proof,
    /// It was sealed without an encryption context.
    #[error("the ciphertext was sealed without an encryption context, but one is given: omit it")]
    NoContext,
    /// A chunk of the payload does not open.
    #[error("the ciphertext was changed: chunk {0} of its payload does not verify")]
    Chunk(u64),
    /// The last chunk does not open.
    #[error("the ciphertext was truncated or changed: its last chunk ({0}) does not verify")]
    LastChunk(u64),
    /// Every node is right and it does not open all the same.
    #[error("the ciphertext was badly made: its proof holds, but no key opens it")]
    BadlyMade,
}

/// Splits a ciphertext into head and payload, and refuses what cannot be of this cluster.
pub(crate) fn split<'a>(
    ciphertext: &'a [u8],
    fingerprint: &Fingerprint,
) -> Result<(Sealed, &'a [u8]), CiphertextError> {
    let front = &ciphertext[..ciphertext.len().min(MAX_HEAD)];
    let (head, used) = Sealed::split(front).map_err(|e| match e {
        CodecError::Kind { .. } => CiphertextError::NotQuorate,
        CodecError::Version { .. } => CiphertextError::Version(e),
        CodecError::Truncated { .. } if is_ours(front) => {
            CiphertextError::Truncated("its head is not whole")
        }
        CodecError::Truncated { .. } => CiphertextError::NotQuorate,
        other => CiphertextError::Head(other.to_string()),
    })?;
    let header = head.header();
    if !header.is_of(fingerprint) {
        return Err(CiphertextError::OtherCluster {
            expected: fingerprint.short(),
            got: header.cluster[..4].iter().map(|b| format!("{b:02x}")).collect(),
        });
    }
    Ok((head, &ciphertext[used..]))
}

/// Why the head does not verify under this key and context; `None` if it does.
pub(crate) fn diagnose(
    head: &CiphertextHead,
    binding: &Binding<'_>,
    context: &EncryptionContext,
) -> Option<CiphertextError> {
    let header = head.header.to_bytes();
    let ciphertext = match Ciphertext::from_bytes(&head.kem) {
        Ok(ciphertext) => ciphertext,
        Err(fault) => return Some(CiphertextError::Head(fault.to_string())),
    };
    let verify =
        |context: &EncryptionContext| tdh2::verify(binding, &context.label(), &header, &ciphertext);
    match verify(context) {
        Ok(_) => None,
        Err(CiphertextFault::Proof) => {
            let none = EncryptionContext::default();
            let bare = *context != none && verify(&none).is_ok();
            Some(if bare { CiphertextError::NoContext } else { CiphertextError::Proof })
        }
        Err(fault) => Some(CiphertextError::Head(fault.to_string())),
    }
}

fn is_ours(front: &[u8]) -> bool {
    const KIND: &[u8] = b"QRT1";
    let n = front.len().min(KIND.len());
    n > 0 && front[..n] == KIND[..n]
}
