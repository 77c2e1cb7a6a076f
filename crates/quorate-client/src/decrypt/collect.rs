//! Collects answers of one epoch from `t` nodes, however the rest behave.

use super::{
    attempt::{Attempt, Failed, Signed},
    prove::ProofCheck,
};
use crate::{
    answers::{Expected, Said},
    error::{Culprit, Error, Missing},
    transport::{Replies, Reply},
};
use quorate_crypto::MAX_COMMITTEE;
use quorate_types::{Answer, EpochName, NodeIndex, Refusal, RefusalReason};
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// How often further nodes are asked: each round brings something new, or ends it.
const MAX_ROUNDS: usize = 70;

/// One node's partials, one for each item. `t` of them are as good as the payload key.
pub(super) type Partials = Zeroizing<Vec<[u8; 32]>>;

/// Partials for every item from exactly `t` nodes of one epoch.
pub(crate) struct Quorum {
    pub(super) epoch: EpochName,
    pub(super) partials: Vec<(NodeIndex, Partials)>,
}

/// The answers to one signed request so far.
pub(super) struct Collection<'c, 'a> {
    attempt: &'c mut Attempt<'a>,
    signed: Signed,
    proofs: Option<ProofCheck<'c>>,
    /// Partials by epoch: two epochs are never mixed.
    answers: BTreeMap<EpochName, BTreeMap<NodeIndex, Partials>>,
    refusals: BTreeMap<NodeIndex, Refusal>,
    /// Replies in a node's name that do not verify: whose fault that is nobody can tell.
    unverified: BTreeMap<NodeIndex, &'static str>,
    failures: BTreeMap<NodeIndex, String>,
}

impl<'c, 'a> Collection<'c, 'a> {
    pub(super) fn new(attempt: &'c mut Attempt<'a>, prove: bool) -> Result<Self, Error> {
        let signed = attempt.sign(prove)?;
        Ok(Self {
            attempt,
            signed,
            proofs: None,
            answers: BTreeMap::new(),
            refusals: BTreeMap::new(),
            unverified: BTreeMap::new(),
            failures: BTreeMap::new(),
        })
    }

    /// Demands a proof of every answer.
    pub(super) fn proved(mut self, check: ProofCheck<'c>) -> Self {
        self.proofs = Some(check);
        self
    }

    /// Asks until `t` nodes of one epoch have answered, or no further node can help. The
    /// first round may be only of some nodes. The same signed request goes to all.
    pub(super) async fn gather(
        mut self,
        first: Option<&BTreeSet<NodeIndex>>,
    ) -> Result<Quorum, Failed> {
        let t = self.attempt.threshold();
        let mut only = first;
        for _ in 0..MAX_ROUNDS {
            let open = self.open();
            if self.best() + open.len() < t {
                break;
            }
            let asked = |i: &NodeIndex| only.is_none_or(|nodes| nodes.contains(i));
            let avoid = (self.attempt.key.public().committee.indices())
                .filter(|i| !open.contains(i) || !asked(i))
                .collect();
            let want = t - self.best();
            let question = self.attempt.question(&self.signed, avoid, want);
            let deadline = self.attempt.deadline;
            let replies = self.attempt.transport.evaluate(question, deadline).await;
            let replies = replies.map_err(|fault| Error::party(&self.attempt.party, fault))?;
            let new = self.absorb(&replies)?;
            if self.best() >= t {
                return Ok(self.quorum(t));
            }
            if !new && only.is_none() {
                break;
            }
            only = None;
        }
        Err(self.shortfall().into())
    }

    /// Members that have not spoken yet.
    fn open(&self) -> BTreeSet<NodeIndex> {
        let spoken = |i: &NodeIndex| {
            self.attempt.liars.contains(i)
                || self.refusals.contains_key(i)
                || self.unverified.contains_key(i)
                || self.answers.values().any(|nodes| nodes.contains_key(i))
        };
        self.attempt.key.public().committee.indices().filter(|i| !spoken(i)).collect()
    }

    /// Answers of the epoch that has most.
    fn best(&self) -> usize {
        self.answers.values().map(BTreeMap::len).max().unwrap_or(0)
    }

    /// The highest epoch that `t` nodes serve.
    fn quorum(mut self, t: usize) -> Quorum {
        let epoch = (self.answers.iter().rev())
            .find(|(_, nodes)| nodes.len() >= t)
            .map(|(epoch, _)| *epoch)
            .expect("some epoch has t answers: `gather` has just counted them");
        let nodes = self.answers.remove(&epoch).unwrap_or_default();
        Quorum { epoch, partials: nodes.into_iter().take(t).collect() }
    }

    /// Takes a round's replies in; gives whether any node spoke that had not.
    fn absorb(&mut self, replies: &Replies) -> Result<bool, Failed> {
        let before = self.open().len();
        // No more than an honest party could bring, whatever a message holds.
        for reply in replies.answers.iter().take(MAX_COMMITTEE) {
            self.absorb_one(reply);
        }
        for (node, reason) in &replies.failures {
            if let Some(node) = index(*node) {
                self.failures.insert(node, printable(reason));
            }
        }
        self.judge_refusals()?;
        Ok(self.open().len() < before)
    }

    fn absorb_one(&mut self, reply: &Reply) {
        let attempt = &self.attempt;
        let expected = Expected {
            fingerprint: attempt.cluster.fingerprint(),
            committee: &attempt.key.public().committee,
            request: self.signed.hash,
            now: (attempt.client.clock)(),
        };
        match attempt.client.answers.read(reply, &expected) {
            Ok((node, Said::Refused(refusal))) => {
                self.refusals.insert(node, refusal);
            }
            Ok((node, Said::Answered(epoch, answer))) => self.answered(node, epoch, answer),
            Err(what) => {
                if let Some(node) = index(reply.node) {
                    self.unverified.insert(node, what);
                }
            }
        }
    }

    /// What the node itself sealed: if it is no answer to the question, the node lies.
    fn answered(&mut self, node: NodeIndex, epoch: EpochName, answer: Answer) {
        let items = self.attempt.items.len();
        let honest = answer.partials.len() == items
            && match &self.proofs {
                None => true,
                Some(check) if check.epoch() != epoch => {
                    self.unverified
                        .insert(node, "is of another epoch, its proof cannot be checked");
                    return;
                }
                Some(check) => check.holds(node, self.signed.hash, &answer),
            };
        if !honest {
            self.attempt.liars.insert(node);
            return;
        }
        self.answers.entry(epoch).or_default().insert(node, Zeroizing::new(answer.partials));
    }

    /// Nodes that call an item invalid are right or lie: the proof can be checked here.
    /// Nodes that find items other than the signed ones were sent such.
    fn judge_refusals(&mut self) -> Result<(), Failed> {
        let with = |reason| {
            let nodes = self.refusals.iter().filter(move |(_, r)| r.reason == reason);
            nodes.map(|(node, _)| *node).collect::<Vec<_>>()
        };
        if !with(RefusalReason::ItemsMismatch).is_empty() {
            let what = "changed the request's items on their way to the nodes";
            return Err(Error::coordinator(&self.attempt.party, what).into());
        }
        let accusers = with(RefusalReason::InvalidItem);
        if !accusers.is_empty() {
            let bad = self.attempt.bad_items();
            if !bad.is_empty() {
                return Err(Failed::Items(bad));
            }
            for node in accusers {
                self.refusals.remove(&node);
                self.attempt.liars.insert(node);
            }
        }
        Ok(())
    }

    /// Why there is no quorum.
    fn shortfall(&self) -> Error {
        let attempt = &self.attempt;
        let (t, n) = (attempt.threshold(), attempt.key.public().committee.size());
        let decided: Vec<&Refusal> =
            self.refusals.values().filter(|r| is_decision(r.reason)).collect();
        if !decided.is_empty() && n - decided.len() - attempt.liars.len() < t {
            return refused(attempt, &decided);
        }
        if n - attempt.liars.len() < t {
            let culprit = Culprit::Nodes(attempt.nodes(attempt.liars.iter().copied()));
            let what = format!("answered wrongly; fewer than {t} other nodes hold a share");
            return Error::Verification { culprit, what };
        }
        // Had these been answers, there would be a quorum.
        if let Some((node, what)) = self.unverified.first_key_value()
            && self.best() + self.unverified.len() >= t
        {
            let what = format!(
                "brought what {} {what}",
                format_args!("in the name of {}", attempt.node(*node))
            );
            return Error::coordinator(&attempt.party, what);
        }
        Error::NoQuorum { missing: self.missing(), needed: t, got: self.best() }
    }

    fn missing(&self) -> Vec<Missing> {
        let best = self.answers.values().max_by_key(|nodes| nodes.len());
        let reason = |i: &NodeIndex| -> String {
            if self.attempt.liars.contains(i) {
                return "answered wrongly".into();
            }
            if let Some(refusal) = self.refusals.get(i) {
                return format!("refused: {}", refusal.reason);
            }
            if let Some(what) = self.unverified.get(i) {
                return format!("sent what {what}");
            }
            if self.answers.values().any(|nodes| nodes.contains_key(i)) {
                return "serves another epoch".into();
            }
            self.failures.get(i).cloned().unwrap_or_else(|| "gave no answer".into())
        };
        (self.attempt.key.public().committee.indices())
            .filter(|i| best.is_none_or(|nodes| !nodes.contains_key(i)))
            .map(|i| Missing { node: self.attempt.node(i), reason: reason(&i) })
            .collect()
    }
}

/// The refusal that most of the nodes state.
fn refused(attempt: &Attempt<'_>, decided: &[&Refusal]) -> Error {
    let mut counts: BTreeMap<RefusalReason, usize> = BTreeMap::new();
    for refusal in decided {
        *counts.entry(refusal.reason).or_default() += 1;
    }
    let reason = (counts.into_iter().max_by_key(|(_, count)| *count))
        .map_or(RefusalReason::NotGranted, |(reason, _)| reason);
    let of_reason = || decided.iter().filter(|r| r.reason == reason);
    Error::Refused {
        reason,
        nodes: attempt.nodes(of_reason().map(|r| r.node)),
        item: of_reason().find_map(|r| r.item).map(usize::from),
    }
}

/// Whether a refusal is a decision against the request, or only says that the node cannot.
fn is_decision(reason: RefusalReason) -> bool {
    !matches!(reason, RefusalReason::NoShare | RefusalReason::Busy)
}

fn index(node: u32) -> Option<NodeIndex> {
    NodeIndex::new(u16::try_from(node).ok()?).ok()
}

/// A peer's word, short and without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
