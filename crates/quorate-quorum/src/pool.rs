//! Pooled channels to peers, and questions to several at once.

use crate::{budget::Budget, health::Health};
use quorate_crypto::{IdentityKey, PublicKey};
use quorate_rpc::{
    Channel, Deadline, DialOptions, Dialer, EndpointError, Fault, FaultKind, TlsError,
};
use quorate_types::{Endpoint, NodeIndex, Roster};
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use thiserror::Error;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

/// Why there is no pool.
#[derive(Debug, Error)]
pub enum PoolError {
    /// No TLS configuration.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A peer's endpoint is unusable.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Where a peer is and which key it must prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its index.
    pub index: NodeIndex,
    /// `host:port`.
    pub endpoint: Endpoint,
    /// Its TLS key.
    pub key: PublicKey,
}

struct Link {
    peer: Peer,
    channel: Channel,
    health: Mutex<Health>,
}

impl Link {
    fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Channels to the nodes of a roster, connected when first needed.
pub struct Pool {
    dialer: Dialer,
    links: RwLock<BTreeMap<NodeIndex, Arc<Link>>>,
    budget: Budget,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("identity", &self.dialer.public()).finish_non_exhaustive()
    }
}

/// What a question to several nodes brought.
#[derive(Debug)]
pub struct Outcome<T> {
    /// Answers in the order of their arrival.
    pub answers: Vec<(NodeIndex, T)>,
    /// Nodes that were asked and gave none.
    pub failures: Vec<(NodeIndex, Fault)>,
}

impl Pool {
    /// A pool that proves `identity` to every peer; no peers yet.
    ///
    /// # Errors
    /// [`PoolError::Tls`].
    pub fn new(identity: &IdentityKey, options: DialOptions) -> Result<Self, PoolError> {
        Ok(Self {
            dialer: Dialer::new(identity, options)?,
            links: RwLock::default(),
            budget: Budget::holding(HEDGES),
        })
    }

    /// A pool of a roster's nodes.
    ///
    /// # Errors
    /// [`PoolError`].
    pub fn of(roster: &Roster, identity: &IdentityKey) -> Result<Self, PoolError> {
        let pool = Self::new(identity, DialOptions::default())?;
        let peer = |n: &quorate_types::NodeEntry| Peer {
            index: n.index,
            endpoint: n.endpoint.clone(),
            key: n.identity,
        };
        pool.set_peers(roster.nodes.iter().map(peer))?;
        Ok(pool)
    }

    /// Sets the peers. Those that stay as they were keep their connection and history.
    ///
    /// # Errors
    /// [`PoolError`]; then nothing has changed.
    pub fn set_peers(&self, peers: impl IntoIterator<Item = Peer>) -> Result<(), PoolError> {
        let old = self.links.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut links = BTreeMap::new();
        for peer in peers {
            let kept = old.get(&peer.index).filter(|l| l.peer == peer).cloned();
            let link = match kept {
                Some(link) => link,
                None => Arc::new(Link {
                    channel: self.dialer.channel(peer.endpoint.as_str(), peer.key)?,
                    health: Mutex::default(),
                    peer,
                }),
            };
            links.insert(link.peer.index, link);
        }
        *self.links.write().unwrap_or_else(PoisonError::into_inner) = links;
        Ok(())
    }

    /// The channel to a peer.
    #[must_use]
    pub fn channel(&self, index: NodeIndex) -> Option<Channel> {
        self.link(index).map(|l| l.channel.clone())
    }

    /// What is known of a peer's speed and reachability.
    #[must_use]
    pub fn health(&self, index: NodeIndex) -> Option<Health> {
        self.link(index).map(|l| l.health())
    }

    /// All peers' indices, ascending.
    #[must_use]
    pub fn indices(&self) -> Vec<NodeIndex> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Asks the `want` fastest of `candidates`, another for each that is slower than usual,
    /// another at once for each that fails, until `want` have answered, none is left, or
    /// the deadline has come. Dropping the future drops the calls under way.
    ///
    /// Who is overdue is noted at once, so that requests that begin later ask others first.
    /// When the budget is spent, a request waits until answers to others have earned more.
    ///
    /// `call` must be safe to make at any number of nodes: requests are, by their id.
    pub async fn ask<T, F, Fut>(
        &self,
        candidates: &[NodeIndex],
        want: usize,
        deadline: Deadline,
        call: F,
    ) -> Outcome<T>
    where
        F: Fn(NodeIndex, Channel) -> Fut,
        Fut: Future<Output = Result<T, Fault>> + Send + 'static,
        T: Send + 'static,
    {
        let mut ordered: Vec<Arc<Link>> = candidates.iter().filter_map(|i| self.link(*i)).collect();
        ordered.sort_by_key(|l| l.health().rank());
        let mut waiting: VecDeque<Arc<Link>> = ordered.into();
        let mut asked = Round::new(deadline);
        let mut hedge = Instant::now();
        while asked.under_way() < want
            && let Some(link) = waiting.pop_front()
        {
            hedge = hedge.max(Instant::now() + link.health().hedge_after());
            asked.start(link, &call);
        }
        while asked.answers.len() < want && asked.under_way() > 0 {
            let may_hedge = !waiting.is_empty() && hedge < deadline.instant();
            tokio::select! {
                biased;
                finished = asked.next() => match finished {
                    Finished::Answered => self.budget.earn(),
                    // Needed, not extra: it replaces one of the `want`.
                    Finished::Failed => if let Some(link) = waiting.pop_front() {
                        asked.start(link, &call);
                    },
                    Finished::TimeIsUp => break,
                },
                () = sleep_until(hedge), if may_hedge => {
                    let mut patience = AGAIN;
                    for _ in 0..asked.lacking(want) {
                        if waiting.is_empty() || !self.budget.spend() {
                            break;
                        }
                        if let Some(link) = waiting.pop_front() {
                            patience = patience.max(link.health().hedge_after());
                            asked.start(link, &call);
                        }
                    }
                    hedge = Instant::now() + patience;
                },
            }
        }
        asked.end(want)
    }

    /// Asks every one of `candidates` and waits for all until the deadline.
    pub async fn ask_all<T, F, Fut>(
        &self,
        candidates: &[NodeIndex],
        deadline: Deadline,
        call: F,
    ) -> Outcome<T>
    where
        F: Fn(NodeIndex, Channel) -> Fut,
        Fut: Future<Output = Result<T, Fault>> + Send + 'static,
        T: Send + 'static,
    {
        let mut asked = Round::new(deadline);
        for link in candidates.iter().filter_map(|i| self.link(*i)) {
            asked.start(link, &call);
        }
        while asked.under_way() > 0 {
            if let Finished::TimeIsUp = asked.next().await {
                break;
            }
        }
        asked.end(usize::MAX)
    }

    fn link(&self, index: NodeIndex) -> Option<Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).get(&index).cloned()
    }
}

/// Further nodes that may be asked without any answer: when two nodes fall silent, two for each
/// request that is under way, of 25 in the time until it shows.
const HEDGES: f64 = 50.0;

/// How soon a request that may ask nobody more looks again.
const AGAIN: Duration = Duration::from_millis(20);

enum Finished {
    Answered,
    Failed,
    TimeIsUp,
}

/// The calls of one question.
struct Round<T> {
    deadline: Deadline,
    calls: JoinSet<(Arc<Link>, Duration, Result<T, Fault>)>,
    asked: BTreeMap<NodeIndex, (Arc<Link>, Instant)>,
    answers: Vec<(NodeIndex, T)>,
    failures: Vec<(NodeIndex, Fault)>,
}

impl<T: Send + 'static> Round<T> {
    fn new(deadline: Deadline) -> Self {
        Self {
            deadline,
            calls: JoinSet::new(),
            asked: BTreeMap::new(),
            answers: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn under_way(&self) -> usize {
        self.calls.len()
    }

    /// How many more must be asked for `want` answers, if those that are overdue never answer.
    fn lacking(&self, want: usize) -> usize {
        let mut overdue = 0;
        for (link, begun) in self.asked.values() {
            let waited = begun.elapsed();
            if waited >= link.health().hedge_after() {
                overdue += 1;
                link.note(|h| h.outrun(waited));
            }
        }
        let hopeful = self.under_way().saturating_sub(overdue);
        want.saturating_sub(self.answers.len() + hopeful)
    }

    fn start<F, Fut>(&mut self, link: Arc<Link>, call: &F)
    where
        F: Fn(NodeIndex, Channel) -> Fut,
        Fut: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let index = link.peer.index;
        link.note(Health::asked);
        self.asked.insert(index, (Arc::clone(&link), Instant::now()));
        let work = call(index, link.channel.clone());
        let begun = Instant::now();
        self.calls.spawn(async move {
            let result = work.await;
            (link, begun.elapsed(), result)
        });
    }

    async fn next(&mut self) -> Finished {
        let Ok(Some(done)) = timeout_at(self.deadline.instant(), self.calls.join_next()).await
        else {
            return Finished::TimeIsUp;
        };
        // A call that panicked has no name here; `end` reports it as unanswered.
        let Ok((link, took, result)) = done else { return Finished::Failed };
        let index = link.peer.index;
        self.asked.remove(&index);
        match result {
            Ok(answer) => {
                link.note(|h| h.answered(took));
                self.answers.push((index, answer));
                Finished::Answered
            }
            Err(fault) => {
                link.note(|h| match fault.kind {
                    kind if kind.is_decision() => h.answered(took),
                    FaultKind::DeadlineExceeded => h.timed_out(took),
                    _ => h.failed(),
                });
                self.failures.push((index, fault));
                Finished::Failed
            }
        }
    }

    /// Gives what has come. Calls under way are dropped; those that are so at the
    /// deadline count as failed, those that lost a race against `want` do not.
    fn end(mut self, want: usize) -> Outcome<T> {
        let enough = self.answers.len() >= want;
        for (index, (link, begun)) in std::mem::take(&mut self.asked) {
            let waited = begun.elapsed();
            if enough {
                link.note(|h| h.outrun(waited));
            } else {
                link.note(|h| h.timed_out(waited));
                let text = "the node gave no answer in time";
                self.failures.push((index, Fault::new(FaultKind::DeadlineExceeded, text)));
            }
        }
        Outcome { answers: self.answers, failures: self.failures }
    }
}

#[cfg(test)]
mod tests;
