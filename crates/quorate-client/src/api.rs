//! The only modules that name generated protobuf types.

mod coordinator;
mod nodes;
mod orders;

pub use coordinator::{
    ClusterStatus, CoordinatorTransport, KeySummary, KeysPage, NodeStatus, Surveyed, VersionSummary,
};
pub use nodes::NodesTransport;
pub(crate) use orders::{Ended, OrdersApi, Owner};
pub use orders::{Heads, Progress};

use crate::{
    error::Error,
    transport::{KeyStates, NodeSaid, Question, Records, Reply, ReplyOutcome},
};
use quorate_quorum::PoolError;
use quorate_rpc::{EndpointError, TlsError, v1};
use quorate_types::NodeIndex;

/// Answers under other epochs that are looked at.
const MAX_ALSO: usize = 8;

fn records(answer: v1::GetKeyResponse) -> Records {
    Records { birth: answer.record, newest: answer.newest, exports: answer.exports }
}

/// Orders of one answer that are looked at: a name means one key, while nodes are behind two.
const MAX_STATES: usize = 64;

fn key_states(answer: v1::KeyStateResponse) -> KeyStates {
    let said = |n: v1::NodeKeyState| {
        let node = NodeIndex::new(u16::try_from(n.node).ok()?).ok()?;
        Some(NodeSaid { node, revision: n.revision, receipt: n.receipt, reason: n.reason })
    };
    KeyStates {
        orders: answer.orders.into_iter().take(MAX_STATES).collect(),
        nodes: answer.nodes.into_iter().filter_map(said).collect(),
    }
}

/// A node's answer as protobuf carries it; `None` if it carries none.
fn reply(answer: v1::NodeAnswer) -> Option<Reply> {
    let outcome = match answer.outcome? {
        v1::node_answer::Outcome::Sealed(bytes) => ReplyOutcome::Sealed(bytes),
        v1::node_answer::Outcome::Refusal(bytes) => ReplyOutcome::Refused(bytes),
    };
    // No more than an honest node serves.
    let also = answer.also.into_iter().take(MAX_ALSO).collect();
    Some(Reply { node: answer.node, outcome, also })
}

fn avoided(question: &Question) -> Vec<u32> {
    question.avoid.iter().map(|i| u32::from(i.get())).collect()
}

impl From<EndpointError> for Error {
    fn from(error: EndpointError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self::Invalid(error.to_string())
    }
}
