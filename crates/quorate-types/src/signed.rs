//! Canonical bytes with signatures over them.

use crate::{
    codec::{CodecError, Part, Reader, Writer, ascending},
    ids::{Fingerprint, NodeIndex},
};
use quorate_crypto::{IdentityKey, PublicKey, Signature, hash::Label};

/// The largest signed body: a roster of many nodes.
pub const MAX_BODY: usize = 64 * 1024;

/// The most signatures over one body.
pub const MAX_SIGNATURES: usize = 64;

/// One signer's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Who signed.
    pub key: PublicKey,
    /// Over `label ‖ fingerprint ‖ body`.
    pub signature: Signature,
}

impl Part for Signer {
    fn write(&self, w: &mut Writer) {
        self.key.write(w);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { key: Part::read(r)?, signature: Part::read(r)? })
    }
}

/// A body and its signatures, by ascending key, one for each signer. Nothing about
/// it is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Canonical bytes of what is signed.
    pub body: Vec<u8>,
    signers: Vec<Signer>,
}

impl Signed {
    /// A body that nobody has signed.
    #[must_use]
    pub fn unsigned(body: Vec<u8>) -> Self {
        Self { body, signers: Vec::new() }
    }

    /// Adds one's signature, in place of an earlier one of the same key.
    pub fn sign(&mut self, key: &IdentityKey, label: Label, fingerprint: &Fingerprint) {
        let signature = key.sign(label, fingerprint.as_bytes(), &self.body);
        self.add(Signer { key: key.public(), signature });
    }

    /// Adds a signature that somebody else made.
    pub fn add(&mut self, signer: Signer) {
        match self.signers.binary_search_by_key(&signer.key, |s| s.key) {
            Ok(at) => self.signers[at] = signer,
            Err(at) => self.signers.insert(at, signer),
        }
    }

    /// The signatures, by ascending key.
    #[must_use]
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// Those of `allowed` whose signature over the body verifies (strictly, one by one).
    pub fn valid<'a>(
        &'a self,
        label: Label,
        fingerprint: &'a Fingerprint,
        allowed: impl Fn(&PublicKey) -> bool + 'a,
    ) -> impl Iterator<Item = PublicKey> + 'a {
        self.signers
            .iter()
            .filter(move |s| allowed(&s.key))
            .filter(move |s| {
                s.key.verify(label, fingerprint.as_bytes(), &self.body, &s.signature).is_ok()
            })
            .map(|s| s.key)
    }
}

impl Part for Signed {
    fn write(&self, w: &mut Writer) {
        w.bytes(&self.body);
        w.list(&self.signers);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let body = r.bytes(MAX_BODY, "signed body")?.to_vec();
        let signers: Vec<Signer> = r.list(MAX_SIGNATURES, "signatures")?;
        ascending(&signers, "signatures", |s| s.key)?;
        Ok(Self { body, signers })
    }
}

/// A node's signature in a certificate; the key is the committee's for that index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeSignature {
    /// The signing node.
    pub node: NodeIndex,
    /// Its signature.
    pub signature: Signature,
}

impl Part for NodeSignature {
    fn write(&self, w: &mut Writer) {
        self.node.write(w);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { node: Part::read(r)?, signature: Part::read(r)? })
    }
}
