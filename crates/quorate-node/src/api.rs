//! The node's services: from the generated messages to the rooms behind them.
//!
//! Handlers only ask who calls, then hand the work to a thread of its own. What is begun
//! there is finished even if the caller leaves: a handler may be dropped at any await.

use crate::{
    ceremonies,
    clients::Standing,
    core::Core,
    exports, orders, quarantine,
    requests::{self, Answered, Incoming, Reply},
    rosters, states, views, witness,
};
use quorate_ceremony::StepKind;
use quorate_crypto::PublicKey;
use quorate_rpc::{
    Deadline, Fault, FaultKind, Peer,
    v1::{
        CheckpointRequest, CheckpointResponse, ExportRequest, ExportResponse, GetKeyRequest,
        GetKeyResponse, HeadsRequest, HeadsResponse, KeyStateRequest, KeyStateResponse,
        ListKeysRequest, ListKeysResponse, ListOrdersRequest, ListOrdersResponse, NodeAnswer,
        NodeEvaluateRequest, NodeHealth, NodeStatusRequest, OrderProgress, OwnerDealingRequest,
        OwnerDealingResponse, PutRosterRequest, PutRosterResponse, RosterRequest, RosterResponse,
        StepRequest, StepResponse, SubmitOrderRequest, TailRequest, TailResponse, WitnessRequest,
        WitnessResponse, audit_server::Audit, ceremony_server::Ceremony, node_answer,
        node_server::Node, orders_server::Orders,
    },
};
use quorate_types::{Format, SignedOrder};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};

/// The longest that a use of a key may take.
pub(crate) const LONGEST: Duration = Duration::from_secs(2);

/// All services of a node.
#[derive(Clone)]
pub(crate) struct Api {
    core: Arc<Core>,
    /// Uses of keys under way, also for callers who have left since: calls that are made and
    /// dropped at once do not pile up behind the class's own limit.
    uses: Arc<Semaphore>,
    /// Everything else, so that uses of keys never starve it, nor it them.
    others: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn new(core: Arc<Core>, in_flight: usize) -> Self {
        let semaphore = |n| Arc::new(Semaphore::new(n));
        Self { core, uses: semaphore(in_flight), others: semaphore(ROOM_FOR_OTHERS) }
    }

    /// Waits a little for room among the uses of keys: what waits longer is mostly answered
    /// too late.
    async fn room_for_use(&self, operation: &'static str) -> Result<OwnedSemaphorePermit, Fault> {
        let room = Arc::clone(&self.uses).acquire_owned();
        match tokio::time::timeout(MAX_WAIT, room).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(self.overloaded(operation)),
        }
    }

    fn overloaded(&self, operation: &'static str) -> Fault {
        self.core.metrics.count(operation, FaultKind::ResourceExhausted.as_str());
        Fault::overloaded("too much is under way at this node; try again later", MAX_WAIT)
    }

    /// Runs work of any other kind.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Core) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Status> {
        let permit = Arc::clone(&self.others).try_acquire_owned();
        let permit = permit.map_err(|_| self.overloaded(operation))?;
        self.finish(operation, permit, work).await
    }

    /// Runs blocking work to its end, whatever becomes of the caller.
    async fn finish<T: Send + 'static>(
        &self,
        operation: &'static str,
        permit: OwnedSemaphorePermit,
        work: impl FnOnce(&Core) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Status> {
        let core = Arc::clone(&self.core);
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let begun = Instant::now();
            let result = match core.has_failed() {
                true => Err(Fault::unavailable("the node's disk has failed; it is stopping")),
                false => work(&core),
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
        let known = self.core.cluster().roster().node_by_identity(&peer).is_some()
            || self.core.clients.standing(&peer) == Some(Standing::Known);
        if known { Ok(()) } else { self.conductor(operation, request) }
    }
}

/// What a use of a key is called in metrics until its signature holds; what is answered counts
/// as what was asked for.
const EVALUATE: &str = "evaluate";

/// Calls beside uses of keys that may be under way: ceremonies, orders, status.
pub(crate) const ROOM_FOR_OTHERS: usize = 96;
/// How long a use of a key may wait for room.
pub(crate) const MAX_WAIT: Duration = Duration::from_millis(50);

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
        let permit = self.room_for_use(EVALUATE).await?;
        let work = move |core: &Core| {
            core.metrics.in_flight.inc();
            let reply = requests::answer(core, &incoming);
            core.metrics.in_flight.dec();
            let Answered { operation, reply } = reply?;
            core.metrics.count(operation.as_str(), reply.outcome());
            Ok(reply)
        };
        let reply = self.finish(EVALUATE, permit, work).await?;
        let (outcome, also) = match reply {
            Reply::Sealed(bytes, also) => (node_answer::Outcome::Sealed(bytes), also),
            Reply::Refused(_, bytes) => (node_answer::Outcome::Refusal(bytes), Vec::new()),
        };
        let node = u32::from(self.core.index().get());
        Ok(Response::new(NodeAnswer { node, outcome: Some(outcome), also }))
    }

    async fn get_key(
        &self,
        request: Request<GetKeyRequest>,
    ) -> Result<Response<GetKeyResponse>, Status> {
        self.reader("get_key", &request)?;
        let GetKeyRequest { name, version, .. } = request.into_inner();
        let found = self.run("get_key", move |core| views::get_key(core, &name, version)).await?;
        Ok(Response::new(found))
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        self.reader("list_keys", &request)?;
        let page = request.into_inner();
        let response = self.run("list_keys", move |core| views::list_keys(core, &page)).await?;
        Ok(Response::new(response))
    }

    async fn key_state(
        &self,
        request: Request<KeyStateRequest>,
    ) -> Result<Response<KeyStateResponse>, Status> {
        self.reader("key_state", &request)?;
        let name = request.into_inner().name;
        let said = self.run("key_state", move |core| states::show(core, &name)).await?;
        Ok(Response::new(said))
    }

    async fn status(
        &self,
        request: Request<NodeStatusRequest>,
    ) -> Result<Response<NodeHealth>, Status> {
        self.reader("status", &request)?;
        // Also answered by a node whose disk has failed, for as long as it lives.
        let core = Arc::clone(&self.core);
        let health = tokio::task::spawn_blocking(move || views::health(&core)).await;
        let ended = |_| Status::from(Fault::new(FaultKind::Internal, "the call was ended"));
        Ok(Response::new(health.map_err(ended)?))
    }

    async fn checkpoint(
        &self,
        request: Request<CheckpointRequest>,
    ) -> Result<Response<CheckpointResponse>, Status> {
        self.conductor("checkpoint", &request)?;
        let brought = request.into_inner().witnesses;
        let stated = self.run("checkpoint", move |core| {
            quarantine::hear(core, &brought)?;
            Ok(views::checkpoint(core))
        });
        Ok(Response::new(stated.await?))
    }

    async fn witness(
        &self,
        request: Request<WitnessRequest>,
    ) -> Result<Response<WitnessResponse>, Status> {
        self.conductor("witness", &request)?;
        let checkpoint = request.into_inner().checkpoint;
        let witness = self.run("witness", move |core| witness::tell(core, &checkpoint)).await?;
        Ok(Response::new(WitnessResponse { witness }))
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
    async fn survey(&self, r: Request<StepRequest>) -> Result<Response<StepResponse>, Status> {
        self.step(StepKind::Survey, r).await
    }
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

    async fn order(&self, r: Request<StepRequest>) -> Result<Response<StepResponse>, Status> {
        self.conductor("order", &r)?;
        let items = r.into_inner().items;
        let results = self.run("order", move |core| ceremonies::orders(core, &items)).await?;
        self.core.metrics.count("order", "done");
        Ok(Response::new(StepResponse { results }))
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
        let read = move |core: &Core| {
            let (policy, head, rotation) = orders::heads(core, &key)?;
            let (order, rotation_order) = match key.is_empty() {
                true => (None, None),
                false => orders::head_orders(core, &key)?,
            };
            let bytes = |order: Option<SignedOrder>| order.map(|o| o.to_bytes());
            Ok(HeadsResponse {
                policy_head: policy.0.to_vec(),
                key_head: head.0.to_vec(),
                key_order: bytes(order).unwrap_or_default(),
                rotation_head: rotation.0.to_vec(),
                rotation_order: bytes(rotation_order).unwrap_or_default(),
            })
        };
        self.run("heads", read).await.map(Response::new)
    }

    /// A node conducts nothing, so that no owner deals to it.
    async fn deal(
        &self,
        _: Request<OwnerDealingRequest>,
    ) -> Result<Response<OwnerDealingResponse>, Status> {
        Err(Fault::invalid("an owner deals to the coordinator that conducts the import").into())
    }

    async fn export(
        &self,
        request: Request<ExportRequest>,
    ) -> Result<Response<ExportResponse>, Status> {
        self.conductor("export", &request)?;
        let order = request.into_inner().order;
        let share = self.run("export", move |core| exports::share(core, &order)).await?;
        self.core.metrics.count("export", "done");
        Ok(Response::new(ExportResponse { shares: vec![share], failures: Vec::new() }))
    }

    async fn get_roster(
        &self,
        request: Request<RosterRequest>,
    ) -> Result<Response<RosterResponse>, Status> {
        self.reader("get_roster", &request)?;
        let after = request.into_inner().after;
        let (version, rosters) =
            self.run("get_roster", move |core| Ok(rosters::after(core, after))).await?;
        Ok(Response::new(RosterResponse { version, rosters }))
    }

    /// From anybody, as orders: rosters prove themselves.
    async fn put_roster(
        &self,
        request: Request<PutRosterRequest>,
    ) -> Result<Response<PutRosterResponse>, Status> {
        let brought = request.into_inner().rosters;
        let version = self.run("put_roster", move |core| rosters::put(core, &brought)).await?;
        self.core.metrics.count("put_roster", "done");
        Ok(Response::new(PutRosterResponse { version, missing: Vec::new() }))
    }
}

#[tonic::async_trait]
impl Audit for Api {
    async fn tail(&self, request: Request<TailRequest>) -> Result<Response<TailResponse>, Status> {
        self.conductor("tail", &request)?;
        let count = request.into_inner().count;
        let response = self.run("tail", move |core| views::tail(core, count)).await?;
        Ok(Response::new(response))
    }
}
