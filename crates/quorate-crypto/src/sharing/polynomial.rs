//! The secret polynomial of a dealer.

use super::{commitments::Commitments, feldman::Wiped};
use crate::{
    group::Group,
    index::{ShareIndex, Threshold},
    secret::SecretScalar,
};
use curve25519_dalek::scalar::Scalar;
use rand_core::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// Why there is no such polynomial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolynomialError {
    /// The caller's: a shared secret of zero has the identity as its public key.
    #[error("a secret to share must not be zero")]
    ZeroConstant,
    /// The store's: not `t` coefficients of 32 bytes.
    #[error("a stored polynomial has {expected} bytes, got {got}")]
    Length {
        /// 32 bytes for each coefficient.
        expected: usize,
        /// The length found.
        got: usize,
    },
    /// The store's: a coefficient is not reduced, or the constant or last one is zero.
    #[error("a stored polynomial has a coefficient that no polynomial of ours has")]
    Coefficient,
}

/// `f(x) = Σ a_k·x^k` of degree `t − 1`; `a_0` is the secret, `a_{t−1}` is not zero. Wiped
/// on drop, never printed.
pub struct Polynomial(Wiped);

impl Polynomial {
    /// A fresh polynomial of degree `t − 1` with the given constant.
    ///
    /// # Errors
    /// [`PolynomialError::ZeroConstant`].
    pub fn random(
        t: Threshold,
        constant: &SecretScalar,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, PolynomialError> {
        if is_zero(constant.expose()) {
            return Err(PolynomialError::ZeroConstant);
        }
        let others: Vec<SecretScalar> = (1..t.get()).map(|_| random_nonzero(rng)).collect();
        let all: Vec<&Scalar> =
            std::iter::once(constant).chain(&others).map(SecretScalar::expose).collect();
        Ok(Self(Wiped::polynomial(all.into_iter())))
    }

    /// `C_k = a_k·B` in `group`, constant time.
    #[must_use]
    pub fn commit(&self, group: Group) -> Commitments {
        Commitments::of_nonzero(group, self.0.coefficients())
    }

    /// `f(index)`, constant time.
    #[must_use]
    pub fn evaluate(&self, index: ShareIndex) -> SecretScalar {
        self.0.evaluate(index)
    }

    /// The constant term `a_0`.
    pub(crate) fn constant(&self) -> SecretScalar {
        // A polynomial has t >= 2 coefficients; an empty one would have the constant 0.
        SecretScalar::new(self.0.coefficients().next().copied().unwrap_or(Scalar::ZERO))
    }

    /// `a_0 ‖ … ‖ a_{t−1}`, 32 bytes each, so that a dealer can keep what it has dealt.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(32 * self.0.coefficients().count()));
        for a in self.0.coefficients() {
            out.extend_from_slice(a.as_bytes());
        }
        out
    }

    /// Decodes what [`Polynomial::to_bytes`] gave.
    ///
    /// # Errors
    /// [`PolynomialError::Length`], [`PolynomialError::Coefficient`].
    pub fn from_bytes(t: Threshold, bytes: &[u8]) -> Result<Self, PolynomialError> {
        let expected = 32 * t.as_usize();
        let (chunks, []) = bytes.as_chunks::<32>() else {
            return Err(PolynomialError::Length { expected, got: bytes.len() });
        };
        if chunks.len() != t.as_usize() {
            return Err(PolynomialError::Length { expected, got: bytes.len() });
        }
        let decoded: Option<Vec<SecretScalar>> = chunks
            .iter()
            .map(|c| SecretScalar::from_bytes(c).filter(|a| !is_zero(a.expose())))
            .collect();
        let decoded = decoded.ok_or(PolynomialError::Coefficient)?;
        let all: Vec<&Scalar> = decoded.iter().map(SecretScalar::expose).collect();
        Ok(Self(Wiped::polynomial(all.into_iter())))
    }
}

impl fmt::Debug for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Polynomial([redacted])")
    }
}

/// Zero has the identity for its commitment, which no public value may be. Drawing
/// again (probability 2⁻²⁵²) biases nothing that could be measured.
fn random_nonzero(rng: &mut impl CryptoRng) -> SecretScalar {
    loop {
        let a = SecretScalar::random(rng);
        if !is_zero(a.expose()) {
            return a;
        }
    }
}

fn is_zero(a: &Scalar) -> bool {
    a == &Scalar::ZERO // constant time: dalek compares with `ct_eq`
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polynomial_survives_storage() {
        let rng = &mut rand::rng();
        let t = Threshold::new(4, 6).unwrap();
        let f = Polynomial::random(t, &SecretScalar::random(rng), rng).unwrap();
        let again = Polynomial::from_bytes(t, &f.to_bytes()).unwrap();
        assert_eq!(f.to_bytes(), again.to_bytes());
        for group in [Group::Ristretto255, Group::Edwards25519] {
            assert_eq!(f.commit(group), again.commit(group));
        }
        let i = ShareIndex::new(65535).unwrap();
        assert_eq!(f.evaluate(i).to_bytes(), again.evaluate(i).to_bytes());
    }

    #[test]
    fn other_lengths_and_coefficients_are_refused() {
        let rng = &mut rand::rng();
        let t = Threshold::new(3, 6).unwrap();
        let f = Polynomial::random(t, &SecretScalar::random(rng), rng).unwrap();
        let bytes = f.to_bytes();
        for len in [0, 1, 32, 64, 95] {
            let error = PolynomialError::Length { expected: 96, got: len };
            assert_eq!(Polynomial::from_bytes(t, &bytes[..len]).unwrap_err(), error);
        }
        for bad in [[0; 32], [0xff; 32]] {
            for k in 0..3 {
                let mut changed = bytes.clone();
                changed[32 * k..32 * (k + 1)].copy_from_slice(&bad);
                let error = Polynomial::from_bytes(t, &changed).unwrap_err();
                assert_eq!(error, PolynomialError::Coefficient);
            }
        }
    }

    #[test]
    fn zero_is_not_shared() {
        let t = Threshold::new(2, 3).unwrap();
        let zero = SecretScalar::new(Scalar::ZERO);
        let error = Polynomial::random(t, &zero, &mut rand::rng()).unwrap_err();
        assert_eq!(error, PolynomialError::ZeroConstant);
    }
}
