//! A verifiable dealing: the one primitive of genesis, import and reshare.
//!
//! The polynomial is over the group of the ceremony's suite, all else over ristretto255: ceremony
//! keys, `E`, and the keys of sealed values. Dealer `d` shares `c_d = f_d(0)` to receivers with ceremony keys `P_j = p_j·B`:
//!
//! * `C_0 … C_{t−1}`, commitments to `f_d`, exactly `t`;
//! * a proof of knowledge of `c_d`, bound to the ceremony context, the dealer and `C`;
//! * an ephemeral point `E = e·B`;
//! * for each receiver `f_d(j)` sealed under a key from `e·P_j`;
//! * a proof of knowledge of `e`, bound to everything above.
//!
//! The last proof makes copying useless: a dealer that repeats an honest dealer's `E`
//! and sealed values in its own dealing, to have a receiver's complaint open them,
//! cannot prove it, and its dealing is refused before anything is revealed.
//!
//! The dealer's signature over the bytes is the caller's business. What a receiver does
//! with a bad value is in [`crate::complaint`]; how verified dealings become a new
//! sharing is in [`combine_public`] and [`combine_share`]. Formats: `docs/protocol/dealing.md`.

mod combine;
mod owner;
mod params;
mod seal;
mod verified;
mod wire;

pub use combine::{CombineDealingsError, Weights, combine_public, combine_share};
pub use owner::deal_owned;
pub use params::{DealingParams, ParamsError, Receivers};
pub use seal::{BadValue, SEALED_LEN};
pub use verified::{DealingFault, OpenError, VerifiedDealing};
pub use wire::{Dealing, WireError};

use crate::{
    group::{EncodedPoint, Group},
    hash::{Label, hash_to_scalar, hash32},
    index::ShareIndex,
    schnorr::{self, KnowledgeProof},
    secret::{SecretBytes, SecretScalar},
    sharing::{Commitments, Polynomial},
};
use rand_core::CryptoRng;
use wire::SealedValue;

/// Why nothing was dealt. All are the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DealError {
    /// The polynomial was made for another threshold.
    #[error("the polynomial has {got} coefficients, the ceremony's threshold is {expected}")]
    Threshold {
        /// The ceremony's threshold.
        expected: usize,
        /// The polynomial's number of coefficients.
        got: usize,
    },
    /// A key of zero cannot be dealt: its public key would be the identity.
    #[error("a key of zero cannot be dealt")]
    Zero,
    /// The sealing failed: no key of 32 bytes and value of 32 bytes makes it fail.
    #[error("alarm: a value could not be sealed (a bug)")]
    Seal,
}

/// Deals `polynomial` to the receivers of `params`.
///
/// Never call it twice for one step: keep the dealing and send it again.
///
/// # Security
/// Constant time in the polynomial and the ephemeral secret. `e` is hashed from fresh
/// randomness, the polynomial and the statement, so a generator that repeats after a
/// rollback does not seal two values under one key.
///
/// # Errors
/// [`DealError`].
pub fn deal(
    params: &DealingParams<'_>,
    polynomial: &Polynomial,
    rng: &mut impl CryptoRng,
) -> Result<Dealing, DealError> {
    let commitments = polynomial.commit(params.group());
    let expected = params.threshold().as_usize();
    if commitments.threshold() != expected {
        return Err(DealError::Threshold { expected, got: commitments.threshold() });
    }
    let statement = statement(params, &commitments);
    let constant = polynomial.constant();
    let knowledge =
        schnorr::prove(params.group(), Label::DEALING_POK, &[&statement], &constant, rng)
            .map_err(|_| DealError::Seal)?;

    let ephemeral_secret = ephemeral_secret(polynomial, &statement, rng);
    let ephemeral = EncodedPoint::new(ephemeral_secret.public()).map_err(|_| DealError::Seal)?;
    let mut values = Vec::with_capacity(params.receivers().len());
    for (index, key) in params.receivers().iter() {
        let binding = seal::binding(&statement, &ephemeral, index, key);
        let shared = key.point() * ephemeral_secret.expose();
        let sealed =
            seal::seal(&shared, &binding, &polynomial.evaluate(index)).ok_or(DealError::Seal)?;
        values.push(SealedValue { index, sealed });
    }

    let mut dealing = Dealing {
        commitments: commitments.bytes().to_vec(),
        knowledge,
        ephemeral: *ephemeral.bytes(),
        values,
        ephemeral_knowledge: KnowledgeProof([0; schnorr::PROOF_LEN]),
    };
    dealing.ephemeral_knowledge = schnorr::prove(
        Group::Ristretto255,
        Label::DEALING_EPHEMERAL,
        &[&statement, &dealing.body_bytes()],
        &ephemeral_secret,
        rng,
    )
    .map_err(|_| DealError::Seal)?;
    Ok(dealing)
}

/// Binds a dealer to its commitments before it has seen anyone else's (genesis).
///
/// `scope` names what is known at that time: order, key version and number. The
/// ceremony context is not known yet, it includes these very hashes.
#[must_use]
pub fn commitment_hash(
    scope: &[u8; 32],
    dealer: ShareIndex,
    dealer_identity: &[u8; 32],
    commitments: &Commitments,
) -> [u8; 32] {
    let (index, points) = (dealer.get().to_be_bytes(), commitments.concat());
    let parts: [&[u8]; 4] = [scope, &index, dealer_identity, &points];
    in_group(Label::DEALING_COMMIT, &parts, commitments.group())
}

/// What every proof and sealed value of one dealing is bound to.
fn statement(params: &DealingParams<'_>, commitments: &Commitments) -> [u8; 32] {
    let (index, points) = (params.dealer().get().to_be_bytes(), commitments.concat());
    let parts: [&[u8]; 4] = [params.ctx(), &index, params.dealer_identity(), &points];
    in_group(Label::DEALING_STATEMENT, &parts, params.group())
}

/// Binds the group beside the points, whose bytes may be points of both. The context and the
/// scope bind the suite, and that the group, already; here it holds whoever calls. Over
/// ristretto255 there is no such part: dealings were bound so before there was another group.
fn in_group(label: Label, parts: &[&[u8]], group: Group) -> [u8; 32] {
    let mut all = parts.to_vec();
    all.extend(group.binding());
    hash32(label, &all)
}

fn ephemeral_secret(
    polynomial: &Polynomial,
    statement: &[u8; 32],
    rng: &mut impl CryptoRng,
) -> SecretScalar {
    let fresh = SecretBytes::<32>::random(rng);
    SecretScalar::new(hash_to_scalar(
        Label::DEALING_EPHEMERAL_SECRET,
        &[fresh.expose(), &polynomial.to_bytes(), statement],
    ))
}
