//! How keys are: what nodes say, gathered and verified as orders; receipts are relayed.

use crate::state::State;
use quorate_rpc::{
    Deadline, Fault, FaultKind, MAX_REQUEST_BYTES, bounded,
    v1::{KeyStateRequest, KeyStateResponse, NodeKeyState, node_client::NodeClient},
};
use quorate_types::{Format, KeyName, NodeIndex, SignedOrder, VerifiedOrder};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

/// How long nodes may take to say how a key is.
const PATIENCE: Duration = Duration::from_secs(2);
/// Orders that are looked at of one node: it has one for a name.
const ORDERS_OF_NODE: usize = 4;

impl State {
    /// What all nodes say of a key, or of whatever has this alias.
    pub(crate) async fn key_state(
        &self,
        name: &KeyName,
        deadline: Deadline,
    ) -> Result<KeyStateResponse, Fault> {
        let deadline = deadline.min(Deadline::after(PATIENCE));
        let request = KeyStateRequest { name: name.as_str().to_owned() };
        let outcome = self
            .pool
            .ask_all(&self.nodes(), deadline, |_, channel| {
                let request = deadline.request(request.clone());
                async move {
                    let mut node = bounded!(NodeClient::new(channel), MAX_REQUEST_BYTES);
                    Ok(node.key_state(request?).await?.into_inner())
                }
            })
            .await;
        if outcome.answers.is_empty() {
            return Err(Fault::unavailable("no node could be asked how the key is"));
        }
        let mut newest: BTreeMap<KeyName, VerifiedOrder> = BTreeMap::new();
        let mut nodes = Vec::new();
        for (node, answer) in outcome.answers {
            let mut revision = 0;
            for order in self.state_orders(&answer).await {
                let Some(state) = order.key_state() else { continue };
                revision = state.revision;
                let known = newest.get(&state.name);
                if known.is_none_or(|k| rank(k) < rank(&order)) {
                    newest.insert(state.name.clone(), order);
                }
            }
            nodes.push(NodeKeyState {
                node: u32::from(node.get()),
                revision,
                receipt: receipt_of(node, answer).unwrap_or_default(),
                reason: String::new(),
            });
        }
        let silent = |(node, fault): (NodeIndex, Fault)| NodeKeyState {
            node: u32::from(node.get()),
            reason: match fault.kind {
                FaultKind::Unimplemented => "is of an older release".into(),
                kind => kind.as_str().into(),
            },
            ..NodeKeyState::default()
        };
        nodes.extend(outcome.failures.into_iter().map(silent));
        nodes.sort_by_key(|n| n.node);
        let orders = newest.values().map(|o| o.signed().to_bytes()).collect();
        Ok(KeyStateResponse { orders, nodes })
    }

    async fn state_orders(&self, answer: &KeyStateResponse) -> Vec<VerifiedOrder> {
        let signed = |bytes: &Vec<u8>| SignedOrder::from_bytes(bytes).ok();
        let orders: Vec<_> = answer.orders.iter().take(ORDERS_OF_NODE).filter_map(signed).collect();
        orders.iter().filter_map(|o| VerifiedOrder::verify(&self.cluster(), o).ok()).collect()
    }
}

/// The higher revision counts; of two of one revision the smaller hash, so that coordinators
/// agree on what they show.
fn rank(order: &VerifiedOrder) -> (u64, std::cmp::Reverse<quorate_types::Hash>) {
    (order.key_state().map_or(0, |s| s.revision), std::cmp::Reverse(order.hash()))
}

/// A node speaks of itself only.
fn receipt_of(node: NodeIndex, answer: KeyStateResponse) -> Option<Vec<u8>> {
    let own = answer.nodes.into_iter().find(|n| n.node == u32::from(node.get()))?;
    (own.receipt.len() <= MAX_RECEIPT).then_some(own.receipt)
}

/// A key's name, a hash, a signature and what stands around them.
const MAX_RECEIPT: usize = 512;

/// Leaves of the orders about how keys are only the newest of each key: the others are
/// superseded, and a node that was away would refuse each.
pub(crate) fn drop_superseded<T>(
    orders: &mut Vec<T>,
    order_of: impl Fn(&T) -> Option<(KeyName, u64)>,
) {
    let mut newest: HashMap<KeyName, u64> = HashMap::new();
    for (name, revision) in orders.iter().filter_map(&order_of) {
        let known = newest.entry(name).or_default();
        *known = revision.max(*known);
    }
    orders.retain(|order| match order_of(order) {
        Some((name, revision)) => newest.get(&name) == Some(&revision),
        None => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_state_of_a_key_is_brought_and_every_other_order() {
        let name = |text: &str| KeyName::new(text).expect("a name");
        let mut orders = vec![
            (Some((name("a"), 1)), 1),
            (None, 2),
            (Some((name("a"), 3)), 3),
            (Some((name("b"), 2)), 4),
            (Some((name("a"), 2)), 5),
            // A clash: a node says itself which of the two it keeps.
            (Some((name("a"), 3)), 6),
        ];
        drop_superseded(&mut orders, |(of, _)| of.clone());
        assert_eq!(orders.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [2, 3, 4, 6]);
    }
}
