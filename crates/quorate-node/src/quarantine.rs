//! Quarantine: from its start a process uses no share and takes part in no ceremony until
//! peers have said what they last saw of this node, and it is not behind that.
//!
//! An old disk image is whole by itself. A node that ran on one would answer under what was
//! revoked since, deal a second time where it has dealt, and deny what it has signed. So a
//! key with threshold `t` waits for the word of `t − 1` other nodes, given to this very
//! process (docs/protocol/quarantine.md). Each word has what the peer saw, signed by this
//! node itself: no peer can make it up. One can keep silent about it; `t − 1` that do so hide
//! an old image, fewer do not.
//!
//! What is seen to be behind stays in quarantine **for good**, over restarts too. The node
//! does not know what it has signed since that image: dealings, receipts, statements that an
//! epoch is active. New numbers would not help, since it cannot know which were used. The
//! way out is a new identity, `quorate cluster replace`, which costs nothing but a reshare.
//!
//! ```text
//! orders    'g' ‖ node index u16      Sighting: what that peer has seen, and this node then
//! ```

use crate::{
    core::Core,
    life,
    records::{Read, RecordError, tagged},
    witness,
};
use quorate_crypto::Threshold;
use quorate_rpc::{Fault, FaultKind};
use quorate_store::{Batch, Store, Tree};
use quorate_types::{
    Checkpoint, Format, NodeIndex, Sighting, SignedCheckpoint, SignedWitness, Split, roster,
};
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What this process has been told.
pub(crate) struct Quarantine(Mutex<Told>);

#[derive(Default)]
struct Told {
    /// Peers whose word counts.
    by: BTreeSet<NodeIndex>,
    out: Option<Behind>,
}

/// That this node is behind, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    here: Checkpoint,
    seen: Checkpoint,
    by: NodeIndex,
}

impl Behind {
    pub(crate) fn split(&self) -> Split {
        self.here.split(&self.seen)
    }
}

/// How a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// All keys that it serves are used.
    Free,
    /// Some wait for the word of more peers.
    Waiting {
        /// Peers who have given theirs.
        told: usize,
        /// Peers whose word the key with the greatest threshold needs.
        needed: usize,
    },
    /// For good.
    Behind(Box<Behind>),
}

impl Quarantine {
    /// Nobody has told anything yet; an earlier process may have been told that it is
    /// behind.
    pub(crate) fn begin(store: &dyn Store) -> Read<Self> {
        let mut out: Option<Behind> = None;
        for (key, bytes) in store.scan(Tree::Orders, b"g", None, roster::MAX_NODES)? {
            let read = found(&key, &bytes).ok_or(RecordError::Damaged("sighting"))?;
            out = out.filter(|known| known.split() == Split::TwoProcesses).or(Some(read));
        }
        Ok(Self(Mutex::new(Told { by: BTreeSet::new(), out })))
    }

    /// The peers whose word counts.
    pub(crate) fn told(&self) -> Vec<NodeIndex> {
        self.lock().by.iter().copied().collect()
    }

    pub(crate) fn behind(&self) -> Option<Behind> {
        self.lock().out.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses the use of a key with this threshold as long as it is in quarantine. Without a
/// threshold nothing is used, and only what is for good is refused.
pub(crate) fn check(core: &Core, threshold: Option<Threshold>) -> Result<(), Fault> {
    let told = core.quarantine.lock();
    let needed = threshold.map_or(0, peers);
    if told.out.is_none() && told.by.len() >= needed {
        return Ok(());
    }
    let standing = match &told.out {
        Some(behind) => Standing::Behind(Box::new(behind.clone())),
        None => Standing::Waiting { told: told.by.len(), needed },
    };
    drop(told);
    Err(Fault::new(FaultKind::Quarantined, describe(core, &standing)))
}

fn peers(threshold: Threshold) -> usize {
    threshold.as_usize() - 1
}

/// How the node stands as a whole: by the key with the greatest threshold. Without keys one
/// peer is enough to say so; none is needed where there is none.
pub(crate) fn standing(core: &Core) -> Standing {
    let (told, out) = {
        let told = core.quarantine.lock();
        (told.by.len(), told.out.clone())
    };
    if let Some(behind) = out {
        return Standing::Behind(Box::new(behind));
    }
    let others = core.cluster().roster().nodes.len().saturating_sub(1);
    let needed = core.greatest_threshold().map_or(1.min(others), peers);
    if told >= needed { Standing::Free } else { Standing::Waiting { told, needed } }
}

/// For people: what it waits for, or what it is behind, and what to do.
pub(crate) fn describe(core: &Core, standing: &Standing) -> String {
    let behind = match standing {
        Standing::Free => return String::new(),
        Standing::Waiting { told, needed } => {
            return format!(
                "in quarantine since its start: {told} of {needed} peers have told what they \
                 last saw of it; a coordinator brings their word"
            );
        }
        Standing::Behind(behind) => behind,
    };
    let cluster = core.cluster();
    let by = cluster.roster().node(behind.by);
    let by = by.map_or_else(|| format!("node {}", behind.by), |n| n.name.to_string());
    let (here, seen) = (&behind.here, &behind.seen);
    let what = match behind.split() {
        Split::OldImage => "an older disk image".to_owned(),
        split => split.as_str().to_owned(),
    };
    format!(
        "in quarantine for good: {what}: the store is at {} (log {}) in its start {}, {by} has \
         seen {} (log {}) in start {}. Do not use it any more: quorate cluster replace {}",
        here.extent.sequence,
        here.extent.length,
        here.boots,
        seen.extent.sequence,
        seen.extent.length,
        seen.boots,
        core.index(),
    )
}

/// Takes peers' words; those that do not count are left out. What one of them shows holds
/// even if it cannot be written down: the error says so, and the node is in quarantine.
pub(crate) fn hear(core: &Core, brought: &[Vec<u8>]) -> Result<(), Fault> {
    if brought.len() > roster::MAX_NODES {
        let text = format!("at most {} witnesses at once", roster::MAX_NODES);
        return Err(Fault::invalid(text));
    }
    for bytes in brought {
        match understand(core, bytes) {
            Ok(witness) => weigh(core, witness)?,
            Err(why) => {
                core.metrics.count("witness", "not_counted");
                tracing::warn!(why, "a witness does not count");
            }
        }
    }
    Ok(())
}

/// A word that counts: of another node of the newest roster, to this process, with nothing
/// in it that this node has not signed.
fn understand(core: &Core, bytes: &[u8]) -> Result<SignedWitness, &'static str> {
    let signed = SignedWitness::from_bytes(bytes).map_err(|_| "it does not parse")?;
    let witness = &signed.witness;
    if witness.about != core.index() {
        return Err("it is about another node");
    }
    if witness.boot != core.life.this.boot {
        return Err("it was given to another process");
    }
    let cluster = core.cluster();
    let by = cluster.roster().node(witness.witness).map(|n| n.identity);
    let by = by.ok_or("the newest roster does not name its witness")?;
    if by == core.me.identity {
        return Err("it is this node's own");
    }
    signed.verify(core.fingerprint(), &by).map_err(|_| "its signature is not the witness's")?;
    let own = |c: &SignedCheckpoint| c.verify(core.fingerprint(), &core.me.identity).is_ok();
    if !witness.seen.iter().flat_map(Sighting::checkpoints).all(own) {
        return Err("what it has seen is not signed by this node");
    }
    Ok(signed)
}

fn weigh(core: &Core, signed: SignedWitness) -> Result<(), Fault> {
    let witness = &signed.witness;
    let here = life::checkpoint(core);
    let behind = |seen: &Checkpoint| core.life.is_behind(&here.checkpoint, seen);
    let worst = witness.seen.as_ref().and_then(|sighting| worst(sighting, behind));
    let Some(shown) = worst else {
        core.quarantine.lock().by.insert(witness.witness);
        return Ok(());
    };
    let seen = shown.checkpoint.clone();
    let found = Behind { here: here.checkpoint.clone(), seen, by: witness.witness };
    {
        let mut told = core.quarantine.lock();
        // The first is as good as any, but that two live at one time is worth saying.
        let known = told.out.as_ref().map(Behind::split);
        if known.is_some_and(|known| known == Split::TwoProcesses || known == found.split()) {
            return Ok(());
        }
        told.out = Some(found.clone());
    }
    tracing::error!(what = describe(core, &Standing::Behind(Box::new(found.clone()))), "alarm");
    core.metrics.count("witness", "behind");
    // From here on nothing is used. A crash before the commit: it is shown again.
    let evidence = Sighting { newest: shown.clone(), other: Some(here.clone()) };
    witness::alarm(core, &evidence, found.split())?;
    let batch = Batch::new().put(Tree::Orders, place(witness.witness), evidence.to_bytes());
    core.store.commit(batch).map_err(|e| core.store_fault(&e))
}

/// Of what was seen, that which is furthest and meets a condition.
fn worst(sighting: &Sighting, is: impl Fn(&Checkpoint) -> bool) -> Option<&SignedCheckpoint> {
    let all = sighting.checkpoints().filter(|c| is(&c.checkpoint));
    all.max_by_key(|c| (c.checkpoint.extent.sequence, c.checkpoint.extent.length))
}

fn place(by: NodeIndex) -> Vec<u8> {
    tagged(b'g', &by.get().to_be_bytes())
}

fn found(key: &[u8], bytes: &[u8]) -> Option<Behind> {
    let by = NodeIndex::new(u16::from_be_bytes(key.get(1..)?.try_into().ok()?)).ok()?;
    let Sighting { newest, other } = Sighting::from_bytes(bytes).ok()?;
    Some(Behind { here: other?.checkpoint, seen: newest.checkpoint, by })
}
