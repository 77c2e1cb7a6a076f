//! One module for each group of commands.

pub mod audit;
pub mod client;
pub mod cluster;
pub mod cluster_init;
pub mod crypt;
pub mod datakey;
pub mod derive;
pub mod export;
pub mod import;
mod jsonl;
pub mod key;
pub mod key_state;
pub mod keygen;
pub mod order;
pub mod plan;
pub mod resolve;
pub mod roster;
pub mod rotate;
pub mod schedule_rotation;
pub mod share;
pub mod share_overview;
pub mod share_status;
pub mod sign;
