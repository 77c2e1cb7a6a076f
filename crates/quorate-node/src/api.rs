//! The node's services: from the generated messages to the rooms behind them.
//!
//! Handlers only ask who calls, then hand the work to a thread of its own. What is begun
//! there is finished even if the caller leaves: a handler may be dropped at any await.

use crate::{
    ceremonies,
    clients::Standing,
    core::Core,
    orders,
    records::{self, RecordError},
    requests::{self, Incoming, Reply},
};
use quorate_ceremony::StepKind;
use quorate_crypto::PublicKey;
use quorate_rpc::{
    Deadline, Fault, FaultKind, Peer,
    v1::{
        GetKeyRequest, GetKeyResponse, HeadsRequest, HeadsResponse, KeySummary, ListKeysRequest,
        ListKeysResponse, ListOrdersRequest, ListOrdersResponse, NodeAnswer, NodeEvaluateRequest,
        NodeHealth, NodeStatusRequest, OrderProgress, StepRequest, StepResponse,
        SubmitOrderRequest, TailRequest, TailResponse, audit_server::Audit,
        ceremony_server::Ceremony, node_answer, node_server::Node, orders_server::Orders,
    },
};
use quorate_types::{Action, ChainId, CreateKey, Format, KeyName, KeyVersion, Operation, Order};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

/// The longest that a use of a key may take.
pub(crate) const LONGEST: Duration = Duration::from_secs(2);

/// All services of a node.
#[derive(Clone)]
pub(crate) struct Api {
    core: Arc<Core>,
    /// Work that was begun for callers, also those who have left since: without it, calls
    /// that are made and dropped at once would pile up behind the class's own limit.
    begun: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn new(core: Arc<Core>, in_flight: usize) -> Self {
        Self { core, begun: Arc::new(Semaphore::new(2 * in_flight + ROOM_FOR_OTHERS)) }
    }

    /// Runs blocking work to its end, whatever becomes of the caller.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Core) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Status> {
        let Ok(permit) = Arc::clone(&self.begun).try_acquire_owned() else {
            self.core.metrics.count(operation, "overloaded");
            let text = "too much work is under way here; try again later";
            return Err(Fault::overloaded(text, Duration::from_millis(50)).into());
        };
        let core = Arc::clone(&self.core);
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let begun = Instant::now();
            let result = match core.state() {
                "failed" => Err(Fault::unavailable("the node's disk has failed; it is stopping")),
                _ => work(&core),
            };
            core.metrics.time(operation, begun.elapsed());
            if let Err(fault) = &result {
                core.metrics.count(operation, fault.kind.as_str());
            }
            result
        });
        match done.await {
            Ok(result) => Ok(result?),
            // In release a panic ends the process before this is reached.
            Err(_) => Err(Fault::new(FaultKind::Internal, "the call was ended").into()),
        }
    }

    fn peer<T>(&self, request: &Request<T>) -> Result<PublicKey, Fault> {
        let none = || Fault::new(FaultKind::Unauthenticated, "the caller has proved no key");
        Peer::of(request).map(|peer| peer.key).ok_or_else(none)
    }

    /// Coordinators, operators, and the node's own command line.
    fn conductor<T>(&self, operation: &'static str, request: &Request<T>) -> Result<(), Fault> {
        let peer = self.peer(request)?;
        if self.core.conducts(&peer) || peer == self.core.me.identity {
            return Ok(());
        }
        self.core.metrics.count(operation, "denied");
        Err(Fault::denied("this is for coordinators and operators of the roster"))
    }

    /// Everybody whom the cluster knows: records and order chains prove themselves.
    fn reader<T>(&self, operation: &'static str, request: &Request<T>) -> Result<(), Fault> {
        let peer = self.peer(request)?;
        let known = self.core.roster().node_by_identity(&peer).is_some()
            || self.core.clients.standing(&peer) == Some(Standing::Known);
        if known { Ok(()) } else { self.conductor(operation, request) }
    }
}

/// Calls beside uses of keys that may be under way: ceremonies, orders, status.
const ROOM_FOR_OTHERS: usize = 96;

#[tonic::async_trait]
impl Node for Api {
    async fn evaluate(
        &self,
        request: Request<NodeEvaluateRequest>,
    ) -> Result<Response<NodeAnswer>, Status> {
        let peer = self.peer(&request)?;
        let deadline = Deadline::of(request.metadata(), LONGEST).instant().into_std();
        let NodeEvaluateRequest { head, signature, items } = request.into_inner();
        let incoming = Incoming { peer, head, signature, items, deadline };
        let reply = self
            .run(Operation::Decrypt.as_str(), move |core| {
                core.metrics.in_flight.inc();
                let reply = requests::answer(core, &incoming);
                core.metrics.in_flight.dec();
                let reply = reply?;
                core.metrics.count(Operation::Decrypt.as_str(), reply.outcome());
                Ok(reply)
            })
            .await?;
        let outcome = match reply {
            Reply::Sealed(bytes) => node_answer::Outcome::Sealed(bytes),
            Reply::Refused(_, bytes) => node_answer::Outcome::Refusal(bytes),
        };
        let node = u32::from(self.core.index().get());
        Ok(Response::new(NodeAnswer { node, outcome: Some(outcome) }))
    }

    async fn get_key(
        &self,
        request: Request<GetKeyRequest>,
    ) -> Result<Response<GetKeyResponse>, Status> {
        self.reader("get_key", &request)?;
        let GetKeyRequest { name, version } = request.into_inner();
        let record = self.run("get_key", move |core| get_key(core, &name, version)).await?;
        Ok(Response::new(GetKeyResponse { record }))
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        self.reader("list_keys", &request)?;
        let page = request.into_inner();
        let response = self.run("list_keys", move |core| list_keys(core, &page)).await?;
        Ok(Response::new(response))
    }

    async fn status(
        &self,
        request: Request<NodeStatusRequest>,
    ) -> Result<Response<NodeHealth>, Status> {
        self.reader("status", &request)?;
        // Also answered by a node whose disk has failed, for as long as it lives.
        let core = Arc::clone(&self.core);
        let health = tokio::task::spawn_blocking(move || health(&core)).await;
        let ended = |_| Status::from(Fault::new(FaultKind::Internal, "the call was ended"));
        Ok(Response::new(health.map_err(ended)?))
    }
}

/// The record of a version, or of the newest that is born.
fn get_key(core: &Core, name: &str, version: u32) -> Result<Vec<u8>, Fault> {
    let failed = |e: RecordError| e.fault(core);
    let name = KeyName::new(name).map_err(|e| Fault::invalid(e.to_string()))?;
    let newest = match KeyVersion::new(version) {
        Some(version) => version.get(),
        None => newest_order(core, &name).map_err(failed)?.map_or(0, |c| c.version.get()),
    };
    let oldest = if version == 0 { newest.saturating_sub(MAX_BURNT) } else { newest };
    for version in (oldest.max(1)..=newest).rev().filter_map(KeyVersion::new) {
        if let Some(record) = records::record(&*core.store, &name, version).map_err(failed)? {
            return Ok(record.to_bytes());
        }
    }
    Err(Fault::new(FaultKind::NotFound, "this node has no record of the key or version"))
}

/// Versions that were begun and not born, behind the newest.
const MAX_BURNT: u32 = 32;

fn newest_order(core: &Core, name: &KeyName) -> Result<Option<CreateKey>, RecordError> {
    let chain = ChainId::Key(name.clone());
    let Some(signed) = records::head_order(&*core.store, &chain)? else { return Ok(None) };
    match Order::from_bytes(&signed.0.body).map(|order| order.action) {
        Ok(Action::CreateKey(create)) => Ok(Some(create)),
        _ => Err(RecordError::Damaged("order")),
    }
}

fn list_keys(core: &Core, page: &ListKeysRequest) -> Result<ListKeysResponse, Fault> {
    let failed = |e: RecordError| e.fault(core);
    let size = match page.page_size {
        0 => 100,
        size => size.min(1000) as usize,
    };
    if page.after.len() > 128 {
        return Err(Fault::invalid("a page begins after a key's name"));
    }
    let mut names = records::key_names(&*core.store, &page.after, size + 1).map_err(failed)?;
    let more = names.len() > size;
    names.truncate(size);
    let mut keys = Vec::with_capacity(names.len());
    for name in &names {
        let Some(create) = newest_order(core, name).map_err(failed)? else { continue };
        let version = create.version;
        let record = records::record(&*core.store, name, version).map_err(failed)?;
        let standing = records::standing(&*core.store, name, version).map_err(failed)?;
        let epoch = record.as_ref().map(|r| r.certificate.public.epoch).or(standing.serving);
        keys.push(KeySummary {
            name: name.to_string(),
            version: version.get(),
            suite: create.suite.to_string(),
            purpose: create.purpose.to_string(),
            threshold: u32::from(create.committee.threshold().get()),
            committee: create.committee.indices().map(|i| u32::from(i.get())).collect(),
            state: if record.is_some() { "active" } else { "pending" }.to_owned(),
            epoch: epoch.map_or(0, |e| e.number),
        });
    }
    let next = match names.last() {
        Some(last) if more => last.to_string(),
        _ => String::new(),
    };
    Ok(ListKeysResponse { keys, next })
}

pub(crate) fn health(core: &Core) -> NodeHealth {
    let (me, state) = (&core.me, core.state());
    let keys = records::count_serving(&*core.store).unwrap_or(0);
    let detail = match state {
        "serving" if !core.store.space().allows_writes() => {
            "the disk is full: no use without its audit entry; make room"
        }
        "serving" if !core.store.space().allows_ceremonies() => {
            "the disk is too full for new keys; make room"
        }
        "failed" => "its disk has failed: it is stopping; see its log",
        _ => "",
    };
    NodeHealth {
        node: u32::from(me.index.get()),
        name: me.name.to_string(),
        endpoint: me.endpoint.to_string(),
        provider: me.provider.to_string(),
        location: me.location.to_string(),
        home: me.home.to_string(),
        reachable: true,
        state: state.to_owned(),
        keys,
        latency_micros: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        detail: detail.to_owned(),
    }
}

impl Api {
    async fn step(
        &self,
        kind: StepKind,
        request: Request<StepRequest>,
    ) -> Result<Response<StepResponse>, Status> {
        self.conductor(kind.as_str(), &request)?;
        let items = request.into_inner().items;
        let results = self
            .run(kind.as_str(), move |core| {
                let results = ceremonies::run(core, kind, &items)?;
                core.metrics.count(kind.as_str(), "done");
                Ok(results)
            })
            .await?;
        Ok(Response::new(StepResponse { results }))
    }
}

#[tonic::async_trait]
impl Ceremony for Api {
    async fn prepare(&self, r: Request<StepRequest>) -> Result<Response<StepResponse>, Status> {
        self.step(StepKind::Prepare, r).await
    }
    async fn deal(&self, r: Request<StepRequest>) -> Result<Response<StepResponse>, Status> {
        self.step(StepKind::Deal, r).await
    }
    async fn receive(&self, r: Request<StepRequest>) -> Result<Response<StepResponse>, Status> {
        self.step(StepKind::Receive, r).await
    }
    async fn activate(&self, r: Request<StepRequest>) -> Result<Response<StepResponse>, Status> {
        self.step(StepKind::Activate, r).await
    }
    async fn retire(&self, r: Request<StepRequest>) -> Result<Response<StepResponse>, Status> {
        self.step(StepKind::Retire, r).await
    }
}

#[tonic::async_trait]
impl Orders for Api {
    type SubmitStream = tokio_stream::Once<Result<OrderProgress, Status>>;

    /// From anybody: an order proves itself, and no coordinator may withhold one.
    async fn submit(
        &self,
        request: Request<SubmitOrderRequest>,
    ) -> Result<Response<Self::SubmitStream>, Status> {
        let bytes = request.into_inner().order;
        let (applied, hash) = self.run("submit", move |core| orders::submit(core, &bytes)).await?;
        let message = match applied {
            orders::Applied::Now => format!("order {hash} applied"),
            orders::Applied::Before => format!("order {hash} was applied before"),
        };
        self.core.metrics.count("submit", "done");
        let done =
            OrderProgress { step: "done".into(), done: 1, of: 1, message, ..Default::default() };
        Ok(Response::new(tokio_stream::once(Ok(done))))
    }

    async fn list(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        self.reader("list_orders", &request)?;
        let ListOrdersRequest { page_size, after } = request.into_inner();
        let (orders, next) =
            self.run("list_orders", move |core| orders::list(core, after, page_size)).await?;
        Ok(Response::new(ListOrdersResponse { orders, next }))
    }

    async fn heads(
        &self,
        request: Request<HeadsRequest>,
    ) -> Result<Response<HeadsResponse>, Status> {
        self.reader("heads", &request)?;
        let key = request.into_inner().key;
        let (policy, key) = self.run("heads", move |core| orders::heads(core, &key)).await?;
        Ok(Response::new(HeadsResponse {
            policy_head: policy.0.to_vec(),
            key_head: key.0.to_vec(),
        }))
    }
}

#[tonic::async_trait]
impl Audit for Api {
    async fn tail(&self, request: Request<TailRequest>) -> Result<Response<TailResponse>, Status> {
        self.conductor("tail", &request)?;
        let count = request.into_inner().count;
        let response = self.run("tail", move |core| tail(core, count)).await?;
        Ok(Response::new(response))
    }
}

/// The newest entries, as many as were asked for and fit into one message.
fn tail(core: &Core, count: u32) -> Result<TailResponse, Fault> {
    let count = match count {
        0 => 20,
        count => count.min(1000),
    };
    let (length, head) = core.store.audit_head();
    let begin = length.saturating_sub(u64::from(count));
    let read = usize::try_from(length - begin).unwrap_or(0);
    let mut entries = core.store.audit_read(begin, read).map_err(|e| core.store_fault(&e))?;
    // Entries appended since belong to a later head.
    entries.retain(|(at, _)| *at < length);
    let (mut bytes, mut kept) = (0, entries.len());
    for (at, (_, leaf)) in entries.iter().enumerate().rev() {
        bytes += leaf.len() + 8;
        if bytes > TAIL_BYTES {
            break;
        }
        kept = at;
    }
    let entries = entries.split_off(kept.min(entries.len()));
    let first = entries.first().map_or(length, |(at, _)| *at);
    Ok(TailResponse {
        first,
        entries: entries.into_iter().map(|(_, leaf)| leaf).collect(),
        head: head.to_vec(),
        length,
    })
}

/// What fits into one message.
const TAIL_BYTES: usize = 1024 * 1024 - 64 * 1024;
