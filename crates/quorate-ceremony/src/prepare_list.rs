//! The full list of prepare answers: fixes everybody's ceremony key and commitment
//! before anybody deals.

use crate::{Plan, PrepareAnswer};
use quorate_crypto::{
    EncodedPoint,
    dealing::Receivers,
    hash::{Label, hash32},
};
use quorate_types::{Fingerprint, Hash, NodeIndex, Writer};
use thiserror::Error;

/// Why answers are no list. A list is put together by the conductor, so all but the
/// last two are its fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListFault {
    /// Not the committee.
    #[error("a list has one prepare answer of each committee member and no other")]
    Members,
    /// Not signed by its node for this attempt.
    #[error("the prepare answer of node {0} is not signed by it for this attempt")]
    Unsigned(NodeIndex),
    /// Signed, but no key that anything could be sealed to.
    #[error("the ceremony key of node {0} is not a canonical point other than the identity")]
    CeremonyKey(NodeIndex),
    /// Signed, but without what a genesis needs.
    #[error("node {0} has not committed to what it will deal, as a genesis needs")]
    Commitment(NodeIndex),
}

impl ListFault {
    /// The node whose signed answer is bad, if one is.
    #[must_use]
    pub fn culprit(&self) -> Option<NodeIndex> {
        match self {
            Self::Members | Self::Unsigned(_) => None,
            Self::CeremonyKey(node) | Self::Commitment(node) => Some(*node),
        }
    }
}

/// One verified prepare answer of each committee member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareList {
    answers: Vec<PrepareAnswer>,
    receivers: Receivers,
    hash: Hash,
    ctx: Hash,
}

impl PrepareList {
    /// Verifies answers as the list of this attempt.
    ///
    /// # Errors
    /// [`ListFault`].
    pub fn verify(plan: &Plan, answers: Vec<PrepareAnswer>) -> Result<Self, ListFault> {
        if !answers.iter().map(|a| a.node).eq(plan.committee().indices()) {
            return Err(ListFault::Members);
        }
        let mut receivers = Vec::with_capacity(answers.len());
        for answer in &answers {
            receivers.push((answer.node, verify_answer(plan, answer)?));
        }
        let receivers = Receivers::new(receivers).map_err(|_| ListFault::Members)?;
        let hash = list_hash(plan.fingerprint(), &answers);
        let ctx = plan.context(hash).hash();
        Ok(Self { answers, receivers, hash, ctx })
    }

    /// By ascending node.
    #[must_use]
    pub fn answers(&self) -> &[PrepareAnswer] {
        &self.answers
    }

    /// Everybody's ceremony key.
    #[must_use]
    pub fn receivers(&self) -> &Receivers {
        &self.receivers
    }

    /// Names the list.
    #[must_use]
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    /// Hash of the ceremony context, which the list completes.
    #[must_use]
    pub fn ctx(&self) -> &Hash {
        &self.ctx
    }

    /// What a dealer has committed to.
    #[must_use]
    pub fn commitment(&self, dealer: NodeIndex) -> Option<&[u8; 32]> {
        let at = self.answers.binary_search_by_key(&dealer, |a| a.node).ok()?;
        self.answers[at].commitment.as_ref()
    }
}

/// Verifies one answer, and gives its ceremony key.
///
/// # Errors
/// [`ListFault`]; [`ListFault::Members`] for a node that is not in the committee.
pub fn verify_answer(plan: &Plan, answer: &PrepareAnswer) -> Result<EncodedPoint, ListFault> {
    let identity = plan.identity(answer.node).ok_or(ListFault::Members)?;
    if !answer.verifies(&plan.id(), identity) {
        return Err(ListFault::Unsigned(answer.node));
    }
    if answer.commitment.is_none() {
        return Err(ListFault::Commitment(answer.node));
    }
    EncodedPoint::decode(&answer.ceremony_key).map_err(|_| ListFault::CeremonyKey(answer.node))
}

/// Names a list of prepare answers.
#[must_use]
pub fn list_hash(fingerprint: &Fingerprint, answers: &[PrepareAnswer]) -> Hash {
    let mut w = Writer::new();
    w.list(answers);
    Hash(hash32(Label::PREPARE_LIST_HASH, &[fingerprint.as_bytes(), &w.finish()]))
}
