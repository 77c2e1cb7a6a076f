//! A budget for asking more nodes than needed: a tenth of what succeeds.

use std::sync::{Mutex, PoisonError};

/// Extra calls that may be made without any success: when two nodes fall silent, two for each
/// request that is under way, of 25 in the time until it shows.
const FULL: f64 = 50.0;
/// What a success adds.
const PER_SUCCESS: f64 = 0.1;

/// A token bucket. When calls fail because everybody is overloaded, hedging would only
/// add to the load; then the bucket runs dry and exactly `t` nodes are asked.
#[derive(Debug)]
pub struct Budget(Mutex<f64>);

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(FULL))
    }
}

impl Budget {
    /// A call succeeded.
    pub fn earn(&self) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *tokens = (*tokens + PER_SUCCESS).min(FULL);
    }

    /// Whether an extra call may be made; it is then paid for.
    pub fn spend(&self) -> bool {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let affordable = *tokens >= 1.0;
        if affordable {
            *tokens -= 1.0;
        }
        affordable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_calls_are_a_tenth_of_successes() {
        let budget = Budget::default();
        let extra = (0..1000)
            .filter(|_| {
                budget.earn();
                budget.spend()
            })
            .count();
        let first = FULL as usize;
        assert!((first..=first + 101).contains(&extra), "{extra}");
    }

    #[test]
    fn without_success_it_runs_dry() {
        let budget = Budget::default();
        assert_eq!((0..100).filter(|_| budget.spend()).count(), FULL as usize);
    }
}
