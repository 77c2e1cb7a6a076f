//! What is known of a peer's speed and reachability: a hint for order and hedging, never
//! a judgement.

use std::time::Duration;
use tokio::time::Instant;

/// Latency before anything was measured: a node on the next continent.
const UNKNOWN: Duration = Duration::from_millis(50);
/// How long a failed peer is asked last.
const PENALTY: Duration = Duration::from_secs(5);
/// How long one is that stalls again each time it is tried.
const MOST_PENALTY: Duration = Duration::from_secs(60);
/// Bounds of the time after which a further node is asked.
const LEAST_HEDGE: Duration = Duration::from_millis(10);
const MOST_HEDGE: Duration = Duration::from_millis(1500);

/// A peer's recent behaviour.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health {
    mean: Option<Duration>,
    deviation: Duration,
    failed_at: Option<Instant>,
    failures: u32,
    outrun_at: Option<Instant>,
    /// Times in a row that it was outrun.
    outruns: u32,
    /// A call is finding out whether it is well again.
    tried_at: Option<Instant>,
}

impl Health {
    /// Moving average of the answers' latency; `None` before the first.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.mean
    }

    /// Whether the last call was answered (also a refusal is an answer), or none was made.
    #[must_use]
    pub fn reachable(&self) -> bool {
        self.failed_at.is_none()
    }

    /// Calls in a row that got no answer.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// An answer came (Jacobson's estimator: mean with gain 1/8, deviation with 1/4).
    pub(crate) fn answered(&mut self, took: Duration) {
        self.failed_at = None;
        self.failures = 0;
        self.tried_at = None;
        if took < self.hedge_after() {
            self.outrun_at = None;
            self.outruns = 0;
        }
        let Some(mean) = self.mean else {
            self.mean = Some(took);
            self.deviation = took / 2;
            return;
        };
        let error = took.abs_diff(mean);
        self.mean = Some(if took > mean { mean + error / 8 } else { mean - error / 8 });
        self.deviation = self.deviation * 3 / 4 + error / 4;
    }

    /// No answer came.
    pub(crate) fn failed(&mut self) {
        self.failed_at = Some(Instant::now());
        self.failures = self.failures.saturating_add(1);
    }

    /// No answer came in the time that a caller gave. The caller chose that time: less
    /// than the peer usually needs says nothing about the peer.
    pub(crate) fn timed_out(&mut self, waited: Duration) {
        if waited >= self.mean.map_or(UNKNOWN, |mean| mean + self.deviation * 2) {
            self.failed();
        }
    }

    /// Others answered first, or are asked in its place. One that was overdue by then is slow,
    /// though nobody will ever measure how slow: without this it would stay the preferred one for
    /// ever. Requests that overlap find out once: what counts is each time that it is tried again.
    pub(crate) fn outrun(&mut self, waited: Duration) {
        if waited >= self.hedge_after() && !self.is_outrun() {
            self.outrun_at = Some(Instant::now());
            self.outruns = self.outruns.saturating_add(1);
        }
    }

    /// It is asked. After a penalty one call finds out how it is; until that shows, others ask it
    /// last.
    pub(crate) fn asked(&mut self) {
        if (self.failed_at.is_some() || self.outrun_at.is_some()) && !self.rank().0 {
            self.tried_at = Some(Instant::now());
        }
    }

    /// Smaller is asked earlier.
    pub(crate) fn rank(&self) -> (bool, Duration) {
        let failed = self.failed_at.is_some_and(|at| at.elapsed() < PENALTY);
        let tried = self.tried_at.is_some_and(|at| at.elapsed() < MOST_HEDGE);
        (failed || tried || self.is_outrun(), self.mean.unwrap_or(UNKNOWN))
    }

    fn is_outrun(&self) -> bool {
        self.outrun_at.is_some_and(|at| at.elapsed() < self.outrun_penalty())
    }

    fn outrun_penalty(&self) -> Duration {
        let doublings = self.outruns.saturating_sub(1).min(8);
        (PENALTY * (1 << doublings)).min(MOST_PENALTY)
    }

    /// About the 95th percentile of the expected latency: the mean and two deviations.
    pub(crate) fn hedge_after(&self) -> Duration {
        let expected = self.mean.map_or(UNKNOWN * 4, |mean| mean + self.deviation * 2);
        expected.clamp(LEAST_HEDGE, MOST_HEDGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fast_peers_are_asked_first_and_failed_ones_last_for_a_while() {
        let (mut fast, mut slow, mut failed) =
            (Health::default(), Health::default(), Health::default());
        fast.answered(Duration::from_millis(2));
        slow.answered(Duration::from_millis(80));
        failed.answered(Duration::from_millis(1));
        failed.failed();
        assert!(fast.rank() < Health::default().rank());
        assert!(Health::default().rank() < slow.rank());
        assert!(slow.rank() < failed.rank());
        tokio::time::advance(PENALTY).await;
        assert!(failed.rank() < fast.rank());
        assert!(!failed.reachable());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stalls_each_time_is_tried_ever_more_rarely() {
        let mut health = Health::default();
        health.answered(Duration::from_millis(2));
        let good = health;
        for seconds in [5, 10, 20, 40, 60, 60] {
            health.outrun(Duration::from_millis(500));
            tokio::time::advance(Duration::from_millis(seconds * 1000 - 1)).await;
            assert!(health.rank() > good.rank(), "{seconds}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(health.rank(), good.rank(), "{seconds}");
        }
        health.answered(Duration::from_millis(2));
        assert_eq!(health.outruns, 0);
        health.outrun(Duration::from_millis(1)); // it was not overdue
        assert_eq!(health.rank(), good.rank());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_overlap_count_one_stall() {
        let mut health = Health::default();
        health.answered(Duration::from_millis(2));
        for _ in 0..100 {
            health.outrun(Duration::from_millis(500));
        }
        assert_eq!(health.outruns, 1);
        tokio::time::advance(PENALTY).await;
        assert!(!health.rank().0);
    }

    #[test]
    fn the_hedge_follows_the_latency_within_bounds() {
        let mut health = Health::default();
        for _ in 0..50 {
            health.answered(Duration::from_millis(100));
        }
        let hedge = health.hedge_after();
        assert!((100..120).contains(&hedge.as_millis()), "{hedge:?}");
        health.answered(Duration::from_secs(100));
        assert_eq!(health.hedge_after(), MOST_HEDGE);
    }
}
