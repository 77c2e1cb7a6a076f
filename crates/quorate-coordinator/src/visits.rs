//! Visits every node again and again: brings one that comes back the orders, rosters and
//! epochs that it missed, brings one that has started its peers' word, so that its
//! quarantine ends, and brings peers the checkpoints of all.
//!
//! Postman here too: a node believes no coordinator, and a peer's word only if it is signed
//! for the node's own process. One visit to a node at a time, each on its own, so that a
//! node that hangs delays nobody else's.

use crate::state::State;
use quorate_crypto::PublicKey;
use quorate_rpc::{
    Channel, Deadline, Fault, MAX_REQUEST_BYTES, bounded,
    v1::{CheckpointRequest, CheckpointResponse, WitnessRequest, node_client::NodeClient},
};
use quorate_types::{BootId, Format, NodeIndex, Sighting, SignedCheckpoint, SignedWitness, Split};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// Between visits to a node that serves, unless somebody finds it waiting before. A revocation
/// reaches one that was away this long after it is back, at the latest.
const EVERY: Duration = Duration::from_secs(2);
/// Between visits to one that is away, or whose quarantine could end: at first, and at most.
const SOON: Duration = Duration::from_millis(100);
const NOT_SO_SOON: Duration = Duration::from_millis(500);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(5);
/// How long a peer may take for its word, which takes one flush.
const WORD: Duration = Duration::from_secs(3);
/// What comes this shortly after a peer's word is brought with it.
const GATHER: Duration = Duration::from_millis(5);
/// How long bringing a node up to date may take; and at first, while it waits in quarantine:
/// another node that hangs uses up what there is.
const PATIENCE: Duration = Duration::from_secs(30);
const AT_FIRST: Duration = Duration::from_secs(9);
/// Longer than it takes where nothing hangs.
const SUSPICIOUS: Duration = Duration::from_secs(2);
/// To bring one node up to date may take a tenth of the time, and up to a tenth of this at
/// once: one that claims ever new processes must not keep everybody busy.
const BURST: Duration = Duration::from_secs(5);
/// Between two checkpoints of a process that are brought to its peers, while clients use it,
/// and after orders and ceremonies. Each is a small write at every peer.
const IDLE: Duration = Duration::from_secs(30);
const MOVED: Duration = Duration::from_secs(2);

/// What is known of one node between visits.
#[derive(Clone, Default)]
struct Last {
    /// Whether it answered.
    here: bool,
    /// Visits in a row that changed nothing and should be repeated soon.
    in_vain: u32,
    /// The process that answered, and peers whose word it has.
    boot: Option<BootId>,
    told: BTreeSet<NodeIndex>,
    /// Until when bringing it up to date has used up its tenth of the time.
    used: Option<Instant>,
    /// What was last brought to the peers: of which process, how long its log was, when.
    shown: Option<(BootId, u64, Instant)>,
    /// An order or a ceremony has changed something that peers were not shown yet.
    owed: bool,
    quarantined: bool,
}

struct Node {
    visited: Instant,
    due: Instant,
    busy: bool,
    /// As in `Last::owed`, since the visit that is under way began.
    moved: bool,
    last: Last,
}

impl Default for Node {
    fn default() -> Self {
        let now = Instant::now();
        Self { visited: now, due: now, busy: false, moved: false, last: Last::default() }
    }
}

/// Visits until told to stop.
pub(crate) async fn visit_all(state: Arc<State>, stop: CancellationToken) {
    let mut nodes: BTreeMap<NodeIndex, Node> = BTreeMap::new();
    let mut visits: JoinSet<(NodeIndex, Last)> = JoinSet::new();
    loop {
        let roster = state.nodes();
        nodes.retain(|node, _| roster.contains(node));
        for node in &roster {
            let one = nodes.entry(*node).or_default();
            if !one.busy && one.due <= Instant::now() {
                one.busy = true;
                one.last.owed |= std::mem::take(&mut one.moved);
                let visit = Visit { state: Arc::clone(&state), node: *node };
                visits.spawn(visit.make(one.last.clone()));
            }
        }
        let next = nodes.values().filter(|n| !n.busy).map(|n| n.due).min();
        // A new roster is looked for this often too.
        let next = next.unwrap_or_else(|| Instant::now() + EVERY).min(Instant::now() + NOT_SO_SOON);
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(next) => {}
            () = state.moved.notified() => {
                // What has just changed is durable at the nodes; their peers hear of it.
                let soon = Instant::now() + SOON;
                for one in nodes.values_mut() {
                    let may = one.last.shown.map_or(soon, |(_, _, at)| soon.max(at + MOVED));
                    (one.moved, one.due) = (true, one.due.min(may));
                }
            }
            () = state.called.notified() => {
                let calling = std::mem::take(
                    &mut *state.calling.lock().unwrap_or_else(PoisonError::into_inner),
                );
                for (_, one) in nodes.iter_mut().filter(|(node, _)| calling.contains(node)) {
                    one.due = one.due.min(one.visited + SOON);
                }
            }
            Some(done) = visits.join_next() => match done {
                Ok((node, last)) => note(&mut nodes, node, last),
                // One that panicked has no name here: all may be visited again.
                Err(_) => nodes.values_mut().for_each(|n| n.busy = false),
            },
        }
    }
}

/// Takes a visit's result over. Peers that lack the word of a node that is here now are
/// visited again.
fn note(nodes: &mut BTreeMap<NodeIndex, Node>, node: NodeIndex, last: Last) {
    let Some(one) = nodes.get_mut(&node) else { return };
    let came = last.here && !one.last.here;
    (one.busy, one.visited) = (false, Instant::now());
    one.last = last;
    if came {
        for (_, other) in nodes.iter_mut().filter(|(n, o)| **n != node && o.last.here) {
            if !other.last.told.contains(&node) {
                (other.due, other.last.in_vain) = (Instant::now(), 0);
            }
        }
    }
    let here: BTreeSet<NodeIndex> =
        nodes.iter().filter(|(_, n)| n.last.here).map(|(n, _)| *n).collect();
    let Some(one) = nodes.get_mut(&node) else { return };
    let lacks = here.iter().any(|n| *n != node && !one.last.told.contains(n));
    let pause = if !one.last.here || one.last.quarantined || lacks {
        (SOON * (1 << one.last.in_vain.min(8))).min(match one.last.here {
            true if !one.last.quarantined => EVERY,
            _ => NOT_SO_SOON,
        })
    } else {
        EVERY
    };
    let owed = one.moved || one.last.owed;
    one.due = Instant::now() + if owed { pause.min(MOVED) } else { pause };
}

/// One visit.
struct Visit {
    state: Arc<State>,
    node: NodeIndex,
}

impl Visit {
    async fn make(self, last: Last) -> (NodeIndex, Last) {
        let in_vain = last.in_vain.saturating_add(1);
        let next = match self.look(&last).await {
            Some(next) => next,
            None => {
                self.state.away().insert(self.node);
                let Last { shown, owed, used, .. } = last;
                Last { in_vain, shown, owed, used, ..Last::default() }
            }
        };
        (self.node, next)
    }

    /// `None` if the node does not answer as itself.
    async fn look(&self, last: &Last) -> Option<Last> {
        let state = &self.state;
        let answer = self.bring(Vec::new()).await?;
        let checkpoint = self.verified(&answer)?;
        let boot = checkpoint.checkpoint.boot;
        let back = state.away().contains(&self.node) || last.boot.is_some_and(|b| b != boot);
        if back && last.used.is_some_and(|until| until > Instant::now() + BURST) {
            state.away().insert(self.node);
            return Some(Last { here: true, quarantined: true, in_vain: 1, ..last.clone() });
        }
        let begun = Instant::now();
        if back {
            // Before its peers' word: what has come into force without it, it must not use.
            catch_up(state, self.node, AT_FIRST).await;
            state.away().remove(&self.node);
        }
        if back && begun.elapsed() > SUSPICIOUS {
            // Again, with all the time that it may take, while the visits go on.
            let (state, node) = (Arc::clone(state), self.node);
            tokio::spawn(async move { catch_up(&state, node, PATIENCE).await });
        }
        let mut used = last.used;
        if back {
            // No more than one that takes a second: it may be another node that hangs.
            let took = begun.elapsed().clamp(SOON / 10, Duration::from_secs(1));
            used = Some(used.unwrap_or(begun).max(begun) + 10 * took);
        }
        let (shown, boot_now) = (last.shown, Some(boot));
        let mut next = Last { here: true, boot: boot_now, shown, used, ..read(&answer) };
        next.in_vain = if last.boot == Some(boot) { last.in_vain.saturating_add(1) } else { 0 };
        if next.told != last.told {
            next.in_vain = 0;
        }
        let length = checkpoint.checkpoint.extent.length;
        let show = self.should_show(last, boot, length);
        let others = state.nodes().into_iter().filter(|n| *n != self.node);
        let asked: Vec<NodeIndex> = match show {
            true => others.collect(),
            false => others.filter(|n| !next.told.contains(n)).collect(),
        };
        if !asked.is_empty() {
            self.bring_words(&checkpoint, &asked, &mut next).await;
        }
        match next.shown {
            _ if show => next.shown = Some((boot, length, Instant::now())),
            Some((_, shown, _)) => next.owed = last.owed && length != shown,
            None => {}
        }
        Some(next)
    }

    /// Whether peers should see it: another process than they saw last, or one whose log has
    /// grown. The manifest's sequence alone is no reason: to note a peer's checkpoint is a
    /// commit too, and nodes would keep one another's disks busy for ever.
    fn should_show(&self, last: &Last, boot: BootId, length: u64) -> bool {
        match last.shown {
            Some((shown, at_length, at)) if shown == boot => {
                let pause = if last.owed { MOVED } else { IDLE };
                length != at_length && at.elapsed() >= pause
            }
            _ => true,
        }
    }

    /// Shows peers the checkpoint, and brings their words as they come: one that hangs holds
    /// nobody up.
    async fn bring_words(
        &self,
        checkpoint: &SignedCheckpoint,
        asked: &[NodeIndex],
        next: &mut Last,
    ) {
        let (deadline, bytes) = (Deadline::after(WORD), checkpoint.to_bytes());
        let mut calls = JoinSet::new();
        for peer in asked {
            let Some(channel) = self.state.pool.channel(*peer) else { continue };
            let request = WitnessRequest { checkpoint: bytes.clone() };
            calls.spawn(async move { tell(channel, request, deadline).await });
        }
        let before = next.told.clone();
        while let Ok(Some(first)) = timeout_at(deadline.instant(), calls.join_next()).await {
            let mut answers: Vec<Vec<u8>> = first.into_iter().flatten().collect();
            let until = Instant::now() + GATHER;
            while let Ok(Some(more)) = timeout_at(until, calls.join_next()).await {
                answers.extend(more.into_iter().flatten());
            }
            // What is no word would spoil the message for those that are: words are small.
            let words: Vec<SignedWitness> =
                answers.iter().filter_map(|word| SignedWitness::from_bytes(word).ok()).collect();
            for word in &words {
                self.look_for_split(word, checkpoint);
            }
            let words: Vec<Vec<u8>> = words.iter().map(Format::to_bytes).collect();
            if words.is_empty() {
                continue;
            }
            let Some(answer) = self.bring(words).await else { return };
            let Last { told, quarantined, .. } = read(&answer);
            (next.told, next.quarantined) = (told, quarantined);
        }
        if next.told != before {
            next.in_vain = 0;
        }
    }

    /// What a peer has seen may prove that the identity has two histories. The proof is the
    /// identity's own; a peer's word adds nothing to it.
    fn look_for_split(&self, word: &SignedWitness, checkpoint: &SignedCheckpoint) {
        let seen = word.witness.seen.as_ref();
        let Some(seen) = seen.filter(|s| s.newest.checkpoint.node == self.node) else { return };
        let cluster = self.state.cluster();
        let Some(entry) = cluster.roster().node(self.node) else { return };
        let own = |c: &SignedCheckpoint| c.verify(cluster.fingerprint(), &entry.identity).is_ok();
        if !seen.checkpoints().all(own) {
            return;
        }
        if let Some(split) = seen.split().or_else(|| against(seen, checkpoint)) {
            self.raise(entry.identity, split);
        }
    }

    fn raise(&self, identity: PublicKey, split: Split) {
        let mut splits = self.state.splits.lock().unwrap_or_else(PoisonError::into_inner);
        let known = splits.get(&self.node).filter(|(of, _)| *of == identity).map(|(_, s)| *s);
        if known == Some(split) || known == Some(Split::TwoProcesses) {
            return;
        }
        splits.insert(self.node, (identity, split));
        tracing::error!(node = %self.node, "alarm: {}", split.as_str());
    }

    fn verified(&self, answer: &CheckpointResponse) -> Option<SignedCheckpoint> {
        let cluster = self.state.cluster();
        let entry = cluster.roster().node(self.node)?;
        let checkpoint = SignedCheckpoint::from_bytes(&answer.checkpoint).ok()?;
        let own = checkpoint.verify(cluster.fingerprint(), &entry.identity).is_ok()
            && checkpoint.checkpoint.node == self.node;
        if !own {
            tracing::warn!(node = %self.node, "a node showed a checkpoint that is not its own");
        }
        own.then_some(checkpoint)
    }

    /// Brings the node words, or none, and asks where it is. Past the pool's measure of how
    /// fast it is: words take a while to verify, and the first call after a start to connect.
    async fn bring(&self, witnesses: Vec<Vec<u8>>) -> Option<CheckpointResponse> {
        let channel = self.state.pool.channel(self.node)?;
        let deadline = Deadline::after(CALL);
        let answer = timeout_at(deadline.instant(), bring(channel, witnesses, deadline)).await;
        answer.ok()?.ok()
    }
}

/// Brings a node the orders, rosters and epochs that it missed.
async fn catch_up(state: &State, node: NodeIndex, patience: Duration) {
    state.catch_up(node, Deadline::after(patience)).await;
    state.bring_epochs(node, Deadline::after(patience)).await;
}

/// What the process that answers contradicts of what was seen. (An older start than one that
/// was seen is none here: it may have ended meanwhile. The node itself knows that it has not.)
fn against(seen: &Sighting, live: &SignedCheckpoint) -> Option<Split> {
    let mut all = seen.checkpoints().map(|c| &c.checkpoint);
    let other = all.find(|c| c.contradicts(&live.checkpoint))?;
    Some(other.split(&live.checkpoint))
}

fn read(answer: &CheckpointResponse) -> Last {
    let told = answer.told.iter().filter_map(|n| NodeIndex::new(u16::try_from(*n).ok()?).ok());
    Last { told: told.collect(), quarantined: answer.quarantined, ..Last::default() }
}

async fn bring(
    channel: Channel,
    witnesses: Vec<Vec<u8>>,
    deadline: Deadline,
) -> Result<CheckpointResponse, Fault> {
    let mut node = bounded!(NodeClient::new(channel), MAX_REQUEST_BYTES);
    let request = deadline.request(CheckpointRequest { witnesses })?;
    Ok(node.checkpoint(request).await?.into_inner())
}

async fn tell(
    channel: Channel,
    request: WitnessRequest,
    deadline: Deadline,
) -> Result<Vec<u8>, Fault> {
    let mut peer = bounded!(NodeClient::new(channel), MAX_REQUEST_BYTES);
    Ok(peer.witness(deadline.request(request)?).await?.into_inner().witness)
}
