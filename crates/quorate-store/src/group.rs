//! Group commit: one waiter leads, and makes durable what all who wait have handed in.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::StoreError;

/// A queue whose items become durable in order, several at a time.
pub(crate) struct Group<T> {
    state: Mutex<State<T>>,
    turn: Condvar,
}

struct State<T> {
    queue: VecDeque<(T, u64)>,
    /// Tickets given out; an item takes as many as it weighs.
    given: u64,
    /// Tickets whose items are durable.
    done: u64,
    leading: bool,
    failed: Option<StoreError>,
}

impl<T> Group<T> {
    /// The first ticket will be `start`.
    pub(crate) fn new(start: u64) -> Self {
        let (queue, leading, failed) = (VecDeque::new(), false, None);
        let state = Mutex::new(State { queue, given: start, done: start, leading, failed });
        Self { state, turn: Condvar::new() }
    }

    /// Hands an item in and returns its first ticket once it is durable. `fits` says whether an
    /// item may join those taken before it; `run` makes a group durable. A failed run fails
    /// everybody, for good.
    pub(crate) fn submit(
        &self,
        item: T,
        weight: u64,
        fits: impl Fn(&[T], &T) -> bool,
        run: impl Fn(Vec<T>) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let mut state = self.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let first = state.given;
        state.given += weight;
        state.queue.push_back((item, weight));
        loop {
            if state.done >= first + weight {
                return Ok(first);
            }
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.leading {
                state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (items, tickets) = state.take(&fits);
            state.leading = true;
            drop(state);
            let term = Term { group: self, over: false };
            let result = run(items);
            state = term.end(tickets, result);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A panicking leader is seen by its `Term`; the state itself is always whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn take(&mut self, fits: impl Fn(&[T], &T) -> bool) -> (Vec<T>, u64) {
        let (mut items, mut tickets) = (Vec::new(), 0);
        while let Some((item, weight)) = self.queue.pop_front() {
            if !items.is_empty() && !fits(&items, &item) {
                self.queue.push_front((item, weight));
                break;
            }
            items.push(item);
            tickets += weight;
        }
        (items, tickets)
    }
}

/// A leader's turn. A leader that panics leaves an unknown disk: everybody fails.
struct Term<'a, T> {
    group: &'a Group<T>,
    over: bool,
}

impl<'a, T> Term<'a, T> {
    fn end(mut self, tickets: u64, result: Result<(), StoreError>) -> MutexGuard<'a, State<T>> {
        self.over = true;
        let mut state = self.group.lock();
        state.leading = false;
        match result {
            Ok(()) => state.done += tickets,
            Err(error) => state.failed = Some(error),
        }
        self.group.turn.notify_all();
        state
    }
}

impl<T> Drop for Term<'_, T> {
    fn drop(&mut self) {
        if !self.over {
            let mut state = self.group.lock();
            state.leading = false;
            let cause = "a thread panicked while it was writing".to_owned();
            state.failed = Some(StoreError::Poisoned { cause });
            self.group.turn.notify_all();
        }
    }
}
