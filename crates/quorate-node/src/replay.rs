//! Each request id once: what a node remembers of the requests that it has taken.
//!
//! An id is kept for the request's life and twice the clock window, by the wall clock *and*
//! by the steady one: a wall clock that jumps ahead forgets nothing early, one that jumps
//! back finds what it has forgotten already over. When the cache is full, requests are
//! refused; nothing is evicted.

use crate::{clock::Now, planted::planted};
use quorate_crypto::PublicKey;
use quorate_types::{Hash, Millis, RequestHead, RequestId};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

/// What the cache says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Never: it is remembered from now on.
    New,
    /// The very same request: it may be answered again.
    Same,
    /// Another request had this id, or this one was issued before a start that could not
    /// remember everything.
    Replayed,
    /// As before, or the same, but too often: whoever once saw a request can send it again,
    /// and each time costs an audit entry.
    Worn,
    /// There is no room to remember it.
    Full,
}

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplayLimits {
    pub(crate) total: usize,
    pub(crate) per_client: usize,
    pub(crate) window: Duration,
}

/// The ids of one process.
pub(crate) struct ReplayCache {
    limits: ReplayLimits,
    clients: HashMap<PublicKey, HashMap<RequestId, Kept>>,
    /// By the steady clock; the soonest first.
    ends: BinaryHeap<Reverse<(Duration, PublicKey, RequestId)>>,
    /// Requests issued before are refused: the cache may not know them.
    fence: Option<Millis>,
}

struct Kept {
    request: Hash,
    until: Millis,
    asked: u8,
}

/// How often one id is looked at: an SDK's retries through several coordinators.
const MAX_ASKED: u8 = 8;

impl ReplayCache {
    pub(crate) fn new(limits: ReplayLimits) -> Self {
        Self { limits, clients: HashMap::new(), ends: BinaryHeap::new(), fence: None }
    }

    /// Asks for a request, and remembers it if it is new.
    pub(crate) fn check(&mut self, head: &RequestHead, request: Hash, now: Now) -> Seen {
        self.forget(now);
        let known = self.clients.get_mut(&head.client).and_then(|ids| ids.get_mut(&head.id));
        if let Some(kept) = known {
            if kept.asked >= MAX_ASKED {
                return Seen::Worn;
            }
            kept.asked += 1;
            return if kept.request == request { Seen::Same } else { Seen::Replayed };
        }
        if self.fence.is_some_and(|fence| head.issued_at < fence) {
            return Seen::Worn;
        }
        if self.remember(head, request, now) { Seen::New } else { Seen::Full }
    }

    /// Remembers a request of an earlier process. `false` if there is no room.
    pub(crate) fn remember(&mut self, head: &RequestHead, request: Hash, now: Now) -> bool {
        let of_client = self.clients.get(&head.client).map_or(0, HashMap::len);
        if self.len() >= self.limits.total || of_client >= self.limits.per_client {
            if !planted!(ReplayEvicts) {
                return false;
            }
            self.drop_first();
        }
        let life = Duration::from_millis(u64::from(head.ttl)) + 2 * self.limits.window;
        let until = head.issued_at.plus(millis(life));
        let ids = self.clients.entry(head.client).or_default();
        let ends = &mut self.ends;
        let kept = ids.entry(head.id).or_insert_with(|| {
            ends.push(Reverse((now.steady + life, head.client, head.id)));
            Kept { request, until, asked: 0 }
        });
        kept.asked = kept.asked.saturating_add(1);
        true
    }

    /// Whether a request of an earlier process can still come back.
    pub(crate) fn matters(&self, head: &RequestHead, now: Now) -> bool {
        let life = Duration::from_millis(u64::from(head.ttl)) + 2 * self.limits.window;
        head.issued_at.plus(millis(life)) >= now.wall
    }

    /// Refuses all that was issued before `fence` and is not remembered.
    pub(crate) fn fence(&mut self, fence: Millis) {
        self.fence = Some(self.fence.map_or(fence, |f| f.max(fence)));
    }

    /// How many ids are remembered.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Stops at the first that must stay: what follows it ends later by the steady clock.
    fn forget(&mut self, now: Now) {
        while let Some(Reverse((end, client, id))) = self.ends.peek() {
            let until = self.clients.get(client).and_then(|ids| ids.get(id)).map(|kept| kept.until);
            if *end > now.steady || until.is_some_and(|until| until >= now.wall) {
                return;
            }
            self.drop_first();
        }
    }

    /// Forgets the one whose time ends first.
    fn drop_first(&mut self) {
        let Some(Reverse((_, client, id))) = self.ends.pop() else { return };
        if let Some(ids) = self.clients.get_mut(&client) {
            ids.remove(&id);
            if ids.is_empty() {
                self.clients.remove(&client);
            }
        }
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_crypto::IdentityKey;
    use quorate_types::{EncryptionContext, KeyName, KeyVersion, Operation};

    const LIMITS: ReplayLimits =
        ReplayLimits { total: 4, per_client: 3, window: Duration::from_secs(30) };

    fn head(client: u8, id: u8, issued_at: u64) -> RequestHead {
        RequestHead {
            id: RequestId([id; 16]),
            issued_at: Millis(issued_at),
            ttl: 10_000,
            client: IdentityKey::from_seed(&[client; 32]).public(),
            key: KeyName::new("k").unwrap(),
            version: KeyVersion::FIRST,
            operation: Operation::Decrypt,
            context: EncryptionContext::default(),
            reply_key: [9; 32],
            prove: false,
            item_count: 1,
            items_root: Hash::default(),
        }
    }

    fn at(wall: u64, steady: u64) -> Now {
        Now { wall: Millis(wall), steady: Duration::from_millis(steady) }
    }

    const T: u64 = 1_000_000_000;

    #[test]
    fn an_id_with_other_content_is_a_replay_and_the_same_request_is_not() {
        let mut cache = ReplayCache::new(LIMITS);
        let now = at(T, 0);
        assert_eq!(cache.check(&head(1, 1, T), Hash([1; 32]), now), Seen::New);
        assert_eq!(cache.check(&head(1, 1, T), Hash([1; 32]), now), Seen::Same);
        assert_eq!(cache.check(&head(1, 1, T), Hash([2; 32]), now), Seen::Replayed);
        // Ids are the client's own: another may use the same.
        assert_eq!(cache.check(&head(2, 1, T), Hash([2; 32]), now), Seen::New);
    }

    #[test]
    fn one_id_is_looked_at_eight_times() {
        let mut cache = ReplayCache::new(LIMITS);
        let ask = |cache: &mut ReplayCache| cache.check(&head(1, 1, T), Hash([1; 32]), at(T, 0));
        assert_eq!(ask(&mut cache), Seen::New);
        for _ in 1..MAX_ASKED {
            assert_eq!(ask(&mut cache), Seen::Same);
        }
        assert_eq!(ask(&mut cache), Seen::Worn);
    }

    #[test]
    fn a_full_cache_refuses_and_never_forgets_early() {
        let mut cache = ReplayCache::new(LIMITS);
        for id in 1..=3 {
            assert_eq!(cache.check(&head(1, id, T), Hash([id; 32]), at(T, 0)), Seen::New);
        }
        assert_eq!(cache.check(&head(1, 4, T), Hash([4; 32]), at(T, 0)), Seen::Full);
        assert_eq!(cache.check(&head(2, 4, T), Hash([4; 32]), at(T, 0)), Seen::New);
        assert_eq!(cache.check(&head(3, 5, T), Hash([5; 32]), at(T, 0)), Seen::Full);
        // Just before the end of life and two windows all are known still.
        let late = at(T + 70_000, 69_999);
        assert_eq!(cache.check(&head(1, 1, T), Hash([9; 32]), late), Seen::Replayed);
        assert_eq!(cache.check(&head(3, 5, T), Hash([5; 32]), late), Seen::Full);
        let later = at(T + 70_001, 70_001);
        assert_eq!(cache.check(&head(3, 6, T + 70_000), Hash([6; 32]), later), Seen::New);
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn a_clock_that_jumps_forgets_nothing_that_could_come_back() {
        let mut cache = ReplayCache::new(LIMITS);
        cache.check(&head(1, 1, T), Hash([1; 32]), at(T, 0));
        let hour = 3_600_000;
        // An hour ahead and back again within seconds.
        assert_eq!(cache.check(&head(2, 2, T + hour), Hash([2; 32]), at(T + hour, 5)), Seen::New);
        assert_eq!(cache.check(&head(1, 1, T), Hash([9; 32]), at(T + 10, 10)), Seen::Replayed);
        // A frozen wall clock keeps requests valid, so they stay known however long it takes.
        assert_eq!(cache.check(&head(1, 1, T), Hash([9; 32]), at(T, hour)), Seen::Replayed);
    }

    #[test]
    fn behind_a_fence_only_what_is_known_passes() {
        let mut cache = ReplayCache::new(LIMITS);
        assert!(cache.remember(&head(1, 1, T - 5), Hash([1; 32]), at(T, 0)));
        cache.fence(Millis(T));
        assert_eq!(cache.check(&head(1, 1, T - 5), Hash([1; 32]), at(T, 1)), Seen::Same);
        assert_eq!(cache.check(&head(1, 2, T - 1), Hash([2; 32]), at(T, 1)), Seen::Worn);
        assert_eq!(cache.check(&head(1, 2, T), Hash([2; 32]), at(T, 1)), Seen::New);
    }
}
