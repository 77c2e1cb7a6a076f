//! Quorate's disk: the only crate that names sled.
//!
//! [`Store`] is the narrow trait that a node talks to: atomic durable batches of public and sealed
//! records, and an append-only audit log. [`SledStore`] implements it over sled 0.34, and adds what
//! sled lacks: a barrier that really syncs, sealing under a key for each epoch, erasure, a signed
//! manifest that a start verifies against every record, and fail-stop. [`MemStore`] implements it
//! in memory.
//!
//! `docs/protocol/store.md` describes every file, and what a crash at each point means.

mod audit_log;
mod batch;
mod commit;
mod disk;
mod engine;
mod error;
mod format;
mod group;
mod kek;
mod keyring;
mod layout;
mod manifest;
mod memory;
mod merkle;
mod open;
mod read;
mod record;
mod room;
mod seal;
mod segment;
mod sled_store;
mod store;
#[cfg(test)]
mod tests;
mod watch;

pub use batch::{
    Batch, EpochId, MAX_BATCH_BYTES, MAX_CHANGES, MAX_EPOCH_ID, MAX_KEY, MAX_VALUE, Tree,
};
pub use disk::OnPoison;
pub use error::StoreError;
pub use kek::Kek;
pub use memory::MemStore;
pub use open::Opening;
pub use room::Limits;
pub use sled_store::SledStore;
pub use store::{MAX_LEAF, Record, Space, Store};
