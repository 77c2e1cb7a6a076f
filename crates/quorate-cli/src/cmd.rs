//! One module for each group of commands.

pub mod audit;
mod before;
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
mod pipeline;
pub mod plan;
pub mod resolve;
pub mod roster;
pub mod rotate;
mod schedules;
pub mod share;
mod share_many;
pub mod share_overview;
pub mod share_status;
pub mod sign;
