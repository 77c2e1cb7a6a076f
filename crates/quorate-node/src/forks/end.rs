//! What the end of a fork changes at a node.

use super::{
    MAX_BACK,
    kept::{self, Verdict},
};
use crate::{
    clients::Standing,
    core::Core,
    records::{self, RecordError},
};
use quorate_ceremony::{
    Follow,
    chain::{Heads, follow},
};
use quorate_crypto::PublicKey;
use quorate_store::Batch;
use quorate_types::{
    Action, ChainId, Format, Hash, Order, ResolveFork, SignedOrder, VerifiedOrder,
};

/// What the end of a fork changes. Nothing is committed yet.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// The chain opened again, and cut back where the order that falls held.
    pub(crate) batch: Batch,
    /// The order that stays, where it is known here and was not applied.
    pub(crate) joins: Option<VerifiedOrder>,
    /// Clients that only the orders which fell had made known.
    pub(crate) forgotten: Vec<PublicKey>,
}

/// Carries out `order`, which says how a fork ends. Its node may have seen the two in
/// either sequence, one of them or none.
pub(crate) fn end(
    core: &Core,
    order: &VerifiedOrder,
    fork: &ResolveFork,
) -> Result<End, RecordError> {
    let store = &*core.store;
    let mut batch = Batch::new();
    let mut decide = |named: &Hash, verdict| -> Result<bool, RecordError> {
        if let Some((_, by)) = kept::verdict(store, named)?
            && !order.overrules(&applied(core, &by)?)
        {
            return Ok(false);
        }
        batch = kept::put_verdict(std::mem::take(&mut batch), named, verdict, &order.hash());
        Ok(true)
    };
    let stays = decide(&fork.stays, Verdict::Stays)?;
    let falls = decide(&fork.falls, Verdict::Falls)?;
    let branch = if falls { branch(core, &fork.chain, &fork.falls)? } else { Vec::new() };

    let (named, cut) = ([fork.stays, fork.falls], hashes(&branch));
    if let Some((first, refused)) = kept::open(store, &fork.chain)?
        && (named.contains(&first) && named.contains(&refused) || cut.contains(&first))
    {
        batch = kept::delete_open(batch, &fork.chain);
    }
    let mut head = records::head(store, &fork.chain)?.unwrap_or_default();
    if let Some(oldest) = branch.last() {
        head = oldest.order().predecessor;
        batch = records::put_head(batch, &fork.chain, &head);
        batch = cut.iter().fold(batch, kept::put_cut);
    }
    let forgotten = forgotten(core, &branch)?;
    batch = forgotten.iter().fold(batch, records::delete_client);
    let joins = if stays { joining(core, fork, &head)? } else { None };
    Ok(End { batch, joins, forgotten })
}

/// An order that was applied here.
fn applied(core: &Core, hash: &Hash) -> Result<VerifiedOrder, RecordError> {
    let signed = records::order(&*core.store, hash)?.ok_or(RecordError::Damaged("order"))?;
    verified(core, &signed)
}

fn verified(core: &Core, signed: &SignedOrder) -> Result<VerifiedOrder, RecordError> {
    VerifiedOrder::verify(&core.cluster(), signed).map_err(|_| RecordError::Damaged("order"))
}

fn hashes(orders: &[VerifiedOrder]) -> Vec<Hash> {
    orders.iter().map(VerifiedOrder::hash).collect()
}

/// The end of a chain from its newest order back to this one; none if it is not there.
fn branch(core: &Core, chain: &ChainId, oldest: &Hash) -> Result<Vec<VerifiedOrder>, RecordError> {
    let mut orders = Vec::new();
    let mut at = records::head(&*core.store, chain)?.unwrap_or_default();
    while at != Hash::default() && orders.len() < MAX_BACK {
        let order = applied(core, &at)?;
        at = order.order().predecessor;
        let found = order.hash() == *oldest;
        orders.push(order);
        if found {
            return Ok(orders);
        }
    }
    Ok(Vec::new())
}

/// The order that stays, if it is the next of its chain here. It need not be fresh: who
/// signed the end of the fork has signed it anew.
fn joining(
    core: &Core,
    fork: &ResolveFork,
    head: &Hash,
) -> Result<Option<VerifiedOrder>, RecordError> {
    let store = &*core.store;
    let signed = match kept::refused(store, &fork.stays)? {
        Some(signed) => signed,
        None => match records::order(store, &fork.stays)? {
            Some(signed) => signed,
            None => return Ok(None),
        },
    };
    let order = verified(core, &signed)?;
    let head = if *head == Hash::default() { None } else { Some(applied(core, head)?) };
    let beside = match fork.chain.beside() {
        Some(chain) => records::head_order(store, &chain)?,
        None => None,
    };
    let beside = beside.as_ref().map(|signed| verified(core, signed)).transpose()?;
    let next = order.order().chain().as_ref() == Some(&fork.chain)
        && follow(Heads { head: head.as_ref(), beside: beside.as_ref() }, &order)
            == Ok(Follow::Next);
    Ok(next.then_some(order))
}

/// Clients that these orders made known, and no order that holds.
fn forgotten(core: &Core, branch: &[VerifiedOrder]) -> Result<Vec<PublicKey>, RecordError> {
    let mut clients: Vec<PublicKey> = (branch.iter())
        .filter_map(|order| added(order.order()))
        .filter(|client| core.clients.standing(client) == Some(Standing::Known))
        .collect();
    let (store, cut) = (&*core.store, hashes(branch));
    let mut after = 0;
    while !clients.is_empty() {
        let page = records::orders(store, after, PAGE)?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (_, signed) in &page {
            let order = Order::from_bytes(&signed.0.body);
            let Some(client) = order.ok().as_ref().and_then(added) else { continue };
            let hash = verified(core, signed)?.hash();
            if clients.contains(&client) && !cut.contains(&hash) && !kept::is_cut(store, &hash)? {
                clients.retain(|c| *c != client);
            }
        }
    }
    Ok(clients)
}

/// Orders read at once.
const PAGE: usize = 256;

fn added(order: &Order) -> Option<PublicKey> {
    match &order.action {
        Action::AddClient { client, .. } => Some(*client),
        _ => None,
    }
}
