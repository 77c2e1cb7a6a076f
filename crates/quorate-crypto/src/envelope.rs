//! Small secrets at rest: an identity key, a key-encryption key, sealed under a passphrase
//! (Argon2id, RFC 9106) or under 32 raw bytes.
//!
//! ```text
//! envelope = "QENV" ‖ version (u16 = 1) ‖ method (0 key, 1 passphrase)
//!          ‖ [method 1: memory KiB (u32) ‖ passes (u32) ‖ lanes (u32) ‖ salt (16)]
//!          ‖ nonce (24) ‖ commitment (32) ‖ XChaCha20-Poly1305 ciphertext and tag
//! ikm      = the raw key, or Argon2id(passphrase, salt, 32 bytes)
//! key ‖ commitment = H(envelope/key, method, ikm, nonce)
//! aad      = everything before the ciphertext ‖ context
//! ```
//!
//! # Security
//! The cost stands in the header, so that it can rise with the years. A file sealed too
//! cheaply, or one changed to exhaust memory, is refused before any work is done: the reader
//! has its own floor, and [`Cost::CEILING`] holds for all. The commitment makes the AEAD key-committing: one file opens under one passphrase.

mod cost;

pub use cost::{Cost, CostError};

use crate::{
    SecretBytes,
    hash::{Label, hash},
};
use chacha20poly1305::{
    XChaCha20Poly1305,
    aead::{Aead, KeyInit, Payload},
};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The largest secret that is sealed here.
pub const MAX_SECRET: usize = 64 * 1024;

const MAGIC: &[u8; 4] = b"QENV";
const VERSION: [u8; 2] = 1_u16.to_be_bytes();
const METHOD_KEY: u8 = 0;
const METHOD_PASSPHRASE: u8 = 1;
const SALT_LEN: usize = 16;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;

/// Why a secret is not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not an envelope, or one of another version.
    #[error("not an envelope of format version 1")]
    Format,
    /// Sealed by the other method.
    #[error("the envelope is sealed under a {found}, not under a {asked}")]
    Method {
        /// What the envelope says.
        found: &'static str,
        /// What the caller has.
        asked: &'static str,
    },
    /// Its cost is out of bounds.
    #[error(transparent)]
    Cost(#[from] CostError),
    /// Wrong passphrase, key or context, or changed.
    #[error("the envelope does not open: wrong passphrase or key, or it was changed or moved")]
    Open,
    /// The caller's: more than [`MAX_SECRET`].
    #[error("at most {MAX_SECRET} bytes are sealed in an envelope, got {got}")]
    Length {
        /// Bytes offered.
        got: usize,
    },
}

/// Seals `secret` under a passphrase. `context` says what it is and is needed to open it.
///
/// # Errors
/// [`EnvelopeError::Length`], [`EnvelopeError::Cost`].
pub fn seal_with_passphrase(
    passphrase: &[u8],
    context: &[u8],
    secret: &[u8],
    cost: &Cost,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, EnvelopeError> {
    let mut salt = [0; SALT_LEN];
    rng.fill_bytes(&mut salt);
    let ikm = cost.derive(passphrase, &salt)?;
    let mut header = prefix(METHOD_PASSPHRASE);
    header.extend_from_slice(&cost.to_bytes());
    header.extend_from_slice(&salt);
    seal(header, METHOD_PASSPHRASE, &ikm, context, secret, rng)
}

/// Opens what [`seal_with_passphrase`] sealed, unless it cost less than `floor`: for what
/// people type, [`Cost::FLOOR`].
///
/// # Errors
/// [`EnvelopeError`]; a cost out of bounds is refused before any work is done.
pub fn open_with_passphrase(
    passphrase: &[u8],
    context: &[u8],
    envelope: &[u8],
    floor: &Cost,
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let rest = after_prefix(envelope, METHOD_PASSPHRASE)?;
    let (cost, rest) = rest.split_first_chunk().ok_or(EnvelopeError::Format)?;
    let (salt, _) = rest.split_first_chunk::<SALT_LEN>().ok_or(EnvelopeError::Format)?;
    check_body(rest.len() - SALT_LEN)?;
    let cost = Cost::from_bytes(cost, floor)?;
    let ikm = cost.derive(passphrase, salt)?;
    open(envelope, rest.len() - SALT_LEN, METHOD_PASSPHRASE, &ikm, context)
}

/// Seals `secret` under a raw key, which may seal any number of secrets.
///
/// # Errors
/// [`EnvelopeError::Length`].
pub fn seal_with_key(
    key: &SecretBytes<32>,
    context: &[u8],
    secret: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, EnvelopeError> {
    seal(prefix(METHOD_KEY), METHOD_KEY, key, context, secret, rng)
}

/// Opens what [`seal_with_key`] sealed.
///
/// # Errors
/// [`EnvelopeError`].
pub fn open_with_key(
    key: &SecretBytes<32>,
    context: &[u8],
    envelope: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let rest = after_prefix(envelope, METHOD_KEY)?;
    check_body(rest.len())?;
    open(envelope, rest.len(), METHOD_KEY, key, context)
}

fn seal(
    mut out: Vec<u8>,
    method: u8,
    ikm: &SecretBytes<32>,
    context: &[u8],
    secret: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, EnvelopeError> {
    if secret.len() > MAX_SECRET {
        return Err(EnvelopeError::Length { got: secret.len() });
    }
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let (cipher, commitment) = keys(method, ikm, &nonce);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&commitment);
    let aad = [&out[..], context].concat();
    let sealed = cipher
        .encrypt(&nonce.into(), Payload { msg: secret, aad: &aad })
        .expect("64 KiB is below the limit of XChaCha20-Poly1305");
    out.extend_from_slice(&sealed);
    Ok(out)
}

/// `body` is what follows the method's header: nonce, commitment, ciphertext.
fn open(
    envelope: &[u8],
    body: usize,
    method: u8,
    ikm: &SecretBytes<32>,
    context: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let rest = &envelope[envelope.len() - body..];
    let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(EnvelopeError::Format)?;
    let (commitment, sealed) = rest.split_first_chunk::<32>().ok_or(EnvelopeError::Format)?;
    let (cipher, expected) = keys(method, ikm, nonce);
    if !bool::from(expected.ct_eq(commitment)) {
        return Err(EnvelopeError::Open);
    }
    let aad = [&envelope[..envelope.len() - sealed.len()], context].concat();
    cipher
        .decrypt(nonce.into(), Payload { msg: sealed, aad: &aad })
        .map(Zeroizing::new)
        .map_err(|_| EnvelopeError::Open)
}

fn keys(method: u8, ikm: &SecretBytes<32>, nonce: &[u8]) -> (XChaCha20Poly1305, [u8; 32]) {
    let wide = Zeroizing::new(hash(Label::ENVELOPE, &[&[method], ikm.expose(), nonce]));
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(std::array::from_fn(|i| wide[i]));
    (XChaCha20Poly1305::new((&*key).into()), std::array::from_fn(|i| wide[32 + i]))
}

fn prefix(method: u8) -> Vec<u8> {
    [&MAGIC[..], &VERSION, &[method]].concat()
}

fn after_prefix(envelope: &[u8], asked: u8) -> Result<&[u8], EnvelopeError> {
    let rest = envelope.strip_prefix(MAGIC).ok_or(EnvelopeError::Format)?;
    let rest = rest.strip_prefix(&VERSION).ok_or(EnvelopeError::Format)?;
    match rest.split_first() {
        Some((&found, rest)) if found == asked => Ok(rest),
        Some((&found @ (METHOD_KEY | METHOD_PASSPHRASE), _)) => {
            Err(EnvelopeError::Method { found: method_name(found), asked: method_name(asked) })
        }
        _ => Err(EnvelopeError::Format),
    }
}

fn method_name(method: u8) -> &'static str {
    if method == METHOD_KEY { "key" } else { "passphrase" }
}

/// Refuses what cannot be a body before any work is done for it.
fn check_body(len: usize) -> Result<(), EnvelopeError> {
    let least = NONCE_LEN + 32 + TAG_LEN;
    if (least..=least + MAX_SECRET).contains(&len) { Ok(()) } else { Err(EnvelopeError::Format) }
}

#[cfg(test)]
mod tests;
