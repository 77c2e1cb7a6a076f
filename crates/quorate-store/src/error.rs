//! Everything a store can refuse, by whose fault it is.

use std::path::PathBuf;

use crate::{
    EpochId, Tree,
    batch::{MAX_BATCH_BYTES, MAX_CHANGES, MAX_EPOCH_ID, MAX_KEY, MAX_VALUE},
};

/// Why a store call, or opening a store, is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    // The caller's fault: nothing was written.
    /// A record key out of range.
    #[error("a key in {tree} must have 1 to {MAX_KEY} bytes, got {got}")]
    KeyLength {
        /// The tree.
        tree: Tree,
        /// The length.
        got: usize,
    },
    /// A record too long.
    #[error("a record in {tree} must have at most {MAX_VALUE} bytes, got {got}")]
    ValueLength {
        /// The tree.
        tree: Tree,
        /// The length.
        got: usize,
    },
    /// An epoch id out of range.
    #[error("an epoch id must have 1 to {MAX_EPOCH_ID} bytes, got {got}")]
    EpochIdLength {
        /// The length.
        got: usize,
    },
    /// Too many changes.
    #[error("a batch must have at most {MAX_CHANGES} changes, got {got}: split the step")]
    BatchLength {
        /// The number.
        got: usize,
    },
    /// Too many bytes.
    #[error("a batch must have at most {MAX_BATCH_BYTES} bytes, got {got}: split the step")]
    BatchBytes {
        /// The number.
        got: usize,
    },
    /// A batch that seals under an epoch that it has just erased.
    #[error("a batch must not seal under epoch {epoch} after erasing it")]
    SealsErased {
        /// The epoch.
        epoch: EpochId,
    },
    /// An audit entry too long, or too many of them at once.
    #[error("audit: {0}")]
    Leaf(quorate_audit::AuditError),

    // The operator's to mend: nothing was written.
    /// No room left.
    #[error(
        "the disk is full: {free} bytes are free, a write needs {hard} to be left: make room, nothing was lost"
    )]
    Full {
        /// Bytes free.
        free: u64,
        /// Bytes that must be left.
        hard: u64,
    },
    /// The directory is missing or empty though the node is known.
    #[error(
        "there is no store at {path}, but this node has an identity: a node never starts over by itself; put the directory back, or repair the node from its peers"
    )]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds something already.
    #[error(
        "a store is only made in a new or empty directory, and {path} is not empty: open it, or name another"
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// Another process holds the store.
    #[error("the store at {path} is in use by another process: stop that process first")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Another node's store.
    #[error(
        "the store at {path} belongs to node {got}, this is node {expected}: check the configured store directory"
    )]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// This node.
        expected: u16,
        /// The store's node.
        got: u16,
    },
    /// Another cluster's store.
    #[error(
        "the store at {path} belongs to another cluster (fingerprint {got}…, expected {expected}…): check the configured store directory and roster"
    )]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// First bytes of this cluster's fingerprint, hex.
        expected: String,
        /// First bytes of the store's, hex.
        got: String,
    },
    /// The same node under another identity key.
    #[error(
        "the store at {path} was made under another identity key ({got}…, this is {expected}…): check identity.key and the store directory"
    )]
    OtherIdentity {
        /// The directory.
        path: PathBuf,
        /// First bytes of this identity key, hex.
        expected: String,
        /// First bytes of the store's, hex.
        got: String,
    },
    /// Another format.
    #[error(
        "the store at {path} has format {got}, this program reads format {expected}: use the release that wrote it"
    )]
    OtherFormat {
        /// The directory, or the file in it.
        path: PathBuf,
        /// The version that this program reads.
        expected: u16,
        /// The store's.
        got: u16,
    },
    /// The key-encryption key does not open the key file.
    #[error(
        "the key-encryption key does not open {path}: it is intact, but sealed under another {source_name}: give the right one"
    )]
    WrongKek {
        /// The key file.
        path: PathBuf,
        /// `key` or `passphrase`.
        source_name: &'static str,
    },
    /// The store was made with the other kind of key-encryption key.
    #[error("the store at {path} was made with a {expected}, but a {got} was given")]
    KekKind {
        /// The directory.
        path: PathBuf,
        /// What it was made with.
        expected: &'static str,
        /// What was given.
        got: &'static str,
    },
    /// The KEK's file cannot be used.
    #[error("the key-encryption key file {path}: {rule}")]
    KekFile {
        /// The file.
        path: PathBuf,
        /// What must hold.
        rule: String,
    },

    // The disk's fault.
    /// What is on disk is not what was written.
    #[error(
        "{path}: {what}: the store is corrupt and this node must not start; keep the directory, and repair the node from its peers"
    )]
    Corrupt {
        /// The file (or the engine's directory).
        path: PathBuf,
        /// What is wrong with which record.
        what: String,
    },
    /// The disk could not be read.
    #[error("{path}: cannot {action}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The operating system's words.
        error: String,
    },
    /// A write, sync or rename failed, now or before: this process must not touch the store again.
    #[error(
        "a write to the store failed ({cause}): nothing can be said about what is on disk until a restart; this process must end"
    )]
    Poisoned {
        /// The first failure.
        cause: String,
    },
}

impl StoreError {
    /// The process's exit code if it ends because of this: 65 corrupt, 70 poisoned, 78 misuse or
    /// configuration, 74 unreadable disk.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Corrupt { .. } => 65,
            Self::Poisoned { .. } => 70,
            Self::Io { .. } => 74,
            _ => 78,
        }
    }

    /// Whether the same call may succeed later without a restart.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    pub(crate) fn corrupt(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), what: what.into() }
    }
}
