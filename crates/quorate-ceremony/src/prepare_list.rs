//! The list of prepare answers: fixes every receiver's ceremony key, who deals, and in a
//! genesis every dealer's commitment, before anybody deals.

use crate::{Plan, PrepareAnswer};
use quorate_crypto::{EncodedPoint, dealing::Receivers};
pub use quorate_types::dealing::list_hash;
use quorate_types::{Hash, NodeIndex, codec::ascending};
use thiserror::Error;

/// Why answers are no list. A list is put together by the conductor, so all but the
/// last two are its fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListFault {
    /// Not the parties.
    #[error(
        "a list has one prepare answer of each member and no other; in a reshare, of q members \
         at least and of every dealer"
    )]
    Members,
    /// Not the dealers.
    #[error(
        "dealers are all members in a genesis, the owner in an import; in a reshare t who hold \
         the parent epoch"
    )]
    Dealers,
    /// Not signed by its node for this attempt.
    #[error("the prepare answer of node {0} is not signed by it for this attempt")]
    Unsigned(NodeIndex),
    /// Signed, but no key that anything could be sealed to.
    #[error("the ceremony key of node {0} is not a canonical point other than the identity")]
    CeremonyKey(NodeIndex),
    /// Signed, but without what it commits to deal, or with something in an import.
    #[error("node {0} has not committed to what it will deal, or deals nothing here")]
    Commitment(NodeIndex),
}

impl ListFault {
    /// The node whose signed answer is bad, if one is.
    #[must_use]
    pub fn culprit(&self) -> Option<NodeIndex> {
        match self {
            Self::Members | Self::Dealers | Self::Unsigned(_) => None,
            Self::CeremonyKey(node) | Self::Commitment(node) => Some(*node),
        }
    }
}

/// Verified prepare answers, and who of them deals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareList {
    answers: Vec<PrepareAnswer>,
    dealers: Vec<NodeIndex>,
    receivers: Receivers,
    hash: Hash,
    ctx: Hash,
}

impl PrepareList {
    /// Verifies answers as the list of this attempt.
    ///
    /// # Errors
    /// [`ListFault`].
    pub fn verify(
        plan: &Plan,
        answers: Vec<PrepareAnswer>,
        dealers: Vec<NodeIndex>,
    ) -> Result<Self, ListFault> {
        ascending(&answers, "answers", |a| a.node).map_err(|_| ListFault::Members)?;
        ascending(&dealers, "dealers", |d| *d).map_err(|_| ListFault::Dealers)?;
        let mut receivers = Vec::with_capacity(answers.len());
        for answer in &answers {
            let key = verify_answer(plan, answer)?;
            if plan.committee().member(answer.node).is_some() {
                receivers.push((answer.node, key));
            } else if !dealers.contains(&answer.node) {
                return Err(ListFault::Members);
            }
        }
        let needed = match plan.parent() {
            None => plan.committee().size(),
            Some(_) => usize::from(plan.terms().q),
        };
        if receivers.len() < needed {
            return Err(ListFault::Members);
        }
        // The owner of a key that is imported deals, and receives nothing.
        let owner = plan.owner().is_some();
        if owner && dealers != [NodeIndex::OWNER] {
            return Err(ListFault::Dealers);
        }
        if owner && answers.len() != receivers.len() {
            return Err(ListFault::Members);
        }
        for dealer in dealers.iter().filter(|_| !owner) {
            let at = answers.binary_search_by_key(dealer, |a| a.node);
            let at = at.map_err(|_| ListFault::Dealers)?;
            if answers[at].commitment.is_none() || !plan.may_deal(*dealer) {
                return Err(ListFault::Dealers);
            }
        }
        if dealers.len() < plan.least_dealers() {
            return Err(ListFault::Dealers);
        }
        let receivers = Receivers::new(receivers).map_err(|_| ListFault::Members)?;
        let hash = list_hash(plan.fingerprint(), &answers, &dealers);
        let ctx = plan.context(hash).hash();
        Ok(Self { answers, dealers, receivers, hash, ctx })
    }

    /// Who deals, ascending.
    #[must_use]
    pub fn dealers(&self) -> &[NodeIndex] {
        &self.dealers
    }

    /// By ascending node.
    #[must_use]
    pub fn answers(&self) -> &[PrepareAnswer] {
        &self.answers
    }

    /// Every receiver's ceremony key.
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
    if !plan.may_offer(answer.node, answer.commitment.as_ref()) {
        return Err(ListFault::Commitment(answer.node));
    }
    EncodedPoint::decode(&answer.ceremony_key).map_err(|_| ListFault::CeremonyKey(answer.node))
}
