//! The end of a key: what an order has said is done when its time has come, by this node's own
//! clock.
//!
//! First the tombstone: from then on the key is gone, whatever happens. Then every attempt of
//! every version is erased, shares, pending shares and ceremony secrets with the keys that open
//! them. Then the audit entry, and last the tombstone says that it is done, which the receipt
//! repeats. A crash between any two leaves the time of the deletion where it was, so that the
//! next start goes on; what is done twice changes nothing.
//!
//! A process that waits in quarantine destroys nothing yet: it may not have heard that the
//! deletion was cancelled.

use crate::{
    core::Core,
    exports,
    locks::Subject as Lock,
    quarantine::{self, Standing},
    records::{self, RecordError},
    states::{self, Tombstone},
};
use quorate_rpc::Fault;
use quorate_store::Batch;
use quorate_types::{Destroyed, Event, KeyName, Millis};
use std::{sync::Weak, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often it is looked what is due.
const EVERY: Duration = Duration::from_secs(1);
/// Keys that are destroyed at once: others wait for their locks, not for all.
const AT_ONCE: usize = 64;
/// Attempts that are erased with one commit; each may have a bundle of some 100 KiB.
const ATTEMPTS: usize = 32;

/// Destroys what is due until told to stop.
pub(crate) async fn run(core: Weak<Core>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        let Some(core) = core.upgrade() else { return };
        let swept = tokio::task::spawn_blocking(move || sweep(&core)).await;
        match swept {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::warn!(%fault, "a deletion is due and not done yet"),
            Err(_) => return,
        }
    }
}

/// Destroys what is due, if this process knows what holds.
pub(crate) fn sweep(core: &Core) -> Result<(), Fault> {
    // One that has left the roster is told nothing more, and has no use for its shares.
    let knows = core.removed() || quarantine::standing(core) == Standing::Free;
    if core.has_failed() || !knows {
        return Ok(());
    }
    let due = states::due(&*core.store, core.now().wall, AT_ONCE).map_err(|e| e.fault(core))?;
    for (at, name) in due {
        destroy(core, &name, at)?;
    }
    exports::sweep(core)
}

fn destroy(core: &Core, name: &KeyName, due: Millis) -> Result<(), Fault> {
    let failed = |e: RecordError| e.fault(core);
    let stored = |e| core.store_fault(&e);
    let _held = core.locks.hold([Lock::Key(name.clone())].into());
    let store = &*core.store;
    let tombstone = match states::tombstone(store, name).map_err(failed)? {
        Some(tombstone) => tombstone,
        None => {
            // It may have been cancelled since, or moved.
            let held = states::held(store, name).map_err(failed)?;
            let stated = held.as_ref().and_then(|h| h.state.deletion);
            let waits = states::waiting(store, name).map_err(failed)?.or(stated) == Some(due);
            let Some(order) = held.filter(|_| waits) else {
                let batch = states::not_due(Batch::new(), due, name);
                return store.commit(batch).map_err(stored);
            };
            let at = core.now().wall;
            let destroyed = Destroyed { key: name.clone(), order: order.hash, at };
            let tombstone = Tombstone { destroyed, done: false };
            let batch = order.state.aliases.iter().fold(Batch::new(), states::delete_alias);
            let batch = records::delete_serving(store, batch, name).map_err(failed)?;
            // A crash after it: the key is gone, and what is left of it goes at the next start.
            let result = store.commit(states::put_tombstone(batch, &tombstone, due));
            core.forget_key(name);
            result.map_err(stored)?;
            tombstone
        }
    };
    erase(core, name)?;
    let Destroyed { order, .. } = tombstone.destroyed;
    // A crash after it: the entry stands twice, and nothing else happens.
    core.log(Event::Destroyed { key: name.clone(), order })?;
    let done = Tombstone { done: true, ..tombstone };
    let batch = records::delete_standings(store, Batch::new(), name).map_err(failed)?;
    store.commit(states::put_tombstone(batch, &done, due)).map_err(stored)?;
    core.forget_key(name);
    tracing::warn!(key = %name, order = %order.short(), "destroyed a key, as an order said");
    Ok(())
}

/// Erases all attempts of all versions, and what was sealed for an export.
fn erase(core: &Core, name: &KeyName) -> Result<(), Fault> {
    let store = &*core.store;
    while let Some(batch) = exports::forget(store, name).map_err(|e| e.fault(core))? {
        store.commit(batch).map_err(|e| core.store_fault(&e))?;
    }
    loop {
        let attempts = records::attempts(store, name, ATTEMPTS).map_err(|e| e.fault(core))?;
        if attempts.is_empty() {
            return Ok(());
        }
        let batch = attempts.iter().try_fold(Batch::new(), records::erase_attempt);
        let committed = batch.and_then(|batch| store.commit(batch));
        committed.map_err(|e| core.store_fault(&e))?;
    }
}
