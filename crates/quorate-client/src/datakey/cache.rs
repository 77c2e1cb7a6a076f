//! Data keys that are used more than once, within limits. Nothing is cached unless one is made.

use super::{DATA_KEY_LEN, DataKey};
use crate::{client::Client, error::Error};
use quorate_crypto::SecretBytes;
use quorate_types::{EncryptionContext, KeyName, KeyVersion};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long and how often one data key may be used. A key that is cached is used without asking
/// the nodes: for as long as `max_age` a revocation does not reach it, and no log has the use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Not used when older: more than 0 and at most a day.
    pub max_age: Duration,
    /// Not used more often: 1 to 2³².
    pub max_uses: u64,
    /// Not more of them at a time, for each direction: 1 to 65,536. The oldest goes first.
    pub max_entries: usize,
}

impl CacheLimits {
    fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Invalid(what.into()));
        if self.max_age.is_zero() || self.max_age > Duration::from_secs(86_400) {
            return wrong("a cached data key lives longer than 0 and at most a day");
        }
        if !(1..=1 << 32).contains(&self.max_uses) {
            return wrong("a cached data key is used 1 to 2^32 times");
        }
        if !(1..=65_536).contains(&self.max_entries) {
            return wrong("a cache holds 1 to 65536 data keys");
        }
        Ok(())
    }
}

/// Reuses data keys within [`CacheLimits`]: an option for those to whom a quorum for each is too
/// much. Wiped on drop.
pub struct DataKeyCache {
    client: Client,
    limits: CacheLimits,
    /// To encrypt with, by key version and context.
    made: Kept<(KeyName, KeyVersion, Vec<u8>), Arc<DataKey>>,
    /// Unwrapped, by ciphertext and context.
    unwrapped: Kept<(Vec<u8>, Vec<u8>), Arc<SecretBytes<DATA_KEY_LEN>>>,
}

impl DataKeyCache {
    /// An empty cache.
    ///
    /// # Errors
    /// [`Error::Invalid`] for limits out of bounds.
    pub fn new(client: Client, limits: CacheLimits) -> Result<Self, Error> {
        limits.check()?;
        Ok(Self { client, limits, made: Kept::default(), unwrapped: Kept::default() })
    }

    /// A data key to encrypt with, under the newest version of a key: one that was made before
    /// for the same key and context, or a new one.
    ///
    /// # Errors
    /// As [`Client::data_key`].
    pub async fn data_key(
        &self,
        key: &str,
        context: &EncryptionContext,
    ) -> Result<Arc<DataKey>, Error> {
        let key = self.client.key(key).await?;
        let id = (key.name().clone(), key.version(), context.label());
        if let Some(kept) = self.made.take(&id, &self.limits) {
            return Ok(kept);
        }
        let made = Arc::new(self.client.data_key(&key, context).await?);
        self.made.keep(id, Arc::clone(&made), &self.limits);
        Ok(made)
    }

    /// As [`Client::unwrap_data_key`], or what it gave before.
    ///
    /// # Errors
    /// As [`Client::unwrap_data_key`].
    pub async fn unwrap_data_key(
        &self,
        wrapped: &[u8],
        context: &EncryptionContext,
    ) -> Result<Arc<SecretBytes<DATA_KEY_LEN>>, Error> {
        let id = (wrapped.to_vec(), context.label());
        if let Some(kept) = self.unwrapped.take(&id, &self.limits) {
            return Ok(kept);
        }
        let key = Arc::new(self.client.unwrap_data_key(wrapped, context).await?);
        self.unwrapped.keep(id, Arc::clone(&key), &self.limits);
        Ok(key)
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.made.clear();
        self.unwrapped.clear();
    }
}

struct Entry<V> {
    value: V,
    since: Instant,
    uses: u64,
}

struct Kept<K, V>(Mutex<HashMap<K, Entry<V>>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Kept<K, V> {
    /// One that may be used once more; one that may not be used again is dropped.
    fn take(&self, id: &K, limits: &CacheLimits) -> Option<V> {
        let mut all = self.lock();
        let entry = all.get_mut(id)?;
        if entry.since.elapsed() >= limits.max_age || entry.uses >= limits.max_uses {
            all.remove(id);
            return None;
        }
        entry.uses += 1;
        Some(entry.value.clone())
    }

    /// Has been used once already.
    fn keep(&self, id: K, value: V, limits: &CacheLimits) {
        let mut all = self.lock();
        all.retain(|_, entry| entry.since.elapsed() < limits.max_age);
        if all.len() >= limits.max_entries && !all.contains_key(&id) {
            let oldest = all.iter().min_by_key(|(_, entry)| entry.since);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                all.remove(&oldest);
            }
        }
        all.insert(id, Entry { value, since: Instant::now(), uses: 1 });
    }

    fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Entry<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CacheLimits =
        CacheLimits { max_age: Duration::from_secs(60), max_uses: 3, max_entries: 2 };

    #[test]
    fn a_key_is_used_as_often_as_allowed() {
        let kept = Kept::default();
        assert_eq!(kept.take(&1, &LIMITS), None);
        kept.keep(1, "one", &LIMITS);
        assert_eq!([(); 3].map(|()| kept.take(&1, &LIMITS)), [Some("one"), Some("one"), None]);
        assert_eq!(kept.take(&1, &LIMITS), None);
    }

    #[test]
    fn an_old_key_is_not_used() {
        let kept = Kept::default();
        let limits = CacheLimits { max_age: Duration::from_millis(30), ..LIMITS };
        kept.keep(1, "one", &limits);
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!(kept.take(&1, &limits), None);
    }

    #[test]
    fn no_more_are_kept_than_allowed_and_the_oldest_goes_first() {
        let kept = Kept::default();
        for id in 1..=3 {
            kept.keep(id, id, &LIMITS);
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!([1, 2, 3].map(|id| kept.take(&id, &LIMITS)), [None, Some(2), Some(3)]);
        kept.clear();
        assert_eq!(kept.take(&3, &LIMITS), None);
    }

    #[test]
    fn limits_have_bounds() {
        for wrong in [
            CacheLimits { max_age: Duration::ZERO, ..LIMITS },
            CacheLimits { max_age: Duration::from_secs(86_401), ..LIMITS },
            CacheLimits { max_uses: 0, ..LIMITS },
            CacheLimits { max_uses: (1 << 32) + 1, ..LIMITS },
            CacheLimits { max_entries: 0, ..LIMITS },
            CacheLimits { max_entries: 65_537, ..LIMITS },
        ] {
            assert!(matches!(wrong.check(), Err(Error::Invalid(_))), "{wrong:?}");
        }
        LIMITS.check().unwrap();
    }
}
