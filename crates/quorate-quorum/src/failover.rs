//! One of several equal servers: the one that answered last, else another.

use quorate_rpc::{Channel, Deadline, Fault, FaultKind, Retry};
use rand::RngExt;
use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::time::{sleep, timeout_at};

/// The longest pause before a second try: it is drawn at random below this.
const JITTER: Duration = Duration::from_millis(100);

/// Channels to servers that are all the same to the caller.
#[derive(Debug)]
pub struct Failover {
    channels: Vec<Channel>,
    preferred: AtomicUsize,
}

impl Failover {
    /// A choice among `channels`, beginning with the first.
    #[must_use]
    pub fn new(channels: Vec<Channel>) -> Self {
        Self { channels, preferred: AtomicUsize::new(0) }
    }

    /// Calls the preferred server; if it gives no answer, each other in turn, and if
    /// there is no other the same once more. A decision is final. A server that answers
    /// becomes the preferred one.
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
            let Some(channel) = self.channels.get((first + attempt) % count.max(1)) else { break };
            if attempt > 0 {
                sleep(pause(&last, attempt >= count)).await;
            }
            let answered = timeout_at(deadline.instant(), call(channel.clone())).await;
            match answered {
                Ok(Ok(answer)) => {
                    self.preferred.store((first + attempt) % count, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Err(fault)) if fault.retry() == Retry::Never => return Err(fault),
                Ok(Err(fault)) => last = fault,
                Err(_) => {
                    let text = "no coordinator answered in time; is one running and reachable?";
                    return Err(Fault::new(FaultKind::DeadlineExceeded, text));
                }
            }
        }
        Err(last)
    }
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

    #[tokio::test]
    async fn without_servers_it_says_so() {
        let (calls, result) = run(&Failover::new(Vec::new()), Vec::new()).await;
        assert_eq!(calls, 0);
        assert!(result.unwrap_err().message.contains("roster"));
    }
}
