//! What a node shows: records, keys, itself, its log's tail. Hints for people, and what
//! proves itself.

use crate::{
    core::Core,
    exports, life,
    quarantine::{self, Standing},
    records::{self, RecordError},
    states,
};
use quorate_rpc::{
    Fault, FaultKind,
    v1::{
        CheckpointResponse, GetKeyResponse, KeySummary, KeyTag, ListKeysRequest, ListKeysResponse,
        NodeHealth, TailResponse, VersionSummary,
    },
};
use quorate_types::{
    Action, ChainId, EpochPublic, Format, KeyName, KeyRecord, KeyVersion, Order, RefusalReason,
    SetKeyState, Tag, Terms,
};

/// The records of a version, or of the newest that is born.
pub(crate) fn get_key(core: &Core, name: &str, version: u32) -> Result<GetKeyResponse, Fault> {
    let failed = |e: RecordError| e.fault(core);
    let name = KeyName::new(name).map_err(|e| Fault::invalid(e.to_string()))?;
    let store = &*core.store;
    // Versions that are born by themselves stand in no order of the key's chain.
    let version = match KeyVersion::new(version) {
        Some(version) => Some(version),
        None => records::newest_born(store, &name).map_err(failed)?,
    };
    let record = match version {
        Some(version) => records::record(store, &name, version).map_err(failed)?.zip(Some(version)),
        None => None,
    };
    let Some((record, version)) = record else {
        let text = "this node has no record of the key or version";
        return Err(Fault::new(FaultKind::NotFound, text));
    };
    let newest = records::newest(store, &name, version).map_err(failed)?;
    let newest = newest.map(|r| r.to_bytes()).unwrap_or_default();
    let exports = exports::history(store, &name, version).map_err(failed)?;
    let exports = exports.iter().map(Format::to_bytes).collect();
    Ok(GetKeyResponse { record: record.to_bytes(), newest, exports })
}

fn newest_order(core: &Core, name: &KeyName) -> Result<Option<Order>, RecordError> {
    let chain = ChainId::Key(name.clone());
    let Some(signed) = records::head_order(&*core.store, &chain)? else { return Ok(None) };
    Order::from_bytes(&signed.0.body).map(Some).map_err(|_| RecordError::Damaged("order"))
}

/// A page of keys, by name. It ends early where there is very much to be said of keys.
pub(crate) fn list_keys(core: &Core, page: &ListKeysRequest) -> Result<ListKeysResponse, Fault> {
    let failed = |e: RecordError| e.fault(core);
    let size = match page.page_size {
        0 => 100,
        size => size.min(1000) as usize,
    };
    if page.after.len() > 128 {
        return Err(Fault::invalid("a page begins after a key's name"));
    }
    let mut names = records::key_names(&*core.store, &page.after, size + 1).map_err(failed)?;
    let mut more = names.len() > size;
    names.truncate(size);
    let (mut keys, mut bytes) = (Vec::with_capacity(names.len()), 0);
    let mut last = None;
    for name in &names {
        if bytes >= LIST_BYTES {
            more = true;
            break;
        }
        last = Some(name);
        let Some(key) = summary(core, name).map_err(failed)? else { continue };
        bytes += weight(&key);
        keys.push(key);
    }
    let next = match last {
        Some(last) if more => last.to_string(),
        _ => String::new(),
    };
    Ok(ListKeysResponse { keys, next })
}

/// Bytes on a page, above which it ends: far below what one message may have.
const LIST_BYTES: usize = 512 * 1024;

/// About how many bytes a key takes in a message.
fn weight(key: &KeySummary) -> usize {
    let tags: usize = key.tags.iter().map(|t| t.name.len() + t.value.len() + 8).sum();
    let aliases: usize = key.aliases.iter().map(|a| a.len() + 4).sum();
    let older: usize = key.older.iter().map(|v| 32 + 4 * v.committee.len()).sum();
    128 + key.name.len() + 4 * key.committee.len() + older + tags + aliases
}

/// A key in a list; `None` if no order that makes shares of it is known.
fn summary(core: &Core, name: &KeyName) -> Result<Option<KeySummary>, RecordError> {
    let store = &*core.store;
    let Some(order) = newest_order(core, name)? else { return Ok(None) };
    let Some(terms) = Terms::of(&order.action) else { return Ok(None) };
    // Until the version to come is born, the one before is the newest.
    let mut births = records::births(store, name)?;
    let newest = births.pop();
    let version = newest.as_ref().map_or(terms.newest, |r| r.certificate.public.version);
    // Of any version, for ever: what version 1 has made is opened with it, whoever else has it.
    let mut imported = newest.as_ref().is_some_and(is_imported);
    let mut exported = !exports::history(store, name, version)?.is_empty();
    let mut older = Vec::new();
    for birth in births {
        let version = birth.certificate.public.version;
        imported |= is_imported(&birth);
        exported |= !exports::history(store, name, version)?.is_empty();
        let record = records::newest(store, name, version)?.unwrap_or(birth);
        older.push(older_version(core, &record.certificate.public)?);
    }
    let moved = records::newest(store, name, version)?;
    let standing = records::standing(store, name, version)?;
    let record = moved.as_ref().or(newest.as_ref()).map(|r| &r.certificate.public);
    let committee = record.map_or(terms.committee, |public| &public.committee);
    let epoch = record.map(|public| public.epoch).or_else(|| standing.serves().next());
    let serves = epoch.is_some_and(|epoch| standing.holds_active(epoch));
    let others = standing.live.iter().any(|l| l.epoch.is_some() && l.epoch != epoch);
    let me = |is: bool| Vec::from_iter(is.then(|| u32::from(core.me.index.get())));
    let refuses = states::refuses(store, name, version)?;
    let state = states::held(store, name)?.map(|held| held.state);
    let state = state.unwrap_or_else(|| SetKeyState::initial(name.clone()));
    let tag = |t: &Tag| KeyTag { name: t.name.to_string(), value: t.value.to_string() };
    Ok(Some(KeySummary {
        lifecycle: match refuses {
            Some(RefusalReason::Destroyed) => "destroyed",
            Some(RefusalReason::PendingDeletion) => "pending-deletion",
            Some(RefusalReason::Disabled) => "disabled",
            _ => "",
        }
        .to_owned(),
        revision: state.revision,
        tags: state.tags.iter().map(tag).collect(),
        aliases: state.aliases.iter().map(ToString::to_string).collect(),
        deletion: state.deletion.map_or(0, |at| at.0),
        name: name.to_string(),
        version: version.get(),
        suite: terms.suite.to_string(),
        purpose: terms.purpose.to_string(),
        threshold: u32::from(committee.threshold().get()),
        committee: committee.indices().map(|i| u32::from(i.get())).collect(),
        state: if newest.is_some() { "active" } else { "pending" }.to_owned(),
        epoch: epoch.map_or(0, |e| e.number),
        serving: me(serves),
        unsettled: me(others),
        older,
        imported,
        exported,
    }))
}

/// A version that is not the newest: clients use what it made, so its shares matter as much.
fn older_version(core: &Core, public: &EpochPublic) -> Result<VersionSummary, RecordError> {
    let standing = records::standing(&*core.store, &public.key, public.version)?;
    let epoch = public.epoch;
    let me = |is: bool| Vec::from_iter(is.then(|| u32::from(core.me.index.get())));
    Ok(VersionSummary {
        version: public.version.get(),
        epoch: epoch.number,
        threshold: u32::from(public.committee.threshold().get()),
        committee: public.committee.indices().map(|i| u32::from(i.get())).collect(),
        serving: me(standing.holds_active(epoch)),
        unsettled: me(standing.live.iter().any(|l| l.epoch.is_some_and(|e| e != epoch))),
    })
}

fn is_imported(birth: &KeyRecord) -> bool {
    let order = Order::from_bytes(&birth.order.0.body);
    order.is_ok_and(|order| matches!(order.action, Action::ImportKey(_)))
}

/// What the node says of itself.
pub(crate) fn health(core: &Core) -> NodeHealth {
    let (me, state) = (&core.me, core.state());
    let keys = records::count_serving(&*core.store).unwrap_or(0);
    let shareless = core.shareless(records::count_shareless);
    let behind = format!(
        "holds no share of {shareless} of its keys, whose shares moved while it was away: \
         quorate share repair {}",
        me.index
    );
    let standing = quarantine::standing(core);
    let held = quarantine::describe(core, &standing);
    let detail = match state {
        "quarantined" => held.as_str(),
        "serving" if !core.store.space().allows_writes() => {
            "the disk is full: no use without its audit entry; make room"
        }
        "serving" if !core.store.space().allows_ceremonies() => {
            "the disk is too full for new keys; make room"
        }
        "serving" if shareless > 0 => &behind,
        "removed" => "the newest roster does not name it: it serves no key any more",
        "failed" => "its disk has failed: it is stopping; see its log",
        _ => "",
    };
    NodeHealth {
        node: u32::from(me.index.get()),
        name: me.name.to_string(),
        endpoint: me.endpoint.to_string(),
        provider: me.provider.to_string(),
        location: me.location.to_string(),
        home: me.home.to_string(),
        reachable: true,
        state: state.to_owned(),
        keys,
        latency_micros: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        detail: detail.to_owned(),
        quarantine: match (&standing, state) {
            (Standing::Behind(behind), _) => behind.split().word(),
            (Standing::Waiting { .. }, "quarantined") => "waiting",
            _ => "",
        }
        .to_owned(),
    }
}

/// Where the node's store is, and who has told it what was seen of it.
pub(crate) fn checkpoint(core: &Core) -> CheckpointResponse {
    CheckpointResponse {
        checkpoint: life::checkpoint(core).to_bytes(),
        quarantined: quarantine::standing(core) != Standing::Free,
        told: core.quarantine.told().iter().map(|n| u32::from(n.get())).collect(),
    }
}

/// The newest entries, as many as were asked for and fit into one message.
pub(crate) fn tail(core: &Core, count: u32) -> Result<TailResponse, Fault> {
    let count = match count {
        0 => 20,
        count => count.min(1000),
    };
    let (length, head) = core.store.audit_head();
    let begin = length.saturating_sub(u64::from(count));
    let read = usize::try_from(length - begin).unwrap_or(0);
    let mut entries = core.store.audit_read(begin, read).map_err(|e| core.store_fault(&e))?;
    // Entries appended since belong to a later head.
    entries.retain(|(at, _)| *at < length);
    let (mut bytes, mut kept) = (0, entries.len());
    for (at, (_, leaf)) in entries.iter().enumerate().rev() {
        bytes += leaf.len() + 8;
        if bytes > TAIL_BYTES {
            break;
        }
        kept = at;
    }
    let entries = entries.split_off(kept.min(entries.len()));
    let first = entries.first().map_or(length, |(at, _)| *at);
    Ok(TailResponse {
        first,
        entries: entries.into_iter().map(|(_, leaf)| leaf).collect(),
        head: head.to_vec(),
        length,
    })
}

/// What fits into one message.
const TAIL_BYTES: usize = 1024 * 1024 - 64 * 1024;
