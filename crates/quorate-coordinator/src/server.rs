//! A coordinator that runs: in its own process, or embedded.

use crate::{
    audit::AuditService,
    config::{Config, ConfigError},
    keys::KeysService,
    observe::observe,
    orders::OrdersService,
    schedule,
    state::State,
    visits::visit_all,
    watch::watch,
};
use quorate_crypto::{IdentityKey, envelope::Cost};
use quorate_quorum::PoolError;
use quorate_rpc::{
    Class, DescriptorError, Limits, MAX_REQUEST_BYTES, ServeError, Server, ServerHandle, TlsError,
    bounded, check_descriptors,
    v1::{audit_server::AuditServer, keys_server::KeysServer, orders_server::OrdersServer},
};
use quorate_types::{Cluster, CodecError, NodeIndex, RosterChain, RosterError, keyfile};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Files that a coordinator opens beside its connections from clients: to nodes, logs.
const OTHER_DESCRIPTORS: u64 = 512;

/// Why a coordinator does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The TLS key's file is damaged.
    #[error("the TLS key {path}: {error}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: keyfile::KeyFileError,
    },
    /// The roster's file is damaged.
    #[error("the roster {path}: {error}")]
    RosterFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: CodecError,
    },
    /// The roster chain does not verify.
    #[error("the roster: {0}")]
    Roster(#[from] RosterError),
    /// This coordinator is not in the roster.
    #[error("the roster names no coordinator with this TLS key; was `init` run again?")]
    Stranger,
    /// The port is taken.
    #[error("cannot listen on {addr}: {error}")]
    Listen {
        /// Which address.
        addr: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// Connections to nodes cannot be prepared.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// No TLS configuration.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The port cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Too few open files allowed.
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
}

/// A running coordinator.
#[derive(Debug)]
pub struct Coordinator {
    server: ServerHandle,
    state: Arc<State>,
    stop: CancellationToken,
}

impl Coordinator {
    /// Starts what a home describes.
    ///
    /// # Errors
    /// [`StartError`]; nothing keeps running then.
    pub async fn start(home: &Path, roster: Option<&Path>) -> Result<Self, StartError> {
        let mut config = Config::read(home)?;
        if let Some(roster) = roster {
            config.roster = roster.to_owned();
        }
        Self::start_with(config).await
    }

    /// Starts with a configuration that was read.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_with(config: Config) -> Result<Self, StartError> {
        let identity = read_key(&config.tls_key)?;
        let cluster = read_roster(&config.roster)?;
        let entry = (cluster.roster().coordinators.iter())
            .find(|c| c.tls_key == identity.public())
            .ok_or(StartError::Stranger)?;
        let name = entry.name.clone();
        let patience = Duration::from_secs(config.step_seconds);
        let state = Arc::new(State::new(cluster, &identity, name, patience)?);

        let stop = CancellationToken::new();
        if let Some(addr) = config.metrics {
            let listener = listen(addr).await?;
            tokio::spawn(observe(listener, Arc::clone(&state), stop.clone()));
        }
        let limits = Limits {
            drain_timeout: Duration::from_secs(config.drain_seconds),
            // Applications share an identity between many processes.
            max_per_identity: 256,
            ..Limits::default()
        };
        check_descriptors(&[&limits], OTHER_DESCRIPTORS)?;
        let requests = Class::new(
            "requests",
            config.requests_in_flight,
            Duration::from_millis(250),
            Duration::from_secs(10),
        );
        let orders = Class::new("orders", 64, Duration::from_secs(1), Duration::from_secs(120));
        let status = Class::status();
        let (builder, _health) = Server::builder(&identity)?.limits(limits).described(&status);
        let keys = bounded!(KeysServer::new(KeysService(Arc::clone(&state))), MAX_REQUEST_BYTES);
        let server = builder
            .add_service(&requests, keys)
            .add_service(
                &orders,
                bounded!(OrdersServer::new(OrdersService(Arc::clone(&state))), MAX_REQUEST_BYTES),
            )
            .add_service(
                &status,
                bounded!(AuditServer::new(AuditService(Arc::clone(&state))), MAX_REQUEST_BYTES),
            )
            .serve(listen(config.listen).await?, stop.clone().cancelled_owned())?;
        tokio::spawn(watch(Arc::clone(&state), stop.clone()));
        tokio::spawn(visit_all(Arc::clone(&state), stop.clone()));
        tokio::spawn(schedule::run(Arc::clone(&state), stop.clone()));
        tracing::info!(
            coordinator = %state.name,
            listen = %server.local_addr(),
            cluster = %state.cluster().fingerprint(),
            "the coordinator serves"
        );
        Ok(Self { server, state, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// What it knows, for embedders.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Visits nodes at once that are known to have started.
    pub fn visit(&self, nodes: impl IntoIterator<Item = NodeIndex>) {
        self.state.call_on(nodes);
    }

    /// Refuses new requests, lets those under way end, and returns.
    pub async fn stop(self) {
        self.stop.cancel();
        self.server.drain().await;
    }
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(addr).await.map_err(|error| StartError::Listen { addr, error })
}

/// The TLS key of a coordinator's home.
///
/// # Errors
/// [`StartError::Read`], [`StartError::Key`].
pub fn read_key(path: &Path) -> Result<IdentityKey, StartError> {
    let text = Zeroizing::new(read(path)?);
    keyfile::read(&text, None, &Cost::FLOOR)
        .map_err(|error| StartError::Key { path: path.to_owned(), error })
}

/// The verified roster chain of a file. The file is the administrator's: its genesis is
/// taken on trust, its fingerprint is logged at start.
///
/// # Errors
/// [`StartError`].
pub fn read_roster(path: &Path) -> Result<Cluster, StartError> {
    let text = read(path)?;
    let chain = RosterChain::from_text(&text)
        .map_err(|error| StartError::RosterFile { path: path.to_owned(), error })?;
    Ok(Cluster::from_genesis(&chain.0)?)
}

fn read(path: &Path) -> Result<String, StartError> {
    std::fs::read_to_string(path).map_err(|error| StartError::Read { path: path.to_owned(), error })
}
