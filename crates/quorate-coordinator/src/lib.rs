//! A Quorate coordinator: gathers quorums, holds no share.
//!
//! It relays signed requests and sealed answers, picks nodes, and conducts ceremonies as
//! postman and clock. It is trusted for liveness only: it can read no result, forge no
//! request, swap no public key and complete no operation by itself. Its binary has no
//! code that could read a share (a test over the dependency graph holds that).

pub mod audit;
mod behind;
mod conduct;
pub mod config;
mod exports;
mod gather;
mod imports;
pub mod init;
pub mod keys;
pub mod metrics;
pub mod observe;
pub mod orders;
mod places;
pub mod postman;
pub mod records;
mod rosters;
pub mod schedule;
pub mod server;
pub mod state;
mod states;
mod visits;
mod watch;

pub use config::{Config, LogFormat};
pub use server::{Coordinator, StartError};
