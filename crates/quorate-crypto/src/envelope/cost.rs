//! What it costs to try a passphrase.

use crate::SecretBytes;
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

/// Why a cost is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CostError {
    /// Cheaper than the reader accepts.
    #[error(
        "the passphrase was hardened with {found}, at least {floor} is asked: the file was \
         changed, or seal it again"
    )]
    BelowFloor {
        /// What the file says.
        found: Cost,
        /// What the reader asks for.
        floor: Cost,
    },
    /// Dearer than anything of ours.
    #[error(
        "the passphrase is said to be hardened with {found}, at most {} is accepted",
        Cost::CEILING
    )]
    AboveCeiling {
        /// What the file says.
        found: Cost,
    },
    /// No parameters of Argon2id, or the memory is not to be had.
    #[error("Argon2id cannot run with {found}")]
    Argon2 {
        /// The parameters.
        found: Cost,
    },
}

/// Parameters of Argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} KiB of memory, {} passes, {} lanes", self.memory_kib, self.passes, self.lanes)
    }
}

impl Cost {
    /// What we seal with: 256 MiB, 3 passes; about half a second.
    pub const DEFAULT: Self = Self { memory_kib: 256 * 1024, passes: 3, lanes: 1 };

    /// The least that is accepted for what people type: 64 MiB, 3 passes (RFC 9106 §4, the
    /// choice for little memory).
    pub const FLOOR: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

    /// The most that a file can ask for: 2 GiB, 16 passes, 4 lanes.
    pub const CEILING: Self = Self { memory_kib: 2 * 1024 * 1024, passes: 16, lanes: 4 };

    /// Far below [`Cost::FLOOR`]: opens only where this very cost is given as the floor.
    #[must_use]
    pub const fn danger_for_tests() -> Self {
        Self { memory_kib: 32, passes: 1, lanes: 1 }
    }

    /// Bytes in a header.
    pub(super) const LEN: usize = 12;

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..4].copy_from_slice(&self.memory_kib.to_be_bytes());
        out[4..8].copy_from_slice(&self.passes.to_be_bytes());
        out[8..].copy_from_slice(&self.lanes.to_be_bytes());
        out
    }

    /// Reads a cost that lies between `floor` and [`Cost::CEILING`] in every parameter.
    pub(super) fn from_bytes(bytes: &[u8; Self::LEN], floor: &Self) -> Result<Self, CostError> {
        let word = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        let found = Self { memory_kib: word(0), passes: word(4), lanes: word(8) };
        if !floor.covered_by(&found) {
            return Err(CostError::BelowFloor { found, floor: *floor });
        }
        if !found.covered_by(&Self::CEILING) {
            return Err(CostError::AboveCeiling { found });
        }
        Ok(found)
    }

    /// Argon2id version 1.3, 32 bytes.
    pub(super) fn derive(
        &self,
        passphrase: &[u8],
        salt: &[u8],
    ) -> Result<SecretBytes<32>, CostError> {
        let refused = |_| CostError::Argon2 { found: *self };
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(refused)?;
        let mut out = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, salt, &mut out[..])
            .map_err(refused)?;
        Ok(SecretBytes::new(*out))
    }

    fn covered_by(&self, other: &Self) -> bool {
        self.memory_kib <= other.memory_kib
            && self.passes <= other.passes
            && self.lanes <= other.lanes
    }
}

#[cfg(test)]
impl Cost {
    pub(super) fn from_bytes_unchecked([memory_kib, passes, lanes]: [u32; 3]) -> Self {
        Self { memory_kib, passes, lanes }
    }
}
