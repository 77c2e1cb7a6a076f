//! A dealing whose public checks hold: only such a one is opened or complained about.

use super::{
    params::{DealingParams, Receivers},
    seal::{self, BadValue, SEALED_LEN},
    statement,
    wire::Dealing,
};
use crate::{
    group::{DecodeError, Element, EncodedPoint},
    hash::Label,
    index::ShareIndex,
    schnorr,
    secret::SecretScalar,
    sharing::{Commitments, CommitmentsError},
};
use curve25519_dalek::ristretto::RistrettoPoint;

/// Why a dealing is refused, in the order of the checks. Every fault is the dealer's,
/// and public: everybody finds the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DealingFault {
    /// Not exactly `t'` canonical commitments other than the identity.
    #[error(transparent)]
    Commitments(#[from] CommitmentsError),
    /// The ephemeral point is not canonical, or the identity.
    #[error("the ephemeral point: {0}")]
    Ephemeral(DecodeError),
    /// Not one sealed value for each receiver of the ceremony.
    #[error("a dealing has one sealed value for each receiver of the ceremony and no other")]
    Receivers,
    /// The dealer does not show that it knows what it deals.
    #[error("the proof of knowledge of the constant does not hold for this ceremony and dealer")]
    Knowledge,
    /// The dealer does not show that it made the sealed values.
    #[error("the proof of knowledge of the ephemeral secret does not hold for this dealing")]
    EphemeralKnowledge,
    /// In a reshare: the dealer does not deal its share of the parent epoch. In an import: the
    /// owner does not deal the key that was ordered.
    #[error(
        "the dealing's constant is not the dealer's verifying key in the parent epoch, or not the \
         public key that is imported"
    )]
    Constant,
}

/// Why a receiver has no value from a verified dealing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The dealer's: complain.
    #[error(transparent)]
    BadValue(#[from] BadValue),
    /// The caller's: nothing was sealed to this index.
    #[error("{0} is no receiver of this ceremony")]
    NotReceiver(ShareIndex),
    /// The caller's: not the ceremony key that this receiver announced. Blame nobody.
    #[error("this is not the ceremony key that receiver {0} announced")]
    WrongKey(ShareIndex),
}

/// A dealing that has passed every public check.
#[derive(Clone)]
pub struct VerifiedDealing {
    ctx: [u8; 32],
    dealer: ShareIndex,
    hash: [u8; 32],
    statement: [u8; 32],
    commitments: Commitments,
    ephemeral: EncodedPoint,
    receivers: Receivers,
    /// In the order of `receivers`.
    sealed: Vec<[u8; SEALED_LEN]>,
}

impl Dealing {
    /// The public checks, in the design's order: exactly `t'` commitments, canonical
    /// points, one sealed value for each receiver, both proofs, and in a reshare or an import the
    /// constant (`expected_constant`: the dealer's verifying key in the parent epoch, or the
    /// imported public key).
    ///
    /// # Errors
    /// [`DealingFault`].
    pub fn verify(
        &self,
        params: &DealingParams<'_>,
        expected_constant: Option<&Element>,
    ) -> Result<VerifiedDealing, DealingFault> {
        let commitments =
            Commitments::from_bytes(params.group(), params.threshold(), &self.commitments)?;
        let ephemeral = EncodedPoint::decode(&self.ephemeral).map_err(DealingFault::Ephemeral)?;
        let receivers = params.receivers();
        if !self.values.iter().map(|v| v.index).eq(receivers.iter().map(|(index, _)| index)) {
            return Err(DealingFault::Receivers);
        }

        let statement = statement(params, &commitments);
        let constant = commitments.constant();
        schnorr::verify(Label::DEALING_POK, &[&statement], &constant, &self.knowledge)
            .map_err(|_| DealingFault::Knowledge)?;
        let bound: [&[u8]; 2] = [&statement, &self.body_bytes()];
        let proof = &self.ephemeral_knowledge;
        let own = Element::Ristretto(*ephemeral.point());
        schnorr::verify(Label::DEALING_EPHEMERAL, &bound, &own, proof)
            .map_err(|_| DealingFault::EphemeralKnowledge)?;

        if expected_constant.is_some_and(|expected| *expected != constant) {
            return Err(DealingFault::Constant);
        }
        Ok(VerifiedDealing {
            ctx: *params.ctx(),
            dealer: params.dealer(),
            hash: self.hash(params.ctx()),
            statement,
            commitments,
            ephemeral,
            receivers: receivers.clone(),
            sealed: self.values.iter().map(|v| v.sealed).collect(),
        })
    }
}

impl VerifiedDealing {
    /// The value sealed to `index`, checked against the commitments.
    ///
    /// # Errors
    /// [`OpenError::BadValue`] is the dealer's fault: answer with
    /// [`VerifiedDealing::complain`].
    pub fn open(
        &self,
        index: ShareIndex,
        ceremony_secret: &SecretScalar,
    ) -> Result<SecretScalar, OpenError> {
        let key = self.receiver_key(index, ceremony_secret)?;
        let shared = self.ephemeral.point() * ceremony_secret.expose();
        Ok(self.open_with(index, key, &shared)?)
    }

    /// The ceremony context.
    #[must_use]
    pub fn ctx(&self) -> &[u8; 32] {
        &self.ctx
    }

    /// Who dealt.
    #[must_use]
    pub fn dealer(&self) -> ShareIndex {
        self.dealer
    }

    /// [`Dealing::hash`] in this ceremony.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The dealt polynomial's public side.
    #[must_use]
    pub fn commitments(&self) -> &Commitments {
        &self.commitments
    }

    /// Who received, with their ceremony keys.
    #[must_use]
    pub fn receivers(&self) -> &Receivers {
        &self.receivers
    }

    pub(crate) fn ephemeral(&self) -> &EncodedPoint {
        &self.ephemeral
    }

    /// What proofs about this dealing are bound to.
    pub(crate) fn statement(&self) -> &[u8; 32] {
        &self.statement
    }

    /// The announced ceremony key of `index`, if `secret` is its secret half.
    pub(crate) fn receiver_key(
        &self,
        index: ShareIndex,
        secret: &SecretScalar,
    ) -> Result<&EncodedPoint, OpenError> {
        let key = self.receivers.key(index).ok_or(OpenError::NotReceiver(index))?;
        if secret.public() == *key.point() { Ok(key) } else { Err(OpenError::WrongKey(index)) }
    }

    /// Opens with the Diffie–Hellman point `e·P_j`, secret until a complaint reveals it.
    pub(crate) fn open_with(
        &self,
        index: ShareIndex,
        key: &EncodedPoint,
        shared: &RistrettoPoint,
    ) -> Result<SecretScalar, BadValue> {
        let binding = seal::binding(&self.statement, &self.ephemeral, index, key);
        let at = self.receivers.position(index).ok_or(BadValue::Sealed)?;
        seal::open(shared, &binding, &self.sealed[at], &self.commitments, index)
    }
}

impl std::fmt::Debug for VerifiedDealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifiedDealing(dealer {}, {:?})", self.dealer, self.commitments)
    }
}
