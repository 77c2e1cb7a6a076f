//! Orders at a node: verified, in sequence, applied once.

use crate::{
    clients::Standing,
    core::Core,
    exports,
    forks::{self, End},
    locks::Subject,
    records::{self, RecordError},
    states, unlogged,
};
use quorate_ceremony::{
    ChainFault, Follow,
    chain::{Heads, follow},
    fault::OTHER_PUBLIC_KEY,
};
use quorate_crypto::hash::Label;
use quorate_rpc::{Fault, FaultKind};
use quorate_store::Batch;
use quorate_types::{
    Action, AuditEntry, ChainId, Event, Format, Hash, ImportKey, KeyName, OrderError, SignedOrder,
    VerifiedOrder, order::LIFE_OVER,
};
use std::sync::atomic::Ordering;

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It holds from now on.
    Now,
    /// It held already.
    Before,
}

/// Applies an order: durable, and in the audit log, when this returns. Blocks.
///
/// An order proves itself, so anybody may bring it.
pub(crate) fn submit(core: &Core, bytes: &[u8]) -> Result<(Applied, Hash), Fault> {
    let order = read(core, bytes)?;
    let _held = core.locks.hold(subjects(&order).collect());
    let hash = order.hash();
    if is_applied(core, &order)? {
        return Ok((Applied::Before, hash));
    }
    apply(core, &[&order])?;
    Ok((Applied::Now, hash))
}

/// Applies orders as [`submit`] does, all that are new with one commit; what became of each,
/// in their order. Blocks.
pub(crate) fn submit_all(core: &Core, items: &[Vec<u8>]) -> Vec<Result<(), Fault>> {
    let orders: Vec<_> = items.iter().map(|bytes| read(core, bytes)).collect();
    let subjects = orders.iter().flatten().flat_map(subjects).collect();
    let _held = core.locks.hold(subjects);
    let mut results: Vec<Result<(), Fault>> = Vec::with_capacity(items.len());
    let mut group = Group::default();
    for (at, order) in orders.iter().enumerate() {
        results.push(order.as_ref().map(drop).map_err(Clone::clone));
        let Ok(order) = order else { continue };
        // What is looked at is what the group before it has left.
        if !group.takes(order) {
            group.apply(core, &mut results);
        }
        match is_applied(core, order) {
            Ok(true) => {}
            Ok(false) => group.push(at, order),
            Err(fault) => results[at] = Err(fault),
        }
    }
    group.apply(core, &mut results);
    results
}

/// New orders of different chains, that are applied with one commit; each with its place.
#[derive(Default)]
struct Group<'a>(Vec<(usize, &'a VerifiedOrder)>);

impl<'a> Group<'a> {
    /// Only orders of keys stand together: the others change what orders are looked at with.
    fn takes(&self, order: &VerifiedOrder) -> bool {
        let of_key =
            |o: &VerifiedOrder| o.order().chain().is_some_and(|chain| chain.key().is_some());
        let apart = |o: &VerifiedOrder| of_key(o) && subject(o) != subject(order);
        self.0.is_empty() || (of_key(order) && self.0.iter().all(|(_, o)| apart(o)))
    }

    fn push(&mut self, at: usize, order: &'a VerifiedOrder) {
        self.0.push((at, order));
    }

    fn apply(&mut self, core: &Core, results: &mut [Result<(), Fault>]) {
        let (places, orders): (Vec<usize>, Vec<_>) = self.0.drain(..).unzip();
        if let Err(fault) = apply(core, &orders) {
            places.iter().for_each(|at| results[*at] = Err(fault.clone()));
        }
    }
}

pub(crate) fn read(core: &Core, bytes: &[u8]) -> Result<VerifiedOrder, Fault> {
    let signed = SignedOrder::from_bytes(bytes).map_err(|e| Fault::invalid(e.to_string()))?;
    VerifiedOrder::verify(&core.cluster(), &signed).map_err(|e| order_fault(&e))
}

/// Whether the order holds already, and is logged. If not, it may be applied now.
fn is_applied(core: &Core, order: &VerifiedOrder) -> Result<bool, Fault> {
    let hash = order.hash();
    if let Some(fault) = forks::fell(core, &hash)? {
        return Err(fault);
    }
    if forks::holds(core, &hash)? {
        unlogged::settle(core)?;
        return Ok(true);
    }
    timely(core, order)?;
    if let Some(chain) = order.order().chain() {
        in_sequence(core, &chain, order)?;
        if let Some(fault) = forks::blocked(core, &chain)? {
            return Err(fault);
        }
    }
    of_its_key(core, order)?;
    exports::may_apply(core, order)?;
    states::is_applied(core, order)
}

/// Whether an order may still be applied for the first time: in its life, and under the newest
/// roster, since who has left the roster could otherwise still give orders. Two kinds are not
/// bound by that:
///
/// * a revocation, which a node must not miss for ever, however late it hears of it;
/// * what was ordered before this node's time, which it could not have applied then. It is
///   still taken in sequence only, so that nothing comes between what others have applied.
fn timely(core: &Core, order: &VerifiedOrder) -> Result<(), Fault> {
    let fresh = order.check_fresh(core.now().wall);
    let newest = core.cluster().roster().version;
    if fresh.is_ok() && order.order().roster_version == newest {
        return Ok(());
    }
    let revokes = matches!(order.order().action, Action::RevokeClient { .. });
    let late = matches!(&fresh, Ok(()) | Err(OrderError::Expired(LIFE_OVER)));
    if late && (revokes || (may_be_older(core, order) && before_our_time(core, order)?)) {
        return Ok(());
    }
    fresh.map_err(|e| order_fault(&e))?;
    let text = format!(
        "the order names roster version {}, the newest known here is {newest}; make a new order",
        order.order().roster_version
    );
    Err(Fault::new(FaultKind::FailedPrecondition, text))
}

/// What says how a key is, an export and the end of a fork stand in no chain, so that nothing shows
/// whether others have applied them. Their signers must be operators still: those who have left
/// could sign them anew. A revocation only takes away.
fn may_be_older(core: &Core, order: &VerifiedOrder) -> bool {
    let cluster = core.cluster();
    let roster = cluster.roster();
    let signers =
        order.signed().0.valid(Label::SIG_ORDER, core.fingerprint(), |k| roster.is_operator(k));
    let chained = order.order().chain().is_some();
    chained || signers.count() >= usize::from(roster.quorum)
}

/// Ordered under a roster that did not have this node yet, or dead before it had a store.
fn before_our_time(core: &Core, order: &VerifiedOrder) -> Result<bool, Fault> {
    let joined = core.cluster().joined_at(&core.me.identity);
    if joined.is_some_and(|first| order.order().roster_version < first) {
        return Ok(true);
    }
    // The first entry of the log: the node had a store from then on.
    let first = core.store.audit_read(0, 1).map_err(|e| core.store_fault(&e))?;
    let begun = first.first().and_then(|(_, leaf)| AuditEntry::from_bytes(leaf).ok());
    let begun = begun.filter(|entry| entry.event == Event::Started).map(|entry| entry.at);
    Ok(begun.is_some_and(|begun| order.order().expires_at < begun))
}

/// An order about another public key than the key was born with moves nothing, and would be in the
/// way of the next one. A node that has not heard of the birth cannot tell; no share moves there.
fn of_its_key(core: &Core, order: &VerifiedOrder) -> Result<(), Fault> {
    let Some(to) = order.reshare() else { return Ok(()) };
    let born = records::record(&*core.store, &to.name, to.version).map_err(|e| e.fault(core))?;
    match born {
        Some(record) if *record.certificate.public.public_key() != to.public_key => {
            Err(Fault::invalid(OTHER_PUBLIC_KEY))
        }
        _ => Ok(()),
    }
}

/// What nobody else may change meanwhile. An alias is a name that a key could get.
fn subjects(order: &VerifiedOrder) -> impl Iterator<Item = Subject> + '_ {
    let aliases = order.key_state().map(|state| &state.aliases[..]).unwrap_or_default();
    aliases.iter().cloned().map(Subject::Key).chain([subject(order)])
}

fn subject(order: &VerifiedOrder) -> Subject {
    if let Some(state) = order.key_state() {
        return Subject::Key(state.name.clone());
    }
    let resolved = order.resolves().map(|fork| fork.chain.clone());
    let exported = order.export().map(|export| ChainId::Key(export.name.clone()));
    match order.order().chain().or(resolved).or(exported) {
        Some(ChainId::Key(name) | ChainId::Rotation(name)) => Subject::Key(name),
        Some(ChainId::Policy) | None => Subject::Policy,
    }
}

const fn word(action: &Action) -> &'static str {
    match action {
        Action::CreateKey(_) => "create key",
        Action::Reshare(_) => "reshare",
        Action::ImportKey(_) => "import key",
        Action::RotateKey(_) => "rotate key on a schedule",
        Action::ExportKey(_) => "export key",
        Action::AddClient { .. } => "add client",
        Action::RevokeClient { .. } => "revoke client",
        Action::SetKeyState(_) => "set key state",
        Action::ResolveFork(_) => "resolve fork",
    }
}

/// The next of its chain. Of two that follow one order the first stays.
fn in_sequence(core: &Core, chain: &ChainId, order: &VerifiedOrder) -> Result<(), Fault> {
    let failed = |e: RecordError| e.fault(core);
    let verify = |signed: &SignedOrder| {
        VerifiedOrder::verify(&core.cluster(), signed)
            .map_err(|_| failed(RecordError::Damaged("order")))
    };
    let store = &*core.store;
    let verified_head = |chain: &ChainId| {
        let head = records::head_order(store, chain).map_err(failed)?;
        head.as_ref().map(verify).transpose()
    };
    let head = verified_head(chain)?;
    let beside = chain.beside().map(|chain| verified_head(&chain)).transpose()?.flatten();
    match follow(Heads { head: head.as_ref(), beside: beside.as_ref() }, order) {
        Ok(Follow::Known | Follow::Next) => return Ok(()),
        Err(ChainFault::Forked { first, .. }) => return Err(forks::note(core, &first, order)?),
        // It names the newest, and breaks a rule about what follows it.
        Err(fault @ ChainFault::Sequence(_)) => {
            return Err(Fault::new(FaultKind::InvalidArgument, fault.to_string()));
        }
        Err(_) => {}
    }
    // Behind the head: an order that follows one of the past is a fork too.
    let mut later = head;
    for _ in 0..forks::MAX_BACK {
        let Some(link) = &later else { break };
        let before = link.order().predecessor;
        if before == order.order().predecessor {
            let first = link.hash();
            return Err(forks::note(core, &first, order)?);
        }
        later = records::order(store, &before).map_err(failed)?.as_ref().map(verify).transpose()?;
    }
    let text = match records::head(store, chain).map_err(failed)? {
        Some(head) => format!(
            "the newest order of this chain here is {head}; the order must name it, or bring the \
             ones between first"
        ),
        None if order.rotation().is_some() && beside.is_none() => {
            "no order of this key is known here; bring the order that makes it first".to_owned()
        }
        None => "no order of this chain is known here; bring its first one first".to_owned(),
    };
    Err(Fault::new(FaultKind::FailedPrecondition, text))
}

/// Orders are durable, and in the audit log, when this returns.
fn apply(core: &Core, orders: &[&VerifiedOrder]) -> Result<(), Fault> {
    if orders.is_empty() {
        return Ok(());
    }
    let events = commit(core, orders).map_err(|e| e.fault(core))?;
    // A crash here: the orders hold, and their marks have them logged at the next start.
    unlogged::log(core, events)?;
    for order in orders {
        let action = word(&order.order().action);
        tracing::info!(order = %order.hash(), action, "applied an order");
    }
    Ok(())
}

/// Durable first, then in memory, so that memory never shows what a crash takes back. Gives
/// what is to be logged.
fn commit(core: &Core, orders: &[&VerifiedOrder]) -> Result<Vec<Event>, RecordError> {
    // An order that ends a fork stands alone: it may change what others are looked at with.
    let end = match orders.iter().find_map(|o| Some((o, o.resolves()?))) {
        Some((order, fork)) => forks::end(core, order, fork)?,
        None => End::default(),
    };
    let applied: Vec<&VerifiedOrder> = end.joins.iter().chain(orders.iter().copied()).collect();
    let events: Vec<Event> = applied.iter().map(|o| Event::Order { order: o.hash() }).collect();
    let mut batch = core.unlogged.sweep(Batch::new()).and(end.batch);
    for order in &applied {
        batch = put(core, batch, order)?;
    }
    core.store.commit(unlogged::mark(core, batch, &events))?;
    end.forgotten.iter().for_each(|client| core.clients.forget(client));
    applied.iter().for_each(|order| show(core, order));
    Ok(events)
}

/// What an order changes in the store.
fn put(core: &Core, batch: Batch, order: &VerifiedOrder) -> records::Read<Batch> {
    let sequence = core.order_sequence.fetch_add(1, Ordering::SeqCst) + 1;
    let batch = records::put_order(batch, order, sequence);
    Ok(match &order.order().action {
        Action::AddClient { client, .. } => match core.clients.standing(client) {
            Some(Standing::Revoked) => batch,
            _ => records::put_client(batch, client, Standing::Known),
        },
        Action::RevokeClient { client } => records::put_client(batch, client, Standing::Revoked),
        Action::SetKeyState(state) => {
            states::put(&*core.store, batch, order, state, core.now().wall)?
        }
        Action::ExportKey(export) => exports::put(batch, export, &order.hash()),
        Action::CreateKey(_)
        | Action::ImportKey(_)
        | Action::Reshare(_)
        | Action::RotateKey(_)
        | Action::ResolveFork(_) => batch,
    })
}

/// What an order changes in memory.
fn show(core: &Core, order: &VerifiedOrder) {
    match &order.order().action {
        Action::CreateKey(create) | Action::ImportKey(ImportKey { create, .. }) => {
            core.keys.forget(&create.name);
        }
        Action::ExportKey(_) => {}
        Action::Reshare(reshare) => core.keys.forget(&reshare.name),
        Action::RotateKey(rotate) => core.keys.forget(rotate.name()),
        Action::AddClient { client, .. } => core.clients.add(*client),
        Action::RevokeClient { client } => core.clients.revoke(*client),
        Action::SetKeyState(state) => {
            core.keys.forget(&state.name);
            core.nonces.forget(&state.name);
        }
        Action::ResolveFork(fork) => {
            if let Some(name) = fork.chain.key() {
                core.keys.forget(name);
            }
        }
    }
}

fn order_fault(error: &OrderError) -> Fault {
    let kind = match error {
        OrderError::Codec(_) | OrderError::Rule(_) => FaultKind::InvalidArgument,
        OrderError::Signatures { .. } => FaultKind::PermissionDenied,
        OrderError::Cluster { .. } | OrderError::Roster(_) | OrderError::Expired(_) => {
            FaultKind::FailedPrecondition
        }
    };
    Fault::new(kind, error.to_string())
}

/// A page of orders, and the sequence after which the next begins (0 at the end).
pub(crate) fn list(core: &Core, after: u64, size: u32) -> Result<(Vec<Vec<u8>>, u64), Fault> {
    let limit = match size {
        0 => 100,
        size => size.min(1000) as usize,
    };
    let page = records::orders(&*core.store, after, limit + 1).map_err(|e| e.fault(core))?;
    let (mut bytes, mut orders, mut last) = (0, Vec::new(), 0);
    let count = page.len();
    for (sequence, order) in page.into_iter().take(limit) {
        let order = order.to_bytes();
        bytes += order.len();
        if bytes > PAGE_BYTES && !orders.is_empty() {
            break;
        }
        orders.push(order);
        last = sequence;
    }
    let next = if orders.len() < count { last } else { 0 };
    Ok((orders, next))
}

/// What fits into one message.
const PAGE_BYTES: usize = 1024 * 1024 - 64 * 1024;

/// The order at the head of a key's chain, and of the one about its schedule of versions.
pub(crate) fn head_orders(core: &Core, key: &str) -> Result<HeadOrders, Fault> {
    let name = KeyName::new(key).map_err(|e| Fault::invalid(e.to_string()))?;
    let head = |chain| records::head_order(&*core.store, &chain).map_err(|e| e.fault(core));
    Ok((head(ChainId::Key(name.clone()))?, head(ChainId::Rotation(name))?))
}

type HeadOrders = (Option<SignedOrder>, Option<SignedOrder>);

/// The heads of the policy chain, of a key's chain and of the one about its schedule of versions;
/// zeros for an empty one.
pub(crate) fn heads(core: &Core, key: &str) -> Result<(Hash, Hash, Hash), Fault> {
    let head = |chain: &ChainId| {
        let head = records::head(&*core.store, chain).map_err(|e| e.fault(core))?;
        Ok::<_, Fault>(head.unwrap_or_default())
    };
    let policy = head(&ChainId::Policy)?;
    if key.is_empty() {
        return Ok((policy, Hash::default(), Hash::default()));
    }
    let name = KeyName::new(key).map_err(|e| Fault::invalid(e.to_string()))?;
    Ok((policy, head(&ChainId::Key(name.clone()))?, head(&ChainId::Rotation(name))?))
}
