//! Shares that move: refresh, other members, another threshold, repair; and everybody who
//! would bend it.

#![allow(clippy::unwrap_used)] // clippy.toml spares test functions, not their fixtures

#[path = "../genesis/disk.rs"]
#[allow(dead_code)]
mod disk;
#[path = "../genesis/owner.rs"]
#[allow(dead_code)]
mod owner;
#[path = "../genesis/rig.rs"]
#[allow(dead_code)]
mod rig;

mod adversary;
mod attacks;
mod happy;
mod key;
mod restart;
mod rotation;
mod schedule;
mod secrecy;
