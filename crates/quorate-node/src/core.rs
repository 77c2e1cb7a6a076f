//! What all calls of one node share.

use crate::{
    clients::Clients,
    clock::{Clock, Now},
    enrol::Place,
    evaluator::Evaluator,
    keys::KeyCache,
    life::Life,
    locks::Locks,
    metrics::Metrics,
    nonces::{NonceLimits, Nonces},
    permits::Permits,
    quarantine::{self, Quarantine, Standing},
    records,
    replay::{ReplayCache, ReplayLimits},
    sessions::Sessions,
    unlogged::Unlogged,
};
use quorate_ceremony::Change;
use quorate_crypto::{IdentityKey, PublicKey, Threshold};
use quorate_rpc::{Fault, FaultKind};
use quorate_store::{Store, StoreError};
use quorate_types::{
    AuditEntry, Cluster, Event, Fingerprint, Format, KeyName, KeyRecord, NodeEntry, NodeIndex,
};
use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// The limits of a core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreLimits {
    pub(crate) window: Duration,
    pub(crate) replay_entries: usize,
    pub(crate) replay_entries_per_client: usize,
    pub(crate) cached_keys: usize,
    pub(crate) computing: usize,
}

/// A node without its network.
pub(crate) struct Core {
    pub(crate) identity: IdentityKey,
    pub(crate) me: NodeEntry,
    fingerprint: Fingerprint,
    cluster: RwLock<Arc<Cluster>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) evaluator: Arc<dyn Evaluator>,
    pub(crate) window: Duration,
    pub(crate) life: Life,
    pub(crate) quarantine: Quarantine,
    pub(crate) clients: Clients,
    pub(crate) keys: KeyCache,
    pub(crate) sessions: Sessions,
    pub(crate) nonces: Nonces,
    pub(crate) permits: Permits,
    pub(crate) locks: Locks,
    pub(crate) metrics: Metrics,
    /// The sequence number of the newest order.
    pub(crate) order_sequence: AtomicU64,
    pub(crate) unlogged: Unlogged,
    replay: Mutex<ReplayCache>,
    draining: AtomicBool,
    /// Keys without a share here, as last counted; none once a ceremony has changed it.
    shareless: Mutex<Option<u64>>,
    /// The greatest threshold of a key that is served here; none once that may have changed.
    threshold: Mutex<Option<Option<Threshold>>>,
    /// What is seen of peers changes one at a time.
    pub(crate) sightings: Mutex<()>,
    /// One longer roster chain at a time.
    pub(crate) roster_lock: Mutex<()>,
    /// Cancelled once a write has failed: the process must end.
    pub(crate) failed: CancellationToken,
}

impl Core {
    /// Counts this start in the store, before anything else is written there.
    pub(crate) fn new(
        place: Place,
        identity: IdentityKey,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        evaluator: Arc<dyn Evaluator>,
        limits: CoreLimits,
        failed: CancellationToken,
    ) -> records::Read<Self> {
        let life = Life::begin(&*store, clock.now().wall)?;
        let quarantine = Quarantine::begin(&*store)?;
        let fingerprint = *place.cluster.fingerprint();
        let replay = ReplayCache::new(ReplayLimits {
            total: limits.replay_entries,
            per_client: limits.replay_entries_per_client,
            window: limits.window,
        });
        Ok(Self {
            nonces: Nonces::new(life.this.boot, NonceLimits::default()),
            life,
            quarantine,
            sessions: Sessions::new(fingerprint, place.me.index, identity.clone()),
            identity,
            me: place.me,
            fingerprint,
            cluster: RwLock::new(Arc::new(place.cluster)),
            store,
            clock,
            evaluator,
            window: limits.window,
            clients: Clients::default(),
            keys: KeyCache::new(limits.cached_keys),
            permits: Permits::new(limits.computing),
            locks: Locks::default(),
            metrics: Metrics::new(),
            order_sequence: AtomicU64::new(0),
            unlogged: Unlogged::default(),
            replay: Mutex::new(replay),
            draining: AtomicBool::new(false),
            shareless: Mutex::new(None),
            threshold: Mutex::new(None),
            sightings: Mutex::new(()),
            roster_lock: Mutex::new(()),
            failed,
        })
    }

    pub(crate) fn index(&self) -> NodeIndex {
        self.me.index
    }

    pub(crate) fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// What is known of the cluster at this moment.
    pub(crate) fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A longer chain, which is durable by now.
    pub(crate) fn set_cluster(&self, cluster: Cluster) {
        *self.cluster.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(cluster);
    }

    /// Whether the newest roster has no place for this node and its identity.
    pub(crate) fn removed(&self) -> bool {
        !self.cluster().names(self.me.index, &self.me.identity)
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// The replay cache, one caller at a time; nothing slow is done under its lock.
    pub(crate) fn replay<T>(&self, ask: impl FnOnce(&mut ReplayCache) -> T) -> T {
        ask(&mut self.replay.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Coordinators and operators: those who may see and conduct.
    pub(crate) fn conducts(&self, peer: &PublicKey) -> bool {
        let cluster = self.cluster();
        cluster.roster().is_coordinator(peer) || cluster.roster().is_operator(peer)
    }

    /// Writes into the audit log; durable when this returns.
    pub(crate) fn log(&self, event: Event) -> Result<(), Fault> {
        self.log_all(vec![event])
    }

    /// As [`Core::log`], for several events next to one another.
    pub(crate) fn log_all(&self, events: Vec<Event>) -> Result<(), Fault> {
        if events.is_empty() {
            return Ok(());
        }
        let at = self.now().wall;
        let leaves = events.into_iter().map(|event| AuditEntry { at, event }.to_bytes()).collect();
        self.store.audit_append_many(leaves).map(drop).map_err(|e| self.store_fault(&e))
    }

    /// What a caller is told of a store that fails. A poisoned one ends the process.
    pub(crate) fn store_fault(&self, error: &StoreError) -> Fault {
        match error {
            StoreError::Poisoned { .. } => {
                if !self.failed.is_cancelled() {
                    tracing::error!(%error, "fail-stop");
                    self.failed.cancel();
                }
                Fault::unavailable("the node's disk has failed; it is stopping")
            }
            StoreError::Full { .. } => {
                tracing::warn!(%error, "refused");
                Fault::unavailable("the node's disk is full: no use without its audit entry")
            }
            StoreError::Corrupt { .. } => {
                tracing::error!(%error, "corrupt record");
                Fault::new(FaultKind::DataLoss, "a record of this node is damaged; repair the node")
            }
            other => {
                tracing::error!(error = %other, "store");
                Fault::new(FaultKind::Internal, "the node's store refused the call")
            }
        }
    }

    /// How many keys have this node in their committee and no share here; counted again
    /// after ceremonies only. 0 if the store cannot be read, which shows elsewhere.
    pub(crate) fn shareless<E>(&self, count: impl FnOnce(&Self) -> Result<u64, E>) -> u64 {
        let mut known = self.shareless.lock().unwrap_or_else(PoisonError::into_inner);
        *known.get_or_insert_with(|| count(self).unwrap_or(0))
    }

    /// The greatest threshold of a key that is served here; read again only after changes that
    /// may bear on it. If the store cannot be read, none, which shows elsewhere.
    pub(crate) fn greatest_threshold(&self) -> Option<Threshold> {
        let mut known = self.threshold.lock().unwrap_or_else(PoisonError::into_inner);
        *known.get_or_insert_with(|| records::greatest_threshold(&*self.store).unwrap_or(None))
    }

    /// Nothing of a key is used any more.
    pub(crate) fn forget_key(&self, name: &KeyName) {
        self.keys.forget(name);
        self.nonces.forget(name);
        self.forget_shareless();
        *self.threshold.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A ceremony, or a roster, has changed what shares should be here.
    pub(crate) fn forget_shareless(&self) {
        *self.shareless.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// These changes are committed.
    pub(crate) fn have_changed(&self, changes: &[Change]) {
        self.forget_shareless();
        let mut known = self.threshold.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(greatest) = *known else { return };
        let same =
            |record: &KeyRecord| Some(record.certificate.public.committee.threshold()) == greatest;
        // Most moves of shares leave the threshold as it was.
        let bears = |change: &Change| match change {
            Change::Record(record) | Change::Newest(record) => !same(record),
            Change::Standing(standing) => standing.serves().next().is_none(),
            _ => false,
        };
        if changes.iter().any(bears) {
            *known = None;
        }
    }

    /// Whether a supervisor should leave the process alone: also while it waits for its peers'
    /// word, which a new start would not bring.
    pub(crate) fn is_well(&self) -> bool {
        match self.state() {
            "serving" => true,
            "quarantined" => self.quarantine.behind().is_none(),
            _ => false,
        }
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether a write has failed: nothing is done any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.is_cancelled() || self.store.poisoned()
    }

    /// The node's word for how it is.
    pub(crate) fn state(&self) -> &'static str {
        if self.has_failed() {
            "failed"
        } else if self.draining.load(Ordering::Relaxed) {
            "draining"
        } else if self.removed() {
            "removed"
        } else if quarantine::standing(self) != Standing::Free {
            "quarantined"
        } else {
            "serving"
        }
    }
}
