//! The roster chain at a coordinator: what operators bring goes to every node, and what
//! nodes know goes to this coordinator and to the nodes that lack it. Newer wins both ways.

use crate::state::State;
use quorate_quorum::Pool;
use quorate_rpc::{
    Channel, Deadline, Fault, MAX_REQUEST_BYTES, bounded,
    v1::{PutRosterRequest, RosterRequest, RosterResponse, orders_client::OrdersClient},
};
use quorate_types::{Cluster, Format, NodeIndex, RosterError, SignedRoster};
use std::{collections::BTreeSet, time::Duration};

/// How long nodes may take to say or take a chain.
const PATIENCE: Duration = Duration::from_secs(3);
/// What fits into one message.
const PAGE_BYTES: usize = 1024 * 1024 - 64 * 1024;

impl State {
    /// Takes newer rosters over; gives the newest version known then.
    pub(crate) fn adopt(&self, brought: &[SignedRoster]) -> Result<u32, RosterError> {
        let mut known = self.cluster_mut();
        if let Some(longer) = known.extended(brought)? {
            if let Err(error) = self.dial(&longer) {
                tracing::error!(%error, "the nodes of a newer roster cannot be dialled");
            }
            tracing::info!(version = longer.roster().version, "took a newer roster over");
            *known = longer.into();
        }
        Ok(known.roster().version)
    }

    /// Asks all nodes for rosters newer than what is known here,
    /// and brings its own to those that are behind. Gives the versions that nodes have now;
    /// who does not answer is left out. Those that are `away` are not brought any.
    pub(crate) async fn exchange_rosters(
        &self,
        away: &BTreeSet<NodeIndex>,
        deadline: Deadline,
    ) -> Vec<(NodeIndex, u32)> {
        let deadline = deadline.min(Deadline::after(PATIENCE));
        let mut said = self.learn_rosters(deadline).await;
        let newest = self.cluster();
        for (node, version) in &mut said {
            if *version < newest.roster().version && !away.contains(node) {
                let upto = newest.roster().version;
                *version = self.bring_rosters(&self.pool, *node, *version, upto, deadline).await;
            }
        }
        said
    }

    /// Tells nodes that have left so; gives those that answer and whose index nobody has now:
    /// they can be brought what has come into force without them.
    pub(crate) async fn tell_former(&self, deadline: Deadline) -> BTreeSet<NodeIndex> {
        let deadline = deadline.min(Deadline::after(PATIENCE));
        let (newest, indices) = (self.cluster(), self.former.indices());
        let upto = newest.roster().version;
        let mut here = BTreeSet::new();
        for (node, answer) in ask(&self.former, &indices, upto, deadline).await {
            if answer.version < upto {
                self.bring_rosters(&self.former, node, answer.version, upto, deadline).await;
            }
            if newest.roster().node(node).is_none() {
                here.insert(node);
            }
        }
        here
    }

    /// Asks the nodes of the newest roster for newer ones; gives what version each has.
    pub(crate) async fn learn_rosters(&self, deadline: Deadline) -> Vec<(NodeIndex, u32)> {
        let deadline = deadline.min(Deadline::after(PATIENCE));
        loop {
            let known = self.cluster().roster().version;
            let said = ask(&self.pool, &self.nodes(), known, deadline)
                .await
                .into_iter()
                .map(|(node, answer)| {
                    self.believe(node, &answer);
                    (node, answer.version)
                })
                .collect();
            // A long chain comes in several answers; a new roster names new nodes to ask.
            if self.cluster().roster().version == known || deadline.remaining().is_zero() {
                return said;
            }
        }
    }

    fn believe(&self, node: NodeIndex, answer: &RosterResponse) {
        let parse = |bytes: &Vec<u8>| SignedRoster::from_bytes(bytes);
        let Ok(rosters) = answer.rosters.iter().map(parse).collect::<Result<Vec<_>, _>>() else {
            tracing::warn!(%node, "a node sent what is no roster");
            return;
        };
        if let Err(error) = self.adopt(&rosters) {
            tracing::warn!(%node, %error, "a node's rosters are refused");
        }
    }

    /// Brings a node the rosters after one version up to another; gives the version that it
    /// has then.
    pub(crate) async fn bring_rosters(
        &self,
        pool: &Pool,
        node: NodeIndex,
        after: u32,
        upto: u32,
        deadline: Deadline,
    ) -> u32 {
        let cluster = self.cluster();
        let (mut has, only) = (after, [node]);
        while has < upto {
            let mut page = page(&cluster, has);
            page.truncate((upto - has) as usize);
            let outcome = pool.ask_all(&only, deadline, |_, channel| {
                let request = PutRosterRequest { rosters: page.clone() };
                async move { put(channel, request, deadline).await }
            });
            let outcome = outcome.await;
            for (node, fault) in &outcome.failures {
                tracing::debug!(%node, %fault, "a node did not take the roster");
            }
            match outcome.answers.first().map(|(_, version)| *version) {
                Some(version) if version > has => has = version,
                _ => return has,
            }
        }
        has
    }

    /// What operators have brought, to every node. Gives the nodes of the newest roster that
    /// could not be told; they are when they come back.
    pub(crate) async fn spread_rosters(&self, deadline: Deadline) -> Vec<NodeIndex> {
        let newest = self.cluster().roster().version;
        let away = BTreeSet::new();
        let (said, _) =
            tokio::join!(self.exchange_rosters(&away, deadline), self.tell_former(deadline));
        let told: BTreeSet<NodeIndex> =
            said.into_iter().filter(|(_, version)| *version >= newest).map(|(n, _)| n).collect();
        self.nodes().into_iter().filter(|n| !told.contains(n)).collect()
    }
}

async fn ask(
    pool: &Pool,
    nodes: &[NodeIndex],
    after: u32,
    deadline: Deadline,
) -> Vec<(NodeIndex, RosterResponse)> {
    let outcome = pool.ask_all(nodes, deadline, |_, channel| async move {
        let mut node = bounded!(OrdersClient::new(channel), MAX_REQUEST_BYTES);
        let request = deadline.request(RosterRequest { after })?;
        Ok(node.get_roster(request).await?.into_inner())
    });
    outcome.await.answers
}

async fn put(
    channel: Channel,
    request: PutRosterRequest,
    deadline: Deadline,
) -> Result<u32, Fault> {
    let mut node = bounded!(OrdersClient::new(channel), MAX_REQUEST_BYTES);
    Ok(node.put_roster(deadline.request(request)?).await?.into_inner().version)
}

/// The rosters after a version, as many as fit into one message.
pub(crate) fn page(cluster: &Cluster, after: u32) -> Vec<Vec<u8>> {
    let mut bytes = 0;
    let later = cluster.chain().iter().skip(after as usize).map(Format::to_bytes);
    let fit = later.enumerate().take_while(|(at, roster)| {
        bytes += roster.len();
        *at == 0 || bytes <= PAGE_BYTES
    });
    fit.map(|(_, roster)| roster).collect()
}
