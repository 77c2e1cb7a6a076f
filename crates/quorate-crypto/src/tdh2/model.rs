//! TDH2 written down once more, slow and plainly: bit by bit, one thing at a time. It shares
//! nothing with the code under test but dalek's point addition and scalar arithmetic.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use curve25519_dalek::{RistrettoPoint, constants::RISTRETTO_BASEPOINT_POINT, scalar::Scalar};
use sha2::{Digest, Sha512};

pub(super) fn h(label: &str, parts: &[&[u8]]) -> [u8; 64] {
    let mut input = Vec::new();
    for part in [&[label.as_bytes()], parts].concat() {
        input.extend_from_slice(&(part.len() as u64).to_be_bytes());
        input.extend_from_slice(part);
    }
    Sha512::digest(&input).into()
}

pub(super) fn scalar(label: &str, parts: &[&[u8]]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&h(label, parts))
}

/// Double and add.
pub(super) fn times(k: &Scalar, point: RistrettoPoint) -> RistrettoPoint {
    let mut sum = RistrettoPoint::default();
    for bit in (0..256).rev() {
        sum += sum;
        if k.as_bytes()[bit / 8] >> (bit % 8) & 1 == 1 {
            sum += point;
        }
    }
    sum
}

pub(super) fn base() -> RistrettoPoint {
    RISTRETTO_BASEPOINT_POINT
}

pub(super) fn base2() -> RistrettoPoint {
    let digest: [u8; 64] = Sha512::digest(b"quorate/v1/group/second-generator.").into();
    RistrettoPoint::from_uniform_bytes(&digest)
}

pub(super) fn bytes(point: RistrettoPoint) -> [u8; 32] {
    point.compress().0
}

pub(super) fn aes_256_gcm(key: &[u8], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut out = plaintext.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut out).unwrap();
    out
}

pub(super) struct Inputs<'a> {
    pub(super) fingerprint: [u8; 32],
    pub(super) key: &'a str,
    pub(super) version: u32,
    pub(super) public: RistrettoPoint,
    pub(super) label: &'a str,
    pub(super) header: &'a str,
    pub(super) r: Scalar,
    pub(super) s: Scalar,
    pub(super) payload_key: [u8; 32],
}

pub(super) struct Sealed {
    pub(super) points: [[u8; 32]; 4],
    pub(super) shared: [u8; 32],
    pub(super) dem: [u8; 64],
    pub(super) wrapped: Vec<u8>,
    pub(super) e: Scalar,
    pub(super) z: Scalar,
}

impl Sealed {
    pub(super) fn ciphertext(&self) -> Vec<u8> {
        let mut out = self.points.concat();
        out.extend_from_slice(self.z.as_bytes());
        out.extend_from_slice(&self.dem[32..]);
        out.extend_from_slice(&self.wrapped);
        out
    }
}

pub(super) fn seal(i: &Inputs<'_>) -> Sealed {
    let [u, u2, w, w2] = [(i.r, base()), (i.r, base2()), (i.s, base()), (i.s, base2())]
        .map(|(k, point)| bytes(times(&k, point)));
    let shared = bytes(times(&i.r, i.public));
    let version = i.version.to_be_bytes();
    let (key, label, header) = (i.key.as_bytes(), i.label.as_bytes(), i.header.as_bytes());
    let dem = h("quorate/v1/tdh2/dem.", &[&i.fingerprint, key, &version, &u, &shared, label]);
    let wrapped = aes_256_gcm(&dem[..32], header, &i.payload_key);
    let y = bytes(i.public);
    let e = scalar(
        "quorate/v1/tdh2/proof.",
        &[&i.fingerprint, key, &version, &y, label, &u, &u2, &w, &w2, header, &dem[32..], &wrapped],
    );
    Sealed { points: [u, u2, w, w2], shared, dem, wrapped, e, z: i.s + e * i.r }
}

/// `f(x)` of the polynomial with these coefficients, power by power.
pub(super) fn share(coefficients: &[Scalar], x: u16) -> Scalar {
    let mut power = Scalar::ONE;
    let mut sum = Scalar::ZERO;
    for c in coefficients {
        sum += c * power;
        power *= Scalar::from(x);
    }
    sum
}

pub(super) fn combine(partials: &[(u16, RistrettoPoint)]) -> RistrettoPoint {
    let mut sum = RistrettoPoint::default();
    for (i, point) in partials {
        let mut lambda = Scalar::ONE;
        for (j, _) in partials.iter().filter(|(j, _)| j != i) {
            lambda *= Scalar::from(*j) * (Scalar::from(*j) - Scalar::from(*i)).invert();
        }
        sum += times(&lambda, *point);
    }
    sum
}

/// 48 bytes that AES-256-GCM opens under both keys, with a zero nonce and no associated data.
/// One tag is asked of two GHASH polynomials that differ in their first block only by what is
/// solved for: `C1·(H³ + H'³) = C2·(H² + H'²) + L·(H + H') + E + E'` in GF(2¹²⁸).
pub(super) fn gcm_for_two_keys(keys: [[u8; 32]; 2]) -> [u8; 48] {
    use aes_gcm::aes::{
        Aes256,
        cipher::{BlockCipherEncrypt, KeyInit},
    };
    let encrypt = |key: &[u8; 32], block: u128| {
        let mut block = block.to_be_bytes().into();
        Aes256::new(key.into()).encrypt_block(&mut block);
        u128::from_be_bytes(block.into())
    };
    let [h, g] = keys.each_ref().map(|k| encrypt(k, 0));
    let [e, f] = keys.each_ref().map(|k| encrypt(k, 1));
    let (h2, g2) = (gf(h, h), gf(g, g));
    let (h3, g3) = (gf(h2, h), gf(g2, g));
    let (c2, lengths) = (0x1234, 256);
    let right = gf(c2, h2 ^ g2) ^ gf(lengths, h ^ g) ^ e ^ f;
    let c1 = gf(right, gf_inverse(h3 ^ g3));
    let tag = gf(c1, h3) ^ gf(c2, h2) ^ gf(lengths, h) ^ e;
    let mut out = [0; 48];
    for (to, block) in out.chunks_mut(16).zip([c1, c2, tag]) {
        to.copy_from_slice(&block.to_be_bytes());
    }
    out
}

/// NIST SP 800-38D, algorithm 1: the first bit is the lowest power.
fn gf(x: u128, y: u128) -> u128 {
    let (mut z, mut v) = (0, y);
    for bit in (0..128).rev() {
        if x >> bit & 1 == 1 {
            z ^= v;
        }
        v = if v & 1 == 1 { v >> 1 ^ 0xe1 << 120 } else { v >> 1 };
    }
    z
}

/// `x^(2¹²⁸ − 2)`.
fn gf_inverse(x: u128) -> u128 {
    let (mut power, mut product) = (x, 1 << 127);
    for _ in 1..128 {
        power = gf(power, power);
        product = gf(product, power);
    }
    product
}
