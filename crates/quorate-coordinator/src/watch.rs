//! Looks after nodes that come back: brings them the orders and the epochs that they missed.

use crate::state::State;
use quorate_rpc::Deadline;
use quorate_types::NodeIndex;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often nodes are looked at. A revocation reaches a node that was away this long
/// after it is back, at the latest.
const EVERY: Duration = Duration::from_secs(5);
/// How long one look, or bringing a node up to date, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Watches until told to stop. A coordinator that has just started does not know what
/// nodes missed: it takes all of them for away.
pub(crate) async fn watch(state: Arc<State>, stop: CancellationToken) {
    let mut away: BTreeSet<NodeIndex> = state.nodes().into_iter().collect();
    loop {
        let health = state.node_health(Deadline::after(EVERY)).await;
        for node in state.nodes() {
            let here = health.iter().any(|h| h.node == u32::from(node.get()) && h.reachable);
            if !here {
                away.insert(node);
            } else if away.remove(&node) {
                state.catch_up(node, Deadline::after(PATIENCE)).await;
                state.bring_epochs(node, Deadline::after(PATIENCE)).await;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}
