//! What a node reads before it serves: clients, orders, and whom it has already answered.

use crate::{
    core::Core,
    home,
    orders::{self, Applied},
    planted::planted,
    records, unlogged,
};
use quorate_rpc::Fault;
use quorate_types::{
    AuditEntry, Decision, Event, Format, Hash, Millis, RefusalReason, RequestHead,
    armor::{self, Title},
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

/// Fills memory from the store.
pub(crate) fn load(core: &Core) -> Result<(), Fault> {
    let failed = |e: records::RecordError| e.fault(core);
    for (client, standing) in records::clients(&*core.store).map_err(failed)? {
        match standing {
            crate::clients::Standing::Known => core.clients.add(client),
            crate::clients::Standing::Revoked => core.clients.revoke(client),
        }
    }
    let sequence = records::last_sequence(&*core.store).map_err(failed)?;
    core.order_sequence.store(sequence, Ordering::SeqCst);
    unlogged::settle(core)?;
    refill_replay(core)
}

/// Entries read at once from the audit log's tail.
const CHUNK: u64 = 512;

/// Remembers the requests of earlier processes that could still come back.
///
/// Reads backwards until entries are older than any live request. If the log says that the
/// clock has jumped, or there are more requests than are remembered, it cannot know them
/// all: then what was issued before this start is refused.
fn refill_replay(core: &Core) -> Result<(), Fault> {
    if planted!(ReplayForgotten) {
        return Ok(());
    }
    let now = core.now();
    let window = u64::try_from(core.window.as_millis()).unwrap_or(u64::MAX);
    let oldest = Millis(now.wall.0.saturating_sub(
        u64::from(quorate_types::request::MAX_TTL).saturating_add(window.saturating_mul(2)),
    ));
    let (mut end, _) = core.store.audit_head();
    let (mut complete, mut later) = (true, Millis(u64::MAX));
    'read: while end > 0 {
        let begin = end.saturating_sub(CHUNK);
        let count = usize::try_from(end - begin).unwrap_or(0);
        let leaves = core.store.audit_read(begin, count).map_err(|e| core.store_fault(&e))?;
        for (_, leaf) in leaves.iter().rev() {
            let Ok(entry) = AuditEntry::from_bytes(leaf) else { continue };
            // Against the log's order the times go down, give or take.
            if entry.at > later.plus(window) || entry.at > now.wall.plus(window) {
                complete = false;
                break 'read;
            }
            later = entry.at;
            if entry.at < oldest {
                break 'read;
            }
            if let Some((head, hash)) = remembered(core, &entry) {
                complete &= core
                    .replay(|cache| !cache.matters(&head, now) || cache.remember(&head, hash, now));
            }
        }
        end = begin;
    }
    if !complete && !planted!(NoFence) {
        tracing::warn!("earlier requests cannot all be known; those issued before now are refused");
        core.replay(|cache| cache.fence(now.wall.plus(window)));
    }
    Ok(())
}

fn remembered(core: &Core, entry: &AuditEntry) -> Option<(RequestHead, Hash)> {
    let Event::Request { head, decision, .. } = &entry.event else { return None };
    // The id belongs to another request, further back.
    if *decision == Decision::Refused(RefusalReason::Replayed) {
        return None;
    }
    let hash = RequestHead::hash(core.fingerprint(), head);
    RequestHead::from_bytes(head).ok().map(|head| (head, hash))
}

/// The largest order file.
const MAX_ORDER: u64 = 256 * 1024;
/// The most files that are looked at.
const MAX_FILES: usize = 10_000;

/// Applies the orders in a directory. They may depend on one another in any order, so it
/// goes on as long as one more applies; what is left is reported, and stops nothing.
pub(crate) fn import_orders(core: &Core, dir: &Path) {
    let mut left: Vec<(PathBuf, Vec<u8>)> = order_files(dir);
    loop {
        let before = left.len();
        let mut faults = Vec::new();
        left.retain(|(path, bytes)| match orders::submit(core, bytes) {
            Ok((Applied::Now | Applied::Before, _)) => false,
            Err(fault) => {
                faults.push((path.clone(), fault));
                true
            }
        });
        if left.is_empty() || left.len() == before {
            for (path, fault) in faults {
                tracing::warn!(path = %path.display(), %fault, "an order was not applied");
            }
            return;
        }
    }
}

fn order_files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.is_file())
        .take(MAX_FILES)
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = home::read_text(&path, MAX_ORDER).ok()?;
        match armor::decode(Title::ORDER, &text) {
            Ok(bytes) => Some((path, bytes)),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "not an order file");
                None
            }
        }
    };
    paths.into_iter().filter_map(read).collect()
}
