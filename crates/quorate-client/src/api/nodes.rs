//! Straight to the nodes, past every coordinator.

use super::{key_states, records, reply};
use crate::{
    error::Error,
    transport::{BoxFuture, KeyStates, Question, Records, Replies, Transport},
};
use quorate_crypto::IdentityKey;
use quorate_quorum::{Peer, Pool};
use quorate_rpc::{
    Channel, Deadline, Fault, FaultKind, MAX_CEREMONY_BYTES, bounded,
    v1::{self, node_client::NodeClient, orders_client::OrdersClient},
};
use quorate_types::{KeyName, KeyVersion, NodeEntry, NodeIndex, Roster, roster::MAX_CHAIN};

/// The nodes of a roster, and of those that follow it.
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

    /// The longest chain that some nodes know.
    fn rosters(&self, deadline: Deadline) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Fault>> {
        Box::pin(async move {
            let nodes = self.pool.indices();
            let call = |_: NodeIndex, channel: Channel| async move {
                let mut node = bounded!(OrdersClient::new(channel), MAX_CEREMONY_BYTES);
                let mut chain = Vec::new();
                loop {
                    let after = u32::try_from(chain.len()).unwrap_or(u32::MAX);
                    let request = deadline.request(v1::RosterRequest { after })?;
                    let page = node.get_roster(request).await?.into_inner();
                    let ended = page.rosters.is_empty() || chain.len() > MAX_CHAIN;
                    chain.extend(page.rosters);
                    if ended || chain.len() >= page.version as usize {
                        return Ok(chain);
                    }
                }
            };
            let outcome = self.pool.ask(&nodes, nodes.len().div_ceil(2), deadline, call).await;
            let longest = outcome.answers.into_iter().map(|(_, chain)| chain).max_by_key(Vec::len);
            longest.ok_or_else(|| told_most(outcome.failures))
        })
    }

    fn follow(&self, roster: &Roster) {
        let peer =
            |n: &NodeEntry| Peer { index: n.index, endpoint: n.endpoint.clone(), key: n.identity };
        if let Err(error) = self.pool.set_peers(roster.nodes.iter().map(peer)) {
            tracing::warn!(%error, "the nodes of a newer roster cannot be dialled");
        }
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

    /// Asks some nodes, so that a lagging one is outdone.
    fn key_state(
        &self,
        name: KeyName,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<KeyStates, Fault>> {
        Box::pin(async move {
            let nodes = self.pool.indices();
            let call = |_: NodeIndex, channel: Channel| {
                let name = name.to_string();
                async move {
                    let request = deadline.request(v1::KeyStateRequest { name })?;
                    Ok(key_states(node(channel).key_state(request).await?.into_inner()))
                }
            };
            let outcome = self.pool.ask(&nodes, nodes.len().div_ceil(2), deadline, call).await;
            if outcome.answers.is_empty() {
                return Err(told_most(outcome.failures));
            }
            let mut all = KeyStates::default();
            for (node, mut said) in outcome.answers {
                // A node speaks of itself only.
                said.nodes.retain(|n| n.node == node);
                all.orders.append(&mut said.orders);
                all.nodes.append(&mut said.nodes);
            }
            Ok(all)
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
