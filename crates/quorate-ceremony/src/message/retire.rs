//! Step 5. Enough members serve the epoch: every node keeps the proof, and erases what
//! the epoch makes useless. In a genesis the proof is the birth certificate, in a reshare
//! the retire certificate of every lower epoch.

use super::statement;
use quorate_crypto::{IdentityKey, PublicKey, Signature, hash::Label};
use quorate_types::{CodecError, EpochPublic, Format, KeyRecord, NodeIndex, Part, Reader, Writer};

/// Conductor to node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetireRequest {
    /// Order, certificate and at least `q` active signatures.
    pub record: KeyRecord,
    /// In a reshare: the birth certificate, for a node without history.
    pub birth: Option<KeyRecord>,
}

impl Part for RetireRequest {
    fn write(&self, w: &mut Writer) {
        self.record.write(w);
        w.option(self.birth.as_ref());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { record: Part::read(r)?, birth: r.option("birth certificate")? })
    }
}

impl Format for RetireRequest {
    const KIND: &'static str = "QC5R";
    const VERSION: u16 = 2; // since there are reshares
}

/// Node to conductor: *I keep the proof; what it ends is erased.*
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetireAnswer {
    /// Who answers.
    pub node: NodeIndex,
    /// Whether the node serves the epoch (or holds no share of it).
    pub serving: bool,
    /// The node's identity, over this and the epoch.
    pub signature: Signature,
}

impl RetireAnswer {
    /// Signs a report about this epoch.
    #[must_use]
    pub fn sign(
        public: &EpochPublic,
        node: NodeIndex,
        serving: bool,
        identity: &IdentityKey,
    ) -> Self {
        let said = said(public, node, serving);
        let signature = identity.sign(Label::SIG_ERASED, public.fingerprint.as_bytes(), &said);
        Self { node, serving, signature }
    }

    /// Whether it is `identity`'s report about this epoch.
    #[must_use]
    pub fn verifies(&self, public: &EpochPublic, identity: &PublicKey) -> bool {
        let said = said(public, self.node, self.serving);
        identity
            .verify(Label::SIG_ERASED, public.fingerprint.as_bytes(), &said, &self.signature)
            .is_ok()
    }
}

fn said(public: &EpochPublic, node: NodeIndex, serving: bool) -> Vec<u8> {
    let mut said = statement(&[&public.key, &public.version, &public.epoch, &node]);
    said.push(u8::from(serving));
    said
}

impl Part for RetireAnswer {
    fn write(&self, w: &mut Writer) {
        self.node.write(w);
        w.bool(self.serving);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { node: Part::read(r)?, serving: r.bool("serving")?, signature: Part::read(r)? })
    }
}

impl Format for RetireAnswer {
    const KIND: &'static str = "QC5A";
}
