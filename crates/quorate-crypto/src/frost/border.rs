//! The border to `frost-ed25519`: our indices, shares, points and randomness as its own, by bytes.

use crate::{
    group::Element,
    hash::{Label, hash},
    index::ShareIndex,
    secret::{SecretBytes, SecretScalar},
};
use frost_ed25519::{
    Identifier, VerifyingKey,
    keys::{SigningShare, VerifyingShare},
    rand_core as rand_core_06,
};
use rand_core::{CryptoRng, TryCryptoRng, TryRng};
use std::convert::Infallible;
use zeroize::Zeroizing;

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
pub(super) struct Hedged<'a, R> {
    rng: &'a mut R,
    unique: &'a [u8],
    count: u64,
}

impl<'a, R: CryptoRng> Hedged<'a, R> {
    pub(super) fn new(unique: &'a [u8], rng: &'a mut R) -> Self {
        Self { rng, unique, count: 0 }
    }
}

impl<R: CryptoRng> TryRng for Hedged<'_, R> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Infallible> {
        for some in dest.chunks_mut(64) {
            let fresh = SecretBytes::<32>::random(self.rng);
            let count = self.count.to_be_bytes();
            self.count += 1;
            let parts: [&[u8]; 3] = [fresh.expose(), self.unique, &count];
            let wide = Zeroizing::new(hash(Label::FROST_NONCE, &parts));
            some.copy_from_slice(&wide[..some.len()]);
        }
        Ok(())
    }
}

impl<R: CryptoRng> TryCryptoRng for Hedged<'_, R> {}

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
