//! Attacks on a node without its network, and what a crash at each point means.

mod ceremonies;
mod derive;
mod durability;
pub(crate) mod eavesdropper;
pub(crate) mod entropy;
mod exports;
mod fixture;
mod forgeries;
mod forks;
mod orders;
mod power;
mod quarantine;
mod refusals;
mod replays;
mod reshares;
mod rosters;
mod rotations;
mod sign;
mod sim;
mod states;
mod unlogged;
mod wrap;
