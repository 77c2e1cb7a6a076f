//! Where a running node's random bytes come from: the operating system, always. Only the tests
//! of this crate can put a seed in its place, so that a simulation repeats byte for byte.

#[cfg(not(test))]
use rand::rngs::SysRng;
#[cfg(not(test))]
use rand_core::UnwrapErr;

/// The operating system's generator.
#[cfg(not(test))]
pub(crate) const fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

#[cfg(test)]
pub(crate) use crate::tests::entropy::rng;
