//! A home directory: who somebody is, in which cluster, and what they have pinned.
//!
//! ```text
//! quorate.toml   fingerprint, role, coordinators to use instead of the roster's
//! identity.key   armored identity key, for its owner only (mode 0600)
//! roster.json    the roster chain, armored text
//! pins/          a file for each key version that was ever used
//! ```

use crate::{
    file::{self, FileError},
    pins::{Pin, PinError, Pins},
};
use quorate_crypto::{IdentityKey, envelope::Cost};
use quorate_types::{
    Cluster, CodecError, Endpoint, Fingerprint, KeyFileError, KeyName, KeyVersion, RosterChain,
    RosterError, keyfile,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a home directory is unusable; every text says what to do.
#[derive(Debug, Error)]
pub enum HomeError {
    /// There is none.
    #[error(
        "{0} is no home directory (it has no {CONFIG}); name another with --home, or make one \
         with `quorate client keygen` or `quorate cluster init`"
    )]
    Absent(PathBuf),
    /// There is one already.
    #[error("{0} is a home directory already; nothing was changed")]
    Exists(PathBuf),
    /// A file of it is missing.
    #[error("{path} is missing; {hint}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// Where it comes from.
        hint: &'static str,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Others may read the identity key.
    #[error("{path} may be read by others (mode {mode:03o}); run: chmod 600 {path}")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The configuration does not parse.
    #[error("{path}: {error}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: String,
    },
    /// A file is damaged.
    #[error("{path}: {error}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        error: CodecError,
    },
    /// The roster chain is not of the pinned cluster, or does not verify.
    #[error("{path}: {error}")]
    Roster {
        /// The file.
        path: PathBuf,
        /// Why.
        error: RosterError,
    },
    /// The identity key does not open.
    #[error("{path}: {error}")]
    Identity {
        /// The file.
        path: PathBuf,
        /// Why.
        error: KeyFileError,
    },
}

impl HomeError {
    /// Whether something was found to be false, not only missing.
    pub(crate) fn is_verification(&self) -> bool {
        matches!(self, Self::Roster { .. })
    }
}

/// Whose home it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Uses keys.
    Client,
    /// Signs orders.
    Operator,
}

/// `quorate.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HomeConfig {
    /// The cluster, pinned: 64 hexadecimal digits. Never change it.
    pub fingerprint: String,
    /// "client" or "operator".
    pub role: Role,
    /// The threshold of new keys where a command does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u16>,
    /// Where to find coordinators, instead of the roster's endpoints. Their keys are the
    /// roster's all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coordinators: Vec<CoordinatorAddress>,
}

/// An address of a coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoordinatorAddress {
    /// `host:port`.
    pub endpoint: String,
}

/// What a new home holds.
#[derive(Debug)]
pub struct NewHome<'a> {
    /// Whose.
    pub role: Role,
    /// The cluster, verified against a fingerprint that a person has compared.
    pub cluster: &'a Cluster,
    /// The owner's key.
    pub identity: &'a IdentityKey,
    /// Seals the key.
    pub passphrase: Option<&'a [u8]>,
    /// See [`HomeConfig::threshold`].
    pub threshold: Option<u16>,
    /// See [`HomeConfig::coordinators`].
    pub coordinators: Vec<Endpoint>,
}

/// An opened home directory.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
    config: HomeConfig,
    cluster: Cluster,
}

impl Home {
    /// Makes a home in `dir`, which must not be one yet.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn create(dir: impl Into<PathBuf>, new: &NewHome<'_>) -> Result<Self, HomeError> {
        let dir = dir.into();
        if dir.join(CONFIG).exists() || dir.join(IDENTITY).exists() {
            return Err(HomeError::Exists(dir));
        }
        file::private_dir(&dir)?;
        file::private_dir(&dir.join(PINS))?;
        let config = HomeConfig {
            fingerprint: new.cluster.fingerprint().to_string(),
            role: new.role,
            threshold: new.threshold,
            coordinators: (new.coordinators.iter())
                .map(|e| CoordinatorAddress { endpoint: e.to_string() })
                .collect(),
        };
        write_identity(&dir.join(IDENTITY), new.identity, new.passphrase)?;
        let home = Self { dir, config, cluster: new.cluster.clone() };
        home.write_roster(new.cluster)?;
        // Last: a directory is a home once it has this file.
        file::replace(&home.dir.join(CONFIG), home.config_text().as_bytes(), 0o644)?;
        Ok(home)
    }

    /// Opens a home; verifies its roster chain from the pinned fingerprint.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, HomeError> {
        let dir = dir.into();
        let path = dir.join(CONFIG);
        let Some(text) = file::read(&path, MAX_CONFIG)? else {
            return Err(HomeError::Absent(dir));
        };
        let bad = |error: String| HomeError::Config { path: path.clone(), error };
        let config: HomeConfig =
            toml::from_str(&text).map_err(|e| bad(e.to_string().trim_end().replace('\n', " ")))?;
        let fingerprint: Fingerprint =
            config.fingerprint.parse().map_err(|e| bad(format!("fingerprint: {e}")))?;
        let cluster = read_roster(&dir.join(ROSTER), &fingerprint)?;
        Ok(Self { dir, config, cluster })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &HomeConfig {
        &self.config
    }

    /// What is known of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The endpoints of the configuration, parsed.
    ///
    /// # Errors
    /// [`HomeError::Config`].
    pub fn coordinators(&self) -> Result<Vec<Endpoint>, HomeError> {
        let parse = |c: &CoordinatorAddress| {
            c.endpoint.parse().map_err(|e| HomeError::Config {
                path: self.dir.join(CONFIG),
                error: format!("coordinators: {e}"),
            })
        };
        self.config.coordinators.iter().map(parse).collect()
    }

    /// Whether a passphrase is needed for the identity key.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn is_sealed(&self) -> Result<bool, HomeError> {
        Ok(keyfile::is_sealed(&self.identity_text()?))
    }

    /// The owner's identity key. A file that others may read is refused.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn identity(&self, passphrase: Option<&[u8]>) -> Result<IdentityKey, HomeError> {
        let text = self.identity_text()?;
        keyfile::read(&text, passphrase, &Cost::FLOOR)
            .map_err(|error| HomeError::Identity { path: self.dir.join(IDENTITY), error })
    }

    /// Stores a longer roster chain of the same cluster.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn update_roster(&mut self, cluster: Cluster) -> Result<(), HomeError> {
        self.write_roster(&cluster)?;
        self.cluster = cluster;
        Ok(())
    }

    pub(crate) fn write_roster(&self, cluster: &Cluster) -> Result<(), HomeError> {
        let text = RosterChain(cluster.chain().to_vec()).to_text();
        Ok(file::replace(&self.dir.join(ROSTER), text.as_bytes(), 0o644)?)
    }

    /// What is pinned of a key version here, not verified again.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn pin(&self, name: &KeyName, version: KeyVersion) -> Result<Option<Pin>, PinError> {
        Pins::Directory(self.pins()).get(name, version)
    }

    pub(crate) fn pins(&self) -> PathBuf {
        self.dir.join(PINS)
    }

    fn identity_text(&self) -> Result<Zeroizing<String>, HomeError> {
        let path = self.dir.join(IDENTITY);
        if let Some(mode) = file::open_to_others(&path)? {
            return Err(HomeError::Permissions { path, mode });
        }
        let hint = "it cannot be made again: restore it, or make a new home and have it granted";
        file::read(&path, MAX_IDENTITY)?.ok_or(HomeError::Missing { path, hint })
    }

    fn config_text(&self) -> String {
        let comment =
            "# A Quorate home. `fingerprint` pins the cluster: everything is verified from it.\n";
        let body = toml::to_string(&self.config).expect("strings, a number and a list are TOML");
        format!("{comment}{body}")
    }
}

fn write_identity(
    path: &Path,
    key: &IdentityKey,
    passphrase: Option<&[u8]>,
) -> Result<(), HomeError> {
    let text = match passphrase {
        None => keyfile::plain(key),
        Some(passphrase) => keyfile::sealed(key, passphrase, &Cost::DEFAULT, &mut rand::rng())
            .map(Zeroizing::new)
            .map_err(|error| HomeError::Identity { path: path.to_owned(), error })?,
    };
    Ok(file::replace(path, text.as_bytes(), 0o600)?)
}

fn read_roster(path: &Path, fingerprint: &Fingerprint) -> Result<Cluster, HomeError> {
    let hint = "ask an operator for the cluster's roster file and put it there";
    let text = file::read(path, MAX_ROSTER)?
        .ok_or_else(|| HomeError::Missing { path: path.to_owned(), hint })?;
    let chain = RosterChain::from_text(&text)
        .map_err(|error| HomeError::Format { path: path.to_owned(), error })?;
    Cluster::verify(fingerprint, &chain.0)
        .map_err(|error| HomeError::Roster { path: path.to_owned(), error })
}

const CONFIG: &str = "quorate.toml";
const IDENTITY: &str = "identity.key";
const ROSTER: &str = "roster.json";
const PINS: &str = "pins";

/// Bytes of a file that are looked at.
const MAX_CONFIG: u64 = 64 * 1024;
const MAX_IDENTITY: u64 = 256 * 1024;
const MAX_ROSTER: u64 = quorate_types::armor::MAX_TEXT as u64;
