//! The roster: who is in the cluster. It is the public-key infrastructure; its
//! genesis version is what everybody pins.

use crate::{
    codec::{CodecError, Format, Part, Reader, Writer, ascending},
    ids::{Endpoint, Fingerprint, Hash, Jurisdiction, Millis, NodeIndex, PartyName, ProviderName},
    signed::Signed,
};
use quorate_crypto::{
    IdentityKey, PublicKey, Signature,
    hash::{Label, hash32},
};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use thiserror::Error;

/// The most nodes in a cluster.
pub const MAX_NODES: usize = 128;
/// The most coordinators.
pub const MAX_COORDINATORS: usize = 16;
/// The most operators.
pub const MAX_OPERATORS: usize = 32;
/// The longest chain of rosters that is verified.
pub const MAX_CHAIN: usize = 1024;

/// Why a roster is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RosterError {
    /// Its bytes are no roster.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Something in it breaks a rule.
    #[error("the roster breaks a rule: {0}")]
    Rule(String),
    /// The first roster is not the one that was pinned.
    #[error("the cluster's fingerprint is {got}, expected {expected}: this is another cluster")]
    Fingerprint {
        /// The pinned one.
        expected: Fingerprint,
        /// That of the roster at hand.
        got: Fingerprint,
    },
    /// A later roster does not follow from the one before.
    #[error("roster version {version} does not follow: {rule}")]
    Chain {
        /// The version that does not follow.
        version: u32,
        /// Why.
        rule: String,
    },
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEntry {
    /// The x-coordinate of its shares; never re-used.
    pub index: NodeIndex,
    /// For people.
    pub name: PartyName,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Who runs the machine.
    pub provider: ProviderName,
    /// Where the machine stands.
    pub location: Jurisdiction,
    /// Where the provider is at home. The node counts for both.
    pub home: Jurisdiction,
    /// Signs for the node, and is its TLS key.
    pub identity: PublicKey,
}

impl NodeEntry {
    /// The jurisdictions that can compel this node: location and home.
    #[must_use]
    pub fn jurisdictions(&self) -> BTreeSet<&Jurisdiction> {
        [&self.location, &self.home].into()
    }
}

impl Part for NodeEntry {
    fn write(&self, w: &mut Writer) {
        self.index.write(w);
        self.name.write(w);
        self.endpoint.write(w);
        self.provider.write(w);
        self.location.write(w);
        self.home.write(w);
        self.identity.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            index: Part::read(r)?,
            name: Part::read(r)?,
            endpoint: Part::read(r)?,
            provider: Part::read(r)?,
            location: Part::read(r)?,
            home: Part::read(r)?,
            identity: Part::read(r)?,
        })
    }
}

/// One coordinator: it has no vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorEntry {
    /// For people.
    pub name: PartyName,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Its TLS key.
    pub tls_key: PublicKey,
}

impl Part for CoordinatorEntry {
    fn write(&self, w: &mut Writer) {
        self.name.write(w);
        self.endpoint.write(w);
        self.tls_key.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { name: Part::read(r)?, endpoint: Part::read(r)?, tls_key: Part::read(r)? })
    }
}

/// One operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorEntry {
    /// For people.
    pub name: PartyName,
    /// Signs orders.
    pub key: PublicKey,
}

impl Part for OperatorEntry {
    fn write(&self, w: &mut Writer) {
        self.name.write(w);
        self.key.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { name: Part::read(r)?, key: Part::read(r)? })
    }
}

/// The nodes, coordinators and operators of a cluster, with the operators' quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// The cluster's name, for people.
    pub cluster: PartyName,
    /// 1 for the genesis roster.
    pub version: u32,
    /// Hash of the version before; zeros in the genesis roster.
    pub previous: Hash,
    /// Makes two genesis rosters with the same content two clusters.
    pub nonce: [u8; 32],
    /// When it was written, by the operators' clock. For people.
    pub written_at: Millis,
    /// By ascending index.
    pub nodes: Vec<NodeEntry>,
    /// At least one.
    pub coordinators: Vec<CoordinatorEntry>,
    /// At least one.
    pub operators: Vec<OperatorEntry>,
    /// How many operators make an order: `m > k / 2`.
    pub quorum: u16,
}

impl Roster {
    /// The node with this index.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> Option<&NodeEntry> {
        self.nodes.iter().find(|n| n.index == index)
    }

    /// The node with this identity.
    #[must_use]
    pub fn node_by_identity(&self, key: &PublicKey) -> Option<&NodeEntry> {
        self.nodes.iter().find(|n| n.identity == *key)
    }

    /// Whether this is an operator's key.
    #[must_use]
    pub fn is_operator(&self, key: &PublicKey) -> bool {
        self.operators.iter().any(|o| o.key == *key)
    }

    /// Whether this is a coordinator's TLS key.
    #[must_use]
    pub fn is_coordinator(&self, key: &PublicKey) -> bool {
        self.coordinators.iter().any(|c| c.tls_key == *key)
    }

    /// Unique indices, names, endpoints and keys; an operators' majority.
    ///
    /// # Errors
    /// [`RosterError::Rule`] names the first rule that is broken.
    pub fn check(&self) -> Result<(), RosterError> {
        let rule = |text: String| Err(RosterError::Rule(text));
        let (k, m) = (self.operators.len(), usize::from(self.quorum));
        if self.version == 0 {
            return rule("versions begin at 1".into());
        }
        if (self.version == 1) != (self.previous == Hash::default()) {
            return rule("the genesis roster, and only it, names no roster before it".into());
        }
        if self.nodes.len() < 2 || self.coordinators.is_empty() || k == 0 {
            return rule("needs at least 2 nodes, 1 coordinator and 1 operator".into());
        }
        if m > k || m * 2 <= k {
            return rule(format!(
                "of {k} operators more than half must sign, at most all; got {m}"
            ));
        }
        let mut indices = BTreeSet::new();
        let mut keys = BTreeSet::new();
        let mut names = BTreeSet::new();
        let mut endpoints = BTreeSet::new();
        for n in &self.nodes {
            if !indices.insert(n.index) {
                return rule(format!("node index {} stands twice", n.index));
            }
        }
        let parties = (self.nodes.iter().map(|n| (&n.name, &n.identity, Some(&n.endpoint))))
            .chain(self.coordinators.iter().map(|c| (&c.name, &c.tls_key, Some(&c.endpoint))))
            .chain(self.operators.iter().map(|o| (&o.name, &o.key, None)));
        for (name, key, endpoint) in parties {
            if !names.insert(name) {
                return rule(format!("the name {name} stands twice"));
            }
            if !keys.insert(key) {
                return rule(format!("the key of {name} stands twice"));
            }
            if endpoint.is_some_and(|e| !endpoints.insert(e)) {
                return rule(format!("the endpoint of {name} stands twice"));
            }
        }
        Ok(())
    }
}

impl Part for Roster {
    fn write(&self, w: &mut Writer) {
        self.cluster.write(w);
        w.u32(self.version);
        self.previous.write(w);
        w.raw(&self.nonce);
        self.written_at.write(w);
        w.list(&self.nodes);
        w.list(&self.coordinators);
        w.list(&self.operators);
        w.u16(self.quorum);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let roster = Self {
            cluster: Part::read(r)?,
            version: r.u32("roster version")?,
            previous: Part::read(r)?,
            nonce: r.array("roster nonce")?,
            written_at: Part::read(r)?,
            nodes: r.list(MAX_NODES, "nodes")?,
            coordinators: r.list(MAX_COORDINATORS, "coordinators")?,
            operators: r.list(MAX_OPERATORS, "operators")?,
            quorum: r.u16("operators' quorum")?,
        };
        ascending(&roster.nodes, "nodes", |n| n.index)?;
        roster.check().map_err(|e| CodecError::invalid("roster", e))?;
        Ok(roster)
    }
}

impl Format for Roster {
    const KIND: &'static str = "QROS";
}

/// A roster's bytes with the operators' signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRoster(pub Signed);

impl Part for SignedRoster {
    fn write(&self, w: &mut Writer) {
        self.0.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Signed::read(r).map(Self)
    }
}

impl Format for SignedRoster {
    const KIND: &'static str = "QSRO";
}

/// SHA-256 of the genesis roster's bytes.
#[must_use]
pub fn fingerprint(genesis_bytes: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(genesis_bytes).into())
}

/// A roster chain that was verified from the pinned fingerprint: what a party believes
/// about the cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    fingerprint: Fingerprint,
    rosters: Vec<(Roster, Hash)>,
    signed: Vec<SignedRoster>,
}

impl Cluster {
    /// Verifies a chain: the genesis roster by its fingerprint, each later one by the
    /// operators' quorum of the one before.
    ///
    /// # Errors
    /// [`RosterError`]; nothing of a chain with one bad link is believed.
    pub fn verify(expected: &Fingerprint, chain: &[SignedRoster]) -> Result<Self, RosterError> {
        let cluster = Self::from_genesis(chain)?;
        if cluster.fingerprint == *expected {
            Ok(cluster)
        } else {
            Err(RosterError::Fingerprint { expected: *expected, got: cluster.fingerprint })
        }
    }

    /// Verifies a chain whose genesis is taken on trust, and gives the fingerprint to
    /// show to a person.
    ///
    /// # Errors
    /// [`RosterError`].
    pub fn from_genesis(chain: &[SignedRoster]) -> Result<Self, RosterError> {
        let Some((genesis, later)) = chain.split_first() else {
            return Err(RosterError::Rule("the chain is empty".into()));
        };
        if chain.len() > MAX_CHAIN {
            return Err(RosterError::Rule(format!("the chain is longer than {MAX_CHAIN}")));
        }
        let first = Roster::from_bytes(&genesis.0.body)?;
        if first.version != 1 {
            return Err(RosterError::Rule("the chain must begin with version 1".into()));
        }
        let fingerprint = fingerprint(&genesis.0.body);
        let hash = roster_hash(&fingerprint, &genesis.0.body);
        let mut cluster =
            Self { fingerprint, rosters: vec![(first, hash)], signed: vec![genesis.clone()] };
        for next in later {
            cluster.extend(next)?;
        }
        Ok(cluster)
    }

    /// This chain with what others bring: rosters in sequence, from any version on. `None` if
    /// nothing of it is newer than what is known.
    ///
    /// # Errors
    /// [`RosterError::Chain`] for a roster that is not the one known here in its version, or
    /// does not follow; nothing is taken then.
    pub fn extended(&self, brought: &[SignedRoster]) -> Result<Option<Self>, RosterError> {
        let mut longer: Option<Self> = None;
        for next in brought {
            let roster = Roster::from_bytes(&next.0.body)?;
            let version = roster.version;
            if let Some((_, known)) = longer.as_ref().unwrap_or(self).at(version) {
                if known != roster_hash(&self.fingerprint, &next.0.body) {
                    let rule = "another roster is known in this version".into();
                    return Err(RosterError::Chain { version, rule });
                }
                continue;
            }
            let chain = longer.get_or_insert_with(|| self.clone());
            if chain.signed.len() >= MAX_CHAIN {
                return Err(RosterError::Rule(format!("the chain is longer than {MAX_CHAIN}")));
            }
            chain.extend(next)?;
        }
        Ok(longer)
    }

    /// The newest entry of a node with this identity, whether it is still in the roster or not.
    #[must_use]
    pub fn entry_of(&self, identity: &PublicKey) -> Option<&NodeEntry> {
        self.rosters.iter().rev().find_map(|(r, _)| r.node_by_identity(identity))
    }

    /// The first version with this identity as a node's.
    #[must_use]
    pub fn joined_at(&self, identity: &PublicKey) -> Option<u32> {
        let first = self.rosters.iter().find(|(r, _)| r.node_by_identity(identity).is_some());
        first.map(|(r, _)| r.version)
    }

    /// Whether the newest roster names this identity at this index.
    #[must_use]
    pub fn names(&self, index: NodeIndex, identity: &PublicKey) -> bool {
        self.roster().node(index).is_some_and(|n| n.identity == *identity)
    }

    /// The nodes of earlier rosters that the newest does not name any more: the newest entry
    /// of each identity.
    #[must_use]
    pub fn departed(&self) -> Vec<&NodeEntry> {
        let mut seen: BTreeSet<&PublicKey> =
            self.roster().nodes.iter().map(|n| &n.identity).collect();
        let earlier = self.rosters.iter().rev().flat_map(|(r, _)| &r.nodes);
        earlier.filter(|n| seen.insert(&n.identity)).collect()
    }

    fn extend(&mut self, next: &SignedRoster) -> Result<(), RosterError> {
        let (current, current_hash) = self.newest();
        let roster = Roster::from_bytes(&next.0.body)?;
        let chain = |rule: String| RosterError::Chain { version: roster.version, rule };
        if current.version.checked_add(1) != Some(roster.version) {
            return Err(chain(format!("version {} comes before it", current.version)));
        }
        if roster.previous != current_hash {
            return Err(chain("it names another roster before it".into()));
        }
        let signed =
            next.0.valid(Label::SIG_ROSTER, &self.fingerprint, |k| current.is_operator(k)).count();
        if signed < usize::from(current.quorum) {
            return Err(chain(format!("{signed} of {} operators signed", current.quorum)));
        }
        let hash = roster_hash(&self.fingerprint, &next.0.body);
        self.rosters.push((roster, hash));
        self.signed.push(next.clone());
        Ok(())
    }

    /// What everybody pins.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The newest roster.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        self.newest().0
    }

    /// Hash of the newest roster.
    #[must_use]
    pub fn roster_hash(&self) -> Hash {
        self.newest().1
    }

    /// The roster of one version with its hash.
    #[must_use]
    pub fn at(&self, version: u32) -> Option<(&Roster, Hash)> {
        self.rosters.iter().find(|(r, _)| r.version == version).map(|(r, h)| (r, *h))
    }

    /// The chain, genesis first.
    #[must_use]
    pub fn chain(&self) -> &[SignedRoster] {
        &self.signed
    }

    fn newest(&self) -> (&Roster, Hash) {
        let (roster, hash) = self.rosters.last().expect("a chain has its genesis");
        (roster, *hash)
    }
}

fn roster_hash(fingerprint: &Fingerprint, body: &[u8]) -> Hash {
    Hash(hash32(Label::ROSTER_HASH, &[fingerprint.as_bytes(), body]))
}

/// A node's public part for the roster, signed by its identity: what `quorate-node
/// init` prints and an operator puts into a roster. The index is the operators' to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCard {
    /// As the node's administrator states it; `index` is a wish.
    pub entry: NodeEntry,
    signature: Signature,
}

impl NodeCard {
    /// Signs an entry with the identity that it names.
    #[must_use]
    pub fn sign(entry: NodeEntry, identity: &IdentityKey) -> Self {
        let mut w = Writer::new();
        entry.write(&mut w);
        let signature = identity.sign(Label::SIG_CARD, &[0; 32], &w.finish());
        Self { entry, signature }
    }
}

impl Part for NodeCard {
    fn write(&self, w: &mut Writer) {
        self.entry.write(w);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let entry = NodeEntry::read(r)?;
        let signature = Signature::read(r)?;
        let mut w = Writer::new();
        entry.write(&mut w);
        entry
            .identity
            .verify(Label::SIG_CARD, &[0; 32], &w.finish(), &signature)
            .map_err(|_| CodecError::invalid("node card", "is not signed by the identity in it"))?;
        Ok(Self { entry, signature })
    }
}

impl Format for NodeCard {
    const KIND: &'static str = "QNCD";
}

/// A coordinator's public part for the roster, signed by its TLS key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorCard {
    /// As the coordinator's administrator states it.
    pub entry: CoordinatorEntry,
    signature: Signature,
}

impl CoordinatorCard {
    /// Signs an entry with the key that it names.
    #[must_use]
    pub fn sign(entry: CoordinatorEntry, key: &IdentityKey) -> Self {
        let mut w = Writer::new();
        entry.write(&mut w);
        let signature = key.sign(Label::SIG_CARD, &[0; 32], &w.finish());
        Self { entry, signature }
    }
}

impl Part for CoordinatorCard {
    fn write(&self, w: &mut Writer) {
        self.entry.write(w);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let entry = CoordinatorEntry::read(r)?;
        let signature = Signature::read(r)?;
        let mut w = Writer::new();
        entry.write(&mut w);
        entry.tls_key.verify(Label::SIG_CARD, &[0; 32], &w.finish(), &signature).map_err(|_| {
            CodecError::invalid("coordinator card", "is not signed by the key in it")
        })?;
        Ok(Self { entry, signature })
    }
}

impl Format for CoordinatorCard {
    const KIND: &'static str = "QCCD";
}
