//! Work for the processor, so many at a time.
//!
//! A request runs on one blocking thread from its signature to its sealed answer. It holds
//! a permit while it computes and gives it back while it waits for the disk, so that the
//! one flush that all wait for serves as many of them as possible.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A counting semaphore for blocking threads.
#[derive(Debug)]
pub(crate) struct Permits {
    free: Mutex<usize>,
    returned: Condvar,
}

impl Permits {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count.max(1)), returned: Condvar::new() }
    }

    /// Waits for a permit.
    pub(crate) fn take(&self) -> Permit<'_> {
        let mut free = self.lock();
        while *free == 0 {
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Permit(self)
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to compute; given back on drop.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Permits);

impl Permit<'_> {
    /// Does something slow that is not computing.
    pub(crate) fn lend<T>(self, wait: impl FnOnce() -> T) -> (T, Self) {
        let permits = self.0;
        drop(self);
        let done = wait();
        (done, permits.take())
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.lock() += 1;
        self.0.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_comes_back_while_its_holder_waits() {
        let permits = Permits::new(1);
        let one = permits.take();
        let ((), one) = one.lend(|| drop(permits.take()));
        assert_eq!(*permits.lock(), 0);
        drop(one);
        assert_eq!(*permits.lock(), 1);
    }
}
