//! What this node has seen of its peers, and its word to one of them that has started.
//!
//! ```text
//! orders    'k' ‖ node index u16      Sighting
//! ```
//!
//! One small record for each node of the roster, written only when a peer is further than
//! was known. A node that is itself in quarantine gives its word all the same, so that a
//! whole cluster can start.

use crate::{
    core::Core,
    records::{self, Read, tagged},
};
use quorate_crypto::{PublicKey, hash::Label};
use quorate_rpc::Fault;
use quorate_store::{Batch, Tree};
use quorate_types::{
    Event, Format, Hash, NodeIndex, Seen, Sighting, SignedCheckpoint, SignedWitness, Split, Witness,
};
use std::sync::PoisonError;

/// Takes a peer's checkpoint; gives the word that its process is to be told: what was known
/// of the peer before, and what both together prove. Durable when this returns, so that a
/// process which serves by this word has been seen.
pub(crate) fn tell(core: &Core, checkpoint: &[u8]) -> Result<Vec<u8>, Fault> {
    let shown = SignedCheckpoint::from_bytes(checkpoint);
    let shown = shown.map_err(|e| Fault::invalid(format!("the checkpoint: {e}")))?;
    let (about, boot) = (shown.checkpoint.node, shown.checkpoint.boot);
    let identity = peer(core, about)?;
    shown.verify(core.fingerprint(), &identity).map_err(|_| {
        Fault::invalid("the checkpoint is not signed by the node that the newest roster names")
    })?;
    let seen = take(core, shown, &identity)?;
    let witness = Witness { witness: core.index(), about, boot, seen };
    Ok(SignedWitness::sign(witness, core.fingerprint(), &core.identity).to_bytes())
}

fn peer(core: &Core, about: NodeIndex) -> Result<PublicKey, Fault> {
    if about == core.index() {
        return Err(Fault::invalid("a node is no witness of its own"));
    }
    let cluster = core.cluster();
    let entry = cluster.roster().node(about).map(|n| n.identity);
    entry.ok_or_else(|| Fault::invalid("the newest roster has no such node"))
}

fn take(
    core: &Core,
    shown: SignedCheckpoint,
    identity: &PublicKey,
) -> Result<Option<Sighting>, Fault> {
    let about = shown.checkpoint.node;
    let _one = core.sightings.lock().unwrap_or_else(PoisonError::into_inner);
    let known = sighting(core, about, identity).map_err(|e| e.fault(core))?;
    let before = known.clone();
    let (now, seen) = match known {
        None => (Sighting::first(shown), Seen::Newer),
        Some(mut sighting) => {
            let seen = sighting.take(shown);
            (sighting, seen)
        }
    };
    if let Seen::Split(split) = seen {
        // The entry first: after a crash here the checkpoint comes again, and stands twice.
        alarm(core, &now, split)?;
        tracing::error!(node = %about, "alarm: {}", split.as_str());
    }
    if seen != Seen::Nothing {
        let batch = Batch::new().put(Tree::Orders, place(about), now.to_bytes());
        core.store.commit(batch).map_err(|e| core.store_fault(&e))?;
    }
    // Of a first showing nothing was known before. What it proves is told at once.
    Ok(if now.split().is_some() { Some(now) } else { before })
}

/// Counts an alarm, and writes it into the audit log.
pub(crate) fn alarm(core: &Core, evidence: &Sighting, split: Split) -> Result<(), Fault> {
    let node = evidence.newest.checkpoint.node;
    core.metrics.alarm(split, node == core.index());
    let (cluster, bytes) = (core.fingerprint().as_bytes(), evidence.to_bytes());
    let hash = quorate_crypto::hash::hash32(Label::STATEMENT_HASH, &[cluster, &bytes]);
    core.log(Event::Split { node, split, evidence: Hash(hash) })
}

/// What is known of a node with this identity; a former one's at its index is nothing.
fn sighting(core: &Core, node: NodeIndex, identity: &PublicKey) -> Read<Option<Sighting>> {
    let found: Option<Sighting> =
        records::get(&*core.store, Tree::Orders, &place(node), "sighting")?;
    let own = |s: &Sighting| {
        let mut all = s.checkpoints();
        all.all(|c| c.verify(core.fingerprint(), identity).is_ok())
    };
    Ok(found.filter(own))
}

fn place(node: NodeIndex) -> Vec<u8> {
    tagged(b'k', &node.get().to_be_bytes())
}
