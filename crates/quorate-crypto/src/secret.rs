//! Secrets: wiped on drop, never printed, never compared with `==`.

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A secret scalar. dalek's `Scalar` is `Copy` and prints its bytes; this is neither
/// and does neither. Every operation on it is constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretScalar(Scalar);

impl SecretScalar {
    /// Takes a scalar over; the caller wipes its own copy.
    #[must_use]
    pub fn new(scalar: Scalar) -> Self {
        Self(scalar)
    }

    /// A uniform scalar.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut wide = Zeroizing::new([0; 64]);
        rng.fill_bytes(&mut wide[..]);
        Self(Scalar::from_bytes_mod_order_wide(&wide))
    }

    /// Decodes a canonical scalar; `None` for one that is not below ℓ.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        Option::from(Scalar::from_canonical_bytes(*bytes)).map(Self)
    }

    /// The scalar of an Ed25519 private key (RFC 8032, §5.1.5): the first half of the hash of its
    /// 32 bytes, with bits cleared and set as there, mod ℓ. `B` has order ℓ, so its multiple is the
    /// same public key.
    #[must_use]
    pub fn from_ed25519_seed(seed: &[u8; 32]) -> Self {
        // 1. Hash the 32-byte private key using SHA-512
        let mut h = Zeroizing::new([0; 64]);
        h.copy_from_slice(&Zeroizing::new(Sha512::digest(seed))[..]);
        // 2. Prune the buffer: the lowest three bits of the first octet are cleared, the highest bit
        // of the last octet is cleared, and the second highest bit of the last octet is set.
        let mut pruned = Zeroizing::new([0; 32]);
        pruned.copy_from_slice(&h[..32]);
        pruned[0] &= 0b1111_1000;
        pruned[31] &= 0b0111_1111;
        pruned[31] |= 0b0100_0000;
        // 3. Interpret the buffer as the little-endian integer, forming a secret scalar s.
        Self(Scalar::from_bytes_mod_order(*pruned))
    }

    /// Whether it is zero, which shares nothing and has the identity as its public key. Variable
    /// time in that only.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0 == Scalar::ZERO
    }

    /// The canonical encoding, wiped on drop.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// `x·B`, constant time.
    #[must_use]
    pub fn public(&self) -> RistrettoPoint {
        RistrettoPoint::mul_base(&self.0)
    }

    /// The scalar, for arithmetic inside this workspace's cryptography only.
    #[must_use]
    pub fn expose(&self) -> &Scalar {
        &self.0
    }
}

impl fmt::Debug for SecretScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretScalar([redacted])")
    }
}

/// `N` secret bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes<const N: usize>([u8; N]);

impl<const N: usize> SecretBytes<N> {
    /// Takes bytes over; the caller wipes its own copy.
    #[must_use]
    pub fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Uniform bytes.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; N];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, §7.1 (tests 1 to 3 and SHA(abc)), and random ones against ed25519-dalek.
    #[test]
    fn the_scalar_of_a_seed_has_the_seeds_public_key() {
        let hex = |text: &str| <[u8; 32]>::try_from(hex::decode(text).unwrap()).unwrap();
        let rfc = [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            ),
            (
                "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
                "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            ),
        ];
        let edwards = crate::group::Group::Edwards25519;
        for (seed, public) in rfc {
            let scalar = SecretScalar::from_ed25519_seed(&hex(seed));
            assert_eq!(edwards.mul_base(&scalar).encode(), hex(public), "{seed}");
        }
        for _ in 0..100 {
            let seed = SecretBytes::<32>::random(&mut rand::rng());
            let scalar = SecretScalar::from_ed25519_seed(seed.expose());
            let theirs = ed25519_dalek::SigningKey::from_bytes(seed.expose()).verifying_key();
            assert_eq!(edwards.mul_base(&scalar).encode(), theirs.to_bytes());
            assert!(!scalar.is_zero());
        }
    }

    #[test]
    fn secrets_print_nothing_and_are_wiped() {
        let s = SecretScalar::new(Scalar::from(0x1234_5678_u64));
        assert_eq!(format!("{s:?}"), "SecretScalar([redacted])");
        assert_eq!(format!("{:?}", SecretBytes([7; 4])), "SecretBytes([redacted])");
        assert!(std::mem::needs_drop::<SecretScalar>());
        assert!(std::mem::needs_drop::<SecretBytes<32>>());
    }
}
