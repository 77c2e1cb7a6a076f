//! Nonce commitments that nodes have drawn ahead: with them a signature takes one round trip.
//!
//! They are public, and worth nothing but to this client at these nodes. In memory only.

use quorate_crypto::frost::NonceCommitments;
use quorate_types::{EpochName, KeyName, KeyVersion, NodeIndex, signing::SignerCommitments};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Nodes forget theirs after ten minutes.
const LIFE: Duration = Duration::from_secs(8 * 60);
/// The most that is drawn ahead of need.
const MOST_AHEAD: usize = 64;
/// The most that is kept of one node.
const MAX_KEPT: usize = 2048;
/// Keys with commitments at hand; beyond, all are drawn anew.
const MAX_KEYS: usize = 256;

/// One key's share epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolId {
    pub(crate) key: KeyName,
    pub(crate) version: KeyVersion,
    pub(crate) epoch: EpochName,
}

/// A pair of commitments, decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawn {
    pub(crate) wire: SignerCommitments,
    pub(crate) points: NonceCommitments,
}

/// What is at hand.
#[derive(Default)]
pub(crate) struct NoncePool {
    keys: Mutex<HashMap<PoolId, OfKey>>,
    /// One call draws, the others wait for what it brings: a hundred at once must not draw a
    /// hundred times ahead, nodes keep so many pairs only.
    drawing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct OfKey {
    nodes: BTreeMap<NodeIndex, VecDeque<(Instant, Drawn)>>,
    /// How many to draw next; grows while the key goes on signing.
    ahead: usize,
}

/// The turn to draw. Others wait.
pub(crate) type Turn<'a> = tokio::sync::MutexGuard<'a, ()>;

impl NoncePool {
    /// Waits for the turn to draw, so long. `None` after that: a draw that hangs holds up no other.
    pub(crate) async fn turn(&self, limit: Duration) -> Option<Turn<'_>> {
        tokio::time::timeout(limit, self.drawing.lock()).await.ok()
    }

    /// Takes `need` pairs of each of `t` of the candidates: of those with most.
    pub(crate) fn take(
        &self,
        id: &PoolId,
        candidates: &[NodeIndex],
        t: usize,
        need: usize,
    ) -> Option<BTreeMap<NodeIndex, Vec<Drawn>>> {
        let mut all = self.lock();
        let of_key = all.get_mut(id)?;
        of_key.expire(Instant::now());
        let mut ready: Vec<(usize, NodeIndex)> = (of_key.nodes.iter())
            .filter(|(node, drawn)| candidates.contains(node) && drawn.len() >= need)
            .map(|(node, drawn)| (drawn.len(), *node))
            .collect();
        if ready.len() < t {
            return None;
        }
        ready.sort_unstable_by_key(|(has, node)| (std::cmp::Reverse(*has), *node));
        let taken = ready.into_iter().take(t).map(|(_, node)| {
            let drawn = of_key.nodes.entry(node).or_default();
            (node, drawn.drain(..need.min(drawn.len())).map(|(_, d)| d).collect())
        });
        Some(taken.collect())
    }

    /// How many pairs to ask for, if `need` are needed now: as many the first time, then twice
    /// as many each time, up to a limit.
    pub(crate) fn to_draw(&self, id: &PoolId, need: usize) -> usize {
        let mut all = self.lock();
        if !all.contains_key(id) {
            // Of an earlier epoch nothing is of use any more.
            all.retain(|other, _| (&other.key, other.version) != (&id.key, id.version));
            if all.len() >= MAX_KEYS {
                all.clear();
            }
        }
        let of_key = all.entry(id.clone()).or_default();
        let count = need.max(of_key.ahead);
        of_key.ahead = (2 * count).min(MOST_AHEAD);
        count
    }

    pub(crate) fn put(&self, id: &PoolId, drawn: impl IntoIterator<Item = Drawn>) {
        let mut all = self.lock();
        let of_key = all.entry(id.clone()).or_default();
        let now = Instant::now();
        for one in drawn {
            let of_node = of_key.nodes.entry(one.wire.node).or_default();
            if of_node.len() < MAX_KEPT {
                of_node.push_back((now, one));
            }
        }
    }

    /// What a node has drawn is of no use: it has started again, or lies.
    pub(crate) fn forget(&self, id: &PoolId, node: NodeIndex) {
        if let Some(of_key) = self.lock().get_mut(id) {
            of_key.nodes.remove(&node);
        }
    }

    /// How many to draw now, ahead of need: a key that signs often, and `t` of whose nodes have
    /// few left. None while somebody draws.
    pub(crate) fn runs_low(&self, id: &PoolId, t: usize) -> Option<usize> {
        drop(self.drawing.try_lock().ok()?);
        let mut all = self.lock();
        let of_key = all.get_mut(id)?;
        of_key.expire(Instant::now());
        let low = of_key.ahead / 4;
        let ready = of_key.nodes.values().filter(|drawn| drawn.len() > low).count();
        (of_key.ahead >= 8 && ready < t).then_some(of_key.ahead)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PoolId, OfKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfKey {
    fn expire(&mut self, now: Instant) {
        for drawn in self.nodes.values_mut() {
            while drawn.front().is_some_and(|(at, _)| now.duration_since(*at) > LIFE) {
                drawn.pop_front();
            }
        }
    }
}
