//! Step 2. Everybody's ceremony keys are known: each member deals.

use super::{PrepareAnswer, prepare::read_answers, statement};
use crate::step::Subject;
use quorate_crypto::{
    IdentityKey, MAX_COMMITTEE, PublicKey, Signature,
    dealing::{Dealing, SEALED_LEN},
    hash::Label,
    schnorr::PROOF_LEN,
};
use quorate_types::{
    CodecError, Fingerprint, Format, Hash, NodeIndex, Part, Reader, Writer, codec::ascending,
};

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
        let said = statement(&[ctx, &dealer, &Hash(dealing.hash(ctx.as_bytes()))]);
        let signature = identity.sign(Label::SIG_DEALING, fingerprint.as_bytes(), &said);
        Self { dealer, dealing: dealing.to_bytes(), signature }
    }

    /// Whether `identity` signed these bytes as a dealing in this context, be they a
    /// dealing or not.
    #[must_use]
    pub fn verifies(&self, fingerprint: &Fingerprint, ctx: &Hash, identity: &PublicKey) -> bool {
        let said = statement(&[ctx, &self.dealer, &self.hash(ctx)]);
        identity.verify(Label::SIG_DEALING, fingerprint.as_bytes(), &said, &self.signature).is_ok()
    }

    /// Names the dealing in this context.
    #[must_use]
    pub fn hash(&self, ctx: &Hash) -> Hash {
        Hash(quorate_crypto::hash::hash32(Label::DEALING_HASH, &[ctx.as_bytes(), &self.dealing]))
    }
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
