//! The way to the cluster: through a coordinator, straight to the nodes, or (in tests)
//! within the process. Whatever comes from here is hostile until it verifies.

use quorate_crypto::Signature;
use quorate_rpc::{Deadline, Fault};
use quorate_types::{KeyName, KeyVersion, NodeIndex, Roster};
use std::{future::Future, pin::Pin, sync::Arc};

/// A future that can be kept in a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A signed request on its way to the nodes.
#[derive(Clone, Debug)]
pub struct Question {
    /// Canonical request head.
    pub head: Arc<[u8]>,
    /// The client's, over the head.
    pub signature: Signature,
    /// The items that the head binds.
    pub items: Arc<[Vec<u8>]>,
    /// The nodes that share the key.
    pub committee: Vec<NodeIndex>,
    /// Those of them not to ask.
    pub avoid: Vec<NodeIndex>,
    /// How many answers are wanted.
    pub want: usize,
}

/// What proves a key version, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The birth certificate: canonical `KeyRecord`.
    pub birth: Vec<u8>,
    /// The retire certificate of the epoch in force, if the shares have moved; else empty.
    pub newest: Vec<u8>,
    /// The orders that exported it: canonical `SignedOrder`s.
    pub exports: Vec<Vec<u8>>,
}

/// How keys are, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyStates {
    /// Canonical `SignedOrder`s.
    pub orders: Vec<Vec<u8>>,
    /// What nodes say.
    pub nodes: Vec<NodeSaid>,
}

/// What a node is said to say of how a key is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSaid {
    /// Whose word it is said to be.
    pub node: NodeIndex,
    /// The revision that holds there.
    pub revision: u64,
    /// Canonical `DestroyedReceipt`, or empty.
    pub receipt: Vec<u8>,
    /// Why it says nothing.
    pub reason: String,
}

/// One node's answer, as relayed.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Whose it is said to be.
    pub node: u32,
    /// What it is said to be.
    pub outcome: ReplyOutcome,
    /// The same answer under other epochs: canonical `SealedAnswer`s.
    pub also: Vec<Vec<u8>>,
}

/// What a reply holds.
#[derive(Clone, Debug)]
pub enum ReplyOutcome {
    /// Canonical `SealedAnswer`.
    Sealed(Vec<u8>),
    /// Canonical `SignedRefusal`.
    Refused(Vec<u8>),
}

/// What came of a question.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    /// Answers and refusals.
    pub answers: Vec<Reply>,
    /// Nodes that gave none, with a constant word why.
    pub failures: Vec<(u32, String)>,
}

/// One coordinator, or the nodes themselves.
pub trait Transport: Send + Sync {
    /// Names the party for people: who is to blame when something does not verify.
    fn party(&self) -> String;

    /// The roster chain as canonical `SignedRoster`s, genesis first; empty from a party
    /// that serves none.
    fn rosters(&self, deadline: Deadline) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Fault>>;

    /// Goes to the parties of a newer roster from now on, if it can.
    fn follow(&self, _roster: &Roster) {}

    /// The records of a key; `None` asks for its newest version. More than one where more
    /// than one party was asked. `fresh` asks past what a coordinator remembers.
    fn key(
        &self,
        name: KeyName,
        version: Option<KeyVersion>,
        fresh: bool,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<Vec<Records>, Fault>>;

    /// How a key is, by its name or an alias.
    fn key_state(
        &self,
        _name: KeyName,
        _deadline: Deadline,
    ) -> BoxFuture<'_, Result<KeyStates, Fault>> {
        Box::pin(async { Ok(KeyStates::default()) })
    }

    /// Carries a request to nodes and brings their answers back.
    fn evaluate(
        &self,
        question: Question,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<Replies, Fault>>;
}
