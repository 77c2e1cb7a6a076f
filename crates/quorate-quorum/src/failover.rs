//! One of several equal servers: the one that answered last, else another.

use crate::budget::Budget;
use quorate_rpc::{Channel, Deadline, Fault, FaultKind, Retry};
use rand::RngExt;
use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// The longest pause before a second try: it is drawn at random below this.
const JITTER: Duration = Duration::from_millis(100);

/// Channels to servers that are all the same to the caller.
#[derive(Debug)]
pub struct Failover {
    channels: Vec<Channel>,
    preferred: AtomicUsize,
    budget: Budget,
}

impl Failover {
    /// A choice among `channels`, beginning with the first.
    #[must_use]
    pub fn new(channels: Vec<Channel>) -> Self {
        Self { channels, preferred: AtomicUsize::new(0), budget: Budget::default() }
    }

    /// Calls the preferred server; if it gives no answer, each other in turn, and if
    /// there is no other the same once more. A decision is final. A server that answers
    /// becomes the preferred one, one that does not ceases to be.
    ///
    /// Further tries are paid for out of a budget of a tenth of the successes: in an
    /// outage each call is soon made once only, each at the next server. As long as
    /// there are others, a try may take half of the time that is left, so `call` must be
    /// safe to make again: requests are, by their id.
    ///
    /// # Errors
    /// The last fault; it says what to do.
    pub async fn call<T, F, Fut>(&self, deadline: Deadline, call: F) -> Result<T, Fault>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        let count = self.channels.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut last = Fault::unavailable("no coordinator is known: the roster names none");
        for attempt in 0..count.max(2) {
            let at = (first + attempt) % count.max(1);
            let Some(channel) = self.channels.get(at) else { break };
            if attempt > 0 {
                if !self.affords(&last) {
                    break;
                }
                sleep(pause(&last, attempt >= count)).await;
            }
            let left = deadline.remaining();
            let span = if attempt + 1 < count { left / 2 } else { left };
            let answered = timeout(span, call(channel.clone())).await;
            match answered.unwrap_or_else(|_| Err(silent())) {
                Ok(answer) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    self.budget.earn();
                    return Ok(answer);
                }
                Err(fault) if fault.retry() == Retry::Never => return Err(fault),
                Err(fault) => last = fault,
            }
            // Unless another call has already moved on.
            let next = (at + 1) % count;
            let _ = self.preferred.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
            if deadline.remaining().is_zero() {
                break;
            }
        }
        Err(last)
    }

    /// A peer with another key did no work for us: passing it by adds no load.
    fn affords(&self, last: &Fault) -> bool {
        last.kind == FaultKind::WrongPeer || self.budget.spend()
    }
}

fn silent() -> Fault {
    let text = "no coordinator answered in time; is one running and reachable?";
    Fault::new(FaultKind::DeadlineExceeded, text)
}

/// The pause that a server asked for if it is the same one; else full jitter.
fn pause(last: &Fault, same: bool) -> Duration {
    let jitter = JITTER.mul_f64(rand::rng().random::<f64>());
    match last.retry() {
        Retry::After(asked) if same => asked.min(Duration::from_secs(2)) + jitter,
        _ => jitter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_crypto::IdentityKey;
    use quorate_rpc::{DialOptions, Dialer};
    use std::sync::Mutex;

    fn failover(count: u16) -> Failover {
        let key = IdentityKey::from_seed(&[1; 32]);
        let dialer = Dialer::new(&key, DialOptions::default()).unwrap();
        let channel = |i: u16| dialer.channel(&format!("127.0.0.1:{}", 9000 + i), key.public());
        Failover::new((0..count).map(|i| channel(i).unwrap()).collect())
    }

    /// Calls with a script of outcomes; how many calls were made, and the result.
    async fn run(
        failover: &Failover,
        script: Vec<Result<u8, Fault>>,
    ) -> (usize, Result<u8, Fault>) {
        let calls = Mutex::new(script.into_iter());
        let made = AtomicUsize::new(0);
        let result = failover
            .call(Deadline::after(Duration::from_secs(5)), |_| {
                made.fetch_add(1, Ordering::Relaxed);
                let next = calls.lock().unwrap().next().expect("no more calls than scripted");
                async move { next }
            })
            .await;
        (made.into_inner(), result)
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_one_is_asked_and_kept() {
        let failover = failover(3);
        let down = || Err(Fault::unavailable("down"));
        assert_eq!(run(&failover, vec![down(), Ok(1)]).await, (2, Ok(1)));
        assert_eq!(failover.preferred.load(Ordering::Relaxed), 1);
        assert_eq!(run(&failover, vec![Ok(2)]).await, (1, Ok(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_decision_is_final_and_a_single_server_is_asked_twice() {
        let failover = failover(1);
        let denied = Err(Fault::denied("no"));
        assert_eq!(run(&failover, vec![denied.clone()]).await, (1, denied));
        let down = || Err(Fault::unavailable("down"));
        assert_eq!(run(&failover, vec![down(), Ok(7)]).await, (2, Ok(7)));
        assert_eq!(run(&failover, vec![down(), down()]).await.0, 2);
    }

    /// The first server takes connections and says nothing.
    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_left_for_another() {
        let failover = failover(2);
        let deadline = || Deadline::after(Duration::from_secs(4));
        let silent_first = |calls: &AtomicUsize| {
            let silent = calls.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                if silent {
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
        };
        let calls = AtomicUsize::new(0);
        assert_eq!(failover.call(deadline(), |_| silent_first(&calls)).await, Ok(()));
        assert_eq!(failover.preferred.load(Ordering::Relaxed), 1);
        let never = failover.call::<(), _, _>(deadline(), |_| std::future::pending()).await;
        assert_eq!(never.unwrap_err().kind, FaultKind::DeadlineExceeded);
    }

    /// Row 38: when everybody sheds load, second tries end, and each call goes on to be
    /// made once, each time at the next server.
    #[tokio::test(start_paused = true)]
    async fn an_outage_brings_no_storm_of_retries() {
        let failover = failover(3);
        let shed = || Err(Fault::overloaded("full", Duration::from_millis(50)));
        let mut made = 0;
        for _ in 0..100 {
            made += run(&failover, vec![shed(), shed(), shed()]).await.0;
        }
        assert!((100..=112).contains(&made), "{made} calls for 100");
        // One is back: it is found within a round, and kept.
        let mut served = 0;
        for _ in 0..5 {
            let result = failover
                .call(Deadline::after(Duration::from_secs(5)), |_| {
                    let second = failover.preferred.load(Ordering::Relaxed) == 2;
                    async move { if second { Ok(()) } else { shed().map(|_: u8| ()) } }
                })
                .await;
            served += usize::from(result.is_ok());
        }
        assert!(served >= 3, "{served}");
    }

    /// A wrong key is no load: all are tried, whatever the budget.
    #[tokio::test(start_paused = true)]
    async fn every_key_that_may_answer_is_tried() {
        let failover = failover(4);
        let wrong = || Err(Fault::new(FaultKind::WrongPeer, "another key"));
        for _ in 0..50 {
            failover.preferred.store(0, Ordering::Relaxed);
            let script = vec![wrong(), wrong(), wrong(), Ok(1)];
            assert_eq!(run(&failover, script).await, (4, Ok(1)));
        }
    }

    #[tokio::test]
    async fn without_servers_it_says_so() {
        let (calls, result) = run(&Failover::new(Vec::new()), Vec::new()).await;
        assert_eq!(calls, 0);
        assert!(result.unwrap_err().message.contains("roster"));
    }
}
