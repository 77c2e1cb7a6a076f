//! Brings a node the retire certificates that came into force while it was away: what they
//! end is erased there at once, not only at the next reshare, and a node with an old disk
//! image learns so that its epochs are superseded.

use crate::{postman::StepAnswer, state::State};
use quorate_ceremony::{RetireRequest, StepKind};
use quorate_rpc::{
    Deadline, MAX_REQUEST_BYTES, bounded,
    v1::{KeySummary, ListKeysRequest, ListKeysResponse, node_client::NodeClient},
};
use quorate_types::{Format, KeyName, NodeIndex};
use std::{collections::BTreeMap, time::Duration};

/// Keys on a page.
const PAGE: u32 = 1000;
/// How long nodes may take for one page of what they know: one that hangs must not keep
/// another in quarantine.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most keys that are looked at for one node.
const MOST_KEYS: usize = 200_000;

impl State {
    /// Compares the epochs that a node says are in force with what the others say, and
    /// brings the proof of each newer one. What others say is a hint: the proof decides.
    pub(crate) async fn bring_epochs(&self, node: NodeIndex, deadline: Deadline) {
        let of_node = self.epochs_of(Some(node), deadline).await;
        let of_node: BTreeMap<Version, u64> = of_node.into_iter().flat_map(versions).collect();
        let mut brought = 0;
        let of_all = self.epochs_of(None, deadline).await.into_iter().flat_map(versions);
        for (of, newest) in of_all {
            if of_node.get(&of).is_some_and(|has| *has >= newest) {
                continue;
            }
            let (name, version) = of;
            let Ok(name) = KeyName::new(name) else { continue };
            let Ok(known) = self.fresh_record(&name, version, deadline).await else { continue };
            let Some(epoch) = &known.newest else { continue };
            let record = epoch.record().clone();
            let birth = Some(known.birth.record().clone());
            let request = RetireRequest { record, birth }.to_bytes();
            match self.postman.send(node, StepKind::Retire, request, deadline).await {
                StepAnswer::Done(_) => brought += 1,
                StepAnswer::Fault { message, .. } => {
                    tracing::warn!(%node, key = %name, message, "a certificate was refused");
                }
                StepAnswer::Unreachable(_) => return, // it is away again
            }
        }
        if brought > 0 {
            tracing::info!(%node, brought, "a node was behind: newer epochs were brought to it");
        }
    }

    /// Every key with its versions and their epochs in force: of one node, or of all.
    async fn epochs_of(&self, node: Option<NodeIndex>, deadline: Deadline) -> Vec<KeySummary> {
        let (mut keys, mut after) = (Vec::new(), String::new());
        while keys.len() < MOST_KEYS {
            let page = ListKeysRequest { page_size: PAGE, after: after.clone() };
            let listed = match node {
                None => {
                    let deadline = deadline.min(Deadline::after(PATIENCE));
                    self.list_keys(page, deadline).await.ok()
                }
                Some(node) => self.list_keys_of(node, page, deadline).await,
            };
            let Some(ListKeysResponse { keys: some, next }) = listed else { break };
            keys.extend(some);
            if next.is_empty() || next <= after {
                break;
            }
            after = next;
        }
        keys
    }

    async fn list_keys_of(
        &self,
        node: NodeIndex,
        page: ListKeysRequest,
        deadline: Deadline,
    ) -> Option<ListKeysResponse> {
        let only = [node];
        // Also one that has left: its index is nobody else's.
        let pool = if self.nodes().contains(&node) { &self.pool } else { &self.former };
        let outcome = pool.ask_all(&only, deadline, |_, channel| {
            let request = deadline.request(page.clone());
            async move {
                let mut node = bounded!(NodeClient::new(channel), MAX_REQUEST_BYTES);
                Ok(node.list_keys(request?).await?.into_inner())
            }
        });
        outcome.await.answers.pop().map(|(_, answer)| answer)
    }
}

/// A key's name and a version.
type Version = (String, u32);

/// The epoch in force of each version.
fn versions(key: KeySummary) -> impl Iterator<Item = (Version, u64)> {
    let newest = (key.version, key.epoch);
    let older = key.older.into_iter().map(|v| (v.version, v.epoch));
    older.chain([newest]).map(move |(version, epoch)| ((key.name.clone(), version), epoch))
}
