//! A dealing as it travels: one encoding for each dealing, limits before allocation.
//!
//! ```text
//! u16 t ‖ t × 32 commitments ‖ 64 proof of c_d ‖ 32 E
//!   ‖ u16 n ‖ n × (u16 index ‖ 48 sealed) ‖ 64 proof of e
//! ```
//! Integers are big-endian; receivers strictly ascending.

use super::seal::SEALED_LEN;
use crate::{
    group::PointBytes,
    hash::{Label, hash32},
    index::{MAX_COMMITTEE, ShareIndex},
    schnorr::{KnowledgeProof, PROOF_LEN},
};

/// Why bytes are no dealing. All are the dealer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end before the dealing does.
    #[error("a dealing is cut short")]
    Short,
    /// Bytes follow the dealing.
    #[error("{0} bytes follow the dealing")]
    Trailing(usize),
    /// A count outside of its limits.
    #[error("a dealing has 2 to {MAX_COMMITTEE} commitments and receivers, got {0}")]
    Count(usize),
    /// Receiver index 0, whose value would be the secret.
    #[error("a receiver's index must not be 0")]
    IndexZero,
    /// Receivers repeated or out of order.
    #[error("receivers must stand in ascending order, each once")]
    Order,
}

/// A dealing, not yet verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Dealing {
    pub(super) commitments: Vec<PointBytes>,
    pub(super) knowledge: KnowledgeProof,
    pub(super) ephemeral: PointBytes,
    pub(super) values: Vec<SealedValue>,
    pub(super) ephemeral_knowledge: KnowledgeProof,
}

/// `f_d(index)`, sealed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SealedValue {
    pub(super) index: ShareIndex,
    pub(super) sealed: [u8; SEALED_LEN],
}

impl Dealing {
    /// The only encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.body_bytes();
        out.extend_from_slice(&self.ephemeral_knowledge.0);
        out
    }

    /// Decodes strictly; what decodes, encodes to the same bytes.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut rest = Reader(bytes);
        let t = rest.count()?;
        let commitments = (0..t).map(|_| rest.array()).collect::<Result<_, _>>()?;
        let knowledge = KnowledgeProof(rest.array::<PROOF_LEN>()?);
        let ephemeral = rest.array()?;
        let n = rest.count()?;
        let values: Vec<SealedValue> = (0..n).map(|_| rest.value()).collect::<Result<_, _>>()?;
        let ephemeral_knowledge = KnowledgeProof(rest.array::<PROOF_LEN>()?);
        if !rest.0.is_empty() {
            return Err(WireError::Trailing(rest.0.len()));
        }
        if values.windows(2).any(|w| w[0].index >= w[1].index) {
            return Err(WireError::Order);
        }
        Ok(Self { commitments, knowledge, ephemeral, values, ephemeral_knowledge })
    }

    /// Names this dealing in this ceremony: in bundles, receipts and complaints.
    #[must_use]
    pub fn hash(&self, ctx: &[u8; 32]) -> [u8; 32] {
        hash32(Label::DEALING_HASH, &[ctx, &self.to_bytes()])
    }

    /// The encoded commitments, as dealt: what [`super::commitment_hash`] was made of is
    /// compared after verification.
    #[must_use]
    pub fn commitments(&self) -> &[PointBytes] {
        &self.commitments
    }

    /// All but the last proof, which binds it.
    pub(super) fn body_bytes(&self) -> Vec<u8> {
        let (t, n) = (self.commitments.len(), self.values.len());
        let mut out = Vec::with_capacity(164 + 32 * t + (2 + SEALED_LEN) * n);
        push_count(&mut out, t);
        out.extend(self.commitments.as_flattened());
        out.extend_from_slice(&self.knowledge.0);
        out.extend_from_slice(&self.ephemeral);
        push_count(&mut out, n);
        for value in &self.values {
            out.extend_from_slice(&value.index.get().to_be_bytes());
            out.extend_from_slice(&value.sealed);
        }
        out
    }
}

impl std::fmt::Debug for Dealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (t, n) = (self.commitments.len(), self.values.len());
        write!(f, "Dealing(t = {t}, {n} receivers)")
    }
}

/// Both counts are at most [`MAX_COMMITTEE`], by construction.
fn push_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(WireError::Short)?;
        self.0 = tail;
        Ok(*head)
    }

    fn count(&mut self) -> Result<usize, WireError> {
        let count = usize::from(u16::from_be_bytes(self.array()?));
        if (2..=MAX_COMMITTEE).contains(&count) { Ok(count) } else { Err(WireError::Count(count)) }
    }

    fn value(&mut self) -> Result<SealedValue, WireError> {
        let index = u16::from_be_bytes(self.array()?);
        let index = ShareIndex::new(index).map_err(|_| WireError::IndexZero)?;
        Ok(SealedValue { index, sealed: self.array()? })
    }
}
