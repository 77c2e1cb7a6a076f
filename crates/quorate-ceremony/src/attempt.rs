//! What an attempt is about: the order, the number, and all that they fix.

use crate::{Fault, prepare_list::PrepareList};
use quorate_crypto::{PublicKey, ShareIndex, dealing::Weights, group::Group};
use quorate_types::{
    AttemptId, CeremonyContext, Committee, EpochName, EpochPublic, Fingerprint, Hash, KeyVersion,
    NodeIndex, Parent, Repeat, Terms, VerifiedEpoch, VerifiedOrder,
};
use std::collections::BTreeSet;

/// Whether an order may make an epoch with this number out of a parent, which an order has
/// made too. An order applies once, unless it is a schedule: an epoch that it has made is
/// not its parent.
#[must_use]
pub fn may_follow(child: (Hash, u64), parent: (Hash, EpochName), schedule: bool) -> bool {
    (schedule || parent.0 != child.0) && parent.1.number < child.1
}

/// A verified order, one of the numbers that it allows, and for a reshare the epoch whose
/// shares are dealt on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    order: VerifiedOrder,
    version: KeyVersion,
    number: u64,
    parent: Option<Box<VerifiedEpoch>>,
}

impl Plan {
    /// A genesis or an import, under an order that makes one version.
    ///
    /// # Errors
    /// [`Fault::WrongAction`], [`Fault::NumberRange`].
    pub fn new(order: VerifiedOrder, number: u64) -> Result<Self, Fault> {
        let version = order.terms().ok_or(Fault::WrongAction)?.version;
        Self::with(order, version, number, None)
    }

    /// A genesis or an import of a version that the order may make, be it one of many.
    ///
    /// # Errors
    /// [`Fault::WrongAction`], [`Fault::NumberRange`].
    pub fn birth(order: VerifiedOrder, version: KeyVersion, number: u64) -> Result<Self, Fault> {
        Self::with(order, version, number, None)
    }

    /// A reshare of a parent epoch, which must be of the order's key and below the number.
    ///
    /// # Errors
    /// [`Fault::WrongAction`], [`Fault::NumberRange`], [`Fault::Parent`].
    pub fn reshare(
        order: VerifiedOrder,
        number: u64,
        parent: VerifiedEpoch,
    ) -> Result<Self, Fault> {
        let version = order.terms().ok_or(Fault::WrongAction)?.version;
        Self::with(order, version, number, Some(Box::new(parent)))
    }

    fn with(
        order: VerifiedOrder,
        version: KeyVersion,
        number: u64,
        parent: Option<Box<VerifiedEpoch>>,
    ) -> Result<Self, Fault> {
        let terms = order.terms_of(version).ok_or(Fault::WrongAction)?;
        let (first, last) = terms.numbers().into_inner();
        if !(first..=last).contains(&number) {
            return Err(Fault::NumberRange { first, last, got: number });
        }
        match (&parent, terms.public_key) {
            (None, _) if terms.is_birth() => {}
            (Some(parent), Some(y)) if !terms.is_birth() => {
                let public = parent.public();
                let same = (&public.key, public.version) == (terms.name, terms.version)
                    && (public.suite, public.purpose) == (terms.suite, terms.purpose)
                    && public.public_key() == y;
                let (child, made) = ((order.hash(), number), (public.order, public.epoch));
                if !same || !may_follow(child, made, terms.repeat.is_some()) {
                    return Err(Fault::Parent);
                }
            }
            _ => return Err(Fault::WrongAction),
        }
        Ok(Self { order, version, number, parent })
    }

    /// The order.
    #[must_use]
    pub fn order(&self) -> &VerifiedOrder {
        &self.order
    }

    /// What it asks for.
    ///
    /// # Panics
    /// Never: a plan has an order that makes an epoch.
    #[must_use]
    pub fn terms(&self) -> Terms<'_> {
        self.order.terms_of(self.version).expect("a plan has an order that makes an epoch")
    }

    /// The version whose epoch it makes.
    #[must_use]
    pub fn version(&self) -> KeyVersion {
        self.version
    }

    /// The new epoch's number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The epoch whose shares are dealt on; `None` in a genesis or an import.
    #[must_use]
    pub fn parent(&self) -> Option<&VerifiedEpoch> {
        self.parent.as_deref()
    }

    /// The group of the polynomials that are dealt: the suite's.
    #[must_use]
    pub fn group(&self) -> Group {
        self.terms().suite.group()
    }

    /// The owner's key, in an import: whose one dealing is the bundle.
    #[must_use]
    pub fn owner(&self) -> Option<&PublicKey> {
        self.terms().dealer
    }

    /// Who receives; in a genesis also who deals.
    #[must_use]
    pub fn committee(&self) -> &Committee {
        self.terms().committee
    }

    /// How many dealers a bundle needs at least: all in a genesis, the owner in an import, `t`
    /// of the parent's committee in a reshare.
    #[must_use]
    pub fn least_dealers(&self) -> usize {
        match &self.parent {
            None if self.owner().is_some() => 1,
            None => self.committee().size(),
            Some(parent) => parent.public().committee.threshold().as_usize(),
        }
    }

    /// Everybody who takes part: the committee, and in a reshare the parent's.
    #[must_use]
    pub fn parties(&self) -> BTreeSet<NodeIndex> {
        let parents = self.parent.iter().flat_map(|p| p.public().committee.indices());
        self.committee().indices().chain(parents).collect()
    }

    /// The schedule under which shares move again, if its order has made the parent too.
    pub(crate) fn repeats(&self) -> Option<Repeat> {
        let again = self.parent.as_ref()?.public().order == self.order.hash();
        self.terms().repeat.filter(|_| again)
    }

    /// How the dealings of a bundle are weighted.
    pub(crate) fn weights(&self) -> Weights {
        if planted!(WeightBeforeDealers) {
            return Weights::Sum;
        }
        if self.parent.is_some() { Weights::LagrangeAtZero } else { Weights::Sum }
    }

    /// Whether what a party offers to deal in its prepare answer is what this attempt is about. In
    /// an import nodes deal nothing.
    pub(crate) fn may_offer(&self, node: NodeIndex, offered: Option<&[u8; 32]>) -> bool {
        match (&self.parent, offered) {
            (None, offered) => offered.is_some() == self.owner().is_none(),
            // In a reshare a receiver may hold no share to deal.
            (Some(_), None) => true,
            (Some(p), Some(o)) => o == p.name().bundle.as_bytes() && self.may_deal(node),
        }
    }

    /// Whether a party may deal: in an import the owner, in a reshare a member of the parent's committee with the
    /// identity that it has there.
    pub(crate) fn may_deal(&self, node: NodeIndex) -> bool {
        if self.owner().is_some() {
            return node == NodeIndex::OWNER;
        }
        let Some(parent) = &self.parent else { return self.committee().member(node).is_some() };
        let there = parent.public().committee.member(node).map(|m| &m.identity);
        there.is_some() && there == self.identity(node)
    }

    /// The cluster.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.order.order().fingerprint
    }

    /// Names the attempt.
    #[must_use]
    pub fn id(&self) -> AttemptId {
        AttemptId {
            fingerprint: *self.fingerprint(),
            key: self.terms().name.clone(),
            version: self.version,
            order: self.order.hash(),
            number: self.number,
        }
    }

    /// `ctx` of DESIGN §4.1 under the list of prepare answers with this hash.
    ///
    /// # Panics
    /// Never: a plan has an order that makes an epoch.
    #[must_use]
    pub fn context(&self, prepare_list: Hash) -> CeremonyContext {
        let parent = self
            .parent
            .as_ref()
            .map(|p| Parent { epoch: p.name(), certificate: p.record().certificate.hash() });
        CeremonyContext::of(&self.order, self.version, parent, self.number, prepare_list)
            .expect("a plan has an order that makes an epoch")
    }

    /// The public values of the epoch that a bundle makes.
    pub(crate) fn public(
        &self,
        list: &PrepareList,
        bundle: Hash,
        commitments: Vec<[u8; 32]>,
    ) -> EpochPublic {
        let terms = self.terms();
        EpochPublic {
            fingerprint: *self.fingerprint(),
            key: terms.name.clone(),
            version: self.version,
            suite: terms.suite,
            purpose: terms.purpose,
            epoch: EpochName { number: self.number, bundle },
            parent: self.parent.as_ref().map(|p| p.name()),
            context: *list.ctx(),
            order: self.order.hash(),
            committee: terms.committee.clone(),
            commitments,
        }
    }

    /// The identity of a party; of the owner its client key. An index that has changed hands has
    /// its new identity.
    #[must_use]
    pub fn identity(&self, node: ShareIndex) -> Option<&PublicKey> {
        if let Some(owner) = self.owner().filter(|_| node == NodeIndex::OWNER) {
            return Some(owner);
        }
        let here = self.committee().member(node);
        let before = || self.parent.as_ref().and_then(|p| p.public().committee.member(node));
        here.or_else(before).map(|m| &m.identity)
    }
}
