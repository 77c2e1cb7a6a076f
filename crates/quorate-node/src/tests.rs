//! Attacks on a node without its network, and what a crash at each point means.

mod ceremonies;
mod derive;
mod durability;
pub(crate) mod eavesdropper;
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
mod states;
mod unlogged;
mod wrap;
