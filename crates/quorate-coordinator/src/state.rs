//! What a coordinator knows: the roster, connections, and a cache of records. All of it
//! can be fetched again; none of it is a share or a client's key.

use crate::{
    imports::Imports, metrics::Metrics, places::Places, postman::Postman, records::Records,
    schedule::Schedules,
};
use quorate_crypto::{IdentityKey, PublicKey};
use quorate_quorum::{Peer, Pool, PoolError};
use quorate_rpc::DialOptions;
use quorate_types::{Cluster, Millis, NodeEntry, NodeIndex, PartyName, Split};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::Notify;

/// Orders, canonical bytes, in the order of a list.
pub(crate) type Listed = Arc<Vec<Vec<u8>>>;

/// Shared by all services.
#[derive(Debug)]
pub struct State {
    /// This coordinator's name in the roster.
    pub name: PartyName,
    cluster: RwLock<Arc<Cluster>>,
    /// Channels to the nodes of the newest roster.
    pub pool: Arc<Pool>,
    /// Channels to nodes that it does not name any more: they are told so, and what has come
    /// into force without them.
    pub former: Arc<Pool>,
    /// Key records, verified.
    pub records: Records,
    /// Standing orders.
    pub schedules: Schedules,
    /// What the last list of orders was made of, and when.
    pub(crate) listed: Mutex<Option<(Instant, Listed)>>,
    /// The places in order chains that orders have taken here.
    pub(crate) places: Places,
    /// Owners' dealings that are awaited.
    pub(crate) imports: Imports,
    /// Carries ceremony steps.
    pub postman: Postman,
    /// How long a step waits for a silent node.
    pub step_patience: Duration,
    /// Counters.
    pub metrics: Metrics,
    /// Nodes that were away since they were last brought what they missed. Of a coordinator
    /// that has just started, all of them.
    pub(crate) away: Mutex<BTreeSet<NodeIndex>>,
    /// Identities that have signed two histories.
    pub(crate) splits: Mutex<BTreeMap<NodeIndex, (PublicKey, Split)>>,
    /// Woken when an order or a ceremony has changed what nodes hold.
    pub(crate) moved: Notify,
    /// Nodes that should be visited at once, and what wakes the visitor.
    pub(crate) calling: Mutex<BTreeSet<NodeIndex>>,
    pub(crate) called: Notify,
}

impl State {
    /// The state of a coordinator that has just started.
    ///
    /// # Errors
    /// [`PoolError`].
    pub fn new(
        cluster: Cluster,
        identity: &IdentityKey,
        name: PartyName,
        step_patience: Duration,
    ) -> Result<Self, PoolError> {
        let pool = Arc::new(Pool::of(cluster.roster(), identity)?);
        let former = Arc::new(Pool::new(identity, DialOptions::default())?);
        let (dial, gone) = (Arc::clone(&pool), Arc::clone(&former));
        let state = Self {
            name,
            cluster: RwLock::new(Arc::new(cluster)),
            pool,
            former,
            records: Records::default(),
            postman: Postman::new(move |node| dial.channel(node).or_else(|| gone.channel(node))),
            schedules: Schedules::default(),
            listed: Mutex::default(),
            places: Places::default(),
            imports: Imports::default(),
            step_patience,
            metrics: Metrics::default(),
            away: Mutex::default(),
            splits: Mutex::default(),
            moved: Notify::new(),
            calling: Mutex::default(),
            called: Notify::new(),
        };
        state.away().extend(state.nodes());
        state.dial(&state.cluster())?;
        Ok(state)
    }

    /// The verified roster chain, as far as it is known at this moment.
    #[must_use]
    pub fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn cluster_mut(&self) -> RwLockWriteGuard<'_, Arc<Cluster>> {
        self.cluster.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Points every channel at the nodes of a roster chain. Of several that had one index
    /// before, the last is kept.
    pub(crate) fn dial(&self, cluster: &Cluster) -> Result<(), PoolError> {
        self.pool.set_peers(cluster.roster().nodes.iter().map(peer))?;
        self.former.set_peers(cluster.departed().into_iter().rev().map(peer))?;
        self.postman.forget();
        Ok(())
    }

    pub(crate) fn away(&self) -> MutexGuard<'_, BTreeSet<NodeIndex>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node has been found to give no answer, or to wait in quarantine.
    pub(crate) fn call_on(&self, nodes: impl IntoIterator<Item = NodeIndex>) {
        let mut calling = self.calling.lock().unwrap_or_else(PoisonError::into_inner);
        let before = calling.len();
        calling.extend(nodes);
        if calling.len() > before {
            self.called.notify_one();
        }
    }

    /// What is known against a node's identity.
    #[must_use]
    pub fn split(&self, node: NodeIndex) -> Option<Split> {
        let splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has its place now is another.
        let (identity, split) = splits.get(&node)?;
        self.cluster().names(node, identity).then_some(*split)
    }

    /// All nodes of the roster.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeIndex> {
        self.cluster().roster().nodes.iter().map(|n| n.index).collect()
    }
}

fn peer(node: &NodeEntry) -> Peer {
    Peer { index: node.index, endpoint: node.endpoint.clone(), key: node.identity }
}

/// The wall clock.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
