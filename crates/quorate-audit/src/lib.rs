//! A tamper-evident log over opaque leaves: pure, no I/O.
//!
//! A [`Chain`] is the log's length and head; a [`Frame`] is one batch of leaves as it is stored,
//! carrying the head after it. Callers append, verify, and compare heads; what the head is (a hash
//! chain today, a Merkle tree later) is not theirs to know.
//!
//! What a chain proves: a log with this head has these leaves, in this order, and no others. What
//! it does not: that nobody holds a longer log. A tail cut at an entry is only seen by someone who
//! remembers a later head (the store's manifest, a peer, a witness).

mod chain;
mod frame;

pub use chain::{AuditError, Chain, MAX_BATCH_BYTES, MAX_BATCH_LEAVES, MAX_LEAF, check_batch};
pub use frame::{Frame, FrameError, HEADER_LEN, MAX_FRAME, finds_frame, verify};
