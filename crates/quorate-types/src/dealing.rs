//! What travels up to a dealing: who receives, with which keys, and what is dealt to them.
//!
//! Here and not with the ceremony's other messages, since the owner of a key that is imported
//! deals too, and needs no ceremony for it.

use crate::{
    codec::{CodecError, Format, Part, Reader, Writer, ascending},
    ids::{Fingerprint, Hash, KeyName, KeyVersion, NodeIndex},
};
use quorate_crypto::{
    IdentityKey, MAX_COMMITTEE, PublicKey, Signature,
    dealing::{Dealing, SEALED_LEN},
    hash::{Label, hash32},
    schnorr::PROOF_LEN,
};

/// Key, version and number: which state a request is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The key.
    pub key: KeyName,
    /// Its version.
    pub version: KeyVersion,
    /// The epoch number of the attempt; 0 for none in particular.
    pub number: u64,
}

impl Part for Subject {
    fn write(&self, w: &mut Writer) {
        self.key.write(w);
        self.version.write(w);
        w.u64(self.number);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { key: Part::read(r)?, version: Part::read(r)?, number: read_number(r)? })
    }
}

impl Subject {
    /// Names the sealed records of this attempt: 32 bytes, whatever the key's name.
    #[must_use]
    pub fn store_epoch(&self) -> [u8; 32] {
        let mut w = Writer::new();
        self.write(&mut w);
        hash32(Label::STORE_EPOCH, &[&w.finish()])
    }
}

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

/// A node's part in an attempt, made once for each number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareAnswer {
    /// Who answers.
    pub node: NodeIndex,
    /// The attempt's epoch number.
    pub number: u64,
    /// Hash of the order.
    pub order: Hash,
    /// The node's ceremony key for this attempt: an encoded point.
    pub ceremony_key: [u8; 32],
    /// What the node is going to deal: in a genesis the hash of its commitments; in a
    /// reshare the bundle hash of the parent epoch, if it holds a share of that.
    pub commitment: Option<[u8; 32]>,
    /// The node's identity, over all this and the [`AttemptId`].
    pub signature: Signature,
}

impl PrepareAnswer {
    /// Signs a node's part in an attempt.
    #[must_use]
    pub fn sign(
        attempt: &AttemptId,
        node: NodeIndex,
        ceremony_key: [u8; 32],
        commitment: Option<[u8; 32]>,
        identity: &IdentityKey,
    ) -> Self {
        let mut answer = Self {
            node,
            number: attempt.number,
            order: attempt.order,
            ceremony_key,
            commitment,
            signature: Signature([0; 64]),
        };
        answer.signature = identity.sign(
            Label::SIG_PREPARE,
            attempt.fingerprint.as_bytes(),
            &answer.statement(attempt),
        );
        answer
    }

    /// Whether it is `identity`'s part in this attempt.
    #[must_use]
    pub fn verifies(&self, attempt: &AttemptId, identity: &PublicKey) -> bool {
        let statement = self.statement(attempt);
        let fingerprint = attempt.fingerprint.as_bytes();
        (self.number, self.order) == (attempt.number, attempt.order)
            && identity.verify(Label::SIG_PREPARE, fingerprint, &statement, &self.signature).is_ok()
    }

    fn statement(&self, attempt: &AttemptId) -> Vec<u8> {
        let mut w = Writer::new();
        attempt.hash().write(&mut w);
        self.node.write(&mut w);
        w.raw(&self.ceremony_key);
        w.option(self.commitment.as_ref());
        w.finish()
    }
}

impl Part for PrepareAnswer {
    fn write(&self, w: &mut Writer) {
        self.node.write(w);
        w.u64(self.number);
        self.order.write(w);
        w.raw(&self.ceremony_key);
        w.option(self.commitment.as_ref());
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            node: Part::read(r)?,
            number: read_number(r)?,
            order: Part::read(r)?,
            ceremony_key: r.array("ceremony key")?,
            commitment: r.option("commitment hash")?,
            signature: Part::read(r)?,
        })
    }
}

/// Reads a list of answers: at most two committees, by ascending node.
///
/// # Errors
/// [`CodecError`].
pub fn read_answers(r: &mut Reader<'_>) -> Result<Vec<PrepareAnswer>, CodecError> {
    let most = 2 * MAX_COMMITTEE;
    let answers: Vec<PrepareAnswer> = r.list(most, "prepare answers")?;
    ascending(&answers, "prepare answers", |a| a.node)?;
    Ok(answers)
}

/// Names a list of prepare answers with its dealers.
#[must_use]
pub fn list_hash(
    fingerprint: &Fingerprint,
    answers: &[PrepareAnswer],
    dealers: &[NodeIndex],
) -> Hash {
    let mut w = Writer::new();
    w.list(answers);
    w.list(dealers);
    Hash(hash32(Label::PREPARE_LIST_HASH, &[fingerprint.as_bytes(), &w.finish()]))
}

/// Epoch numbers begin at 1.
///
/// # Errors
/// [`CodecError`] for 0.
pub fn read_number(r: &mut Reader<'_>) -> Result<u64, CodecError> {
    match r.u64("epoch number")? {
        0 => Err(CodecError::invalid("epoch number", "must be 1 or more")),
        number => Ok(number),
    }
}

/// The largest dealing, in bytes: a committee of 64 that all must use the key.
pub const MAX_DEALING: usize =
    2 + 32 * MAX_COMMITTEE + PROOF_LEN + 32 + 2 + (2 + SEALED_LEN) * MAX_COMMITTEE + PROOF_LEN;

/// Conductor to node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DealRequest {
    /// Key, version and number of the attempt.
    pub subject: Subject,
    /// By ascending node: one of each member; in a reshare of those who answered.
    pub answers: Vec<PrepareAnswer>,
    /// Who deals, ascending: everybody in a genesis, any `t` or more in a reshare.
    pub dealers: Vec<NodeIndex>,
}

impl Part for DealRequest {
    fn write(&self, w: &mut Writer) {
        self.subject.write(w);
        w.list(&self.answers);
        w.list(&self.dealers);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (subject, answers) = (Part::read(r)?, read_answers(r)?);
        let dealers: Vec<NodeIndex> = r.list(MAX_COMMITTEE, "dealers")?;
        ascending(&dealers, "dealers", |d| *d)?;
        Ok(Self { subject, answers, dealers })
    }
}

impl Format for DealRequest {
    const KIND: &'static str = "QC2R";
    const VERSION: u16 = 2; // since not everybody deals
}

/// Node to conductor, and in bundles: a dealing with its dealer's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedDealing {
    /// Who deals.
    pub dealer: NodeIndex,
    /// [`Dealing`], encoded.
    pub dealing: Vec<u8>,
    /// The dealer's identity, over the ceremony context and the dealing's hash.
    pub signature: Signature,
}

impl SignedDealing {
    /// Signs a dealing.
    #[must_use]
    pub fn sign(
        fingerprint: &Fingerprint,
        ctx: &Hash,
        dealer: NodeIndex,
        dealing: &Dealing,
        identity: &IdentityKey,
    ) -> Self {
        let said = said(ctx, dealer, &Hash(dealing.hash(ctx.as_bytes())));
        let signature = identity.sign(Label::SIG_DEALING, fingerprint.as_bytes(), &said);
        Self { dealer, dealing: dealing.to_bytes(), signature }
    }

    /// Whether `identity` signed these bytes as a dealing in this context, be they a
    /// dealing or not.
    #[must_use]
    pub fn verifies(&self, fingerprint: &Fingerprint, ctx: &Hash, identity: &PublicKey) -> bool {
        let said = said(ctx, self.dealer, &self.hash(ctx));
        identity.verify(Label::SIG_DEALING, fingerprint.as_bytes(), &said, &self.signature).is_ok()
    }

    /// Names the dealing in this context.
    #[must_use]
    pub fn hash(&self, ctx: &Hash) -> Hash {
        Hash(hash32(Label::DEALING_HASH, &[ctx.as_bytes(), &self.dealing]))
    }
}

fn said(ctx: &Hash, dealer: NodeIndex, dealing: &Hash) -> Vec<u8> {
    let mut w = Writer::new();
    ctx.write(&mut w);
    dealer.write(&mut w);
    dealing.write(&mut w);
    w.finish()
}

impl Part for SignedDealing {
    fn write(&self, w: &mut Writer) {
        self.dealer.write(w);
        w.bytes(&self.dealing);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            dealer: Part::read(r)?,
            dealing: r.bytes(MAX_DEALING, "dealing")?.to_vec(),
            signature: Part::read(r)?,
        })
    }
}

impl Format for SignedDealing {
    const KIND: &'static str = "QC2A";
}
