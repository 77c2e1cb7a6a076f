//! Share indices and thresholds, valid by construction.

use std::{fmt, num::NonZeroU16};

/// The largest committee: bounds every message and every loop over members.
pub const MAX_COMMITTEE: usize = 64;

/// Why a number is no index or threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// A polynomial at 0 is the secret itself.
    #[error("a share index must be 1 to 65535, got 0: the share at 0 is the key")]
    Zero,
    /// Below 2 one node would hold the key; above the committee nobody could use it.
    #[error("a threshold must be 2 to {n} for a committee of {n}, got {t}")]
    Threshold {
        /// The threshold asked for.
        t: u16,
        /// The committee's size.
        n: usize,
    },
}

/// The x-coordinate of a share: 1 to 65535, never 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareIndex(NonZeroU16);

impl ShareIndex {
    /// # Errors
    /// [`IndexError::Zero`] for 0.
    pub const fn new(index: u16) -> Result<Self, IndexError> {
        match NonZeroU16::new(index) {
            Some(i) => Ok(Self(i)),
            None => Err(IndexError::Zero),
        }
    }

    /// The last one: it stands for the owner where a key is imported, who holds no share.
    pub const OWNER: Self = Self(NonZeroU16::MAX);

    /// The number, 1 to 65535.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for ShareIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ShareIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many shares use a key: 2 to the committee's size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Threshold(NonZeroU16);

impl Threshold {
    /// A threshold for a committee of `n`.
    ///
    /// # Errors
    /// [`IndexError::Threshold`] unless `2 <= t <= n`.
    pub fn new(t: u16, n: usize) -> Result<Self, IndexError> {
        match NonZeroU16::new(t) {
            Some(value) if t >= 2 && usize::from(t) <= n => Ok(Self(value)),
            _ => Err(IndexError::Threshold { t, n }),
        }
    }

    /// The number of shares.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The number of shares, to compare with lengths.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0.get() as usize
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
