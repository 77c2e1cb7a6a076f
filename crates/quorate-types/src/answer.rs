//! What a node answers: partials sealed to the client, or a signed refusal.

use crate::{
    codec::{CodecError, Format, Part, Reader, Writer},
    ids::{EpochName, Fingerprint, Hash, Millis, NodeIndex},
    request::MAX_ITEMS,
};
use quorate_crypto::{IdentityKey, PublicKey, Signature, SignatureError, hash::Label};
use std::fmt;

/// How long an answer key lives at most: it is rotated daily.
pub const MAX_ANSWER_KEY_LIFE: u64 = Millis::DAY;

/// A node's answer key (X25519), vouched for by its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerKeyCard {
    /// Whose.
    pub node: NodeIndex,
    /// X25519.
    pub public: [u8; 32],
    /// Not used before.
    pub not_before: Millis,
    /// Not used after.
    pub not_after: Millis,
    signature: Signature,
}

impl AnswerKeyCard {
    /// Vouches for an answer key.
    #[must_use]
    pub fn sign(
        fingerprint: &Fingerprint,
        node: NodeIndex,
        public: [u8; 32],
        not_before: Millis,
        identity: &IdentityKey,
    ) -> Self {
        let not_after = not_before.plus(MAX_ANSWER_KEY_LIFE);
        let mut card = Self { node, public, not_before, not_after, signature: Signature([0; 64]) };
        card.signature = identity.sign(Label::SIG_ANSWER_KEY, fingerprint.as_bytes(), &card.body());
        card
    }

    /// # Errors
    /// [`SignatureError`] unless the node's identity vouches for it.
    pub fn verify(
        &self,
        fingerprint: &Fingerprint,
        identity: &PublicKey,
    ) -> Result<(), SignatureError> {
        identity.verify(
            Label::SIG_ANSWER_KEY,
            fingerprint.as_bytes(),
            &self.body(),
            &self.signature,
        )
    }

    fn body(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write_body(&mut w);
        w.finish()
    }

    fn write_body(&self, w: &mut Writer) {
        self.node.write(w);
        w.raw(&self.public);
        self.not_before.write(w);
        self.not_after.write(w);
    }
}

impl Part for AnswerKeyCard {
    fn write(&self, w: &mut Writer) {
        self.write_body(w);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let card = Self {
            node: Part::read(r)?,
            public: r.array("answer key")?,
            not_before: Part::read(r)?,
            not_after: Part::read(r)?,
            signature: Part::read(r)?,
        };
        if card.not_after > card.not_before.plus(MAX_ANSWER_KEY_LIFE) {
            return Err(CodecError::invalid("answer key", "lives at most one day"));
        }
        Ok(card)
    }
}

/// An answer as it travels: only the client can open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedAnswer {
    /// Who answers, under which answer key.
    pub key: AnswerKeyCard,
    /// Hash of the request.
    pub request: Hash,
    /// The epoch of the share that was used.
    pub epoch: EpochName,
    /// HPKE: finds the session.
    pub encapsulated: [u8; 32],
    /// The session's counter: the nonce.
    pub counter: u64,
    /// The sealed [`Answer`].
    pub sealed: Vec<u8>,
}

impl SealedAnswer {
    /// The largest sealed answer: one partial for each item, a proof, a tag.
    pub const MAX_SEALED: usize = 32 * MAX_ITEMS + 256;

    /// What the seal binds: request, node, epoch.
    #[must_use]
    pub fn associated_data(request: &Hash, node: NodeIndex, epoch: &EpochName) -> Vec<u8> {
        let mut w = Writer::new();
        request.write(&mut w);
        node.write(&mut w);
        epoch.write(&mut w);
        w.finish()
    }

    /// What an answer session binds at its set-up: cluster, node, client.
    #[must_use]
    pub fn session_info(fingerprint: &Fingerprint, node: NodeIndex, client: &PublicKey) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(Label::ANSWER_INFO.as_bytes());
        fingerprint.write(&mut w);
        node.write(&mut w);
        client.write(&mut w);
        w.finish()
    }
}

impl Part for SealedAnswer {
    fn write(&self, w: &mut Writer) {
        self.key.write(w);
        self.request.write(w);
        self.epoch.write(w);
        w.raw(&self.encapsulated);
        w.u64(self.counter);
        w.bytes(&self.sealed);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            key: Part::read(r)?,
            request: Part::read(r)?,
            epoch: Part::read(r)?,
            encapsulated: r.array("encapsulated key")?,
            counter: r.u64("counter")?,
            sealed: r.bytes(Self::MAX_SEALED, "sealed answer")?.to_vec(),
        })
    }
}

impl Format for SealedAnswer {
    const KIND: &'static str = "QANS";
}

/// The plaintext of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// One encoded point for each item, in their order; for signatures one scalar, and for nonces
    /// three words for each pair.
    pub partials: Vec<[u8; 32]>,
    /// One DLEQ proof over all of them, when asked for.
    pub proof: Option<[u8; 64]>,
}

impl Part for Answer {
    fn write(&self, w: &mut Writer) {
        w.list(&self.partials);
        w.bool(self.proof.is_some());
        if let Some(proof) = &self.proof {
            w.raw(proof);
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let partials = r.list(MAX_ITEMS, "partials")?;
        let proof = if r.bool("proof")? { Some(r.array("proof")?) } else { None };
        Ok(Self { partials, proof })
    }
}

impl Format for Answer {
    const KIND: &'static str = "QPAR";
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why a node decided against a request. Stable numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum RefusalReason { $($(#[$doc])* $name = $code),* }

        impl RefusalReason {
            /// Every one that there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// For people: what the rule is.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The number in encodings.
            #[must_use]
            pub const fn code(self) -> u16 {
                self as u16
            }

            /// The one with this number.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

reasons! {
    /// No such key or version at this node.
    UnknownKey = 1, "the key or version is not known";
    /// No grant for this client on this key.
    NotGranted = 2, "the key is not granted to this client";
    /// The grant has expired.
    GrantExpired = 3, "the grant has expired";
    /// The client was revoked, or never added.
    UnknownClient = 4, "the client is not known or was revoked";
    /// Outside the clock window.
    Clock = 5, "the request's time is outside the node's clock window";
    /// The request's life is over.
    Expired = 6, "the request has expired";
    /// The id was seen with other content.
    Replayed = 7, "the request id was used before";
    /// The key's suite or purpose does not allow the operation.
    WrongPurpose = 8, "the key's purpose does not allow this operation";
    /// An item is not a valid ciphertext under this key and context, no blinded element, no nonce,
    /// or no message with signers.
    InvalidItem = 9, "an item is not what the operation takes: a valid ciphertext under this key and \
        encryption context, a blinded element, a nonce, or a message with an exact set of signers and \
        their commitments";
    /// Items and head do not fit.
    ItemsMismatch = 10, "the items do not match the signed request";
    /// The node has this key but holds no active share of it.
    NoShare = 11, "the node holds no active share of the key";
    /// Too many requests are remembered.
    Busy = 12, "the node remembers too many requests at present";
    /// A nonce pair that the request names is not there.
    NonceGone = 13, "a nonce pair in the request is not kept here: it was used, is too old, or of an \
        earlier start or epoch; ask for new ones";
    /// The client, or all clients, have drawn as many nonces as may wait.
    TooManyNonces = 14, "too many unused nonce pairs wait here; use them, or ask again in ten minutes";
    /// Operators have disabled the version, or the key.
    Disabled = 15, "the key or this version of it is disabled; operators can enable it again";
    /// Operators have scheduled the key's deletion.
    PendingDeletion = 16, "the key waits for its deletion; operators can still cancel it";
    /// The node has destroyed the key.
    Destroyed = 17, "the key was deleted: this node has destroyed all that it held of it";
    /// A newer version is born: this one's signatures verify, and it makes no more.
    OlderVersion = 18, "a newer version of the key signs since; sign with that: this one's signatures \
        go on verifying";
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A node's decision against a request, signed, so that a client can tell it from an outage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who refuses.
    pub node: NodeIndex,
    /// Hash of the request.
    pub request: Hash,
    /// By the node's clock.
    pub at: Millis,
    /// Why.
    pub reason: RefusalReason,
    /// Which item, where the reason is about one.
    pub item: Option<u16>,
}

impl Part for Refusal {
    fn write(&self, w: &mut Writer) {
        self.node.write(w);
        self.request.write(w);
        self.at.write(w);
        w.u16(self.reason.code());
        w.bool(self.item.is_some());
        if let Some(item) = self.item {
            w.u16(item);
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let node = Part::read(r)?;
        let request = Part::read(r)?;
        let at = Part::read(r)?;
        let code = r.u16("refusal reason")?;
        let reason = RefusalReason::from_code(code).ok_or_else(|| {
            CodecError::invalid("refusal reason", format!("{code} is not known here"))
        })?;
        let item = if r.bool("item")? { Some(r.u16("item")?) } else { None };
        Ok(Self { node, request, at, reason, item })
    }
}

/// A refusal with its node's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRefusal {
    /// What was decided.
    pub refusal: Refusal,
    signature: Signature,
}

impl SignedRefusal {
    /// Signs a refusal.
    #[must_use]
    pub fn sign(refusal: Refusal, fingerprint: &Fingerprint, identity: &IdentityKey) -> Self {
        let mut w = Writer::new();
        refusal.write(&mut w);
        let signature = identity.sign(Label::SIG_REFUSAL, fingerprint.as_bytes(), &w.finish());
        Self { refusal, signature }
    }

    /// # Errors
    /// [`SignatureError`] unless the node's identity signed it.
    pub fn verify(
        &self,
        fingerprint: &Fingerprint,
        identity: &PublicKey,
    ) -> Result<(), SignatureError> {
        let mut w = Writer::new();
        self.refusal.write(&mut w);
        identity.verify(Label::SIG_REFUSAL, fingerprint.as_bytes(), &w.finish(), &self.signature)
    }
}

impl Part for SignedRefusal {
    fn write(&self, w: &mut Writer) {
        self.refusal.write(w);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { refusal: Part::read(r)?, signature: Part::read(r)? })
    }
}

impl Format for SignedRefusal {
    const KIND: &'static str = "QREF";
}
