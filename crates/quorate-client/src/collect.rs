//! Collects answers of one epoch from `t` nodes, however the rest behave.

use crate::{
    answers::{Expected, Said},
    asking::{Asking, Failed, Judge, Signed},
    error::{Culprit, Error, Missing},
    report::Report,
    transport::{Replies, Reply, ReplyOutcome},
};
use quorate_crypto::MAX_COMMITTEE;
use quorate_rpc::{Deadline, FaultKind};
use quorate_types::{Answer, EpochName, NodeIndex, Refusal, RefusalReason};
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// How often further nodes are asked: each round brings something new, or ends it.
const MAX_ROUNDS: usize = 70;

/// One node's partials, one for each item. `t` of them are as good as the payload key.
pub(crate) type Partials = Zeroizing<Vec<[u8; 32]>>;

/// Partials for every item from exactly `t` nodes of one epoch.
pub(crate) struct Quorum {
    pub(crate) epoch: EpochName,
    pub(crate) partials: Vec<(NodeIndex, Partials)>,
}

impl Quorum {
    /// The partials of one item, in the order of the nodes.
    pub(crate) fn of_item(&self, item: usize) -> Partials {
        Zeroizing::new(self.partials.iter().map(|(_, partials)| partials[item]).collect())
    }
}

impl Asking<'_> {
    /// Names nodes whose proven partials are not those that they gave before, when nobody asked
    /// for a proof.
    pub(crate) fn name_turncoats(&mut self, before: &Quorum, proved: &Quorum) {
        for (node, partials) in &proved.partials {
            if before.partials.iter().any(|(other, before)| other == node && before != partials) {
                self.liars.insert(*node);
            }
        }
    }

    /// What it took.
    pub(crate) fn report(&self, quorum: &Quorum) -> Report {
        Report {
            nodes: self.nodes(quorum.partials.iter().map(|(node, _)| *node)),
            liars: self.nodes(self.liars.iter().copied()),
            epoch: Some(quorum.epoch),
        }
    }
}

/// What an exact set of nodes has answered.
pub(crate) enum Exact {
    /// All of it.
    All(Quorum),
    /// Not all.
    Some {
        /// Who has not, why, and the reason if it refused.
        missing: BTreeMap<NodeIndex, (String, Option<RefusalReason>)>,
    },
}

/// The answers to one signed request so far.
pub(crate) struct Collection<'c, 'a> {
    asking: &'c mut Asking<'a>,
    judge: &'c dyn Judge,
    signed: Signed,
    /// Partials of the epoch that is known here; no others are taken: how many of them it
    /// takes, and from whom, that epoch's certificate says.
    answers: BTreeMap<NodeIndex, Partials>,
    /// Nodes that answered under other epochs only, or that hold no share any more.
    elsewhere: BTreeSet<NodeIndex>,
    refusals: BTreeMap<NodeIndex, Refusal>,
    /// Replies in a node's name that do not verify: whose fault that is nobody can tell.
    unverified: BTreeMap<NodeIndex, &'static str>,
    failures: BTreeMap<NodeIndex, String>,
}

impl<'c, 'a> Collection<'c, 'a> {
    /// Signs a request. With `prove`, `judge` demands a proof of every answer.
    pub(crate) fn new(
        asking: &'c mut Asking<'a>,
        judge: &'c dyn Judge,
        prove: bool,
    ) -> Result<Self, Error> {
        let signed = asking.sign(prove)?;
        Ok(Self {
            asking,
            judge,
            signed,
            answers: BTreeMap::new(),
            elsewhere: BTreeSet::new(),
            refusals: BTreeMap::new(),
            unverified: BTreeMap::new(),
            failures: BTreeMap::new(),
        })
    }

    /// Asks until `t` nodes of one epoch have answered, or no further node can help. The
    /// first round may be only of some nodes. The same signed request goes to all.
    pub(crate) async fn gather(
        mut self,
        first: Option<&BTreeSet<NodeIndex>>,
    ) -> Result<Quorum, Failed> {
        let t = self.asking.threshold();
        let mut only = first;
        for _ in 0..MAX_ROUNDS {
            let open = self.open();
            if self.best() + open.len() < t {
                break;
            }
            let asked = |i: &NodeIndex| only.is_none_or(|nodes| nodes.contains(i));
            let avoid = (self.asking.key.public().committee.indices())
                .filter(|i| !open.contains(i) || !asked(i))
                .collect();
            let want = t - self.best();
            let question = self.asking.question(&self.signed, avoid, want);
            let deadline = self.asking.deadline;
            let replies = match self.asking.transport.evaluate(question, deadline).await {
                Ok(replies) => replies,
                // Of an earlier round it is known who is silent: that says more than the clock.
                Err(fault)
                    if fault.kind == FaultKind::DeadlineExceeded && !self.failures.is_empty() =>
                {
                    break;
                }
                Err(fault) => return Err(Error::party(&self.asking.party, fault).into()),
            };
            let new = self.absorb(&replies)?;
            if self.best() >= t {
                return Ok(self.quorum(t));
            }
            if !new && only.is_none() {
                break;
            }
            only = None;
        }
        let error = self.shortfall();
        let left = |r: &Refusal| r.reason == RefusalReason::NoShare;
        let moved = !self.elsewhere.is_empty() || self.refusals.values().any(left);
        Err(if moved { Failed::Moved(error) } else { error.into() })
    }

    /// Asks exactly these nodes, once: all of them must answer, and nobody else can.
    pub(crate) async fn gather_exactly(
        mut self,
        set: &BTreeSet<NodeIndex>,
    ) -> Result<Exact, Failed> {
        let committee = self.asking.key.public().committee.indices();
        let avoid = committee.filter(|i| !set.contains(i)).collect();
        let question = self.asking.question(&self.signed, avoid, set.len());
        // One of the set that hangs must leave time for another set.
        let soon = Deadline::after(self.asking.client.timeout / 3);
        let deadline = self.asking.deadline.min(soon);
        let replies = self.asking.transport.evaluate(question, deadline).await;
        let replies = replies.map_err(|fault| Error::party(&self.asking.party, fault))?;
        self.absorb(&replies)?;
        // Another set is asked by another request: what was decided about this one still counts.
        let decided = self.refusals.iter().filter(|(_, r)| is_decision(r.reason));
        self.asking.decided.extend(decided.map(|(node, refusal)| (*node, refusal.clone())));
        let left = |r: &Refusal| r.reason == RefusalReason::NoShare;
        if !self.elsewhere.is_empty() || self.refusals.values().any(left) {
            return Err(Failed::Moved(self.shortfall()));
        }
        if set.iter().all(|i| self.answers.contains_key(i)) {
            let asked = |(i, _): &(NodeIndex, Partials)| set.contains(i);
            let partials = std::mem::take(&mut self.answers).into_iter().filter(asked).collect();
            let epoch = self.asking.key.public().epoch;
            return Ok(Exact::All(Quorum { epoch, partials }));
        }
        let why = |i: &NodeIndex| {
            let missing = self.missing().into_iter().find(|m| m.node.index == *i);
            let why = missing.map_or_else(|| "gave no answer".into(), |m| m.reason);
            (*i, (why, self.refusals.get(i).map(|r| r.reason)))
        };
        let absent = set.iter().filter(|i| !self.answers.contains_key(i));
        Ok(Exact::Some { missing: absent.map(why).collect() })
    }

    /// Members that have not spoken yet.
    fn open(&self) -> BTreeSet<NodeIndex> {
        let spoken = |i: &NodeIndex| {
            self.asking.liars.contains(i)
                || self.asking.tired.contains_key(i)
                || self.refusals.contains_key(i)
                || self.unverified.contains_key(i)
                || self.answers.contains_key(i)
                || self.elsewhere.contains(i)
        };
        self.asking.key.public().committee.indices().filter(|i| !spoken(i)).collect()
    }

    /// How many have answered.
    fn best(&self) -> usize {
        self.answers.len()
    }

    fn quorum(self, t: usize) -> Quorum {
        let epoch = self.asking.key.public().epoch;
        Quorum { epoch, partials: self.answers.into_iter().take(t).collect() }
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
        let asking = &self.asking;
        let expected = Expected {
            fingerprint: asking.cluster.fingerprint(),
            committee: &asking.key.public().committee,
            request: self.signed.hash,
            now: (asking.client.clock)(),
        };
        let known = asking.key.public().epoch;
        let mut other = None;
        // The node's answer under the known epoch, wherever it stands.
        let also = reply.also.iter().map(|bytes| Reply {
            node: reply.node,
            outcome: ReplyOutcome::Sealed(bytes.clone()),
            also: Vec::new(),
        });
        for reply in std::iter::once(reply.clone()).chain(also) {
            match asking.client.answers.read(&reply, &expected) {
                Ok((node, Said::Refused(refusal))) => {
                    self.refusals.insert(node, refusal);
                    return;
                }
                Ok((node, Said::Answered(epoch, answer))) if epoch == known => {
                    return self.answered(node, answer);
                }
                Ok((node, Said::Answered(..))) => other = Some(node),
                Err(_) if self.is_newcomer(reply.node) => {
                    // In no way to be verified here: a hint that a newer record is needed.
                    self.elsewhere.extend(index(reply.node));
                    return;
                }
                Err(what) => {
                    if let Some(node) = index(reply.node) {
                        self.unverified.insert(node, what);
                    }
                    return;
                }
            }
        }
        self.elsewhere.extend(other);
    }

    /// A node of the roster that is not in the committee known here.
    fn is_newcomer(&self, node: u32) -> bool {
        index(node).is_some_and(|i| {
            self.asking.key.public().committee.member(i).is_none()
                && self.asking.cluster.roster().node(i).is_some()
        })
    }

    /// What the node itself sealed: if it is no answer to the question, the node lies.
    fn answered(&mut self, node: NodeIndex, answer: Answer) {
        let honest = answer.partials.len() == self.judge.length(self.asking.wire.len())
            && self.judge.takes(node, self.signed.hash, &answer);
        if !honest {
            self.asking.liars.insert(node);
            return;
        }
        self.answers.insert(node, Zeroizing::new(answer.partials));
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
            return Err(Error::coordinator(&self.asking.party, what).into());
        }
        let accusers = with(RefusalReason::InvalidItem);
        if !accusers.is_empty() {
            let bad = self.judge.bad_items();
            if !bad.is_empty() {
                return Err(Failed::Items(bad));
            }
            for node in accusers {
                self.refusals.remove(&node);
                self.asking.liars.insert(node);
            }
        }
        Ok(())
    }

    /// Why there is no quorum.
    fn shortfall(&self) -> Error {
        let asking = &self.asking;
        let (t, n) = (asking.threshold(), asking.key.public().committee.size());
        let refusals = self.refusals.values().filter(|r| is_decision(r.reason));
        let earlier = asking.decided.iter().filter(|(node, _)| !self.refusals.contains_key(node));
        let decided: Vec<&Refusal> = refusals.chain(earlier.map(|(_, r)| r)).collect();
        if !decided.is_empty() && n - decided.len() - asking.liars.len() < t {
            return refused(asking, &decided);
        }
        if n - asking.liars.len() < t {
            let culprit = Culprit::Nodes(asking.nodes(asking.liars.iter().copied()));
            let what = format!("answered wrongly; fewer than {t} other nodes hold a share");
            return Error::Verification { culprit, what };
        }
        // Had these been answers, there would be a quorum.
        if let Some((node, what)) = self.unverified.first_key_value()
            && self.best() + self.unverified.len() >= t
        {
            let what = format!(
                "brought what {} {what}",
                format_args!("in the name of {}", asking.node(*node))
            );
            return Error::coordinator(&asking.party, what);
        }
        Error::NoQuorum { missing: self.missing(), needed: t, got: self.best() }
    }

    fn missing(&self) -> Vec<Missing> {
        let reason = |i: &NodeIndex| -> String {
            if self.asking.liars.contains(i) {
                return "answered wrongly".into();
            }
            if let Some(refusal) = self.refusals.get(i) {
                return format!("refused: {}", refusal.reason);
            }
            if let Some(what) = self.unverified.get(i) {
                return format!("sent what {what}");
            }
            if self.elsewhere.contains(i) {
                return "serves another epoch".into();
            }
            let tired = self.asking.tired.get(i).or_else(|| self.failures.get(i));
            tired.cloned().unwrap_or_else(|| "gave no answer".into())
        };
        (self.asking.key.public().committee.indices())
            .filter(|i| !self.answers.contains_key(i))
            .map(|i| Missing { node: self.asking.node(i), reason: reason(&i) })
            .collect()
    }
}

/// The refusal that most of the nodes state.
fn refused(asking: &Asking<'_>, decided: &[&Refusal]) -> Error {
    let mut counts: BTreeMap<RefusalReason, usize> = BTreeMap::new();
    for refusal in decided {
        *counts.entry(refusal.reason).or_default() += 1;
    }
    let reason = (counts.into_iter().max_by_key(|(_, count)| *count))
        .map_or(RefusalReason::NotGranted, |(reason, _)| reason);
    let of_reason = || decided.iter().filter(|r| r.reason == reason);
    Error::Refused {
        reason,
        nodes: asking.nodes(of_reason().map(|r| r.node)),
        item: of_reason().find_map(|r| r.item).map(usize::from),
    }
}

/// Whether a refusal is a decision against the request, or only says that the node cannot.
fn is_decision(reason: RefusalReason) -> bool {
    !matches!(
        reason,
        RefusalReason::NoShare
            | RefusalReason::Busy
            | RefusalReason::NonceGone
            | RefusalReason::TooManyNonces
    )
}

fn index(node: u32) -> Option<NodeIndex> {
    NodeIndex::new(u16::try_from(node).ok()?).ok()
}

/// A peer's word, short and without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
