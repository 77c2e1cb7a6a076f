//! The SDK against a cluster within the process: real keys, real proofs, real seals; nodes
//! and coordinators that lie, on request.

#![allow(clippy::unwrap_used)] // clippy.toml spares test functions, not their fixtures

mod bad_ciphertext;
mod batch;
mod cluster;
mod coordinator;
mod derive;
mod export;
mod home;
mod keys;
mod network;
mod node;
mod quorum;
mod sign;
mod states;
mod stream;
mod wrap;
