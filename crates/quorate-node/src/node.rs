//! Building a node and taking it down: the same path for the binary, for programs that
//! embed nodes, and for tests.

use crate::{
    api::{self, Api},
    clock::SystemClock,
    config::Config,
    core::{Core, CoreLimits},
    destroy,
    enrol::{self, EnrolError},
    evaluator::Evaluator,
    http::{self, Shown},
    kek::{self, KekError},
    metrics::Levels,
    quarantine,
    records::{self, RecordError},
    rosters, startup,
};
use quorate_rpc::{
    Class, DescriptorError, Fault, FaultKind, Limits, MAX_CEREMONY_BYTES, MAX_REQUEST_BYTES,
    ServeError, Server, ServerHandle, Stats, TlsError, bounded, check_descriptors,
    describe::HealthReporter,
    v1::{
        audit_server::AuditServer, ceremony_server::CeremonyServer, node_server::NodeServer,
        orders_server::OrdersServer,
    },
};
use quorate_store::{SledStore, Store, StoreError};
use quorate_types::{Event, Fingerprint, NodeEntry};
use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use thiserror::Error;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

/// Why a node does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The key-encryption key or the identity.
    #[error(transparent)]
    Kek(#[from] KekError),
    /// Roster, pin or store.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// Too few descriptors.
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    /// A port that cannot be had.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's words.
        error: io::Error,
    },
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No server.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// What the store holds cannot be read, or not be added to.
    #[error("{0}")]
    Load(Fault),
    /// A thread of the start panicked: our bug.
    #[error("alarm: the start was ended")]
    Ended,
}

impl StartError {
    /// The exit code of a process that ends because of this: 65 corrupt store, 70 fail-stop,
    /// 78 configuration.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Enrol(EnrolError::Store(error)) => u8::try_from(error.exit_code()).unwrap_or(78),
            Self::Load(fault) if fault.kind == FaultKind::DataLoss => 65,
            Self::Load(_) | Self::Ended => 70,
            _ => 78,
        }
    }
}

/// A node. See [`Node::start`].
#[derive(Debug)]
pub struct Node;

/// A node that serves.
pub struct NodeHandle {
    entry: NodeEntry,
    fingerprint: Fingerprint,
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    core: Arc<Core>,
    store: Arc<SledStore>,
    server: Arc<RwLock<Option<ServerHandle>>>,
    health: HealthReporter,
    failed: CancellationToken,
    stop: CancellationToken,
    drain: Duration,
}

impl std::fmt::Debug for NodeHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeHandle")
            .field("node", &self.entry.index)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Starts the node whose home this is. Returns when it serves.
    ///
    /// The ladder: descriptors, KEK, identity, roster chain, store (verified against its
    /// manifest), orders, an audit entry that says so, ports.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(
        home: &Path,
        config: Config,
        evaluator: Arc<dyn Evaluator>,
    ) -> Result<NodeHandle, StartError> {
        let limits = Limits {
            max_connections: config.max_connections,
            drain_timeout: config.drain(),
            ..Limits::default()
        };
        check_descriptors(&[&limits], OTHER_DESCRIPTORS)?;
        let failed = CancellationToken::new();
        let prepared = {
            let (home, config, failed) = (home.to_owned(), config.clone(), failed.clone());
            // Argon2id, sled and signatures block.
            tokio::task::spawn_blocking(move || prepare(&home, &config, evaluator, failed))
        };
        let (core, store) = prepared.await.map_err(|_| StartError::Ended)??;
        serve(core, store, &config, limits, failed).await
    }
}

/// Descriptors beside connections: the store's files, logs, the runtime's own.
const OTHER_DESCRIPTORS: u64 = 64;

fn prepare(
    home: &Path,
    config: &Config,
    evaluator: Arc<dyn Evaluator>,
    failed: CancellationToken,
) -> Result<(Arc<Core>, Arc<SledStore>), StartError> {
    let kek = kek::load(&config.kek)?;
    let (identity, membership) = kek::open(&config.identity, &kek)?;
    let place = enrol::find_place(config, home, &identity, membership)?;
    let on_poison = {
        let failed = failed.clone();
        Box::new(move |cause: &str| {
            tracing::error!(cause, "a write has failed: fail-stop");
            failed.cancel();
        })
    };
    let opened =
        enrol::open_store(config, home, &place, &identity, membership, kek, Some(on_poison));
    let store = Arc::new(opened?);
    let limits = CoreLimits {
        window: config.clock_window(),
        replay_entries: config.replay_entries,
        replay_entries_per_client: config.replay_entries_per_client,
        cached_keys: config.cached_keys,
        computing: config.computing(),
    };
    let dynamic: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
    let clock = Arc::new(SystemClock::start());
    let core = Core::new(place, identity, dynamic, clock, evaluator, limits, failed);
    let core = core.map_err(|error| match error {
        RecordError::Store(error @ StoreError::Corrupt { .. }) => StartError::Enrol(error.into()),
        // A full disk, most likely: the start is counted before anything is done.
        RecordError::Store(error) => StartError::Load(Fault::unavailable(error.to_string())),
        damaged => StartError::Load(Fault::new(FaultKind::DataLoss, damaged.to_string())),
    })?;
    match rosters::load(&core) {
        Ok(()) => {}
        Err(rosters::LoadError::Store(fault)) => return Err(StartError::Load(fault)),
        Err(rosters::LoadError::Fork(error)) => {
            let path = config.roster.clone();
            return Err(EnrolError::Roster { path, error }.into());
        }
    }
    startup::load(&core).map_err(StartError::Load)?;
    core.log(Event::Started).map_err(StartError::Load)?;
    startup::import_orders(&core, &config.orders);
    Ok((Arc::new(core), store))
}

async fn serve(
    core: Arc<Core>,
    store: Arc<SledStore>,
    config: &Config,
    limits: Limits,
    failed: CancellationToken,
) -> Result<NodeHandle, StartError> {
    let listener = listen(config.listen).await?;
    let metrics_listener = match config.metrics_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let metrics_address = metrics_listener.as_ref().and_then(|l| l.local_addr().ok());
    // Uses of keys have a limit of their own behind this one, so that status and records
    // are answered when they are at theirs.
    let room = 2 * config.requests_in_flight + api::ROOM_FOR_OTHERS;
    let requests = Class::new("node", room, api::MAX_WAIT, api::LONGEST);
    let (ceremony, status) = (Class::ceremony(), Class::status());
    let api = Api::new(Arc::clone(&core), config.requests_in_flight);
    let (builder, health) = Server::builder(&core.identity)?.limits(limits).described(&status);
    let stop = CancellationToken::new();
    let server = builder
        .add_service(&requests, bounded!(NodeServer::new(api.clone()), MAX_REQUEST_BYTES))
        .add_service(&ceremony, bounded!(CeremonyServer::new(api.clone()), MAX_CEREMONY_BYTES))
        .add_service(&ceremony, bounded!(OrdersServer::new(api.clone()), MAX_REQUEST_BYTES))
        .add_service(&status, bounded!(AuditServer::new(api), MAX_REQUEST_BYTES))
        .serve(listener, stop.clone().cancelled_owned())?;
    let address = server.local_addr();
    let server = Arc::new(RwLock::new(Some(server)));
    if let Some(listener) = metrics_listener {
        let classes = vec![requests, ceremony, status];
        let observed =
            Observed { core: Arc::downgrade(&core), server: Arc::clone(&server), classes };
        tokio::spawn(http::serve(listener, Arc::new(observed), stop.clone()));
    }
    tokio::spawn(destroy::run(Arc::downgrade(&core), stop.clone()));
    // In quarantine until a coordinator has brought the peers' word.
    tracing::info!(node = %core.index(), %address, boots = core.life.this.boots, "serving");
    Ok(NodeHandle {
        entry: core.me.clone(),
        fingerprint: *core.fingerprint(),
        address,
        metrics_address,
        core,
        store,
        server,
        health,
        failed,
        stop,
        drain: config.drain(),
    })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Listen { address, error })
}

impl NodeHandle {
    /// This node in the roster.
    #[must_use]
    pub fn entry(&self) -> &NodeEntry {
        &self.entry
    }

    /// The cluster's fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Where it listens; with the real port if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves metrics.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Whether every key that it serves may be used: peers have told what they last saw of it.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.core.state() == "serving"
    }

    /// Returns once a write has failed: the process must end, with exit code 70, and must
    /// not write to its store any more.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Stops: no new connections, requests under way are finished (for the drain time at
    /// most), the store is closed and its lock free when this returns.
    pub async fn stop(self) {
        self.core.drain();
        self.health.set_service_status("", quorate_rpc::describe::ServingStatus::NotServing).await;
        self.stop.cancel();
        let server = self.server.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.drain().await;
        }
        drop(self.core);
        let mut store = self.store;
        // Work that was begun for callers who have left still holds it.
        let pause = Duration::from_millis(5);
        let mut left = self.drain;
        loop {
            match Arc::try_unwrap(store) {
                Ok(store) => {
                    let closed = tokio::task::spawn_blocking(move || store.close()).await;
                    if let Ok(Err(error)) = closed {
                        tracing::error!(%error, "the store did not close");
                    }
                    break;
                }
                Err(_) if left.is_zero() => {
                    tracing::warn!(
                        "work outlived the drain time; what was acknowledged is durable"
                    );
                    break;
                }
                Err(shared) => store = shared,
            }
            sleep(pause).await;
            left = left.saturating_sub(pause);
        }
        tracing::info!(node = %self.entry.index, "stopped");
    }
}

/// What the metrics port looks at. Holds nothing alive.
struct Observed {
    core: std::sync::Weak<Core>,
    server: Arc<RwLock<Option<ServerHandle>>>,
    classes: Vec<Class>,
}

impl Shown for Observed {
    fn metrics(&self) -> String {
        let Some(core) = self.core.upgrade() else { return String::new() };
        let server = self.server.read().unwrap_or_else(PoisonError::into_inner);
        let stats = server.as_ref().map_or_else(Stats::default, ServerHandle::stats);
        let space = core.store.space();
        let levels = Levels {
            keys: records::count_serving(&*core.store).unwrap_or(0),
            replay_entries: core.replay(|cache| cache.len()) as u64,
            audit_entries: core.store.audit_head().0,
            disk_free: space.free,
            disk_floor: space.hard,
            connections: stats.open as u64,
            refused_connections: stats.refused_full + stats.refused_identity,
            failed_handshakes: stats.failed_handshakes,
            shed: self.classes.iter().map(Class::shed).sum(),
            serving: core.state() == "serving",
            quarantine: quarantine::standing(&core),
        };
        core.metrics.text(&levels)
    }

    fn healthy(&self) -> bool {
        self.core.upgrade().is_some_and(|core| core.is_well())
    }
}
