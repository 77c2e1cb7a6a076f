//! Pins: the public key of a version, once verified, for ever.

use crate::file::{self, FileError};
use quorate_types::{
    CodecError, Format, KeyName, KeyRecord, KeyVersion, Part, Reader, SignedOrder, Writer,
    armor::{self, Title},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use thiserror::Error;

/// Why a pin cannot be read or kept.
#[derive(Debug, Error)]
pub enum PinError {
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
    /// A pin file is damaged.
    #[error("{path}: {error}; if you know why, remove the file and the key is pinned anew")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        error: CodecError,
    },
}

/// A version's public key and the newest record that proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// `Y`, encoded.
    pub public: [u8; 32],
    /// The birth certificate. Verified when it was pinned; verified again when it is used.
    pub record: KeyRecord,
    /// The newest retire certificate, if the shares have moved.
    pub newest: Option<KeyRecord>,
}

impl Pin {
    /// The number of the epoch in force when it was pinned.
    pub(crate) fn number(&self) -> u64 {
        self.newest.as_ref().unwrap_or(&self.record).certificate.public.epoch.number
    }
}

impl Part for Pin {
    fn write(&self, w: &mut Writer) {
        self.public.write(w);
        self.record.write(w);
        w.option(self.newest.as_ref());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            public: Part::read(r)?,
            record: Part::read(r)?,
            newest: r.option("newest record")?,
        })
    }
}

impl Format for Pin {
    const KIND: &'static str = "QPIN";
    const VERSION: u16 = 2; // since shares move
}

/// The newest order about how a key is that was seen; or the one that made an alias mean a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatePin {
    /// Verified when it was pinned; verified again when it is used.
    pub(crate) order: SignedOrder,
}

impl Part for StatePin {
    fn write(&self, w: &mut Writer) {
        self.order.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { order: Part::read(r)? })
    }
}

impl Format for StatePin {
    const KIND: &'static str = "QSPN";
}

/// Pins for the life of a process.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    keys: BTreeMap<(KeyName, KeyVersion), Pin>,
    /// By the file name that they would have.
    states: BTreeMap<String, StatePin>,
}

/// Where pins are kept.
#[derive(Debug)]
pub(crate) enum Pins {
    /// For the life of the process.
    Memory(Mutex<Memory>),
    /// In a directory, a file for each.
    Directory(PathBuf),
}

impl Pins {
    pub(crate) fn memory() -> Self {
        Self::Memory(Mutex::default())
    }

    pub(crate) fn get(&self, name: &KeyName, version: KeyVersion) -> Result<Option<Pin>, PinError> {
        match self {
            Self::Memory(pins) => {
                let pins = pins.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(pins.keys.get(&(name.clone(), version)).cloned())
            }
            Self::Directory(dir) => read(&path(dir, name, version)),
        }
    }

    pub(crate) fn put(&self, pin: &Pin) -> Result<(), PinError> {
        let public = &pin.record.certificate.public;
        match self {
            Self::Memory(pins) => {
                let mut pins = pins.lock().unwrap_or_else(PoisonError::into_inner);
                pins.keys.insert((public.key.clone(), public.version), pin.clone());
                Ok(())
            }
            Self::Directory(dir) => {
                file::private_dir(dir)?;
                let text = armor::write(TITLE, pin);
                let path = path(dir, &public.key, public.version);
                Ok(file::replace(&path, text.as_bytes(), 0o644)?)
            }
        }
    }

    /// The newest order about how a key is that was seen.
    pub(crate) fn state(&self, name: &KeyName) -> Result<Option<StatePin>, PinError> {
        self.get_state(&format!("{}@state", file_name(name)))
    }

    pub(crate) fn put_state(&self, name: &KeyName, pin: &StatePin) -> Result<(), PinError> {
        self.keep_state(format!("{}@state", file_name(name)), pin)
    }

    /// The order that made an alias mean a key when it was last used.
    pub(crate) fn alias(&self, alias: &KeyName) -> Result<Option<StatePin>, PinError> {
        self.get_state(&format!("{}@alias", file_name(alias)))
    }

    pub(crate) fn put_alias(&self, alias: &KeyName, pin: &StatePin) -> Result<(), PinError> {
        self.keep_state(format!("{}@alias", file_name(alias)), pin)
    }

    fn get_state(&self, file: &str) -> Result<Option<StatePin>, PinError> {
        match self {
            Self::Memory(pins) => {
                let pins = pins.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(pins.states.get(file).cloned())
            }
            Self::Directory(dir) => read(&dir.join(file)),
        }
    }

    fn keep_state(&self, file: String, pin: &StatePin) -> Result<(), PinError> {
        match self {
            Self::Memory(pins) => {
                let mut pins = pins.lock().unwrap_or_else(PoisonError::into_inner);
                pins.states.insert(file, pin.clone());
                Ok(())
            }
            Self::Directory(dir) => {
                file::private_dir(dir)?;
                let text = armor::write(TITLE, pin);
                Ok(file::replace(&dir.join(file), text.as_bytes(), 0o644)?)
            }
        }
    }

    /// The highest version of a key that is pinned.
    pub(crate) fn newest(&self, name: &KeyName) -> Result<Option<KeyVersion>, PinError> {
        match self {
            Self::Memory(pins) => {
                let pins = pins.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(pins.keys.keys().filter(|(n, _)| n == name).map(|(_, v)| *v).max())
            }
            Self::Directory(dir) => {
                let Ok(entries) = std::fs::read_dir(dir) else { return Ok(None) };
                let prefix = format!("{}@", file_name(name));
                let version = |entry: std::io::Result<std::fs::DirEntry>| {
                    let name = entry.ok()?.file_name().into_string().ok()?;
                    KeyVersion::new(name.strip_prefix(&prefix)?.parse().ok()?)
                };
                Ok(entries.filter_map(version).max())
            }
        }
    }
}

fn read<F: Format>(path: &Path) -> Result<Option<F>, PinError> {
    let Some(text) = file::read(path, MAX_PIN)? else { return Ok(None) };
    armor::read(TITLE, &text)
        .map(Some)
        .map_err(|error| PinError::Format { path: path.to_owned(), error })
}

/// `payroll%2026@1`: `%` stands in no key name.
fn path(dir: &Path, name: &KeyName, version: KeyVersion) -> PathBuf {
    dir.join(format!("{}@{version}", file_name(name)))
}

fn file_name(name: &KeyName) -> String {
    name.as_str().replace('/', "%")
}

const TITLE: Title = Title("QUORATE PIN");
/// Bytes of a pin file that are looked at.
const MAX_PIN: u64 = 1024 * 1024;
