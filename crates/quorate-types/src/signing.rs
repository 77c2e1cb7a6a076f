//! Threshold signing in two requests: a node commits to nonces, then signs under them.
//!
//! Both are items of ordinary requests, so that whoever may sign, at which rate, and what was
//! signed is decided and logged as for every other use of a key.

use crate::{
    checkpoint::BootId,
    codec::{CodecError, Format, Part, Reader, Writer, ascending},
    ids::{EpochName, NodeIndex},
    request::MAX_ITEM,
};
use quorate_crypto::{MAX_COMMITTEE, frost::COMMITMENTS_LEN};
use std::fmt;

/// The most nonces that one request draws: the answer holds three words for each.
pub const MAX_NONCES: u16 = 256;
/// The longest message, in bytes: nodes see and hash all of it. Longer ones are hashed by whoever
/// signs, as SSH and minisign signatures of files are.
pub const MAX_MESSAGE: usize = MAX_ITEM;
/// The largest item of a request to sign: the longest message and all commitments.
pub const MAX_SIGN_ITEM: usize =
    6 + EPOCH_LEN + 2 + MAX_COMMITTEE * SignerCommitments::LEN + 4 + MAX_MESSAGE;

/// Number and bundle hash.
const EPOCH_LEN: usize = 8 + 32;
/// 32-byte words of an answer for each nonce pair.
const WORDS: usize = 3;

/// Names a nonce pair that a node holds in memory, until it is used, expires, or the process ends.
/// Made by the node: the random id of its start, and a number that it counts up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NonceHandle {
    /// Of the start of the node that drew it.
    pub boot: BootId,
    /// Which of that start.
    pub number: u64,
}

impl fmt::Debug for NonceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NonceHandle({} of {:02x}{:02x}…)", self.number, self.boot.0[0], self.boot.0[1])
    }
}

impl Part for NonceHandle {
    fn write(&self, w: &mut Writer) {
        w.raw(&self.boot.0);
        w.u64(self.number);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { boot: BootId(r.array("boot id")?), number: r.u64("nonce number")? })
    }
}

/// What a node is asked to draw: the item of a request with operation `sign-commit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonceOrder {
    /// The epoch whose share is going to sign.
    pub epoch: EpochName,
    /// How many pairs, 1 to [`MAX_NONCES`].
    pub count: u16,
}

impl Part for NonceOrder {
    fn write(&self, w: &mut Writer) {
        self.epoch.write(w);
        w.u16(self.count);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let order = Self { epoch: Part::read(r)?, count: r.u16("nonces")? };
        if order.count == 0 || order.count > MAX_NONCES {
            let rule = format!("must be 1 to {MAX_NONCES}, got {}", order.count);
            return Err(CodecError::invalid("nonces", rule));
        }
        Ok(order)
    }
}

impl Format for NonceOrder {
    const KIND: &'static str = "QNON";
}

/// One nonce pair of one signer: its name at the node, and the node's commitments to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SignerCommitments {
    /// Who signs.
    pub node: NodeIndex,
    /// Which of its pairs.
    pub handle: NonceHandle,
    /// Hiding ‖ binding, not yet decoded.
    pub commitments: [u8; COMMITMENTS_LEN],
}

impl SignerCommitments {
    /// The length of an encoding.
    pub const LEN: usize = 2 + 24 + COMMITMENTS_LEN;

    /// What a node answers to a [`NonceOrder`]: for each pair three words of 32 bytes, handle
    /// (and eight zeros), hiding, binding.
    #[must_use]
    pub fn words(handle: &NonceHandle, commitments: &[u8; COMMITMENTS_LEN]) -> [[u8; 32]; WORDS] {
        let mut words = [[0; 32]; WORDS];
        words[0][..16].copy_from_slice(&handle.boot.0);
        words[0][16..24].copy_from_slice(&handle.number.to_be_bytes());
        words[1].copy_from_slice(&commitments[..32]);
        words[2].copy_from_slice(&commitments[32..]);
        words
    }

    /// Reads what [`Self::words`] wrote, for all pairs of an answer.
    ///
    /// # Errors
    /// [`CodecError`] for a number of words that is not threefold, and for handles that do not
    /// end in zeros.
    pub fn from_words(node: NodeIndex, words: &[[u8; 32]]) -> Result<Vec<Self>, CodecError> {
        let (pairs, []) = words.as_chunks::<WORDS>() else {
            return Err(CodecError::invalid("nonces", "three words for each pair are expected"));
        };
        let pair = |[name, hiding, binding]: &[[u8; 32]; WORDS]| {
            let mut r = Reader::new(name);
            let handle = NonceHandle::read(&mut r)?;
            if r.array::<8>("handle")? != [0; 8] {
                return Err(CodecError::invalid("handle", "must end in eight zeros"));
            }
            let mut commitments = [0; COMMITMENTS_LEN];
            commitments[..32].copy_from_slice(hiding);
            commitments[32..].copy_from_slice(binding);
            Ok(Self { node, handle, commitments })
        };
        pairs.iter().map(pair).collect()
    }
}

impl fmt::Debug for SignerCommitments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerCommitments({}, {:?})", self.node, self.handle)
    }
}

impl Part for SignerCommitments {
    fn write(&self, w: &mut Writer) {
        self.node.write(w);
        self.handle.write(w);
        w.raw(&self.commitments);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            node: Part::read(r)?,
            handle: Part::read(r)?,
            commitments: r.array("nonce commitments")?,
        })
    }
}

/// A message with the exact set of those who sign it: one item of a request with operation
/// `sign`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignItem {
    /// The epoch whose shares sign.
    pub epoch: EpochName,
    /// By ascending node, 2 to [`MAX_COMMITTEE`].
    pub signers: Vec<SignerCommitments>,
    /// At most [`MAX_MESSAGE`] bytes.
    pub message: Vec<u8>,
}

impl Part for SignItem {
    fn write(&self, w: &mut Writer) {
        self.epoch.write(w);
        w.list(&self.signers);
        w.bytes(&self.message);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let epoch = Part::read(r)?;
        let signers: Vec<SignerCommitments> = r.list(MAX_COMMITTEE, "signers")?;
        ascending(&signers, "signers", |s| s.node)?;
        if signers.len() < 2 {
            return Err(CodecError::invalid("signers", "two at least sign a message"));
        }
        Ok(Self { epoch, signers, message: r.bytes(MAX_MESSAGE, "message")?.to_vec() })
    }
}

impl Format for SignItem {
    const KIND: &'static str = "QSGN";
}
