//! Exports at a node: its share, sealed to the recipient that operators named.
//!
//! An export is *open* here from when its order was applied until the order's life is over by this
//! node's clock, the roster changes, or another order closes it. As long as one is, the node takes part in no new epoch
//! of the key version: every node seals a share of the same one. What was sealed is kept, so that
//! each repetition gives the same bytes; that the key was exported is kept for ever.
//!
//! ```text
//! orders    'e' ‖ name ‖ 0 ‖ version u32 ‖ order hash   an export was ordered
//!           'j' ‖ order hash                            that export is closed
//! records   'e' ‖ name ‖ 0 ‖ version u32 ‖ order hash   SealedShare
//! ```

use crate::{
    core::Core,
    locks, orders, quarantine,
    records::{self, Read, RecordError, tagged},
    states,
};
use quorate_ceremony::{Subject, VersionState};
use quorate_crypto::hash::{Label, hash32};
use quorate_rpc::{Fault, FaultKind};
use quorate_store::{Batch, Store, Tree};
use quorate_types::{
    Action, Event, ExportKey, ExportStep, Format, Hash, KeyName, KeyVersion, Millis, SealedShare,
    ShareScope, SignedOrder, VerifiedOrder, export::MAX_EXPORTS,
};

/// Whether an export order may be applied here for the first time: operators must have seen the
/// newest order of the key's chain, so that no old one is brought back after what came since; and
/// the key must have been made to be exported. A node that has not heard of the birth cannot tell,
/// and has no share to seal.
pub(crate) fn may_apply(core: &Core, order: &VerifiedOrder) -> Result<(), Fault> {
    let Some(export) = order.export() else { return Ok(()) };
    let failed = |e: RecordError| e.fault(core);
    exists(core, &export.name)?;
    if let ExportStep::Close { order } = &export.step {
        // It takes away: whatever else was ordered meanwhile must not be in its way.
        return closes(core, export, order);
    }
    let chain = quorate_types::ChainId::Key(export.name.clone());
    let head = records::head(&*core.store, &chain).map_err(failed)?.unwrap_or_default();
    if head != order.order().predecessor {
        let text = format!(
            "the newest order of the key's chain here is {head}, and the export order's signers saw \
             {}; bring the ones between first, or make a new export order",
            order.order().predecessor
        );
        return Err(Fault::new(FaultKind::FailedPrecondition, text));
    }
    let record = records::record(&*core.store, &export.name, export.version).map_err(failed)?;
    if let Some(record) = record {
        let birth = record.verify(&core.cluster()).map_err(|_| failed(DAMAGED))?;
        has_right(birth.create())?;
    }
    let all = ordered(&*core.store, &export.name, export.version).map_err(failed)?;
    if all.len() >= MAX_EXPORTS {
        let text = format!("a key version is exported {MAX_EXPORTS} times at most");
        return Err(Fault::new(FaultKind::FailedPrecondition, text));
    }
    Ok(())
}

/// The share that was sealed goes with the export, so the order must name the right version.
fn closes(core: &Core, export: &ExportKey, order: &Hash) -> Result<(), Fault> {
    let known = records::order(&*core.store, order).map_err(|e| e.fault(core))?;
    // Of one that is not known here nothing was sealed, and it is closed before it opens.
    let Some(known) = known else { return Ok(()) };
    let known = quorate_types::Order::from_bytes(&known.0.body).map_err(|_| DAMAGED.fault(core))?;
    match known.action {
        Action::ExportKey(opened)
            if (&opened.name, opened.version) == (&export.name, export.version) =>
        {
            Ok(())
        }
        Action::ExportKey(opened) => Err(Fault::invalid(format!(
            "order {order} exports {} version {}: close it as that",
            opened.name, opened.version
        ))),
        _ => Err(Fault::invalid(format!("order {order} exports no key"))),
    }
}

/// What an export order changes in the store.
pub(crate) fn put(batch: Batch, export: &ExportKey, order: &Hash) -> Batch {
    match &export.step {
        ExportStep::Open { .. } => {
            batch.put(Tree::Orders, place(&export.name, export.version, order), vec![1])
        }
        ExportStep::Close { order } => batch
            .put(Tree::Orders, tagged(b'j', order.as_bytes()), vec![1])
            .delete(Tree::Records, place(&export.name, export.version, order)),
    }
}

/// Removes what was sealed for exports that are over: it would outlive its epoch, and the
/// recipient's key opens it.
pub(crate) fn sweep(core: &Core) -> Result<(), Fault> {
    let failed = |e: RecordError| e.fault(core);
    let (store, now) = (&*core.store, core.now().wall);
    let kept =
        store.scan(Tree::Records, b"e", None, MAX_EXPORTS).map_err(|e| core.store_fault(&e))?;
    for (key, bytes) in kept {
        let Ok(sealed) = SealedShare::from_bytes(&bytes) else { return Err(failed(DAMAGED)) };
        let ShareScope { key: name, version, order: hash, .. } = &sealed.scope;
        let _held = core.locks.hold([locks::Subject::Key(name.clone())].into());
        let order = records::order(store, hash).map_err(failed)?.ok_or_else(|| failed(DAMAGED))?;
        let order = quorate_types::Order::from_bytes(&order.0.body).map_err(|_| failed(DAMAGED))?;
        if !is_open(core, hash, &order, now).map_err(failed)? {
            tracing::info!(order = %hash.short(), key = %name, %version, "forgets a sealed share");
            let batch = Batch::new().delete(Tree::Records, key.clone());
            store.commit(batch).map_err(|e| core.store_fault(&e))?;
        }
    }
    Ok(())
}

/// Refuses to take part in a new epoch as long as an export of the key version is open.
pub(crate) fn admits(core: &Core, subject: &Subject) -> Result<(), Fault> {
    let failed = |e: RecordError| e.fault(core);
    let (store, now) = (&*core.store, core.now().wall);
    for (hash, order) in ordered(store, &subject.key, subject.version).map_err(failed)? {
        if is_open(core, &hash, &order, now).map_err(failed)? {
            let until = order.expires_at.0;
            let text = format!(
                "an export of this key is open under order {hash} until {until} (ms since 1970): no \
                 new epoch before that, or before `quorate key export --close` ends it"
            );
            return Err(Fault::new(FaultKind::FailedPrecondition, text));
        }
    }
    Ok(())
}

/// The orders that exported a key version, as operators signed them.
pub(crate) fn history(store: &dyn Store, name: &KeyName, v: KeyVersion) -> Read<Vec<SignedOrder>> {
    let hashes = hashes(store, name, v)?;
    let order = |hash: &Hash| records::order(store, hash)?.ok_or(DAMAGED);
    hashes.iter().map(order).collect()
}

/// The node's share, sealed to the recipient that the order names; applies the order first, if
/// that is still to be done. Durable, and logged, when this returns. Blocks.
pub(crate) fn share(core: &Core, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let (_, hash) = orders::submit(core, bytes)?;
    let failed = |e: RecordError| e.fault(core);
    let order = orders::read(core, bytes)?;
    let (export, recipient) = match order.export() {
        Some(export) => (export, export.recipient()),
        None => return Err(Fault::invalid("the order exports no key")),
    };
    let recipient = *recipient.ok_or_else(|| Fault::invalid("the order closes an export"))?;
    let _held = core.locks.hold([locks::Subject::Key(export.name.clone())].into());
    exists(core, &export.name)?;
    let store = &*core.store;
    if !is_open(core, &hash, order.order(), core.now().wall).map_err(failed)? {
        let text = "this export is over: it was closed, its order's life has ended, or the roster \
                    has changed; make a new order";
        return Err(Fault::new(FaultKind::FailedPrecondition, text));
    }
    let subject = Subject { key: export.name.clone(), version: export.version, number: 0 };
    let state = records::load_state(store, &subject).map_err(failed)?;
    may_use(core, &state, &subject)?;
    let key = place(&export.name, export.version, &hash);
    let kept = records::get::<SealedShare>(store, Tree::Records, &key, "sealed share");
    let sealed = match kept.map_err(failed)? {
        Some(kept) => kept,
        None => {
            let sealed = seal(core, &state, &subject, hash, recipient)?;
            let batch = Batch::new().put(Tree::Records, key, sealed.to_bytes());
            // A crash after this: the same bytes are sent, and logged before.
            core.store.commit(batch).map_err(|e| core.store_fault(&e))?;
            sealed
        }
    };
    let sent = sealed.to_bytes();
    let fingerprint = core.fingerprint().as_bytes();
    let event = Event::Exported {
        order: hash,
        key: subject.key,
        version: subject.version,
        epoch: sealed.scope.epoch,
        statement: Hash(hash32(Label::STATEMENT_HASH, &[fingerprint, &sent])),
    };
    core.log_all(vec![event])?;
    tracing::warn!(order = %hash, key = %export.name, "sealed a share to an export's recipient");
    Ok(sent)
}

/// What holds for every use of a share holds for what was sealed before, too: this process may not
/// know yet that the export was closed.
fn may_use(core: &Core, state: &VersionState, subject: &Subject) -> Result<(), Fault> {
    let refused = |text: &str| Fault::new(FaultKind::FailedPrecondition, text);
    if state.frozen.is_some() {
        return Err(refused("the key is frozen on this node: somebody else has its identity"));
    }
    let threshold = state.in_force().map(|r| r.certificate.public.committee.threshold());
    quarantine::check(core, threshold)?;
    let refuses = states::refuses(&*core.store, &subject.key, subject.version);
    match refuses.map_err(|e| e.fault(core))? {
        Some(reason) => Err(refused(reason.as_str())),
        None => Ok(()),
    }
}

/// Seals the share of the epoch in force.
fn seal(
    core: &Core,
    state: &VersionState,
    subject: &Subject,
    order: Hash,
    recipient: [u8; 32],
) -> Result<SealedShare, Fault> {
    let refused = |text: &str| Fault::new(FaultKind::FailedPrecondition, text);
    let (Some(record), Some(in_force)) = (&state.record, state.in_force()) else {
        return Err(refused("this node has no record of the key version"));
    };
    let birth = record.verify(&core.cluster()).map_err(|_| DAMAGED.fault(core))?;
    has_right(birth.create())?;
    let public = &in_force.certificate.public;
    let member = public.committee.member(core.index()).map(|m| m.identity);
    let share = state.share_in_force.as_ref().filter(|_| member == Some(core.me.identity));
    let share = share.ok_or_else(|| refused("this node holds no share of the epoch in force"))?;
    let scope = ShareScope {
        fingerprint: *core.fingerprint(),
        key: subject.key.clone(),
        version: subject.version,
        epoch: public.epoch,
        node: core.index(),
        order,
        recipient,
    };
    let sealed = core.evaluator.seal(scope, share, &core.identity);
    sealed.map_err(|e| Fault::invalid(e.to_string()))
}

/// Nothing is exported of a key that was deleted here.
fn exists(core: &Core, name: &KeyName) -> Result<(), Fault> {
    match states::tombstone(&*core.store, name).map_err(|e| e.fault(core))? {
        Some(_) => Err(states::gone(name)),
        None => Ok(()),
    }
}

/// What removes sealed shares of any version of a key, some at a time; `None` if there are none.
pub(crate) fn forget(store: &dyn Store, name: &KeyName) -> Read<Option<Batch>> {
    let sealed = store.scan(Tree::Records, &records::versions_of(b'e', name), None, MAX_EXPORTS)?;
    let mut batch = Batch::new();
    for (key, _) in &sealed {
        batch = batch.delete(Tree::Records, key.clone());
    }
    Ok((!sealed.is_empty()).then_some(batch))
}

fn has_right(create: &quorate_types::CreateKey) -> Result<(), Fault> {
    if create.rights.exportable {
        return Ok(());
    }
    Err(Fault::denied("the key was not made to be exported (--exportable), and never can be"))
}

/// The export orders of a key version with their hashes.
fn ordered(
    store: &dyn Store,
    name: &KeyName,
    version: KeyVersion,
) -> Read<Vec<(Hash, quorate_types::Order)>> {
    let mut all = Vec::new();
    for hash in hashes(store, name, version)? {
        let signed = records::order(store, &hash)?.ok_or(DAMAGED)?;
        let order = quorate_types::Order::from_bytes(&signed.0.body).map_err(|_| DAMAGED)?;
        all.push((hash, order));
    }
    Ok(all)
}

fn hashes(store: &dyn Store, name: &KeyName, version: KeyVersion) -> Read<Vec<Hash>> {
    let prefix = records::of_version(b'e', name, version);
    let found = store.scan(Tree::Orders, &prefix, None, MAX_EXPORTS)?;
    let hash = |key: &[u8]| key.get(prefix.len()..)?.try_into().ok().map(Hash);
    found.iter().map(|(key, _)| hash(key).ok_or(DAMAGED)).collect()
}

/// Under the newest roster only: those who have left it export nothing any more.
fn is_open(core: &Core, hash: &Hash, order: &quorate_types::Order, now: Millis) -> Read<bool> {
    let closed = core.store.get(Tree::Orders, &tagged(b'j', hash.as_bytes()))?.is_some();
    let newest = order.roster_version == core.cluster().roster().version;
    Ok(!closed && newest && now <= order.expires_at)
}

fn place(name: &KeyName, version: KeyVersion, order: &Hash) -> Vec<u8> {
    [&records::of_version(b'e', name, version)[..], order.as_bytes()].concat()
}

const DAMAGED: RecordError = RecordError::Damaged("export order");
