//! The one place where a share is used.

use quorate_crypto::{
    EncodedPoint, IdentityKey, SecretScalar,
    dleq::Proof,
    export::ExportError,
    frost::{self, KeyShare, NoncePair, SHARE_LEN, SignError, SigningSet},
    tdh2::{self, Verified},
    voprf::{self, BlindedElement},
    wrap::{self, WrapPoint},
};
use quorate_types::{SealedShare, ShareScope};
use rand::rngs::SysRng;
use rand_core::{CryptoRng, UnwrapErr};

/// The items of a request, each checked as the key's purpose demands. What was checked for one
/// purpose cannot be evaluated for another.
pub enum Items {
    /// Ciphertexts whose proofs hold.
    Decrypt(Vec<Verified>),
    /// Points, not the identity: all that can be known of what is blinded.
    Derive(Vec<BlindedElement>),
    /// Points that this node has hashed from clear nonces.
    Wrap(Vec<WrapPoint>),
}

/// Uses a share on checked items. A narrow door on purpose: a program that
/// embeds a node can wrap it (the demonstration's node lies so); `quorate-node` has no
/// switch for it.
pub trait Evaluator: Send + Sync {
    /// One partial for each item, in their order.
    fn partials(&self, share: &SecretScalar, items: &Items) -> Vec<[u8; 32]>;

    /// One signature share for each nonce pair and its set, in their order; the pairs are used up.
    fn sign(
        &self,
        key: &KeyShare,
        pairs: Vec<NoncePair>,
        sets: &[SigningSet],
    ) -> Vec<Result<[u8; SHARE_LEN], SignError>> {
        pairs.into_iter().zip(sets).map(|(pair, set)| frost::sign(pair, set, key)).collect()
    }

    /// The share, sealed to the recipient of an export and signed as this node's.
    ///
    /// # Errors
    /// [`ExportError`].
    fn seal(
        &self,
        scope: ShareScope,
        share: &SecretScalar,
        identity: &IdentityKey,
    ) -> Result<SealedShare, ExportError> {
        SealedShare::seal(scope, share, identity, &mut UnwrapErr(SysRng))
    }
}

/// As it must be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Honest;

impl Evaluator for Honest {
    fn partials(&self, share: &SecretScalar, items: &Items) -> Vec<[u8; 32]> {
        match items {
            Items::Decrypt(verified) => match &verified[..] {
                [one] => vec![tdh2::partial(share, one)],
                many => tdh2::partial_batch(share, many),
            },
            Items::Derive(elements) => voprf::evaluate(share, elements),
            Items::Wrap(points) => wrap::partials(share, points),
        }
    }
}

impl Items {
    /// The proof that `partials` are the share's; `None` for what is no batch of partials. It
    /// binds `context`, but for blinded elements it is RFC 9497's, which binds the
    /// node's verifying key of this epoch and every pair, and nothing else.
    pub(crate) fn prove(
        &self,
        context: &[u8],
        share: &SecretScalar,
        share_public: &EncodedPoint,
        partials: &[[u8; 32]],
        rng: &mut impl CryptoRng,
    ) -> Option<Proof> {
        match self {
            Self::Decrypt(verified) => {
                tdh2::prove_partials(context, share, share_public, verified, partials, rng).ok()
            }
            Self::Derive(elements) => {
                voprf::prove(share, share_public, elements, partials, rng).ok()
            }
            Self::Wrap(points) => {
                wrap::prove(context, share, share_public, points, partials, rng).ok()
            }
        }
    }
}
