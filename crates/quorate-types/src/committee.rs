//! Who shares a key, and how many of them use it.

use crate::{
    codec::{CodecError, Part, Reader, Writer, ascending},
    ids::NodeIndex,
};
use quorate_crypto::{IndexError, MAX_COMMITTEE, PublicKey, Threshold};
use std::collections::BTreeSet;
use thiserror::Error;

/// Why a set of nodes is no committee.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommitteeError {
    /// The threshold does not fit the size.
    #[error(transparent)]
    Threshold(#[from] IndexError),
    /// Two members have one index or one identity.
    #[error("node {0} stands twice in the committee (by index or identity key)")]
    Duplicate(NodeIndex),
    /// More members than any message may carry.
    #[error("a committee has at most {MAX_COMMITTEE} members, got {0}")]
    TooLarge(usize),
}

/// One member: the identity is part of it, so that an index cannot be re-used under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// The x-coordinate of its share.
    pub index: NodeIndex,
    /// Its identity key.
    pub identity: PublicKey,
}

impl Part for Member {
    fn write(&self, w: &mut Writer) {
        self.index.write(w);
        self.identity.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { index: Part::read(r)?, identity: Part::read(r)? })
    }
}

/// The nodes that share a key, with the threshold. Indices ascend; indices and
/// identities are unique.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Committee {
    members: Vec<Member>,
    threshold: Threshold,
}

impl Committee {
    /// # Errors
    /// [`CommitteeError`] for duplicates and for a threshold outside `2..=n`.
    pub fn new(mut members: Vec<Member>, threshold: u16) -> Result<Self, CommitteeError> {
        if members.len() > MAX_COMMITTEE {
            return Err(CommitteeError::TooLarge(members.len()));
        }
        let threshold = Threshold::new(threshold, members.len())?;
        members.sort_by_key(|m| m.index);
        let mut identities = BTreeSet::new();
        for (at, m) in members.iter().enumerate() {
            if !identities.insert(m.identity) || (at > 0 && members[at - 1].index == m.index) {
                return Err(CommitteeError::Duplicate(m.index));
            }
        }
        Ok(Self { members, threshold })
    }

    /// `n`.
    #[must_use]
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// `t`.
    #[must_use]
    pub fn threshold(&self) -> Threshold {
        self.threshold
    }

    /// The members by ascending index.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The indices, ascending.
    pub fn indices(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.members.iter().map(|m| m.index)
    }

    /// The member with this index.
    #[must_use]
    pub fn member(&self, index: NodeIndex) -> Option<&Member> {
        self.members.binary_search_by_key(&index, |m| m.index).ok().map(|at| &self.members[at])
    }

    /// The smallest `q` that an order may state: `⌈(n + t) / 2⌉`, so that no epoch
    /// number has two certified bundles while at most `t − 1` receivers lie.
    #[must_use]
    pub fn least_q(&self) -> u16 {
        let sum = self.size() + self.threshold.as_usize();
        u16::try_from(sum.div_ceil(2)).unwrap_or(u16::MAX)
    }
}

impl Part for Committee {
    fn write(&self, w: &mut Writer) {
        w.list(&self.members);
        w.u16(self.threshold.get());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let members: Vec<Member> = r.list(MAX_COMMITTEE, "committee")?;
        ascending(&members, "committee", |m| m.index)?;
        let t = r.u16("threshold")?;
        Self::new(members, t).map_err(|e| CodecError::invalid("committee", e))
    }
}
