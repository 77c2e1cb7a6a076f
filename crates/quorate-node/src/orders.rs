//! Orders at a node: verified, in sequence, applied once.

use crate::{
    clients::Standing,
    core::Core,
    locks::Subject,
    records::{self, RecordError},
    unlogged,
};
use quorate_ceremony::{ChainFault, Follow, chain::follow};
use quorate_crypto::{PublicKey, hash::Label};
use quorate_rpc::{Fault, FaultKind};
use quorate_store::Batch;
use quorate_types::{
    Action, ChainId, Event, Format, Hash, KeyName, OrderError, SignedOrder, VerifiedOrder,
};
use std::{collections::BTreeSet, sync::atomic::Ordering};

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
    let signed = SignedOrder::from_bytes(bytes).map_err(|e| Fault::invalid(e.to_string()))?;
    let order = VerifiedOrder::verify(&core.cluster, &signed).map_err(|e| order_fault(&e))?;
    let hash = order.hash();
    let _held = core.locks.hold([subject(&order)].into());
    let failed = |e: RecordError| e.fault(core);
    if records::order(&*core.store, &hash).map_err(failed)?.is_some() {
        unlogged::settle(core)?;
        return Ok((Applied::Before, hash));
    }
    order.check_fresh(core.now().wall).map_err(|e| order_fault(&e))?;
    let newest = core.roster().version;
    if order.order().roster_version != newest {
        // Who has left the roster could otherwise still give orders.
        return Err(Fault::new(
            FaultKind::FailedPrecondition,
            format!(
                "the order names roster version {}, the newest known here is {newest}; make a \
                 new order",
                order.order().roster_version
            ),
        ));
    }
    in_sequence(core, &order)?;
    let event = vec![Event::Order { order: hash }];
    apply(core, &order, &event).map_err(failed)?;
    // A crash here: the order holds, and its mark has it logged at the next start.
    unlogged::log(core, event)?;
    tracing::info!(order = %hash, action = word(&order.order().action), "applied an order");
    Ok((Applied::Now, hash))
}

fn subject(order: &VerifiedOrder) -> Subject {
    match order.order().chain() {
        Some(ChainId::Key(name)) => Subject::Key(name),
        Some(ChainId::Policy) | None => Subject::Policy,
    }
}

const fn word(action: &Action) -> &'static str {
    match action {
        Action::CreateKey(_) => "create key",
        Action::AddClient { .. } => "add client",
        Action::RevokeClient { .. } => "revoke client",
    }
}

/// The next of its chain. Of two that follow one order the first stays.
fn in_sequence(core: &Core, order: &VerifiedOrder) -> Result<(), Fault> {
    let Some(chain) = order.order().chain() else { return Ok(()) };
    let failed = |e: RecordError| e.fault(core);
    let verify = |signed: &SignedOrder| {
        VerifiedOrder::verify(&core.cluster, signed)
            .map_err(|_| failed(RecordError::Damaged("order")))
    };
    let store = &*core.store;
    let head = records::head_order(store, &chain).map_err(failed)?;
    let head = head.as_ref().map(verify).transpose()?;
    match follow(head.as_ref(), order) {
        Ok(Follow::Known | Follow::Next) => return Ok(()),
        Err(ChainFault::Forked { first, .. }) => return Err(forked(core, &first, order)?),
        // It names the newest, and breaks a rule about what follows it.
        Err(fault @ ChainFault::Sequence(_)) => {
            return Err(Fault::new(FaultKind::InvalidArgument, fault.to_string()));
        }
        Err(_) => {}
    }
    // Behind the head: an order that follows one of the past is a fork too.
    let mut later = head;
    for _ in 0..MAX_BACK {
        let Some(link) = &later else { break };
        let before = link.order().predecessor;
        if before == order.order().predecessor {
            let first = link.hash();
            return Err(forked(core, &first, order)?);
        }
        later = records::order(store, &before).map_err(failed)?.as_ref().map(verify).transpose()?;
    }
    let text = match records::head(store, &chain).map_err(failed)? {
        Some(head) => format!(
            "the newest order of this chain here is {head}; the order must name it, or bring the \
             ones between first"
        ),
        None => "no order of this chain is known here; bring its first one first".to_owned(),
    };
    Err(Fault::new(FaultKind::FailedPrecondition, text))
}

/// How far back a fork is looked for.
const MAX_BACK: usize = 64;

/// Keeps the evidence, and names who signed both.
fn forked(core: &Core, first: &Hash, second: &VerifiedOrder) -> Result<Fault, Fault> {
    let failed = |e: RecordError| e.fault(core);
    let store = &*core.store;
    let stays = records::order(store, first).map_err(failed)?;
    let both: Vec<String> = stays.map_or_else(Vec::new, |stays| {
        let signers = |signed: &SignedOrder| -> BTreeSet<PublicKey> {
            let operator = |k: &PublicKey| core.roster().is_operator(k);
            signed.0.valid(Label::SIG_ORDER, core.fingerprint(), operator).collect()
        };
        let (a, b) = (signers(&stays), signers(second.signed()));
        let named = |key: &&PublicKey| {
            core.roster().operators.iter().find(|o| o.key == **key).map(|o| o.name.to_string())
        };
        a.intersection(&b).filter_map(|k| named(&k)).collect()
    });
    if records::fork(store, first).map_err(failed)?.is_none() {
        let batch = records::put_fork(Batch::new(), first, second.signed());
        store.commit(batch).map_err(|e| core.store_fault(&e))?;
        tracing::warn!(
            stays = %first, refused = %second.hash(), signed_both = both.join(", "),
            "two orders follow one"
        );
    }
    let who = if both.is_empty() { "nobody".to_owned() } else { both.join(", ") };
    Ok(Fault::new(
        FaultKind::AlreadyExists,
        format!(
            "order {first} has taken this place in its chain; it stays, this one is refused. \
             Signed both: {who}"
        ),
    ))
}

/// Durable first, then in memory, so that memory never shows what a crash takes back.
fn apply(core: &Core, order: &VerifiedOrder, event: &[Event]) -> Result<(), RecordError> {
    let sequence = core.order_sequence.fetch_add(1, Ordering::SeqCst) + 1;
    let batch = unlogged::mark(core, core.unlogged.sweep(Batch::new()), event);
    let mut batch = records::put_order(batch, order, sequence);
    match &order.order().action {
        Action::CreateKey(create) => {
            core.store.commit(batch)?;
            core.keys.forget(&create.name);
        }
        Action::AddClient { client, .. } => {
            if core.clients.standing(client) != Some(Standing::Revoked) {
                batch = records::put_client(batch, client, Standing::Known);
            }
            core.store.commit(batch)?;
            core.clients.add(*client);
        }
        Action::RevokeClient { client } => {
            core.store.commit(records::put_client(batch, client, Standing::Revoked))?;
            core.clients.revoke(*client);
        }
    }
    Ok(())
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

/// The heads of the policy chain and of a key's chain; zeros for an empty one.
pub(crate) fn heads(core: &Core, key: &str) -> Result<(Hash, Hash), Fault> {
    let head = |chain: &ChainId| {
        let head = records::head(&*core.store, chain).map_err(|e| e.fault(core))?;
        Ok::<_, Fault>(head.unwrap_or_default())
    };
    let policy = head(&ChainId::Policy)?;
    if key.is_empty() {
        return Ok((policy, Hash::default()));
    }
    let name = KeyName::new(key).map_err(|e| Fault::invalid(e.to_string()))?;
    Ok((policy, head(&ChainId::Key(name))?))
}
