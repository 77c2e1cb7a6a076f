//! Verified dealings become a new sharing.

use super::verified::VerifiedDealing;
use crate::{
    index::ShareIndex,
    secret::SecretScalar,
    sharing::{CombineError, Commitments, SumError, lagrange_at_zero},
};
use curve25519_dalek::scalar::Scalar;
use zeroize::Zeroize;

/// How the dealings of a bundle are weighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// Genesis and import: `Σ f_d`.
    Sum,
    /// Reshare: `Σ λ_d·f_d`, `λ` over the dealers of the bundle.
    LagrangeAtZero,
}

/// Why dealings do not combine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineDealingsError {
    /// The peers', all together: see [`SumError::Cancels`]. Or dealings of two thresholds.
    #[error(transparent)]
    Sum(#[from] SumError),
    /// The caller's: no dealer, one dealer twice, or more than a committee has.
    #[error("the dealers: {0}")]
    Dealers(#[from] CombineError),
    /// The caller's: verified for different ceremonies.
    #[error("the dealings belong to different ceremonies")]
    Ceremonies,
}

/// The new public polynomial. In a reshare the caller compares its constant with the key.
///
/// # Errors
/// [`CombineDealingsError`].
pub fn combine_public(
    dealings: &[VerifiedDealing],
    weights: Weights,
) -> Result<Commitments, CombineDealingsError> {
    if dealings.windows(2).any(|w| w[0].ctx() != w[1].ctx()) {
        return Err(CombineDealingsError::Ceremonies);
    }
    let dealers: Vec<ShareIndex> = dealings.iter().map(VerifiedDealing::dealer).collect();
    let weights = weights.over(&dealers)?;
    let commitments = dealings.iter().map(VerifiedDealing::commitments);
    let summands: Vec<_> = weights.into_iter().zip(commitments).collect();
    Ok(Commitments::weighted_sum(&summands)?)
}

/// A receiver's new share, from the values that it opened; each beside its dealer. The
/// caller checks it against [`combine_public`].
///
/// # Errors
/// [`CombineDealingsError::Dealers`].
pub fn combine_share(
    values: &[(ShareIndex, SecretScalar)],
    weights: Weights,
) -> Result<SecretScalar, CombineDealingsError> {
    let dealers: Vec<ShareIndex> = values.iter().map(|(dealer, _)| *dealer).collect();
    let weights = weights.over(&dealers)?;
    let mut sum = Scalar::ZERO;
    for (weight, (_, value)) in weights.iter().zip(values) {
        sum += weight * value.expose();
    }
    let share = SecretScalar::new(sum);
    sum.zeroize();
    Ok(share)
}

impl Weights {
    fn over(self, dealers: &[ShareIndex]) -> Result<Vec<Scalar>, CombineError> {
        let lambda = lagrange_at_zero(dealers)?; // refuses repeated dealers in both cases
        Ok(match self {
            Self::Sum => vec![Scalar::ONE; dealers.len()],
            Self::LagrangeAtZero => lambda,
        })
    }
}
