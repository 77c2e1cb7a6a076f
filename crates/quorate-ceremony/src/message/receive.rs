//! Step 3. All dealings are there: each member takes its share out of them and signs
//! that it holds it, or proves that a dealer cheated it.

use super::{PrepareAnswer, SignedDealing, read_answers, statement, unknown_tag};
use quorate_crypto::{
    IdentityKey, MAX_COMMITTEE, PublicKey, Signature,
    complaint::{COMPLAINT_LEN, Complaint},
    hash::Label,
};
use quorate_types::{
    CodecError, EpochPublic, Fingerprint, Format, Hash, KeyRecord, NodeIndex, NodeSignature, Part,
    Reader, Subject, Writer, codec::ascending,
};

/// Conductor to node. A node keeps it as long as it may hold the share, so that a
/// member that missed the step can have its own share out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveRequest {
    /// Key, version and number of the attempt.
    pub subject: Subject,
    /// The list under which the dealings were made.
    pub answers: Vec<PrepareAnswer>,
    /// The bundle: one dealing of each dealer of the list, by ascending dealer.
    pub bundle: Vec<SignedDealing>,
    /// In a reshare: the proof of the parent epoch, which members that are late no longer
    /// have.
    pub parent: Option<Box<KeyRecord>>,
}

impl ReceiveRequest {
    /// Who has dealt.
    #[must_use]
    pub fn dealers(&self) -> Vec<NodeIndex> {
        self.bundle.iter().map(|d| d.dealer).collect()
    }
}

impl Part for ReceiveRequest {
    fn write(&self, w: &mut Writer) {
        self.subject.write(w);
        w.list(&self.answers);
        w.list(&self.bundle);
        w.option(self.parent.as_deref());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let subject = Part::read(r)?;
        let answers = read_answers(r)?;
        let bundle: Vec<SignedDealing> = r.list(MAX_COMMITTEE, "bundle")?;
        ascending(&bundle, "bundle", |d| d.dealer)?;
        let parent = r.option("parent record")?.map(Box::new);
        Ok(Self { subject, answers, bundle, parent })
    }
}

impl Format for ReceiveRequest {
    const KIND: &'static str = "QC3R";
    const VERSION: u16 = 2; // since there are reshares
}

/// *I hold the share of this epoch durably.*
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The epoch, as the receiver computed it.
    pub public: EpochPublic,
    /// [`EpochPublic::sign_receipt`].
    pub signature: NodeSignature,
}

impl Part for Receipt {
    fn write(&self, w: &mut Writer) {
        self.public.write(w);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { public: Part::read(r)?, signature: Part::read(r)? })
    }
}

/// *This dealer's value for me is bad; see for yourself.*
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedComplaint {
    /// The accused.
    pub dealer: NodeIndex,
    /// [`Complaint`], encoded; it names the receiver.
    pub complaint: [u8; COMPLAINT_LEN],
    /// The receiver's identity, over the context, the dealer, the dealing's hash and the
    /// complaint.
    pub signature: Signature,
}

impl SignedComplaint {
    /// Signs a complaint about the dealing with this hash.
    #[must_use]
    pub fn sign(
        fingerprint: &Fingerprint,
        ctx: &Hash,
        dealer: NodeIndex,
        dealing: &Hash,
        complaint: &Complaint,
        identity: &IdentityKey,
    ) -> Self {
        let complaint = complaint.to_bytes();
        let said = said(ctx, dealer, dealing, &complaint);
        let signature = identity.sign(Label::SIG_COMPLAINT, fingerprint.as_bytes(), &said);
        Self { dealer, complaint, signature }
    }

    /// Whether `identity` complained so about the dealing with this hash.
    #[must_use]
    pub fn verifies(
        &self,
        fingerprint: &Fingerprint,
        ctx: &Hash,
        dealing: &Hash,
        identity: &PublicKey,
    ) -> bool {
        let said = said(ctx, self.dealer, dealing, &self.complaint);
        identity
            .verify(Label::SIG_COMPLAINT, fingerprint.as_bytes(), &said, &self.signature)
            .is_ok()
    }
}

fn said(ctx: &Hash, dealer: NodeIndex, dealing: &Hash, complaint: &[u8; COMPLAINT_LEN]) -> Vec<u8> {
    let mut said = statement(&[ctx, &dealer, dealing]);
    said.extend_from_slice(complaint);
    said
}

impl Part for SignedComplaint {
    fn write(&self, w: &mut Writer) {
        self.dealer.write(w);
        w.raw(&self.complaint);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            dealer: Part::read(r)?,
            complaint: r.array("complaint")?,
            signature: Part::read(r)?,
        })
    }
}

/// Node to conductor: one of the two, once for each number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiveAnswer {
    /// The share is held.
    Receipt(Box<Receipt>),
    /// A dealer cheated this receiver.
    Complaint(Box<SignedComplaint>),
}

impl Part for ReceiveAnswer {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Receipt(receipt) => {
                w.u8(1);
                receipt.write(w);
            }
            Self::Complaint(complaint) => {
                w.u8(2);
                complaint.write(w);
            }
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        match r.u8("receive answer")? {
            1 => Part::read(r).map(|x| Self::Receipt(Box::new(x))),
            2 => Part::read(r).map(|x| Self::Complaint(Box::new(x))),
            other => Err(unknown_tag("receive answer", other)),
        }
    }
}

impl Format for ReceiveAnswer {
    const KIND: &'static str = "QC3A";
    const VERSION: u16 = 2; // since epochs have parents
}
