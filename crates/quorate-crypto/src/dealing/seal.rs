//! One value sealed to one receiver: ristretto255 DH, HKDF-SHA512, ChaCha20-Poly1305.

use crate::{
    group::{EncodedPoint, encode_point},
    hash::{Label, hash},
    index::ShareIndex,
    secret::SecretScalar,
    sharing::Commitments,
};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag, aead::AeadInOut};
use curve25519_dalek::ristretto::RistrettoPoint;
use hkdf::Hkdf;
use sha2::Sha512;
use zeroize::{Zeroize, Zeroizing};

/// The length of a sealed value: a scalar and a tag.
pub const SEALED_LEN: usize = 48;

/// What is wrong with a sealed value. All are the dealer's, and a complaint proves each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// It does not open under the key it should be sealed to.
    #[error("the sealed value does not open: complain")]
    Sealed,
    /// It is not reduced mod ℓ.
    #[error("the sealed value is not a canonical scalar: complain")]
    Scalar,
    /// It is not on the committed polynomial.
    #[error("the sealed value does not match the commitments: complain")]
    Mismatch,
}

/// Binds a sealed value to its whole surroundings.
pub(super) fn binding(
    statement: &[u8; 32],
    ephemeral: &EncodedPoint,
    receiver: ShareIndex,
    receiver_key: &EncodedPoint,
) -> [u8; 64] {
    let index = receiver.get().to_be_bytes();
    hash(Label::DEALING_SEAL, &[statement, ephemeral.bytes(), &index, receiver_key.bytes()])
}

/// Seals `value` under the key of `shared = e·P_j`.
///
/// Key = HKDF-SHA512(salt = label, ikm = shared, info = binding); nonce 0, for a key
/// seals one value; associated data = binding. `None` cannot happen.
pub(super) fn seal(
    shared: &RistrettoPoint,
    binding: &[u8; 64],
    value: &SecretScalar,
) -> Option<[u8; SEALED_LEN]> {
    let mut out = [0; SEALED_LEN];
    let (body, tag) = out.split_at_mut(32);
    body.copy_from_slice(&value.to_bytes()[..]);
    let sealed = cipher(shared, binding)?.encrypt_inout_detached(
        &Nonce::default(),
        binding,
        (&mut *body).into(),
    );
    match sealed {
        Ok(t) => tag.copy_from_slice(&t),
        Err(_) => {
            body.zeroize();
            return None;
        }
    }
    Some(out)
}

/// Opens a sealed value and checks it against the commitments.
pub(super) fn open(
    shared: &RistrettoPoint,
    binding: &[u8; 64],
    sealed: &[u8; SEALED_LEN],
    commitments: &Commitments,
    receiver: ShareIndex,
) -> Result<SecretScalar, BadValue> {
    let (body, tag) = sealed.split_at(32);
    let mut value = Zeroizing::new([0; 32]);
    value.copy_from_slice(body);
    let tag = Tag::try_from(tag).map_err(|_| BadValue::Sealed)?;
    cipher(shared, binding)
        .ok_or(BadValue::Sealed)?
        .decrypt_inout_detached(&Nonce::default(), binding, value[..].as_mut().into(), &tag)
        .map_err(|_| BadValue::Sealed)?;
    let value = SecretScalar::from_bytes(&value).ok_or(BadValue::Scalar)?;
    if commitments.verify_share(receiver, &value) { Ok(value) } else { Err(BadValue::Mismatch) }
}

fn cipher(shared: &RistrettoPoint, binding: &[u8; 64]) -> Option<ChaCha20Poly1305> {
    let ikm = Zeroizing::new(encode_point(shared));
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha512>::new(Some(Label::DEALING_SEAL.as_bytes()), &ikm[..])
        .expand(binding, &mut key[..])
        .ok()?;
    ChaCha20Poly1305::new_from_slice(&key[..]).ok()
}
