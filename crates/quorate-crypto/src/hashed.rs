//! Randomness that is hashed: block by block, each numbered.

use crate::secret::SecretBytes;
use rand_core::{Infallible, TryCryptoRng, TryRng};

/// A source of randomness whose blocks are what `block` makes of their numbers: SHA-512, in 64
/// bytes. It is as good as random to whoever does not know what else is hashed.
pub(crate) struct Hashed<F> {
    block: F,
    count: u64,
}

impl<F: FnMut(u64) -> SecretBytes<64>> Hashed<F> {
    pub(crate) fn new(block: F) -> Self {
        Self { block, count: 0 }
    }
}

impl<F: FnMut(u64) -> SecretBytes<64>> TryRng for Hashed<F> {
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

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        // What is left of a block is not used: no state but the count.
        for some in out.chunks_mut(64) {
            let block = (self.block)(self.count);
            self.count += 1;
            some.copy_from_slice(&block.expose()[..some.len()]);
        }
        Ok(())
    }
}

impl<F: FnMut(u64) -> SecretBytes<64>> TryCryptoRng for Hashed<F> {}
