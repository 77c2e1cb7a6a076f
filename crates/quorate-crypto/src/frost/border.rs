//! The border to `frost-ed25519`: our indices, shares, points and randomness as its own, by bytes.

use crate::{group::Element, index::ShareIndex, secret::SecretScalar};
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
