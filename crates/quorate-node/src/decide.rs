//! What a node checks for itself before it answers, cheapest first. Default deny.
//!
//! A refusal is logged, but where whoever has once seen a request could repeat it without
//! end and so fill the disk: requests of strangers, outside their time, or sent too often.

use crate::{
    clients::Standing,
    clock::Now,
    core::Core,
    entropy,
    evaluator::Items,
    keys::{KeyState, Of},
    planted::planted,
    quarantine, records,
    replay::Seen,
    requests::{Authentic, Granted, Task},
    signing,
};
use quorate_crypto::{
    merkle::merkle_root,
    tdh2::{self, Binding, Ciphertext, Verified},
    voprf::BlindedElement,
    wrap::{Scope, WrapPoint},
};
use quorate_rpc::Fault;
use quorate_types::{CiphertextHead, Operation, RefusalReason, RequestHead};

/// A decision against a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct No {
    pub(crate) reason: RefusalReason,
    /// Which item, where it is about one.
    pub(crate) item: Option<u16>,
    /// Whether it goes into the audit log.
    pub(crate) logged: bool,
}

impl No {
    fn unlogged(reason: RefusalReason) -> Self {
        Self { reason, item: None, logged: false }
    }
}

impl From<RefusalReason> for No {
    fn from(reason: RefusalReason) -> Self {
        Self { reason, item: None, logged: true }
    }
}

/// Decides. The outer error is an outage, not a decision.
pub(crate) fn decide(
    core: &Core,
    request: &Authentic,
    items: &[Vec<u8>],
) -> Result<Result<Granted, No>, Fault> {
    let head = &request.head;
    let key = core
        .keys
        .get(&head.key, head.version, || records::load_key(core, &head.key, head.version))?;
    // A node in quarantine decides nothing: what it knows may be superseded.
    quarantine::check(core, key.as_ref().and_then(|k| k.threshold()))?;
    Ok(check(core, request, items, key))
}

fn check(
    core: &Core,
    request: &Authentic,
    items: &[Vec<u8>],
    key: Option<std::sync::Arc<KeyState>>,
) -> Result<Granted, No> {
    let (head, now) = (&request.head, core.now());
    let grant = key.as_ref().and_then(|k| k.grant(&head.client));
    let standing = core.clients.standing(&head.client);
    if standing.is_none() && grant.is_none() {
        // A stranger: anybody can make a key and sign with it.
        return Err(No::unlogged(RefusalReason::UnknownClient));
    }
    check_time(core, head, now)?;
    let seen = core.replay(|cache| cache.check(head, request.hash, now));
    match if planted!(NoReplayCache) { Seen::New } else { seen } {
        Seen::New | Seen::Same => {}
        Seen::Replayed => return Err(RefusalReason::Replayed.into()),
        Seen::Worn => return Err(No::unlogged(RefusalReason::Replayed)),
        Seen::Full => return Err(No::unlogged(RefusalReason::Busy)),
    }
    if standing == Some(Standing::Revoked) {
        return Err(RefusalReason::UnknownClient.into());
    }
    let grant_end = grant.map(|g| g.expires_at);
    let Some(key) = key else { return Err(RefusalReason::UnknownKey.into()) };
    match grant_end {
        None => return Err(RefusalReason::NotGranted.into()),
        Some(end) if now.wall > end => return Err(RefusalReason::GrantExpired.into()),
        Some(_) => {}
    }
    if !key.create().purpose.allows(head.operation) {
        return Err(RefusalReason::WrongPurpose.into());
    }
    if let Some(reason) = key.refuses().or_else(|| key.refuses_to(head.operation)) {
        return Err(reason.into());
    }
    if key.share().is_none() {
        return Err(RefusalReason::NoShare.into());
    }
    if items.len() != usize::from(head.item_count)
        || merkle_root(items) != Ok(*head.items_root.as_bytes())
    {
        return Err(RefusalReason::ItemsMismatch.into());
    }
    // By operation, which the key's purpose allows: a ciphertext's point never becomes a blinded
    // element, under whose evaluation anything decrypts.
    let task = match head.operation {
        Operation::Decrypt => {
            Task::Partials(Items::Decrypt(verify_items(core, head, items, &key)?))
        }
        Operation::Derive => Task::Partials(Items::Derive(blinded_elements(items)?)),
        Operation::Wrap => Task::Partials(Items::Wrap(wrap_points(core, head, items)?)),
        Operation::SignCommit => Task::Draw(signing::nonce_order(items, &key)?),
        Operation::Sign => Task::Sign(signing::sign_items(core, items, &key)?),
    };
    Ok(Granted { key, task })
}

/// Within the clock window, and within the request's life give or take that window: the
/// client's clock and this node's may differ.
fn check_time(core: &Core, head: &RequestHead, now: Now) -> Result<(), No> {
    let window = u64::try_from(core.window.as_millis()).unwrap_or(u64::MAX);
    if head.issued_at > now.wall.plus(window) {
        return Err(No::unlogged(RefusalReason::Clock));
    }
    if now.wall > head.expires_at().plus(window) && !planted!(LateAccepted) {
        return Err(No::unlogged(RefusalReason::Expired));
    }
    Ok(())
}

pub(crate) fn bad_item(item: usize) -> No {
    No { reason: RefusalReason::InvalidItem, item: u16::try_from(item).ok(), logged: true }
}

/// Canonical points, none the identity (RFC 9497 §4.1).
fn blinded_elements(items: &[Vec<u8>]) -> Result<Vec<BlindedElement>, No> {
    let element = |(at, bytes): (usize, &Vec<u8>)| {
        let bytes = <&[u8; 32]>::try_from(&bytes[..]).map_err(|_| bad_item(at))?;
        BlindedElement::from_bytes(bytes).map_err(|_| bad_item(at))
    };
    items.iter().enumerate().map(element).collect()
}

/// The points of clear nonces, hashed here: nobody else chooses what the share multiplies.
fn wrap_points(core: &Core, head: &RequestHead, items: &[Vec<u8>]) -> Result<Vec<WrapPoint>, No> {
    let (fingerprint, context) = (core.fingerprint(), head.context.label());
    let (name, version) = (head.key.as_str().as_bytes(), head.version.get());
    let scope = Scope::new(fingerprint.as_bytes(), name, version, &context);
    let point = |(at, nonce): (usize, &Vec<u8>)| {
        let nonce = nonce[..].try_into().map_err(|_| bad_item(at))?;
        scope.point(nonce).map_err(|_| bad_item(at))
    };
    items.iter().enumerate().map(point).collect()
}

/// Without this check a node would be a Diffie–Hellman oracle for its share.
fn verify_items(
    core: &Core,
    head: &RequestHead,
    items: &[Vec<u8>],
    key: &KeyState,
) -> Result<Vec<Verified>, No> {
    let Some(share) = key.share() else { return Err(RefusalReason::NoShare.into()) };
    let Of::Ristretto { key: point, .. } = &share.of else {
        return Err(RefusalReason::WrongPurpose.into());
    };
    let fingerprint = core.fingerprint();
    let (name, version) = (head.key.as_str().as_bytes(), head.version.get());
    let binding = Binding::new(fingerprint.as_bytes(), name, version, point);
    let label = head.context.label();

    let mut parsed = Vec::with_capacity(items.len());
    for (at, bytes) in items.iter().enumerate() {
        let item = CiphertextHead::from_bytes(bytes).map_err(|_| bad_item(at))?;
        let header = &item.header;
        let ours = header.is_of(fingerprint)
            && (&header.key, header.version) == (&head.key, head.version)
            && header.suite == key.create().suite;
        let ciphertext = Ciphertext::from_bytes(&item.kem).map_err(|_| bad_item(at))?;
        if !ours {
            return Err(bad_item(at));
        }
        // What the proof binds is the header's bytes, which end where the KEM begins.
        parsed.push((&bytes[..bytes.len() - item.kem.len()], ciphertext));
    }
    match &parsed[..] {
        [(header, one)] => {
            tdh2::verify(&binding, &label, header, one).map(|v| vec![v]).map_err(|_| bad_item(0))
        }
        many => tdh2::verify_batch(&binding, &label, many, &mut entropy::rng())
            .map_err(|fault| bad_item(fault.item)),
    }
}
