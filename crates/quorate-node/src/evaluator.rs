//! The one place where a share is used.

use quorate_crypto::{
    SecretScalar,
    tdh2::{self, Verified},
};

/// Uses a share on ciphertexts whose proofs hold. A narrow door on purpose: a program that
/// embeds a node can wrap it (the demonstration's node lies so); `quorate-node` has no
/// switch for it.
pub trait Evaluator: Send + Sync {
    /// One partial for each ciphertext, in their order.
    fn partials(&self, share: &SecretScalar, verified: &[Verified]) -> Vec<[u8; 32]>;
}

/// As it must be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Honest;

impl Evaluator for Honest {
    fn partials(&self, share: &SecretScalar, verified: &[Verified]) -> Vec<[u8; 32]> {
        match verified {
            [one] => vec![tdh2::partial(share, one)],
            many => tdh2::partial_batch(share, many),
        }
    }
}
