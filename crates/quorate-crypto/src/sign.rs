//! Identities: Ed25519 with strict verification and one way to build what is signed.
//!
//! A signature of ours is over `label ‖ fingerprint ‖ bytes`. Labels are prefix-free
//! and the fingerprint has 32 bytes, so no two (label, cluster, bytes) share an input.

use crate::{hash::Label, memo::Memo};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// Decoded public keys: a committee's come with each of its messages.
static DECODED: Memo<[u8; 32], VerifyingKey> = Memo::new(1024);
/// Hashes of (key, signature, what was signed) of signatures that verified: some dozens for each
/// key of a pass over thousands, in up to 10 MB.
static VERIFIED: Memo<[u8; 32], ()> = Memo::new(64 * 1024);

/// Why a public key or signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not a point, or one of small order.
    #[error("not an Ed25519 public key (non-canonical or of small order)")]
    Key,
    /// The signature does not verify (strictly) under this key.
    #[error("the signature does not verify")]
    Mismatch,
}

/// An Ed25519 signature, not yet verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// An Ed25519 public key: canonical, a point, not of small order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// # Errors
    /// [`SignatureError::Key`] for bytes that strict verification would refuse.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, SignatureError> {
        decode(&bytes).map(|_| Self(bytes))
    }

    /// The encoding.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Verifies strictly (RFC 8032, cofactorless, no small-order points).
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`].
    pub fn verify(
        &self,
        label: Label,
        fingerprint: &[u8; 32],
        bytes: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        let input = signed_input(label, fingerprint, bytes);
        // Both before the input have one length, so no two triples share a hash's input.
        let name = Sha256::new().chain_update(self.0).chain_update(signature.0);
        let name: [u8; 32] = name.chain_update(&input).finalize().into();
        if VERIFIED.get(&name).is_some() {
            return Ok(());
        }
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        decode(&self.0)?.verify_strict(&input, &signature).map_err(|_| SignatureError::Mismatch)?;
        VERIFIED.put(name, ());
        Ok(())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// An Ed25519 private key: a node's, client's, operator's or coordinator's identity.
/// Wiped on drop (by ed25519-dalek), never printed.
#[derive(Clone)]
pub struct IdentityKey(SigningKey);

impl IdentityKey {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut seed[..]);
        Self::from_seed(&seed)
    }

    /// The key of an RFC 8032 seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The RFC 8032 seed, wiped on drop.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `label ‖ fingerprint ‖ bytes`.
    #[must_use]
    pub fn sign(&self, label: Label, fingerprint: &[u8; 32], bytes: &[u8]) -> Signature {
        Signature(self.0.sign(&signed_input(label, fingerprint, bytes)).to_bytes())
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKey({}, [redacted])", self.public())
    }
}

fn decode(bytes: &[u8; 32]) -> Result<VerifyingKey, SignatureError> {
    if let Some(key) = DECODED.get(bytes) {
        return Ok(key);
    }
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| SignatureError::Key)?;
    // Decompression accepts y >= p; the encoding of the decoded point tells.
    if key.is_weak() || key.to_edwards().compress().to_bytes() != *bytes {
        return Err(SignatureError::Key);
    }
    DECODED.put(*bytes, key);
    Ok(key)
}

fn signed_input(label: Label, fingerprint: &[u8; 32], bytes: &[u8]) -> Vec<u8> {
    let label = label.as_bytes();
    let mut input = Vec::with_capacity(label.len() + 32 + bytes.len());
    input.extend_from_slice(label);
    input.extend_from_slice(fingerprint);
    input.extend_from_slice(bytes);
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_bound_to_label_cluster_and_bytes() {
        let key = IdentityKey::from_seed(&[7; 32]);
        let sig = key.sign(Label::SIG_ORDER, &[1; 32], b"order");
        let public = key.public();
        assert!(public.verify(Label::SIG_ORDER, &[1; 32], b"order", &sig).is_ok());
        assert!(public.verify(Label::SIG_REQUEST, &[1; 32], b"order", &sig).is_err());
        assert!(public.verify(Label::SIG_ORDER, &[2; 32], b"order", &sig).is_err());
        assert!(public.verify(Label::SIG_ORDER, &[1; 32], b"ordes", &sig).is_err());
    }

    #[test]
    fn what_has_verified_once_says_nothing_of_another_key_signature_or_input() {
        let (key, other) = (IdentityKey::from_seed(&[7; 32]), IdentityKey::from_seed(&[8; 32]));
        let sign = |key: &IdentityKey| key.sign(Label::SIG_ORDER, &[1; 32], b"order");
        let holds = |key: &IdentityKey, sig: &Signature, bytes: &[u8]| {
            key.public().verify(Label::SIG_ORDER, &[1; 32], bytes, sig).is_ok()
        };
        let (mine, others) = (sign(&key), sign(&other));
        for _ in 0..2 {
            assert!(holds(&key, &mine, b"order") && holds(&other, &others, b"order"));
            assert!(!holds(&key, &others, b"order") && !holds(&other, &mine, b"order"));
            assert!(!holds(&key, &mine, b"orde") && !holds(&key, &mine, b"orderr"));
            for bit in 0..512 {
                let mut changed = mine;
                changed.0[bit / 8] ^= 1 << (bit % 8);
                assert!(!holds(&key, &changed, b"order"), "bit {bit}");
            }
        }
    }

    #[test]
    fn small_order_and_non_canonical_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::from_bytes(identity), Err(SignatureError::Key));
        assert_eq!(PublicKey::from_bytes([0; 32]), Err(SignatureError::Key));
        let mut y_is_p_plus_1 = [0xff; 32];
        y_is_p_plus_1[0] = 0xee;
        y_is_p_plus_1[31] = 0x7f;
        assert_eq!(PublicKey::from_bytes(y_is_p_plus_1), Err(SignatureError::Key));
    }

    #[test]
    fn an_identity_key_prints_its_public_half_only() {
        let key = IdentityKey::from_seed(&[9; 32]);
        assert!(!format!("{key:?}").contains("0909"));
    }
}
