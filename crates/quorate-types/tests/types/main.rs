//! The words of the domain as an outsider sees them: bytes pinned, rules held, attacks refused.

#![allow(clippy::unwrap_used)] // clippy.toml spares test functions, not their fixtures

mod certificate;
mod coalition;
mod decoders;
mod fixtures;
mod fork;
mod key_state;
mod keyfile;
mod order;
mod request;
mod roster;
mod rotate;
mod signed;
mod snapshots;
