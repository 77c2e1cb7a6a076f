//! Proof that many pairs share one discrete logarithm (Chaum–Pedersen, batched).
//!
//! Statement: one `k` with `P = k·B` and `D_i = k·C_i` for every pair `(C_i, D_i)`.
//! As RFC 9497 §2.2.1, the pairs are first folded into one pair of *composites*
//! `M = Σ w_i·C_i`, `Z = Σ w_i·D_i` with weights hashed from the whole statement; a
//! single proof is a batch of one. The transcript is ours ([`crate::hash`]), not RFC
//! 9497's: a VOPRF answer has the RFC's own proof ([`crate::voprf`]).

use crate::{
    group::{B, EncodedPoint, decode_scalar, encode_point},
    hash::{Label, hash, hash_to_scalar},
    secret::{SecretBytes, SecretScalar},
};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar, traits::VartimeMultiscalarMul};
use rand_core::CryptoRng;

/// The largest batch: bounds the work that one proof can ask for.
pub const MAX_BATCH: usize = 1024;

/// The length of a proof on the wire: challenge ‖ response.
pub const PROOF_LEN: usize = 64;

/// Why a statement cannot be proved, or a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DleqError {
    /// The peer's: challenge or response is not reduced mod ℓ.
    #[error("a proof is two canonical scalars")]
    Encoding,
    /// The peer's: the public value, an input or an output is the identity.
    #[error("no point of a proof may be the identity")]
    Identity,
    /// The peer's: the pairs do not have the logarithm of the public value, or the
    /// proof was made for another context.
    #[error("the proof does not hold for this statement and context")]
    Mismatch,
    /// The caller's: no pair, or too many, or an input without its output.
    #[error("a batch has 1 to {MAX_BATCH} inputs and as many outputs, got {inputs} and {outputs}")]
    Length {
        /// Number of inputs.
        inputs: usize,
        /// Number of outputs.
        outputs: usize,
    },
}

/// A proof of equal discrete logarithms: challenge `c` and response `s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    pub(crate) challenge: Scalar,
    pub(crate) response: Scalar,
}

impl Proof {
    /// `c ‖ s`, canonical.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; PROOF_LEN] {
        let mut out = [0; PROOF_LEN];
        out[..32].copy_from_slice(self.challenge.as_bytes());
        out[32..].copy_from_slice(self.response.as_bytes());
        out
    }

    /// Decodes strictly: one proof has one encoding.
    ///
    /// # Errors
    /// [`DleqError::Encoding`].
    pub fn from_bytes(bytes: &[u8; PROOF_LEN]) -> Result<Self, DleqError> {
        let scalar = |range: std::ops::Range<usize>| {
            let mut half = [0; 32];
            half.copy_from_slice(&bytes[range]);
            decode_scalar(&half).map_err(|_| DleqError::Encoding)
        };
        Ok(Self { challenge: scalar(0..32)?, response: scalar(32..64)? })
    }
}

/// Proves that `public = secret·B` and `outputs[i] = secret·inputs[i]`.
///
/// Encodes every point; [`prove_encoded`] spares that where encodings are at hand.
///
/// # Errors
/// [`DleqError::Length`], [`DleqError::Identity`]. A false statement is not refused: its
/// proof does not verify.
pub fn prove(
    context: &[u8],
    secret: &SecretScalar,
    public: &RistrettoPoint,
    inputs: &[RistrettoPoint],
    outputs: &[RistrettoPoint],
    rng: &mut impl CryptoRng,
) -> Result<Proof, DleqError> {
    check_lengths(inputs.len(), outputs.len())?;
    let (public, inputs, outputs) = (encode(public)?, encode_all(inputs)?, encode_all(outputs)?);
    prove_encoded(context, secret, &public, &inputs, &outputs, rng)
}

/// Verifies a proof of [`prove`].
///
/// # Errors
/// [`DleqError::Length`], [`DleqError::Identity`], [`DleqError::Mismatch`].
pub fn verify(
    context: &[u8],
    public: &RistrettoPoint,
    inputs: &[RistrettoPoint],
    outputs: &[RistrettoPoint],
    proof: &Proof,
) -> Result<(), DleqError> {
    check_lengths(inputs.len(), outputs.len())?;
    let (public, inputs, outputs) = (encode(public)?, encode_all(inputs)?, encode_all(outputs)?);
    verify_encoded(context, &public, &inputs, &outputs, proof)
}

/// Proves as [`prove`], for points whose encodings are at hand.
///
/// Notation: `k` secret, `P = k·B`. `M = Σ w_i·C_i`; `Z = k·M` (which is `Σ w_i·D_i`);
/// `r` the nonce; `A = r·B`, `Ā = r·M`; `c = H(seed, M, Z, A, Ā)`; `s = r − c·k`.
///
/// # Security
/// Constant time in `k` and `r`; only the public weights and points meet a
/// variable-time multiplication. The nonce is hedged: hashed from fresh randomness, the
/// secret and the statement, so that neither a repeated nor a biased generator
/// alone gives two statements one nonce.
///
/// # Errors
/// [`DleqError::Length`].
pub fn prove_encoded(
    context: &[u8],
    secret: &SecretScalar,
    public: &EncodedPoint,
    inputs: &[EncodedPoint],
    outputs: &[EncodedPoint],
    rng: &mut impl CryptoRng,
) -> Result<Proof, DleqError> {
    check_lengths(inputs.len(), outputs.len())?;
    let seed = statement_seed(context, public, inputs, outputs);
    let m = composite(&weights(&seed, inputs.len()), inputs);
    let z = m * secret.expose();

    let fresh = SecretBytes::<32>::random(rng);
    let nonce = SecretScalar::new(hash_to_scalar(
        Label::DLEQ_NONCE,
        &[fresh.expose(), &secret.to_bytes()[..], &seed],
    ));
    let challenge = challenge(&seed, &m, &z, &nonce.public(), &(m * nonce.expose()));
    let response = nonce.expose() - challenge * secret.expose();
    Ok(Proof { challenge, response })
}

/// Verifies as [`verify`], for points whose encodings are at hand.
///
/// `A = s·B + c·P`, `Ā = s·M + c·Z`; accepts if `c = H(seed, M, Z, A, Ā)`.
///
/// # Errors
/// [`DleqError::Length`], [`DleqError::Mismatch`].
pub fn verify_encoded(
    context: &[u8],
    public: &EncodedPoint,
    inputs: &[EncodedPoint],
    outputs: &[EncodedPoint],
    proof: &Proof,
) -> Result<(), DleqError> {
    check_lengths(inputs.len(), outputs.len())?;
    let seed = statement_seed(context, public, inputs, outputs);
    let w = weights(&seed, inputs.len());
    let (m, z) = (composite(&w, inputs), composite(&w, outputs));

    let Proof { challenge: c, response: s } = proof;
    let a = RistrettoPoint::vartime_double_scalar_mul_basepoint(c, public.point(), s);
    let a_bar = RistrettoPoint::vartime_multiscalar_mul([s, c], [m, z]);
    if challenge(&seed, &m, &z, &a, &a_bar) == *c { Ok(()) } else { Err(DleqError::Mismatch) }
}

/// Binds the whole statement: context, bases, public value and every pair.
fn statement_seed(
    context: &[u8],
    public: &EncodedPoint,
    inputs: &[EncodedPoint],
    outputs: &[EncodedPoint],
) -> [u8; 64] {
    hash(
        Label::DLEQ_SEED,
        &[context, &encode_point(&B), public.bytes(), &join(inputs), &join(outputs)],
    )
}

/// `w_0 = 1`, `w_i` = the first 16 bytes of `H(seed, i)` as a little-endian integer.
///
/// With every `w_i`, `i > 0`, chosen after the pairs, a batch with a wrong pair folds to
/// a true statement with probability 2⁻¹²⁸ (small-exponent test; one weight may be
/// fixed, so a batch of one costs nothing more than a plain proof).
fn weights(seed: &[u8; 64], n: usize) -> Vec<Scalar> {
    let weight = |i: u32| {
        let wide = hash(Label::DLEQ_WEIGHT, &[seed, &i.to_be_bytes()]);
        let mut low = [0; 32];
        low[..16].copy_from_slice(&wide[..16]);
        Scalar::from_bytes_mod_order(low)
    };
    std::iter::once(Scalar::ONE).chain((1..).map(weight)).take(n).collect()
}

fn composite(weights: &[Scalar], points: &[EncodedPoint]) -> RistrettoPoint {
    match points {
        [single] => *single.point(),
        many => RistrettoPoint::vartime_multiscalar_mul(weights, many.iter().map(|p| p.point())),
    }
}

fn challenge(
    seed: &[u8; 64],
    m: &RistrettoPoint,
    z: &RistrettoPoint,
    a: &RistrettoPoint,
    a_bar: &RistrettoPoint,
) -> Scalar {
    let [m, z, a, a_bar] = [m, z, a, a_bar].map(encode_point);
    hash_to_scalar(Label::DLEQ_CHALLENGE, &[seed, &m, &z, &a, &a_bar])
}

fn join(points: &[EncodedPoint]) -> Vec<u8> {
    points.iter().flat_map(|p| *p.bytes()).collect()
}

fn check_lengths(inputs: usize, outputs: usize) -> Result<(), DleqError> {
    if inputs == outputs && (1..=MAX_BATCH).contains(&inputs) {
        Ok(())
    } else {
        Err(DleqError::Length { inputs, outputs })
    }
}

fn encode(point: &RistrettoPoint) -> Result<EncodedPoint, DleqError> {
    EncodedPoint::new(*point).map_err(|_| DleqError::Identity)
}

fn encode_all(points: &[RistrettoPoint]) -> Result<Vec<EncodedPoint>, DleqError> {
    points.iter().map(encode).collect()
}
