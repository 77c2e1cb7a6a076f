//! Identity keys as files: armored text, plain or under a passphrase.
//!
//! A plain file holds format `QIDN`: the 32-byte seed. A sealed one holds an envelope
//! (`quorate_crypto::envelope`) around those same bytes. Nothing here reads a disk.

use crate::{
    armor::{self, Title},
    codec::{CodecError, Format, Part, Reader, Writer},
};
use quorate_crypto::{
    IdentityKey,
    envelope::{self, Cost, EnvelopeError},
};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// The shortest passphrase that seals, in bytes.
pub const MIN_PASSPHRASE: usize = 8;

/// Why a key file is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyFileError {
    /// No key file, or a damaged one.
    #[error("not a key file: {0}")]
    Codec(#[from] CodecError),
    /// It is sealed and no passphrase was given.
    #[error("the identity key is sealed: a passphrase is needed to open it")]
    PassphraseNeeded,
    /// A passphrase was given that nothing needs: perhaps this is not the file that was meant.
    #[error("the identity key is not sealed, but a passphrase was given; is it the right file?")]
    NotSealed,
    /// Too short to protect anything.
    #[error("a passphrase has at least {MIN_PASSPHRASE} bytes, got {0}")]
    PassphraseShort(usize),
    /// It does not open.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// The text of a plain key file. Wiped on drop; write it for its owner only (mode 0600).
#[must_use]
pub fn plain(key: &IdentityKey) -> Zeroizing<String> {
    Zeroizing::new(armor::encode(Title::IDENTITY, &plain_bytes(key)))
}

/// The text of a key file that opens under `passphrase` only.
///
/// # Errors
/// [`KeyFileError::PassphraseShort`], [`KeyFileError::Envelope`].
pub fn sealed(
    key: &IdentityKey,
    passphrase: &[u8],
    cost: &Cost,
    rng: &mut impl CryptoRng,
) -> Result<String, KeyFileError> {
    if passphrase.len() < MIN_PASSPHRASE {
        return Err(KeyFileError::PassphraseShort(passphrase.len()));
    }
    let bytes = plain_bytes(key);
    let sealed = envelope::seal_with_passphrase(passphrase, CONTEXT, &bytes, cost, rng)?;
    Ok(armor::encode(Title::SEALED_IDENTITY, &sealed))
}

/// Whether a text says that a passphrase opens it.
#[must_use]
pub fn is_sealed(text: &str) -> bool {
    text.trim_start().starts_with(&format!("-----BEGIN {}-----", Title::SEALED_IDENTITY.0))
}

/// Reads a key file of either kind. `floor` is the cheapest hardening of a passphrase that is
/// accepted: [`Cost::FLOOR`] for what people type.
///
/// # Errors
/// [`KeyFileError`].
pub fn read(
    text: &str,
    passphrase: Option<&[u8]>,
    floor: &Cost,
) -> Result<IdentityKey, KeyFileError> {
    let bytes = match (is_sealed(text), passphrase) {
        (true, Some(passphrase)) => {
            let sealed = armor::decode(Title::SEALED_IDENTITY, text)?;
            envelope::open_with_passphrase(passphrase, CONTEXT, &sealed, floor)?
        }
        (true, None) => return Err(KeyFileError::PassphraseNeeded),
        (false, Some(_)) => {
            armor::decode(Title::IDENTITY, text).map(Zeroizing::new)?;
            return Err(KeyFileError::NotSealed);
        }
        (false, None) => Zeroizing::new(armor::decode(Title::IDENTITY, text)?),
    };
    let mut seed = Seed::from_bytes(&bytes)?;
    let key = IdentityKey::from_seed(&seed.0);
    seed.0.zeroize();
    Ok(key)
}

/// The bytes inside a key file: format `QIDN`.
#[must_use]
pub fn plain_bytes(key: &IdentityKey) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Seed(*key.seed()).to_bytes())
}

/// What a sealed file is, bound by its seal.
const CONTEXT: &[u8] = b"quorate identity key";

/// An RFC 8032 seed, on its way between [`IdentityKey`] and a file.
struct Seed([u8; 32]);

impl Drop for Seed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Part for Seed {
    fn write(&self, w: &mut Writer) {
        w.raw(&self.0);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array("identity seed").map(Self)
    }
}

impl Format for Seed {
    const KIND: &'static str = "QIDN";
}
