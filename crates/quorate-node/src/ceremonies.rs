//! The driver: the only place where a ceremony step meets disk and network.
//!
//! One RPC brings up to 64 keys' items. Each is performed on its loaded state; all changes
//! go into one commit, all events into one append, then the answers leave. The order is
//! the step's own: persist, audit, send. A crash between any two loses nothing, since the
//! conductor asks again and the same request gives the same bytes.

use crate::{
    core::Core, entropy, exports, forks, locks::Subject as Lock, orders, planted::planted,
    quarantine, records, states, unlogged,
};
use quorate_ceremony::{
    Fault as StepFault, Me, Request, Step, StepKind, Subject, VersionState, fault, perform,
};
use quorate_crypto::Threshold;
use quorate_rpc::{Fault, v1};
use quorate_store::{Batch, StoreError};
use quorate_types::{Event, Format, Order, Terms};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::atomic::Ordering,
};
use tonic::Status;

/// The most items in one RPC (DESIGN §4.2).
pub(crate) const MAX_ITEMS: usize = 64;

/// One item: its place in the RPC, what it is about, what it asks.
struct Item {
    at: usize,
    subject: Subject,
    request: Request,
}

/// Does one step for all items; as many results, in their order. Blocks.
pub(crate) fn run(
    core: &Core,
    kind: StepKind,
    items: &[Vec<u8>],
) -> Result<Vec<v1::StepResult>, Fault> {
    check_count(items)?;
    if core.removed() && !matches!(kind, StepKind::Survey | StepKind::Retire) {
        // It only hears what has come into force without it, and erases what that ends.
        return Ok(items.iter().map(|_| refused(&StepFault::NotMember)).collect());
    }
    if kind == StepKind::Prepare && !core.store.space().allows_ceremonies() {
        return Err(Fault::unavailable("the node's disk is too full for a new ceremony"));
    }
    let mut results: Vec<Option<v1::StepResult>> = Vec::new();
    let mut waiting = VecDeque::new();
    for (at, bytes) in items.iter().enumerate() {
        match Request::parse(kind, bytes) {
            Ok((subject, request)) => {
                waiting.push_back(Item { at, subject, request });
                results.push(None);
            }
            Err(fault) => results.push(Some(refused(&fault))),
        }
    }
    let keys = waiting.iter().map(|i| Lock::Key(i.subject.key.clone())).collect();
    let _held = core.locks.hold(keys);
    while !waiting.is_empty() {
        for (at, result) in round(core, take_round(&mut waiting))? {
            results[at] = Some(result);
        }
    }
    let missing = || failed("the step was not done");
    Ok(results.into_iter().map(|r| r.unwrap_or_else(missing)).collect())
}

/// Applies orders; as many results, in their order. Blocks.
pub(crate) fn orders(core: &Core, items: &[Vec<u8>]) -> Result<Vec<v1::StepResult>, Fault> {
    check_count(items)?;
    let result = |applied: Result<(), Fault>| match applied {
        Ok(()) => v1::StepResult { outcome: Some(v1::step_result::Outcome::Done(Vec::new())) },
        Err(fault) => {
            let status = Status::from(fault);
            let code = u16::try_from(status.code() as i32).unwrap_or(u16::MAX);
            fault_result(code, status.message().to_owned(), Vec::new())
        }
    };
    Ok(orders::submit_all(core, items).into_iter().map(result).collect())
}

fn check_count(items: &[Vec<u8>]) -> Result<(), Fault> {
    if items.is_empty() || items.len() > MAX_ITEMS {
        let text = format!("a step has 1 to {MAX_ITEMS} items, got {}", items.len());
        return Err(Fault::invalid(text));
    }
    Ok(())
}

/// The next items of different keys: a step never looks at a state that another one of
/// the same commit has changed.
fn take_round(waiting: &mut VecDeque<Item>) -> Vec<Item> {
    let mut keys = BTreeSet::new();
    let (now, later): (VecDeque<Item>, VecDeque<Item>) =
        waiting.drain(..).partition(|item| keys.insert(item.subject.key.clone()));
    *waiting = later;
    now.into()
}

fn round(core: &Core, items: Vec<Item>) -> Result<Vec<Answered>, Fault> {
    let (items, mut held) = admitted(core, items)?;
    let steps = perform_all(core, items)?;
    // A step is done once and logged again whenever it is asked for; an order it brought along
    // is applied once, and has a mark until it is logged.
    unlogged::settle(core)?;
    let persisted = persist(core, &steps).inspect_err(|_| core.unlogged.doubt());
    let events: Vec<Event> = steps.iter().flat_map(|(_, _, s)| s.audit.clone()).collect();
    let durable = persisted.and_then(|()| unlogged::log(core, events));
    if !planted!(AnswerBeforeFlush) {
        durable?;
    }
    held.extend(steps.into_iter().map(|(at, _, step)| (at, result(step))));
    Ok(held)
}

type Done = (usize, Subject, Step);
type Loaded = (Item, VersionState);
type Answered = (usize, v1::StepResult);

/// The items with the state that they are about. Those that the quarantine or an open export
/// holds back are answered here.
fn admitted(core: &Core, items: Vec<Item>) -> Result<(Vec<Loaded>, Vec<Answered>), Fault> {
    let (mut free, mut held) = (Vec::with_capacity(items.len()), Vec::new());
    for item in items {
        let state = records::load_state(&*core.store, &item.subject).map_err(|e| e.fault(core))?;
        let back = states::holds_back(&*core.store, &item.subject.key, &item.request, &state);
        if let Some((code, text)) = back.map_err(|e| e.fault(core))? {
            held.push((item.at, fault_result(code, text, Vec::new())));
            continue;
        }
        let admission = match item.request {
            // What there is, and the proof of what has come into force, at any time.
            Request::Survey(_) | Request::Retire(_) => Ok(()),
            _ => quarantine::check(core, threshold(&item.request, &state))
                .map_err(|held| (fault::QUARANTINED, held))
                .and_then(|()| {
                    exports::admits(core, &item.subject).map_err(|open| (fault::EXPORTING, open))
                }),
        };
        match admission {
            Ok(()) => free.push((item, state)),
            Err((code, fault)) => {
                held.push((item.at, fault_result(code, fault.message, Vec::new())));
            }
        }
    }
    Ok((free, held))
}

/// Of the epoch in force; before there is one, of the order. A step that finds neither is
/// refused by itself.
fn threshold(request: &Request, state: &VersionState) -> Option<Threshold> {
    if let Some(record) = state.in_force() {
        return Some(record.certificate.public.committee.threshold());
    }
    let order = match request {
        Request::Prepare(prepare) => Some(&prepare.order),
        _ => state.order.as_ref(),
    };
    let order = Order::from_bytes(&order?.0.body).ok()?;
    Terms::stated(&order.action).map(|terms| terms.committee.threshold())
}

fn perform_all(core: &Core, items: Vec<Loaded>) -> Result<Vec<Done>, Fault> {
    let cluster = core.cluster();
    let me = Me { cluster: &cluster, index: core.index(), identity: &core.identity };
    let mut rng = entropy::rng();
    let mut steps = Vec::with_capacity(items.len());
    for (Item { at, subject, request }, state) in items {
        let _permit = core.permits.take();
        let step = perform(&me, &subject, &state, &request, core.now().wall, &mut rng);
        steps.push((at, subject, forks::guard(core, &request, step)?));
    }
    Ok(steps)
}

/// One commit for all; one for each only where all together are above the store's limit.
fn persist(core: &Core, steps: &[Done]) -> Result<(), Fault> {
    let put = |batch: Batch, step: &Step| {
        let batch = unlogged::mark(core, batch, &step.audit);
        records::put_changes(batch, &step.persist, || {
            core.order_sequence.fetch_add(1, Ordering::SeqCst) + 1
        })
    };
    let commit = |batch: Batch| match batch.is_empty() {
        true => Ok(()),
        false => core.store.commit(core.unlogged.sweep(Batch::new()).and(batch)),
    };
    let all = steps.iter().try_fold(Batch::new(), |batch, (_, _, step)| put(batch, step));
    let result = match all.and_then(commit) {
        Err(StoreError::BatchLength { .. } | StoreError::BatchBytes { .. }) => {
            steps.iter().try_for_each(|(_, _, step)| put(Batch::new(), step).and_then(commit))
        }
        other => other,
    };
    for (_, subject, step) in steps {
        if !step.persist.list.is_empty() && !planted!(StaleShares) {
            core.keys.forget(&subject.key);
            core.nonces.forget(&subject.key);
            core.have_changed(&step.persist.list);
        }
    }
    result.map_err(|e| core.store_fault(&e))
}

fn result(step: Step) -> v1::StepResult {
    match step.send {
        Ok(bytes) => v1::StepResult { outcome: Some(v1::step_result::Outcome::Done(bytes)) },
        Err(fault) => {
            if matches!(fault, StepFault::Impersonated(_)) {
                tracing::error!(error = %fault, "a key is frozen here");
            }
            refused(&fault)
        }
    }
}

fn refused(fault: &StepFault) -> v1::StepResult {
    fault_result(fault.code(), fault.to_string(), fault.culprits())
}

fn failed(text: &str) -> v1::StepResult {
    fault_result(fault::UNAVAILABLE, text.to_owned(), Vec::new())
}

fn fault_result(
    code: u16,
    message: String,
    culprits: Vec<quorate_types::NodeIndex>,
) -> v1::StepResult {
    let fault = v1::StepFault {
        code: u32::from(code),
        message,
        culprits: culprits.into_iter().map(|n| u32::from(n.get())).collect(),
    };
    v1::StepResult { outcome: Some(v1::step_result::Outcome::Fault(fault)) }
}
