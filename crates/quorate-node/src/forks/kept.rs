//! What a node keeps of forks; the places are those of `records.rs`.

use crate::records::{Read, RecordError, get, head_key, tagged};
use quorate_store::{Batch, Store, Tree};
use quorate_types::{ChainId, Format, Hash, SignedOrder};

/// What an order that ended a fork has said of one that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Stays = 1,
    Falls = 2,
}

/// An order that was refused because another has its place.
pub(crate) fn refused(store: &dyn Store, order: &Hash) -> Read<Option<SignedOrder>> {
    get(store, Tree::Orders, &tagged(b'x', order.as_bytes()), "forked order")
}

/// Keeps it: evidence against who signed both.
pub(crate) fn put_refused(batch: Batch, order: &Hash, signed: &SignedOrder) -> Batch {
    batch.put(Tree::Orders, tagged(b'x', order.as_bytes()), signed.to_bytes())
}

/// The fork that blocks a chain: the order that stays for now, and the refused one.
pub(crate) fn open(store: &dyn Store, chain: &ChainId) -> Read<Option<(Hash, Hash)>> {
    let Some(bytes) = store.get(Tree::Orders, &open_key(chain))? else { return Ok(None) };
    let both = <[u8; 64]>::try_from(&bytes[..]).map_err(|_| RecordError::Damaged("open fork"))?;
    let hash = |half: &[u8]| half.try_into().ok().map(Hash);
    Ok(hash(&both[..32]).zip(hash(&both[32..])))
}

/// Blocks a chain.
pub(crate) fn put_open(batch: Batch, chain: &ChainId, first: &Hash, refused: &Hash) -> Batch {
    let both = [*first.as_bytes(), *refused.as_bytes()].concat();
    batch.put(Tree::Orders, open_key(chain), both)
}

/// Opens a chain again.
pub(crate) fn delete_open(batch: Batch, chain: &ChainId) -> Batch {
    batch.delete(Tree::Orders, open_key(chain))
}

fn open_key(chain: &ChainId) -> Vec<u8> {
    tagged(b'y', &head_key(chain))
}

/// What was said of an order, and the hash of the order that said so.
pub(crate) fn verdict(store: &dyn Store, order: &Hash) -> Read<Option<(Verdict, Hash)>> {
    let Some(bytes) = store.get(Tree::Orders, &tagged(b'w', order.as_bytes()))? else {
        return Ok(None);
    };
    let damaged = || RecordError::Damaged("verdict");
    let (word, by) = bytes.split_first().ok_or_else(damaged)?;
    let verdict = match word {
        1 => Verdict::Stays,
        2 => Verdict::Falls,
        _ => return Err(damaged()),
    };
    Ok(Some((verdict, Hash(by.try_into().map_err(|_| damaged())?))))
}

/// Keeps what `by` has said.
pub(crate) fn put_verdict(batch: Batch, order: &Hash, verdict: Verdict, by: &Hash) -> Batch {
    let value = [&[verdict as u8], &by.as_bytes()[..]].concat();
    batch.put(Tree::Orders, tagged(b'w', order.as_bytes()), value)
}

/// Whether an applied order was cut from its chain.
pub(crate) fn is_cut(store: &dyn Store, order: &Hash) -> Read<bool> {
    Ok(store.get(Tree::Orders, &tagged(b'z', order.as_bytes()))?.is_some())
}

/// Cuts an order from its chain; it is still listed.
pub(crate) fn put_cut(batch: Batch, order: &Hash) -> Batch {
    batch.put(Tree::Orders, tagged(b'z', order.as_bytes()), vec![1])
}

/// An order that is applied is in its chain.
pub(crate) fn delete_cut(batch: Batch, order: &Hash) -> Batch {
    batch.delete(Tree::Orders, tagged(b'z', order.as_bytes()))
}
