//! Asks a set of nodes, hedges, collects. Used by the coordinator, and by the SDK when it
//! asks nodes or coordinators itself.
//!
//! A threshold system hedges for free: any `t` of `n` answers do. [`Pool::ask`] asks the
//! `t` fastest, one more when they take longer than usual, another at once when one
//! fails, and stops at `t` answers. [`Pool::ask_all`] asks everybody and waits.
//! [`Failover`] finds one of several equal servers that answers.

mod budget;
mod failover;
mod health;
mod pool;

pub use budget::Budget;
pub use failover::Failover;
pub use health::Health;
pub use pool::{Outcome, Peer, Pool, PoolError};
