//! A budget for asking more nodes than needed: a tenth of what succeeds.

use std::sync::{Mutex, PoisonError};

/// Extra calls that may be made without any success, by default.
const FULL: f64 = 10.0;
/// What a success adds.
const PER_SUCCESS: f64 = 0.1;

/// A token bucket. When calls fail because everybody is overloaded, hedging would only
/// add to the load; then the bucket runs dry and exactly `t` nodes are asked.
#[derive(Debug)]
pub struct Budget {
    tokens: Mutex<f64>,
    full: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self::holding(FULL)
    }
}

impl Budget {
    /// A budget for so many extra calls without any success.
    #[must_use]
    pub fn holding(full: f64) -> Self {
        Self { tokens: Mutex::new(full), full }
    }

    /// A call succeeded.
    pub fn earn(&self) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        *tokens = (*tokens + PER_SUCCESS).min(self.full);
    }

    /// Whether an extra call may be made; it is then paid for.
    pub fn spend(&self) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
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
        assert!((100..=111).contains(&extra), "{extra}");
    }

    #[test]
    fn without_success_it_runs_dry() {
        let budget = Budget::default();
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    }
}
