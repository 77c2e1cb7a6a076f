//! Straight to the nodes, past every coordinator.

use super::{records, reply};
use crate::{
    error::Error,
    transport::{BoxFuture, Question, Records, Replies, Transport},
};
use quorate_crypto::IdentityKey;
use quorate_quorum::Pool;
use quorate_rpc::{
    Channel, Deadline, Fault, FaultKind, MAX_CEREMONY_BYTES, bounded,
    v1::{self, node_client::NodeClient},
};
use quorate_types::{KeyName, KeyVersion, NodeIndex, Roster};

/// The nodes of a roster. A node serves no roster: the home's is used as it is.
#[derive(Debug)]
pub struct NodesTransport {
    pool: Pool,
}

impl NodesTransport {
    /// All nodes of `roster`.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn new(identity: &IdentityKey, roster: &Roster) -> Result<Self, Error> {
        Ok(Self { pool: Pool::of(roster, identity)? })
    }
}

impl Transport for NodesTransport {
    fn party(&self) -> String {
        "a node".into()
    }

    fn rosters(&self, _deadline: Deadline) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Fault>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Asks some nodes, so that a lying or lagging one is outdone.
    fn key(
        &self,
        name: KeyName,
        version: Option<KeyVersion>,
        _fresh: bool,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<Vec<Records>, Fault>> {
        Box::pin(async move {
            let nodes = self.pool.indices();
            let want = nodes.len().div_ceil(2);
            let call = |_: NodeIndex, channel: Channel| {
                let name = name.to_string();
                async move {
                    let version = version.map_or(0, KeyVersion::get);
                    let request =
                        deadline.request(v1::GetKeyRequest { name, version, fresh: true })?;
                    Ok(records(node(channel).get_key(request).await?.into_inner()))
                }
            };
            let outcome = self.pool.ask(&nodes, want, deadline, call).await;
            if outcome.answers.is_empty() {
                return Err(told_most(outcome.failures));
            }
            Ok(outcome.answers.into_iter().map(|(_, record)| record).collect())
        })
    }

    fn evaluate(
        &self,
        question: Question,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<Replies, Fault>> {
        Box::pin(async move {
            let nodes: Vec<NodeIndex> = (question.committee.iter().copied())
                .filter(|i| !question.avoid.contains(i))
                .collect();
            let request = v1::NodeEvaluateRequest {
                head: question.head.to_vec(),
                signature: question.signature.0.to_vec(),
                items: question.items.to_vec(),
            };
            let call = |_: NodeIndex, channel: Channel| {
                let request = request.clone();
                async move { Ok(node(channel).evaluate(deadline.request(request)?).await?.into_inner()) }
            };
            let outcome = self.pool.ask(&nodes, question.want, deadline, call).await;
            Ok(Replies {
                answers: outcome.answers.into_iter().filter_map(|(_, a)| reply(a)).collect(),
                failures: (outcome.failures.into_iter())
                    .map(|(i, fault)| (u32::from(i.get()), fault.kind.as_str().to_owned()))
                    .collect(),
            })
        })
    }
}

/// Of all faults a decision if there is one: "not found" says more than "unreachable".
fn told_most(failures: Vec<(NodeIndex, Fault)>) -> Fault {
    let mut faults: Vec<Fault> = failures.into_iter().map(|(_, fault)| fault).collect();
    faults.sort_by_key(|f| !f.kind.is_decision());
    let none = || Fault::new(FaultKind::Unavailable, "no node answered in time");
    faults.into_iter().next().unwrap_or_else(none)
}

fn node(channel: Channel) -> NodeClient<Channel> {
    // Answers under several epochs may be larger than a request.
    bounded!(NodeClient::new(channel), MAX_CEREMONY_BYTES)
}
