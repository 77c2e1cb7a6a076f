//! Standing orders: moves shares again, and has versions born, when they are due. When that is,
//! the nodes decide by their own clocks; a coordinator that asks too early is refused, and asks
//! later.

use crate::{
    gather::Gathered,
    state::{State, now},
};
use quorate_ceremony::fault::{DESTROYED, NOT_DUE};
use quorate_rpc::{Deadline, FaultKind};
use quorate_types::{
    ChainId, Format, Hash, KeyVersion, Millis, Repeat, RotateKey, SignedOrder, VerifiedOrder,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often it is looked what is due.
const EVERY: Duration = Duration::from_secs(5);
/// How often the nodes are asked for their orders: other coordinators take orders too.
const READ_EVERY: u64 = 5 * 60 * 1000;
/// How long one move may take.
const PATIENCE: Duration = Duration::from_secs(110);
/// Moves under way at once.
const AT_ONCE: usize = 16;
/// After a failure, at the soonest and at the latest, in milliseconds.
const RETRY: (u64, u64) = (10_000, 60 * 60 * 1000);
/// Nothing more is due.
const NEVER: Millis = Millis(u64::MAX);

/// Standing orders by their chain, and when each is tried next.
#[derive(Debug, Default)]
pub struct Schedules(Mutex<BTreeMap<ChainId, Standing>>);

#[derive(Debug, Clone)]
struct Standing {
    order: VerifiedOrder,
    until: Millis,
    next: Next,
}

/// What comes next under a standing order.
#[derive(Debug, Clone, Copy)]
struct Next {
    /// When it is tried.
    at: Millis,
    /// Under a schedule of versions: up to this one none is born any more.
    past: u32,
}

impl Schedules {
    /// Notes an order: a newer one of its chain takes an older one's place, and ends its
    /// schedule if it has none.
    pub(crate) fn note(&self, order: &VerifiedOrder, next: Millis) {
        let Some((first, until)) = schedule(order) else { return };
        let Some(chain) = order.order().chain() else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&chain).map(|s| (schedule(&s.order), s.order.hash()));
        let newer = |(of, hash): (Option<Of>, Hash)| {
            of.is_some_and(|(n, _)| n > first) || hash == order.hash()
        };
        if known.is_some_and(newer) {
            return;
        }
        match until {
            Some(until) if now() <= until => {
                let next = Next { at: next, past: 0 };
                all.insert(chain, Standing { order: order.clone(), until, next });
            }
            _ => drop(all.remove(&chain)),
        }
    }

    fn due(&self, now: Millis) -> Vec<(ChainId, VerifiedOrder, Next)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = all.iter().filter(|(_, s)| s.next.at <= now && now <= s.until);
        due.take(AT_ONCE).map(|(chain, s)| (chain.clone(), s.order.clone(), s.next)).collect()
    }

    fn later(&self, chain: &ChainId, order: &Hash, next: Next) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(standing) = all.get_mut(chain).filter(|s| s.order.hash() == *order) {
            standing.next = next;
        }
    }
}

/// The first epoch number of an order, by which those of one chain stand in sequence, and until
/// when its schedule goes on, if it gives one.
type Of = (u64, Option<Millis>);

fn schedule(order: &VerifiedOrder) -> Option<Of> {
    if let Some(rotate) = order.rotation() {
        return Some((rotate.create.first_number, (rotate.times > 0).then_some(rotate.until)));
    }
    let terms = order.terms()?;
    Some((terms.first_number, terms.repeat.map(|repeat| repeat.until)))
}

/// Does what is due until told to stop.
pub(crate) async fn run(state: Arc<State>, stop: CancellationToken) {
    let mut read = Millis(0);
    loop {
        if now() >= read.plus(READ_EVERY) {
            state.read_schedules().await;
            read = now();
        }
        let mut moves = JoinSet::new();
        for (chain, order, next) in state.schedules.due(now()) {
            let state = Arc::clone(&state);
            moves.spawn(async move {
                let next = state.go_on(&order, next).await;
                state.schedules.later(&chain, &order.hash(), next);
            });
        }
        while moves.join_next().await.is_some() {}
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

impl State {
    /// Reads the newest order of each key. What fell in a fork does not count.
    async fn read_schedules(&self) {
        let deadline = Deadline::after(PATIENCE);
        // Keys' two chains, and what ended their forks.
        let of_keys = |order: &VerifiedOrder| {
            let chain = order.order().chain();
            order.resolves().is_some()
                || matches!(chain, Some(ChainId::Key(_) | ChainId::Rotation(_)))
        };
        let Ok(Gathered { orders, cut }) = self.gather(deadline, of_keys).await else { return };
        if cut {
            tracing::warn!(
                "not all schedules were read: keys whose orders were not looked at move when they \
                 are ordered to, not by themselves"
            );
        }
        let orders: Vec<VerifiedOrder> = orders
            .iter()
            .filter_map(|bytes| SignedOrder::from_bytes(bytes).ok())
            .filter_map(|signed| VerifiedOrder::verify(&self.cluster(), &signed).ok())
            .collect();
        let fallen: BTreeSet<Hash> = quorate_types::fork::fallen(&orders).into_iter().collect();
        for order in orders.iter().filter(|o| !fallen.contains(&o.hash())) {
            self.schedules.note(order, now());
        }
    }

    /// Does what a standing order allows now; gives what comes next.
    async fn go_on(&self, order: &VerifiedOrder, next: Next) -> Next {
        if let Some(rotate) = order.rotation() {
            return self.bear_next(order, rotate, next.past).await;
        }
        match order.terms().and_then(|terms| terms.repeat) {
            Some(repeat) => Next { at: self.move_again(order, &repeat).await, ..next },
            None => Next { at: NEVER, ..next },
        }
    }

    /// One move; gives when to try again.
    async fn move_again(&self, order: &VerifiedOrder, repeat: &Repeat) -> Millis {
        let moved = self.conduct_again(order, Deadline::after(PATIENCE)).await;
        self.metrics.ceremony(moved.is_ok());
        match moved {
            Ok(()) => now().plus(u64::from(repeat.every) * 1000),
            // The key was deleted: nothing of it moves any more.
            Err((Some(DESTROYED), _)) => NEVER,
            Err((code, text)) => {
                if code != Some(NOT_DUE) {
                    tracing::warn!(order = %order.hash().short(), text, "a scheduled move failed");
                }
                retry(repeat.every)
            }
        }
    }

    /// Has the version born that follows the newest one, if it is due. Which is the newest, the
    /// nodes are asked each time: one that operators have made by hand counts too.
    async fn bear_next(&self, order: &VerifiedOrder, rotate: &RotateKey, past: u32) -> Next {
        let deadline = Deadline::after(PATIENCE);
        let newest = match self.fresh_record(rotate.name(), 0, deadline).await {
            Ok(known) => known.public().version.get(),
            Err(fault) => {
                if fault.kind != FaultKind::Unavailable {
                    tracing::warn!(order = %order.hash().short(), %fault, "no version was found");
                }
                return Next { at: retry(rotate.every), past };
            }
        };
        let version = KeyVersion::new(newest.max(past).saturating_add(1));
        let Some((version, due)) = version.and_then(|v| Some((v, rotate.due(v)?))) else {
            // All are born; or none is for a long time, until operators have made those between.
            let before = newest < rotate.create.version.get();
            return Next { at: if before { retry(rotate.every) } else { NEVER }, past };
        };
        if now() < due {
            // Not later than that: operators may make one by hand meanwhile, and so on.
            return Next { at: due, past };
        }
        let born = self.conduct_birth(order, version, deadline).await;
        self.metrics.ceremony(born.is_ok());
        match born {
            Ok(()) => {
                tracing::info!(key = %rotate.name(), %version, "a version was born on schedule");
                let next = KeyVersion::new(version.get().saturating_add(1));
                Next { at: next.and_then(|v| rotate.due(v)).unwrap_or(NEVER), past }
            }
            Err(unborn) if unborn.code == Some(DESTROYED) => Next { at: NEVER, past },
            Err(unborn) => {
                if unborn.code != Some(NOT_DUE) {
                    let (order, text) = (order.hash().short(), unborn.text);
                    tracing::warn!(%order, %version, text, "a scheduled birth failed");
                }
                let past = if unborn.burnt { version.get() } else { past };
                Next { at: retry(rotate.every), past }
            }
        }
    }
}

/// When what has failed is tried again.
fn retry(every: u32) -> Millis {
    now().plus((u64::from(every) * 1000 / 8).clamp(RETRY.0, RETRY.1))
}
