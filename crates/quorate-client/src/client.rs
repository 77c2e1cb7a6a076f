//! The client: keys that it verified, and decryption by quorum.

use crate::{
    answers::AnswerBook,
    asking::{Asking, Failed, Work},
    builder::ClientBuilder,
    error::Error,
    home::Home,
    key::Key,
    pins::Pins,
    sign::NoncePool,
    transport::Transport,
};
use quorate_crypto::{IdentityKey, PublicKey};
use quorate_types::{Cluster, KeyName, KeyVersion, Millis};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A client of one cluster. Cheap to clone; all clones share keys, sessions and
/// connections.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

/// What the clones of a client share.
pub(crate) struct Inner {
    pub(crate) identity: IdentityKey,
    pub(crate) cluster: RwLock<Arc<Cluster>>,
    pub(crate) home: Option<Home>,
    pub(crate) transports: Vec<Arc<dyn Transport>>,
    /// The transport that did its work last.
    pub(crate) preferred: AtomicUsize,
    pub(crate) roster_asked: AtomicBool,
    pub(crate) keys: Mutex<HashMap<(KeyName, KeyVersion), Key>>,
    pub(crate) pins: Pins,
    pub(crate) answers: AnswerBook,
    pub(crate) nonces: NoncePool,
    pub(crate) timeout: Duration,
    pub(crate) clock: fn() -> Millis,
}

impl Client {
    /// The client of a home directory, through its cluster's coordinators. Opens no
    /// connection yet. For a sealed identity key or other wishes: [`Client::builder`].
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Home`] says what the home lacks.
    pub fn open(home: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::builder().home(home).build()
    }

    /// A client with wishes.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Who the nodes see.
    #[must_use]
    pub fn identity(&self) -> PublicKey {
        self.0.identity.public()
    }

    /// What is known of the cluster.
    #[must_use]
    pub fn cluster(&self) -> Arc<Cluster> {
        self.0.cluster()
    }

    /// The newest version of a key, by its name or an alias, verified and pinned. If nobody can be reached, the
    /// newest pinned version: encryption needs nobody.
    ///
    /// # Errors
    /// [`Error::Verification`] names who brought a record that does not verify, or that is
    /// not the pinned key's. [`Error::UnknownKey`].
    pub async fn key(&self, name: &str) -> Result<Key, Error> {
        let name = key_name(name)?;
        match self.0.newest_key(&name, false).await {
            Err(error @ Error::UnknownKey { .. }) if self.0.pins.newest(&name)?.is_none() => {
                match self.0.resolve(&name).await? {
                    Some(key) => self.0.newest_key(&key, false).await,
                    None => Err(error),
                }
            }
            Err(error @ Error::Party { .. }) if error.is_elsewhere() => {
                let mut name = name;
                if let Some(key) = self.0.pinned_alias(&name)? {
                    name = key;
                }
                match self.0.pins.newest(&name)? {
                    Some(version) => self.0.pinned_key(&name, version)?.ok_or(error),
                    None => Err(error),
                }
            }
            other => other,
        }
    }

    /// One version of a key: as pinned, else fetched, verified and pinned.
    ///
    /// # Errors
    /// As [`Client::key`].
    pub async fn key_version(&self, name: &str, version: KeyVersion) -> Result<Key, Error> {
        let name = key_name(name)?;
        match self.0.key_version(&name, version).await {
            Err(error @ Error::UnknownKey { .. }) if self.0.pins.newest(&name)?.is_none() => {
                match self.0.resolve(&name).await? {
                    Some(key) => self.0.key_version(&key, version).await,
                    None => Err(error),
                }
            }
            other => other,
        }
    }

    /// All versions of a key that are born, ascending, up to this one: as pinned, else fetched.
    ///
    /// # Errors
    /// As [`Client::key`].
    pub async fn versions(&self, newest: &Key) -> Result<Vec<Key>, Error> {
        let mut versions = Vec::new();
        for version in (1..newest.version().get()).filter_map(KeyVersion::new) {
            match self.0.key_version(newest.name(), version).await {
                Ok(key) => versions.push(key),
                // Its birth failed for good, and the next one took its place.
                Err(Error::UnknownKey { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        versions.push(newest.clone());
        Ok(versions)
    }

    /// Fetches the roster chain, and keeps it if it is longer than what is known. Done by
    /// itself before the first key is fetched.
    ///
    /// # Errors
    /// [`Error::Verification`] if somebody brings another chain.
    pub async fn refresh_roster(&self) -> Result<(), Error> {
        self.0.refresh_roster().await
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("identity", &self.identity()).finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Transports, the preferred one first.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (usize, &Arc<dyn Transport>)> {
        let count = self.transports.len();
        let first = self.preferred.load(Ordering::Relaxed);
        (0..count).map(move |i| (first + i) % count).map(|i| (i, &self.transports[i]))
    }

    /// Has a quorum of a key's nodes do some work. Goes on to another coordinator if one fails
    /// or cheats.
    pub(crate) async fn work<W: Work>(&self, key: &Key, work: &W) -> Result<W::Done, Failed> {
        let mut worst: Option<Error> = None;
        for (i, transport) in self.in_order() {
            match self.work_through(transport.as_ref(), key, work).await {
                Ok(done) => {
                    self.preferred.store(i, Ordering::Relaxed);
                    return Ok(done);
                }
                Err(Failed::Error(error) | Failed::Moved(error)) if error.is_elsewhere() => {
                    tracing::debug!(%error, "trying elsewhere");
                    worst = Some(heavier(worst, error));
                }
                Err(failed) => return Err(failed),
            }
        }
        Err(worst.unwrap_or_else(nobody).into())
    }

    /// One coordinator. If the shares have moved since the key was pinned, the newer record
    /// is fetched and the same asked again, in the same call.
    async fn work_through<W: Work>(
        &self,
        transport: &dyn Transport,
        key: &Key,
        work: &W,
    ) -> Result<W::Done, Failed> {
        let mut key = key.clone();
        for _ in 0..MAX_MOVES {
            let cluster = self.cluster();
            let asking = Asking::new(self, &cluster, transport, &key, work);
            let error = match work.attempt(asking).await {
                Err(Failed::Moved(error)) => error,
                other => return other,
            };
            let newer = self.moved_key(transport, &key).await?;
            if newer.public().epoch == key.public().epoch {
                return Err(error.into());
            }
            tracing::debug!(epoch = newer.public().epoch.number, "the shares have moved");
            key = newer;
        }
        Err(Error::Invalid("the shares of the key keep moving; try again".into()).into())
    }
}

/// How often a call follows shares that move meanwhile.
const MAX_MOVES: usize = 4;

/// Of two failures the one that tells more.
pub(crate) fn heavier(worst: Option<Error>, error: Error) -> Error {
    match worst {
        Some(worst) if worst.weight() >= error.weight() => worst,
        _ => error,
    }
}

pub(crate) fn nobody() -> Error {
    Error::Invalid("no coordinator is known: the roster names none".into())
}

pub(crate) fn key_name(name: &str) -> Result<KeyName, Error> {
    name.parse().map_err(|e: quorate_types::NameError| Error::Invalid(e.to_string()))
}
