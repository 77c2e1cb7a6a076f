//! The bundle: every dealer's dealing, verified in the design's order (§4.1).

use crate::{Plan, PrepareList, ReceiveRequest, SignedComplaint, SignedDealing};
use quorate_crypto::{
    ShareIndex,
    complaint::{self, Complaint, Verdict},
    dealing::{
        CombineDealingsError, Dealing, DealingFault, DealingParams, ParamsError, VerifiedDealing,
        WireError, combine_public, commitment_hash,
    },
    hash::{Label, hash32},
    sharing::Commitments,
};
use quorate_types::{EpochPublic, Hash, NodeIndex, Writer};
use thiserror::Error;

/// What a dealer did that its own signature proves. Everybody finds the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DealingLie {
    /// It signed bytes that are no dealing.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It signed a dealing that breaks a public rule.
    #[error(transparent)]
    Dealing(#[from] DealingFault),
    /// It dealt something else than it had committed to: it chose after it saw others.
    #[error("the dealing is not what its dealer had committed to in the prepare step")]
    Opening,
}

/// Why dealings are no bundle.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BundleFault {
    /// The conductor's: not one of each dealer.
    #[error("a bundle has one dealing of each dealer and no other")]
    Dealers,
    /// The conductor's: nothing says that the dealer made it for this attempt.
    #[error("the dealing of {} is not signed by it for this attempt", party(*.0))]
    Unsigned(NodeIndex),
    /// The dealer's.
    #[error("{} has dealt against the rules: {lie}", party(*.dealer))]
    Lie {
        /// Who.
        dealer: NodeIndex,
        /// How.
        lie: DealingLie,
    },
    /// Everybody's together: no honest dealer took part.
    #[error("the dealings cancel each other: {0}")]
    Cancels(CombineDealingsError),
    /// Ours.
    #[error("alarm: verified dealings of a reshare or an import make another public key")]
    PublicKey,
    /// Ours.
    #[error("alarm: the certified values of the parent epoch do not decode")]
    Parent,
    /// Ours.
    #[error("alarm: the public key in a verified order does not decode")]
    Ordered,
    /// Ours.
    #[error("alarm: a verified list is no list of receivers: {0}")]
    Params(#[from] ParamsError),
}

/// A bundle whose dealings hold in public, with the epoch that it makes.
#[derive(Clone, Debug)]
pub struct Bundle {
    dealings: Vec<VerifiedDealing>,
    commitments: Commitments,
    public: EpochPublic,
}

impl Bundle {
    /// Verifies one dealing of each dealer, by ascending dealer.
    ///
    /// # Errors
    /// [`BundleFault`].
    pub fn verify(
        plan: &Plan,
        list: &PrepareList,
        signed: &[SignedDealing],
    ) -> Result<Self, BundleFault> {
        if !signed.iter().map(|d| d.dealer).eq(list.dealers().iter().copied()) {
            return Err(BundleFault::Dealers);
        }
        let dealings: Vec<_> =
            signed.iter().map(|d| verify_dealing(plan, list, d)).collect::<Result<_, _>>()?;
        Self::of(plan, list, signed, dealings)
    }

    /// The same of one dealing of each dealer, ascending, that [`verify_dealing`] has verified.
    ///
    /// # Errors
    /// [`BundleFault::Cancels`], and what is ours.
    pub(crate) fn of(
        plan: &Plan,
        list: &PrepareList,
        signed: &[SignedDealing],
        dealings: Vec<VerifiedDealing>,
    ) -> Result<Self, BundleFault> {
        let commitments =
            combine_public(&dealings, plan.weights()).map_err(BundleFault::Cancels)?;
        // The interpolation at zero of what the dealers' shares are bound to, or what the owner has
        // dealt: cannot differ.
        if plan.terms().public_key.is_some_and(|y| y != commitments.constant_bytes())
            && !planted!(SkipConstant)
        {
            return Err(BundleFault::PublicKey);
        }
        let public =
            plan.public(list, bundle_hash(list.ctx(), signed), commitments.bytes().to_vec());
        Ok(Self { dealings, commitments, public })
    }

    /// By ascending dealer.
    #[must_use]
    pub fn dealings(&self) -> &[VerifiedDealing] {
        &self.dealings
    }

    /// The new public polynomial.
    #[must_use]
    pub fn commitments(&self) -> &Commitments {
        &self.commitments
    }

    /// What receipts and active signatures speak of.
    #[must_use]
    pub fn public(&self) -> &EpochPublic {
        &self.public
    }
}

/// Verifies one dealing: the dealer's signature, which binds `ctx`; its encoding;
/// exactly `t` commitments; canonical points; one sealed value for each receiver; both
/// proofs; in a genesis the opening of the dealer's commitment, in an import that the owner
/// deals what was ordered (`C₀ = Y`), in a reshare that a node deals its share of the parent
/// epoch (`C₀ = Y_d`).
///
/// # Errors
/// [`BundleFault::Unsigned`], [`BundleFault::Lie`].
pub fn verify_dealing(
    plan: &Plan,
    list: &PrepareList,
    signed: &SignedDealing,
) -> Result<VerifiedDealing, BundleFault> {
    let dealer = signed.dealer;
    let identity = plan.identity(dealer).ok_or(BundleFault::Dealers)?;
    if !signed.verifies(plan.fingerprint(), list.ctx(), identity) {
        return Err(BundleFault::Unsigned(dealer));
    }
    let lie = |lie: DealingLie| BundleFault::Lie { dealer, lie };
    let params = dealing_params(plan, list, dealer, identity.as_bytes())?;
    let dealing = Dealing::from_bytes(&signed.dealing).map_err(|e| lie(e.into()))?;
    #[cfg(feature = "planted-bugs")]
    let params = crate::planted::degree(params, &dealing)?;
    if let Some(parent) = plan.parent() {
        let public = parent.public();
        let of_parent = public.decode_commitments().map_err(|_| BundleFault::Parent)?;
        let share = of_parent.at(dealer);
        #[cfg(feature = "planted-bugs")]
        let share = crate::planted::weighted_key(share, list, dealer);
        let constant = Some(&share).filter(|_| !planted!(SkipConstant));
        return dealing.verify(&params, constant).map_err(|e| lie(e.into()));
    }
    if let Some(y) = plan.terms().public_key {
        let ordered = plan.group().decode(y).map_err(|_| BundleFault::Ordered)?;
        let constant = Some(&ordered).filter(|_| !planted!(SkipConstant));
        return dealing.verify(&params, constant).map_err(|e| lie(e.into()));
    }
    let verified = dealing.verify(&params, None).map_err(|e| lie(e.into()))?;
    let scope = plan.id().hash();
    let opened =
        commitment_hash(scope.as_bytes(), dealer, identity.as_bytes(), verified.commitments());
    if list.commitment(dealer) != Some(&opened) {
        return Err(lie(DealingLie::Opening));
    }
    Ok(verified)
}

/// A party by its index, as people are told.
pub(crate) fn party(index: NodeIndex) -> String {
    if index == NodeIndex::OWNER { "the key's owner".into() } else { format!("node {index}") }
}

/// What a dealing in this attempt is bound to.
pub(crate) fn dealing_params<'a>(
    plan: &Plan,
    list: &'a PrepareList,
    dealer: ShareIndex,
    identity: &[u8; 32],
) -> Result<DealingParams<'a>, ParamsError> {
    let (group, threshold) = (plan.group(), plan.committee().threshold());
    DealingParams::new(
        group,
        *list.ctx().as_bytes(),
        dealer,
        *identity,
        threshold,
        list.receivers(),
    )
}

/// Names a bundle: the context, and each dealer with its dealing's hash, in order.
#[must_use]
pub fn bundle_hash(ctx: &Hash, bundle: &[SignedDealing]) -> Hash {
    let mut w = Writer::new();
    for d in bundle {
        w.u16(d.dealer.get());
        w.raw(d.hash(ctx).as_bytes());
    }
    Hash(hash32(Label::BUNDLE_HASH, &[ctx.as_bytes(), &w.finish()]))
}

/// Why a complaint cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JudgeFault {
    /// The request that it is about does not hold.
    #[error("the bundle that the complaint is about does not hold: {0}")]
    Request(String),
    /// It is about no dealing in the bundle, or not signed by its receiver.
    #[error("the complaint is not signed by a receiver of this bundle about a dealing in it")]
    Unsigned,
}

/// Judges a complaint from the bytes that were sent and answered: evidence that anyone
/// can check who has the order.
///
/// # Errors
/// [`JudgeFault`]: then it accuses nobody.
pub fn judge(
    plan: &Plan,
    request: &ReceiveRequest,
    receiver: NodeIndex,
    complaint: &SignedComplaint,
) -> Result<Verdict, JudgeFault> {
    let list = PrepareList::verify(plan, request.answers.clone(), request.dealers())
        .map_err(|e| JudgeFault::Request(e.to_string()))?;
    let signed =
        request.bundle.iter().find(|d| d.dealer == complaint.dealer).ok_or(JudgeFault::Unsigned)?;
    let dealing =
        verify_dealing(plan, &list, signed).map_err(|e| JudgeFault::Request(e.to_string()))?;
    let identity = plan.identity(receiver).ok_or(JudgeFault::Unsigned)?;
    let hash = Hash(*dealing.hash());
    if !complaint.verifies(plan.fingerprint(), list.ctx(), &hash, identity) {
        return Err(JudgeFault::Unsigned);
    }
    Ok(match Complaint::from_bytes(&complaint.complaint) {
        Ok(c) if c.receiver() == receiver => complaint::judge(&dealing, &c),
        // The receiver signed what is no complaint of its own.
        _ => Verdict::ReceiverLied,
    })
}
