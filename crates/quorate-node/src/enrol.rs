//! A node joins its cluster, once: it makes its store, notes so in its identity's file, and
//! pins the fingerprint.
//!
//! The note lies in the file without which the node is nobody. A node whose identity says
//! that it has joined, and that has no store, has lost it: it must not start over, whatever
//! else is gone (`quorate-store` refuses).

use crate::{
    config::Config,
    home::{self, HomeError},
    kek::{self, KekError, Membership},
};
use quorate_crypto::IdentityKey;
use quorate_store::{Kek, Limits, OnPoison, Opening, SledStore, StoreError};
use quorate_types::{
    Cluster, CodecError, Fingerprint, NameError, NodeEntry, RosterChain, RosterError,
};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The name of the pin in a home.
pub const PIN: &str = "fingerprint";
/// Largest roster file: what its armor takes.
const MAX_ROSTER: u64 = quorate_types::armor::MAX_TEXT as u64;

/// Why a node does not find its cluster.
#[derive(Debug, Error)]
pub enum EnrolError {
    /// The key-encryption key or the identity.
    #[error(transparent)]
    Kek(#[from] KekError),
    /// Roster or pin cannot be read or written.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The roster's file is damaged.
    #[error("{path}: {error}")]
    Codec {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: CodecError,
    },
    /// The roster is refused.
    #[error("{path}: {error}")]
    Roster {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: RosterError,
    },
    /// The pin is damaged.
    #[error("{path}: {error}")]
    Pin {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: NameError,
    },
    /// Another cluster than the one that a person named.
    #[error("the roster's fingerprint is {got}, expected {expected}: this is another cluster")]
    Fingerprint {
        /// What was named.
        expected: Fingerprint,
        /// The roster's.
        got: Fingerprint,
    },
    /// The roster does not have this node.
    #[error(
        "the newest roster has no node with this identity ({0}…): give the operators this node's \
         public part (quorate-node init), or take their newest roster"
    )]
    NotInRoster(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A node in its cluster.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) cluster: Cluster,
    pub(crate) me: NodeEntry,
}

/// Reads the roster chain and verifies it: from the pin if the node has one, else on trust.
pub(crate) fn find_place(
    config: &Config,
    home: &Path,
    identity: &IdentityKey,
    membership: Membership,
) -> Result<Place, EnrolError> {
    let path = &config.roster;
    let text = home::read_text(path, MAX_ROSTER)?;
    let chain = RosterChain::from_text(&text)
        .map_err(|error| EnrolError::Codec { path: path.clone(), error })?;
    let cluster = match pin(home)? {
        Some(fingerprint) => Cluster::verify(&fingerprint, &chain.0),
        None => Cluster::from_genesis(&chain.0),
    }
    .map_err(|error| EnrolError::Roster { path: path.clone(), error })?;
    let public = identity.public();
    // One that has left the roster still hears what it has to erase.
    let me = match membership {
        Membership::New => cluster.roster().node_by_identity(&public),
        Membership::Joined => cluster.entry_of(&public),
    };
    let me = me.cloned();
    let me = me.ok_or_else(|| EnrolError::NotInRoster(public.to_string()[..16].to_owned()))?;
    Ok(Place { cluster, me })
}

/// Opens the node's store. On the first start makes it, notes that the node has joined, and
/// pins the cluster.
pub(crate) fn open_store(
    config: &Config,
    home: &Path,
    place: &Place,
    identity: &IdentityKey,
    membership: Membership,
    kek: Kek,
    on_poison: Option<OnPoison>,
) -> Result<SledStore, EnrolError> {
    let again = kek.clone();
    let opening = Opening {
        node: place.me.index,
        cluster: *place.cluster.fingerprint().as_bytes(),
        identity: identity.clone(),
        kek,
        limits: Limits::default(),
        on_poison,
    };
    let pinned = pin(home)?.is_some();
    let new = membership == Membership::New;
    // A crash after the store was made leaves one of a node that has not joined: no share has
    // come into it yet, and it is opened.
    let store = if new && !pinned && is_missing_or_empty(&config.store) {
        SledStore::create(&config.store, opening)?
    } else {
        SledStore::open(&config.store, opening)?
    };
    // A crash here: the node has a store and is still new. The next start finds both so.
    if new {
        kek::note_joined(&config.identity, identity, &again)?;
    }
    // A crash here: it has joined and pins at the next start; the store knows its cluster.
    if !pinned {
        let fingerprint = format!("{}\n", place.cluster.fingerprint());
        home::write_new(&home.join(PIN), fingerprint.as_bytes(), 0o644)?;
        tracing::info!(fingerprint = %place.cluster.fingerprint(), "joined the cluster");
    }
    Ok(store)
}

/// Joins a node to its cluster without starting it; `expected` is what a person read out.
/// [`crate::Node::start`] does the same at the first start, on trust in the roster file.
///
/// # Errors
/// [`EnrolError`].
pub fn enrol(
    home: &Path,
    config: &Config,
    expected: Option<&Fingerprint>,
) -> Result<Fingerprint, EnrolError> {
    let kek = kek::load(&config.kek)?;
    let (identity, membership) = kek::open(&config.identity, &kek)?;
    let place = find_place(config, home, &identity, membership)?;
    let got = *place.cluster.fingerprint();
    if let Some(expected) = expected.filter(|e| **e != got) {
        return Err(EnrolError::Fingerprint { expected: *expected, got });
    }
    open_store(config, home, &place, &identity, membership, kek, None)?.close()?;
    Ok(got)
}

fn pin(home: &Path) -> Result<Option<Fingerprint>, EnrolError> {
    let path = home.join(PIN);
    if home::must_be_free(&path).is_ok() {
        return Ok(None);
    }
    let text = home::read_text(&path, 256)?;
    text.trim().parse().map(Some).map_err(|error| EnrolError::Pin { path, error })
}

fn is_missing_or_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}
