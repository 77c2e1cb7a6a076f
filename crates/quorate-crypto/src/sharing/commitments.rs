//! The public polynomial.

use super::feldman;
use crate::{
    group::{
        DecodeError, Element, EncodedPoint, Group, PointBytes, edwards_mul_base, encode_point,
    },
    index::{ShareIndex, Threshold},
    secret::SecretScalar,
};
use curve25519_dalek::{
    edwards::SubgroupPoint, ristretto::RistrettoPoint, scalar::Scalar,
    traits::VartimeMultiscalarMul,
};
use std::ops::Add;

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
    /// The caller's: no summand, or summands of different degrees or groups.
    #[error("a sum needs one summand at least, and all of one threshold and group")]
    Mismatch,
}

/// `C_k = a_k·B`, exactly `t` of them, canonical, none the identity, all of one group.
#[derive(Clone, PartialEq, Eq)]
pub struct Commitments {
    points: Points,
    bytes: Vec<PointBytes>,
}

/// At least two points of one group.
#[derive(Clone, PartialEq, Eq)]
enum Points {
    Ristretto(Vec<RistrettoPoint>),
    Edwards(Vec<SubgroupPoint>),
}

impl Commitments {
    /// Decodes the commitments in `group` of a polynomial with threshold `t`.
    ///
    /// # Errors
    /// [`CommitmentsError::Count`] for any number but `t`; [`CommitmentsError::Point`] for a
    /// non-canonical encoding, a point that is not of prime order, or the identity, in whatever
    /// place. (As the last one it would lower the threshold, as the first it would be no key.)
    pub fn from_bytes(
        group: Group,
        t: Threshold,
        bytes: &[PointBytes],
    ) -> Result<Self, CommitmentsError> {
        if bytes.len() != t.as_usize() {
            return Err(CommitmentsError::Count { expected: t.as_usize(), got: bytes.len() });
        }
        let decode = |(k, b)| group.decode(b).map_err(|error| CommitmentsError::Point { k, error });
        let elements = bytes.iter().enumerate().map(decode).collect::<Result<Vec<_>, _>>()?;
        let points = match group {
            Group::Ristretto255 => {
                Points::Ristretto(elements.iter().filter_map(ristretto).collect())
            }
            Group::Edwards25519 => Points::Edwards(elements.iter().filter_map(edwards).collect()),
        };
        Ok(Self { points, bytes: bytes.to_vec() })
    }

    /// Of coefficients that are known not to be zero, at least two; constant time.
    pub(super) fn of_nonzero<'a>(
        group: Group,
        coefficients: impl Iterator<Item = &'a Scalar>,
    ) -> Self {
        Self::of(match group {
            Group::Ristretto255 => {
                Points::Ristretto(coefficients.map(RistrettoPoint::mul_base).collect())
            }
            Group::Edwards25519 => Points::Edwards(coefficients.map(edwards_mul_base).collect()),
        })
    }

    /// Of points that are known not to be the identity, at least two.
    fn of(points: Points) -> Self {
        let bytes = match &points {
            Points::Ristretto(points) => points.iter().map(encode_point).collect(),
            Points::Edwards(points) => {
                points.iter().map(|p| Element::Edwards(*p).encode()).collect()
            }
        };
        Self { points, bytes }
    }

    /// The group of every one of them.
    #[must_use]
    pub const fn group(&self) -> Group {
        match self.points {
            Points::Ristretto(_) => Group::Ristretto255,
            Points::Edwards(_) => Group::Edwards25519,
        }
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
        self.bytes.len()
    }

    /// `C_0`: the public key of what is shared.
    #[must_use]
    pub fn constant(&self) -> Element {
        match &self.points {
            Points::Ristretto(points) => Element::Ristretto(points[0]),
            Points::Edwards(points) => Element::Edwards(points[0]),
        }
    }

    /// `C_0`, encoded.
    #[must_use]
    pub fn constant_bytes(&self) -> &PointBytes {
        &self.bytes[0]
    }

    /// `Y_i = Σ i^k·C_k`, the verifying key of share `i` (Horner; the index is public).
    #[must_use]
    pub fn at(&self, index: ShareIndex) -> Element {
        match &self.points {
            Points::Ristretto(points) => Element::Ristretto(horner(points, index)),
            Points::Edwards(points) => Element::Edwards(horner(points, index)),
        }
    }

    /// [`Self::at`] of a sharing over ristretto255, with its encoding.
    ///
    /// # Errors
    /// [`DecodeError::Point`] over another group; [`DecodeError::Identity`] where an index is a
    /// root of the polynomial: what a dealer that sees the others' dealings can arrange for its own.
    pub fn ristretto_at(&self, index: ShareIndex) -> Result<EncodedPoint, DecodeError> {
        EncodedPoint::new(*self.at(index).ristretto().ok_or(DecodeError::Point)?)
    }

    /// Whether `share` is `f(index)`; constant time in the share.
    #[must_use]
    pub fn verify_share(&self, index: ShareIndex, share: &SecretScalar) -> bool {
        match &self.points {
            Points::Ristretto(points) => feldman::verify_share(points, index, share),
            Points::Edwards(points) => feldman::verify_share(points, index, share),
        }
    }

    /// `Σ w_d·C_d`, coefficient by coefficient, with public weights.
    ///
    /// # Errors
    /// [`SumError::Mismatch`], [`SumError::Cancels`].
    pub fn weighted_sum(summands: &[(Scalar, &Self)]) -> Result<Self, SumError> {
        let first = summands.first().ok_or(SumError::Mismatch)?.1;
        let (group, t) = (first.group(), first.threshold());
        if summands.iter().any(|(_, c)| c.threshold() != t || c.group() != group) {
            return Err(SumError::Mismatch);
        }
        let sums = (0..t).map(|k| coefficient_sum(group, k, summands));
        let sums = sums.collect::<Result<Vec<Element>, _>>()?;
        Ok(Self::of(match group {
            Group::Ristretto255 => Points::Ristretto(sums.iter().filter_map(ristretto).collect()),
            Group::Edwards25519 => Points::Edwards(sums.iter().filter_map(edwards).collect()),
        }))
    }
}

impl std::fmt::Debug for Commitments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, ..] = self.bytes[0];
        write!(f, "Commitments(t = {}, constant {a:02x}{b:02x}…)", self.threshold())
    }
}

/// Coefficient `k` of the sum. The group is every summand's.
fn coefficient_sum(
    group: Group,
    k: usize,
    summands: &[(Scalar, &Commitments)],
) -> Result<Element, SumError> {
    let weights = summands.iter().map(|(w, _)| w);
    let sum = match group {
        Group::Ristretto255 => {
            let points = summands.iter().filter_map(|(_, c)| match &c.points {
                Points::Ristretto(points) => Some(points[k]),
                Points::Edwards(_) => None,
            });
            let points: Vec<RistrettoPoint> = points.collect(); // dalek asks for a known length
            Element::Ristretto(RistrettoPoint::vartime_multiscalar_mul(weights, points))
        }
        Group::Edwards25519 => {
            let points = summands.iter().filter_map(|(_, c)| match &c.points {
                Points::Edwards(points) => Some(points[k]),
                Points::Ristretto(_) => None,
            });
            // Term by term: it keeps the type that says that there is no torsion.
            Element::Edwards(weights.zip(points).map(|(w, p)| p * w).sum())
        }
    };
    if sum.is_identity() { Err(SumError::Cancels { k }) } else { Ok(sum) }
}

fn horner<P>(points: &[P], index: ShareIndex) -> P
where
    P: Copy + Default + Add<Output = P>,
{
    // The default of every group is its identity.
    points.iter().rev().fold(P::default(), |acc, c| vartime_mul_small(acc, index) + *c)
}

/// `index·point` by doubling and adding: 16 bits instead of 253.
fn vartime_mul_small<P: Copy + Add<Output = P>>(point: P, index: ShareIndex) -> P {
    let bits = index.get();
    let mut acc = point; // the leading one bit
    for i in (0..bits.ilog2()).rev() {
        acc = acc + acc;
        if bits >> i & 1 == 1 {
            acc = acc + point;
        }
    }
    acc
}

fn ristretto(element: &Element) -> Option<RistrettoPoint> {
    element.ristretto().copied()
}

fn edwards(element: &Element) -> Option<SubgroupPoint> {
    match element {
        Element::Edwards(point) => Some(*point),
        Element::Ristretto(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{group::B, sharing::Polynomial};
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};

    const GROUPS: [Group; 2] = [Group::Ristretto255, Group::Edwards25519];

    fn commitments(group: Group, t: u16) -> Commitments {
        let rng = &mut rand::rng();
        let t = Threshold::new(t, 64).unwrap();
        Polynomial::random(t, &SecretScalar::random(rng), rng).unwrap().commit(group)
    }

    /// Attack 3: threshold raise, and its opposite.
    #[test]
    fn any_other_number_of_commitments_is_refused() {
        let t = Threshold::new(3, 5).unwrap();
        for group in GROUPS {
            let bytes = commitments(group, 5).bytes().to_vec();
            for got in [0, 1, 2, 4, 5] {
                let error = CommitmentsError::Count { expected: 3, got };
                assert_eq!(Commitments::from_bytes(group, t, &bytes[..got]), Err(error));
            }
            assert!(Commitments::from_bytes(group, t, &bytes[..3]).is_ok());
        }
    }

    /// Attack 14. Torsion does not apply: ristretto255 has prime order, its decoder
    /// gives no point outside it.
    #[test]
    fn identity_and_non_canonical_points_are_refused_in_every_place() {
        let t = Threshold::new(3, 5).unwrap();
        let good = commitments(Group::Ristretto255, 3).bytes().to_vec();
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
                let got = Commitments::from_bytes(Group::Ristretto255, t, &bytes);
                assert_eq!(got, Err(CommitmentsError::Point { k, error }));
            }
        }
    }

    /// Attack 14, where torsion does apply. The last of them is the trap: with a component of
    /// small order in `C_1` every share whose index is a multiple of 8 would still verify.
    #[test]
    fn edwards_points_with_torsion_are_refused_in_every_place() {
        let t = Threshold::new(3, 5).unwrap();
        let good = commitments(Group::Edwards25519, 3).bytes().to_vec();
        let mut above_p = [0xff; 32];
        (above_p[0], above_p[31]) = (0xee, 0x7f); // p + 1, which is the identity when reduced
        let small = |i: usize| EIGHT_TORSION[i].compress().0;
        let mixed = |i: usize| (ED25519_BASEPOINT_POINT + EIGHT_TORSION[i]).compress().0;
        let mut bad = vec![(small(0), DecodeError::Identity), (above_p, DecodeError::Edwards)];
        for i in 1..8 {
            bad.extend([(small(i), DecodeError::Torsion), (mixed(i), DecodeError::Torsion)]);
        }
        for (point, error) in bad {
            for k in 0..3 {
                let mut bytes = good.clone();
                bytes[k] = point;
                let got = Commitments::from_bytes(Group::Edwards25519, t, &bytes);
                assert_eq!(got, Err(CommitmentsError::Point { k, error }));
            }
        }
    }

    /// What is committed to over one group is no commitment over the other, whether or not its
    /// bytes happen to decode there.
    #[test]
    fn commitments_of_two_groups_do_not_mix() {
        let (r, e) = (commitments(GROUPS[0], 3), commitments(GROUPS[1], 3));
        let mixed = Commitments::weighted_sum(&[(Scalar::ONE, &r), (Scalar::ONE, &e)]);
        assert_eq!(mixed, Err(SumError::Mismatch));
        assert_eq!(e.ristretto_at(ShareIndex::new(1).unwrap()), Err(DecodeError::Point));

        let rng = &mut rand::rng();
        let t = Threshold::new(3, 5).unwrap();
        let f = Polynomial::random(t, &SecretScalar::random(rng), rng).unwrap();
        let one = ShareIndex::new(1).unwrap();
        for (here, there) in [(GROUPS[0], GROUPS[1]), (GROUPS[1], GROUPS[0])] {
            let offered = f.commit(here);
            let taken = Commitments::from_bytes(there, t, offered.bytes());
            let verifies = taken.is_ok_and(|c| c.verify_share(one, &f.evaluate(one)));
            assert!(!verifies, "{here} offered as {there}");
        }
    }

    #[test]
    fn shares_verify_over_either_group_at_their_own_index_only() {
        let rng = &mut rand::rng();
        let t = Threshold::new(3, 64).unwrap();
        let f = Polynomial::random(t, &SecretScalar::random(rng), rng).unwrap();
        for group in GROUPS {
            let c = f.commit(group);
            for i in [1, 2, 8, 16, 24, 65535] {
                let index = ShareIndex::new(i).unwrap();
                let share = f.evaluate(index);
                assert!(c.verify_share(index, &share));
                assert_eq!(c.at(index), group.mul_base(&share));
                assert!(!c.verify_share(ShareIndex::new(7).unwrap(), &share));
            }
        }
    }

    #[test]
    fn small_multiples_agree_with_the_group() {
        for i in [1, 2, 3, 255, 256, 0x8000, 65535] {
            let index = ShareIndex::new(i).unwrap();
            assert_eq!(vartime_mul_small(B, index), Scalar::from(i) * B);
            let e = edwards_mul_base(&Scalar::ONE);
            assert_eq!(vartime_mul_small(e, index), edwards_mul_base(&Scalar::from(i)));
        }
    }

    #[test]
    fn a_sum_that_cancels_is_refused() {
        for group in GROUPS {
            let a = commitments(group, 3);
            let cancels = Commitments::weighted_sum(&[(Scalar::ONE, &a), (-Scalar::ONE, &a)]);
            assert_eq!(cancels, Err(SumError::Cancels { k: 0 }));
            let b = commitments(group, 2);
            let mixed = Commitments::weighted_sum(&[(Scalar::ONE, &a), (Scalar::ONE, &b)]);
            assert_eq!(mixed, Err(SumError::Mismatch));
            assert_eq!(Commitments::weighted_sum(&[]), Err(SumError::Mismatch));
            assert_eq!(Commitments::weighted_sum(&[(Scalar::ONE, &a)]), Ok(a));
        }
    }
}
