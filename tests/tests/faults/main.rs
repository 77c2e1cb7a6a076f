//! Faults of the machine under real processes: the disk, randomness, threads, descriptors, memory;
//! and what a process that dies leaves behind. `shim.c` is the machine that fails.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of `#[test]` functions")]

mod disk;
mod limits;
mod panic;
mod rig;
mod secrets;
