//! The hashes of RFC 9497 §4.1 (ristretto255-SHA512), with its own context strings: they stand
//! outside the table of labels, and none of ours can be taken for one.

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

/// `contextString = "OPRFV1-" ‖ I2OSP(0x01, 1) ‖ "-" ‖ identifier` (§3.1).
macro_rules! with_context {
    ($prefix:literal) => {
        concat!($prefix, "OPRFV1-", "\u{1}", "-ristretto255-SHA512").as_bytes()
    };
}

const HASH_TO_GROUP: &[u8] = with_context!("HashToGroup-");
const HASH_TO_SCALAR: &[u8] = with_context!("HashToScalar-");
/// Domain of the seed of a batch's weights (§2.2.1).
pub(super) const SEED: &[u8] = with_context!("Seed-");

/// A SHA-512 block, which expand_message_xmd begins with.
const BLOCK: [u8; 128] = [0; 128];
/// One block of SHA-512 is all that is ever asked of expand_message_xmd.
const UNIFORM_LEN: u16 = 64;

/// `HashToGroup`: RFC 9380's hash_to_ristretto255 with expand_message_xmd.
pub(crate) fn hash_to_group(input: &[u8]) -> RistrettoPoint {
    let uniform = expand_message_xmd(&[input], HASH_TO_GROUP);
    RistrettoPoint::from_uniform_bytes(&uniform)
}

/// `HashToScalar`: 64 uniform bytes, little-endian, reduced mod ℓ.
pub(super) fn hash_to_scalar(parts: &[&[u8]]) -> Scalar {
    let uniform = expand_message_xmd(parts, HASH_TO_SCALAR);
    Scalar::from_bytes_mod_order_wide(&uniform)
}

/// `Hash`.
pub(super) fn hash(parts: &[&[u8]]) -> [u8; 64] {
    let mut h = Sha512::new();
    parts.iter().for_each(|part| h.update(part));
    h.finalize().into()
}

/// `I2OSP(len, 2)` of what is at most 65,535 bytes long.
pub(super) fn len(part: &[u8]) -> [u8; 2] {
    u16::try_from(part.len())
        .expect("inputs are at most MAX_INPUT, all else is short")
        .to_be_bytes()
}

/// RFC 9380 §5.3.1 for 64 bytes of SHA-512: `b_1`, with `ell = 1`. The message is the parts
/// one after the other.
fn expand_message_xmd(parts: &[&[u8]], dst: &[u8]) -> Zeroizing<[u8; 64]> {
    let dst_len = [u8::try_from(dst.len()).expect("the domains above are shorter than 256 bytes")];
    let mut h = Sha512::new();
    h.update(BLOCK);
    parts.iter().for_each(|part| h.update(part));
    h.update(UNIFORM_LEN.to_be_bytes());
    h.update([0]);
    h.update(dst);
    h.update(dst_len);
    let mut b0: [u8; 64] = h.finalize().into();
    let b1 = hash(&[&b0, &[1], dst, &dst_len]);
    b0.zeroize();
    Zeroizing::new(b1)
}
