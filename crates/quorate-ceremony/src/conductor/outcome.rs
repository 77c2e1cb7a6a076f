//! What a conductor is asked and tells.

use crate::{DealingLie, StepKind, bundle::party};
use quorate_types::{EpochName, KeyRecord, Millis, NodeIndex};
use std::sync::Arc;
use thiserror::Error;

/// How long a conductor waits, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// For the slowest members, once enough have answered.
    pub patience: u64,
    /// For enough members to answer, in each step, before the ceremony fails.
    pub give_up: u64,
    /// Before a member that could not be reached is asked again.
    pub retry_after: u64,
    /// For one answer, before the request counts as lost: longer than the transport's
    /// own deadline.
    pub answer_within: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { patience: 3_000, give_up: 60_000, retry_after: 500, answer_within: 20_000 }
    }
}

/// A request to carry to one member. Its answer comes back with the same ticket.
#[derive(Clone, Debug)]
pub struct Send {
    /// To whom, and for what.
    pub ticket: Ticket,
    /// The step's request, canonical bytes; the same for all members.
    pub request: Arc<[u8]>,
}

/// Ties an answer to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The member.
    pub node: NodeIndex,
    /// The step.
    pub step: StepKind,
    /// The attempt's epoch number.
    pub number: u64,
    pub(super) round: u32,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The node said why ([`crate::Fault`] on the wire). Nothing of it is believed but
    /// that the node will not do the step.
    Fault {
        /// [`crate::Fault::code`].
        code: u16,
        /// For people.
        message: String,
    },
    /// No connection, no answer in time, no room.
    Unreachable,
}

/// How far a ceremony is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The step that is under way.
    pub step: StepKind,
    /// The attempt's epoch number.
    pub number: u64,
    /// Members that have done the step.
    pub done: usize,
    /// Members that are asked.
    pub of: usize,
    /// How many must do it.
    pub needed: usize,
    /// Members that have not answered. Silence is never guilt.
    pub waiting_for: Vec<NodeIndex>,
    /// Members that broke the rules.
    pub culprits: Vec<Culprit>,
}

/// A member that broke the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// Who.
    pub node: NodeIndex,
    /// How.
    pub blame: Blame,
    /// The request that it answered, or that its victim did.
    pub request: Arc<[u8]>,
    /// The answer that shows it. Whether it proves it to others, [`Blame`] says.
    pub answer: Vec<u8>,
}

/// What a culprit did.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Blame {
    /// Seen by the conductor, who knows from the connection who answered; proves nothing
    /// to others.
    #[error("its answer to the {step} step is wrong: {rule}")]
    Answer {
        /// Which step.
        step: StepKind,
        /// What is wrong.
        rule: String,
    },
    /// Proven by the dealer's signature ([`crate::bundle::verify_dealing`]).
    #[error("it dealt against the rules: {0}")]
    Dealing(DealingLie),
    /// Proven by a receiver's complaint ([`crate::bundle::judge`]).
    #[error("it dealt a bad value to node {receiver}, whose complaint proves it")]
    BadValue {
        /// The cheated one.
        receiver: NodeIndex,
    },
    /// Proven by its own complaint ([`crate::bundle::judge`]).
    #[error("it complained about {} without cause", party(*.dealer))]
    FalseComplaint {
        /// The accused, who is innocent.
        dealer: NodeIndex,
    },
}

/// How a ceremony ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The key version is born.
    Born {
        /// The proof.
        record: Box<KeyRecord>,
        /// Whether it was born under the conductor's own order. If not, an earlier order
        /// has made it.
        as_ordered: bool,
        /// Members that have not yet stored the proof.
        absent: Vec<NodeIndex>,
        /// Members that broke the rules on the way.
        culprits: Vec<Culprit>,
    },
    /// The shares have moved: the new epoch is in force, and what was before is worthless
    /// once everybody has erased it.
    Moved {
        /// The proof: the retire certificate of every lower epoch.
        record: Box<KeyRecord>,
        /// Members of the new committee that have not reported that they serve it. The
        /// next reshare repairs them, if they do not catch up before.
        absent: Vec<NodeIndex>,
        /// Members of the old committee that have not reported that they erased its shares.
        unerased: Vec<NodeIndex>,
        /// Members that broke the rules on the way.
        culprits: Vec<Culprit>,
    },
    /// No key was born, or no share has moved. Nothing needs to be cleaned up.
    Failed {
        /// Why.
        reason: FailReason,
        /// Members that broke the rules.
        culprits: Vec<Culprit>,
        /// Whether this version can never be born: order the next one.
        burnt: bool,
    },
}

/// Why no key was born, or no share has moved.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FailReason {
    /// A genesis needs every member to prepare and deal, an import its owner to deal.
    #[error(
        "the ceremony needs this member, and {} broke the rules: {}", party(.0.node), .0.blame
    )]
    Culprit(Box<Culprit>),
    /// A member will not.
    #[error("{} refuses the {step} step (code {code}): {message}", party(*.node))]
    Refused {
        /// Who.
        node: NodeIndex,
        /// Which step.
        step: StepKind,
        /// [`crate::Fault::code`].
        code: u16,
        /// The node's own words.
        message: String,
    },
    /// Members did not answer. The same order can be tried again.
    #[error("{}", silent(*.step, .nodes))]
    Silent {
        /// Which step.
        step: StepKind,
        /// Who.
        nodes: Vec<NodeIndex>,
    },
    /// Of a reshare: too few members hold a share of the epoch to deal on.
    #[error("{}", few_shares(*.epoch, .holders, *.needed, .silent))]
    FewShares {
        /// The epoch in force.
        epoch: u64,
        /// Members that offered to deal.
        holders: Vec<NodeIndex>,
        /// How many must.
        needed: usize,
        /// Members that gave no answer, or none that counts. Without any, the key is lost.
        silent: Vec<NodeIndex>,
    },
    /// Too many members refuse or hold no share.
    #[error("only {possible} of the {needed} members that the {step} step needs can do it")]
    TooFew {
        /// Which step.
        step: StepKind,
        /// Members that have done it or may still.
        possible: usize,
        /// How many it needs.
        needed: usize,
    },
    /// Every number of the order is used.
    #[error("every epoch number of this order is used; make another order")]
    NumbersUsed,
    /// Others move the shares of this key at the same time, again and again.
    #[error(
        "other epochs keep coming into force; see who else moves the shares of this key: `quorate \
         order list`"
    )]
    Overtaken,
    /// Members have signed an epoch active, so that no other is born while it may be; and it
    /// has not enough signatures without these, who hold no share of it, or refuse.
    #[error(
        "members have signed epoch {epoch} active, and nodes {nodes:?}, whose signatures it \
         needs, do not; try again when they do, or order the next version"
    )]
    Undecided {
        /// The epoch that could have been finished.
        epoch: EpochName,
        /// Who could still sign.
        nodes: Vec<NodeIndex>,
    },
    /// Done once more for members that missed the bundle, the attempt gives another one.
    #[error(
        "a member has said something else than the first time, so that the bundle of a certified \
         epoch cannot be made again (it would be {epoch}); try again, or order the next version"
    )]
    Changed {
        /// What it gives now.
        epoch: EpochName,
    },
    /// Members have signed different epochs active, so that none can have enough.
    #[error(
        "the members have signed different keys active ({0} and others); order the next version"
    )]
    Split(EpochName),
}

fn silent(step: StepKind, nodes: &[NodeIndex]) -> String {
    if nodes == [NodeIndex::OWNER] {
        return "the key's owner has not dealt it: `quorate key import` again, with the same order, \
                where the key is"
            .to_owned();
    }
    format!("no answer to the {step} step from nodes {nodes:?}; try again when they are back")
}

fn list(nodes: &[NodeIndex]) -> String {
    match nodes {
        [] => "none".to_owned(),
        nodes => nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn few_shares(epoch: u64, holders: &[NodeIndex], needed: usize, silent: &[NodeIndex]) -> String {
    let few = format!(
        "{needed} shares of epoch {epoch} are needed to move them, and {} are offered (nodes: {})",
        holders.len(),
        list(holders)
    );
    match silent {
        [] => format!(
            "{few}: KEY LOST, since every other node has answered that it holds none. No share \
             can be made from fewer; only a lost node's disk helps, with its identity and the key \
             that seals both"
        ),
        silent => format!(
            "{few}; none came from nodes {}. Try again when they are back; if their disks are gone, \
             the key is lost",
            list(silent)
        ),
    }
}

impl Pace {
    /// When to ask an unreachable member again.
    pub(super) fn retry_at(&self, now: Millis) -> Millis {
        now.plus(self.retry_after)
    }
}
