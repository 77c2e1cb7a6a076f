//! A listening port: identity, limits, services, shutdown.

use crate::{
    accept::Acceptor,
    admission::{Admission, Stats},
    gate::Gate,
    limits::{Class, Limits},
    tls::{TlsError, TlsIdentity},
    verify::Allow,
};
use http::{Request, Response};
use quorate_crypto::IdentityKey;
use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
    transport::server as transport,
};
use tower::Service;

/// Why a port cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No TLS configuration.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listener has no address.
    #[error("the listening socket is broken: {0}")]
    Listener(#[from] io::Error),
}

/// A port that serves gRPC to authenticated peers.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// A port that proves `identity`.
    ///
    /// # Errors
    /// [`TlsError`]: our bug or a broken build.
    pub fn builder(identity: &IdentityKey) -> Result<ServerBuilder, TlsError> {
        Ok(ServerBuilder {
            identity: TlsIdentity::new(identity)?,
            limits: Limits::default(),
            allow: None,
            routes: Routes::builder(),
        })
    }
}

/// What a port will serve.
pub struct ServerBuilder {
    identity: TlsIdentity,
    limits: Limits,
    allow: Option<Allow>,
    routes: RoutesBuilder,
}

impl std::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("identity", &self.identity.public())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl ServerBuilder {
    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Serves only keys that `allow` accepts, asked in each handshake; by default any
    /// Ed25519 key. A key that is allowed no more stays connected until `max_age`, so
    /// what matters is asked again at each request.
    #[must_use]
    pub fn allow(mut self, allow: Allow) -> Self {
        self.allow = Some(allow);
        self
    }

    /// Adds a service whose calls share the limit of `class`.
    #[must_use]
    pub fn add_service<S>(mut self, class: &Class, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(Gate::new(class.clone(), service));
        self
    }

    /// Begins to serve; ends when `shutdown` does or [`ServerHandle::drain`] is called.
    /// Dropping the handle ends nothing.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<ServerHandle, ServeError> {
        let local_addr = listener.local_addr()?;
        let admission = Admission::new(self.limits.clone());
        let (ready, connections) = mpsc::channel(READY_QUEUE);
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let acceptor = Acceptor {
            tls: TlsAcceptor::from(Arc::new(self.identity.server_config(self.allow)?)),
            admission: Arc::clone(&admission),
            limits: self.limits.clone(),
            stop: stop.clone(),
            kill: kill.clone(),
            ready,
        };
        tokio::spawn(acceptor.run(listener));

        let serve = http2(&self.limits).serve_with_incoming_shutdown(
            self.routes.routes().prepare(),
            ReceiverStream::new(connections),
            stop.clone().cancelled_owned(),
        );
        let grace = self.limits.drain_timeout;
        let done = tokio::spawn(supervise(serve, shutdown, stop.clone(), kill, grace));
        Ok(ServerHandle { local_addr, admission, stop, done })
    }
}

/// Connections that are ready and not yet taken by tonic, which takes them at once.
const READY_QUEUE: usize = 16;

/// Serves until told to stop, lets requests end for `grace`, cuts the rest.
async fn supervise(
    serve: impl Future<Output = Result<(), tonic::transport::Error>>,
    shutdown: impl Future<Output = ()>,
    stop: CancellationToken,
    kill: CancellationToken,
    grace: Duration,
) {
    tokio::pin!(serve);
    tokio::select! {
        _ = &mut serve => return,
        () = shutdown => stop.cancel(),
        () = stop.cancelled() => {}
    }
    if timeout(grace, &mut serve).await.is_err() {
        tracing::info!("requests outlived the drain time and were cut");
        kill.cancel();
        let _ = timeout(Duration::from_secs(1), &mut serve).await;
    }
}

/// The limits that tonic passes on to hyper and h2.
fn http2(limits: &Limits) -> transport::Server {
    transport::Server::builder()
        .max_concurrent_streams(limits.max_streams)
        .http2_max_local_error_reset_streams(Some(limits.max_local_resets))
        .http2_max_pending_accept_reset_streams(Some(limits.max_pending_resets))
        .http2_max_header_list_size(limits.max_header_bytes)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .http2_adaptive_window(Some(false))
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        // Asks the peer to end; `Connection` enforces it after the grace.
        .max_connection_age(limits.max_age)
        .timeout(limits.request_timeout)
}

/// A port that is being served.
#[derive(Debug)]
pub struct ServerHandle {
    local_addr: SocketAddr,
    admission: Arc<Admission>,
    stop: CancellationToken,
    done: JoinHandle<()>,
}

impl ServerHandle {
    /// Where it listens; with the real port if 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Counters for metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.admission.stats()
    }

    /// Refuses new connections and requests, waits for those under way (at most the drain
    /// time of the limits), and returns when all have ended.
    pub async fn drain(self) {
        self.stop.cancel();
        self.ended().await;
    }

    /// Returns when the server has ended, for whatever reason.
    pub async fn ended(self) {
        // An error would be a panic of the server's own task; there is nothing to wait for.
        let _ = self.done.await;
    }
}
