//! Threshold cryptography of Quorate.
//!
//! Pure: no clock, no I/O, no async; randomness is an argument. This crate knows
//! no node, key name or network: callers hand it byte strings to bind to.
//!
//! Groups: ristretto255 (RFC 9496), and edwards25519 for what [`frost`] signs with. `B` is the
//! generator, `B2` a second generator hashed to ristretto255. Every hash of our own goes through [`hash`].

pub mod answer;
pub mod complaint;
pub mod dealing;
pub mod dleq;
pub mod envelope;
pub mod export;
pub mod frost;
pub mod group;
pub mod hash;
mod hashed;
pub mod index;
mod memo;
pub mod merkle;
pub mod schnorr;
pub mod secret;
pub mod sharing;
pub mod sign;
pub mod stream;
pub mod tdh2;
pub mod voprf;
pub mod wrap;

pub use export::RecipientKey;
pub use group::EncodedPoint;
pub use index::{IndexError, MAX_COMMITTEE, ShareIndex, Threshold};
pub use secret::{SecretBytes, SecretScalar};
pub use sign::{IdentityKey, PublicKey, Signature, SignatureError};
