//! Sealing at rest: XChaCha20-Poly1305 with random nonces.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, AeadInOut, Payload},
};
use quorate_crypto::{SecretBytes, ShareIndex, hash::Label};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use crate::{EpochId, Tree};

/// Bytes that sealing adds: nonce and tag.
pub(crate) const SEAL_OVERHEAD: usize = 24 + 16;

/// Whose disk this is: part of all associated data, so that nothing moves between stores.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) node: ShareIndex,
    pub(crate) cluster: [u8; 32],
}

/// `nonce ‖ ciphertext ‖ tag`. The nonce is random: 192 bits, so a key never meets one twice.
pub(crate) fn seal(key: &SecretBytes<32>, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + SEAL_OVERHEAD);
    Sealing::new(key).append(random::<24>().expose(), aad, plain, &mut out);
    out
}

/// Seals many records under one key.
pub(crate) struct Sealing(XChaCha20Poly1305);

impl Sealing {
    pub(crate) fn new(key: &SecretBytes<32>) -> Self {
        Self(cipher(key))
    }

    /// Appends what [`seal`] gives, with a nonce that is random too.
    pub(crate) fn append(&self, nonce: &[u8; 24], aad: &[u8], plain: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(nonce);
        let begin = out.len();
        out.extend_from_slice(plain);
        let tag = self
            .0
            .encrypt_inout_detached(&XNonce::from(*nonce), aad, (&mut out[begin..]).into())
            .expect("a record is shorter than the 256 GiB that the cipher allows");
        out.extend_from_slice(&tag);
    }
}

/// The plaintext, or `None` if key, associated data or bytes are not those that were sealed.
pub(crate) fn open(key: &SecretBytes<32>, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, body) = sealed.split_first_chunk::<24>()?;
    let payload = Payload { msg: body, aad };
    cipher(key).decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
}

/// Fresh random bytes; a broken generator ends the process rather than give weak ones.
pub(crate) fn random<const N: usize>() -> SecretBytes<N> {
    SecretBytes::random(&mut UnwrapErr(SysRng))
}

/// Associated data of a sealed record: whose, where, under what, and written when.
pub(crate) fn record_aad(
    owner: &Owner,
    tree: Tree,
    key: &[u8],
    epoch: &EpochId,
    sequence: u64,
) -> Vec<u8> {
    let parts: [&[u8]; 4] = [&[tree as u8], key, epoch.as_bytes(), &sequence.to_be_bytes()];
    aad(Label::STORE_SEALED, owner, &parts)
}

/// Associated data from labelled parts, each behind its length.
pub(crate) fn aad(label: Label, owner: &Owner, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| 8 + part.len()).sum();
    let mut out = Vec::with_capacity(label.as_bytes().len() + 34 + length);
    out.extend_from_slice(label.as_bytes());
    out.extend_from_slice(&owner.node.get().to_be_bytes());
    out.extend_from_slice(&owner.cluster);
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

fn cipher(key: &SecretBytes<32>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.expose().into())
}
