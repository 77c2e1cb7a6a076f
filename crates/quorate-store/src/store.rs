//! The narrow trait behind which an engine can be changed.

use zeroize::Zeroizing;

use crate::{Batch, StoreError, Tree};

/// A record and its key, as a scan gives them.
pub type Record = (Vec<u8>, Zeroizing<Vec<u8>>);

/// The longest audit entry, in bytes.
pub const MAX_LEAF: usize = quorate_audit::MAX_LEAF;

/// What a node needs of its disk. Every call blocks: call it on a blocking thread.
///
/// After any failed write or sync the store is *poisoned*: each later call answers
/// [`StoreError::Poisoned`], and the process must end with exit code 70.
pub trait Store: Send + Sync {
    /// Makes all changes of the batch, or none; they are durable when this returns. Batches are
    /// totally ordered. What a commit has not made durable yet is not shown to readers.
    ///
    /// # Errors
    /// A limit ([`crate::StoreError::exit_code`] says whose fault), a full disk, or poison.
    fn commit(&self, batch: Batch) -> Result<(), StoreError>;

    /// A record; a sealed one is opened.
    ///
    /// # Errors
    /// Corruption, or poison.
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError>;

    /// At most `limit` records whose keys begin with `prefix` and stand after `after`, by key.
    ///
    /// # Errors
    /// Corruption, or poison.
    fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Appends entries to the audit log, next to one another, durable when this returns; gives the
    /// index of the first. One sync serves all who wait.
    ///
    /// # Errors
    /// An entry above [`MAX_LEAF`], a full disk, or poison.
    fn audit_append_many(&self, leaves: Vec<Vec<u8>>) -> Result<u64, StoreError>;

    /// Appends one entry to the audit log; see [`Store::audit_append_many`].
    ///
    /// # Errors
    /// As there.
    fn audit_append(&self, leaf: Vec<u8>) -> Result<u64, StoreError> {
        self.audit_append_many(vec![leaf])
    }

    /// At most `limit` durable audit entries from index `from` on, with their indices.
    ///
    /// # Errors
    /// Corruption, or poison.
    fn audit_read(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// Length and head of the durable audit log.
    fn audit_head(&self) -> (u64, [u8; 32]);

    /// Sequence number and hash of the newest durable manifest: what peers remember of this node,
    /// and compare with when it comes back.
    fn manifest_head(&self) -> (u64, [u8; 32]);

    /// Whether a write has failed: the process must end.
    fn poisoned(&self) -> bool;

    /// Head-room on the disk.
    fn space(&self) -> Space;
}

/// Head-room on the disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Free for this process.
    pub free: u64,
    /// Below this no ceremony should start.
    pub soft: u64,
    /// Below this the store refuses every write.
    pub hard: u64,
}

impl Space {
    /// Whether there is room for a ceremony.
    #[must_use]
    pub fn allows_ceremonies(&self) -> bool {
        self.free >= self.soft
    }

    /// Whether there is room for any write.
    #[must_use]
    pub fn allows_writes(&self) -> bool {
        self.free >= self.hard
    }
}
