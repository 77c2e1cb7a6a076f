//! What a node keeps of one key version, and how a step changes it.
//!
//! Public values and secrets are apart: a store seals the secrets of an attempt under a
//! key of its own ([`crate::Subject::store_epoch`]) and erases them together.

mod standing;

pub use standing::{Activation, End, Live, MAX_LIVE, Named, Proof, Receiving, Standing};

use crate::message::{
    Certified, PrepareAnswer, Receipt, SignedComplaint, SignedDealing, read_answers, unknown_tag,
};
use quorate_crypto::SecretScalar;
use quorate_types::{
    Cluster, CodecError, Format, KeyName, KeyRecord, KeyVersion, NodeIndex, OrderError, Part,
    Reader, RotateKey, SignedOrder, VerifiedKey, VerifiedOrder, Writer, codec::ascending,
};
use zeroize::Zeroizing;

/// All that a step looks at: loaded for one [`crate::Subject`], never held over a step.
#[derive(Default)]
pub struct VersionState {
    /// The newest order of the key's chain known here.
    pub head: Option<SignedOrder>,
    /// The newest order known here of the chain beside it, about the schedule of versions.
    pub rotation: Option<SignedOrder>,
    /// Set once somebody signed with this node's identity: nothing goes on for this key.
    pub frozen: Option<Frozen>,
    /// What holds for the version as a whole.
    pub standing: Standing,
    /// The birth certificate.
    pub record: Option<KeyRecord>,
    /// The newest retire certificate, if that is not the birth certificate.
    pub newest: Option<KeyRecord>,
    /// The share of the epoch in force ([`Standing::in_force`]), if it is held.
    pub share_in_force: Option<SecretScalar>,
    /// The bundle that is kept with the subject's number.
    pub bundle: Option<Vec<u8>>,
    /// The attempt with the subject's number; for number 0, of [`Standing::highest_active`].
    pub attempt: Option<Attempt>,
    /// That attempt's order.
    pub order: Option<SignedOrder>,
    /// That attempt's secrets.
    pub secrets: Secrets,
}

impl VersionState {
    /// The newest order known here of an order's own chain, and of the key's other one.
    #[must_use]
    pub fn head_beside(
        &self,
        order: &VerifiedOrder,
    ) -> (Option<&SignedOrder>, Option<&SignedOrder>) {
        match order.rotation() {
            Some(_) => (self.rotation.as_ref(), self.head.as_ref()),
            None => (self.head.as_ref(), self.rotation.as_ref()),
        }
    }

    /// The same, verified. A birth certificate may prove a schedule of versions that the node has
    /// not heard of, and goes further than the one that it knows.
    pub(crate) fn verified_heads(
        &self,
        cluster: &Cluster,
        order: &VerifiedOrder,
        birth: Option<&VerifiedKey>,
    ) -> Result<(Option<VerifiedOrder>, Option<VerifiedOrder>), OrderError> {
        let (head, beside) = self.head_beside(order);
        let verify = |signed: &SignedOrder| VerifiedOrder::verify(cluster, signed);
        let (head, mut beside) = (head.map(verify).transpose()?, beside.map(verify).transpose()?);
        let last = |order: &VerifiedOrder| order.rotation().map_or(0, RotateKey::last);
        if let Some(proven) = birth.map(VerifiedKey::order)
            && order.rotation().is_none()
            && last(proven) > beside.as_ref().map_or(0, last)
        {
            beside = Some(proven.clone());
        }
        Ok((head, beside))
    }

    /// The proof of the epoch in force: the retire certificate, or the birth certificate.
    #[must_use]
    pub fn in_force(&self) -> Option<&KeyRecord> {
        self.newest.as_ref().or(self.record.as_ref())
    }
}

/// An attempt at one number, named for what the node awaits. The conductor's messages
/// move it; nothing moves it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Prepared: awaits everybody's prepare answers, to deal. Holds the ceremony secret
    /// and the polynomial.
    ExpectPrepareList(PrepareAnswer),
    /// Dealt: awaits everybody's dealings, to receive. Holds the ceremony secret.
    ExpectBundle(Box<Dealt>),
    /// Has signed a receipt: awaits the certificate. Holds the ceremony secret and the
    /// pending share. That an epoch waits so does not mean that it will ever be served.
    ExpectCertificate(Box<Dealt>, Box<Receipt>),
    /// Has signed active: serves the epoch, and awaits its birth or retire certificate. Of
    /// a reshare it keeps the proof, so that anyone can finish the epoch.
    Active(Box<Dealt>, Box<Receipt>, Option<Box<Certified>>),
    /// Was cheated by a dealer and has said so: awaits nothing.
    Complained(Box<Dealt>, Box<SignedComplaint>),
}

/// What a member knows once it has the list, under which it has dealt or received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dealt {
    /// Its own prepare answer.
    pub prepared: PrepareAnswer,
    /// The answers of the list.
    pub answers: Vec<PrepareAnswer>,
    /// Who deals.
    pub dealers: Vec<NodeIndex>,
    /// Its own dealing: sent again, never made again. None if it only receives.
    pub dealing: Option<SignedDealing>,
}

impl Attempt {
    /// The node's own prepare answer.
    #[must_use]
    pub fn prepared(&self) -> &PrepareAnswer {
        match self {
            Self::ExpectPrepareList(answer) => answer,
            Self::ExpectBundle(d)
            | Self::ExpectCertificate(d, _)
            | Self::Active(d, _, _)
            | Self::Complained(d, _) => &d.prepared,
        }
    }

    /// What is known once the node has dealt.
    #[must_use]
    pub fn dealt(&self) -> Option<&Dealt> {
        match self {
            Self::ExpectPrepareList(_) => None,
            Self::ExpectBundle(d)
            | Self::ExpectCertificate(d, _)
            | Self::Active(d, _, _)
            | Self::Complained(d, _) => Some(d),
        }
    }

    /// The receipt that the node signed, if it did.
    #[must_use]
    pub fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::ExpectCertificate(_, receipt) | Self::Active(_, receipt, _) => Some(receipt),
            Self::ExpectPrepareList(_) | Self::ExpectBundle(_) | Self::Complained(..) => None,
        }
    }
}

impl Part for Dealt {
    fn write(&self, w: &mut Writer) {
        self.prepared.write(w);
        w.list(&self.answers);
        w.list(&self.dealers);
        w.option(self.dealing.as_ref());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (prepared, answers) = (Part::read(r)?, read_answers(r)?);
        let dealers: Vec<NodeIndex> = r.list(quorate_crypto::MAX_COMMITTEE, "dealers")?;
        ascending(&dealers, "dealers", |d| *d)?;
        Ok(Self { prepared, answers, dealers, dealing: r.option("dealing")? })
    }
}

impl Part for Attempt {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::ExpectPrepareList(answer) => {
                w.u8(1);
                answer.write(w);
            }
            Self::ExpectBundle(dealt) => {
                w.u8(2);
                dealt.write(w);
            }
            Self::ExpectCertificate(dealt, receipt) => {
                w.u8(3);
                dealt.write(w);
                receipt.write(w);
            }
            Self::Active(dealt, receipt, proof) => {
                w.u8(4);
                dealt.write(w);
                receipt.write(w);
                w.option(proof.as_deref());
            }
            Self::Complained(dealt, complaint) => {
                w.u8(5);
                dealt.write(w);
                complaint.write(w);
            }
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let tag = r.u8("attempt")?;
        if tag == 1 {
            return Part::read(r).map(Self::ExpectPrepareList);
        }
        let dealt = Box::new(Dealt::read(r)?);
        match tag {
            2 => Ok(Self::ExpectBundle(dealt)),
            3 => Ok(Self::ExpectCertificate(dealt, Box::new(Part::read(r)?))),
            4 => {
                let receipt = Box::new(Part::read(r)?);
                Ok(Self::Active(dealt, receipt, r.option("proof")?.map(Box::new)))
            }
            5 => Ok(Self::Complained(dealt, Box::new(Part::read(r)?))),
            other => Err(unknown_tag("attempt", other)),
        }
    }
}

impl Format for Attempt {
    const KIND: &'static str = "QATT";
    const VERSION: u16 = 2; // since there are reshares
}

/// The largest evidence that a freeze keeps, in bytes.
pub const MAX_EVIDENCE: usize = 128 * 1024;

/// Why a key is frozen at a node: its own identity under something that it did not make
/// (adversary 2). Only a new identity, by order, helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// What was seen.
    pub what: Forgery,
    /// The bytes of it, with the valid signature.
    pub evidence: Vec<u8>,
}

/// What somebody signed in a node's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Forgery {
    /// A prepare answer, with a ceremony key.
    CeremonyKey = 1,
    /// A dealing.
    Dealing = 2,
    /// A receipt.
    Receipt = 3,
    /// An active signature.
    Active = 4,
}

impl std::fmt::Display for Forgery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::CeremonyKey => "a ceremony key that it did not make",
            Self::Dealing => "a dealing that it did not make",
            Self::Receipt => "a receipt that it did not sign",
            Self::Active => "an active signature that it did not give",
        })
    }
}

impl Part for Frozen {
    fn write(&self, w: &mut Writer) {
        w.u8(self.what as u8);
        w.bytes(&self.evidence);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let what = match r.u8("forgery")? {
            1 => Forgery::CeremonyKey,
            2 => Forgery::Dealing,
            3 => Forgery::Receipt,
            4 => Forgery::Active,
            other => return Err(unknown_tag("forgery", other)),
        };
        Ok(Self { what, evidence: r.bytes(MAX_EVIDENCE, "evidence")?.to_vec() })
    }
}

impl Format for Frozen {
    const KIND: &'static str = "QFRZ";
}

/// The secrets of one attempt, as far as its state says that there are any.
#[derive(Default)]
pub struct Secrets {
    /// Opens what is sealed to this node in this attempt.
    pub ceremony_key: Option<SecretScalar>,
    /// What this node is going to deal, encoded.
    pub polynomial: Option<Zeroizing<Vec<u8>>>,
    /// The pending or active share.
    pub share: Option<SecretScalar>,
}

impl Secrets {
    /// The bytes that a [`Change::Seal`] of this kind had.
    #[must_use]
    pub fn get(&self, kind: SecretKind) -> Option<Zeroizing<Vec<u8>>> {
        let scalar = |s: &SecretScalar| Zeroizing::new(s.to_bytes().to_vec());
        match kind {
            SecretKind::CeremonyKey => self.ceremony_key.as_ref().map(scalar),
            SecretKind::Polynomial => self.polynomial.clone(),
            SecretKind::Share => self.share.as_ref().map(scalar),
        }
    }

    /// Takes bytes of [`Change::Seal`] back.
    ///
    /// # Errors
    /// [`CodecError`] for bytes that are no canonical scalar.
    pub fn set(&mut self, kind: SecretKind, bytes: &[u8]) -> Result<(), CodecError> {
        if kind == SecretKind::Polynomial {
            self.polynomial = Some(Zeroizing::new(bytes.to_vec()));
            return Ok(());
        }
        let scalar = <&[u8; 32]>::try_from(bytes)
            .ok()
            .and_then(SecretScalar::from_bytes)
            .ok_or_else(|| CodecError::invalid("stored secret", "must be a canonical scalar"))?;
        match kind {
            SecretKind::CeremonyKey => self.ceremony_key = Some(scalar),
            SecretKind::Polynomial | SecretKind::Share => self.share = Some(scalar),
        }
        Ok(())
    }
}

/// Which secret of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum SecretKind {
    /// The secret half of the ceremony key.
    CeremonyKey = 1,
    /// The polynomial, until it is dealt.
    Polynomial = 2,
    /// The share.
    Share = 3,
}

impl SecretKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::CeremonyKey, Self::Polynomial, Self::Share];
}

/// What a step changes for one key version: all of it or nothing, durable before
/// anything is sent.
pub struct Changes {
    /// The key.
    pub key: KeyName,
    /// Its version.
    pub version: KeyVersion,
    /// In this order.
    pub list: Vec<Change>,
}

/// One change.
pub enum Change {
    /// Keep an order, and let it be the newest of its chain.
    Head(Box<VerifiedOrder>),
    /// The attempt with this number is now so.
    Attempt(u64, Box<Attempt>),
    /// Keep the request from which shares can be received, with this attempt.
    Bundle(u64, Vec<u8>),
    /// Seal a secret with the attempt's others.
    Seal(u64, SecretKind, Zeroizing<Vec<u8>>),
    /// A secret is not needed any more.
    Drop(u64, SecretKind),
    /// The version as a whole is now so.
    Standing(Box<Standing>),
    /// Keep the birth certificate.
    Record(Box<KeyRecord>),
    /// Keep a retire certificate in place of the one before.
    Newest(Box<KeyRecord>),
    /// Freeze the key.
    Freeze(Box<Frozen>),
    /// Erase the bundle and all secrets of an attempt, so that nothing opens them again.
    Erase(u64),
    /// The same, and forget the attempt: its number is below the epoch in force.
    Forget(u64),
}

impl Change {
    /// What an attempt's end changes.
    pub(crate) fn of(end: End) -> Self {
        match end {
            End::Erase(number) => Self::Erase(number),
            End::Forget(number) => Self::Forget(number),
        }
    }
}
