//! How a key is: the order that says it, whole each time, and a node's receipt that it has
//! destroyed one.

use crate::{
    codec::{CodecError, Format, Part, Reader, Writer, ascending},
    ids::{Fingerprint, Hash, KeyName, KeyVersion, Millis, NodeIndex, TagName, TagValue},
    order::{Action, MAX_VERSIONS, OrderError, VerifiedOrder},
};
use quorate_crypto::{IdentityKey, PublicKey, Signature, SignatureError, hash::Label};
use std::ops::RangeInclusive;

/// The longest description, in bytes.
pub const MAX_DESCRIPTION: usize = 1024;
/// The most tags of a key.
pub const MAX_TAGS: usize = 32;
/// The most aliases of a key.
pub const MAX_ALIASES: usize = 16;
/// How long a key waits for its deletion, in milliseconds. Shorter only with the right to it.
pub const DELETION_WAIT: RangeInclusive<u64> = 7 * Millis::DAY..=30 * Millis::DAY;

/// Which versions of a key are disabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disabled {
    /// These, ascending; none if it is empty.
    Versions(Vec<KeyVersion>),
    /// Every one, also those to come.
    All,
}

impl Disabled {
    /// Whether a version is.
    #[must_use]
    pub fn has(&self, version: KeyVersion) -> bool {
        match self {
            Self::Versions(versions) => versions.binary_search(&version).is_ok(),
            Self::All => true,
        }
    }

    /// Whether any version is.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::Versions(Vec::new())
    }
}

impl Part for Disabled {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Versions(versions) => {
                w.u8(1);
                w.list(versions);
            }
            Self::All => w.u8(2),
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        match r.u8("disabled versions")? {
            1 => {
                let versions: Vec<KeyVersion> =
                    r.list(MAX_VERSIONS as usize, "disabled versions")?;
                ascending(&versions, "disabled versions", |v| *v)?;
                Ok(Self::Versions(versions))
            }
            2 => Ok(Self::All),
            other => {
                Err(CodecError::invalid("disabled versions", format!("{other} is not known here")))
            }
        }
    }
}

/// A tag: what keys are found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its name, once for each key.
    pub name: TagName,
    /// Its value.
    pub value: TagValue,
}

impl Part for Tag {
    fn write(&self, w: &mut Writer) {
        self.name.write(w);
        self.value.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { name: Part::read(r)?, value: Part::read(r)? })
    }
}

/// Says how a key is from now on, in everything that is not its shares. Unchained: it applies
/// at once, whatever a node has missed, and the highest revision counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetKeyState {
    /// The key.
    pub name: KeyName,
    /// Counts up by one, from 1. Of two orders with one revision, a node keeps the first.
    pub revision: u64,
    /// For people.
    pub description: String,
    /// By ascending name.
    pub tags: Vec<Tag>,
    /// Other names of the key, ascending. No key has such a name, and no two keys share one.
    pub aliases: Vec<KeyName>,
    /// What refuses every use.
    pub disabled: Disabled,
    /// When every node destroys its shares of the key, by its own clock. Until then the key
    /// refuses every use, and a later revision can take it back.
    pub deletion: Option<Millis>,
}

impl SetKeyState {
    /// How a key is of which no order says anything.
    #[must_use]
    pub fn initial(name: KeyName) -> Self {
        Self {
            name,
            revision: 0,
            description: String::new(),
            tags: Vec::new(),
            aliases: Vec::new(),
            disabled: Disabled::Versions(Vec::new()),
            deletion: None,
        }
    }

    /// Whether the key waits for less than the shortest time, if it was ordered then: only a key
    /// that was made with that right does.
    #[must_use]
    pub fn is_quick(&self, issued_at: Millis) -> bool {
        self.deletion.is_some_and(|at| at < issued_at.plus(*DELETION_WAIT.start()))
    }

    pub(crate) fn check(&self, issued_at: Millis) -> Result<(), OrderError> {
        let rule = |text: &str| Err(OrderError::Rule(text.into()));
        if self.revision == 0 {
            return rule("revisions of a key's state begin at 1");
        }
        if self.aliases.contains(&self.name) {
            return rule("an alias is another name than the key's own");
        }
        match self.deletion {
            Some(at) if at < issued_at => rule("a deletion is not before its order"),
            Some(at) if at > issued_at.plus(*DELETION_WAIT.end()) => {
                rule("a deletion waits for 30 days at most")
            }
            _ => Ok(()),
        }
    }
}

impl Part for SetKeyState {
    fn write(&self, w: &mut Writer) {
        self.name.write(w);
        w.u64(self.revision);
        w.bytes(self.description.as_bytes());
        w.list(&self.tags);
        w.list(&self.aliases);
        self.disabled.write(w);
        w.option(self.deletion.as_ref());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let name = Part::read(r)?;
        let revision = r.u64("revision")?;
        let description = r.text(MAX_DESCRIPTION, "description")?.to_owned();
        if description.chars().any(char::is_control) {
            return Err(CodecError::invalid("description", "has no control characters"));
        }
        let tags: Vec<Tag> = r.list(MAX_TAGS, "tags")?;
        ascending(&tags, "tags", |t| t.name.clone())?;
        let aliases: Vec<KeyName> = r.list(MAX_ALIASES, "aliases")?;
        ascending(&aliases, "aliases", Clone::clone)?;
        let (disabled, deletion) = (Part::read(r)?, r.option("deletion")?);
        Ok(Self { name, revision, description, tags, aliases, disabled, deletion })
    }
}

impl VerifiedOrder {
    /// How it says that a key is, if it does.
    #[must_use]
    pub fn key_state(&self) -> Option<&SetKeyState> {
        match &self.order().action {
            Action::SetKeyState(state) => Some(state),
            _ => None,
        }
    }
}

/// What stays of a key at a node that has destroyed all that it held of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destroyed {
    /// The key: no other one gets this name.
    pub key: KeyName,
    /// The order that said so.
    pub order: Hash,
    /// By the node's clock.
    pub at: Millis,
}

impl Part for Destroyed {
    fn write(&self, w: &mut Writer) {
        self.key.write(w);
        self.order.write(w);
        self.at.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { key: Part::read(r)?, order: Part::read(r)?, at: Part::read(r)? })
    }
}

/// A node's receipt: no share, pending share or ceremony secret of any version of the key can be
/// opened there any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestroyedReceipt {
    /// Whose.
    pub node: NodeIndex,
    /// What was destroyed.
    pub destroyed: Destroyed,
    signature: Signature,
}

impl DestroyedReceipt {
    /// Signs a receipt.
    #[must_use]
    pub fn sign(
        destroyed: Destroyed,
        node: NodeIndex,
        fingerprint: &Fingerprint,
        identity: &IdentityKey,
    ) -> Self {
        let body = Self::body(node, &destroyed);
        let signature = identity.sign(Label::SIG_DESTROYED, fingerprint.as_bytes(), &body);
        Self { node, destroyed, signature }
    }

    /// # Errors
    /// [`SignatureError`] unless the node's identity signed it.
    pub fn verify(
        &self,
        fingerprint: &Fingerprint,
        identity: &PublicKey,
    ) -> Result<(), SignatureError> {
        let body = Self::body(self.node, &self.destroyed);
        identity.verify(Label::SIG_DESTROYED, fingerprint.as_bytes(), &body, &self.signature)
    }

    fn body(node: NodeIndex, destroyed: &Destroyed) -> Vec<u8> {
        let mut w = Writer::new();
        node.write(&mut w);
        destroyed.write(&mut w);
        w.finish()
    }
}

impl Part for DestroyedReceipt {
    fn write(&self, w: &mut Writer) {
        self.node.write(w);
        self.destroyed.write(w);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { node: Part::read(r)?, destroyed: Part::read(r)?, signature: Part::read(r)? })
    }
}

impl Format for DestroyedReceipt {
    const KIND: &'static str = "QDST";
}
