//! The client's side of a batch: check element, verification, combination.

use super::{
    BlindError, BlindedElement, Blinding, MAX_INPUTS, OUTPUT_LEN, PartialFault, proof::verify,
};
use crate::{
    EncodedPoint, SecretBytes, SecretScalar, ShareIndex, Threshold,
    dleq::Proof,
    group::PointBytes,
    sharing::{CombineError, combine_points},
};
use curve25519_dalek::{RistrettoPoint, scalar::Scalar, traits::MultiscalarMul};
use rand_core::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// Inputs on their way. Secrets are wiped on drop.
pub struct Batch {
    blindings: Vec<Blinding>,
    /// `ρ_j`, one for each input; none for a single one, whose proof needs no help.
    weights: Zeroizing<Vec<Scalar>>,
    elements: Vec<BlindedElement>,
}

/// A node's partials that are `s_i·B_j`, every one. Made by [`Batch::verify`] only.
#[derive(Clone)]
pub struct VerifiedPartials(Zeroizing<Vec<RistrettoPoint>>);

impl Batch {
    /// Blinds 1 to [`MAX_INPUTS`] inputs; for more than one it adds the check element.
    ///
    /// # Errors
    /// [`BlindError`].
    pub fn new<I: AsRef<[u8]>>(inputs: &[I], rng: &mut impl CryptoRng) -> Result<Self, BlindError> {
        if !(1..=MAX_INPUTS).contains(&inputs.len()) {
            return Err(BlindError::Count(inputs.len()));
        }
        let blindings =
            inputs.iter().map(|i| Blinding::new(i.as_ref(), rng)).collect::<Result<Vec<_>, _>>()?;
        let mut weights = Zeroizing::new(Vec::with_capacity(inputs.len()));
        if inputs.len() > 1 {
            weights.extend(inputs.iter().map(|_| *SecretScalar::random(rng).expose()));
        }
        Self::of(blindings, weights)
    }

    /// Of blinded inputs; a check element with these weights, if there are any.
    pub(super) fn of(
        blindings: Vec<Blinding>,
        weights: Zeroizing<Vec<Scalar>>,
    ) -> Result<Self, BlindError> {
        let mut elements: Vec<BlindedElement> = blindings.iter().map(|b| *b.element()).collect();
        if !weights.is_empty() {
            let sum = weighted(&weights, elements.iter().map(|e| e.0.point()));
            // Random weights over points that are not the identity: as likely as a guess at one.
            let check = EncodedPoint::new(sum).map_err(|_| BlindError::Zero)?;
            elements.push(BlindedElement(check));
        }
        Ok(Self { blindings, weights, elements })
    }

    /// What the nodes get, in this order.
    #[must_use]
    pub fn elements(&self) -> &[BlindedElement] {
        &self.elements
    }

    /// Verifies one node's partials of all elements under its `Y_i` of one epoch.
    ///
    /// # Security
    /// Beside the RFC's proof the check element must fit: `D_check = Σ ρ_j·D_j`. Both hold for
    /// the node's own share; a forger of the proof would have to know the `ρ_j`, which never
    /// leave the client. Constant time in them.
    ///
    /// # Errors
    /// [`PartialFault`]: the node lies, or answers under another epoch or key.
    pub fn verify(
        &self,
        share_public: &EncodedPoint,
        partials: &[PointBytes],
        proof: &Proof,
    ) -> Result<VerifiedPartials, PartialFault> {
        let outputs = verify(share_public, &self.elements, partials, proof)?;
        self.checked(&outputs)
    }

    /// Takes partials whose proof holds, if the check element's is the weighted sum of the
    /// others; a single input has none.
    pub(super) fn checked(
        &self,
        outputs: &[EncodedPoint],
    ) -> Result<VerifiedPartials, PartialFault> {
        let (items, check) = outputs.split_at(self.blindings.len());
        let sum = || weighted(&self.weights, items.iter().map(EncodedPoint::point));
        if check.iter().any(|check| sum() != *check.point()) {
            return Err(PartialFault::Check);
        }
        let points = items.iter().map(|p| *p.point()).collect();
        Ok(VerifiedPartials(Zeroizing::new(points)))
    }

    /// The outputs, one for each input, from the verified partials of `t` distinct nodes of one
    /// epoch: `N_j = Σ λ_i·D_ij`, unblinded and hashed.
    ///
    /// # Errors
    /// [`CombineError`] for fewer nodes than `t`, or one twice.
    pub fn finalize(
        &self,
        t: Threshold,
        nodes: &[(ShareIndex, VerifiedPartials)],
    ) -> Result<Vec<SecretBytes<OUTPUT_LEN>>, CombineError> {
        let one = |(j, blinding): (usize, &Blinding)| {
            let of_item =
                |(index, p): &(ShareIndex, VerifiedPartials)| Some((*index, *p.0.get(j)?));
            let points: Vec<_> = nodes.iter().filter_map(of_item).collect();
            Ok(blinding.finalize(&combine_points(t, &points)?))
        };
        self.blindings.iter().enumerate().map(one).collect()
    }
}

/// `Σ ρ_j·P_j`, constant time.
fn weighted<'a>(
    weights: &[Scalar],
    points: impl Iterator<Item = &'a RistrettoPoint>,
) -> RistrettoPoint {
    RistrettoPoint::multiscalar_mul(weights, points)
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} inputs, [redacted])", self.blindings.len())
    }
}

impl fmt::Debug for VerifiedPartials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedPartials([redacted])")
    }
}
