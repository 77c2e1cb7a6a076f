//! Deadlines travel with the request, so that nobody works for a caller who has left.

use crate::{
    status::{Fault, FaultKind},
    version,
};
use http::HeaderMap;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, metadata::MetadataMap};

/// What each hop keeps for itself: its own work and the way back.
pub const HOP_MARGIN: Duration = Duration::from_millis(5);

/// The most that a collector keeps for what it has collected.
const COLLECT_MARGIN: Duration = Duration::from_secs(1);

/// With less left than this, nothing is begun.
pub const LEAST_USEFUL: Duration = Duration::from_millis(20);

/// A moment (monotonic) after which nobody waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn after(span: Duration) -> Self {
        let now = Instant::now();
        Self(now.checked_add(span.min(LONGEST)).unwrap_or(now))
    }

    /// That of a request that was just received: its `grpc-timeout`, at most `longest`,
    /// which also holds if the caller states none.
    #[must_use]
    pub fn of(metadata: &MetadataMap, longest: Duration) -> Self {
        let stated = metadata.get(TIMEOUT).and_then(|value| parse(value.to_str().ok()?));
        Self::after(stated.map_or(longest, |stated| stated.min(longest)))
    }

    pub(crate) fn stated(headers: &HeaderMap) -> Option<Duration> {
        headers.get(TIMEOUT).and_then(|value| parse(value.to_str().ok()?))
    }

    /// The moment.
    #[must_use]
    pub fn instant(&self) -> Instant {
        self.0
    }

    /// What is left.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// When one who collects answers stops to wait: a tenth of the rest before the deadline, a
    /// second at most. What has come, and who is silent, must still reach a caller who waits until
    /// the deadline itself; else silent nodes look like a silent collector.
    #[must_use]
    pub fn for_collecting(&self) -> Self {
        let margin = (self.remaining() / 10).min(COLLECT_MARGIN);
        Self(self.0.checked_sub(margin).unwrap_or(self.0))
    }

    /// What the next hop may have: the rest less [`HOP_MARGIN`].
    ///
    /// # Errors
    /// `DEADLINE_EXCEEDED` when less than [`LEAST_USEFUL`] is left.
    pub fn forward(&self) -> Result<Duration, Fault> {
        let left = self.remaining();
        if left < LEAST_USEFUL {
            return Err(Fault::new(
                FaultKind::DeadlineExceeded,
                "less than 20 ms are left, too little to ask anyone: allow more time",
            ));
        }
        Ok(left - HOP_MARGIN)
    }

    /// The message with what is left as its `grpc-timeout`, which the server obeys, and the
    /// protocol that we speak.
    ///
    /// # Errors
    /// As [`Deadline::forward`].
    pub fn request<T>(&self, message: T) -> Result<Request<T>, Fault> {
        let mut request = Request::new(message);
        request.set_timeout(self.forward()?);
        version::state(request.metadata_mut());
        Ok(request)
    }
}

const TIMEOUT: &str = "grpc-timeout";
/// A day: beyond every limit of ours, within every clock.
const LONGEST: Duration = Duration::from_secs(86_400);

/// gRPC's `TimeoutValue TimeoutUnit`: one to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (value, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if value.is_empty() || value.len() > 8 || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = value.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_grpc_timeouts() {
        for (text, want) in [
            ("1H", Some(3_600_000)),
            ("2M", Some(120_000)),
            ("3S", Some(3_000)),
            ("250m", Some(250)),
            ("99999999S", Some(99_999_999_000)),
            ("999999999S", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("+1S", None),
            ("1é", None),
            ("1.5S", None),
        ] {
            assert_eq!(parse(text).map(|d| d.as_millis()), want, "{text}");
        }
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parse("7n"), Some(Duration::from_nanos(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hop_keeps_its_margin_and_begins_nothing_late() {
        let deadline = Deadline::after(Duration::from_millis(100));
        assert_eq!(deadline.forward(), Ok(Duration::from_millis(95)));
        tokio::time::advance(Duration::from_millis(80)).await;
        assert_eq!(deadline.forward(), Ok(Duration::from_millis(15)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(deadline.forward().unwrap_err().kind, FaultKind::DeadlineExceeded);
        assert!(deadline.request(()).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_collects_stops_before_its_caller_does() {
        for (left, collects) in [(100, 90), (2_000, 1_800), (10_000, 9_000), (60_000, 59_000)] {
            let deadline = Deadline::after(Duration::from_millis(left));
            let until = deadline.for_collecting().remaining();
            assert_eq!(until, Duration::from_millis(collects));
        }
        let over = Deadline::after(Duration::ZERO);
        assert_eq!(over.for_collecting(), over);
    }

    #[tokio::test(start_paused = true)]
    async fn a_received_deadline_is_capped() {
        let longest = Duration::from_secs(2);
        let mut request = Request::new(());
        assert_eq!(Deadline::of(request.metadata(), longest).remaining(), longest);
        request.set_timeout(Duration::from_secs(3600));
        assert_eq!(Deadline::of(request.metadata(), longest).remaining(), longest);
        request.set_timeout(Duration::from_millis(700));
        let stated = Deadline::of(request.metadata(), longest).remaining();
        assert_eq!(stated, Duration::from_millis(700));
    }
}
