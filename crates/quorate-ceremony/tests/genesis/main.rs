//! The genesis, and the import, as their parties see it: nodes that obey their steps, a conductor, and everybody
//! who would bend it.

#![allow(clippy::unwrap_used)] // clippy.toml spares test functions, not their fixtures

mod coordinator;
mod disk;
mod formats;
mod happy;
mod identity;
mod import;
mod members;
mod orders;
mod owner;
mod random;
mod restart;
mod rig;
mod split;
