//! Orders that hold here and are not in the audit log yet.
//!
//! An order is committed first and logged next. The commit carries a mark, which says how long
//! the log was; a later commit takes it away. Whatever lies between the two, a crash or a
//! refused entry, is found by the mark: at the next start, or when the order comes again.

use crate::{
    core::Core,
    records::{self, RecordError},
};
use quorate_rpc::Fault;
use quorate_store::Batch;
use quorate_types::{AuditEntry, Event, Format, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a process knows of its marks.
#[derive(Debug)]
pub(crate) struct Unlogged(Mutex<State>);

#[derive(Debug)]
struct State {
    /// There may be a mark whose order is not in the log.
    unsure: bool,
    /// Orders in the log whose marks are still there.
    logged: Vec<Hash>,
}

impl Default for Unlogged {
    /// A process does not know what the one before it left.
    fn default() -> Self {
        Self(Mutex::new(State { unsure: true, logged: Vec::new() }))
    }
}

impl Unlogged {
    /// From now on the marks are looked at before anything is answered.
    pub(crate) fn doubt(&self) {
        self.state().unsure = true;
    }

    /// Adds to a batch that marks of logged orders go. If the batch is not committed they
    /// stay, and the next start finds their orders in the log.
    pub(crate) fn sweep(&self, batch: Batch) -> Batch {
        let mut state = self.state();
        let keep = state.logged.len().saturating_sub(SWEPT);
        state.logged.split_off(keep).iter().fold(batch, records::delete_mark)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks that go with one batch, so that it stays below the store's limit.
const SWEPT: usize = 64;

/// Marks the orders among the events of a batch: they are logged once it is committed.
pub(crate) fn mark(core: &Core, batch: Batch, events: &[Event]) -> Batch {
    let (length, _) = core.store.audit_head();
    orders_of(events).fold(batch, |batch, order| records::put_mark(batch, order, length))
}

/// Logs events whose changes are committed.
pub(crate) fn log(core: &Core, events: Vec<Event>) -> Result<(), Fault> {
    let orders: Vec<Hash> = orders_of(&events).copied().collect();
    let result = core.log_all(events);
    let mut state = core.unlogged.state();
    match &result {
        // A crash here: the mark is there, and so is the entry.
        Ok(()) => state.logged.extend(orders),
        Err(_) => state.unsure |= !orders.is_empty(),
    }
    result
}

/// Logs what was committed and not logged; whoever comes meanwhile waits.
pub(crate) fn settle(core: &Core) -> Result<(), Fault> {
    let mut state = core.unlogged.state();
    if !state.unsure {
        return Ok(());
    }
    let failed = |e: RecordError| e.fault(core);
    let mut marked = Vec::new();
    let mut missing = Vec::new();
    for (order, length) in records::marks(&*core.store).map_err(failed)? {
        if !state.logged.contains(&order) {
            if !is_logged(core, &order, length)? {
                missing.push(Event::Order { order });
            }
            marked.push(order);
        }
    }
    if !missing.is_empty() {
        tracing::info!(orders = missing.len(), "logging orders that were applied before");
    }
    core.log_all(missing)?;
    state.logged.extend(marked);
    state.unsure = false;
    Ok(())
}

/// Whether an order's entry stands in the log, from where its mark says on. After so many
/// entries it is taken for missing: the log may say it twice, never not at all.
fn is_logged(core: &Core, order: &Hash, length: u64) -> Result<bool, Fault> {
    let mut from = length;
    while from < length.saturating_add(MAX_SEARCHED) {
        let leaves = core.store.audit_read(from, CHUNK).map_err(|e| core.store_fault(&e))?;
        let Some((last, _)) = leaves.last() else { return Ok(false) };
        from = last + 1;
        for (_, leaf) in &leaves {
            match AuditEntry::from_bytes(leaf) {
                Ok(AuditEntry { event: Event::Order { order: logged }, .. })
                    if logged == *order =>
                {
                    return Ok(true);
                }
                _ => {}
            }
        }
    }
    Ok(false)
}

/// Entries read at once.
const CHUNK: usize = 512;
/// Entries that are searched: an order is logged right after its commit.
const MAX_SEARCHED: u64 = 64 * 1024;

fn orders_of(events: &[Event]) -> impl Iterator<Item = &Hash> {
    events.iter().filter_map(|event| match event {
        Event::Order { order } => Some(order),
        _ => None,
    })
}
