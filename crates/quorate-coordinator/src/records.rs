//! Key records, fetched from the nodes and verified before they are used or passed on.

use crate::state::State;
use quorate_quorum::Outcome;
use quorate_rpc::{
    Deadline, Fault, FaultKind, MAX_REQUEST_BYTES, bounded,
    v1::{GetKeyRequest, GetKeyResponse, node_client::NodeClient},
};
use quorate_types::{
    EpochPublic, Format, Hash, KeyName, KeyRecord, KeyVersion, NodeIndex, SignedOrder,
    VerifiedEpoch, VerifiedKey, VerifiedOrder, export::MAX_EXPORTS,
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Records kept at most; the oldest goes first.
const CACHE: usize = 16_384;
/// How long nodes may take to show a record.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of a key version.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its birth certificate.
    pub birth: VerifiedKey,
    /// The epoch in force, if its shares have moved.
    pub newest: Option<VerifiedEpoch>,
    /// The orders that exported it, ever, by hash.
    pub exports: BTreeMap<Hash, VerifiedOrder>,
}

impl Known {
    /// The epoch in force.
    #[must_use]
    pub fn epoch(&self) -> &VerifiedEpoch {
        self.newest.as_ref().unwrap_or_else(|| self.birth.epoch())
    }

    /// Its public values.
    #[must_use]
    pub fn public(&self) -> &EpochPublic {
        self.epoch().public()
    }
}

/// A cache of verified records.
#[derive(Debug, Default)]
pub struct Records(Mutex<Cache>);

#[derive(Debug, Default)]
struct Cache {
    /// Each with when the nodes last showed it, or something older.
    records: HashMap<(KeyName, u32), (Arc<Known>, Instant)>,
    order: VecDeque<(KeyName, u32)>,
}

impl Records {
    pub(crate) fn cached(&self, name: &KeyName, version: u32) -> Option<Arc<Known>> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cache.records.get(&(name.clone(), version)).map(|(key, _)| Arc::clone(key))
    }

    /// The same, if the nodes were asked less than `age` ago.
    pub(crate) fn recent(&self, name: &KeyName, version: u32, age: Duration) -> Option<Arc<Known>> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, asked) = cache.records.get(&(name.clone(), version))?;
        (asked.elapsed() < age).then(|| Arc::clone(key))
    }

    /// Keeps what the nodes have just shown, unless a newer epoch is known; gives the newer.
    pub fn keep(&self, mut key: Known) -> Arc<Known> {
        let id = (key.birth.create().name.clone(), key.birth.create().version.get());
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Instant::now();
        if let Some((old, last)) = cache.records.get_mut(&id) {
            // That a key was exported is never taken back.
            key.exports.extend(old.exports.clone());
            if old.epoch().name() > key.epoch().name() {
                if key.exports.len() > old.exports.len() {
                    *old = Arc::new(Known { exports: key.exports, ..Known::clone(old) });
                }
                *last = asked;
                return Arc::clone(old);
            }
        }
        let key = Arc::new(key);
        if cache.records.insert(id.clone(), (Arc::clone(&key), asked)).is_none() {
            cache.order.push_back(id);
        }
        while cache.order.len() > CACHE {
            if let Some(oldest) = cache.order.pop_front() {
                cache.records.remove(&oldest);
            }
        }
        key
    }
}

fn exported(order: &VerifiedOrder) -> Option<KeyVersion> {
    order.export().map(|export| export.version)
}

impl State {
    /// What is known of a key's version, from the cache or the nodes; of the newest version
    /// for 0, which is always asked for anew.
    ///
    /// # Errors
    /// As [`State::fresh_record`].
    pub async fn record(
        &self,
        name: &KeyName,
        version: u32,
        deadline: Deadline,
    ) -> Result<Arc<Known>, Fault> {
        if version != 0
            && let Some(key) = self.records.cached(name, version)
        {
            return Ok(key);
        }
        self.fresh_record(name, version, deadline).await
    }

    /// The same, from the nodes.
    ///
    /// # Errors
    /// `NOT_FOUND` when nodes answered and none knows it, `UNAVAILABLE` when none answered.
    pub async fn fresh_record(
        &self,
        name: &KeyName,
        version: u32,
        deadline: Deadline,
    ) -> Result<Arc<Known>, Fault> {
        let outcome = self.ask_records(name, version, deadline).await;
        let failures = outcome.failures;
        // Mostly all show the same.
        let mut shown: Vec<(NodeIndex, GetKeyResponse)> = Vec::new();
        for (node, answer) in outcome.answers {
            if shown.iter().all(|(_, known)| *known != answer) {
                shown.push((node, answer));
            }
        }
        let mut verified: Vec<_> = shown.iter().map(|(_, a)| self.verify(name, a)).collect();
        if verified.iter().any(Option::is_none) {
            // It may have been made under a roster that is not known here yet.
            self.learn_rosters(deadline).await;
            verified = shown.iter().map(|(_, a)| self.verify(name, a)).collect();
        }
        let verified = shown.iter().zip(verified).filter_map(|((node, _), known)| {
            if known.is_none() {
                tracing::warn!(%node, "a node showed a key record that does not verify");
            }
            known
        });
        let verified: Vec<Known> = verified.collect();
        let mut exports = BTreeMap::new();
        for known in &verified {
            exports.extend(known.exports.clone());
        }
        let newest = verified
            .into_iter()
            .max_by_key(|k| (k.birth.create().version, k.epoch().name()))
            .map(|k| Known {
                exports: exports
                    .into_iter()
                    .filter(|(_, order)| exported(order) == Some(k.birth.create().version))
                    .collect(),
                ..k
            });
        let asked = |k: &Known| version == 0 || k.birth.create().version.get() == version;
        if let Some(key) = newest.filter(asked) {
            return Ok(self.records.keep(key));
        }
        // A node that could not be reached may be the one that knows it; but all that are
        // needed to use the key would know it.
        let decided = failures.iter().filter(|(_, f)| f.kind == FaultKind::NotFound).count();
        if decided > 0 {
            let text = format!("no node that answered knows the key {name} in this version");
            return Err(Fault::new(FaultKind::NotFound, text));
        }
        Err(Fault::unavailable("no node could be asked for the key"))
    }

    fn verify(&self, name: &KeyName, answer: &GetKeyResponse) -> Option<Known> {
        let birth = KeyRecord::from_bytes(&answer.record).ok()?.verify(&self.cluster()).ok()?;
        if birth.create().name != *name {
            return None;
        }
        // What is no export of this key is left out; a node cannot make one up.
        let exports = answer.exports.iter().take(MAX_EXPORTS).filter_map(|bytes| {
            let signed = SignedOrder::from_bytes(bytes).ok()?;
            let order = VerifiedOrder::verify(&self.cluster(), &signed).ok()?;
            let export = order.export().filter(|e| e.recipient().is_some())?;
            let same = (&export.name, export.version) == (name, birth.create().version);
            same.then(|| (order.hash(), order))
        });
        let exports = exports.collect();
        if answer.newest.is_empty() {
            return Some(Known { birth, newest: None, exports });
        }
        let newest =
            KeyRecord::from_bytes(&answer.newest).ok()?.verify_epoch(&self.cluster()).ok()?;
        birth.has(&newest).then_some(Known { birth, newest: Some(newest), exports })
    }

    async fn ask_records(
        &self,
        name: &KeyName,
        version: u32,
        deadline: Deadline,
    ) -> Outcome<GetKeyResponse> {
        let deadline = deadline.min(Deadline::after(PATIENCE));
        let request = GetKeyRequest { name: name.as_str().to_owned(), version, fresh: false };
        self.pool
            .ask_all(&self.nodes(), deadline, |_, channel| {
                let request = deadline.request(request.clone());
                async move {
                    let mut node = bounded!(NodeClient::new(channel), MAX_REQUEST_BYTES);
                    Ok(node.get_key(request?).await?.into_inner())
                }
            })
            .await
    }
}
