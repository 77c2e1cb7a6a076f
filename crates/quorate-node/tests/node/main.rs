//! Whole nodes: their own homes, TLS, sled, and a key that is born between them.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of `#[test]` functions")]

mod cluster;
mod process;
mod serving;
