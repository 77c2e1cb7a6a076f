//! All orders that any node knows, as far as they are asked for: read page by page, verified as
//! they come, and held once. Whatever nodes send, what is held here has a limit; where it is
//! reached, that is said.

use crate::{orders::PAGE, state::State};
use quorate_rpc::{
    Channel, Deadline, Fault, MAX_REQUEST_BYTES, bounded,
    v1::{ListOrdersRequest, orders_client::OrdersClient},
};
use quorate_types::{
    Cluster, Format, Hash, NodeIndex, SignedOrder, VerifiedOrder, order::order_hash,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How much is read, and held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most orders that are read of one node.
    pub(crate) of_node: usize,
    /// The most bytes of orders that are held at once.
    pub(crate) bytes: usize,
}

/// A cluster orders for years, and nobody holds more: a thousand pages of a node, and what fits
/// beside everything else into a small machine.
pub(crate) const LIMITS: Limits = Limits { of_node: 1_000_000, bytes: 128 * 1024 * 1024 };

/// Orders that were gathered.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Each once, by time of issue. Those that ended a fork come first, so that what fell is not
    /// taken for one again.
    pub(crate) orders: Vec<Vec<u8>>,
    /// Whether a limit was reached: there are more.
    pub(crate) cut: bool,
}

impl State {
    /// The orders that any node knows and `keep` takes: nodes that were away lack some. `keep`
    /// sees each verified order once.
    pub(crate) async fn gather(
        &self,
        deadline: Deadline,
        keep: impl FnMut(&VerifiedOrder) -> bool + Send + 'static,
    ) -> Result<Gathered, Fault> {
        let gathering = Arc::new(Mutex::new(Gathering::new(LIMITS, keep)));
        let cluster = self.cluster();
        let outcome = self
            .pool
            .ask_all(&self.nodes(), deadline, |node, channel| {
                let (gathering, cluster) = (Arc::clone(&gathering), Arc::clone(&cluster));
                async move {
                    read(channel, deadline, |page| lock(&gathering).take(&cluster, node, page))
                        .await
                }
            })
            .await;
        if outcome.answers.is_empty() {
            return Err(Fault::unavailable("no node could be asked for its orders"));
        }
        let gathered = lock(&gathering).end();
        if gathered.cut {
            tracing::warn!(
                of_node = LIMITS.of_node,
                bytes = LIMITS.bytes,
                "the nodes have more orders than are gathered at once: the rest was not looked at"
            );
        }
        Ok(gathered)
    }

    /// The hashes of the orders that one node knows; as many as it has shown.
    pub(crate) async fn known_at(&self, node: NodeIndex, deadline: Deadline) -> HashSet<Hash> {
        let known = Arc::new(Mutex::new(HashSet::new()));
        let cluster = self.cluster();
        let only = [node];
        let outcome = self.pool.ask_all(&only, deadline, |_, channel| {
            let (known, cluster) = (Arc::clone(&known), Arc::clone(&cluster));
            async move {
                read(channel, deadline, |page| {
                    let mut known = lock(&known);
                    let signed = page.iter().filter_map(|o| SignedOrder::from_bytes(o).ok());
                    known.extend(signed.map(|o| order_hash(cluster.fingerprint(), &o.0.body)));
                    known.len() < LIMITS.of_node
                })
                .await
            }
        });
        outcome.await;
        std::mem::take(&mut *lock(&known))
    }
}

/// Reads a node's orders to the end, or as long as `take` wants more.
async fn read(
    channel: Channel,
    deadline: Deadline,
    mut take: impl FnMut(Vec<Vec<u8>>) -> bool,
) -> Result<(), Fault> {
    let mut node = bounded!(OrdersClient::new(channel), MAX_REQUEST_BYTES);
    let mut after = 0;
    loop {
        let request = ListOrdersRequest { page_size: PAGE.0, after };
        let page = node.list(deadline.request(request)?).await?.into_inner();
        // A page that leads back, or is empty and not the last, would have no end.
        let ends = page.next <= after || page.orders.is_empty();
        if !take(page.orders) || ends {
            return Ok(());
        }
        after = page.next;
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is gathered of all nodes at once.
struct Gathering<K> {
    limits: Limits,
    keep: K,
    /// Verified orders. What does not verify leaves nothing here: else a node could hide an order
    /// by being the first to send it with its signatures broken.
    seen: HashSet<Hash>,
    /// By place in a list, with a hash since two may have one time.
    held: BTreeMap<(bool, u64, Hash), Vec<u8>>,
    bytes: usize,
    read: BTreeMap<NodeIndex, usize>,
    /// Nodes that had more.
    cut: BTreeSet<NodeIndex>,
}

impl<K: FnMut(&VerifiedOrder) -> bool> Gathering<K> {
    fn new(limits: Limits, keep: K) -> Self {
        Self {
            limits,
            keep,
            seen: HashSet::new(),
            held: BTreeMap::new(),
            bytes: 0,
            read: BTreeMap::new(),
            cut: BTreeSet::new(),
        }
    }

    /// Takes a page of a node; whether it may send more.
    fn take(&mut self, cluster: &Cluster, node: NodeIndex, page: Vec<Vec<u8>>) -> bool {
        for bytes in page {
            let read = self.read.entry(node).or_default();
            if *read >= self.limits.of_node {
                self.cut.insert(node);
                return false;
            }
            *read += 1;
            if !self.take_one(cluster, bytes) {
                self.cut.insert(node);
                return false;
            }
        }
        true
    }

    /// False if there is no room for it.
    fn take_one(&mut self, cluster: &Cluster, bytes: Vec<u8>) -> bool {
        // A node cannot slip in what operators did not sign.
        let Ok(signed) = SignedOrder::from_bytes(&bytes) else { return true };
        let hash = order_hash(cluster.fingerprint(), &signed.0.body);
        if self.seen.contains(&hash) {
            return true;
        }
        let Ok(order) = VerifiedOrder::verify(cluster, &signed) else { return true };
        if !(self.keep)(&order) {
            self.seen.insert(hash);
            return true;
        }
        if self.bytes + bytes.len() > self.limits.bytes {
            return false;
        }
        self.bytes += bytes.len();
        self.seen.insert(hash);
        let is_link = order.resolves().is_none();
        self.held.insert((is_link, order.order().issued_at.0, hash), bytes);
        true
    }

    fn end(&mut self) -> Gathered {
        let orders = std::mem::take(&mut self.held).into_values().collect();
        Gathered { orders, cut: !self.cut.is_empty() }
    }
}

#[cfg(test)]
mod tests;
