//! The proofs that an epoch stands: receipts (activation), active signatures (birth).

use crate::{
    codec::{CodecError, Format, Part, Reader, Writer, ascending},
    committee::Committee,
    ids::{EpochName, Fingerprint, Hash, KeyName, KeyVersion},
    order::{CreateKey, OrderError, SignedOrder, VerifiedOrder},
    roster::Cluster,
    signed::NodeSignature,
    suite::{Purpose, Suite},
};
use quorate_crypto::{
    IdentityKey, MAX_COMMITTEE,
    hash::{Label, hash32},
};
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
        Ok(public)
    }
}

impl Format for EpochPublic {
    const KIND: &'static str = "QEPO";
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
        let create = created(order)?;
        count("receipts", create.q, &self.receipts, |s| self.public.verifies_receipt(s))
    }

    /// Names the certificate.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash(hash32(
            Label::CERTIFICATE_HASH,
            &[self.public.fingerprint.as_bytes(), &self.to_bytes()],
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
}

/// All that proves a key: the operators' order, the certificate of its epoch, and
/// `q` active signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The creation order.
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
    /// [`CertificateError`].
    pub fn verify(&self, cluster: &Cluster) -> Result<VerifiedKey, CertificateError> {
        let order = VerifiedOrder::verify(cluster, &self.order)?;
        self.certificate.verify(&order)?;
        let create = created(&order)?;
        let public = &self.certificate.public;
        count("the epoch active", create.q, &self.actives, |s| public.verifies_active(s))?;
        Ok(VerifiedKey { record: self.clone(), order })
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
}

/// A key whose record verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedKey {
    record: KeyRecord,
    order: VerifiedOrder,
}

impl VerifiedKey {
    /// The public values of its epoch.
    #[must_use]
    pub fn public(&self) -> &EpochPublic {
        &self.record.certificate.public
    }

    /// The operators' order, parsed.
    #[must_use]
    pub fn order(&self) -> &VerifiedOrder {
        &self.order
    }

    /// What the operators ordered.
    ///
    /// # Panics
    /// Never: [`KeyRecord::verify`] accepts orders that make a key only.
    #[must_use]
    pub fn create(&self) -> &CreateKey {
        self.order.create_key().expect("a verified key has an order that makes it")
    }

    /// As it came.
    #[must_use]
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }
}

/// That `public` is what `order` asks for, in every field that the order states.
///
/// # Errors
/// [`CertificateError::NotAsOrdered`].
pub fn matches_order(public: &EpochPublic, order: &VerifiedOrder) -> Result<(), CertificateError> {
    let create = created(order)?;
    let differs = |what| Err(CertificateError::NotAsOrdered { what });
    if public.fingerprint != order.order().fingerprint {
        return differs("cluster");
    }
    if public.order != order.hash() {
        return differs("order");
    }
    if (&public.key, public.version) != (&create.name, create.version) {
        return differs("key name or version");
    }
    if (public.suite, public.purpose) != (create.suite, create.purpose) {
        return differs("suite or purpose");
    }
    if public.committee != create.committee {
        return differs("committee or threshold");
    }
    if !create.numbers().contains(&public.epoch.number) {
        return differs("epoch number");
    }
    Ok(())
}

fn created(order: &VerifiedOrder) -> Result<&CreateKey, CertificateError> {
    order.create_key().ok_or(CertificateError::NotAsOrdered { what: "action" })
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
