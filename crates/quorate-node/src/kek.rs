//! The key-encryption key, and the identity key under it.

use crate::{
    config::KekSource,
    home::{self, HomeError},
};
use quorate_crypto::{
    IdentityKey,
    envelope::{self, Cost, EnvelopeError},
};
use quorate_store::{Kek, StoreError};
use quorate_types::{
    CodecError,
    armor::{self, Title},
    keyfile::{self, KeyFileError},
};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use std::{
    env,
    path::{Path, PathBuf},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why the key-encryption key or the identity cannot be had.
#[derive(Debug, Error)]
pub enum KekError {
    /// The key's file.
    #[error(transparent)]
    File(#[from] StoreError),
    /// The passphrase's or the identity's file.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Not started by systemd with this credential.
    #[error(
        "credential {0} cannot be had: $CREDENTIALS_DIRECTORY is not set (LoadCredential= in the \
         systemd unit) or the name is no plain file name"
    )]
    Credential(String),
    /// Nothing to harden.
    #[error("{0}: the passphrase must have {MIN_PASSPHRASE} bytes at least")]
    Passphrase(PathBuf),
    /// The identity's file is damaged.
    #[error("{path}: {error}")]
    Armor {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: CodecError,
    },
    /// The identity does not open under this KEK.
    #[error("{path}: {error}")]
    Envelope {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: EnvelopeError,
    },
    /// What was sealed is no identity.
    #[error("{path}: {error}")]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: KeyFileError,
    },
}

/// The shortest passphrase, in bytes.
pub const MIN_PASSPHRASE: usize = 12;
/// The longest passphrase, in bytes.
const MAX_PASSPHRASE: u64 = 4096;
/// Largest identity file: an envelope in base64.
const MAX_IDENTITY: u64 = 16 * 1024;

/// Whether a node has ever had a store. It stands in the identity's own file, bound by its
/// seal: a node that has kept nothing but its identity still knows that it was a member,
/// and does not begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    /// `init` has made the identity; no store was ever made.
    New,
    /// The node has joined its cluster.
    Joined,
}

impl Membership {
    /// What the envelope holds; bound by its seal.
    const fn context(self) -> &'static [u8] {
        match self {
            Self::New => b"quorate node identity key, of a node that has not joined",
            Self::Joined => b"quorate node identity key",
        }
    }
}

/// Fetches the key-encryption key.
///
/// # Errors
/// [`KekError`].
pub fn load(source: &KekSource) -> Result<Kek, KekError> {
    match source {
        KekSource::File(path) => Ok(Kek::from_file(path)?),
        KekSource::Credential(name) => Ok(Kek::from_file(&credential(name)?)?),
        KekSource::PassphraseFile(path) => {
            let mut text = home::read_secret(path, MAX_PASSPHRASE)?;
            while text.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
                text.pop();
            }
            if text.len() < MIN_PASSPHRASE {
                return Err(KekError::Passphrase(path.clone()));
            }
            Ok(Kek::from_passphrase(text))
        }
    }
}

fn credential(name: &str) -> Result<PathBuf, KekError> {
    let plain = Path::new(name).file_name().is_some_and(|n| n == name);
    match env::var_os("CREDENTIALS_DIRECTORY") {
        Some(dir) if plain => Ok(Path::new(&dir).join(name)),
        _ => Err(KekError::Credential(name.to_owned())),
    }
}

/// Seals an identity under the KEK, as armored text.
pub(crate) fn seal_identity(
    identity: &IdentityKey,
    kek: &Kek,
    cost: &Cost,
    membership: Membership,
) -> Result<String, EnvelopeError> {
    let (secret, mut rng) = (keyfile::plain_bytes(identity), UnwrapErr(SysRng));
    let context = membership.context();
    let sealed = match kek {
        Kek::Key(key) => envelope::seal_with_key(key, context, &secret, &mut rng)?,
        Kek::Passphrase(p) => envelope::seal_with_passphrase(p, context, &secret, cost, &mut rng)?,
    };
    Ok(armor::encode(Title::SEALED_IDENTITY, &sealed))
}

/// Notes in an identity's file that its node has joined, durable when this returns. A crash
/// leaves the file as it was or as it will be.
pub(crate) fn note_joined(path: &Path, identity: &IdentityKey, kek: &Kek) -> Result<(), KekError> {
    let sealed = seal_identity(identity, kek, &Cost::DEFAULT, Membership::Joined)
        .map_err(|error| KekError::Envelope { path: path.to_owned(), error })?;
    Ok(home::replace(path, sealed.as_bytes(), 0o600)?)
}

/// Opens the identity in a file.
///
/// # Errors
/// [`KekError`].
pub fn open_identity(path: &Path, kek: &Kek) -> Result<IdentityKey, KekError> {
    open(path, kek).map(|(identity, _)| identity)
}

/// Opens the identity in a file, with what it says of its node.
pub(crate) fn open(path: &Path, kek: &Kek) -> Result<(IdentityKey, Membership), KekError> {
    let text = home::read_text(path, MAX_IDENTITY)?;
    let sealed = armor::decode(Title::SEALED_IDENTITY, &text)
        .map_err(|error| KekError::Armor { path: path.to_owned(), error })?;
    let opened = |membership: Membership| match kek {
        Kek::Key(key) => envelope::open_with_key(key, membership.context(), &sealed),
        Kek::Passphrase(p) => {
            envelope::open_with_passphrase(p, membership.context(), &sealed, &Cost::FLOOR)
        }
    };
    let (secret, membership): (Zeroizing<Vec<u8>>, _) = match opened(Membership::Joined) {
        Ok(secret) => (secret, Membership::Joined),
        Err(error) => match opened(Membership::New) {
            Ok(secret) => (secret, Membership::New),
            Err(_) => return Err(KekError::Envelope { path: path.to_owned(), error }),
        },
    };
    let plain = Zeroizing::new(armor::encode(Title::IDENTITY, &secret));
    keyfile::read(&plain, None, &Cost::FLOOR)
        .map(|identity| (identity, membership))
        .map_err(|error| KekError::Identity { path: path.to_owned(), error })
}
