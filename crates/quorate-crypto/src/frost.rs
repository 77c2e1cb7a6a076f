//! FROST(Ed25519, SHA-512) of RFC 9591: Ed25519 signatures by `t` of the holders of a key.
//!
//! Notation: `x` the shared key, `Y = x·B`, `s_i` node `i`'s share, `Y_i = s_i·B`, `t` the
//! threshold, `m` the message; all over edwards25519.
//!
//! ```text
//! commit:     d, e = H3(32 hedged bytes ‖ s_i); D_i = d·B, E_i = e·B         (node i, §5.1)
//! set:        the signers with their commitments, B = ((i, D_i, E_i)), and m  (client)
//! sign:       ρ_i = H1(Y ‖ H4(m) ‖ H5(B) ‖ i);  R = Σ D_i + ρ_i·E_i;  c = H2(R ‖ Y ‖ m)
//!             z_i = d + ρ_i·e + λ_i·s_i·c                                     (node i, §5.2)
//! aggregate:  z = Σ z_i;  the signature is R ‖ z                              (client, §5.3)
//! ```
//!
//! The arithmetic is that of the crate `frost-ed25519`, over shares of our own dealings. Its key
//! generation, refresh and repair are not used (`SECURITY.md`). It stands on an older dalek and
//! an older `rand_core`: all that crosses to it, does so as bytes, in `border.rs`.
//!
//! # Security
//! Two messages under one nonce pair give two equations in `d + ρ·e` and `s_i`; three give the
//! share. So a [`NoncePair`] is consumed by the one signature that it serves, cannot be copied
//! and cannot be written down. The binding factors `ρ_i` cover every signer's commitments and the
//! message, without which sessions that run at once can be combined into a forgery (Drijvers et
//! al. 2019; Benhamouda et al., ePrint 2020/945). The proofs are for static corruptions.

mod aggregate;
mod border;
mod round1;
mod round2;
mod verify;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use aggregate::{AggregateError, PublicShares, aggregate};
pub use round1::{COMMITMENTS_LEN, CommitmentsFault, NonceCommitments, NoncePair, commit};
pub use round2::{KeyShare, KeyShareError, SignError, SigningSet, sign};
pub use verify::{VerifyError, verify};

/// The length of a signature: `R ‖ z`.
pub const SIGNATURE_LEN: usize = 64;

/// The length of a signature share: a scalar.
pub const SHARE_LEN: usize = 32;
