//! How a client is put together.

use crate::{
    answers::AnswerBook,
    api::{CoordinatorTransport, NodesTransport},
    client::{Client, Inner},
    error::Error,
    home::Home,
    pins::Pins,
    sign::NoncePool,
    transport::Transport,
};
use quorate_crypto::IdentityKey;
use quorate_types::{Cluster, Endpoint, Millis, request::MAX_TTL};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, RwLock, atomic::AtomicBool, atomic::AtomicUsize},
    time::{Duration, SystemTime},
};
use zeroize::Zeroizing;

/// Wishes for a client. Either a home, or an identity with a cluster, is needed.
#[derive(Default)]
pub struct ClientBuilder {
    home: Option<PathBuf>,
    passphrase: Option<Zeroizing<Vec<u8>>>,
    identity: Option<IdentityKey>,
    cluster: Option<Cluster>,
    coordinators: Vec<Endpoint>,
    direct: bool,
    transports: Vec<Arc<dyn Transport>>,
    timeout: Option<Duration>,
    clock: Option<fn() -> Millis>,
}

impl ClientBuilder {
    /// Takes identity, cluster, coordinators and pins from a home directory.
    #[must_use]
    pub fn home(mut self, dir: impl Into<PathBuf>) -> Self {
        self.home = Some(dir.into());
        self
    }

    /// Opens the home's sealed identity key.
    #[must_use]
    pub fn passphrase(mut self, passphrase: impl Into<Vec<u8>>) -> Self {
        self.passphrase = Some(Zeroizing::new(passphrase.into()));
        self
    }

    /// An identity in place of the home's.
    #[must_use]
    pub fn identity(mut self, identity: IdentityKey) -> Self {
        self.identity = Some(identity);
        self
    }

    /// A verified cluster in place of the home's. Without a home, pins live as long as the
    /// client.
    #[must_use]
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// A coordinator's address in place of those in home and roster; several fail over in
    /// this order. Whoever answers there must prove a coordinator's key of the roster.
    #[must_use]
    pub fn coordinator(mut self, endpoint: Endpoint) -> Self {
        self.coordinators.push(endpoint);
        self
    }

    /// Asks the nodes themselves, past every coordinator.
    #[must_use]
    pub fn direct(mut self) -> Self {
        self.direct = true;
        self
    }

    /// Another way to the cluster; several fail over in this order.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transports.push(transport);
        self
    }

    /// How long one operation may take at one coordinator; 10 s by default, 60 s at most.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// A clock in place of the system's.
    #[must_use]
    pub fn clock(mut self, clock: fn() -> Millis) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The client. Opens no connection yet, but must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Home`], [`Error::Invalid`].
    pub fn build(mut self) -> Result<Client, Error> {
        let home = self.home.take().map(Home::open).transpose()?;
        let identity = match (self.identity.take(), &home) {
            (Some(identity), _) => identity,
            (None, Some(home)) => home.identity(self.passphrase.as_deref().map(|p| &p[..]))?,
            (None, None) => return Err(missing("an identity")),
        };
        let cluster = match (self.cluster.take(), &home) {
            (Some(cluster), _) => cluster,
            (None, Some(home)) => home.cluster().clone(),
            (None, None) => return Err(missing("a cluster")),
        };
        let transports = self.transports(&identity, &cluster, home.as_ref())?;
        let longest = Duration::from_millis(u64::from(MAX_TTL));
        Ok(Client(Arc::new(Inner {
            answers: AnswerBook::new(identity.public()),
            nonces: NoncePool::default(),
            pins: home.as_ref().map_or_else(Pins::memory, |h| Pins::Directory(h.pins())),
            identity,
            cluster: RwLock::new(Arc::new(cluster)),
            home,
            transports,
            preferred: AtomicUsize::new(0),
            roster_asked: AtomicBool::new(false),
            keys: Mutex::default(),
            timeout: self.timeout.unwrap_or(TIMEOUT).min(longest),
            clock: self.clock.unwrap_or(now),
        })))
    }

    fn transports(
        &mut self,
        identity: &IdentityKey,
        cluster: &Cluster,
        home: Option<&Home>,
    ) -> Result<Vec<Arc<dyn Transport>>, Error> {
        if !self.transports.is_empty() {
            return Ok(std::mem::take(&mut self.transports));
        }
        if self.direct {
            return Ok(vec![Arc::new(NodesTransport::new(identity, cluster.roster())?)]);
        }
        let mut endpoints = std::mem::take(&mut self.coordinators);
        if let Some(home) = home.filter(|_| endpoints.is_empty()) {
            endpoints = home.coordinators()?;
        }
        CoordinatorTransport::all(identity, cluster.roster(), &endpoints)
            .map(|all| all.into_iter().map(|t| Arc::new(t) as Arc<dyn Transport>).collect())
    }
}

/// The system's wall clock.
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// One operation at one coordinator.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

fn missing(what: &str) -> Error {
    Error::Invalid(format!("a client needs a home directory, or {what} of its own"))
}
