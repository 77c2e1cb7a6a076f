//! The key-encryption key: what must be given from outside before a store opens.

use argon2::{Algorithm, Argon2, Params, Version};
use quorate_crypto::{SecretBytes, hash::Label};
use std::{
    fmt, fs,
    fs::File,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};
use zeroize::Zeroizing;

use crate::{StoreError, seal};

/// Where the KEK comes from. It is given anew at each start, and is never on the store's disk.
#[derive(Clone)]
pub enum Kek {
    /// A 32-byte key: from a file, from systemd credentials, from a KMS.
    Key(SecretBytes<32>),
    /// A passphrase, stretched with Argon2id under a salt that the store keeps.
    Passphrase(Zeroizing<Vec<u8>>),
}

impl Kek {
    /// A key that the caller fetched.
    #[must_use]
    pub fn from_bytes(key: SecretBytes<32>) -> Self {
        Self::Key(key)
    }

    /// A passphrase, as typed.
    #[must_use]
    pub fn from_passphrase(passphrase: impl Into<Zeroizing<Vec<u8>>>) -> Self {
        Self::Passphrase(passphrase.into())
    }

    /// Reads 32 bytes from a file that only its owner may read (mode 0400 or 0600).
    ///
    /// # Errors
    /// [`StoreError::KekFile`], with the rule that does not hold.
    pub fn from_file(path: &Path) -> Result<Self, StoreError> {
        let refuse = |rule: String| StoreError::KekFile { path: path.to_owned(), rule };
        let mut file = File::open(path).map_err(|e| refuse(format!("cannot open: {e}")))?;
        let meta = file.metadata().map_err(|e| refuse(format!("cannot look at: {e}")))?;
        let mode = meta.mode() & 0o7777;
        if !meta.is_file() || (mode != 0o400 && mode != 0o600) {
            let rule =
                format!("must be a file of mode 0400 or 0600, got {mode:04o}: chmod 0400 it");
            return Err(refuse(rule));
        }
        if meta.len() != 32 {
            return Err(refuse(format!("must have exactly 32 bytes, got {}", meta.len())));
        }
        let mut key = Zeroizing::new([0; 32]);
        file.read_exact(&mut key[..]).map_err(|e| refuse(format!("cannot read: {e}")))?;
        Ok(Self::Key(SecretBytes::new(*key)))
    }

    /// Makes a file with a fresh key, mode 0400, durable when it returns; never over an old one.
    ///
    /// # Errors
    /// [`StoreError::KekFile`] if the file is there or cannot be written.
    pub fn generate_file(path: &Path) -> Result<Self, StoreError> {
        let refuse = |e: std::io::Error| StoreError::KekFile {
            path: path.to_owned(),
            rule: format!("cannot make it: {e}"),
        };
        let key = seal::random();
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o400);
        let mut file = options.open(path).map_err(refuse)?;
        file.write_all(key.expose()).and_then(|()| file.sync_all()).map_err(refuse)?;
        let dir = fs::canonicalize(path).ok().and_then(|p| p.parent().map(Path::to_owned));
        if let Some(dir) = dir {
            File::open(dir).and_then(|d| d.sync_all()).map_err(refuse)?;
        }
        Ok(Self::Key(key))
    }

    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Passphrase(_) => "passphrase",
        }
    }

    /// The key that wraps the root key, or `None` if the store was made with the other kind.
    pub(crate) fn wrapping_key(
        &self,
        cluster: &[u8; 32],
        stretch: Option<&Stretch>,
    ) -> Option<SecretBytes<32>> {
        let key = match (self, stretch) {
            (Self::Key(key), None) => key.clone(),
            (Self::Passphrase(passphrase), Some(stretch)) => stretch.run(passphrase),
            _ => return None,
        };
        let mut out = Zeroizing::new([0; 32]);
        hkdf::Hkdf::<sha2::Sha256>::new(Some(cluster), key.expose())
            .expand(Label::STORE_WRAP.as_bytes(), &mut out[..])
            .expect("HKDF gives up to 255 blocks, 32 bytes are one");
        Some(SecretBytes::new(*out))
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kek({}, [redacted])", self.kind())
    }
}

/// Argon2id with its salt and costs, as the store keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
    pub(crate) salt: [u8; 16],
}

impl Stretch {
    /// RFC 9106's second recommendation, with one lane: 64 MiB, 3 passes.
    pub(crate) fn fresh() -> Self {
        Self { memory_kib: 64 << 10, passes: 3, lanes: 1, salt: *seal::random().expose() }
    }

    /// Whether the costs, read from a disk, are such that a start neither is cheap to guess nor
    /// takes all memory.
    pub(crate) fn is_sane(&self) -> bool {
        (8 << 10..=1 << 20).contains(&self.memory_kib)
            && (1..=16).contains(&self.passes)
            && (1..=8).contains(&self.lanes)
    }

    fn run(&self, passphrase: &[u8]) -> SecretBytes<32> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .expect("the costs were checked when they were read");
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, &self.salt, &mut key[..])
            .expect("a salt of 16 and an output of 32 bytes are within Argon2's limits");
        SecretBytes::new(*key)
    }
}
