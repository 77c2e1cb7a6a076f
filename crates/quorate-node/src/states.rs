//! How keys are, as orders say it: disabled, tagged, waiting for their deletion, destroyed.
//!
//! ```text
//! orders    's' ‖ key name                     hash of the order with the highest revision
//!           'a' ‖ alias                        the key's name
//!           'd' ‖ deletion time u64 ‖ key name  empty: the key waits for its deletion, here until then
//!           'l' ‖ key name                     that time
//!           't' ‖ key name                     Tombstone
//! ```

use crate::{
    core::Core,
    records::{self, Read, RecordError, get, tagged},
};
use quorate_ceremony::{Request, VersionState, fault};
use quorate_rpc::{
    Fault, FaultKind,
    v1::{KeyStateResponse, NodeKeyState},
};
use quorate_store::{Batch, Store, Tree};
use quorate_types::{
    Action, ChainId, CodecError, Destroyed, DestroyedReceipt, Format, Hash, KeyName, KeyVersion,
    Millis, Order, Part, Reader, RefusalReason, SetKeyState, SignedOrder, VerifiedOrder, Writer,
    key_state::DELETION_WAIT, order::ORDER_CLOCK_SLACK,
};

/// The newest order about how a key is, and what it says.
pub(crate) struct Held {
    pub(crate) hash: Hash,
    pub(crate) state: SetKeyState,
    signed: SignedOrder,
}

/// What stays of a key that was deleted. From its first commit on the key is gone, whatever
/// becomes of the process; `done` once nothing of it is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) destroyed: Destroyed,
    pub(crate) done: bool,
}

impl Part for Tombstone {
    fn write(&self, w: &mut Writer) {
        self.destroyed.write(w);
        w.bool(self.done);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { destroyed: Part::read(r)?, done: r.bool("done")? })
    }
}

impl Format for Tombstone {
    const KIND: &'static str = "QTMB";
}

/// The newest order about how a key is.
pub(crate) fn held(store: &dyn Store, name: &KeyName) -> Read<Option<Held>> {
    let damaged = || RecordError::Damaged("state of a key");
    let Some(bytes) = store.get(Tree::Orders, &of_key(b's', name))? else { return Ok(None) };
    let hash = Hash(bytes[..].try_into().map_err(|_| damaged())?);
    let signed = records::order(store, &hash)?.ok_or_else(damaged)?;
    match Order::from_bytes(&signed.0.body).map_err(|_| damaged())?.action {
        Action::SetKeyState(state) => Ok(Some(Held { hash, state, signed })),
        _ => Err(damaged()),
    }
}

/// What is left of a key that was deleted here.
pub(crate) fn tombstone(store: &dyn Store, name: &KeyName) -> Read<Option<Tombstone>> {
    get(store, Tree::Orders, &of_key(b't', name), "tombstone")
}

/// Why a version of a key refuses every use, if it does.
pub(crate) fn refuses(
    store: &dyn Store,
    name: &KeyName,
    version: KeyVersion,
) -> Read<Option<RefusalReason>> {
    if tombstone(store, name)?.is_some() {
        return Ok(Some(RefusalReason::Destroyed));
    }
    let Some(Held { state, .. }) = held(store, name)? else { return Ok(None) };
    let disabled = state.disabled.has(version).then_some(RefusalReason::Disabled);
    Ok(state.deletion.map(|_| RefusalReason::PendingDeletion).or(disabled))
}

/// The key that has an alias.
pub(crate) fn alias(store: &dyn Store, alias: &KeyName) -> Read<Option<KeyName>> {
    let Some(bytes) = store.get(Tree::Orders, &of_key(b'a', alias))? else { return Ok(None) };
    let name = std::str::from_utf8(&bytes).ok().and_then(|name| KeyName::new(name).ok());
    name.map(Some).ok_or(RecordError::Damaged("alias"))
}

/// Whether what an order says of a key holds already. If not, it may be applied now.
pub(crate) fn is_applied(core: &Core, order: &VerifiedOrder) -> Result<bool, Fault> {
    let failed = |e: RecordError| e.fault(core);
    let store = &*core.store;
    let Some(state) = order.key_state() else {
        return named_freely(core, order).map(|()| false);
    };
    let name = &state.name;
    if tombstone(store, name).map_err(failed)?.is_some() {
        return match state.deletion {
            Some(_) => Ok(true),
            None => Err(gone(name)),
        };
    }
    if records::head(store, &ChainId::Key(name.clone())).map_err(failed)?.is_none() {
        let text = format!("no order has made key {name} here; bring that first");
        return Err(Fault::new(FaultKind::FailedPrecondition, text));
    }
    if let Some(held) = held(store, name).map_err(failed)? {
        let (new, old) = (state.revision, held.state.revision);
        if new == old && held.state == *state {
            return Ok(true);
        }
        let next = old.saturating_add(1);
        if new == old {
            let text = format!(
                "revision {old} of key {name} was ordered otherwise (order {}); order revision \
                 {next}",
                held.hash
            );
            return Err(Fault::new(FaultKind::AlreadyExists, text));
        }
        if new < old {
            let text = format!(
                "revision {new} of key {name} is superseded: {old} holds here; order revision {next}"
            );
            return Err(Fault::new(FaultKind::AlreadyExists, text));
        }
    }
    aliases_are_free(core, state)?;
    may_wait(core, order, state)?;
    Ok(false)
}

fn aliases_are_free(core: &Core, state: &SetKeyState) -> Result<(), Fault> {
    let failed = |e: RecordError| e.fault(core);
    for wanted in &state.aliases {
        let chain = ChainId::Key(wanted.clone());
        if records::head(&*core.store, &chain).map_err(failed)?.is_some() {
            let text = format!("{wanted} is the name of a key; choose another alias");
            return Err(Fault::new(FaultKind::AlreadyExists, text));
        }
        let holder = alias(&*core.store, wanted).map_err(failed)?;
        if let Some(other) = holder.filter(|name| *name != state.name) {
            // Its newer state may be on its way.
            let text = format!("{wanted} is an alias of key {other}; take it from there first");
            return Err(Fault::new(FaultKind::FailedPrecondition, text));
        }
    }
    Ok(())
}

/// A deletion before the shortest waiting time needs a key that was made with that right, in every
/// version: none gains it by a rotation.
fn may_wait(core: &Core, order: &VerifiedOrder, state: &SetKeyState) -> Result<(), Fault> {
    let quick = state.is_quick(order.order().issued_at);
    if !quick || goes_quickly(&*core.store, &state.name).map_err(|e| e.fault(core))? {
        return Ok(());
    }
    let text = format!(
        "key {} was not made with the right to a quick deletion: it waits for 7 days at least",
        state.name
    );
    Err(Fault::invalid(text))
}

fn goes_quickly(store: &dyn Store, name: &KeyName) -> Read<bool> {
    let orders = records::makers(store, name)?;
    Ok(!orders.is_empty() && orders.iter().all(|create| create.rights.quick_deletion))
}

/// When this node destroys its shares: not before the shortest time has gone by since it heard of
/// it. An order that was kept back until its time had come would leave nobody any to cancel it.
fn waits_until(store: &dyn Store, state: &SetKeyState, now: Millis) -> Read<Option<Millis>> {
    let (name, Some(stated)) = (&state.name, state.deletion) else { return Ok(None) };
    if goes_quickly(store, name)? {
        return Ok(Some(stated));
    }
    let heard = now.plus(DELETION_WAIT.start() - ORDER_CLOCK_SLACK);
    Ok(Some(stated.max(heard)))
}

/// When this node destroys its shares of a key, if it is going to.
pub(crate) fn waiting(store: &dyn Store, name: &KeyName) -> Read<Option<Millis>> {
    let Some(bytes) = store.get(Tree::Orders, &of_key(b'l', name))? else { return Ok(None) };
    let bytes = <[u8; 8]>::try_from(&bytes[..]);
    let bytes = bytes.map_err(|_| RecordError::Damaged("time of a deletion"))?;
    Ok(Some(Millis(u64::from_be_bytes(bytes))))
}

/// A chained order finds its key there, and the name of a new one free.
fn named_freely(core: &Core, order: &VerifiedOrder) -> Result<(), Fault> {
    let chain = order.order().chain();
    let Some(name) = chain.as_ref().and_then(ChainId::key) else { return Ok(()) };
    let failed = |e: RecordError| e.fault(core);
    if tombstone(&*core.store, name).map_err(failed)?.is_some() {
        return Err(gone(name));
    }
    match alias(&*core.store, name).map_err(failed)? {
        Some(other) => Err(Fault::new(FaultKind::AlreadyExists, taken(name, &other))),
        None => Ok(()),
    }
}

/// Why a ceremony does not go on for a key: code and words.
pub(crate) fn holds_back(
    store: &dyn Store,
    name: &KeyName,
    request: &Request,
    state: &VersionState,
) -> Read<Option<(u16, String)>> {
    if !matches!(request, Request::Survey(_)) && tombstone(store, name)?.is_some() {
        return Ok(Some((fault::DESTROYED, gone(name).message)));
    }
    if matches!(request, Request::Prepare(_))
        && state.head.is_none()
        && let Some(other) = alias(store, name)?
    {
        return Ok(Some((fault::NAME_TAKEN, taken(name, &other))));
    }
    Ok(None)
}

pub(crate) fn gone(name: &KeyName) -> Fault {
    let text = format!(
        "key {name} was deleted, and this node has destroyed what it held of it: nothing brings \
         it back, and no other key gets its name"
    );
    Fault::new(FaultKind::AlreadyExists, text)
}

fn taken(name: &KeyName, other: &KeyName) -> String {
    format!("{name} is an alias of key {other}; choose another name, or take the alias away first")
}

/// Keeps what an order says of a key in the place of what holds.
pub(crate) fn put(
    store: &dyn Store,
    mut batch: Batch,
    order: &VerifiedOrder,
    state: &SetKeyState,
    now: Millis,
) -> Read<Batch> {
    let name = &state.name;
    let old = held(store, name)?.map(|held| held.state);
    for alias in old.iter().flat_map(|old| &old.aliases) {
        batch = delete_alias(batch, alias);
    }
    if let Some(at) = waiting(store, name)?.or(old.and_then(|old| old.deletion)) {
        batch = no_more_due(batch, at, name);
    }
    for alias in &state.aliases {
        batch = batch.put(Tree::Orders, of_key(b'a', alias), name.as_str().as_bytes());
    }
    if let Some(at) = waits_until(store, state, now)? {
        batch = batch.put(Tree::Orders, due_key(at, name), Vec::new());
        batch = batch.put(Tree::Orders, of_key(b'l', name), at.0.to_be_bytes().to_vec());
    }
    let hash = order.hash().as_bytes().to_vec();
    Ok(batch.put(Tree::Orders, of_key(b's', name), hash))
}

/// Keys whose time has come, with it, at most `limit`.
pub(crate) fn due(store: &dyn Store, now: Millis, limit: usize) -> Read<Vec<(Millis, KeyName)>> {
    let mut all = Vec::new();
    for (key, _) in store.scan(Tree::Orders, b"d", None, limit)? {
        let read = |key: &[u8]| {
            let (at, name) = key.get(1..)?.split_first_chunk::<8>()?;
            let name = KeyName::new(std::str::from_utf8(name).ok()?).ok()?;
            Some((Millis(u64::from_be_bytes(*at)), name))
        };
        let one = read(&key).ok_or(RecordError::Damaged("time of a deletion"))?;
        if one.0 > now {
            break;
        }
        all.push(one);
    }
    Ok(all)
}

/// Keeps what is left of a key. Once it is done, it waits no more.
pub(crate) fn put_tombstone(batch: Batch, tombstone: &Tombstone, due: Millis) -> Batch {
    let name = &tombstone.destroyed.key;
    let batch = batch.put(Tree::Orders, of_key(b't', name), tombstone.to_bytes());
    if tombstone.done { no_more_due(batch, due, name) } else { batch }
}

/// Gives an alias back: other keys may have it.
pub(crate) fn delete_alias(batch: Batch, alias: &KeyName) -> Batch {
    batch.delete(Tree::Orders, of_key(b'a', alias))
}

/// It does not wait for its deletion at that time.
pub(crate) fn not_due(batch: Batch, at: Millis, name: &KeyName) -> Batch {
    batch.delete(Tree::Orders, due_key(at, name))
}

/// It waits for its deletion no more.
fn no_more_due(batch: Batch, at: Millis, name: &KeyName) -> Batch {
    not_due(batch, at, name).delete(Tree::Orders, of_key(b'l', name))
}

/// What a node says of how a key is, by its name or an alias.
pub(crate) fn show(core: &Core, name: &str) -> Result<KeyStateResponse, Fault> {
    let failed = |e: RecordError| e.fault(core);
    let store = &*core.store;
    let mut name = KeyName::new(name).map_err(|e| Fault::invalid(e.to_string()))?;
    if let Some(key) = alias(store, &name).map_err(failed)? {
        name = key;
    }
    let held = held(store, &name).map_err(failed)?;
    let done = tombstone(store, &name).map_err(failed)?.filter(|t| t.done);
    let receipt = done.map(|t| {
        DestroyedReceipt::sign(t.destroyed, core.index(), core.fingerprint(), &core.identity)
    });
    let own = NodeKeyState {
        node: u32::from(core.index().get()),
        revision: held.as_ref().map_or(0, |h| h.state.revision),
        receipt: receipt.map(|r| r.to_bytes()).unwrap_or_default(),
        reason: String::new(),
    };
    let orders = held.into_iter().map(|h| h.signed.to_bytes()).collect();
    Ok(KeyStateResponse { orders, nodes: vec![own] })
}

fn of_key(tag: u8, name: &KeyName) -> Vec<u8> {
    tagged(tag, name.as_str().as_bytes())
}

fn due_key(at: Millis, name: &KeyName) -> Vec<u8> {
    tagged(b'd', &[&at.0.to_be_bytes()[..], name.as_str().as_bytes()].concat())
}
