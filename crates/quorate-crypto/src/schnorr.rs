//! Proof of knowledge of a discrete logarithm, bound to a label and parts.
//!
//! `P = k·B`; `R = r·B`; `c = H(label, parts…, P, R)`; `s = r + c·k`. The proof is `c ‖ s`;
//! a verifier recomputes `R = s·B − c·P`.

use crate::{
    group::{DecodeError, EncodedPoint, decode_scalar, encode_point},
    hash::{Label, hash_to_scalar},
    secret::{SecretBytes, SecretScalar},
};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use rand_core::CryptoRng;

/// The length of a proof on the wire: challenge ‖ response.
pub const PROOF_LEN: usize = 64;

/// The proof does not hold for this point, label and parts, or is not two canonical
/// scalars. Always its maker's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof of knowledge does not hold for this point and context")]
pub struct SchnorrError;

/// A proof of knowledge, not yet verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnowledgeProof(pub [u8; PROOF_LEN]);

/// Proves knowledge of the logarithm of `secret·B`.
///
/// # Security
/// Constant time. The nonce is hashed from fresh randomness, the secret and the statement:
/// neither a repeated nor a biased generator alone gives two statements one nonce.
///
/// # Errors
/// [`DecodeError::Identity`] for a secret of zero.
pub fn prove(
    label: Label,
    parts: &[&[u8]],
    secret: &SecretScalar,
    rng: &mut impl CryptoRng,
) -> Result<KnowledgeProof, DecodeError> {
    let public = EncodedPoint::new(secret.public())?;
    let fresh = SecretBytes::<32>::random(rng);
    let key = secret.to_bytes();
    let mut nonce_parts: Vec<&[u8]> = vec![fresh.expose(), &key[..], label.as_bytes()];
    nonce_parts.extend_from_slice(parts);
    let nonce = SecretScalar::new(hash_to_scalar(Label::SCHNORR_NONCE, &nonce_parts));

    let c = challenge(label, parts, &public, &nonce.public());
    let s = nonce.expose() + c * secret.expose();
    let mut out = [0; PROOF_LEN];
    out[..32].copy_from_slice(c.as_bytes());
    out[32..].copy_from_slice(s.as_bytes());
    Ok(KnowledgeProof(out))
}

/// Verifies a proof of [`prove`] for `public`.
///
/// # Errors
/// [`SchnorrError`].
pub fn verify(
    label: Label,
    parts: &[&[u8]],
    public: &EncodedPoint,
    proof: &KnowledgeProof,
) -> Result<(), SchnorrError> {
    let scalar = |half: &[u8]| {
        let bytes = half.try_into().map_err(|_| SchnorrError)?;
        decode_scalar(&bytes).map_err(|_| SchnorrError)
    };
    let (c, s) = (scalar(&proof.0[..32])?, scalar(&proof.0[32..])?);
    let r = RistrettoPoint::vartime_double_scalar_mul_basepoint(&-c, public.point(), &s);
    if challenge(label, parts, public, &r) == c { Ok(()) } else { Err(SchnorrError) }
}

fn challenge(label: Label, parts: &[&[u8]], public: &EncodedPoint, r: &RistrettoPoint) -> Scalar {
    let r = encode_point(r);
    let mut all = parts.to_vec();
    all.extend_from_slice(&[public.bytes(), &r]);
    hash_to_scalar(label, &all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::B;

    const L: Label = Label::DEALING_POK;

    fn proof() -> (EncodedPoint, KnowledgeProof) {
        let rng = &mut rand::rng();
        let secret = SecretScalar::random(rng);
        let proof = prove(L, &[b"a", b"bc"], &secret, rng).unwrap();
        (EncodedPoint::new(secret.public()).unwrap(), proof)
    }

    #[test]
    fn a_proof_is_bound_to_label_parts_and_point() {
        let (p, proof) = proof();
        assert_eq!(verify(L, &[b"a", b"bc"], &p, &proof), Ok(()));
        // Attack 11: ambiguous encoding, another use, another session.
        for parts in [&[&b"ab"[..], b"c"][..], &[b"abc"], &[b"a", b"bc", b""], &[b"a", b"bd"], &[]]
        {
            assert_eq!(verify(L, parts, &p, &proof), Err(SchnorrError), "{parts:?}");
        }
        let other = Label::DEALING_EPHEMERAL;
        assert_eq!(verify(other, &[b"a", b"bc"], &p, &proof), Err(SchnorrError));
        let other = EncodedPoint::new(p.point() + B).unwrap();
        assert_eq!(verify(L, &[b"a", b"bc"], &other, &proof), Err(SchnorrError));
    }

    #[test]
    fn every_flipped_bit_of_a_proof_is_seen() {
        let (p, proof) = proof();
        for bit in 0..8 * PROOF_LEN {
            let mut flipped = proof;
            flipped.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(L, &[b"a", b"bc"], &p, &flipped), Err(SchnorrError), "bit {bit}");
        }
    }

    #[test]
    fn zero_has_no_proof() {
        let zero = SecretScalar::new(Scalar::ZERO);
        assert_eq!(prove(L, &[], &zero, &mut rand::rng()), Err(DecodeError::Identity));
    }
}
