//! The RFC's proof that a batch was evaluated under one key (§2.2), bit for bit.

use super::{BlindedElement, rfc};
use crate::{
    EncodedPoint, SecretBytes, SecretScalar,
    dleq::{DleqError, MAX_BATCH, Proof},
    group::{PointBytes, encode_point},
    hash::{Label, hash_to_scalar},
};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar, traits::VartimeMultiscalarMul};
use rand_core::CryptoRng;

/// Why a node's partials are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartialFault {
    /// One of them is no group element, or the identity.
    #[error("partial {item} of the batch is no canonical point, or the identity")]
    Point {
        /// Its position, from 0.
        item: usize,
    },
    /// The proof does not hold for all of them, or there are none, or not one for each element.
    #[error("the partials are not proved: {0}")]
    Proof(#[from] DleqError),
    /// The proof holds, and yet the check element's partial does not fit the others': a forged
    /// proof.
    #[error("the partials do not fit the batch's check element")]
    Check,
}

/// GenerateProof (§2.2.1) with `k = share`, `A = B`, `B = share_public`, `C = elements`,
/// `D = partials`. The RFC draws `r` at random; here it is hashed from fresh randomness, the
/// share and the statement, so that neither a repeated nor a biased generator gives two
/// statements one nonce.
///
/// # Security
/// Constant time in the share and the nonce.
///
/// # Errors
/// [`PartialFault`] for what is no batch of partials; a proof of wrong partials is made and
/// does not verify.
pub fn prove(
    share: &SecretScalar,
    share_public: &EncodedPoint,
    elements: &[BlindedElement],
    partials: &[PointBytes],
    rng: &mut impl CryptoRng,
) -> Result<Proof, PartialFault> {
    let fresh = SecretBytes::<32>::random(rng);
    let (inputs, outputs) =
        (elements.iter().flat_map(|e| *e.bytes()).collect::<Vec<_>>(), partials.concat());
    let r = SecretScalar::new(hash_to_scalar(
        Label::VOPRF_NONCE,
        &[fresh.expose(), &share.to_bytes()[..], share_public.bytes(), &inputs, &outputs],
    ));
    prove_with(share, share_public, elements, partials, &r)
}

/// As [`prove`] with the RFC's `r`.
pub(super) fn prove_with(
    share: &SecretScalar,
    share_public: &EncodedPoint,
    elements: &[BlindedElement],
    partials: &[PointBytes],
    r: &SecretScalar,
) -> Result<Proof, PartialFault> {
    let outputs = decode(elements.len(), partials)?;
    let weights = weights(share_public, elements, &outputs);
    // ComputeCompositesFast: Z = k·M, in constant time.
    let m = composite(&weights, elements.iter().map(|e| e.0.point()));
    let z = m * share.expose();
    let challenge = challenge(share_public, &m, &z, &r.public(), &(m * r.expose()));
    let response = r.expose() - challenge * share.expose();
    Ok(Proof { challenge, response })
}

/// VerifyProof (§2.2.2) against the node's `Y_i` of this very epoch. Gives the decoded partials.
///
/// # Security
/// For a batch this alone is not enough: see [`super::Batch::verify`], which a client calls.
///
/// # Errors
/// [`PartialFault`]: the node lies, or answers under another epoch or key.
pub fn verify(
    share_public: &EncodedPoint,
    elements: &[BlindedElement],
    partials: &[PointBytes],
    proof: &Proof,
) -> Result<Vec<EncodedPoint>, PartialFault> {
    let outputs = decode(elements.len(), partials)?;
    let weights = weights(share_public, elements, &outputs);
    let m = composite(&weights, elements.iter().map(|e| e.0.point()));
    let z = composite(&weights, outputs.iter().map(EncodedPoint::point));
    let Proof { challenge: c, response: s } = proof;
    // t2 = s·A + c·B, t3 = s·M + c·Z
    let t2 = RistrettoPoint::vartime_double_scalar_mul_basepoint(c, share_public.point(), s);
    let t3 = RistrettoPoint::vartime_multiscalar_mul([s, c], [m, z]);
    if challenge(share_public, &m, &z, &t2, &t3) == *c {
        Ok(outputs)
    } else {
        Err(DleqError::Mismatch.into())
    }
}

/// The `d_i` of ComputeComposites.
fn weights(
    share_public: &EncodedPoint,
    elements: &[BlindedElement],
    outputs: &[EncodedPoint],
) -> Vec<Scalar> {
    let bm = share_public.bytes();
    // seed = Hash(I2OSP(len(Bm), 2) ‖ Bm ‖ I2OSP(len(seedDST), 2) ‖ seedDST)
    let seed = rfc::hash(&[&rfc::len(bm), bm, &rfc::len(rfc::SEED), rfc::SEED]);
    // compositeTranscript = len ‖ seed ‖ I2OSP(i, 2) ‖ len ‖ Ci ‖ len ‖ Di ‖ "Composite"
    let weight = |(i, (c, d)): (u16, (&BlindedElement, &EncodedPoint))| {
        let (c, d) = (c.bytes(), d.bytes());
        rfc::hash_to_scalar(&[
            &rfc::len(&seed),
            &seed,
            &i.to_be_bytes(),
            &rfc::len(c),
            c,
            &rfc::len(d),
            d,
            b"Composite",
        ])
    };
    (0..).zip(elements.iter().zip(outputs)).map(weight).collect()
}

/// `Σ d_i·P_i` over public points with hashed weights.
fn composite<'a>(
    weights: &[Scalar],
    points: impl Iterator<Item = &'a RistrettoPoint>,
) -> RistrettoPoint {
    RistrettoPoint::vartime_multiscalar_mul(weights, points)
}

/// `c = HashToScalar(len ‖ Bm ‖ len ‖ a0 ‖ len ‖ a1 ‖ len ‖ a2 ‖ len ‖ a3 ‖ "Challenge")`.
fn challenge(
    share_public: &EncodedPoint,
    m: &RistrettoPoint,
    z: &RistrettoPoint,
    t2: &RistrettoPoint,
    t3: &RistrettoPoint,
) -> Scalar {
    let bm = share_public.bytes();
    let [a0, a1, a2, a3] = [m, z, t2, t3].map(encode_point);
    let n = rfc::len(bm); // all five are encoded points
    rfc::hash_to_scalar(&[&n, bm, &n, &a0, &n, &a1, &n, &a2, &n, &a3, b"Challenge"])
}

fn decode(inputs: usize, partials: &[PointBytes]) -> Result<Vec<EncodedPoint>, PartialFault> {
    let outputs = partials.len();
    if inputs != outputs || !(1..=MAX_BATCH).contains(&inputs) {
        return Err(DleqError::Length { inputs, outputs }.into());
    }
    let one = |(item, p)| EncodedPoint::decode(p).map_err(|_| PartialFault::Point { item });
    partials.iter().enumerate().map(one).collect()
}
