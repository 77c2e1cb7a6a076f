//! The Rust SDK of Quorate
