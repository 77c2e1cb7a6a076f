//! Requests: bytes signed by a client, verified before they are parsed.

use crate::{
    codec::{CodecError, Format, Part, Reader, Writer},
    ids::{Fingerprint, Hash, KeyName, KeyVersion, Millis},
    suite::Operation,
};
use quorate_crypto::{
    PublicKey,
    hash::{Label, hash32},
};
use std::{collections::BTreeMap, fmt};

/// The longest life of a request, in milliseconds.
pub const MAX_TTL: u32 = 60_000;
/// The most items in one request.
pub const MAX_ITEMS: usize = 1024;
/// The largest head that is looked at.
pub const MAX_HEAD: usize = 16 * 1024;
/// The largest item, but of a request to sign ([`crate::signing::MAX_SIGN_ITEM`]).
pub const MAX_ITEM: usize = 1024;
/// The most pairs in an encryption context.
pub const MAX_PAIRS: usize = 32;
/// The longest name or value in an encryption context, in bytes.
pub const MAX_PAIR_TEXT: usize = 1024;
/// The largest encryption context, encoded.
pub const MAX_CONTEXT: usize = 8 * 1024;

/// Names a request. Drawn at random by the client; a node answers each once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub [u8; 16]);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The encryption context: names and values that stand in no ciphertext but must be
/// the same at encryption and decryption. Nodes see it and may decide by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncryptionContext(BTreeMap<String, String>);

impl EncryptionContext {
    /// # Errors
    /// [`CodecError`] for more than [`MAX_PAIRS`] pairs, for text that is empty (a name)
    /// or too long, and when all together is over [`MAX_CONTEXT`].
    pub fn new(pairs: BTreeMap<String, String>) -> Result<Self, CodecError> {
        let what = "encryption context";
        if pairs.len() > MAX_PAIRS {
            return Err(CodecError::TooLong { what, max: MAX_PAIRS, got: pairs.len() });
        }
        for (name, value) in &pairs {
            if name.is_empty() {
                return Err(CodecError::invalid(what, "a name must not be empty"));
            }
            let got = name.len().max(value.len());
            if got > MAX_PAIR_TEXT {
                return Err(CodecError::TooLong { what, max: MAX_PAIR_TEXT, got });
            }
        }
        let context = Self(pairs);
        let got = context.label().len();
        if got > MAX_CONTEXT {
            return Err(CodecError::TooLong { what, max: MAX_CONTEXT, got });
        }
        Ok(context)
    }

    /// The pairs.
    #[must_use]
    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The TDH2 label: the canonical bytes.
    #[must_use]
    pub fn label(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }
}

impl Part for EncryptionContext {
    fn write(&self, w: &mut Writer) {
        w.u16(u16::try_from(self.0.len()).unwrap_or(u16::MAX));
        for (name, value) in &self.0 {
            w.bytes(name.as_bytes());
            w.bytes(value.as_bytes());
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let what = "encryption context";
        let got = usize::from(r.u16(what)?);
        if got > MAX_PAIRS {
            return Err(CodecError::TooLong { what, max: MAX_PAIRS, got });
        }
        let mut pairs = BTreeMap::new();
        for _ in 0..got {
            let name = r.text(MAX_PAIR_TEXT, what)?.to_owned();
            let value = r.text(MAX_PAIR_TEXT, what)?.to_owned();
            if pairs.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(CodecError::invalid(what, "names must be strictly ascending"));
            }
            pairs.insert(name, value);
        }
        Self::new(pairs)
    }
}

/// All of a request but its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Drawn at random.
    pub id: RequestId,
    /// By the client's clock.
    pub issued_at: Millis,
    /// Milliseconds, 1 to [`MAX_TTL`].
    pub ttl: u32,
    /// Who asks, and whose signature stands over these bytes.
    pub client: PublicKey,
    /// The key to use.
    pub key: KeyName,
    /// Its version.
    pub version: KeyVersion,
    /// What to do with it.
    pub operation: Operation,
    /// What policy may look at; for decryption the ciphertexts' label. For a derivation it is
    /// the client's word: an honest one hashes it into its blinded inputs.
    pub context: EncryptionContext,
    /// X25519: answers are sealed to it. Fresh in each client process.
    pub reply_key: [u8; 32],
    /// Whether partials must come with a proof.
    pub prove: bool,
    /// How many items, 1 to [`MAX_ITEMS`].
    pub item_count: u16,
    /// Merkle root of the items.
    pub items_root: Hash,
}

impl RequestHead {
    /// Names the request: hash of its head's bytes.
    #[must_use]
    pub fn hash(fingerprint: &Fingerprint, head: &[u8]) -> Hash {
        Hash(hash32(Label::REQUEST_HASH, &[fingerprint.as_bytes(), head]))
    }

    /// When its life ends.
    #[must_use]
    pub fn expires_at(&self) -> Millis {
        self.issued_at.plus(u64::from(self.ttl))
    }
}

/// The client of a head that is not verified yet: it stands at a fixed place, so that
/// the signature can be checked before anything else is parsed.
///
/// # Errors
/// [`CodecError`] for what is no head.
pub fn claimed_client(head: &[u8]) -> Result<PublicKey, CodecError> {
    if head.len() > MAX_HEAD {
        return Err(CodecError::TooLong { what: "request head", max: MAX_HEAD, got: head.len() });
    }
    // Kind and version (6), id (16), issued at (8), time to live (4).
    let mut r = Reader::new(head);
    r.take(34, "request head")?;
    PublicKey::read(&mut r)
}

impl Part for RequestHead {
    fn write(&self, w: &mut Writer) {
        w.raw(&self.id.0);
        self.issued_at.write(w);
        w.u32(self.ttl);
        self.client.write(w);
        self.key.write(w);
        self.version.write(w);
        self.operation.write(w);
        self.context.write(w);
        w.raw(&self.reply_key);
        w.bool(self.prove);
        w.u16(self.item_count);
        self.items_root.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let head = Self {
            id: RequestId(r.array("request id")?),
            issued_at: Part::read(r)?,
            ttl: r.u32("time to live")?,
            client: Part::read(r)?,
            key: Part::read(r)?,
            version: Part::read(r)?,
            operation: Part::read(r)?,
            context: Part::read(r)?,
            reply_key: r.array("reply key")?,
            prove: r.bool("prove")?,
            item_count: r.u16("item count")?,
            items_root: Part::read(r)?,
        };
        if head.ttl == 0 || head.ttl > MAX_TTL {
            let rule = format!("must be 1 to {MAX_TTL} ms, got {}", head.ttl);
            return Err(CodecError::invalid("time to live", rule));
        }
        if head.item_count == 0 || usize::from(head.item_count) > MAX_ITEMS {
            let rule = format!("must be 1 to {MAX_ITEMS}, got {}", head.item_count);
            return Err(CodecError::invalid("item count", rule));
        }
        Ok(head)
    }
}

impl Format for RequestHead {
    const KIND: &'static str = "QREQ";
}
