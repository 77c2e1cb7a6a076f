//! Encapsulation: local to the client, no node takes part.

use super::{Binding, Ciphertext, ciphertext::WRAPPED_LEN};
use crate::{
    SecretBytes, SecretScalar,
    group::{B2_TABLE, PointBytes, ScalarBytes},
    hash::{Label, hash},
};
use aes_gcm::{
    Aes256Gcm,
    aead::{AeadInOut, KeyInit},
};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

/// Encapsulates a fresh payload key under the key of `binding`. `label` is what nodes judge by
/// policy; `header` is whatever else the payload needs bound (it is not secret).
///
/// # Security
/// `r` and `s` are hashed from 64 fresh bytes, the payload key and all that is bound, so that a
/// generator that repeats itself does not repeat `s` under two challenges (which would reveal
/// `r`). The payload key is as good as `rng`; it is for one payload.
pub fn encapsulate(
    binding: &Binding<'_>,
    label: &[u8],
    header: &[u8],
    rng: &mut impl CryptoRng,
) -> (Ciphertext, SecretBytes<32>) {
    let payload_key = SecretBytes::<32>::random(rng);
    let seed = SecretBytes::<64>::random(rng);
    let nonce = |which: u8| {
        let parts: [&[u8]; 9] = [
            &[which],
            seed.expose(),
            payload_key.expose(),
            binding.fingerprint,
            binding.key,
            &binding.version,
            binding.public.bytes(),
            label,
            header,
        ];
        let wide = Zeroizing::new(hash(Label::TDH2_NONCE, &parts));
        SecretScalar::new(Scalar::from_bytes_mod_order_wide(&wide))
    };
    let ciphertext = seal(binding, label, header, &nonce(0), &nonce(1), &payload_key);
    (ciphertext, payload_key)
}

/// Encapsulation with everything random given.
pub(super) fn seal(
    binding: &Binding<'_>,
    label: &[u8],
    header: &[u8],
    r: &SecretScalar,
    s: &SecretScalar,
    payload_key: &SecretBytes<32>,
) -> Ciphertext {
    let (points, mut shared) = commitments(binding, r, s);
    let [u, u2, w, w2] = points;
    let dem = binding.dem(&u, &shared, label);
    shared.zeroize();
    let mut commitment = [0; 32];
    commitment.copy_from_slice(&dem[32..]);
    let wrapped = wrap(&dem, header, payload_key);
    let mut ciphertext = Ciphertext { u, u2, w, w2, z: [0; 32], commitment, wrapped };
    let e = binding.challenge(label, header, &ciphertext);
    ciphertext.z = response(s, e, r);
    ciphertext
}

/// `[U, Ū, W, W̄]` and `r·Y`, encoded; constant time. Every point is computed from half its
/// scalar and doubled while it is encoded, so that all five share one field inversion.
fn commitments(
    binding: &Binding<'_>,
    r: &SecretScalar,
    s: &SecretScalar,
) -> ([PointBytes; 4], PointBytes) {
    let half_r = SecretScalar::new(r.expose().div_by_2());
    let half_s = SecretScalar::new(s.expose().div_by_2());
    let mut halves = [
        half_r.public(),
        half_r.expose() * &*B2_TABLE,
        half_s.public(),
        half_s.expose() * &*B2_TABLE,
        half_r.expose() * binding.public.point(),
    ];
    let mut encoded = RistrettoPoint::double_and_compress_batch(&halves);
    halves.zeroize();
    let points = [encoded[0].0, encoded[1].0, encoded[2].0, encoded[3].0];
    let shared = encoded[4].0;
    encoded.zeroize();
    (points, shared)
}

/// `z = s + e·r`.
fn response(s: &SecretScalar, e: Scalar, r: &SecretScalar) -> ScalarBytes {
    (s.expose() + e * r.expose()).to_bytes()
}

/// The zero nonce is safe because the wrapping key serves this one ciphertext.
fn wrap(dem: &[u8; 64], header: &[u8], payload_key: &SecretBytes<32>) -> [u8; WRAPPED_LEN] {
    let mut wrapped = [0; WRAPPED_LEN];
    let (body, tag) = wrapped.split_at_mut(32);
    body.copy_from_slice(payload_key.expose());
    tag.copy_from_slice(
        &wrapping_cipher(dem)
            .encrypt_inout_detached(&[0; 12].into(), header, body.into())
            .expect("32 bytes and a header in memory are far below the limits of AES-GCM"),
    );
    wrapped
}

/// AES-256-GCM under the first half of the derived bytes.
pub(super) fn wrapping_cipher(dem: &[u8; 64]) -> Aes256Gcm {
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(std::array::from_fn(|i| dem[i]));
    Aes256Gcm::new((&*key).into())
}
