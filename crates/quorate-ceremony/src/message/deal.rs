//! Step 2. Everybody's ceremony keys are known: each member deals.

use super::{PrepareAnswer, prepare::read_answers, statement};
use crate::step::Subject;
use quorate_crypto::{
    IdentityKey, MAX_COMMITTEE, PublicKey, Signature,
    dealing::{Dealing, SEALED_LEN},
    hash::Label,
    schnorr::PROOF_LEN,
};
use quorate_types::{CodecError, Fingerprint, Format, Hash, NodeIndex, Part, Reader, Writer};

/// The largest dealing, in bytes: a committee of 64 that all must use the key.
pub const MAX_DEALING: usize =
    2 + 32 * MAX_COMMITTEE + PROOF_LEN + 32 + 2 + (2 + SEALED_LEN) * MAX_COMMITTEE + PROOF_LEN;

/// Conductor to node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DealRequest {
    /// Key, version and number of the attempt.
    pub subject: Subject,
    /// One of each member, by ascending node.
    pub answers: Vec<PrepareAnswer>,
}

impl Part for DealRequest {
    fn write(&self, w: &mut Writer) {
        self.subject.write(w);
        w.list(&self.answers);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { subject: Part::read(r)?, answers: read_answers(r)? })
    }
}

impl Format for DealRequest {
    const KIND: &'static str = "QC2R";
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
