//! The only modules that name generated protobuf types.

mod coordinator;
mod nodes;
mod orders;

pub use coordinator::{
    ClusterStatus, CoordinatorTransport, KeySummary, KeysPage, NodeStatus, Surveyed,
};
pub use nodes::NodesTransport;
pub(crate) use orders::{Ended, OrdersApi, Owner};
pub use orders::{Heads, Progress};

use crate::{
    error::Error,
    transport::{Question, Records, Reply, ReplyOutcome},
};
use quorate_quorum::PoolError;
use quorate_rpc::{EndpointError, TlsError, v1};

/// Answers under other epochs that are looked at.
const MAX_ALSO: usize = 8;

fn records(answer: v1::GetKeyResponse) -> Records {
    Records { birth: answer.record, newest: answer.newest, exports: answer.exports }
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
