//! The border to `frost-ed25519`: our indices, shares, points and randomness as its own, by bytes.

use crate::{
    group::Element,
    hash::{Label, hash},
    hashed::Hashed,
    index::ShareIndex,
    secret::{SecretBytes, SecretScalar},
};
use frost_ed25519::{
    Identifier, VerifyingKey,
    keys::{SigningShare, VerifyingShare},
    rand_core as rand_core_06,
};
use rand_core::CryptoRng;

/// What crosses no border, though it should: ours, for every value here is valid by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Barred;

/// An index is never 0, which is all that an identifier must not be.
pub(super) fn identifier(index: ShareIndex) -> Result<Identifier, Barred> {
    Identifier::try_from(index.get()).map_err(|_| Barred)
}

pub(super) fn signing_share(share: &SecretScalar) -> Result<SigningShare, Barred> {
    SigningShare::deserialize(&share.to_bytes()[..]).map_err(|_| Barred)
}

/// Decoded once more, as strictly: it refuses the identity and points with torsion, among
/// which are all that have a second encoding.
pub(super) fn verifying_share(point: &Element) -> Result<VerifyingShare, Barred> {
    let Element::Edwards(_) = point else { return Err(Barred) };
    VerifyingShare::deserialize(&point.encode()).map_err(|_| Barred)
}

pub(super) fn verifying_key(point: &Element) -> Result<VerifyingKey, Barred> {
    let Element::Edwards(_) = point else { return Err(Barred) };
    VerifyingKey::deserialize(&point.encode()).map_err(|_| Barred)
}

/// A source of randomness that does not repeat itself even where the one behind it does: every
/// output is hashed from fresh bytes, what is unique to this use, and a count.
pub(super) fn hedged<'a>(
    unique: &'a [u8],
    rng: &'a mut impl CryptoRng,
) -> Hashed<impl FnMut(u64) -> SecretBytes<64> + 'a> {
    Hashed::new(move |count| {
        let fresh = SecretBytes::<32>::random(rng);
        let parts: [&[u8]; 3] = [fresh.expose(), unique, &count.to_be_bytes()];
        SecretBytes::new(hash(Label::FROST_NONCE, &parts))
    })
}

/// Today's source of randomness behind the interface of `rand_core` 0.6.
pub(super) struct Rng06<'a, R>(pub(super) &'a mut R);

impl<R: CryptoRng> rand_core_06::RngCore for Rng06<'_, R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill_bytes(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}

impl<R: CryptoRng> rand_core_06::CryptoRng for Rng06<'_, R> {}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::{Infallible, Rng, TryCryptoRng, TryRng};

    /// As broken as can be.
    struct Sevens;

    impl TryRng for Sevens {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(0x0707_0707)
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(0x0707_0707_0707_0707)
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            out.fill(7);
            Ok(())
        }
    }

    impl TryCryptoRng for Sevens {}

    #[test]
    fn what_is_hashed_beside_fresh_bytes_is_what_is_unique_and_a_count() {
        let mut bytes = [0; 80];
        hedged(b"unique", &mut Sevens).fill_bytes(&mut bytes);
        assert_eq!(
            hex::encode(bytes),
            concat!(
                "5b103ce6201aeead9c476f047d6c8814d13094a869d7f9895edaa23f6808f1118fea4ebbb04cd775",
                "ace00c79c345ef11a8a20d19504ccf35705d239b17c776eec346f13ca15d67f986cf8d70b177fe62"
            )
        );
    }
}
