//! The log's length and head.

use sha2::{Digest, Sha256};
use std::fmt;

/// The longest leaf, in bytes: an audit entry with a client's whole signed head fits.
pub const MAX_LEAF: usize = 64 << 10;

/// The most leaves in one batch.
pub const MAX_BATCH_LEAVES: usize = 1024;

/// The most bytes of leaves in one batch: bounds a frame, and memory while verifying.
pub const MAX_BATCH_BYTES: usize = 1 << 20;

/// Why leaves cannot be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// A batch appends something.
    #[error("a batch must have 1 to {MAX_BATCH_LEAVES} entries, got {got}")]
    Leaves {
        /// The number.
        got: usize,
    },
    /// One leaf is too long.
    #[error("an entry must have at most {MAX_LEAF} bytes, got {got}")]
    Leaf {
        /// The length.
        got: usize,
    },
    /// All leaves together are too long.
    #[error("a batch must have at most {MAX_BATCH_BYTES} bytes, got {got}")]
    Bytes {
        /// The length.
        got: usize,
    },
}

/// Holds the limits of a batch.
///
/// # Errors
/// The limit that is broken.
pub fn check_batch(leaves: &[Vec<u8>]) -> Result<(), AuditError> {
    if leaves.is_empty() || leaves.len() > MAX_BATCH_LEAVES {
        return Err(AuditError::Leaves { got: leaves.len() });
    }
    if let Some(leaf) = leaves.iter().find(|l| l.len() > MAX_LEAF) {
        return Err(AuditError::Leaf { got: leaf.len() });
    }
    let bytes = leaves.iter().map(Vec::len).sum();
    if bytes > MAX_BATCH_BYTES {
        return Err(AuditError::Bytes { got: bytes });
    }
    Ok(())
}

/// How long the log is, and the head that stands for all of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Chain {
    length: u64,
    head: [u8; 32],
}

impl Chain {
    /// The empty log.
    #[must_use]
    pub fn new() -> Self {
        Self { length: 0, head: Sha256::digest(EMPTY).into() }
    }

    /// A log whose length and head someone remembers.
    #[must_use]
    pub fn resume(length: u64, head: [u8; 32]) -> Self {
        Self { length, head }
    }

    /// The number of leaves.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Stands for all leaves and their order.
    #[must_use]
    pub fn head(&self) -> &[u8; 32] {
        &self.head
    }

    /// Appends a leaf:
    /// `head' = SHA-256(LINK ‖ index ‖ head ‖ len(leaf) ‖ leaf)`, integers big-endian `u64`.
    pub fn append(&mut self, leaf: &[u8]) -> &[u8; 32] {
        let mut hash = Sha256::new();
        hash.update(LINK);
        hash.update(self.length.to_be_bytes());
        hash.update(self.head);
        hash.update((leaf.len() as u64).to_be_bytes());
        hash.update(leaf);
        self.head = hash.finalize().into();
        self.length += 1;
        &self.head
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.head;
        write!(f, "Chain({} entries, {a:02x}{b:02x}{c:02x}{d:02x}…)", self.length)
    }
}

const EMPTY: &[u8] = b"quorate/v1/audit/empty.";
const LINK: &[u8] = b"quorate/v1/audit/link.";

#[cfg(test)]
mod tests {
    use super::*;

    fn head(leaves: &[&[u8]]) -> [u8; 32] {
        let mut chain = Chain::new();
        for leaf in leaves {
            chain.append(leaf);
        }
        *chain.head()
    }

    #[test]
    fn every_edit_of_a_log_changes_its_head() {
        let honest = head(&[b"a", b"bc", b"d"]);
        for other in [
            &[b"a".as_slice(), b"bc"] as &[&[u8]],
            &[b"a", b"d", b"bc"],
            &[b"ab", b"c", b"d"],
            &[b"a", b"bc", b"d", b""],
            &[b"a", b"bc", b"e"],
            &[b"bc", b"d"],
            &[],
        ] {
            assert_ne!(head(other), honest, "{other:?}");
        }
    }

    #[test]
    fn the_chain_is_pinned() {
        assert_eq!(hex(&head(&[])), PIN_EMPTY);
        assert_eq!(hex(&head(&[b"one", b"two"])), PIN_TWO);
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    const PIN_EMPTY: &str = "b7a09f2caff17fd6ea0fd2a5a61c8f70aa78caeaadfcfc5138c928a8c9a94e4d";
    const PIN_TWO: &str = "158953bcbe5ceec9e37f75b9d5bb436372fa61767848ffe4bcaf26ab5456914d";
}
