//! Standing orders: moves shares again when they are due. When that is, the nodes decide by
//! their own clocks; a coordinator that asks too early is refused, and asks later.

use crate::{
    gather::Gathered,
    state::{State, now},
};
use quorate_ceremony::fault::{DESTROYED, NOT_DUE};
use quorate_rpc::Deadline;
use quorate_types::{ChainId, Format, Hash, KeyName, Millis, Repeat, SignedOrder, VerifiedOrder};
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

/// Standing orders, and when each is tried next.
#[derive(Debug, Default)]
pub struct Schedules(Mutex<BTreeMap<KeyName, Standing>>);

#[derive(Debug, Clone)]
struct Standing {
    order: VerifiedOrder,
    repeat: Repeat,
    next: Millis,
}

impl Schedules {
    /// Notes an order: a newer one of its key takes an older one's place, and ends its
    /// schedule if it has none.
    pub(crate) fn note(&self, order: &VerifiedOrder, next: Millis) {
        let Some(terms) = order.terms() else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = |o: &VerifiedOrder| o.terms().map_or(0, |t| t.first_number);
        let known = all.get(terms.name).map(|s| (first(&s.order), s.order.hash()));
        if known.is_some_and(|(n, hash)| n > terms.first_number || hash == order.hash()) {
            return;
        }
        match terms.repeat {
            Some(repeat) if now() <= repeat.until => {
                all.insert(terms.name.clone(), Standing { order: order.clone(), repeat, next });
            }
            _ => drop(all.remove(terms.name)),
        }
    }

    fn due(&self, now: Millis) -> Vec<(KeyName, VerifiedOrder, Repeat)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = all.iter().filter(|(_, s)| s.next <= now && now <= s.repeat.until);
        due.take(AT_ONCE).map(|(n, s)| (n.clone(), s.order.clone(), s.repeat)).collect()
    }

    fn later(&self, name: &KeyName, order: &Hash, next: Millis) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(standing) = all.get_mut(name).filter(|s| s.order.hash() == *order) {
            standing.next = next;
        }
    }
}

/// Moves shares on schedule until told to stop.
pub(crate) async fn run(state: Arc<State>, stop: CancellationToken) {
    let mut read = Millis(0);
    loop {
        if now() >= read.plus(READ_EVERY) {
            state.read_schedules().await;
            read = now();
        }
        let mut moves = JoinSet::new();
        for (name, order, repeat) in state.schedules.due(now()) {
            let state = Arc::clone(&state);
            moves.spawn(async move {
                let next = state.move_again(&order, &repeat).await;
                state.schedules.later(&name, &order.hash(), next);
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
        // Keys' chains, and what ended their forks.
        let of_keys = |order: &VerifiedOrder| {
            order.resolves().is_some() || matches!(order.order().chain(), Some(ChainId::Key(_)))
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

    /// One move; gives when to try again.
    async fn move_again(&self, order: &VerifiedOrder, repeat: &Repeat) -> Millis {
        let moved = self.conduct_again(order, Deadline::after(PATIENCE)).await;
        self.metrics.ceremony(moved.is_ok());
        let every = u64::from(repeat.every) * 1000;
        let retry = (every / 8).clamp(RETRY.0, RETRY.1);
        match moved {
            Ok(()) => now().plus(every),
            // The key was deleted: nothing of it moves any more.
            Err((Some(DESTROYED), _)) => Millis(u64::MAX),
            Err((code, text)) => {
                if code != Some(NOT_DUE) {
                    tracing::warn!(order = %order.hash().short(), text, "a scheduled move failed");
                }
                now().plus(retry)
            }
        }
    }
}
