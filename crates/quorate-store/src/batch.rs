//! What one durable step changes.

use std::fmt;
use zeroize::Zeroizing;

use crate::StoreError;

/// The longest record key, in bytes: 256 of them fit one index page of sled without a blob file.
pub const MAX_KEY: usize = 256;

/// The longest record, in bytes: a bundle of 64 dealings to 64 receivers stays below it.
pub const MAX_VALUE: usize = 4 << 20;

/// The longest [`EpochId`], in bytes.
pub const MAX_EPOCH_ID: usize = 96;

/// The most changes in one batch.
pub const MAX_CHANGES: usize = 4096;

/// The most bytes (keys and values) in one batch.
pub const MAX_BATCH_BYTES: usize = 16 << 20;

/// A room of the store. Keys of different trees never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Tree {
    /// Sealed secrets: shares, dealings' secrets, ceremony keys.
    Secrets = 1,
    /// Public records of keys, versions, epochs and attempts.
    Records = 2,
    /// Orders, rosters and votes.
    Orders = 3,
    /// What the node keeps about itself.
    Meta = 4,
}

impl Tree {
    /// Every tree, by number.
    pub const ALL: [Self; 4] = [Self::Secrets, Self::Records, Self::Orders, Self::Meta];

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as u8 == byte)
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secrets => "secrets",
            Self::Records => "records",
            Self::Orders => "orders",
            Self::Meta => "meta",
        })
    }
}

/// Names a set of sealed records that are erased together: made by the caller when a ceremony
/// starts, from key, version, epoch and attempt. Opaque here, 1 to [`MAX_EPOCH_ID`] bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochId(Box<[u8]>);

impl EpochId {
    /// # Errors
    /// [`StoreError::EpochIdLength`] unless it has 1 to [`MAX_EPOCH_ID`] bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, StoreError> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > MAX_EPOCH_ID {
            return Err(StoreError::EpochIdLength { got: bytes.len() });
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for EpochId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for EpochId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochId({self})")
    }
}

/// One change. Values are wiped on drop, because a sealed one is secret.
pub(crate) enum Change {
    Put { tree: Tree, key: Vec<u8>, value: Zeroizing<Vec<u8>> },
    Seal { tree: Tree, key: Vec<u8>, epoch: EpochId, value: Zeroizing<Vec<u8>> },
    Delete { tree: Tree, key: Vec<u8> },
    Erase { epoch: EpochId },
}

/// Changes that happen together or not at all, in the order in which they were added.
#[derive(Default)]
pub struct Batch {
    changes: Vec<Change>,
}

impl Batch {
    /// A batch that changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a public record. It is stored in the clear.
    #[must_use]
    pub fn put(mut self, tree: Tree, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        let value = Zeroizing::new(value.into());
        self.changes.push(Change::Put { tree, key: key.into(), value });
        self
    }

    /// Sets a secret record, sealed under the epoch's own key. The first record of an epoch makes
    /// that key.
    #[must_use]
    pub fn seal(
        mut self,
        tree: Tree,
        key: impl Into<Vec<u8>>,
        epoch: &EpochId,
        value: impl Into<Zeroizing<Vec<u8>>>,
    ) -> Self {
        let (key, epoch) = (key.into(), epoch.clone());
        self.changes.push(Change::Seal { tree, key, epoch, value: value.into() });
        self
    }

    /// Removes a record; nothing happens if there is none. A sealed record's bytes may stay on the
    /// medium until its epoch is erased.
    #[must_use]
    pub fn delete(mut self, tree: Tree, key: impl Into<Vec<u8>>) -> Self {
        self.changes.push(Change::Delete { tree, key: key.into() });
        self
    }

    /// Removes every record sealed under the epoch, then the epoch's key: when the commit returns,
    /// no copy of these records on this disk can be opened any more, not even with the KEK (but
    /// see `docs/protocol/store.md` on what a medium forgets). The same batch must not seal under
    /// this epoch afterwards.
    #[must_use]
    pub fn erase_epoch(mut self, epoch: &EpochId) -> Self {
        self.changes.push(Change::Erase { epoch: epoch.clone() });
        self
    }

    /// Appends another batch's changes.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.changes.extend(other.changes);
        self
    }

    /// The number of changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }

    pub(crate) fn erases(&self, wanted: &EpochId) -> bool {
        self.changes.iter().any(|c| matches!(c, Change::Erase { epoch } if epoch == wanted))
    }

    pub(crate) fn seals_under(&self) -> impl Iterator<Item = &EpochId> {
        self.changes.iter().filter_map(|c| match c {
            Change::Seal { epoch, .. } => Some(epoch),
            _ => None,
        })
    }

    /// Bytes of keys and values.
    pub(crate) fn weight(&self) -> usize {
        let of = |c: &Change| match c {
            Change::Put { key, value, .. } | Change::Seal { key, value, .. } => {
                key.len() + value.len()
            }
            Change::Delete { key, .. } => key.len(),
            Change::Erase { epoch } => epoch.as_bytes().len(),
        };
        self.changes.iter().map(of).sum()
    }

    /// Holds the limits; nothing has been written yet when this refuses.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.len() > MAX_CHANGES {
            return Err(StoreError::BatchLength { got: self.len() });
        }
        let bytes = self.weight();
        if bytes > MAX_BATCH_BYTES {
            return Err(StoreError::BatchBytes { got: bytes });
        }
        let mut erased: Vec<&EpochId> = Vec::new();
        for change in &self.changes {
            match change {
                Change::Put { tree, key, value } => check_record(*tree, key, value)?,
                Change::Seal { tree, key, value, epoch } => {
                    check_record(*tree, key, value)?;
                    if erased.contains(&epoch) {
                        return Err(StoreError::SealsErased { epoch: epoch.clone() });
                    }
                }
                Change::Delete { tree, key } => check_key(*tree, key)?,
                Change::Erase { epoch } => erased.push(epoch),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} changes, {} bytes)", self.len(), self.weight())
    }
}

pub(crate) fn check_key(tree: Tree, key: &[u8]) -> Result<(), StoreError> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(StoreError::KeyLength { tree, got: key.len() });
    }
    Ok(())
}

fn check_record(tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    check_key(tree, key)?;
    if value.len() > MAX_VALUE {
        return Err(StoreError::ValueLength { tree, got: value.len() });
    }
    Ok(())
}
