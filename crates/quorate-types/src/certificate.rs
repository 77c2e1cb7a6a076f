//! The proofs that an epoch stands: receipts (activation), active signatures (birth).

use crate::{
    codec::{CodecError, Format, Part, Reader, Writer, ascending},
    committee::Committee,
    ids::{EpochName, Fingerprint, Hash, KeyName, KeyVersion},
    order::{CreateKey, OrderError, SignedOrder, VerifiedOrder},
    roster::Cluster,
    signed::NodeSignature,
    suite::{Purpose, Suite},
    terms::Terms,
};
use quorate_crypto::{
    IdentityKey, MAX_COMMITTEE,
    hash::{Label, hash32},
    sharing::{Commitments, CommitmentsError},
};
use std::borrow::Cow;
use thiserror::Error;

/// Why a certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// Its bytes are no certificate.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The order behind it is refused.
    #[error("the order that made the key: {0}")]
    Order(#[from] OrderError),
    /// The order made something else.
    #[error("the {what} in the certificate is not what the operators ordered")]
    NotAsOrdered {
        /// What differs.
        what: &'static str,
    },
    /// Too few nodes signed.
    #[error("{got} of {needed} nodes have validly signed {what}")]
    Signatures {
        /// Receipts or active signatures.
        what: &'static str,
        /// `q`.
        needed: u16,
        /// Valid signatures of committee members.
        got: usize,
    },
}

/// The public values of one epoch: what receipts and active signatures speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochPublic {
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
    /// Number and bundle hash.
    pub epoch: EpochName,
    /// The epoch whose shares were dealt on; `None` at a birth.
    pub parent: Option<EpochName>,
    /// Hash of the ceremony context under which the bundle was dealt.
    pub context: Hash,
    /// Hash of the order.
    pub order: Hash,
    /// Who holds shares, with `t`.
    pub committee: Committee,
    /// Feldman commitments `C_0 … C_{t−1}`, encoded points; `C_0` is the public key.
    pub commitments: Vec<[u8; 32]>,
}

impl EpochPublic {
    /// The public key `Y = C_0`, encoded.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.commitments[0]
    }

    /// The commitments, decoded in the suite's group.
    ///
    /// # Errors
    /// [`CommitmentsError`]: no honest member signed this.
    pub fn decode_commitments(&self) -> Result<Commitments, CommitmentsError> {
        Commitments::from_bytes(self.suite.group(), self.committee.threshold(), &self.commitments)
    }

    /// A node's receipt: *I hold this share durably.* DESIGN §4.2 step 3.
    #[must_use]
    pub fn sign_receipt(&self, node: crate::NodeIndex, key: &IdentityKey) -> NodeSignature {
        self.sign(Label::SIG_RECEIPT, node, key)
    }

    /// A node's active signature: *I serve this epoch.* DESIGN §4.2 step 4.
    #[must_use]
    pub fn sign_active(&self, node: crate::NodeIndex, key: &IdentityKey) -> NodeSignature {
        self.sign(Label::SIG_ACTIVE, node, key)
    }

    /// Whether a receipt verifies under the committee's identity of its node.
    #[must_use]
    pub fn verifies_receipt(&self, s: &NodeSignature) -> bool {
        self.verifies(Label::SIG_RECEIPT, s)
    }

    /// Whether an active signature verifies under the committee's identity of its node.
    #[must_use]
    pub fn verifies_active(&self, s: &NodeSignature) -> bool {
        self.verifies(Label::SIG_ACTIVE, s)
    }

    fn sign(&self, label: Label, node: crate::NodeIndex, key: &IdentityKey) -> NodeSignature {
        let signature = key.sign(label, self.fingerprint.as_bytes(), &self.statement(node));
        NodeSignature { node, signature }
    }

    fn verifies(&self, label: Label, s: &NodeSignature) -> bool {
        self.committee.member(s.node).is_some_and(|m| {
            let statement = self.statement(s.node);
            m.identity.verify(label, self.fingerprint.as_bytes(), &statement, &s.signature).is_ok()
        })
    }

    /// The epoch's bytes and the signing node.
    fn statement(&self, node: crate::NodeIndex) -> Vec<u8> {
        let mut bytes = self.to_bytes();
        bytes.extend_from_slice(&node.get().to_be_bytes());
        bytes
    }
}

impl Part for EpochPublic {
    fn write(&self, w: &mut Writer) {
        self.fingerprint.write(w);
        self.key.write(w);
        self.version.write(w);
        self.suite.write(w);
        self.purpose.write(w);
        self.epoch.write(w);
        w.option(self.parent.as_ref());
        self.context.write(w);
        self.order.write(w);
        self.committee.write(w);
        w.list(&self.commitments);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let public = Self {
            fingerprint: Part::read(r)?,
            key: Part::read(r)?,
            version: Part::read(r)?,
            suite: Part::read(r)?,
            purpose: Part::read(r)?,
            epoch: Part::read(r)?,
            parent: r.option("parent epoch")?,
            context: Part::read(r)?,
            order: Part::read(r)?,
            committee: Part::read(r)?,
            commitments: r.list(MAX_COMMITTEE, "commitments")?,
        };
        // Exactly t: another count would raise or lower the threshold unseen.
        let (t, got) = (public.committee.threshold().as_usize(), public.commitments.len());
        if got != t {
            let rule = format!("expected exactly {t} for threshold {t}, got {got}");
            return Err(CodecError::invalid("commitments", rule));
        }
        if public.parent.is_some_and(|parent| parent.number >= public.epoch.number) {
            return Err(CodecError::invalid("parent epoch", "must be below the epoch itself"));
        }
        Ok(public)
    }
}

impl Format for EpochPublic {
    const KIND: &'static str = "QEPO";
    const VERSION: u16 = 2; // since epochs have parents
}

/// An epoch with at least `q` receipts: the share is held, the epoch may be activated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What the receipts speak of.
    pub public: EpochPublic,
    /// By ascending node.
    pub receipts: Vec<NodeSignature>,
}

impl Certificate {
    /// Verifies that the order asked for exactly this, and that `q` members signed.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify(&self, order: &VerifiedOrder) -> Result<(), CertificateError> {
        matches_order(&self.public, order)?;
        let terms = terms(order, self.public.version)?;
        count("receipts", terms.q, &self.receipts, |s| self.public.verifies_receipt(s))
    }

    /// Names what is certified. Not by which receipts: two conductors that hear other
    /// members make two certificates of one epoch, and nodes that keep either must agree.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash(hash32(
            Label::CERTIFICATE_HASH,
            &[self.public.fingerprint.as_bytes(), &self.public.to_bytes()],
        ))
    }
}

impl Part for Certificate {
    fn write(&self, w: &mut Writer) {
        self.public.write(w);
        w.list(&self.receipts);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let public = EpochPublic::read(r)?;
        let receipts: Vec<NodeSignature> = r.list(MAX_COMMITTEE, "receipts")?;
        ascending(&receipts, "receipts", |s| s.node)?;
        Ok(Self { public, receipts })
    }
}

impl Format for Certificate {
    const KIND: &'static str = "QCRT";
    const VERSION: u16 = 2; // since epochs have parents
}

/// All that proves an epoch in force: the operators' order, the certificate of the epoch,
/// and `q` active signatures. Of the first epoch it is the birth certificate, of a later
/// one the retire certificate of those below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The order that made the epoch; for a birth certificate the creation order.
    pub order: SignedOrder,
    /// The epoch and its receipts.
    pub certificate: Certificate,
    /// By ascending node.
    pub actives: Vec<NodeSignature>,
}

impl KeyRecord {
    /// What a client checks before it uses a key (DESIGN §4.4): `m` operators ordered
    /// this name, version, suite, purpose, committee, `t` and `q`, and `q` of that
    /// committee signed it active. `t`, `q` and committee come from the order.
    ///
    /// # Errors
    /// [`CertificateError`]; also for a record of a later epoch, which proves no birth.
    pub fn verify(&self, cluster: &Cluster) -> Result<VerifiedKey, CertificateError> {
        let epoch = self.verify_epoch(cluster)?;
        let create = epoch.order.create_key_of(epoch.public().version).map(Cow::into_owned);
        let create = create.ok_or(CertificateError::NotAsOrdered { what: "action" })?;
        Ok(VerifiedKey { epoch, create })
    }

    /// The same for any epoch of a key: its birth certificate, or the retire certificate
    /// that ends the epochs below it. That the public key is the one that was born, a
    /// reshare's order says, and whoever has pinned the key compares.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify_epoch(&self, cluster: &Cluster) -> Result<VerifiedEpoch, CertificateError> {
        let order = VerifiedOrder::verify(cluster, &self.order)?;
        self.certificate.verify(&order)?;
        let public = &self.certificate.public;
        let q = terms(&order, public.version)?.q;
        count("the epoch active", q, &self.actives, |s| public.verifies_active(s))?;
        Ok(VerifiedEpoch { record: self.clone(), order })
    }
}

impl Part for KeyRecord {
    fn write(&self, w: &mut Writer) {
        self.order.write(w);
        self.certificate.write(w);
        w.list(&self.actives);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let order = Part::read(r)?;
        let certificate = Part::read(r)?;
        let actives: Vec<NodeSignature> = r.list(MAX_COMMITTEE, "active signatures")?;
        ascending(&actives, "active signatures", |s| s.node)?;
        Ok(Self { order, certificate, actives })
    }
}

impl Format for KeyRecord {
    const KIND: &'static str = "QKEY";
    const VERSION: u16 = 2; // since epochs have parents
}

/// An epoch in force: its record verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedEpoch {
    record: KeyRecord,
    order: VerifiedOrder,
}

impl VerifiedEpoch {
    /// Its public values.
    #[must_use]
    pub fn public(&self) -> &EpochPublic {
        &self.record.certificate.public
    }

    /// Number and bundle hash.
    #[must_use]
    pub fn name(&self) -> EpochName {
        self.public().epoch
    }

    /// The order that made it.
    #[must_use]
    pub fn order(&self) -> &VerifiedOrder {
        &self.order
    }

    /// What the order states.
    ///
    /// # Panics
    /// Never: [`KeyRecord::verify_epoch`] accepts orders that make an epoch only.
    #[must_use]
    pub fn terms(&self) -> Terms<'_> {
        let terms = self.order.terms_of(self.public().version);
        terms.expect("a verified epoch has an order that makes it")
    }

    /// As it came.
    #[must_use]
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }
}

/// A key whose birth certificate verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedKey {
    epoch: VerifiedEpoch,
    create: CreateKey,
}

impl VerifiedKey {
    /// The epoch in which it was born.
    #[must_use]
    pub fn epoch(&self) -> &VerifiedEpoch {
        &self.epoch
    }

    /// The public values of the epoch in which it was born.
    #[must_use]
    pub fn public(&self) -> &EpochPublic {
        self.epoch.public()
    }

    /// The operators' order, parsed.
    #[must_use]
    pub fn order(&self) -> &VerifiedOrder {
        self.epoch.order()
    }

    /// What the operators ordered for this version.
    #[must_use]
    pub fn create(&self) -> &CreateKey {
        &self.create
    }

    /// As it came.
    #[must_use]
    pub fn record(&self) -> &KeyRecord {
        self.epoch.record()
    }

    /// Whether an epoch is one of this key version: of this key, with this public key.
    #[must_use]
    pub fn has(&self, epoch: &VerifiedEpoch) -> bool {
        let (born, other) = (self.public(), epoch.public());
        (&born.key, born.version, born.suite, born.purpose)
            == (&other.key, other.version, other.suite, other.purpose)
            && born.public_key() == other.public_key()
    }
}

/// That `public` is what `order` asks for, in every field that the order states.
///
/// # Errors
/// [`CertificateError::NotAsOrdered`].
pub fn matches_order(public: &EpochPublic, order: &VerifiedOrder) -> Result<(), CertificateError> {
    let terms = terms(order, public.version)?;
    let differs = |what| Err(CertificateError::NotAsOrdered { what });
    if public.fingerprint != order.order().fingerprint {
        return differs("cluster");
    }
    if public.order != order.hash() {
        return differs("order");
    }
    if (&public.key, public.version) != (terms.name, terms.version) {
        return differs("key name or version");
    }
    if (public.suite, public.purpose) != (terms.suite, terms.purpose) {
        return differs("suite or purpose");
    }
    if public.committee != *terms.committee {
        return differs("committee or threshold");
    }
    if !terms.numbers().contains(&public.epoch.number) {
        return differs("epoch number");
    }
    if public.parent.is_none() != terms.is_birth() {
        return differs("parent epoch");
    }
    if terms.public_key.is_some_and(|y| y != public.public_key()) {
        return differs("public key");
    }
    Ok(())
}

fn terms(order: &VerifiedOrder, version: KeyVersion) -> Result<Terms<'_>, CertificateError> {
    let makes_none = Terms::stated(&order.order().action).is_none();
    let what = if makes_none { "action" } else { "key name or version" };
    order.terms_of(version).ok_or(CertificateError::NotAsOrdered { what })
}

/// Signatures stand by ascending node, so one node never counts twice.
fn count(
    what: &'static str,
    needed: u16,
    signatures: &[NodeSignature],
    verifies: impl Fn(&NodeSignature) -> bool,
) -> Result<(), CertificateError> {
    ascending(signatures, what, |s| s.node)?;
    let got = signatures.iter().filter(|s| verifies(s)).count();
    if got < usize::from(needed) {
        return Err(CertificateError::Signatures { what, needed, got });
    }
    Ok(())
}
