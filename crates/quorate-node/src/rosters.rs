//! The roster chain at a node: longer ones are taken from whoever brings them, and kept.
//!
//! The file that the administrator gave has the genesis roster and whatever was known then.
//! The longer of file and store counts, and neither is ever taken back.

use crate::{
    core::Core,
    records::{self, RecordError},
};
use quorate_rpc::Fault;
use quorate_store::Batch;
use quorate_types::{Cluster, Format, RosterError, SignedRoster};
use std::sync::PoisonError;

/// At start: the longer of file and store, durable.
pub(crate) fn load(core: &Core) -> Result<(), LoadError> {
    let stored = records::rosters(&*core.store).map_err(|e| LoadError::Store(e.fault(core)))?;
    let cluster = core.cluster();
    if let Some(longer) = cluster.extended(&stored)? {
        core.set_cluster(longer);
    }
    keep(core, &core.cluster()).map_err(|e| LoadError::Store(e.fault(core)))
}

/// Why the roster chain is not to be had at start.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The store.
    Store(Fault),
    /// File and store have different rosters in one version.
    Fork(RosterError),
}

impl From<RosterError> for LoadError {
    fn from(error: RosterError) -> Self {
        Self::Fork(error)
    }
}

/// Takes newer rosters over; gives the version known then. Durable when this returns.
///
/// A crash before the commit: they are brought again. After it: they hold.
pub(crate) fn put(core: &Core, brought: &[Vec<u8>]) -> Result<u32, Fault> {
    let invalid = |e: &dyn std::fmt::Display| Fault::invalid(format!("the rosters: {e}"));
    let parsed = brought.iter().map(|bytes| SignedRoster::from_bytes(bytes));
    let parsed = parsed.collect::<Result<Vec<_>, _>>().map_err(|e| invalid(&e))?;
    let _one = core.roster_lock.lock().unwrap_or_else(PoisonError::into_inner);
    let known = core.cluster();
    let Some(longer) = known.extended(&parsed).map_err(|e| invalid(&e))? else {
        return Ok(known.roster().version);
    };
    keep(core, &longer).map_err(|e| e.fault(core))?;
    let version = longer.roster().version;
    core.set_cluster(longer);
    core.forget_shareless();
    tracing::info!(version, removed = core.removed(), "took a newer roster over");
    Ok(version)
}

/// What the store lacks of a chain.
fn keep(core: &Core, cluster: &Cluster) -> Result<(), RecordError> {
    let stored = records::last_roster(&*core.store)?;
    let mut batch = Batch::new();
    for (version, signed) in (1..).zip(cluster.chain()).skip(stored as usize) {
        batch = records::put_roster(batch, version, signed);
    }
    if !batch.is_empty() {
        core.store.commit(batch)?;
    }
    Ok(())
}

/// The rosters after a version, as many as fit into one message, with the newest version.
pub(crate) fn after(core: &Core, version: u32) -> (u32, Vec<Vec<u8>>) {
    let cluster = core.cluster();
    let mut bytes = 0;
    let later = cluster.chain().iter().skip(version as usize).map(Format::to_bytes);
    let fit = later.enumerate().take_while(|(at, roster)| {
        bytes += roster.len();
        *at == 0 || bytes <= PAGE_BYTES
    });
    (cluster.roster().version, fit.map(|(_, roster)| roster).collect())
}

/// What fits into one message.
const PAGE_BYTES: usize = 1024 * 1024 - 64 * 1024;
