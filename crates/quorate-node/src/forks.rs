//! Forks of order chains: noted with their evidence, and ended by an order that names both.
//!
//! Of two orders that follow the same one, the first that came is kept. From then on the
//! chain takes nothing, since it may go on differently at other nodes, until `m` operators
//! have said which stays. Then each node that holds the other one cuts its chain back.

mod end;
mod kept;

pub(crate) use end::{End, end};
pub(crate) use kept::delete_cut;

use crate::{
    core::Core,
    records::{self, RecordError},
};
use kept::Verdict;
use quorate_ceremony::{ChainFault, Change, Fault as StepFault, Request, Step};
use quorate_crypto::{PublicKey, hash::Label};
use quorate_rpc::{Fault, FaultKind};
use quorate_store::Batch;
use quorate_types::{ChainId, Event, Format, Hash, Order, SignedOrder, VerifiedOrder};
use std::collections::BTreeSet;

/// How far back a fork is looked for, and a chain is cut.
pub(crate) const MAX_BACK: usize = 64;

/// Whether an order holds here: it was applied, and its chain was not cut back since.
pub(crate) fn holds(core: &Core, order: &Hash) -> Result<bool, Fault> {
    let store = &*core.store;
    let held = records::order(store, order)
        .and_then(|known| Ok(known.is_some() && !kept::is_cut(store, order)?));
    held.map_err(|e| e.fault(core))
}

/// Notes that `second` follows the same order as `first`, which stays for now. Gives what
/// whoever brought it is told.
pub(crate) fn note(core: &Core, first: &Hash, second: &VerifiedOrder) -> Result<Fault, Fault> {
    let failed = |e: RecordError| e.fault(core);
    let (store, refused) = (&*core.store, second.hash());
    let who = who_signed_both(core, first, second.signed()).map_err(failed)?;
    let mut batch = Batch::new();
    if kept::refused(store, &refused).map_err(failed)?.is_none() {
        batch = kept::put_refused(batch, &refused, second.signed());
    }
    if let Some(chain) = second.order().chain()
        // A second fork waits until the first has ended: its order comes again then.
        && kept::open(store, &chain).map_err(failed)?.is_none()
    {
        batch = kept::put_open(batch, &chain, first, &refused);
        tracing::warn!(stays = %first, %refused, signed_both = who, "two orders follow one");
    }
    if !batch.is_empty() {
        // A crash after it: the fork is noted, and whoever brings the order is told again.
        store.commit(batch).map_err(|e| core.store_fault(&e))?;
    }
    Ok(Fault::new(
        FaultKind::AlreadyExists,
        format!(
            "order {first} has taken the place of {refused} in its chain; {}. Signed both: {who}",
            advice(first, &refused)
        ),
    ))
}

/// Why a chain takes no order: a fork of it has not ended.
pub(crate) fn blocked(core: &Core, chain: &ChainId) -> Result<Option<Fault>, Fault> {
    let failed = |e: RecordError| e.fault(core);
    let Some((first, refused)) = kept::open(&*core.store, chain).map_err(failed)? else {
        return Ok(None);
    };
    let second = kept::refused(&*core.store, &refused).map_err(failed)?;
    let second = second.ok_or_else(|| failed(RecordError::Damaged("forked order")))?;
    let who = who_signed_both(core, &first, &second).map_err(failed)?;
    let text = format!(
        "orders {first} and {refused} follow the same one; {}. Signed both: {who}",
        advice(&first, &refused)
    );
    Ok(Some(Fault::new(FaultKind::FailedPrecondition, text)))
}

/// Why an order is refused for good: operators have said that another one stays.
pub(crate) fn fell(core: &Core, order: &Hash) -> Result<Option<Fault>, Fault> {
    let verdict = kept::verdict(&*core.store, order).map_err(|e| e.fault(core))?;
    let Some((Verdict::Falls, by)) = verdict else { return Ok(None) };
    let text = format!("order {by} has said that another one stays in the place of {order}");
    Ok(Some(Fault::new(FaultKind::AlreadyExists, text)))
}

/// Holds a ceremony's step to the forks of its key's chain: a step brings orders too.
pub(crate) fn guard(core: &Core, request: &Request, mut step: Step) -> Result<Step, Fault> {
    if let Request::Prepare(prepare) = request
        && let Err(StepFault::Chain(ChainFault::Forked { first, .. })) = &step.send
        && let Ok(second) = VerifiedOrder::verify(&core.cluster(), &prepare.order)
        && second.check_fresh(core.now().wall).is_ok()
        && fell(core, &second.hash())?.is_none()
    {
        note(core, first, &second)?;
    }
    let Some(fault) = refuses(core, &step).map_err(|e| e.fault(core))? else { return Ok(step) };
    if let Request::Retire(_) = request {
        // What a certificate proves has happened, whatever became of the order. It is kept,
        // and its order takes no place in the chain.
        step.persist.list.retain(|change| !matches!(change, Change::Head(_)));
        step.audit.retain(|event| !matches!(event, Event::Order { .. }));
        return Ok(step);
    }
    step.persist.list.clear();
    step.audit.clear();
    step.send = Err(fault.into());
    Ok(step)
}

fn refuses(core: &Core, step: &Step) -> Result<Option<ChainFault>, RecordError> {
    let store = &*core.store;
    for change in &step.persist.list {
        let Change::Head(order) = change else { continue };
        let second = order.hash();
        if let Some((Verdict::Falls, by)) = kept::verdict(store, &second)? {
            let first = stays_by(store, &by)?;
            return Ok(Some(ChainFault::Forked { first, second }));
        }
        if let Some(chain) = order.order().chain()
            && let Some((first, second)) = kept::open(store, &chain)?
        {
            return Ok(Some(ChainFault::Forked { first, second }));
        }
    }
    Ok(None)
}

/// The order that an order which ended a fork let stay.
fn stays_by(store: &dyn quorate_store::Store, by: &Hash) -> Result<Hash, RecordError> {
    let damaged = || RecordError::Damaged("order that ended a fork");
    let signed = records::order(store, by)?.ok_or_else(damaged)?;
    Ok(Order::from_bytes(&signed.0.body).map_err(|_| damaged())?.predecessor)
}

fn advice(first: &Hash, refused: &Hash) -> String {
    format!(
        "their chain takes no order until operators have said which stays: \
         `quorate order resolve {first} {refused}`, or the other way round"
    )
}

/// The operators whose signatures stand under both.
fn who_signed_both(core: &Core, first: &Hash, second: &SignedOrder) -> Result<String, RecordError> {
    let cluster = core.cluster();
    let signers = |signed: &SignedOrder| -> BTreeSet<PublicKey> {
        let operator = |k: &PublicKey| cluster.roster().is_operator(k);
        signed.0.valid(Label::SIG_ORDER, core.fingerprint(), operator).collect()
    };
    let Some(first) = records::order(&*core.store, first)? else { return Ok("nobody".into()) };
    let (a, b) = (signers(&first), signers(second));
    let operators = cluster.roster().operators.iter();
    let both: Vec<String> = operators
        .filter(|o| a.contains(&o.key) && b.contains(&o.key))
        .map(|o| o.name.to_string())
        .collect();
    Ok(if both.is_empty() { "nobody".into() } else { both.join(", ") })
}
