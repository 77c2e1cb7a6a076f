//! Looks after nodes that come back: brings them the orders, the rosters and the epochs that
//! they missed; and after rosters that are newer elsewhere.

use crate::state::State;
use quorate_rpc::Deadline;
use quorate_types::{NodeEntry, NodeIndex};
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
    let (mut cluster, mut former) = (state.cluster(), BTreeSet::new());
    state.learn_rosters(Deadline::after(EVERY)).await;
    loop {
        let newest = state.cluster();
        // Who is new, or has taken another's place, knows nothing yet.
        let new = |n: &&NodeEntry| !cluster.names(n.index, &n.identity);
        away.extend(newest.roster().nodes.iter().filter(new).map(|n| n.index));
        cluster = newest;
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
        // Those that are still away are told in the order of orders and rosters, once back.
        state.exchange_rosters(&away, Deadline::after(EVERY)).await;
        let here = state.tell_former(Deadline::after(EVERY)).await;
        for node in here.difference(&former) {
            // What it holds has ended; who has left still erases it.
            state.bring_epochs(*node, Deadline::after(PATIENCE)).await;
        }
        former = here;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}
