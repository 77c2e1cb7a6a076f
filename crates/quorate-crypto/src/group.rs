//! ristretto255: strict decoding and the second generator. The group of a shared polynomial,
//! which may be another one, is [`Group`].

mod element;

pub(crate) use element::edwards_mul_base;
pub use element::{Element, Group};

use crate::{hash::Label, secret::SecretScalar};
use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_POINT,
    ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint},
    scalar::Scalar,
    traits::IsIdentity,
};
use sha2::Sha512;
use std::{fmt, sync::LazyLock};
use zeroize::Zeroizing;

/// A group element as it travels: canonical ristretto255 encoding.
pub type PointBytes = [u8; 32];

/// A scalar as it travels: canonical little-endian encoding, below ℓ.
pub type ScalarBytes = [u8; 32];

/// Why bytes are no group element or scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the canonical encoding of a point.
    #[error("not a canonical ristretto255 point")]
    Point,
    /// Not the canonical encoding of a point of edwards25519.
    #[error("not a canonical edwards25519 point")]
    Edwards,
    /// A point of edwards25519 outside of the subgroup of prime order.
    #[error("a point with a component of small order, which no public value may have")]
    Torsion,
    /// The identity, which no public value may be.
    #[error("the identity point, which no public value may be")]
    Identity,
    /// Not reduced mod ℓ.
    #[error("not a canonical scalar (must be below the group order)")]
    Scalar,
}

/// The generator `B`.
pub const B: RistrettoPoint = RISTRETTO_BASEPOINT_POINT;

/// The second generator `B2`, hashed to the group: nobody knows `log_B B2`.
pub static B2: LazyLock<RistrettoPoint> =
    LazyLock::new(|| RistrettoPoint::hash_from_bytes::<Sha512>(Label::SECOND_GENERATOR.as_bytes()));

/// Multiples of `B2` for constant-time multiplication.
pub static B2_TABLE: LazyLock<RistrettoBasepointTable> =
    LazyLock::new(|| RistrettoBasepointTable::create(&B2));

/// Decodes a point; refuses what is not canonical, and the identity.
///
/// # Errors
/// [`DecodeError::Point`], [`DecodeError::Identity`].
pub fn decode_point(bytes: &PointBytes) -> Result<RistrettoPoint, DecodeError> {
    let point = CompressedRistretto(*bytes).decompress().ok_or(DecodeError::Point)?;
    if point.is_identity() { Err(DecodeError::Identity) } else { Ok(point) }
}

/// Decodes a public scalar; refuses what is not reduced mod ℓ.
///
/// # Errors
/// [`DecodeError::Scalar`].
pub fn decode_scalar(bytes: &ScalarBytes) -> Result<Scalar, DecodeError> {
    Option::from(Scalar::from_canonical_bytes(*bytes)).ok_or(DecodeError::Scalar)
}

/// Encodes a point.
#[must_use]
pub fn encode_point(point: &RistrettoPoint) -> PointBytes {
    point.compress().0
}

/// A secret times each of many points, encoded; constant time in the secret. Every point is
/// multiplied by half of it and doubled while it is encoded, so that all share one field inversion.
pub(crate) fn times_batch<'a>(
    secret: &SecretScalar,
    points: impl Iterator<Item = &'a RistrettoPoint>,
) -> Vec<PointBytes> {
    let half = SecretScalar::new(secret.expose().div_by_2());
    let halves: Zeroizing<Vec<RistrettoPoint>> =
        Zeroizing::new(points.map(|p| half.expose() * p).collect());
    RistrettoPoint::double_and_compress_batch(halves.iter()).into_iter().map(|c| c.0).collect()
}

/// A public point beside its encoding, so that transcripts need not encode it again
/// (3.5 µs each). Never the identity; the two cannot disagree.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EncodedPoint {
    point: RistrettoPoint,
    bytes: PointBytes,
}

impl EncodedPoint {
    /// Encodes a point.
    ///
    /// # Errors
    /// [`DecodeError::Identity`].
    pub fn new(point: RistrettoPoint) -> Result<Self, DecodeError> {
        if point.is_identity() {
            return Err(DecodeError::Identity);
        }
        Ok(Self { point, bytes: encode_point(&point) })
    }

    /// Decodes as [`decode_point`] does.
    ///
    /// # Errors
    /// [`DecodeError::Point`], [`DecodeError::Identity`].
    pub fn decode(bytes: &PointBytes) -> Result<Self, DecodeError> {
        Ok(Self { point: decode_point(bytes)?, bytes: *bytes })
    }

    /// The point.
    #[must_use]
    pub const fn point(&self) -> &RistrettoPoint {
        &self.point
    }

    /// Its canonical encoding.
    #[must_use]
    pub const fn bytes(&self) -> &PointBytes {
        &self.bytes
    }
}

impl fmt::Debug for EncodedPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedPoint({:02x}{:02x}…)", self.bytes[0], self.bytes[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_and_non_canonical_bytes_are_refused() {
        assert_eq!(decode_point(&[0; 32]), Err(DecodeError::Identity));
        assert_eq!(decode_point(&[0xff; 32]), Err(DecodeError::Point));
        let mut negative = encode_point(&B);
        negative[0] ^= 1; // odd s is the negative, non-canonical root
        assert_eq!(decode_point(&negative), Err(DecodeError::Point));
        assert_eq!(decode_point(&encode_point(&B)), Ok(B));
    }

    #[test]
    fn the_group_order_is_no_scalar() {
        let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
            .unwrap();
        assert_eq!(decode_scalar(&order.try_into().unwrap()), Err(DecodeError::Scalar));
        assert_eq!(decode_scalar(&[0; 32]), Ok(Scalar::ZERO));
    }
}
