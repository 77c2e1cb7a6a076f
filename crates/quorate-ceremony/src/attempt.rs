//! What an attempt is about: the order, the number, and all that they fix.

use crate::{Fault, prepare_list::PrepareList};
use quorate_crypto::{
    ShareIndex,
    hash::{Label, hash32},
};
use quorate_types::{
    CeremonyContext, Committee, CreateKey, EpochName, EpochPublic, Fingerprint, Hash, KeyName,
    KeyVersion, Part, VerifiedOrder, Writer,
};

/// Names one attempt before anything in it exists: made by the conductor, who picks the
/// number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId {
    /// The cluster.
    pub fingerprint: Fingerprint,
    /// The key.
    pub key: KeyName,
    /// Its version.
    pub version: KeyVersion,
    /// Hash of the order.
    pub order: Hash,
    /// The new epoch's number.
    pub number: u64,
}

impl AttemptId {
    /// The 32 bytes that prepare answers and commitment hashes bind.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut w = Writer::new();
        self.fingerprint.write(&mut w);
        self.key.write(&mut w);
        self.version.write(&mut w);
        self.order.write(&mut w);
        w.u64(self.number);
        Hash(hash32(Label::ATTEMPT_HASH, &[&w.finish()]))
    }
}

/// A verified order that makes a key, and one of the numbers that it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    order: VerifiedOrder,
    create: CreateKey,
    number: u64,
}

impl Plan {
    /// # Errors
    /// [`Fault::WrongAction`], [`Fault::NumberRange`].
    pub fn new(order: VerifiedOrder, number: u64) -> Result<Self, Fault> {
        let create = order.create_key().ok_or(Fault::WrongAction)?.clone();
        let numbers = create.numbers();
        if !numbers.contains(&number) {
            let (first, last) = numbers.into_inner();
            return Err(Fault::NumberRange { first, last, got: number });
        }
        Ok(Self { order, create, number })
    }

    /// The order.
    #[must_use]
    pub fn order(&self) -> &VerifiedOrder {
        &self.order
    }

    /// What it asks for.
    #[must_use]
    pub fn create(&self) -> &CreateKey {
        &self.create
    }

    /// The new epoch's number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Who deals and receives in a genesis.
    #[must_use]
    pub fn committee(&self) -> &Committee {
        &self.create.committee
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
            key: self.create.name.clone(),
            version: self.create.version,
            order: self.order.hash(),
            number: self.number,
        }
    }

    /// `ctx` of DESIGN §4.1 under the list of prepare answers with this hash.
    #[must_use]
    pub fn context(&self, prepare_list: Hash) -> CeremonyContext {
        let order = self.order.order();
        CeremonyContext {
            fingerprint: order.fingerprint,
            key: self.create.name.clone(),
            version: self.create.version,
            suite: self.create.suite,
            purpose: self.create.purpose,
            parent: None,
            number: self.number,
            committee: self.create.committee.clone(),
            order: self.order.hash(),
            roster_version: order.roster_version,
            roster_hash: order.roster_hash,
            prepare_list,
        }
    }

    /// The public values of the epoch that a bundle makes.
    pub(crate) fn public(
        &self,
        list: &PrepareList,
        bundle: Hash,
        commitments: Vec<[u8; 32]>,
    ) -> EpochPublic {
        EpochPublic {
            fingerprint: *self.fingerprint(),
            key: self.create.name.clone(),
            version: self.create.version,
            suite: self.create.suite,
            purpose: self.create.purpose,
            epoch: EpochName { number: self.number, bundle },
            context: *list.ctx(),
            order: self.order.hash(),
            committee: self.create.committee.clone(),
            commitments,
        }
    }

    /// The identity of a member, for proofs that bind it.
    pub(crate) fn identity(&self, node: ShareIndex) -> Option<&quorate_crypto::PublicKey> {
        self.committee().member(node).map(|m| &m.identity)
    }
}
