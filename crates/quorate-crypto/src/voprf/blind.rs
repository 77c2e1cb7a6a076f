//! One input: blinded before it leaves, unblinded and hashed when the answer is there.

use super::{BlindedElement, MAX_INPUT, MAX_INPUTS, OUTPUT_LEN, rfc};
use crate::{
    EncodedPoint, SecretBytes, SecretScalar,
    group::{DecodeError, encode_point},
};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use rand_core::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// Why inputs cannot be blinded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlindError {
    /// The caller's: longer than the RFC counts.
    #[error("an input has at most {MAX_INPUT} bytes, got {0}")]
    TooLong(usize),
    /// The caller's: none, or more than one proof takes.
    #[error("a batch has 1 to {MAX_INPUTS} inputs, got {0}")]
    Count(usize),
    /// A blind of 0, whose element says nothing and whose inverse does not exist.
    #[error("a blind must not be zero")]
    Zero,
    /// The input hashes to the identity (RFC 9497: InvalidInputError). Nobody knows such one.
    #[error("the input hashes to the identity")]
    Identity,
}

/// An input with its blind. Wiped on drop.
pub struct Blinding {
    input: Zeroizing<Vec<u8>>,
    blind: SecretScalar,
    element: BlindedElement,
}

impl Blinding {
    /// Blind (RFC 9497 §3.3.1): `r` random, `r·HashToGroup(input)`, constant time in both.
    ///
    /// # Errors
    /// [`BlindError`].
    pub fn new(input: &[u8], rng: &mut impl CryptoRng) -> Result<Self, BlindError> {
        Self::with(input, SecretScalar::random(rng))
    }

    /// As [`Blinding::new`] with the blind `r`.
    ///
    /// # Errors
    /// [`BlindError`].
    pub(super) fn with(input: &[u8], blind: SecretScalar) -> Result<Self, BlindError> {
        if input.len() > MAX_INPUT {
            return Err(BlindError::TooLong(input.len()));
        }
        if *blind.expose() == Scalar::ZERO {
            return Err(BlindError::Zero);
        }
        let point = Zeroizing::new(rfc::hash_to_group(input));
        let element = EncodedPoint::new(*point * blind.expose())
            .map_err(|_: DecodeError| BlindError::Identity)?;
        let input = Zeroizing::new(input.to_vec());
        Ok(Self { input, blind, element: BlindedElement(element) })
    }

    /// What the nodes get.
    #[must_use]
    pub fn element(&self) -> &BlindedElement {
        &self.element
    }

    /// Finalize (RFC 9497 §3.3.2) without its proof check, which came before:
    /// `Hash(len ‖ input ‖ len ‖ r⁻¹·N ‖ "Finalize")`, constant time.
    pub(super) fn finalize(&self, evaluated: &RistrettoPoint) -> SecretBytes<OUTPUT_LEN> {
        let inverse = SecretScalar::new(self.blind.expose().invert());
        let unblinded = Zeroizing::new(evaluated * inverse.expose());
        let n = Zeroizing::new(encode_point(&unblinded));
        let output = Zeroizing::new(rfc::hash(&[
            &rfc::len(&self.input),
            &self.input,
            &rfc::len(&n[..]),
            &n[..],
            b"Finalize",
        ]));
        SecretBytes::new(*output)
    }
}

impl fmt::Debug for Blinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blinding([redacted])")
    }
}
