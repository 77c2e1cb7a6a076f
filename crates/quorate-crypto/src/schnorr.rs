//! Proof of knowledge of a discrete logarithm, bound to a label and parts.
//!
//! Over either group, which the caller's parts must bind. `P = k·B`; `R = r·B`; `c = H(label, parts…, P, R)`; `s = r + c·k`. The proof is `c ‖ s`;
//! a verifier recomputes `R = s·B − c·P`.

use crate::{
    group::{DecodeError, Element, Group, PointBytes, decode_scalar},
    hash::{Label, hash_to_scalar},
    secret::{SecretBytes, SecretScalar},
};
use curve25519_dalek::scalar::Scalar;
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

/// Proves knowledge of the logarithm of `secret·B` in `group`.
///
/// # Security
/// Constant time. The nonce is hashed from fresh randomness, the secret and the statement:
/// neither a repeated nor a biased generator alone gives two statements one nonce.
///
/// # Errors
/// [`DecodeError::Identity`] for a secret of zero.
pub fn prove(
    group: Group,
    label: Label,
    parts: &[&[u8]],
    secret: &SecretScalar,
    rng: &mut impl CryptoRng,
) -> Result<KnowledgeProof, DecodeError> {
    let public = group.mul_base(secret);
    if public.is_identity() {
        return Err(DecodeError::Identity);
    }
    let fresh = SecretBytes::<32>::random(rng);
    let key = secret.to_bytes();
    let mut nonce_parts: Vec<&[u8]> = vec![fresh.expose(), &key[..], label.as_bytes()];
    nonce_parts.extend_from_slice(parts);
    let nonce = SecretScalar::new(hash_to_scalar(Label::SCHNORR_NONCE, &nonce_parts));

    let c = challenge(label, parts, &public.encode(), &group.mul_base(&nonce).encode());
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
    public: &Element,
    proof: &KnowledgeProof,
) -> Result<(), SchnorrError> {
    let scalar = |half: &[u8]| {
        let bytes = half.try_into().map_err(|_| SchnorrError)?;
        decode_scalar(&bytes).map_err(|_| SchnorrError)
    };
    let (c, s) = (scalar(&proof.0[..32])?, scalar(&proof.0[32..])?);
    let r = public.vartime_schnorr(&c, &s);
    if challenge(label, parts, &public.encode(), &r) == c { Ok(()) } else { Err(SchnorrError) }
}

fn challenge(label: Label, parts: &[&[u8]], public: &PointBytes, r: &PointBytes) -> Scalar {
    let mut all = parts.to_vec();
    all.extend_from_slice(&[public, r]);
    hash_to_scalar(label, &all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const L: Label = Label::DEALING_POK;
    const GROUPS: [Group; 2] = [Group::Ristretto255, Group::Edwards25519];

    fn proof(group: Group) -> (Element, KnowledgeProof) {
        let rng = &mut rand::rng();
        let secret = SecretScalar::random(rng);
        let proof = prove(group, L, &[b"a", b"bc"], &secret, rng).unwrap();
        (group.mul_base(&secret), proof)
    }

    #[test]
    fn a_proof_is_bound_to_label_parts_and_point() {
        for group in GROUPS {
            let (p, proof) = proof(group);
            assert_eq!(verify(L, &[b"a", b"bc"], &p, &proof), Ok(()));
            // Attack 11: ambiguous encoding, another use, another session.
            for parts in
                [&[&b"ab"[..], b"c"][..], &[b"abc"], &[b"a", b"bc", b""], &[b"a", b"bd"], &[]]
            {
                assert_eq!(verify(L, parts, &p, &proof), Err(SchnorrError), "{parts:?}");
            }
            let other = Label::DEALING_EPHEMERAL;
            assert_eq!(verify(other, &[b"a", b"bc"], &p, &proof), Err(SchnorrError));
            let other = group.mul_base(&SecretScalar::random(&mut rand::rng()));
            assert_eq!(verify(L, &[b"a", b"bc"], &other, &proof), Err(SchnorrError));
        }
    }

    #[test]
    fn a_proof_over_one_group_is_none_over_the_other() {
        let rng = &mut rand::rng();
        let secret = SecretScalar::random(rng);
        for (here, there) in [(0, 1), (1, 0)] {
            let proof = prove(GROUPS[here], L, &[b"a"], &secret, rng).unwrap();
            let public = GROUPS[there].mul_base(&secret);
            assert_eq!(verify(L, &[b"a"], &public, &proof), Err(SchnorrError));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_proof_is_seen() {
        for group in GROUPS {
            let (p, proof) = proof(group);
            for bit in 0..8 * PROOF_LEN {
                let mut flipped = proof;
                flipped.0[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(verify(L, &[b"a", b"bc"], &p, &flipped), Err(SchnorrError), "bit {bit}");
            }
        }
    }

    #[test]
    fn zero_has_no_proof() {
        for group in GROUPS {
            let zero = SecretScalar::new(Scalar::ZERO);
            let refused = prove(group, L, &[], &zero, &mut rand::rng());
            assert_eq!(refused, Err(DecodeError::Identity));
        }
    }
}
