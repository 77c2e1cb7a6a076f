//! Looks after rosters that are newer elsewhere, and after nodes that have left. Nodes of the
//! newest roster are visited by [`crate::visits`] too.

use crate::state::State;
use quorate_rpc::Deadline;
use quorate_types::NodeEntry;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often rosters are compared.
const EVERY: Duration = Duration::from_secs(5);
/// How long bringing a node up to date may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Watches until told to stop.
pub(crate) async fn watch(state: Arc<State>, stop: CancellationToken) {
    let (mut cluster, mut former) = (state.cluster(), BTreeSet::new());
    state.learn_rosters(Deadline::after(EVERY)).await;
    loop {
        let newest = state.cluster();
        // Who is new, or has taken another's place, knows nothing yet.
        let new = |n: &&NodeEntry| !cluster.names(n.index, &n.identity);
        state.away().extend(newest.roster().nodes.iter().filter(new).map(|n| n.index));
        cluster = newest;
        // Whether they can be reached, and how fast they are, for those who ask them.
        state.node_health(Deadline::after(EVERY)).await;
        // Those that are still away are told in the order of orders and rosters, once back.
        let away = state.away().clone();
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
