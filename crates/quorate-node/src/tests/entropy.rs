//! A seed in the place of the operating system's generator, for one thread.

use rand::{
    SeedableRng,
    rngs::{StdRng, SysRng},
};
use rand_core::{Infallible, TryCryptoRng, TryRng, UnwrapErr};
use std::cell::RefCell;

thread_local! {
    static SEEDED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// From now on this thread's random bytes follow from a seed, or do not.
pub(crate) fn seed(seed: Option<u64>) {
    SEEDED.set(seed.map(StdRng::seed_from_u64));
}

/// The operating system's, or what follows from this thread's seed.
pub(crate) const fn rng() -> Entropy {
    Entropy
}

pub(crate) struct Entropy;

impl Entropy {
    fn with<T>(
        seeded: impl FnOnce(&mut StdRng) -> T,
        real: impl FnOnce(&mut UnwrapErr<SysRng>) -> T,
    ) -> T {
        SEEDED.with_borrow_mut(|known| match known {
            Some(known) => seeded(known),
            None => real(&mut UnwrapErr(SysRng)),
        })
    }
}

impl TryRng for Entropy {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Self::with(TryRng::try_next_u32, TryRng::try_next_u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Self::with(TryRng::try_next_u64, TryRng::try_next_u64)
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        SEEDED.with_borrow_mut(|known| match known {
            Some(known) => known.try_fill_bytes(out),
            None => UnwrapErr(SysRng).try_fill_bytes(out),
        })
    }
}

impl TryCryptoRng for Entropy {}
