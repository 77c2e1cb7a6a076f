//! The order that imports a key: its owner deals it, once, from a machine of their own.

use crate::{
    codec::{CodecError, Part, Reader, Writer},
    ids::{Millis, NodeIndex},
    order::{CreateKey, OrderError},
    rights::Rights,
    roster::Roster,
};
use quorate_crypto::PublicKey;

/// Makes a key out of one that exists already. It can be known outside of the nodes for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportKey {
    /// What a key is made with.
    pub create: CreateKey,
    /// `Y`, encoded: no other key is born under this order.
    pub public_key: [u8; 32],
    /// The owner's client key: signs the one dealing.
    pub dealer: PublicKey,
}

impl ImportKey {
    pub(crate) fn check(&self, issued_at: Millis, roster: &Roster) -> Result<(), OrderError> {
        let rule = |text: String| Err(OrderError::Rule(text));
        self.create.check(issued_at)?;
        if let Err(error) = self.create.suite.group().decode(&self.public_key) {
            return rule(format!(
                "the public key of an imported {} key: {error}",
                self.create.suite
            ));
        }
        if roster.node_by_identity(&self.dealer).is_some() || roster.is_coordinator(&self.dealer) {
            return rule(
                "nodes and coordinators deal no key that is imported; its owner does".into(),
            );
        }
        if self.create.committee.member(NodeIndex::OWNER).is_some() {
            let owner = NodeIndex::OWNER;
            return rule(format!(
                "node {owner} receives no imported key: its index is the owner's"
            ));
        }
        Ok(())
    }
}

impl Part for ImportKey {
    fn write(&self, w: &mut Writer) {
        w.option(Some(&self.create.rights).filter(|rights| **rights != Rights::NONE));
        self.create.write(w);
        w.raw(&self.public_key);
        self.dealer.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let rights = r.option("rights")?.unwrap_or(Rights::NONE);
        Ok(Self {
            create: CreateKey { rights, ..Part::read(r)? },
            public_key: r.array("public key")?,
            dealer: Part::read(r)?,
        })
    }
}
