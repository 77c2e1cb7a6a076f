//! Carries orders and ceremony steps to nodes: up to 64 keys in one RPC, so that one flush at
//! the node serves all ceremonies that are at the same step.

use quorate_ceremony::StepKind;
use quorate_rpc::{
    Channel, Deadline, Fault, MAX_CEREMONY_BYTES, bounded,
    v1::{StepRequest, StepResponse, StepResult, ceremony_client::CeremonyClient, step_result},
};
use quorate_types::NodeIndex;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tonic::{Code, Request, Response, Status};

/// The most items in one RPC (DESIGN §4.2).
pub const MAX_ITEMS: usize = 64;
/// The most bytes of items in one RPC; one item alone may be larger.
const MAX_BYTES: usize = MAX_CEREMONY_BYTES / 2;
/// From so many ceremonies on that are under way a letter waits for others, so that they go
/// on in step: one RPC and one flush at each node for all of them.
const MANY: usize = 8;
/// How long it waits at most: a small part of what a step of many ceremonies takes.
const LINGER: Duration = Duration::from_millis(8);
/// Items that wait for one node and step; more are refused as an overload of ours.
const QUEUE: usize = 4096;

/// What is brought to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Errand {
    /// Orders.
    Order,
    /// The messages of a step.
    Step(StepKind),
}

/// What a node answers to one item.
#[derive(Debug)]
pub enum StepAnswer {
    /// Canonical answer of the step.
    Done(Vec<u8>),
    /// The node did not do it, and says why.
    Fault {
        /// quorate-ceremony's code; of an order a gRPC status code.
        code: u16,
        /// For people.
        message: String,
    },
    /// The node gave no answer.
    Unreachable(Fault),
}

/// One item on its way.
struct Letter {
    item: Vec<u8>,
    deadline: Deadline,
    answer: oneshot::Sender<StepAnswer>,
}

/// Counts a ceremony as under way.
pub(crate) struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Queues = HashMap<(NodeIndex, Errand), mpsc::Sender<Letter>>;

/// Queues for nodes and errands; a worker for each, started at the first letter.
#[derive(Clone)]
pub struct Postman {
    queues: Arc<Mutex<Queues>>,
    /// How many are under way.
    ceremonies: Arc<AtomicUsize>,
    dial: Arc<dyn Fn(NodeIndex) -> Option<Channel> + Send + Sync>,
}

impl std::fmt::Debug for Postman {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Postman")
    }
}

impl Postman {
    /// A postman who finds nodes' channels with `dial`.
    pub fn new(dial: impl Fn(NodeIndex) -> Option<Channel> + Send + Sync + 'static) -> Self {
        Self { queues: Arc::default(), ceremonies: Arc::default(), dial: Arc::new(dial) }
    }

    /// A ceremony is under way as long as this is held.
    pub(crate) fn ceremony(&self) -> UnderWay {
        self.ceremonies.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(&self.ceremonies))
    }

    /// Brings one step's message to a node and its answer back.
    pub async fn send(
        &self,
        node: NodeIndex,
        step: StepKind,
        item: Vec<u8>,
        deadline: Deadline,
    ) -> StepAnswer {
        self.post(node, Errand::Step(step), item, deadline).await
    }

    /// Brings an order to a node, which has applied it, now or before, if this succeeds.
    ///
    /// # Errors
    /// Why the node did not apply it, or did not answer.
    pub(crate) async fn order(
        &self,
        node: NodeIndex,
        order: Vec<u8>,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        match self.post(node, Errand::Order, order, deadline).await {
            StepAnswer::Done(_) => Ok(()),
            StepAnswer::Fault { code, message } => {
                Err(Status::new(Code::from_i32(i32::from(code)), message).into())
            }
            StepAnswer::Unreachable(fault) => Err(fault),
        }
    }

    async fn post(
        &self,
        node: NodeIndex,
        errand: Errand,
        item: Vec<u8>,
        deadline: Deadline,
    ) -> StepAnswer {
        let (answer, answered) = oneshot::channel();
        let Some(queue) = self.queue(node, errand) else {
            return StepAnswer::Unreachable(Fault::unavailable("the node is not in the roster"));
        };
        if queue.try_send(Letter { item, deadline, answer }).is_err() {
            let text = "too many ceremonies wait for this node";
            return StepAnswer::Unreachable(Fault::overloaded(text, Duration::from_secs(1)));
        }
        match tokio::time::timeout_at(deadline.instant(), answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => StepAnswer::Unreachable(Fault::unavailable("the call was ended")),
            Err(_) => StepAnswer::Unreachable(Fault::new(
                quorate_rpc::FaultKind::DeadlineExceeded,
                "the node gave no answer in time",
            )),
        }
    }

    /// Dials anew what is sent from now on: a node may be another one now.
    pub(crate) fn forget(&self) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn queue(&self, node: NodeIndex, errand: Errand) -> Option<mpsc::Sender<Letter>> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(&(node, errand)).filter(|q| !q.is_closed()) {
            return Some(queue.clone());
        }
        let channel = (self.dial)(node)?;
        let (queue, letters) = mpsc::channel(QUEUE);
        tokio::spawn(deliver(channel, errand, letters, Arc::clone(&self.ceremonies)));
        queues.insert((node, errand), queue.clone());
        Some(queue)
    }
}

/// Takes what has gathered while the last RPC was under way, up to the limits, and
/// sends it as one.
async fn deliver(
    channel: Channel,
    errand: Errand,
    mut letters: mpsc::Receiver<Letter>,
    ceremonies: Arc<AtomicUsize>,
) {
    let mut held: Option<Letter> = None;
    loop {
        let first = match held.take() {
            Some(letter) => letter,
            None => match letters.recv().await {
                Some(letter) => letter,
                None => return,
            },
        };
        let mut bytes = first.item.len();
        let mut batch = vec![first];
        let under_way = ceremonies.load(Ordering::Relaxed);
        let until = Instant::now() + LINGER;
        while batch.len() < MAX_ITEMS {
            let next = match letters.try_recv() {
                Ok(next) => next,
                Err(_) if under_way < MANY || batch.len() >= under_way => break,
                Err(_) => match timeout_at(until, letters.recv()).await {
                    Ok(Some(next)) => next,
                    Ok(None) | Err(_) => break,
                },
            };
            if bytes + next.item.len() > MAX_BYTES {
                held = Some(next);
                break;
            }
            bytes += next.item.len();
            batch.push(next);
        }
        // Nobody waits for a letter whose sender has gone.
        batch.retain(|letter| !letter.answer.is_closed());
        if !batch.is_empty() {
            deliver_one(channel.clone(), errand, batch).await;
        }
    }
}

async fn deliver_one(channel: Channel, errand: Errand, batch: Vec<Letter>) {
    let (items, waiting): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|l| (l.item, (l.deadline, l.answer))).unzip();
    let latest = waiting.iter().map(|(deadline, _)| *deadline).max();
    let deadline = latest.unwrap_or_else(|| Deadline::after(Duration::from_secs(1)));
    let answers = match call(channel, errand, items, deadline).await {
        Ok(response) => response.results,
        Err(fault) => {
            for (_, answer) in waiting {
                // A sender that has gone needs no answer.
                let _ = answer.send(StepAnswer::Unreachable(fault.clone()));
            }
            return;
        }
    };
    let mut answers = answers.into_iter();
    for (_, answer) in waiting {
        let _ = answer.send(read(answers.next()));
    }
}

async fn call(
    channel: Channel,
    errand: Errand,
    items: Vec<Vec<u8>>,
    deadline: Deadline,
) -> Result<StepResponse, Fault> {
    let request: Request<StepRequest> = deadline.request(StepRequest { items })?;
    let mut client = bounded!(CeremonyClient::new(channel), MAX_CEREMONY_BYTES);
    let answered = tokio::time::timeout_at(deadline.instant(), async {
        match errand {
            Errand::Order => client.order(request).await,
            Errand::Step(StepKind::Survey) => client.survey(request).await,
            Errand::Step(StepKind::Prepare) => client.prepare(request).await,
            Errand::Step(StepKind::Deal) => client.deal(request).await,
            Errand::Step(StepKind::Receive) => client.receive(request).await,
            Errand::Step(StepKind::Activate) => client.activate(request).await,
            Errand::Step(StepKind::Retire) => client.retire(request).await,
        }
    });
    match answered.await {
        Ok(result) => result.map(Response::into_inner).map_err(|s: Status| Fault::from(s)),
        Err(_) => Err(Fault::new(
            quorate_rpc::FaultKind::DeadlineExceeded,
            "the node gave no answer in time",
        )),
    }
}

fn read(result: Option<StepResult>) -> StepAnswer {
    match result.and_then(|r| r.outcome) {
        Some(step_result::Outcome::Done(bytes)) => StepAnswer::Done(bytes),
        Some(step_result::Outcome::Fault(fault)) => StepAnswer::Fault {
            code: u16::try_from(fault.code).unwrap_or(u16::MAX),
            message: fault.message.chars().take(512).collect(),
        },
        None => StepAnswer::Unreachable(Fault::new(
            quorate_rpc::FaultKind::Internal,
            "the node's answer is empty: it runs other software",
        )),
    }
}
