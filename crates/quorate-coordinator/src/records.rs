//! Key records, fetched from the nodes and verified before they are used or passed on.

use crate::state::State;
use quorate_quorum::Outcome;
use quorate_rpc::{
    Deadline, Fault, FaultKind, MAX_REQUEST_BYTES, bounded,
    v1::{GetKeyRequest, node_client::NodeClient},
};
use quorate_types::{Format, KeyName, KeyRecord, VerifiedKey};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Records kept at most; the oldest goes first.
const CACHE: usize = 16_384;
/// How long nodes may take to show a record.
const PATIENCE: Duration = Duration::from_secs(2);

/// A cache of verified records.
#[derive(Debug, Default)]
pub struct Records(Mutex<Cache>);

#[derive(Debug, Default)]
struct Cache {
    records: HashMap<(KeyName, u32), Arc<VerifiedKey>>,
    order: VecDeque<(KeyName, u32)>,
}

impl Records {
    fn cached(&self, name: &KeyName, version: u32) -> Option<Arc<VerifiedKey>> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cache.records.get(&(name.clone(), version)).cloned()
    }

    /// Keeps a verified record.
    pub fn keep(&self, key: Arc<VerifiedKey>) {
        let id = (key.create().name.clone(), key.create().version.get());
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.records.insert(id.clone(), key).is_none() {
            cache.order.push_back(id);
        }
        while cache.order.len() > CACHE {
            if let Some(oldest) = cache.order.pop_front() {
                cache.records.remove(&oldest);
            }
        }
    }
}

impl State {
    /// The record of a key's version, from the cache or the nodes; of the newest version
    /// for 0, which is always asked for anew.
    ///
    /// # Errors
    /// `NOT_FOUND` when nodes answered and none knows it, `UNAVAILABLE` when none answered.
    pub async fn record(
        &self,
        name: &KeyName,
        version: u32,
        deadline: Deadline,
    ) -> Result<Arc<VerifiedKey>, Fault> {
        if version != 0
            && let Some(key) = self.records.cached(name, version)
        {
            return Ok(key);
        }
        let outcome = self.ask_records(name, version, deadline).await;
        let failures = outcome.failures;
        let verified = outcome.answers.into_iter().filter_map(|(node, bytes)| {
            let key = KeyRecord::from_bytes(&bytes).ok()?.verify(&self.cluster).ok();
            if key.is_none() {
                tracing::warn!(%node, "a node showed a key record that does not verify");
            }
            key.filter(|k| k.create().name == *name)
        });
        let newest = verified.max_by_key(|k| k.create().version);
        if let Some(key) = newest.filter(|k| version == 0 || k.create().version.get() == version) {
            let key = Arc::new(key);
            self.records.keep(Arc::clone(&key));
            return Ok(key);
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

    async fn ask_records(
        &self,
        name: &KeyName,
        version: u32,
        deadline: Deadline,
    ) -> Outcome<Vec<u8>> {
        let deadline = deadline.min(Deadline::after(PATIENCE));
        let request = GetKeyRequest { name: name.as_str().to_owned(), version };
        self.pool
            .ask_all(&self.nodes(), deadline, |_, channel| {
                let request = deadline.request(request.clone());
                async move {
                    let mut node = bounded!(NodeClient::new(channel), MAX_REQUEST_BYTES);
                    Ok(node.get_key(request?).await?.into_inner().record)
                }
            })
            .await
    }
}
