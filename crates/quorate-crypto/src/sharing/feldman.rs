//! The only file that names vsss-rs, and what it needs of it.
//!
//! Wrapper rules (numbers are those of the review of vsss-rs 6.0.1; each has a test below):
//!
//! * P1 `combine` carries no threshold: the caller counts and compares with the key.
//! * P4, P5 identifiers 0 and repeated ones are accepted: [`ShareIndex`], distinct lists.
//! * P6 a commitment of any degree verifies: [`super::Commitments`] has exactly `t`.
//! * P7 a verifier set carries its own generator in slot 0: the set is rebuilt with `B`
//!   for every check and never received.
//! * P8, P10 shares print themselves and are not wiped: no type of vsss-rs leaves
//!   this file, and every `Vec` of shares is a [`Wiped`].
//! * P12 an empty verifier set panics: [`super::Commitments`] is never empty.
//!
//! Two things are not left to vsss-rs. Coefficients are drawn with
//! [`SecretScalar::random`], because `Polynomial::fill` leaves the wide random buffer
//! of each one on the stack. Commitments are multiples of the precomputed `B`,
//! because vsss-rs multiplies a general point, five times slower.

use crate::{index::ShareIndex, secret::SecretScalar};
use curve25519_dalek::scalar::Scalar;
use group::{GroupEncoding, prime::PrimeGroup};
use vsss_rs::{
    DefaultShare, FeldmanVerifierSet, IdentifierPrimeField, Polynomial as _, ReadableShareSet as _,
    Share as _, ShareElement as _, ShareVerifierGroup,
};
use zeroize::Zeroize;

type Field = IdentifierPrimeField<Scalar>;
type Share = DefaultShare<Field, Field>;

/// Shares or coefficients of vsss-rs, wiped on drop. Never grows, so that no copy
/// stays behind in the heap.
pub(super) struct Wiped(Vec<Share>);

impl Drop for Wiped {
    fn drop(&mut self) {
        for share in &mut self.0 {
            share.identifier.0.zeroize();
            share.value.0.zeroize();
        }
    }
}

impl Wiped {
    /// A polynomial in vsss-rs' layout: the constant is slot 0's *value*, every other
    /// coefficient its slot's *identifier*.
    pub(super) fn polynomial<'a>(coefficients: impl ExactSizeIterator<Item = &'a Scalar>) -> Self {
        let mut slots = Self(Vec::<Share>::create(coefficients.len()));
        for (k, (slot, a)) in slots.0.iter_mut().zip(coefficients).enumerate() {
            if k == 0 { slot.value.0 = *a } else { slot.identifier.0 = *a }
        }
        slots
    }

    /// `a_0 … a_{t−1}`.
    pub(super) fn coefficients(&self) -> impl Iterator<Item = &Scalar> {
        let coefficient = |(k, slot): (usize, _)| Self::slot(slot, k == 0);
        self.0.iter().enumerate().map(coefficient)
    }

    /// `f(index)`; the polynomial has at least one coefficient.
    pub(super) fn evaluate(&self, index: ShareIndex) -> SecretScalar {
        let mut value = self.0.evaluate(&identifier(index), self.0.len());
        let out = SecretScalar::new(value.0);
        value.0.zeroize();
        out
    }

    fn slot(share: &Share, constant: bool) -> &Scalar {
        if constant { &share.value.0 } else { &share.identifier.0 }
    }
}

/// The Feldman check `s·B = Σ i^k·C_k`, for at least one commitment.
///
/// vsss-rs multiplies once for each commitment (40 µs), where Horner with a 16-bit index
/// needs a tenth; it is a ceremony's cost, not a request's.
///
/// For edwards25519 `P` is the type of points *without torsion*: over the whole curve a
/// commitment with a component of small order verifies wherever the index is a multiple of 8.
pub(super) fn verify_share<P>(commitments: &[P], index: ShareIndex, share: &SecretScalar) -> bool
where
    P: PrimeGroup<Scalar = Scalar> + GroupEncoding + Default,
{
    let points = std::iter::once(P::generator()).chain(commitments.iter().copied());
    let set: Vec<ShareVerifierGroup<P>> = points.map(ShareVerifierGroup::from).collect();
    let candidate = share_of(index, share);
    FeldmanVerifierSet::<Share, ShareVerifierGroup<P>>::verify_share(&set, &candidate.0[0]).is_ok()
}

/// `Σ λ_i·s_i` over all shares given; `None` for fewer than two, or an index twice.
pub(super) fn combine(shares: &[(ShareIndex, SecretScalar)]) -> Option<SecretScalar> {
    let mut set = Wiped(Vec::<Share>::create(shares.len()));
    for (slot, (index, share)) in set.0.iter_mut().zip(shares) {
        *slot.identifier_mut() = identifier(*index);
        slot.value.0 = *share.expose();
    }
    let mut secret = Field::zero();
    let combined = set.0.combine_in_place(&mut secret);
    let out = SecretScalar::new(secret.0);
    secret.0.zeroize();
    combined.ok().map(|()| out)
}

fn identifier(index: ShareIndex) -> Field {
    IdentifierPrimeField(Scalar::from(index.get()))
}

fn share_of(index: ShareIndex, share: &SecretScalar) -> Wiped {
    let value = IdentifierPrimeField(*share.expose());
    Wiped(vec![Share::with_identifier_and_value(identifier(index), value)])
}

/// Each pitfall is first shown in vsss-rs itself (so that a fixed vsss-rs is noticed),
/// then shown to be closed by this module.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        group::Group,
        index::Threshold,
        sharing::{CombineError, Commitments, CommitmentsError, Polynomial, reconstruct},
    };
    use curve25519_dalek::{
        constants::EIGHT_TORSION, edwards::EdwardsPoint, ristretto::RistrettoPoint,
    };
    use vsss_rs::feldman::{split_secret, split_secret_with_ids};

    type Verifier = ShareVerifierGroup<RistrettoPoint>;

    const R: Group = Group::Ristretto255;

    fn id(i: u64) -> Field {
        IdentifierPrimeField(Scalar::from(i))
    }

    fn index(i: u16) -> ShareIndex {
        ShareIndex::new(i).unwrap()
    }

    fn secret() -> Field {
        IdentifierPrimeField(Scalar::random(&mut rand::rng()))
    }

    fn encoded(set: &Vec<Verifier>) -> Vec<[u8; 32]> {
        let verifiers = FeldmanVerifierSet::<Share, Verifier>::verifiers(set);
        verifiers.iter().map(|v| v.0.compress().0).collect()
    }

    #[test]
    fn p1_combining_too_few_shares_is_refused() {
        let secret = secret();
        let (shares, set) =
            split_secret::<Share, Verifier>(3, 5, &secret, None, rand::rng()).unwrap();
        let silent = (&shares[..2]).combine().unwrap();
        assert_ne!(silent.0, secret.0, "vsss-rs combines two of three to a wrong secret");

        let commitments =
            Commitments::from_bytes(R, Threshold::new(3, 5).unwrap(), &encoded(&set)).unwrap();
        let two: Vec<_> = (1..=2u16)
            .map(|i| (index(i), SecretScalar::new(shares[usize::from(i) - 1].value.0)))
            .collect();
        let error = reconstruct(&commitments, &two).unwrap_err();
        assert_eq!(error, CombineError::TooFew { expected: 3, got: 2 });
    }

    #[test]
    fn p4_index_zero_is_no_index() {
        let secret = secret();
        let ids = [id(0), id(1), id(2)];
        let (shares, _) =
            split_secret_with_ids::<Share, Verifier>(2, 3, &secret, None, rand::rng(), ids)
                .unwrap();
        assert_eq!(shares[0].value.0, secret.0, "vsss-rs hands out the secret as a share");
        assert!(ShareIndex::new(0).is_err(), "ours has no such index");
    }

    #[test]
    fn p5_repeated_indices_are_refused() {
        let ids = [id(1), id(1), id(2)];
        let split =
            split_secret_with_ids::<Share, Verifier>(2, 3, &secret(), None, rand::rng(), ids);
        assert!(split.is_ok(), "vsss-rs deals to one index twice");
        let repeated = crate::sharing::lagrange_at_zero(&[index(1), index(1), index(2)]);
        assert_eq!(repeated, Err(CombineError::Duplicate(index(1))));
        // Dealing to a repeated index: `Receivers::new` refuses it, tested there.
    }

    #[test]
    fn p6_a_commitment_of_another_degree_is_refused() {
        let (shares, set) =
            split_secret::<Share, Verifier>(5, 5, &secret(), None, rand::rng()).unwrap();
        let verdict = FeldmanVerifierSet::<Share, Verifier>::verify_share(&set, &shares[0]);
        assert!(verdict.is_ok(), "vsss-rs verifies degree 4 where 3-of-5 was meant");
        let decoded = Commitments::from_bytes(R, Threshold::new(3, 5).unwrap(), &encoded(&set));
        assert_eq!(decoded, Err(CommitmentsError::Count { expected: 3, got: 5 }));
    }

    #[test]
    fn p7_the_generator_is_ours_whatever_the_dealer_used() {
        let foreign = Verifier::from(RistrettoPoint::random(&mut rand::rng()));
        let (shares, set) =
            split_secret::<Share, Verifier>(2, 3, &secret(), Some(foreign), rand::rng()).unwrap();
        let verdict = FeldmanVerifierSet::<Share, Verifier>::verify_share(&set, &shares[0]);
        assert!(verdict.is_ok(), "vsss-rs verifies under a generator that the dealer chose");
        let commitments =
            Commitments::from_bytes(R, Threshold::new(2, 3).unwrap(), &encoded(&set)).unwrap();
        assert!(!commitments.verify_share(index(1), &SecretScalar::new(shares[0].value.0)));
    }

    /// Attack 14: why the type of points without torsion is asked for, and not any point.
    #[test]
    fn p14_over_the_whole_curve_torsion_verifies_where_the_index_is_a_multiple_of_8() {
        type Loose = ShareVerifierGroup<EdwardsPoint>;
        let ids = [id(8), id(9)];
        let (shares, mut set) =
            split_secret_with_ids::<Share, Loose>(2, 2, &secret(), None, rand::rng(), ids).unwrap();
        set[2] = Loose::from(set[2].0 + EIGHT_TORSION[1]);
        let verdict = |i: usize| FeldmanVerifierSet::<Share, Loose>::verify_share(&set, &shares[i]);
        assert!(verdict(0).is_ok(), "vsss-rs verifies a bad commitment for node 8");
        assert!(verdict(1).is_err(), "and not for node 9: the two hold shares of no one sharing");

        let bytes = [set[1].0.compress().0, set[2].0.compress().0];
        let decoded =
            Commitments::from_bytes(Group::Edwards25519, Threshold::new(2, 2).unwrap(), &bytes);
        let error = crate::group::DecodeError::Torsion;
        assert_eq!(decoded, Err(CommitmentsError::Point { k: 1, error }));
    }

    #[test]
    fn p8_p10_nothing_prints_or_outlives_a_share() {
        assert!(!std::mem::needs_drop::<Share>(), "vsss-rs wipes no share");
        assert!(std::mem::needs_drop::<Wiped>());
        let t = Threshold::new(2, 3).unwrap();
        let one = SecretScalar::new(Scalar::from(0xdead_beef_u64));
        let f = Polynomial::random(t, &one, &mut rand::rng()).unwrap();
        assert_eq!(format!("{f:?}"), "Polynomial([redacted])");
    }

    #[test]
    fn p12_no_commitments_are_refused_without_a_panic() {
        let candidate = share_of(index(1), &SecretScalar::new(Scalar::ONE));
        let empty: Vec<Verifier> = Vec::new();
        let panics = std::panic::catch_unwind(|| {
            FeldmanVerifierSet::<Share, Verifier>::verify_share(&empty, &candidate.0[0]).is_ok()
        });
        assert!(panics.is_err(), "vsss-rs panics on an empty verifier set");
        let decoded = Commitments::from_bytes(R, Threshold::new(2, 3).unwrap(), &[]);
        assert_eq!(decoded, Err(CommitmentsError::Count { expected: 2, got: 0 }));
    }
}
