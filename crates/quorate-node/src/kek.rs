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
/// What the envelope holds; bound by its seal.
const CONTEXT: &[u8] = b"quorate node identity key";

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
) -> Result<String, EnvelopeError> {
    let (secret, mut rng) = (keyfile::plain_bytes(identity), UnwrapErr(SysRng));
    let sealed = match kek {
        Kek::Key(key) => envelope::seal_with_key(key, CONTEXT, &secret, &mut rng)?,
        Kek::Passphrase(p) => envelope::seal_with_passphrase(p, CONTEXT, &secret, cost, &mut rng)?,
    };
    Ok(armor::encode(Title::SEALED_IDENTITY, &sealed))
}

/// Opens the identity in a file.
///
/// # Errors
/// [`KekError`].
pub fn open_identity(path: &Path, kek: &Kek) -> Result<IdentityKey, KekError> {
    let text = home::read_text(path, MAX_IDENTITY)?;
    let sealed = armor::decode(Title::SEALED_IDENTITY, &text)
        .map_err(|error| KekError::Armor { path: path.to_owned(), error })?;
    let secret: Zeroizing<Vec<u8>> = match kek {
        Kek::Key(key) => envelope::open_with_key(key, CONTEXT, &sealed),
        Kek::Passphrase(p) => envelope::open_with_passphrase(p, CONTEXT, &sealed, &Cost::FLOOR),
    }
    .map_err(|error| KekError::Envelope { path: path.to_owned(), error })?;
    let plain = Zeroizing::new(armor::encode(Title::IDENTITY, &secret));
    keyfile::read(&plain, None, &Cost::FLOOR)
        .map_err(|error| KekError::Identity { path: path.to_owned(), error })
}
