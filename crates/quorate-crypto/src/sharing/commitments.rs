//! The public polynomial.

use super::feldman;
use crate::{
    group::{DecodeError, PointBytes, decode_point, encode_point},
    index::{ShareIndex, Threshold},
    secret::SecretScalar,
};
use curve25519_dalek::{
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{Identity, IsIdentity, VartimeMultiscalarMul},
};

/// Why points are no commitments to a polynomial of the expected degree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitmentsError {
    /// More would raise the threshold, fewer would lower it.
    #[error("a threshold of {expected} has exactly {expected} commitments, got {got}")]
    Count {
        /// The threshold.
        expected: usize,
        /// The number found.
        got: usize,
    },
    /// Not canonical, or the identity.
    #[error("commitment {k}: {error}")]
    Point {
        /// Which coefficient, from 0.
        k: usize,
        /// What is wrong with it.
        error: DecodeError,
    },
}

/// Why commitments have no sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SumError {
    /// The peers', all together: a coefficient cancels. No honest dealer took part.
    #[error("coefficient {k} of the sum is the identity: the dealings cancel each other")]
    Cancels {
        /// Which coefficient, from 0.
        k: usize,
    },
    /// The caller's: no summand, or summands of different degrees.
    #[error("a sum needs one summand at least, and all of one threshold")]
    Mismatch,
}

/// `C_k = a_k·B`, exactly `t` of them, canonical, none the identity.
#[derive(Clone, PartialEq, Eq)]
pub struct Commitments {
    points: Vec<RistrettoPoint>,
    bytes: Vec<PointBytes>,
}

impl Commitments {
    /// Decodes the commitments of a polynomial with threshold `t`.
    ///
    /// # Errors
    /// [`CommitmentsError::Count`] for any number but `t`; [`CommitmentsError::Point`] for a
    /// non-canonical encoding or the identity, in whatever place. (As the last one it
    /// would lower the threshold, as the first it would be no key.)
    pub fn from_bytes(t: Threshold, bytes: &[PointBytes]) -> Result<Self, CommitmentsError> {
        if bytes.len() != t.as_usize() {
            return Err(CommitmentsError::Count { expected: t.as_usize(), got: bytes.len() });
        }
        let decode = |(k, b)| decode_point(b).map_err(|error| CommitmentsError::Point { k, error });
        let points = bytes.iter().enumerate().map(decode).collect::<Result<_, _>>()?;
        Ok(Self { points, bytes: bytes.to_vec() })
    }

    /// Of points that are known not to be the identity, at least two.
    pub(super) fn of_nonzero(points: Vec<RistrettoPoint>) -> Self {
        let bytes = points.iter().map(encode_point).collect();
        Self { points, bytes }
    }

    /// The encodings, `C_0` first.
    #[must_use]
    pub fn bytes(&self) -> &[PointBytes] {
        &self.bytes
    }

    /// `C_0 ‖ … ‖ C_{t−1}`, as it is hashed.
    #[must_use]
    pub fn concat(&self) -> Vec<u8> {
        self.bytes.concat()
    }

    /// `t`, the number of commitments.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.points.len()
    }

    /// `C_0`: the public key of what is shared.
    #[must_use]
    pub fn constant(&self) -> &RistrettoPoint {
        &self.points[0]
    }

    /// `C_0`, encoded.
    #[must_use]
    pub fn constant_bytes(&self) -> &PointBytes {
        &self.bytes[0]
    }

    /// `Y_i = Σ i^k·C_k`, the verifying key of share `i` (Horner; the index is public).
    #[must_use]
    pub fn at(&self, index: ShareIndex) -> RistrettoPoint {
        let horner = |acc: RistrettoPoint, c: &RistrettoPoint| vartime_mul_small(&acc, index) + c;
        self.points.iter().rev().fold(RistrettoPoint::identity(), horner)
    }

    /// Whether `share` is `f(index)`; constant time in the share.
    #[must_use]
    pub fn verify_share(&self, index: ShareIndex, share: &SecretScalar) -> bool {
        feldman::verify_share(&self.points, index, share)
    }

    /// `Σ w_d·C_d`, coefficient by coefficient, with public weights.
    ///
    /// # Errors
    /// [`SumError::Mismatch`], [`SumError::Cancels`].
    pub fn weighted_sum(summands: &[(Scalar, &Self)]) -> Result<Self, SumError> {
        let t = summands.first().ok_or(SumError::Mismatch)?.1.threshold();
        if summands.iter().any(|(_, c)| c.threshold() != t) {
            return Err(SumError::Mismatch);
        }
        let weights = || summands.iter().map(|(w, _)| w);
        let coefficient = |k: usize| {
            let points = summands.iter().map(|(_, c)| c.points[k]);
            let sum = RistrettoPoint::vartime_multiscalar_mul(weights(), points);
            if sum.is_identity() { Err(SumError::Cancels { k }) } else { Ok(sum) }
        };
        Ok(Self::of_nonzero((0..t).map(coefficient).collect::<Result<_, _>>()?))
    }
}

impl std::fmt::Debug for Commitments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, ..] = self.bytes[0];
        write!(f, "Commitments(t = {}, constant {a:02x}{b:02x}…)", self.threshold())
    }
}

/// `index·point` by doubling and adding: 16 bits instead of 253.
fn vartime_mul_small(point: &RistrettoPoint, index: ShareIndex) -> RistrettoPoint {
    let bits = index.get();
    let mut acc = *point; // the leading one bit
    for i in (0..bits.ilog2()).rev() {
        acc += acc;
        if bits >> i & 1 == 1 {
            acc += point;
        }
    }
    acc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{group::B, sharing::Polynomial};

    fn commitments(t: u16) -> Commitments {
        let rng = &mut rand::rng();
        let t = Threshold::new(t, 64).unwrap();
        Polynomial::random(t, &SecretScalar::random(rng), rng).unwrap().commit()
    }

    /// Attack 3: threshold raise, and its opposite.
    #[test]
    fn any_other_number_of_commitments_is_refused() {
        let t = Threshold::new(3, 5).unwrap();
        let bytes = commitments(5).bytes().to_vec();
        for got in [0, 1, 2, 4, 5] {
            let error = CommitmentsError::Count { expected: 3, got };
            assert_eq!(Commitments::from_bytes(t, &bytes[..got]), Err(error));
        }
        assert!(Commitments::from_bytes(t, &bytes[..3]).is_ok());
    }

    /// Attack 14. Torsion does not apply: ristretto255 has prime order, its decoder
    /// gives no point outside it.
    #[test]
    fn identity_and_non_canonical_points_are_refused_in_every_place() {
        let t = Threshold::new(3, 5).unwrap();
        let good = commitments(3).bytes().to_vec();
        let mut negative = encode_point(&B);
        negative[0] ^= 1;
        let mut above_p = [0xff; 32];
        above_p[0] = 0xee;
        above_p[31] = 0x7f; // p + 1, which is 1 when reduced
        for (bad, error) in [
            ([0; 32], DecodeError::Identity),
            (negative, DecodeError::Point),
            (above_p, DecodeError::Point),
            ([0xff; 32], DecodeError::Point),
        ] {
            for k in 0..3 {
                let mut bytes = good.clone();
                bytes[k] = bad;
                let got = Commitments::from_bytes(t, &bytes);
                assert_eq!(got, Err(CommitmentsError::Point { k, error }));
            }
        }
    }

    #[test]
    fn small_multiples_agree_with_the_group() {
        for i in [1, 2, 3, 255, 256, 0x8000, 65535] {
            let index = ShareIndex::new(i).unwrap();
            assert_eq!(vartime_mul_small(&B, index), Scalar::from(i) * B);
        }
    }

    #[test]
    fn a_sum_that_cancels_is_refused() {
        let a = commitments(3);
        let cancels = Commitments::weighted_sum(&[(Scalar::ONE, &a), (-Scalar::ONE, &a)]);
        assert_eq!(cancels, Err(SumError::Cancels { k: 0 }));
        let mixed = Commitments::weighted_sum(&[(Scalar::ONE, &a), (Scalar::ONE, &commitments(2))]);
        assert_eq!(mixed, Err(SumError::Mismatch));
        assert_eq!(Commitments::weighted_sum(&[]), Err(SumError::Mismatch));
        assert_eq!(Commitments::weighted_sum(&[(Scalar::ONE, &a)]), Ok(a));
    }
}
