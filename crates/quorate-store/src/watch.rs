//! Wakes a thread that sled would let sleep for ever.
//!
//! sled 0.34 writes its buffers on threads of its own. If such a write fails and it was started by
//! `exit_reservation` (`pagecache/logger.rs`), sled stores the error but wakes nobody: a thread in
//! `flush` waits for ever, and fail-stop never comes. Any *later* flush sees the error and wakes
//! all. So while one takes long, another is tried beside it, at growing intervals: on a disk that
//! is merely slow it waits too, and does no harm.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Watches one caller at a time.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    turn: Condvar,
}

#[derive(Default)]
struct State {
    /// When the watched call began.
    since: Option<Instant>,
    /// The watcher sleeps until it is told.
    asleep: bool,
    stop: bool,
}

impl Watch {
    /// Starts a watcher that calls `nudge` when a call takes long. `nudge` must return at once.
    pub(crate) fn start(nudge: impl Fn() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("store-watch".into())
            .spawn(move || watched.watch(nudge))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Runs a call under watch.
    pub(crate) fn over<T>(&self, run: impl FnOnce() -> T) -> T {
        self.shared.set(Some(Instant::now()));
        let result = run();
        self.shared.set(None);
        result
    }

    /// Ends the watcher, and drops what its nudge holds.
    pub(crate) fn stop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.turn.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn set(&self, since: Option<Instant>) {
        let mut state = self.lock();
        state.since = since;
        if since.is_some() && state.asleep {
            self.turn.notify_all();
        }
    }

    fn watch(&self, nudge: impl Fn()) {
        let (mut nudges, mut call, mut idle) = (0_u32, None, 0);
        let mut state = self.lock();
        while !state.stop {
            if state.since != call {
                (call, nudges) = (state.since, 0);
            }
            idle = if call.is_some() { 0 } else { idle + 1 };
            // Under load it only ticks, so that a call need not wake it.
            if idle > IDLE_TICKS {
                state.asleep = true;
                state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.asleep = false;
                idle = 0;
                continue;
            }
            if call.is_some_and(|since| since.elapsed() > FIRST * 2_u32.saturating_pow(nudges)) {
                nudges = (nudges + 1).min(20);
                nudge();
            }
            (state, _) =
                self.turn.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flush takes less than a millisecond on a good disk. After this the first nudge, after twice
/// this the second, and so on: well within the second in which a poisoned process must be gone.
const FIRST: Duration = Duration::from_millis(100);

/// How often the watcher looks while calls come.
const TICK: Duration = Duration::from_millis(50);

/// Ticks without a call after which it sleeps.
const IDLE_TICKS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_call_that_takes_long_is_nudged_and_a_short_one_is_not() {
        let (nudged, nudges) = channel();
        let watch = Watch::start(move || nudged.send(()).unwrap()).unwrap();
        (0..100).for_each(|_| watch.over(|| ()));
        assert!(nudges.try_recv().is_err());
        for _ in 0..2 {
            // As the hanging flush: it ends only when it is nudged, several times.
            watch.over(|| {
                (0..3).for_each(|_| nudges.recv_timeout(Duration::from_secs(20)).unwrap())
            });
            thread::sleep(TICK * (IDLE_TICKS + 5));
        }
    }
}
