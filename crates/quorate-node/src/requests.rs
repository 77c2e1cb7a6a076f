//! The walk of a request through a node: authenticate, decide, log, evaluate, seal.
//!
//! Each stage takes what the one before made, so none can be left out: an [`Authentic`]
//! request has a valid signature, a [`Granted`] one has passed every check, and only a
//! [`Logged`] one, whose audit entry is durable, meets the share. Who cannot be
//! authenticated gets a status and is counted, never logged: nobody else can fill a disk.

use crate::{
    core::Core,
    decide, entropy,
    evaluator::Items,
    keys::{KeyState, Of, Share},
    planted::planted,
    signing::{self, Signing},
};
use quorate_crypto::{PublicKey, Signature, hash::Label};
use quorate_rpc::{Fault, FaultKind};
use quorate_types::{
    Answer, Decision, EpochName, Event, Format, Hash, Operation, PartialContext, Refusal,
    RefusalReason, RequestHead, SignedRefusal,
    request::{MAX_HEAD, MAX_ITEMS, claimed_client},
    signing::{MAX_SIGN_ITEM, NonceOrder},
};
use std::{sync::Arc, time::Instant};

/// A request as it came.
pub(crate) struct Incoming {
    /// Who brought it.
    pub(crate) peer: PublicKey,
    pub(crate) head: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) items: Vec<Vec<u8>>,
    /// Nobody waits for an answer after this.
    pub(crate) deadline: Instant,
}

/// What goes back, and to what was asked.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) operation: Operation,
    pub(crate) reply: Reply,
}

/// What goes back.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Canonical `SealedAnswer`: under the epoch in force, and under the others served.
    Sealed(Vec<u8>, Vec<Vec<u8>>),
    /// Canonical `SignedRefusal`.
    Refused(RefusalReason, Vec<u8>),
}

impl Reply {
    /// For metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Sealed(..) => "granted",
            Self::Refused(reason, _) => outcome_of(*reason),
        }
    }
}

/// A request whose client's signature holds.
pub(crate) struct Authentic {
    pub(crate) head: RequestHead,
    pub(crate) hash: Hash,
    bytes: Vec<u8>,
    signature: Signature,
}

/// A request that passed every check.
pub(crate) struct Granted {
    pub(crate) key: Arc<KeyState>,
    pub(crate) task: Task,
}

/// What is to be done, with everything in it checked.
pub(crate) enum Task {
    /// Partials over ristretto255, under every epoch that is served.
    Partials(Items),
    /// Nonces to be drawn, for the epoch that is named.
    Draw(NonceOrder),
    /// Messages to be signed, under the epoch that is named.
    Sign(Signing),
}

/// A request whose use of the key stands durably in the audit log.
struct Logged(Granted);

/// Answers a request. Blocks: for a thread of its own.
pub(crate) fn answer(core: &Core, incoming: &Incoming) -> Result<Answered, Fault> {
    admit(core, incoming)?;
    let permit = core.permits.take();
    if Instant::now() >= incoming.deadline {
        return Err(Fault::new(FaultKind::DeadlineExceeded, "the request waited too long"));
    }
    let request = authenticate(core, incoming)?;
    fit(&request.head, &incoming.items)?;
    let granted = match decide::decide(core, &request, &incoming.items)? {
        Ok(granted) => granted,
        Err(no) => {
            if no.logged {
                let (logged, _permit) =
                    permit.lend(|| log(core, &request, Decision::Refused(no.reason)));
                logged?;
            }
            let reply = refuse(core, &request, no.reason, no.item);
            return Ok(Answered { operation: request.head.operation, reply });
        }
    };
    let Some(share) = granted.key.share() else {
        return Err(Fault::new(FaultKind::Internal, "granted without a share"));
    };
    // Durable before share and nonces are touched: an honest node cannot hide a use.
    let epoch = match &granted.task {
        Task::Partials(_) => share.public.epoch,
        Task::Draw(order) => order.epoch,
        Task::Sign(signing) => signing.epoch(),
    };
    if planted!(AuditAfterUse) {
        let reply = evaluate(core, &request, &Logged(granted))?;
        log(core, &request, Decision::Granted(epoch))?;
        return Ok(Answered { operation: request.head.operation, reply });
    }
    let (logged, _permit) = permit.lend(|| log(core, &request, Decision::Granted(epoch)));
    logged?;
    let reply = evaluate(core, &request, &Logged(granted))?;
    Ok(Answered { operation: request.head.operation, reply })
}

/// The cheapest checks, of things that strangers choose. A coordinator relays; a client
/// or an operator may come by itself.
fn admit(core: &Core, incoming: &Incoming) -> Result<(), Fault> {
    let (head, items) = (&incoming.head, &incoming.items);
    if head.len() > MAX_HEAD || items.is_empty() || items.len() > MAX_ITEMS {
        return Err(Fault::invalid(format!(
            "a request has a head of at most {MAX_HEAD} bytes and 1 to {MAX_ITEMS} items"
        )));
    }
    // What the operation allows is known once the head is.
    if items.iter().any(|i| i.len() > MAX_SIGN_ITEM) {
        return Err(Fault::invalid(format!("an item has at most {MAX_SIGN_ITEM} bytes")));
    }
    if core.removed() {
        return Err(removed_fault());
    }
    let client = claimed_client(head).map_err(|e| Fault::invalid(e.to_string()))?;
    if core.conducts(&incoming.peer) || incoming.peer == client {
        return Ok(());
    }
    Err(Fault::denied("requests come from their client or a coordinator of the roster"))
}

/// The limit of the operation's items.
fn fit(head: &RequestHead, items: &[Vec<u8>]) -> Result<(), Fault> {
    let (operation, most) = (head.operation, head.operation.max_item());
    if items.iter().any(|i| i.len() > most) {
        let text = format!("an item of a request to {operation} has at most {most} bytes");
        return Err(Fault::invalid(text));
    }
    Ok(())
}

/// What a node says that has left the cluster.
fn removed_fault() -> Fault {
    let text = "the newest roster does not name this node: it serves no key any more";
    Fault::new(FaultKind::FailedPrecondition, text)
}

/// The signature over the bytes, before they are parsed.
fn authenticate(core: &Core, incoming: &Incoming) -> Result<Authentic, Fault> {
    let bytes = &incoming.head;
    let client = claimed_client(bytes).map_err(|e| Fault::invalid(e.to_string()))?;
    let signature = Signature(quorate_rpc::array64("signature", &incoming.signature)?);
    client.verify(Label::SIG_REQUEST, core.fingerprint().as_bytes(), bytes, &signature).map_err(
        |_| {
            let text = "the request is not signed by its client for this cluster";
            Fault::new(FaultKind::Unauthenticated, text)
        },
    )?;
    let head = RequestHead::from_bytes(bytes).map_err(|e| Fault::invalid(e.to_string()))?;
    let hash = RequestHead::hash(core.fingerprint(), bytes);
    Ok(Authentic { head, hash, bytes: bytes.clone(), signature })
}

fn log(core: &Core, request: &Authentic, decision: Decision) -> Result<(), Fault> {
    let (head, signature) = (request.bytes.clone(), request.signature);
    core.log(Event::Request { head, signature, decision })
}

fn refuse(core: &Core, request: &Authentic, reason: RefusalReason, item: Option<u16>) -> Reply {
    let refusal =
        Refusal { node: core.index(), request: request.hash, at: core.now().wall, reason, item };
    let signed = SignedRefusal::sign(refusal, core.fingerprint(), &core.identity);
    Reply::Refused(reason, signed.to_bytes())
}

fn evaluate(core: &Core, request: &Authentic, logged: &Logged) -> Result<Reply, Fault> {
    let Granted { key, task } = &logged.0;
    let (epoch, words) = match task {
        Task::Partials(items) => return partials(core, request, key, items),
        Task::Draw(order) => (order.epoch, signing::draw(core, request, key, order)),
        Task::Sign(signing) => (signing.epoch(), signing::sign(core, request, key, signing)),
    };
    match words {
        Ok(partials) => {
            let sealed = seal(core, request, epoch, &Answer { partials, proof: None })?;
            Ok(Reply::Sealed(sealed, Vec::new()))
        }
        // The log has granted it: what came of it stands beside.
        Err(no) => {
            log(core, request, Decision::Refused(no.reason))?;
            Ok(refuse(core, request, no.reason, no.item))
        }
    }
}

/// Answers under every epoch that is served.
fn partials(
    core: &Core,
    request: &Authentic,
    key: &KeyState,
    items: &Items,
) -> Result<Reply, Fault> {
    let named = |share: &Share| match key.share() {
        Some(first) if planted!(MixEpochs) => first.public.epoch,
        _ => share.public.epoch,
    };
    let sealed = key.shares().iter().map(|share| under(core, request, share, named(share), items));
    let mut sealed = sealed.collect::<Result<Vec<_>, _>>()?.into_iter();
    let first = sealed.next().ok_or_else(|| Fault::new(FaultKind::Internal, "no share"))?;
    Ok(Reply::Sealed(first, sealed.collect()))
}

/// The answer under one epoch.
fn under(
    core: &Core,
    request: &Authentic,
    share: &Share,
    epoch: EpochName,
    items: &Items,
) -> Result<Vec<u8>, Fault> {
    let partials = core.evaluator.partials(&share.secret, items);
    let proof = if request.head.prove {
        let (public, node) = (&share.public, core.index());
        let context = PartialContext { public, node, request: request.hash }.to_bytes();
        let mut rng = entropy::rng();
        let proof = match &share.of {
            Of::Ristretto { own, .. } => {
                items.prove(&context, &share.secret, own, &partials, &mut rng)
            }
            Of::Edwards(_) => None,
        };
        let proof = proof
            .ok_or_else(|| Fault::new(FaultKind::Internal, "the partials cannot be proved"))?;
        Some(proof.to_bytes())
    } else {
        None
    };
    seal(core, request, epoch, &Answer { partials, proof })
}

fn seal(
    core: &Core,
    request: &Authentic,
    epoch: EpochName,
    answer: &Answer,
) -> Result<Vec<u8>, Fault> {
    let head = &request.head;
    core.sessions
        .seal(&head.client, &head.reply_key, request.hash, epoch, answer, core.now())
        .map_err(|e| Fault::invalid(format!("the answer cannot be sealed: {e}")))
}

/// A constant word for each reason.
const fn outcome_of(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::UnknownKey => "refused_unknown_key",
        RefusalReason::NotGranted => "refused_not_granted",
        RefusalReason::GrantExpired => "refused_grant_expired",
        RefusalReason::UnknownClient => "refused_unknown_client",
        RefusalReason::Clock => "refused_clock",
        RefusalReason::Expired => "refused_expired",
        RefusalReason::Replayed => "refused_replayed",
        RefusalReason::WrongPurpose => "refused_wrong_purpose",
        RefusalReason::InvalidItem => "refused_invalid_item",
        RefusalReason::ItemsMismatch => "refused_items_mismatch",
        RefusalReason::NoShare => "refused_no_share",
        RefusalReason::Busy => "refused_busy",
        RefusalReason::NonceGone => "refused_nonce_gone",
        RefusalReason::TooManyNonces => "refused_too_many_nonces",
        RefusalReason::Disabled => "refused_disabled",
        RefusalReason::PendingDeletion => "refused_pending_deletion",
        RefusalReason::Destroyed => "refused_destroyed",
        RefusalReason::OlderVersion => "refused_older_version",
    }
}
