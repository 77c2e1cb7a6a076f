//! What nodes have said and written down, and what must be true of it whatever happens.

use super::{Broken, disk::Disk};
use quorate_ceremony::StepKind;
use quorate_types::*;
use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher},
};

#[derive(Default)]
pub(crate) struct Ledger {
    nodes: [OfNode; 3],
    /// What a node has answered to a request of a step: never anything else.
    steps: HashMap<(usize, StepKind, u64), u64>,
}

#[derive(Default)]
struct OfNode {
    /// Entries of the log that have been read.
    read: u64,
    /// The request that was granted under an id.
    ids: HashMap<(quorate_crypto::PublicKey, RequestId), Vec<u8>>,
    /// How often each request was granted, by the log, and answered.
    granted: HashMap<Vec<u8>, (u32, u32)>,
    /// The highest epoch of a key that it has reported to be in force.
    in_force: BTreeMap<usize, u64>,
}

impl Ledger {
    /// Reads on in a node's durable log.
    pub(crate) fn read(&mut self, node: usize, disk: &Disk) -> Result<(), Broken> {
        let of = &mut self.nodes[node];
        for (at, leaf) in disk.durable_log(of.read) {
            of.read = at + 1;
            let entry = AuditEntry::from_bytes(&leaf).unwrap();
            let Event::Request { head, decision: Decision::Granted(_), .. } = entry.event else {
                continue;
            };
            let parsed = RequestHead::from_bytes(&head).unwrap();
            let id = (parsed.client, parsed.id);
            if *of.ids.entry(id).or_insert_with(|| head.clone()) != head {
                let how = format!("node {node} has granted two requests of one id");
                return Err(Broken { rule: "replays", how });
            }
            of.granted.entry(head).or_default().0 += 1;
        }
        Ok(())
    }

    /// A node has answered a request under these epochs.
    pub(crate) fn answered(
        &mut self,
        node: usize,
        key: usize,
        head: &[u8],
        epochs: &[u64],
    ) -> Result<(), Broken> {
        let of = &mut self.nodes[node];
        let (granted, answered) = of.granted.entry(head.to_vec()).or_default();
        *answered += 1;
        if *answered > *granted {
            let how = format!("node {node} has answered, and its log does not say so");
            return Err(Broken { rule: "audit", how });
        }
        let least = of.in_force.get(&key).copied().unwrap_or(0);
        if epochs.iter().any(|epoch| *epoch < least) {
            let how = format!("node {node} answers under {epochs:?} with {least} in force");
            return Err(Broken { rule: "old shares", how });
        }
        Ok(())
    }

    /// A node has done a step of a ceremony.
    pub(crate) fn done(
        &mut self,
        node: usize,
        key: usize,
        (step, number): (StepKind, u64),
        request: &[u8],
        answer: &[u8],
    ) -> Result<(), Broken> {
        if step == StepKind::Survey {
            return Ok(());
        }
        if step == StepKind::Retire {
            let least = self.nodes[node].in_force.entry(key).or_default();
            *least = number.max(*least);
            return Ok(());
        }
        let said = digest(answer);
        if *self.steps.entry((node, step, digest(request))).or_insert(said) != said {
            let how = format!("node {node} answers the same {step:?} request with other bytes");
            return Err(Broken { rule: "steps", how });
        }
        Ok(())
    }
}

pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
