//! One process of the node: which start of its store it is, and how far the store was then.
//!
//! ```text
//! orders    'b' ‖ boots u64       boot id ‖ manifest sequence u64 ‖ audit log length u64
//! ```

use crate::{
    core::Core,
    entropy,
    records::{Read, RecordError, tagged},
};
use quorate_store::{Batch, Store, Tree};
use quorate_types::{BootId, Checkpoint, Extent, Hash, Millis, SignedCheckpoint};
use rand::Rng;
use std::sync::{Mutex, PoisonError};

/// Starts of a store that it remembers. A node that is shown where an earlier process was,
/// compares with the start after that one; of older ones, with the oldest that it remembers.
const REMEMBERED: usize = 1024;

/// One start of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) boots: u64,
    pub(crate) boot: BootId,
    /// How far the store was before this process wrote anything.
    pub(crate) began: Extent,
}

/// The process that this is.
pub(crate) struct Life {
    /// This start.
    pub(crate) this: Start,
    pub(crate) started: Millis,
    /// The starts before it, oldest first.
    earlier: Vec<Start>,
    /// One statement after the other: of two, one is not behind the other in anything.
    stating: Mutex<()>,
}

impl Life {
    /// Counts a start of the store. Durable when this returns, before anything is stated:
    /// no two starts of one store have the same number.
    ///
    /// Whoever has written into the store before, in this process, has moved it on; so this
    /// comes first.
    pub(crate) fn begin(store: &dyn Store, now: Millis) -> Read<Self> {
        let began = extent(store).0;
        let mut earlier = starts(store)?;
        let boots = earlier.last().map_or(0, |s| s.boots).checked_add(1);
        let boots = boots.ok_or(RecordError::Damaged("start"))?;
        let mut boot = BootId::default();
        entropy::rng().fill_bytes(&mut boot.0);
        let this = Start { boots, boot, began };
        let mut batch = Batch::new().put(Tree::Orders, key(boots), value(&this));
        let forgotten = (earlier.len() + 1).saturating_sub(REMEMBERED);
        for start in earlier.drain(..forgotten) {
            batch = batch.delete(Tree::Orders, key(start.boots));
        }
        store.commit(batch)?;
        Ok(Self { this, started: now, earlier, stating: Mutex::default() })
    }

    /// Whether a checkpoint that this identity has signed is of no process that led here, or
    /// of one that was further than the store that this process was given.
    pub(crate) fn is_behind(&self, here: &Checkpoint, seen: &Checkpoint) -> bool {
        seen.boots > here.boots
            || here.contradicts(seen)
            || (seen.boot == here.boot && seen.extent.exceeds(&here.extent))
            || self.denies(seen)
    }

    /// Whether the starts that the store remembers have no place for it.
    fn denies(&self, seen: &Checkpoint) -> bool {
        if seen.boots >= self.this.boots {
            return false;
        }
        let at = self.earlier.partition_point(|s| s.boots < seen.boots);
        let same = self.earlier.get(at).filter(|s| s.boots == seen.boots);
        if same.is_some_and(|s| s.boot != seen.boot) {
            return true;
        }
        let next = self.earlier.get(at + usize::from(same.is_some())).unwrap_or(&self.this);
        seen.extent.exceeds(&next.began)
    }
}

/// What the node states of itself at this moment; all of it is durable.
pub(crate) fn checkpoint(core: &Core) -> SignedCheckpoint {
    SignedCheckpoint::sign(state(core), core.fingerprint(), &core.identity)
}

pub(crate) fn state(core: &Core) -> Checkpoint {
    let life = &core.life;
    let _one = life.stating.lock().unwrap_or_else(PoisonError::into_inner);
    let (extent, head) = extent(&*core.store);
    Checkpoint {
        node: core.index(),
        boots: life.this.boots,
        boot: life.this.boot,
        started: life.started,
        began: life.this.began,
        extent,
        head,
        at: core.now().wall,
    }
}

fn extent(store: &dyn Store) -> (Extent, Hash) {
    let (sequence, _) = store.manifest_head();
    let (length, head) = store.audit_head();
    (Extent { sequence, length }, Hash(head))
}

fn starts(store: &dyn Store) -> Read<Vec<Start>> {
    let page = store.scan(Tree::Orders, b"b", None, 2 * REMEMBERED)?;
    page.iter().map(|(key, bytes)| start(key, bytes).ok_or(RecordError::Damaged("start"))).collect()
}

fn key(boots: u64) -> Vec<u8> {
    tagged(b'b', &boots.to_be_bytes())
}

fn value(start: &Start) -> Vec<u8> {
    let Extent { sequence, length } = start.began;
    [&start.boot.0[..], &sequence.to_be_bytes(), &length.to_be_bytes()].concat()
}

fn start(key: &[u8], bytes: &[u8]) -> Option<Start> {
    let boots = u64::from_be_bytes(key.get(1..)?.try_into().ok()?);
    let (boot, rest) = bytes.split_first_chunk::<16>()?;
    let (sequence, length) = rest.split_first_chunk::<8>()?;
    let length = u64::from_be_bytes(length.try_into().ok()?);
    let began = Extent { sequence: u64::from_be_bytes(*sequence), length };
    Some(Start { boots, boot: BootId(*boot), began })
}
