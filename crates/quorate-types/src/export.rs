//! The order that exports a key, and the share that a node seals to its recipient.

use crate::{
    codec::{CodecError, Format, Part, Reader, Writer},
    ids::{EpochName, Fingerprint, Hash, KeyName, KeyVersion, NodeIndex},
    order::OrderError,
};
use quorate_crypto::{
    IdentityKey, PublicKey, RecipientKey, SecretScalar, Signature,
    export::{self, ExportError, SEALED_LEN},
    hash::Label,
};
use rand_core::CryptoRng;

/// The most export orders of one key version that a node takes.
pub const MAX_EXPORTS: usize = 64;

/// Breaks the glass of one key version, or ends that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportKey {
    /// The key.
    pub name: KeyName,
    /// Its version.
    pub version: KeyVersion,
    /// What to do.
    pub step: ExportStep,
}

/// What an export order asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportStep {
    /// Until the order's life is over or another one closes it, every node seals its share to the
    /// recipient and takes part in no new epoch of the version.
    Open {
        /// X25519: whoever has its secret half can put the key together.
        recipient: [u8; 32],
        /// Says that nothing delays it, so that nobody has time to object.
        danger_no_cooling_off: bool,
    },
    /// Ends an export before the life of its order is over. What was sealed stays sealed to its
    /// recipient, who may have it already.
    Close {
        /// Hash of the order that opened it.
        order: Hash,
    },
}

impl ExportKey {
    /// The recipient, if it opens an export.
    #[must_use]
    pub fn recipient(&self) -> Option<&[u8; 32]> {
        match &self.step {
            ExportStep::Open { recipient, .. } => Some(recipient),
            ExportStep::Close { .. } => None,
        }
    }

    pub(crate) fn check(&self, predecessor: &Hash) -> Result<(), OrderError> {
        let rule = |text: &str| Err(OrderError::Rule(text.into()));
        if *predecessor == Hash::default() {
            return rule(
                "an export names the newest order of the key's chain that its signers saw",
            );
        }
        match &self.step {
            ExportStep::Open { danger_no_cooling_off: false, .. } => rule(
                "no time passes between an export order and the export, so it must say \
                 danger_no_cooling_off",
            ),
            ExportStep::Open { recipient, .. } if !export::is_recipient(recipient) => rule(
                "the recipient's X25519 key is of small order: make one with `quorate key export-keygen`",
            ),
            _ => Ok(()),
        }
    }
}

impl Part for ExportKey {
    fn write(&self, w: &mut Writer) {
        self.name.write(w);
        self.version.write(w);
        match &self.step {
            ExportStep::Open { recipient, danger_no_cooling_off } => {
                w.u8(1);
                w.raw(recipient);
                w.bool(*danger_no_cooling_off);
            }
            ExportStep::Close { order } => {
                w.u8(2);
                order.write(w);
            }
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (name, version) = (Part::read(r)?, Part::read(r)?);
        let step = match r.u8("export")? {
            1 => ExportStep::Open {
                recipient: r.array("recipient")?,
                danger_no_cooling_off: r.bool("danger_no_cooling_off")?,
            },
            2 => ExportStep::Close { order: Part::read(r)? },
            other => {
                return Err(CodecError::invalid("export", format!("{other} is not known here")));
            }
        };
        Ok(Self { name, version, step })
    }
}

/// What a sealed share is of: the seal and the node's signature bind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareScope {
    /// The cluster.
    pub fingerprint: Fingerprint,
    /// The key.
    pub key: KeyName,
    /// Its version.
    pub version: KeyVersion,
    /// The epoch of the share: shares of two epochs are never combined.
    pub epoch: EpochName,
    /// Whose share.
    pub node: NodeIndex,
    /// Hash of the export order.
    pub order: Hash,
    /// The recipient that it names.
    pub recipient: [u8; 32],
}

impl Part for ShareScope {
    fn write(&self, w: &mut Writer) {
        self.fingerprint.write(w);
        self.key.write(w);
        self.version.write(w);
        self.epoch.write(w);
        self.node.write(w);
        self.order.write(w);
        w.raw(&self.recipient);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            fingerprint: Part::read(r)?,
            key: Part::read(r)?,
            version: Part::read(r)?,
            epoch: Part::read(r)?,
            node: Part::read(r)?,
            order: Part::read(r)?,
            recipient: r.array("recipient")?,
        })
    }
}

impl ShareScope {
    fn info(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }
}

/// A node's share, which only the recipient can read. Made once and kept, so that every
/// repetition gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedShare {
    /// What it is of.
    pub scope: ShareScope,
    /// HPKE's.
    pub encapsulated: [u8; 32],
    /// The share, sealed.
    pub sealed: [u8; SEALED_LEN],
    /// The node's identity, over all this: a wrong share convicts it.
    pub signature: Signature,
}

impl SealedShare {
    /// Seals and signs a share.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn seal(
        scope: ShareScope,
        share: &SecretScalar,
        identity: &IdentityKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, ExportError> {
        let (encapsulated, sealed) = export::seal(&scope.recipient, share, &scope.info(), rng)?;
        let mut this = Self { scope, encapsulated, sealed, signature: Signature([0; 64]) };
        let fingerprint = this.scope.fingerprint;
        this.signature = identity.sign(Label::SIG_EXPORT, fingerprint.as_bytes(), &this.body());
        Ok(this)
    }

    /// Whether its node has sealed it. Whether it holds the right share only the recipient sees.
    #[must_use]
    pub fn verifies(&self, identity: &PublicKey) -> bool {
        let fingerprint = self.scope.fingerprint.as_bytes();
        identity.verify(Label::SIG_EXPORT, fingerprint, &self.body(), &self.signature).is_ok()
    }

    /// The share; not compared with anything yet.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn open(&self, recipient: &RecipientKey) -> Result<SecretScalar, ExportError> {
        recipient.open(&self.encapsulated, &self.sealed, &self.scope.info())
    }

    fn body(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write_body(&mut w);
        w.finish()
    }

    fn write_body(&self, w: &mut Writer) {
        self.scope.write(w);
        w.raw(&self.encapsulated);
        w.raw(&self.sealed);
    }
}

impl Part for SealedShare {
    fn write(&self, w: &mut Writer) {
        self.write_body(w);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            scope: Part::read(r)?,
            encapsulated: r.array("encapsulated key")?,
            sealed: r.array("sealed share")?,
            signature: Part::read(r)?,
        })
    }
}

impl Format for SealedShare {
    const KIND: &'static str = "QXSH";
}
