//! Feldman sharing over ristretto255 or edwards25519, and the one strict door to vsss-rs.
//!
//! A sharing of `x` with threshold `t` is `f` of degree `t − 1` with `f(0) = x`; holder
//! `i` has `f(i)`. Public: `C_k = a_k·B`, `k < t`; the holder's verifying key is
//! `Y_i = Σ i^k·C_k`.
//!
//! vsss-rs evaluates, checks and combines, and only `feldman` names it. What it lets
//! through is closed here by types: indices are never 0 ([`ShareIndex`]), lists of them
//! are distinct, commitments are exactly `t` ([`Commitments::from_bytes`]), and a
//! combination is compared with the public key ([`reconstruct`]).

mod commitments;
mod feldman;
mod polynomial;

pub use commitments::{Commitments, CommitmentsError, SumError};
pub use polynomial::{Polynomial, PolynomialError};

use crate::{
    index::{MAX_COMMITTEE, ShareIndex, Threshold},
    secret::SecretScalar,
};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar, traits::VartimeMultiscalarMul};

/// Why a list of share indices has no interpolation, or shares no combination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// The peers': these shares do not lie on the committed polynomial.
    #[error("shares {0:?} do not match the commitments: leave them out")]
    WrongShares(Vec<ShareIndex>),
    /// The caller's: fewer distinct shares than the threshold.
    #[error("a combination needs {expected} shares, got {got}")]
    TooFew {
        /// The threshold.
        expected: usize,
        /// The number of shares given.
        got: usize,
    },
    /// The caller's: more than any committee has.
    #[error("a combination has at most {MAX_COMMITTEE} shares, got {0}")]
    TooMany(usize),
    /// The caller's: one index twice counts as one share.
    #[error("share index {0} appears twice")]
    Duplicate(ShareIndex),
    /// Ours: every share verified, but the result is not the committed secret.
    #[error("alarm: verified shares combine to another secret (a bug in the interpolation)")]
    Mismatch,
}

/// The Lagrange coefficients at 0: `λ_i = Π_{j≠i} x_j / (x_j − x_i)`, in the order given.
///
/// Indices are public; one inversion for all.
///
/// # Errors
/// [`CombineError::TooFew`] for an empty list, [`CombineError::TooMany`],
/// [`CombineError::Duplicate`].
pub fn lagrange_at_zero(indices: &[ShareIndex]) -> Result<Vec<Scalar>, CombineError> {
    check_distinct(indices.iter().copied(), 1)?;
    let x: Vec<Scalar> = indices.iter().map(|i| Scalar::from(i.get())).collect();
    let others = |i: usize| x.iter().enumerate().filter(move |(j, _)| *j != i).map(|(_, x)| x);
    let mut inverse: Vec<Scalar> =
        (0..x.len()).map(|i| others(i).map(|x_j| x_j - x[i]).product()).collect();
    Scalar::invert_batch_alloc(&mut inverse);
    let numerator = |i: usize| others(i).product::<Scalar>();
    Ok(inverse.iter().enumerate().map(|(i, inv)| numerator(i) * inv).collect())
}

/// `Σ λ_i·P_i` over the first `t` of at least `t` points with distinct indices.
///
/// The points must have been verified as partials: nothing here can tell a wrong one.
/// Not vsss-rs' `combine`, which inverts and multiplies once for each point: this is a
/// request's hot path. Property tests hold its result to the known secret and its coefficients to
/// the slow model.
///
/// # Security
/// Variable time in the indices only. The points may be secret (a key encapsulation):
/// the running time does not depend on them.
///
/// # Errors
/// [`CombineError::TooFew`], [`CombineError::TooMany`], [`CombineError::Duplicate`].
pub fn combine_points(
    t: Threshold,
    points: &[(ShareIndex, RistrettoPoint)],
) -> Result<RistrettoPoint, CombineError> {
    check_distinct(points.iter().map(|(i, _)| *i), t.as_usize())?;
    let used = &points[..t.as_usize()];
    let lambda = lagrange_at_zero(&used.iter().map(|(i, _)| *i).collect::<Vec<_>>())?;
    Ok(RistrettoPoint::vartime_multiscalar_mul(lambda, used.iter().map(|(_, p)| p)))
}

/// The shared secret, from at least `t` verified shares: for breaking the glass only.
///
/// Every share is checked against the commitments, and the result against their
/// constant: vsss-rs combines too few shares to a wrong secret without a word.
///
/// # Errors
/// [`CombineError`]; wrong shares are named, so that the caller can leave them out.
pub fn reconstruct(
    commitments: &Commitments,
    shares: &[(ShareIndex, SecretScalar)],
) -> Result<SecretScalar, CombineError> {
    let t = commitments.threshold();
    check_distinct(shares.iter().map(|(i, _)| *i), t)?;
    let wrong: Vec<ShareIndex> = shares
        .iter()
        .filter(|(i, share)| !commitments.verify_share(*i, share))
        .map(|(i, _)| *i)
        .collect();
    if !wrong.is_empty() {
        return Err(CombineError::WrongShares(wrong));
    }
    let secret = feldman::combine(&shares[..t]).ok_or(CombineError::Mismatch)?;
    if commitments.group().mul_base(&secret) == commitments.constant() {
        Ok(secret)
    } else {
        Err(CombineError::Mismatch)
    }
}

/// `min` to [`MAX_COMMITTEE`] indices, none twice.
fn check_distinct(
    indices: impl ExactSizeIterator<Item = ShareIndex>,
    min: usize,
) -> Result<(), CombineError> {
    let got = indices.len();
    if got > MAX_COMMITTEE {
        return Err(CombineError::TooMany(got));
    }
    let mut sorted: Vec<ShareIndex> = indices.collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|w| w[0] == w[1]) {
        Some(pair) => Err(CombineError::Duplicate(pair[0])),
        None if got < min => Err(CombineError::TooFew { expected: min, got }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Group;

    fn index(i: u16) -> ShareIndex {
        ShareIndex::new(i).unwrap()
    }

    const R: Group = Group::Ristretto255;

    fn sharing(t: u16, n: u16) -> (SecretScalar, Commitments, Vec<(ShareIndex, SecretScalar)>) {
        let rng = &mut rand::rng();
        let secret = SecretScalar::random(rng);
        let t = Threshold::new(t, usize::from(n)).unwrap();
        let f = Polynomial::random(t, &secret, rng).unwrap();
        let shares = (1..=n).map(|i| (index(i), f.evaluate(index(i)))).collect();
        (secret, f.commit(R), shares)
    }

    #[test]
    fn any_t_shares_reconstruct() {
        let (secret, commitments, shares) = sharing(3, 5);
        for pick in [[0, 1, 2], [4, 0, 2], [3, 4, 1]] {
            let some: Vec<_> = pick.iter().map(|i| shares[*i].clone()).collect();
            let got = reconstruct(&commitments, &some).unwrap();
            assert_eq!(got.to_bytes(), secret.to_bytes());
        }
        assert!(reconstruct(&commitments, &shares).is_ok(), "more than t are fine");
    }

    #[test]
    fn wrong_shares_are_named() {
        let (_, commitments, mut shares) = sharing(3, 5);
        for i in [1, 4] {
            shares[i].1 = SecretScalar::new(shares[i].1.expose() + Scalar::ONE);
        }
        let error = reconstruct(&commitments, &shares).unwrap_err();
        assert_eq!(error, CombineError::WrongShares(vec![index(2), index(5)]));
    }

    #[test]
    fn duplicate_indices_do_not_count_twice() {
        let (_, commitments, shares) = sharing(3, 5);
        let twice = [shares[0].clone(), shares[0].clone(), shares[1].clone()];
        let error = reconstruct(&commitments, &twice).unwrap_err();
        assert_eq!(error, CombineError::Duplicate(index(1)));

        let t = Threshold::new(3, 5).unwrap();
        let points: Vec<_> = twice.iter().map(|(i, s)| (*i, s.public())).collect();
        assert_eq!(combine_points(t, &points), Err(CombineError::Duplicate(index(1))));
        let indices = [index(1), index(2), index(1)];
        assert_eq!(lagrange_at_zero(&indices), Err(CombineError::Duplicate(index(1))));
    }

    #[test]
    fn too_few_and_too_many_are_refused() {
        let (_, commitments, shares) = sharing(3, 5);
        let few = CombineError::TooFew { expected: 3, got: 2 };
        assert_eq!(reconstruct(&commitments, &shares[..2]).unwrap_err(), few);
        let t = Threshold::new(3, 5).unwrap();
        let points: Vec<_> = shares[..2].iter().map(|(i, s)| (*i, s.public())).collect();
        assert_eq!(combine_points(t, &points), Err(few));
        assert_eq!(lagrange_at_zero(&[]), Err(CombineError::TooFew { expected: 1, got: 0 }));
        let many: Vec<_> = (1..=MAX_COMMITTEE as u16 + 1).map(index).collect();
        assert_eq!(lagrange_at_zero(&many), Err(CombineError::TooMany(MAX_COMMITTEE + 1)));
    }

    /// Attack 17: Lagrange over shares of two epochs of one key.
    #[test]
    fn shares_of_two_sharings_of_one_secret_do_not_mix() {
        let rng = &mut rand::rng();
        let secret = SecretScalar::random(rng);
        let t = Threshold::new(2, 3).unwrap();
        let old = Polynomial::random(t, &secret, rng).unwrap();
        let new = Polynomial::random(t, &secret, rng).unwrap();
        let mixed = [(index(1), old.evaluate(index(1))), (index(2), new.evaluate(index(2)))];
        let error = reconstruct(&new.commit(R), &mixed).unwrap_err();
        assert_eq!(error, CombineError::WrongShares(vec![index(1)]));
        let points: Vec<_> = mixed.iter().map(|(i, s)| (*i, s.public())).collect();
        assert_ne!(combine_points(t, &points), Ok(secret.public()));
    }
}
