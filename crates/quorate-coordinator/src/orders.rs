//! The service for operators: delivers orders to all nodes and conducts the ceremonies
//! that they ask for.

use crate::{
    gather::Gathered,
    rosters::page,
    state::{Listed, State, now},
    states::drop_superseded,
};
use quorate_ceremony::message::{MAX_DEALING, MAX_EARLIER};
use quorate_rpc::{
    Channel, Deadline, Fault, FaultKind, MAX_REQUEST_BYTES, array32, bounded,
    v1::{
        ExportRequest, ExportResponse, HeadsRequest, HeadsResponse, ListOrdersRequest,
        ListOrdersResponse, OrderProgress, OwnerDealingRequest, OwnerDealingResponse,
        PutRosterRequest, PutRosterResponse, RosterRequest, RosterResponse, SubmitOrderRequest,
        orders_client::OrdersClient, orders_server::Orders,
    },
};
use quorate_types::{
    Action, Format, Hash, NodeIndex, Order, OrderError, SignedOrder, SignedRoster, VerifiedOrder,
    order::order_hash,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// How long nodes may take to apply an order.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nodes may take to name their newest orders: nobody waits longer for one that is
/// stuck, and what the others say is enough.
const HEADS_PATIENCE: Duration = Duration::from_secs(3);
/// The longest that a submitted order is worked on.
const LONGEST: Duration = Duration::from_secs(110);
/// The largest signed dealing.
const MAX_OWNER_DEALING: usize = MAX_DEALING + 256;
/// How long the later pages of a list are taken from what was gathered for the first.
const LISTED_FOR: Duration = Duration::from_secs(30);
/// Orders on a page, at most and by default.
pub(crate) const PAGE: (u32, u32) = (1000, 100);

/// What fits into one message.
const PAGE_BYTES: usize = 1024 * 1024 - 64 * 1024;

/// The `Orders` service.
#[derive(Debug, Clone)]
pub struct OrdersService(pub Arc<State>);

#[tonic::async_trait]
impl Orders for OrdersService {
    type SubmitStream = ReceiverStream<Result<OrderProgress, Status>>;

    async fn submit(
        &self,
        request: Request<SubmitOrderRequest>,
    ) -> Result<Response<Self::SubmitStream>, Status> {
        let deadline = Deadline::of(request.metadata(), LONGEST);
        let signed = SignedOrder::from_bytes(&request.get_ref().order)
            .map_err(|e| Fault::invalid(e.to_string()))?;
        let mut order = VerifiedOrder::verify(&self.0.cluster(), &signed);
        if let Err(OrderError::Roster(_)) = order {
            // The nodes may know a newer roster than a coordinator that has just started.
            self.0.learn_rosters(deadline).await;
            order = VerifiedOrder::verify(&self.0.cluster(), &signed);
        }
        let order = order.map_err(|e| Fault::invalid(e.to_string()))?;
        let (report, progress) = mpsc::channel(64);
        let report = Reporter { to: report, deals: request.get_ref().deals };
        let state = Arc::clone(&self.0);
        // In a task of its own: an operator who hangs up stops no ceremony half-way.
        tokio::spawn(async move { state.carry_out(order, deadline, report).await });
        Ok(Response::new(ReceiverStream::new(progress)))
    }

    async fn deal(
        &self,
        request: Request<OwnerDealingRequest>,
    ) -> Result<Response<OwnerDealingResponse>, Status> {
        let peer = quorate_rpc::Peer::of(&request).map(|peer| peer.key);
        let OwnerDealingRequest { order, number, dealing } = request.into_inner();
        let order = Hash(array32("order", &order)?);
        if dealing.len() > MAX_OWNER_DEALING {
            return Err(Fault::invalid("the dealing is larger than any dealing is").into());
        }
        self.0.imports.bring(order, number, peer, &dealing)?;
        Ok(Response::new(OwnerDealingResponse {}))
    }

    async fn export(
        &self,
        request: Request<ExportRequest>,
    ) -> Result<Response<ExportResponse>, Status> {
        let deadline = Deadline::of(request.metadata(), PATIENCE).for_collecting();
        Ok(Response::new(self.0.export(request.into_inner(), deadline).await?))
    }

    async fn list(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let deadline = Deadline::of(request.metadata(), PATIENCE).for_collecting();
        let page = request.into_inner();
        let size = match page.page_size {
            0 => PAGE.1,
            size => size.min(PAGE.0),
        } as usize;
        let all = self.0.listed_orders(page.after > 0, deadline).await?;
        let begin = usize::try_from(page.after).unwrap_or(usize::MAX).min(all.len());
        let end = page_end(&all, begin, size);
        let next = if end < all.len() { end as u64 } else { 0 };
        Ok(Response::new(ListOrdersResponse { orders: all[begin..end].to_vec(), next }))
    }

    async fn heads(
        &self,
        request: Request<HeadsRequest>,
    ) -> Result<Response<HeadsResponse>, Status> {
        let deadline = Deadline::of(request.metadata(), PATIENCE).for_collecting();
        let soon = deadline.min(Deadline::after(HEADS_PATIENCE));
        let message = request.into_inner();
        let outcome = self
            .0
            .pool
            .ask_all(&self.0.nodes(), soon, |_, channel| {
                let request = deadline.request(message.clone());
                async move {
                    let mut node = bounded!(OrdersClient::new(channel), MAX_REQUEST_BYTES);
                    Ok(node.heads(request?).await?.into_inner())
                }
            })
            .await;
        if outcome.answers.is_empty() {
            return Err(Fault::unavailable("no node could be asked for its order chains").into());
        }
        let said = |of: fn(HeadsResponse) -> Vec<u8>| {
            outcome.answers.iter().map(|(_, a)| of(a.clone())).filter_map(read_hash).collect()
        };
        let said: [Vec<Hash>; 3] =
            [said(|a| a.policy_head), said(|a| a.key_head), said(|a| a.rotation_head)];
        let differ = |heads: &[Hash]| heads.iter().any(|h| *h != heads[0]);
        let before = match said.iter().any(|heads| differ(heads)) {
            true => self.0.predecessors(deadline).await,
            false => BTreeMap::new(),
        };
        let [policy, key, rotation] = said.map(|heads| furthest(&heads, &before));
        let named = |(_, answer): &(NodeIndex, HeadsResponse)| {
            (answer.key_head == key.0).then(|| answer.key_order.clone())
        };
        let scheduled = |(_, answer): &(NodeIndex, HeadsResponse)| {
            (answer.rotation_head == rotation.0).then(|| answer.rotation_order.clone())
        };
        Ok(Response::new(HeadsResponse {
            policy_head: policy.0.to_vec(),
            key_head: key.0.to_vec(),
            key_order: outcome.answers.iter().find_map(named).unwrap_or_default(),
            rotation_head: rotation.0.to_vec(),
            rotation_order: outcome.answers.iter().find_map(scheduled).unwrap_or_default(),
        }))
    }

    async fn get_roster(
        &self,
        request: Request<RosterRequest>,
    ) -> Result<Response<RosterResponse>, Status> {
        let cluster = self.0.cluster();
        let rosters = page(&cluster, request.into_inner().after);
        Ok(Response::new(RosterResponse { version: cluster.roster().version, rosters }))
    }

    async fn put_roster(
        &self,
        request: Request<PutRosterRequest>,
    ) -> Result<Response<PutRosterResponse>, Status> {
        let deadline = Deadline::of(request.metadata(), PATIENCE).for_collecting();
        let invalid = |e: &dyn std::fmt::Display| Fault::invalid(format!("the rosters: {e}"));
        let parse = |bytes: &Vec<u8>| SignedRoster::from_bytes(bytes);
        let parsed = request.get_ref().rosters.iter().map(parse);
        let parsed = parsed.collect::<Result<Vec<_>, _>>().map_err(|e| invalid(&e))?;
        let cluster = self.0.cluster();
        let peer = quorate_rpc::Peer::of(&request);
        let operator = peer.is_some_and(|p| cluster.roster().is_operator(&p.key));
        if !operator && !matches!(cluster.extended(&parsed), Ok(Some(_))) {
            // Nothing new, and nobody who may have it brought to every node again.
            let version = cluster.roster().version;
            return Ok(Response::new(PutRosterResponse { version, missing: Vec::new() }));
        }
        // A node may know another roster in this version: then two were signed.
        self.0.learn_rosters(deadline).await;
        let version = self.0.adopt(&parsed).map_err(|e| invalid(&e))?;
        let state = Arc::clone(&self.0);
        // In a task of its own: an operator who hangs up leaves no node untold.
        let spread = tokio::spawn(async move { state.spread_rosters(deadline).await });
        let missing = spread.await.unwrap_or_default();
        let missing = missing.iter().map(|n| u32::from(n.get())).collect();
        Ok(Response::new(PutRosterResponse { version, missing }))
    }
}

/// Reports on one order; a reader who has gone is no reason to stop.
#[derive(Clone)]
pub(crate) struct Reporter {
    to: mpsc::Sender<Result<OrderProgress, Status>>,
    /// Whether the reader owns the key that the order imports.
    deals: bool,
}

impl Reporter {
    /// For what nobody waits for.
    pub(crate) fn nobody() -> Self {
        Self { to: mpsc::channel(1).0, deals: false }
    }

    /// Whether there is somebody who can deal the key that the order imports.
    pub(crate) fn has_owner(&self) -> bool {
        self.deals && !self.to.is_closed()
    }

    /// Asks the key's owner; false if there is none, or none any more.
    pub(crate) async fn ask(&self, progress: OrderProgress, deadline: Deadline) -> bool {
        let asked = tokio::time::timeout_at(deadline.instant(), self.to.send(Ok(progress))).await;
        self.deals && matches!(asked, Ok(Ok(())))
    }

    pub(crate) fn step(&self, progress: OrderProgress) {
        // A full queue loses a line of progress, never an outcome.
        let _ = self.to.try_send(Ok(progress));
    }

    async fn end(&self, result: Result<OrderProgress, Fault>) {
        let _ = self.to.send(result.map_err(Status::from)).await;
    }
}

impl State {
    async fn carry_out(
        self: Arc<Self>,
        order: VerifiedOrder,
        deadline: Deadline,
        report: Reporter,
    ) {
        let result = self.deliver_and_conduct(&order, deadline, &report).await;
        self.moved.notify_one();
        if let Err(fault) = &result {
            tracing::info!(order = %order.hash().short(), %fault, "an order was not carried out");
        }
        report.end(result).await;
    }

    async fn deliver_and_conduct(
        &self,
        order: &VerifiedOrder,
        deadline: Deadline,
        report: &Reporter,
    ) -> Result<OrderProgress, Fault> {
        self.is_of_its_key(order, deadline).await?;
        self.places.take(order)?;
        let nodes = self.nodes();
        let (mut applied, mut failed) = self.deliver(order, &nodes, deadline).await;
        // What others have applied, a node refuses that has not heard of what it follows from: of
        // orders before it in its chain, or of the other chain about its key.
        let missed = |kind| {
            kind == FaultKind::FailedPrecondition
                || kind == FaultKind::InvalidArgument && !applied.is_empty()
        };
        let behind: Vec<NodeIndex> = (failed.iter())
            .filter(|(_, fault)| missed(fault.kind))
            .map(|(node, _)| *node)
            .collect();
        if !behind.is_empty() {
            // They were away when earlier orders came.
            for node in &behind {
                self.catch_up(*node, deadline).await;
            }
            let (now_applied, still) = self.deliver(order, &behind, deadline).await;
            failed.retain(|node, _| !behind.contains(node));
            failed.extend(still);
            applied.extend(now_applied);
        }
        tracing::debug!(order = %order.hash().short(), at = applied.len(), "an order was delivered");
        report.step(OrderProgress {
            step: "deliver".into(),
            done: count(&applied),
            of: count(&nodes),
            waiting_for: failed.keys().map(|n| u32::from(n.get())).collect(),
            ..OrderProgress::default()
        });
        if applied.is_empty() {
            self.places.give_back(order);
            return Err(worst(failed));
        }
        if order.rotation().is_some() {
            self.schedules.note(order, now());
        }
        if let Some(fork) = order.resolves() {
            self.places.resolved(&fork.chain);
        }
        if order.import().is_some() && !report.has_owner() {
            return Ok(OrderProgress {
                step: "done".into(),
                done: count(&applied),
                of: count(&nodes),
                message: "the order holds; its owner imports the key with it: `quorate key import \
                          --order FILE --from KEY`"
                    .into(),
                ..OrderProgress::default()
            });
        }
        if order.terms().is_some() {
            // Whoever is still behind is told of the earlier orders in passing.
            let gaps = failed.values().any(|fault| fault.kind == FaultKind::FailedPrecondition);
            let earlier = if gaps { self.earlier(order, deadline).await } else { Vec::new() };
            let made = self.conduct(order, earlier, deadline, report).await;
            self.metrics.ceremony(made.is_ok());
            let every = order.terms().and_then(|t| t.repeat).map_or(0, |r| u64::from(r.every));
            self.schedules.note(order, now().plus(every * 1000));
            return made;
        }
        let missing: Vec<String> =
            (failed.iter()).map(|(node, fault)| format!("node {node} ({fault})")).collect();
        let message = if missing.is_empty() {
            String::new()
        } else {
            format!("not applied at {}; submit it again when they are back", missing.join(", "))
        };
        Ok(OrderProgress {
            step: "done".into(),
            done: count(&applied),
            of: count(&nodes),
            waiting_for: failed.keys().map(|n| u32::from(n.get())).collect(),
            message,
            ..OrderProgress::default()
        })
    }

    /// An order that moves the shares of another public key than the key has moves nothing: it
    /// is told before it takes a place in the chain. What is not known here, nodes decide.
    async fn is_of_its_key(&self, order: &VerifiedOrder, deadline: Deadline) -> Result<(), Fault> {
        let Some(to) = order.reshare() else { return Ok(()) };
        let deadline = deadline.min(Deadline::after(PATIENCE));
        match self.record(&to.name, to.version.get(), deadline).await {
            Ok(known) if *known.public().public_key() != to.public_key => {
                Err(Fault::invalid(quorate_ceremony::fault::OTHER_PUBLIC_KEY))
            }
            _ => Ok(()),
        }
    }

    /// Brings the order to every node; who applied it (or had it), and why others did not.
    async fn deliver(
        &self,
        order: &VerifiedOrder,
        nodes: &[NodeIndex],
        deadline: Deadline,
    ) -> (Vec<NodeIndex>, BTreeMap<NodeIndex, Fault>) {
        let deadline = deadline.min(Deadline::after(PATIENCE));
        let bytes = order.signed().to_bytes();
        let mut under_way = JoinSet::new();
        for node in nodes.iter().copied() {
            let (postman, order) = (self.postman.clone(), bytes.clone());
            under_way.spawn(async move { (node, postman.order(node, order, deadline).await) });
        }
        let (mut applied, mut failed) = (Vec::new(), BTreeMap::new());
        while let Some(told) = under_way.join_next().await {
            match told {
                Ok((node, Ok(()))) => applied.push(node),
                Ok((node, Err(fault))) => drop(failed.insert(node, fault)),
                // A call that panicked counts as lost, below.
                Err(_) => {}
            }
        }
        for node in nodes.iter().filter(|n| !applied.contains(n)) {
            failed.entry(*node).or_insert_with(|| Fault::unavailable("the call was ended"));
        }
        (applied, failed)
    }

    /// Brings a node every order that another one knows: it may have been away, and a
    /// revocation that it missed must not wait for the next order.
    pub(crate) async fn catch_up(&self, node: NodeIndex, deadline: Deadline) {
        // What does not fit into one go is asked for when the node has the rest.
        while self.bring_some(node, deadline).await {}
    }

    /// One go; whether there is more, and the node has taken something of this.
    async fn bring_some(&self, node: NodeIndex, deadline: Deadline) -> bool {
        // After a long time away there may be many thousands; what it has it need not hear again.
        // A node that hangs takes a part of the time, not all of it.
        let known = self.known_at(node, Deadline::after(deadline.remaining() / 4)).await;
        let gathering = Deadline::after(deadline.remaining() / 3);
        let lacks = move |order: &VerifiedOrder| !known.contains(&order.hash());
        let Ok(Gathered { mut orders, cut }) = self.gather(gathering, lacks).await else {
            return false;
        };
        drop_superseded(&mut orders, |bytes| {
            let signed = SignedOrder::from_bytes(bytes).ok()?;
            match Order::from_bytes(&signed.0.body).ok()?.action {
                Action::SetKeyState(state) => Some((state.name, state.revision)),
                _ => None,
            }
        });
        let only = [node];
        let said = self.learn_rosters(deadline).await;
        let Some((_, mut version)) = said.into_iter().find(|(n, _)| *n == node) else {
            return false;
        };
        // A node takes orders under its newest roster: those under each come before the next.
        let roster_of = |bytes: &Vec<u8>| {
            let order = SignedOrder::from_bytes(bytes).and_then(|o| Order::from_bytes(&o.0.body));
            order.map_or(0, |o| o.roster_version)
        };
        if version < self.cluster().roster().version {
            orders.sort_by_key(roster_of);
        }
        let mut taken = false;
        for order in orders {
            let under = roster_of(&order);
            if version < under {
                version = self.bring_rosters(&self.pool, node, version, under, deadline).await;
            }
            // Refused or known already: both are no reason to stop.
            let brought = self.pool.ask_all(&only, deadline, |_, channel| {
                let order = order.clone();
                async move { bring(channel, order, deadline).await }
            });
            let brought = brought.await;
            if brought.failures.iter().any(|(_, f)| !f.kind.is_decision()) {
                return false;
            }
            taken |= !brought.answers.is_empty();
        }
        let newest = self.cluster().roster().version;
        self.bring_rosters(&self.pool, node, version, newest, deadline).await;
        cut && taken
    }

    /// The orders before this one in its key's chain, oldest first: for nodes that were
    /// away when they came.
    pub(crate) async fn earlier(
        &self,
        order: &VerifiedOrder,
        deadline: Deadline,
    ) -> Vec<SignedOrder> {
        let Some(of_order) = order.order().chain() else { return Vec::new() };
        let of_chain = move |o: &VerifiedOrder| o.order().chain().as_ref() == Some(&of_order);
        let all = self.gather(deadline, of_chain).await.unwrap_or_default().orders;
        let mut by_hash: BTreeMap<Hash, SignedOrder> = BTreeMap::new();
        for signed in all.iter().filter_map(|bytes| SignedOrder::from_bytes(bytes).ok()) {
            by_hash.insert(order_hash(self.cluster().fingerprint(), &signed.0.body), signed);
        }
        let mut chain = Vec::new();
        let mut before = order.order().predecessor;
        while let Some(signed) = by_hash.remove(&before) {
            let Ok(link) = VerifiedOrder::verify(&self.cluster(), &signed) else { break };
            before = link.order().predecessor;
            chain.push(signed);
            if chain.len() >= MAX_EARLIER {
                break;
            }
        }
        chain.reverse();
        chain
    }

    /// All orders; for the later pages of a list what was gathered for the first, if that is not
    /// long ago. A list that is not whole is none: who may use the keys is read from it.
    async fn listed_orders(&self, goes_on: bool, deadline: Deadline) -> Result<Listed, Fault> {
        let lock = || self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if goes_on
            && let Some((at, orders)) = lock().as_ref()
            && at.elapsed() < LISTED_FOR
        {
            return Ok(Arc::clone(orders));
        }
        let Gathered { orders, cut } = self.gather(deadline, |_| true).await?;
        if cut {
            let text = "there are more orders than a coordinator lists; ask a node: --direct";
            return Err(Fault::new(FaultKind::ResourceExhausted, text));
        }
        let orders = Arc::new(orders);
        *lock() = Some((Instant::now(), Arc::clone(&orders)));
        Ok(orders)
    }

    /// Each order that any node knows, with the one that it follows.
    async fn predecessors(&self, deadline: Deadline) -> BTreeMap<Hash, Hash> {
        let links = Arc::new(Mutex::new(BTreeMap::new()));
        let note = Arc::clone(&links);
        let gathered = self.gather(deadline, move |order| {
            let mut links = note.lock().unwrap_or_else(PoisonError::into_inner);
            links.insert(order.hash(), order.order().predecessor);
            false
        });
        // Of what could be read: heads are told apart as far as it goes.
        let _ = gathered.await;
        std::mem::take(&mut *links.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where a page ends that begins here: after as many orders as are wanted, and as fit.
fn page_end(orders: &[Vec<u8>], begin: usize, size: usize) -> usize {
    let (mut bytes, mut end) = (0, begin);
    for order in orders[begin..].iter().take(size) {
        bytes += order.len() + 8;
        if bytes > PAGE_BYTES && end > begin {
            break;
        }
        end += 1;
    }
    end
}

/// Brings one order to one node.
async fn bring(channel: Channel, order: Vec<u8>, deadline: Deadline) -> Result<(), Fault> {
    let mut node = bounded!(OrdersClient::new(channel), MAX_REQUEST_BYTES);
    let request = deadline.request(SubmitOrderRequest { order, deals: false })?;
    let mut progress = node.submit(request).await?.into_inner();
    while let Some(step) = progress.message().await? {
        if step.step == "failed" {
            return Err(Fault::new(FaultKind::FailedPrecondition, step.message));
        }
    }
    Ok(())
}

/// The fault that tells an operator most: a decision before an outage.
fn worst(failed: BTreeMap<NodeIndex, Fault>) -> Fault {
    let decided = failed.values().find(|f| f.kind.is_decision());
    decided
        .or_else(|| failed.values().next())
        .cloned()
        .unwrap_or_else(|| Fault::unavailable(format!("no node was asked at {}", now().0)))
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

fn read_hash(bytes: Vec<u8>) -> Option<Hash> {
    bytes.try_into().ok().map(Hash)
}

/// Of the heads that nodes have, the one that stands furthest in the chain: an order that has
/// reached few nodes holds there, and a new one beside it would fork the chain. Of heads that do
/// not follow one another, what most say; of equals the smallest, so that coordinators agree.
fn furthest(heads: &[Hash], predecessor: &BTreeMap<Hash, Hash>) -> Hash {
    let mut counts: BTreeMap<Hash, usize> = BTreeMap::new();
    for head in heads {
        *counts.entry(*head).or_default() += 1;
    }
    let follows = |head: &Hash| {
        let mut before = head;
        let mut passed = 0;
        // A hash cannot name itself, so a chain has an end.
        while let Some(earlier) = predecessor.get(before) {
            passed += usize::from(counts.contains_key(earlier));
            before = earlier;
        }
        passed
    };
    let rank = |(head, count): &(&Hash, &usize)| (follows(head), **count);
    let best = counts.iter().rev().max_by_key(rank);
    best.map_or_else(Hash::default, |(head, _)| *head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_large_orders_is_shorter_and_never_empty() {
        let orders =
            [10, 10, PAGE_BYTES + 1, PAGE_BYTES / 2, PAGE_BYTES / 2, 10].map(|n| vec![0; n]);
        let (mut begin, mut ends) = (0, Vec::new());
        while begin < orders.len() {
            begin = page_end(&orders, begin, 100);
            ends.push(begin);
        }
        assert_eq!(ends, [2, 3, 4, 6]);
        assert_eq!((page_end(&orders, 0, 1), page_end(&orders, 6, 9)), (1, 6));
    }

    #[test]
    fn an_order_that_few_nodes_have_is_followed_and_not_forked() {
        let [none, one, two, other] = [0, 1, 2, 3].map(|n| Hash([n; 32]));
        let chain = BTreeMap::from([(one, none), (two, one), (other, one)]);
        assert_eq!(furthest(&[one, one, two], &chain), two);
        assert_eq!(furthest(&[none, none, one], &chain), one);
        // A fork: what most have, then the smaller.
        assert_eq!(furthest(&[two, other, other, one], &chain), other);
        assert_eq!(furthest(&[two, other, one, one], &chain), two);
        // What nobody can show is not believed against what is known.
        assert_eq!(furthest(&[Hash([9; 32]), one, two], &chain), two);
        assert_eq!(furthest(&[], &chain), none);
        assert_eq!(furthest(&[one, one], &BTreeMap::new()), one);
    }
}
