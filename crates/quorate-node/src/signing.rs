//! The two halves of a threshold signature at a node: commitments to nonces, then a signature
//! share for a message and an exact set of signers.
//!
//! Both come here twice: parsed and checked in the decision, and once the audit entry is durable.
//! Only then are nonces drawn or taken, and what is taken is gone, also where a node then
//! refuses: a crash or a refusal costs a nonce pair, never a second use of it.

use crate::{
    core::Core,
    decide::{No, bad_item},
    entropy,
    keys::{KeyState, Of, Share},
    nonces::{For, Full},
    requests::Authentic,
};
use quorate_crypto::{
    ShareIndex,
    frost::{KeyShare, NonceCommitments, NoncePair, SHARE_LEN, SigningSet},
};
use quorate_types::{
    EpochName, Format, RefusalReason, RequestHead,
    signing::{NonceHandle, NonceOrder, SignItem, SignerCommitments},
};
use std::collections::BTreeMap;

/// Messages to sign, checked: every set names this node, members of the epoch's committee only,
/// and at least `t` of them with commitments that are points.
pub(crate) struct Signing {
    epoch: EpochName,
    handles: Vec<NonceHandle>,
    sets: Vec<SigningSet>,
}

/// A key's share of an epoch, ready to sign.
struct Ready<'a> {
    share: &'a Share,
    key: &'a KeyShare,
}

/// The one item of a request for nonces.
pub(crate) fn nonce_order(items: &[Vec<u8>], key: &KeyState) -> Result<NonceOrder, No> {
    let [item] = items else { return Err(bad_item(1)) };
    let order = NonceOrder::from_bytes(item).map_err(|_| bad_item(0))?;
    ready(key, &order.epoch)?;
    Ok(order)
}

/// The items of a request to sign, all under one epoch.
pub(crate) fn sign_items(core: &Core, items: &[Vec<u8>], key: &KeyState) -> Result<Signing, No> {
    let mut signing: Option<Signing> = None;
    for (at, bytes) in items.iter().enumerate() {
        let item = SignItem::from_bytes(bytes).map_err(|_| bad_item(at))?;
        let Ready { share, .. } = ready(key, &item.epoch)?;
        let committee = &share.public.committee;
        let members = item.signers.iter().all(|s| committee.member(s.node).is_some());
        let enough = item.signers.len() >= committee.threshold().as_usize();
        let own = item.signers.iter().find(|s| s.node == core.index());
        let (Some(own), true) = (own, members && enough) else { return Err(bad_item(at)) };
        let set = SigningSet::new(&item.message, signers(core, &item.signers).ok_or(bad_item(at))?);
        let signing = signing.get_or_insert_with(|| Signing {
            epoch: item.epoch,
            handles: Vec::new(),
            sets: Vec::new(),
        });
        if signing.epoch != item.epoch {
            return Err(bad_item(at));
        }
        signing.handles.push(own.handle);
        signing.sets.push(set);
    }
    signing.ok_or(bad_item(0))
}

/// Draws what was ordered; the words of the answer.
pub(crate) fn draw(
    core: &Core,
    request: &Authentic,
    key: &KeyState,
    order: &NonceOrder,
) -> Result<Vec<[u8; 32]>, No> {
    let Ready { key, .. } = ready(key, &order.epoch)?;
    let of = of(&request.head, order.epoch);
    let (count, rng) = (usize::from(order.count), &mut entropy::rng());
    let drawn = core
        .nonces
        .draw(&of, count, key, core.now(), rng)
        .map_err(|Full| No::from(RefusalReason::TooManyNonces))?;
    let words = |(handle, c): &(NonceHandle, NonceCommitments)| {
        SignerCommitments::words(handle, c.to_bytes())
    };
    Ok(drawn.iter().flat_map(words).collect())
}

/// Signs: takes every pair that the request names, and then needs all of them.
pub(crate) fn sign(
    core: &Core,
    request: &Authentic,
    key: &KeyState,
    signing: &Signing,
) -> Result<Vec<[u8; SHARE_LEN]>, No> {
    let of = of(&request.head, signing.epoch);
    // Out of the map, whatever comes of them.
    let taken = core.nonces.take(&of, &signing.handles, core.now());
    let Ready { key, .. } = ready(key, &signing.epoch)?;
    let gone = taken.iter().position(Option::is_none);
    if let Some(at) = gone {
        let item = u16::try_from(at).ok();
        return Err(No { item, ..RefusalReason::NonceGone.into() });
    }
    let pairs: Vec<NoncePair> = taken.into_iter().flatten().collect();
    let shares = core.evaluator.sign(key, pairs, &signing.sets);
    let shares = shares.into_iter().enumerate().map(|(at, s)| s.map_err(|_| bad_item(at)));
    shares.collect()
}

impl Signing {
    pub(crate) const fn epoch(&self) -> EpochName {
        self.epoch
    }
}

/// The share of a served epoch.
fn ready<'a>(key: &'a KeyState, epoch: &EpochName) -> Result<Ready<'a>, No> {
    let share = key.shares().iter().find(|share| share.public.epoch == *epoch);
    let Some(share) = share else { return Err(RefusalReason::NoShare.into()) };
    let Of::Edwards(key) = &share.of else { return Err(RefusalReason::WrongPurpose.into()) };
    Ok(Ready { share, key })
}

/// Decoded; `None` if one is no pair of points. Those that this node has made are at hand: to
/// decode a point costs as much as a multiplication, since it must be of prime order.
fn signers(
    core: &Core,
    all: &[SignerCommitments],
) -> Option<BTreeMap<ShareIndex, NonceCommitments>> {
    let one = |s: &SignerCommitments| {
        let own = if s.node == core.index() { core.nonces.known(s) } else { None };
        let decode = || NonceCommitments::from_bytes(&s.commitments).ok();
        Some((s.node, own.or_else(decode)?))
    };
    all.iter().map(one).collect()
}

fn of(head: &RequestHead, epoch: EpochName) -> For {
    For { client: head.client, key: head.key.clone(), version: head.version, epoch }
}
