//! The group of a shared polynomial: a suite's choice, made at run time.
//!
//! Both have the same prime order ℓ and thus the same scalars, so that one sharing serves both;
//! what differs is where `a·B` lies, and how a point is written.

use super::{DecodeError, PointBytes, decode_point, encode_point};
use crate::secret::SecretScalar;
use curve25519_dalek::{
    edwards::{CompressedEdwardsY, EdwardsPoint, SubgroupPoint},
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::IsIdentity,
};
use group::{Group as _, cofactor::CofactorGroup};
use std::fmt;

/// In which group a polynomial is committed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// ristretto255 (RFC 9496): for decryption and derivation.
    Ristretto255,
    /// The subgroup of prime order of edwards25519: for Ed25519 signatures.
    Edwards25519,
}

impl Group {
    /// Decodes a point of this group strictly: canonical, of prime order, not the identity.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(self, bytes: &PointBytes) -> Result<Element, DecodeError> {
        match self {
            Self::Ristretto255 => decode_point(bytes).map(Element::Ristretto),
            Self::Edwards25519 => decode_edwards(bytes).map(Element::Edwards),
        }
    }

    /// `k·B`, constant time. The identity for a `k` of zero.
    #[must_use]
    pub fn mul_base(self, k: &SecretScalar) -> Element {
        match self {
            Self::Ristretto255 => Element::Ristretto(k.public()),
            Self::Edwards25519 => Element::Edwards(edwards_mul_base(k.expose())),
        }
    }

    /// What a transcript of dealings has at its end beside what it has over ristretto255.
    /// Every part of a hash is prefixed with its length, and one list of parts is never another
    /// with a part more.
    pub(crate) const fn binding(self) -> Option<&'static [u8]> {
        match self {
            Self::Ristretto255 => None,
            Self::Edwards25519 => Some(b"edwards25519"),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ristretto255 => "ristretto255",
            Self::Edwards25519 => "edwards25519",
        })
    }
}

/// A public element of one of the groups. Elements of two groups are never equal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Of ristretto255.
    Ristretto(RistrettoPoint),
    /// Of the subgroup of prime order of edwards25519; no torsion, by type.
    Edwards(SubgroupPoint),
}

impl Element {
    /// Which group it is of.
    #[must_use]
    pub const fn group(&self) -> Group {
        match self {
            Self::Ristretto(_) => Group::Ristretto255,
            Self::Edwards(_) => Group::Edwards25519,
        }
    }

    /// Its canonical encoding.
    #[must_use]
    pub fn encode(&self) -> PointBytes {
        match self {
            Self::Ristretto(point) => encode_point(point),
            Self::Edwards(point) => EdwardsPoint::from(*point).compress().0,
        }
    }

    /// The point, if it is one of ristretto255.
    #[must_use]
    pub const fn ristretto(&self) -> Option<&RistrettoPoint> {
        match self {
            Self::Ristretto(point) => Some(point),
            Self::Edwards(_) => None,
        }
    }

    /// Whether it is the identity, which no public value may be.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        match self {
            Self::Ristretto(point) => IsIdentity::is_identity(point),
            Self::Edwards(point) => *point == SubgroupPoint::default(),
        }
    }

    /// `s·B − c·P` for this `P`, encoded: what a verifier of a Schnorr proof computes.
    pub(crate) fn vartime_schnorr(&self, c: &Scalar, s: &Scalar) -> PointBytes {
        match self {
            Self::Ristretto(p) => {
                encode_point(&RistrettoPoint::vartime_double_scalar_mul_basepoint(&-c, p, s))
            }
            Self::Edwards(p) => {
                let p = EdwardsPoint::from(*p);
                EdwardsPoint::vartime_double_scalar_mul_basepoint(&-c, &p, s).compress().0
            }
        }
    }
}

impl From<RistrettoPoint> for Element {
    fn from(point: RistrettoPoint) -> Self {
        Self::Ristretto(point)
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.encode();
        write!(f, "Element({}, {a:02x}{b:02x}…)", self.group())
    }
}

/// `k·B` with the precomputed multiples of `B`, constant time. dalek has them for points of the
/// whole curve only; a multiple of `B` has no torsion, so nothing is lost on the way into the type.
pub(crate) fn edwards_mul_base(k: &Scalar) -> SubgroupPoint {
    let point = EdwardsPoint::mul_base(k);
    Option::from(point.into_subgroup()).unwrap_or_else(|| SubgroupPoint::generator() * k)
}

/// Strict where dalek is not: `decompress` takes a `y` of `p` or more, and a zero `x` with its
/// sign bit set; and it takes points with a component of small order.
fn decode_edwards(bytes: &PointBytes) -> Result<SubgroupPoint, DecodeError> {
    let point = CompressedEdwardsY(*bytes).decompress().ok_or(DecodeError::Edwards)?;
    if point.compress().0 != *bytes {
        return Err(DecodeError::Edwards);
    }
    if IsIdentity::is_identity(&point) {
        return Err(DecodeError::Identity);
    }
    Option::from(point.into_subgroup()).ok_or(DecodeError::Torsion)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::B;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};

    const ED: Group = Group::Edwards25519;

    /// Attack 14: all eight points of small order, and each of them added to a good point.
    #[test]
    fn no_point_with_torsion_decodes() {
        for (i, torsion) in EIGHT_TORSION.iter().enumerate() {
            let expected = if i == 0 { DecodeError::Identity } else { DecodeError::Torsion };
            assert_eq!(ED.decode(&torsion.compress().0), Err(expected), "torsion point {i}");
            let mixed = (ED25519_BASEPOINT_POINT + torsion).compress().0;
            assert_eq!(ED.decode(&mixed).is_ok(), i == 0, "B and torsion point {i}");
        }
    }

    /// Attack 14: the 19 encodings of a `y` of at least `p`, with either sign, of which some are
    /// points; and a zero `x` with its sign bit set.
    #[test]
    fn no_non_canonical_edwards_point_decodes() {
        let mut points = 0;
        for low in 0xed..=0xff_u8 {
            for sign in [0x7f, 0xff] {
                let mut bytes = [0xff; 32];
                (bytes[0], bytes[31]) = (low, sign);
                points += usize::from(CompressedEdwardsY(bytes).decompress().is_some());
                assert_eq!(ED.decode(&bytes), Err(DecodeError::Edwards), "{low:02x} {sign:02x}");
            }
        }
        assert!(points > 0, "dalek itself takes some of them");
        for y in [1, -1_i8] {
            let mut bytes = if y == 1 { [0; 32] } else { [0xff; 32] };
            (bytes[0], bytes[31]) = if y == 1 { (1, 0x80) } else { (0xec, 0xff) };
            assert_eq!(ED.decode(&bytes), Err(DecodeError::Edwards), "x = -0, y = {y}");
        }
    }

    #[test]
    fn elements_of_two_groups_are_never_equal() {
        let one = SecretScalar::new(Scalar::ONE);
        let (r, e) = (Group::Ristretto255.mul_base(&one), ED.mul_base(&one));
        assert_eq!(r, Element::Ristretto(B));
        assert_eq!(e.encode(), ED25519_BASEPOINT_POINT.compress().0);
        assert_ne!(r, e);
        assert_eq!(ED.decode(&e.encode()), Ok(e));
        assert_eq!((r.group(), e.group()), (Group::Ristretto255, ED));
        assert!(ED.mul_base(&SecretScalar::new(Scalar::ZERO)).is_identity());
    }
}
