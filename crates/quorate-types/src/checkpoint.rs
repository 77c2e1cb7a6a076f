//! How far a node's store is, signed by the node, and what its peers have seen of it.
//!
//! A store that is put back to an older image is whole by itself: only others can know that
//! it was further once. So a node signs [`Checkpoint`]s, its peers keep the newest, and tell
//! it at its start with a [`Witness`]. What a peer holds proves itself: no peer can make up
//! that a node was further than it is, and a node can prove of no other that it lied.
//!
//! Each process of a node states with what its store *began*. Processes of one store follow
//! one another, and what was durable for one is there for the next. So of an honest node no
//! process was ever further than any later one began. Two checkpoints that say otherwise
//! [contradict](Checkpoint::contradicts) each other: an old image was put back, or two
//! processes run under one identity.

use crate::{
    codec::{CodecError, Format, Part, Reader, Writer},
    ids::{Fingerprint, Hash, Millis, NodeIndex},
};
use quorate_crypto::{IdentityKey, PublicKey, Signature, SignatureError, hash::Label};
use std::fmt;

/// Names one process of a node. The process draws it at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootId(pub [u8; 16]);

impl Part for BootId {
    fn write(&self, w: &mut Writer) {
        w.raw(&self.0);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array("boot id").map(Self)
    }
}

/// How far a store is: both numbers only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Extent {
    /// Sequence number of the newest durable manifest.
    pub sequence: u64,
    /// Entries of the durable audit log.
    pub length: u64,
}

impl Extent {
    /// Whether either number is greater than the other's.
    #[must_use]
    pub fn exceeds(&self, other: &Self) -> bool {
        self.sequence > other.sequence || self.length > other.length
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sequence, self.length)
    }
}

impl Part for Extent {
    fn write(&self, w: &mut Writer) {
        w.u64(self.sequence);
        w.u64(self.length);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { sequence: r.u64("manifest sequence")?, length: r.u64("audit log length")? })
    }
}

/// Where a node's store is, by the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose.
    pub node: NodeIndex,
    /// Which start of the store this process is: 1 for the first.
    pub boots: u64,
    /// Which process.
    pub boot: BootId,
    /// When the process began, by its clock.
    pub started: Millis,
    /// How far the store was when the process opened it, before it wrote anything.
    pub began: Extent,
    /// How far the store is.
    pub extent: Extent,
    /// The audit log's hash chain after its newest entry.
    pub head: Hash,
    /// When this was stated, by the node's clock.
    pub at: Millis,
}

/// Why two histories of one identity cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Split {
    /// One process had ended before the other began: an older disk image was put back.
    OldImage = 1,
    /// Both lived at one time, by their clocks.
    TwoProcesses = 2,
}

impl Split {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OldImage => "an older disk image was put back under this identity",
            Self::TwoProcesses => "two processes run under this identity",
        }
    }

    /// A constant word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::OldImage => "rolled_back",
            Self::TwoProcesses => "cloned",
        }
    }

    /// By its number in encodings.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::OldImage),
            2 => Some(Self::TwoProcesses),
            _ => None,
        }
    }
}

impl Checkpoint {
    /// Whether no honest node's one history has both. Rests on no clock.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        if self.node != other.node {
            return false;
        }
        let (first, later) = if self.boots <= other.boots { (self, other) } else { (other, self) };
        if first.boots < later.boots {
            return first.extent.exceeds(&later.began);
        }
        if first.boot != later.boot {
            return true;
        }
        // One process: a machine that was copied while it ran.
        (first.began, first.started) != (later.began, later.started)
            || (first.extent.exceeds(&later.extent) && later.extent.exceeds(&first.extent))
            || (first.extent.length == later.extent.length && first.head != later.head)
    }

    /// What two contradicting checkpoints look like, by the clocks of those who made them.
    /// That they contradict is certain; this is for people, and a clock can mislead it.
    #[must_use]
    pub fn split(&self, other: &Self) -> Split {
        let lived_together = self.started <= other.at && other.started <= self.at;
        if lived_together { Split::TwoProcesses } else { Split::OldImage }
    }

    /// Whether this is of a later process, or further.
    #[must_use]
    pub fn is_after(&self, other: &Self) -> bool {
        let place = |c: &Self| (c.boots, c.extent.length, c.extent.sequence);
        place(self) > place(other)
    }
}

impl Part for Checkpoint {
    fn write(&self, w: &mut Writer) {
        self.node.write(w);
        w.u64(self.boots);
        self.boot.write(w);
        self.started.write(w);
        self.began.write(w);
        self.extent.write(w);
        self.head.write(w);
        self.at.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let checkpoint = Self {
            node: Part::read(r)?,
            boots: r.u64("boots")?,
            boot: Part::read(r)?,
            started: Part::read(r)?,
            began: Part::read(r)?,
            extent: Part::read(r)?,
            head: Part::read(r)?,
            at: Part::read(r)?,
        };
        if checkpoint.boots == 0 {
            return Err(CodecError::invalid("boots", "are counted from 1"));
        }
        if checkpoint.began.exceeds(&checkpoint.extent) {
            return Err(CodecError::invalid("extent", "is not below that at the start"));
        }
        Ok(checkpoint)
    }
}

/// A checkpoint with its node's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What is stated.
    pub checkpoint: Checkpoint,
    signature: Signature,
}

impl SignedCheckpoint {
    /// Signs a checkpoint.
    #[must_use]
    pub fn sign(checkpoint: Checkpoint, cluster: &Fingerprint, identity: &IdentityKey) -> Self {
        let signature =
            identity.sign(Label::SIG_CHECKPOINT, cluster.as_bytes(), &body(&checkpoint));
        Self { checkpoint, signature }
    }

    /// # Errors
    /// [`SignatureError`] unless this identity signed it for this cluster.
    pub fn verify(&self, cluster: &Fingerprint, by: &PublicKey) -> Result<(), SignatureError> {
        let bytes = body(&self.checkpoint);
        by.verify(Label::SIG_CHECKPOINT, cluster.as_bytes(), &bytes, &self.signature)
    }
}

impl Part for SignedCheckpoint {
    fn write(&self, w: &mut Writer) {
        self.checkpoint.write(w);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { checkpoint: Part::read(r)?, signature: Part::read(r)? })
    }
}

impl Format for SignedCheckpoint {
    const KIND: &'static str = "QCHK";
}

/// What one node has seen of another: at most two checkpoints, however many it was shown.
///
/// Nothing here is verified: whoever reads one checks both signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The newest; or one of two that contradict each other.
    pub newest: SignedCheckpoint,
    /// The other of the two; or the last one of the process before the newest's, so that a
    /// process which was not told of it is told again.
    pub other: Option<SignedCheckpoint>,
}

/// What a checkpoint changed in a [`Sighting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Nothing,
    /// It is the newest now.
    Newer,
    /// It proves that the identity has two histories, or proves it better.
    Split(Split),
}

impl Sighting {
    /// The first that is seen of a node.
    #[must_use]
    pub fn first(newest: SignedCheckpoint) -> Self {
        Self { newest, other: None }
    }

    /// Whether the two prove that the identity has two histories.
    #[must_use]
    pub fn split(&self) -> Option<Split> {
        let (one, two) = (&self.newest.checkpoint, &self.other.as_ref()?.checkpoint);
        one.contradicts(two).then(|| one.split(two))
    }

    /// Takes one more of the same node, whose signature was verified.
    pub fn take(&mut self, next: SignedCheckpoint) -> Seen {
        let known = self.split();
        if known == Some(Split::TwoProcesses) {
            return Seen::Nothing;
        }
        let proves = |held: &&SignedCheckpoint| {
            let (held, next) = (&held.checkpoint, &next.checkpoint);
            held.contradicts(next) && (known.is_none() || held.split(next) == Split::TwoProcesses)
        };
        let proof = self.checkpoints().find(proves).cloned();
        if let Some(held) = proof {
            let split = held.checkpoint.split(&next.checkpoint);
            *self = Self { newest: next, other: Some(held) };
            return Seen::Split(split);
        }
        if known.is_some() || !next.checkpoint.is_after(&self.newest.checkpoint) {
            return Seen::Nothing;
        }
        let before = std::mem::replace(&mut self.newest, next);
        if before.checkpoint.boot != self.newest.checkpoint.boot {
            self.other = Some(before);
        }
        Seen::Newer
    }

    /// Both, or the one.
    pub fn checkpoints(&self) -> impl Iterator<Item = &SignedCheckpoint> {
        [Some(&self.newest), self.other.as_ref()].into_iter().flatten()
    }
}

impl Part for Sighting {
    fn write(&self, w: &mut Writer) {
        self.newest.write(w);
        w.option(self.other.as_ref());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let sighting = Self { newest: Part::read(r)?, other: r.option("other checkpoint")? };
        let node = sighting.newest.checkpoint.node;
        if sighting.other.as_ref().is_some_and(|o| o.checkpoint.node != node) {
            return Err(CodecError::invalid("sighting", "is of one node"));
        }
        Ok(sighting)
    }
}

impl Format for Sighting {
    const KIND: &'static str = "QSEE";
}

/// What a node tells another one that has started: the most that it has seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Who tells.
    pub witness: NodeIndex,
    /// Of whom, and whom.
    pub about: NodeIndex,
    /// The process that is told: a process counts no word that another one was given.
    pub boot: BootId,
    /// What was seen; `None` if nothing was.
    pub seen: Option<Sighting>,
}

impl Part for Witness {
    fn write(&self, w: &mut Writer) {
        self.witness.write(w);
        self.about.write(w);
        self.boot.write(w);
        w.option(self.seen.as_ref());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let witness = Self {
            witness: Part::read(r)?,
            about: Part::read(r)?,
            boot: Part::read(r)?,
            seen: r.option("sighting")?,
        };
        if witness.witness == witness.about {
            return Err(CodecError::invalid("witness", "is another node"));
        }
        if witness.seen.as_ref().is_some_and(|s| s.newest.checkpoint.node != witness.about) {
            return Err(CodecError::invalid("sighting", "is of the node that is told"));
        }
        Ok(witness)
    }
}

/// A witness's word with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedWitness {
    /// What is told.
    pub witness: Witness,
    signature: Signature,
}

impl SignedWitness {
    /// Signs it.
    #[must_use]
    pub fn sign(witness: Witness, cluster: &Fingerprint, identity: &IdentityKey) -> Self {
        let signature = identity.sign(Label::SIG_WITNESS, cluster.as_bytes(), &body(&witness));
        Self { witness, signature }
    }

    /// # Errors
    /// [`SignatureError`] unless the witness's identity signed it for this cluster.
    pub fn verify(&self, cluster: &Fingerprint, by: &PublicKey) -> Result<(), SignatureError> {
        let bytes = body(&self.witness);
        by.verify(Label::SIG_WITNESS, cluster.as_bytes(), &bytes, &self.signature)
    }
}

impl Part for SignedWitness {
    fn write(&self, w: &mut Writer) {
        self.witness.write(w);
        self.signature.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { witness: Part::read(r)?, signature: Part::read(r)? })
    }
}

impl Format for SignedWitness {
    const KIND: &'static str = "QWIT";
}

fn body(part: &impl Part) -> Vec<u8> {
    let mut w = Writer::new();
    part.write(&mut w);
    w.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: Fingerprint = Fingerprint([9; 32]);

    /// The `boots`th process, which began at `began` and is at `now`; alive from `began` to
    /// `now` by its clock too.
    fn at(boots: u64, boot: u8, began: u64, now: u64) -> SignedCheckpoint {
        let extent = |n| Extent { sequence: n, length: n };
        let checkpoint = Checkpoint {
            node: NodeIndex::new(2).unwrap(),
            boots,
            boot: BootId([boot; 16]),
            started: Millis(began),
            began: extent(began),
            extent: extent(now),
            head: Hash([u8::try_from(now % 251).unwrap(); 32]),
            at: Millis(now),
        };
        SignedCheckpoint::sign(checkpoint, &CLUSTER, &IdentityKey::from_seed(&[2; 32]))
    }

    fn contradict(a: &SignedCheckpoint, b: &SignedCheckpoint) -> bool {
        let (a, b) = (&a.checkpoint, &b.checkpoint);
        assert_eq!(a.contradicts(b), b.contradicts(a));
        a.contradicts(b)
    }

    #[test]
    fn an_honest_history_never_contradicts_itself() {
        let history =
            [at(1, 1, 0, 1), at(1, 1, 0, 9), at(2, 2, 9, 9), at(2, 2, 9, 30), at(5, 5, 31, 31)];
        for a in &history {
            for b in &history {
                assert!(!contradict(a, b), "{a:?} {b:?}");
            }
        }
        let mut sighting = Sighting::first(history[0].clone());
        for next in history.iter().chain(&history) {
            sighting.take(next.clone());
            assert_eq!(sighting.split(), None);
        }
        assert_eq!(sighting.newest, history[4]);
        assert_eq!(sighting.other, Some(history[3].clone()));
    }

    #[test]
    fn two_histories_contradict_each_other() {
        // The later start began with less than an earlier process had.
        assert!(contradict(&at(1, 1, 0, 9), &at(2, 2, 8, 30)));
        // One start, two processes.
        assert!(contradict(&at(2, 2, 8, 9), &at(2, 3, 8, 9)));
        // A process that was copied while it ran.
        let (mut one, mut two) = (at(2, 2, 8, 9), at(2, 2, 8, 9));
        two.checkpoint.head = Hash([7; 32]);
        assert!(contradict(&one, &two));
        (one.checkpoint.extent.sequence, two.checkpoint.extent.length) = (12, 12);
        assert!(contradict(&one, &two));
        // An old image that has not started as often is not one yet: only the node itself,
        // which lives, can know that it is no replay.
        assert!(!contradict(&at(2, 3, 8, 9), &at(3, 4, 20, 30)));
    }

    #[test]
    fn who_lived_together_are_two_processes_and_better_evidence_is_kept() {
        let (first, old) = (at(2, 2, 8, 20), at(2, 3, 30, 30));
        let mut sighting = Sighting::first(first);
        assert_eq!(sighting.take(old.clone()), Seen::Split(Split::OldImage));
        assert_eq!(sighting.take(old), Seen::Nothing);
        // The first one speaks again, after the other has begun.
        assert_eq!(sighting.take(at(2, 2, 8, 40)), Seen::Split(Split::TwoProcesses));
        assert_eq!(sighting.split(), Some(Split::TwoProcesses));
        assert_eq!(sighting.take(at(9, 9, 90, 90)), Seen::Nothing);
        assert_eq!(sighting.checkpoints().count(), 2);
    }

    #[test]
    fn another_identity_cluster_or_statement_is_not_verified() {
        let (two, other) = (IdentityKey::from_seed(&[2; 32]), IdentityKey::from_seed(&[3; 32]));
        let signed = at(1, 1, 0, 1);
        signed.verify(&CLUSTER, &two.public()).unwrap();
        assert!(signed.verify(&CLUSTER, &other.public()).is_err());
        assert!(signed.verify(&Fingerprint([8; 32]), &two.public()).is_err());
        let mut changed = signed.clone();
        changed.checkpoint.extent.sequence += 1;
        assert!(changed.verify(&CLUSTER, &two.public()).is_err());

        let witness = Witness {
            witness: NodeIndex::new(3).unwrap(),
            about: NodeIndex::new(2).unwrap(),
            boot: BootId([1; 16]),
            seen: Some(Sighting::first(signed)),
        };
        let mut signed = SignedWitness::sign(witness, &CLUSTER, &other);
        signed.verify(&CLUSTER, &other.public()).unwrap();
        assert!(signed.verify(&CLUSTER, &two.public()).is_err());
        assert!(signed.verify(&Fingerprint([8; 32]), &other.public()).is_err());
        signed.witness.seen = None;
        assert!(signed.verify(&CLUSTER, &other.public()).is_err());
    }

    #[test]
    fn what_breaks_a_rule_does_not_parse() {
        let never = at(1, 1, 5, 5);
        let mut none = never.clone();
        none.checkpoint.boots = 0;
        assert!(SignedCheckpoint::from_bytes(&none.to_bytes()).is_err());
        let mut backwards = never.clone();
        backwards.checkpoint.extent.length = 4;
        assert!(SignedCheckpoint::from_bytes(&backwards.to_bytes()).is_err());
        let mut another = never.clone();
        another.checkpoint.node = NodeIndex::new(7).unwrap();
        let mixed = Sighting { newest: never, other: Some(another) };
        assert!(Sighting::from_bytes(&mixed.to_bytes()).is_err());
    }
}
