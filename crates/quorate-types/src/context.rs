//! What a ceremony binds into everything it signs and proves.

use crate::{
    codec::{CodecError, Format, Part, Reader, Writer},
    committee::Committee,
    ids::{EpochName, Fingerprint, Hash, KeyName, KeyVersion, NodeIndex},
    order::VerifiedOrder,
    suite::{Purpose, Suite},
};
use quorate_crypto::hash::{Label, hash32};

/// The parent of an epoch: absent in a genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The epoch whose committee deals.
    pub epoch: EpochName,
    /// Hash of what its certificate certifies, whichever receipts prove it.
    pub certificate: Hash,
}

impl Part for Parent {
    fn write(&self, w: &mut Writer) {
        self.epoch.write(w);
        self.certificate.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { epoch: Part::read(r)?, certificate: Part::read(r)? })
    }
}

/// `ctx` of DESIGN §4.1: every dealing, receipt and certificate binds its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CeremonyContext {
    /// The cluster.
    pub fingerprint: Fingerprint,
    /// The key.
    pub key: KeyName,
    /// Its version.
    pub version: KeyVersion,
    /// What it does.
    pub suite: Suite,
    /// What it is for.
    pub purpose: Purpose,
    /// The epoch that deals; `None` in a genesis.
    pub parent: Option<Parent>,
    /// The new epoch's number.
    pub number: u64,
    /// The new committee as pairs (index, identity), with the new threshold.
    pub committee: Committee,
    /// Hash of the order.
    pub order: Hash,
    /// Version of the roster that the order names.
    pub roster_version: u32,
    /// Its hash.
    pub roster_hash: Hash,
    /// Hash of the full list of prepare answers.
    pub prepare_list: Hash,
}

impl CeremonyContext {
    /// Of an attempt under an order that makes epochs of this version, and a list of prepare
    /// answers.
    #[must_use]
    pub fn of(
        order: &VerifiedOrder,
        version: KeyVersion,
        parent: Option<Parent>,
        number: u64,
        prepare_list: Hash,
    ) -> Option<Self> {
        let (terms, hash, order) = (order.terms_of(version)?, order.hash(), order.order());
        Some(Self {
            fingerprint: order.fingerprint,
            key: terms.name.clone(),
            version: terms.version,
            suite: terms.suite,
            purpose: terms.purpose,
            parent,
            number,
            committee: terms.committee.clone(),
            order: hash,
            roster_version: order.roster_version,
            roster_hash: order.roster_hash,
            prepare_list,
        })
    }

    /// The 32 bytes that dealings and receipts bind.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash(hash32(Label::CONTEXT_HASH, &[&self.to_bytes()]))
    }
}

impl Part for CeremonyContext {
    fn write(&self, w: &mut Writer) {
        self.fingerprint.write(w);
        self.key.write(w);
        self.version.write(w);
        self.suite.write(w);
        self.purpose.write(w);
        w.option(self.parent.as_ref());
        w.u64(self.number);
        self.committee.write(w);
        self.order.write(w);
        w.u32(self.roster_version);
        self.roster_hash.write(w);
        self.prepare_list.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            fingerprint: Part::read(r)?,
            key: Part::read(r)?,
            version: Part::read(r)?,
            suite: Part::read(r)?,
            purpose: Part::read(r)?,
            parent: r.option("parent")?,
            number: r.u64("epoch number")?,
            committee: Part::read(r)?,
            order: Part::read(r)?,
            roster_version: r.u32("roster version")?,
            roster_hash: Part::read(r)?,
            prepare_list: Part::read(r)?,
        })
    }
}

impl Format for CeremonyContext {
    const KIND: &'static str = "QCTX";
}

/// What the proof of a node's partials binds beside the mathematics: cluster, key,
/// version, suite, purpose, epoch, node and the request.
#[derive(Clone, Debug)]
pub struct PartialContext<'a> {
    /// The epoch's public values.
    pub public: &'a crate::EpochPublic,
    /// The proving node.
    pub node: NodeIndex,
    /// Hash of the request that is answered.
    pub request: Hash,
}

impl PartialContext<'_> {
    /// The bytes that go into the proof's challenge.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        let p = self.public;
        let mut w = Writer::new();
        p.fingerprint.write(&mut w);
        p.key.write(&mut w);
        p.version.write(&mut w);
        p.suite.write(&mut w);
        p.purpose.write(&mut w);
        p.epoch.write(&mut w);
        self.node.write(&mut w);
        if let Some(member) = p.committee.member(self.node) {
            member.identity.write(&mut w);
        }
        self.request.write(&mut w);
        hash32(Label::PARTIAL_CONTEXT, &[&w.finish()])
    }
}
