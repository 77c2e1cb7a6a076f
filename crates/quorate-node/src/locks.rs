//! One ceremony step or order at a time for each key.

use quorate_types::KeyName;
use std::{
    collections::BTreeSet,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// What is changed by one at a time. Order chains are of a key's name, so is the lock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// The policy chain and the clients.
    Policy,
    /// All versions of a key.
    Key(KeyName),
}

/// The locks that are held. For blocking threads.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    held: Mutex<BTreeSet<Subject>>,
    freed: Condvar,
}

impl Locks {
    /// Waits until all of these are free, then holds them: all at once, so that two who
    /// want the same never wait for one another.
    pub(crate) fn hold(&self, wanted: BTreeSet<Subject>) -> Held<'_> {
        let mut held = self.lock();
        while !held.is_disjoint(&wanted) {
            held = self.freed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        held.extend(wanted.iter().cloned());
        Held { locks: self, subjects: wanted }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Subject>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Freed on drop.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    locks: &'a Locks,
    subjects: BTreeSet<Subject>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = self.locks.lock();
        for subject in &self.subjects {
            held.remove(subject);
        }
        self.locks.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Arc, thread};

    #[test]
    fn overlapping_sets_wait_and_disjoint_ones_do_not() {
        let key = |n: &str| Subject::Key(KeyName::new(n).unwrap());
        let locks = Arc::new(Locks::default());
        let ab = locks.hold([key("a"), key("b")].into());
        drop(locks.hold([key("c"), Subject::Policy].into()));
        let waiting = {
            let locks = Arc::clone(&locks);
            thread::spawn(move || drop(locks.hold([key("b"), key("c")].into())))
        };
        thread::yield_now();
        assert!(!waiting.is_finished());
        drop(ab);
        waiting.join().unwrap();
    }
}
