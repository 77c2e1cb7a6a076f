//! Quorate's disk: the only crate that names sled.
//!
//! [`Store`] is the narrow trait that a node talks to; [`MemStore`] implements it in memory.

mod batch;
mod error;
mod memory;
mod store;

pub use batch::{
    Batch, EpochId, MAX_BATCH_BYTES, MAX_CHANGES, MAX_EPOCH_ID, MAX_KEY, MAX_VALUE, Tree,
};
pub use error::StoreError;
pub use memory::MemStore;
pub use store::{MAX_LEAF, Record, Space, Store};
