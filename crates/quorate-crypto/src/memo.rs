//! Remembers what was found to be so of public data: a ceremony shows each node the same
//! certificates, signatures and keys at each of its steps.
//!
//! Only what holds is remembered, and only under a key that covers all that it depends on, so
//! that a hit says what the work would have said. Nothing secret is ever put here.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

/// Up to twice `room` entries: what was not asked for while `room` others were is forgotten.
pub(crate) struct Memo<K, V> {
    room: usize,
    generations: OnceLock<Mutex<[HashMap<K, V>; 2]>>,
}

impl<K: Hash + Eq + Copy, V: Copy> Memo<K, V> {
    pub(crate) const fn new(room: usize) -> Self {
        Self { room, generations: OnceLock::new() }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut generations = self.lock();
        if let Some(value) = generations[0].get(key) {
            return Some(*value);
        }
        let value = generations[1].remove(key)?;
        self.insert(&mut generations, *key, value);
        Some(value)
    }

    pub(crate) fn put(&self, key: K, value: V) {
        self.insert(&mut self.lock(), key, value);
    }

    fn insert(&self, generations: &mut [HashMap<K, V>; 2], key: K, value: V) {
        if generations[0].len() >= self.room {
            generations.swap(0, 1);
            generations[0].clear();
        }
        generations[0].insert(key, value);
    }

    fn lock(&self) -> MutexGuard<'_, [HashMap<K, V>; 2]> {
        let generations = self.generations.get_or_init(Mutex::default);
        // Whatever a panic left there is a true entry or none.
        generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().iter().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_is_asked_for() {
        let memo = Memo::new(10);
        memo.put(0, "kept");
        for i in 1..1000 {
            memo.put(i, "passes");
            assert_eq!(memo.get(&0), Some("kept"), "after {i}");
            assert!(memo.len() <= 20);
        }
        assert_eq!(memo.get(&1), None);
        assert_eq!(memo.get(&999), Some("passes"));
    }
}
