//! Time: the wall clock for what others state, the monotonic clock for how long.

use quorate_types::Millis;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// What the operating system says the time is. May jump.
    pub wall: Millis,
    /// Since some moment before the start of the process. Never jumps.
    pub steady: Duration,
}

/// Tells the time. The process has one; tests have their own.
pub trait Clock: Send + Sync {
    /// Reads both clocks.
    fn now(&self) -> Now;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// Begins to count.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        // A clock before 1970 is wrong by half a century: every request will be refused.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX));
        Now { wall, steady: self.0.elapsed() }
    }
}
