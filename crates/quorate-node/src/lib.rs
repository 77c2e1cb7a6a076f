//! A Quorate node: holds one share of each key, and uses it only for requests that it has
//! checked for itself and written down.
//!
//! The walk of a request: `api` (who calls) → `requests` (signature, before anything is
//! parsed) → `decide` (time, replay, grant, items, the ciphertexts' proofs) → the audit log,
//! durable → [`Evaluator`] (the share) → `sessions` (sealed to the client). A signature takes two
//! such walks (`signing`), with nonces that wait in memory between them (`nonces`).
//! From its start until peers have said what they last saw of it, a node does neither
//! (`quarantine`, `witness`, `life`).
//! The walk of a ceremony step: `api` → `ceremonies`, the driver: state from `records`, the
//! step of `quorate-ceremony`, one commit, audit, answers.
//!
//! * a home: [`init()`], [`enrol()`], [`Config`]
//! * a running node: [`Node::start`], [`NodeHandle`]

mod api;
mod ceremonies;
mod clients;
pub mod clock;
pub mod config;
mod core;
mod decide;
mod destroy;
pub mod enrol;
mod entropy;
mod evaluator;
mod exports;
mod forks;
pub mod harden;
pub mod home;
mod http;
pub mod init;
pub mod kek;
mod keys;
mod life;
mod locks;
mod metrics;
pub mod node;
mod nonces;
mod orders;
mod permits;
mod planted;
pub mod probe;
mod quarantine;
mod records;
mod replay;
mod requests;
mod rosters;
mod sessions;
mod signing;
mod startup;
mod states;
#[cfg(test)]
mod tests;
mod unlogged;
mod views;
mod witness;

pub use config::{Config, ConfigError, KekSource, LogFormat};
pub use enrol::{EnrolError, enrol};
pub use evaluator::{Evaluator, Honest, Items};
pub use home::HomeError;
pub use init::{InitError, InitOptions, init};
pub use kek::{KekError, open_identity};
pub use node::{Node, NodeHandle, StartError};
