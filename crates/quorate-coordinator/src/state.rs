//! What a coordinator knows: the roster, connections, and a cache of records. All of it
//! can be fetched again; none of it is a share or a client's key.

use crate::{metrics::Metrics, postman::Postman, records::Records, schedule::Schedules};
use quorate_crypto::IdentityKey;
use quorate_quorum::{Pool, PoolError};
use quorate_types::{Cluster, Millis, NodeIndex, PartyName};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Shared by all services.
#[derive(Debug)]
pub struct State {
    /// This coordinator's name in the roster.
    pub name: PartyName,
    /// The verified roster chain.
    pub cluster: Cluster,
    /// Channels to the nodes.
    pub pool: Arc<Pool>,
    /// Key records, verified.
    pub records: Records,
    /// Standing orders.
    pub schedules: Schedules,
    /// Carries ceremony steps.
    pub postman: Postman,
    /// How long a step waits for a silent node.
    pub step_patience: Duration,
    /// Counters.
    pub metrics: Metrics,
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
        let dial = Arc::clone(&pool);
        Ok(Self {
            name,
            cluster,
            pool,
            records: Records::default(),
            schedules: Schedules::default(),
            postman: Postman::new(move |node| dial.channel(node)),
            step_patience,
            metrics: Metrics::default(),
        })
    }

    /// All nodes of the roster.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeIndex> {
        self.cluster.roster().nodes.iter().map(|n| n.index).collect()
    }
}

/// The wall clock.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
