//! Where each record of a node lies in its store, and how it is read and written.
//!
//! ```text
//! orders    'o' ‖ order hash               SignedOrder
//!           'q' ‖ sequence u64             order hash, in the order of arrival
//!           'p'                            hash of the policy chain's newest order
//!           'h' ‖ key name                 hash of the key chain's newest order
//!           'i' ‖ key name                 the same, of the chain about its schedule of versions
//!           'x' ‖ order hash               an order whose place another has (evidence)
//!           'y' ‖ 'p', or ‖ 'h' or 'i' ‖ key name  an open fork: the order that stays for now, the
//!                                          other
//!           'w' ‖ order hash               1 stays, 2 falls ‖ hash of the order that says so
//!           'z' ‖ order hash               it was applied, and cut from its chain since
//!           'c' ‖ client key               1 known, 2 revoked
//!           'r' ‖ version u32              SignedRoster
//!           's', 'a', 'e', 't'             how keys are: see `states`
//!           'u' ‖ order hash               length of the log when it was applied: until logged
//!           'b', 'k', 'g'                  starts, sightings, quarantine: see those
//!           'e', 'j'                       exports: see there
//! records   's' ‖ name ‖ 0 ‖ version u32   Standing
//!           'v' ‖ name ‖ 0 ‖ version u32   serving epoch's number: only while it serves
//!           'r' ‖ name ‖ 0 ‖ version u32   KeyRecord (birth certificate)
//!           'n' ‖ name ‖ 0 ‖ version u32   KeyRecord (newest retire certificate, after a reshare)
//!           'f' ‖ name                     Frozen
//!           'a' ‖ name ‖ 0 ‖ version u32 ‖ number u64   Attempt
//!           'b' ‖ …                        bundle
//!           'e' ‖ …                        a share sealed to an export's recipient
//! secrets   kind ‖ name ‖ 0 ‖ version u32 ‖ number u64  sealed under the attempt's epoch
//! ```

use crate::{
    clients::Standing as ClientStanding,
    core::Core,
    forks,
    keys::{KeyState, MAX_SERVED, Share},
    states,
};
use quorate_ceremony::{Attempt, Change, Changes, SecretKind, Standing, Subject, VersionState};
use quorate_crypto::{PublicKey, SecretScalar, Threshold};
use quorate_rpc::{Fault, FaultKind};
use quorate_store::{Batch, EpochId, Store, StoreError, Tree};
use quorate_types::{
    ChainId, CreateKey, EpochName, Format, Hash, KeyName, KeyRecord, KeyVersion, Order,
    RefusalReason, SignedOrder, SignedRoster, VerifiedOrder, order::MAX_VERSIONS,
};
use std::{borrow::Cow, collections::BTreeSet};
use thiserror::Error;

/// Why a record is not to be had.
#[derive(Debug, Error)]
pub(crate) enum RecordError {
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store opened it, and it does not parse: our bug, or an older program's.
    #[error("alarm: the stored {0} does not parse")]
    Damaged(&'static str),
}

impl RecordError {
    /// What a caller is told.
    pub(crate) fn fault(&self, core: &Core) -> Fault {
        match self {
            Self::Store(error) => core.store_fault(error),
            Self::Damaged(_) => {
                tracing::error!(error = %self, "damaged record");
                Fault::new(FaultKind::DataLoss, "a record of this node is damaged; repair the node")
            }
        }
    }
}

pub(crate) type Read<T> = Result<T, RecordError>;

pub(crate) fn get<F: Format>(
    store: &dyn Store,
    tree: Tree,
    key: &[u8],
    what: &'static str,
) -> Read<Option<F>> {
    let Some(bytes) = store.get(tree, key)? else { return Ok(None) };
    F::from_bytes(&bytes).map(Some).map_err(|_| RecordError::Damaged(what))
}

fn get_hash(store: &dyn Store, key: &[u8]) -> Read<Option<Hash>> {
    let Some(bytes) = store.get(Tree::Orders, key)? else { return Ok(None) };
    let hash = <[u8; 32]>::try_from(&bytes[..]).map_err(|_| RecordError::Damaged("order hash"))?;
    Ok(Some(Hash(hash)))
}

fn named(tag: u8, name: &KeyName) -> Vec<u8> {
    [&[tag], name.as_str().as_bytes()].concat()
}

pub(crate) fn of_version(tag: u8, name: &KeyName, version: KeyVersion) -> Vec<u8> {
    [&[tag], name.as_str().as_bytes(), &[0], &version.get().to_be_bytes()].concat()
}

fn of_attempt(tag: u8, name: &KeyName, version: KeyVersion, number: u64) -> Vec<u8> {
    [&of_version(tag, name, version)[..], &number.to_be_bytes()].concat()
}

pub(crate) fn tagged(tag: u8, rest: &[u8]) -> Vec<u8> {
    [&[tag], rest].concat()
}

pub(crate) fn head_key(chain: &ChainId) -> Vec<u8> {
    match chain {
        ChainId::Policy => vec![b'p'],
        ChainId::Key(name) => named(b'h', name),
        ChainId::Rotation(name) => named(b'i', name),
    }
}

/// An order by its hash.
pub(crate) fn order(store: &dyn Store, hash: &Hash) -> Read<Option<SignedOrder>> {
    get(store, Tree::Orders, &tagged(b'o', hash.as_bytes()), "order")
}

/// The hash of a chain's newest order.
pub(crate) fn head(store: &dyn Store, chain: &ChainId) -> Read<Option<Hash>> {
    get_hash(store, &head_key(chain))
}

/// A chain's newest order.
pub(crate) fn head_order(store: &dyn Store, chain: &ChainId) -> Read<Option<SignedOrder>> {
    match head(store, chain)? {
        Some(hash) => order(store, &hash),
        None => Ok(None),
    }
}

/// Orders by their sequence, after one: sequence and order.
pub(crate) fn orders(store: &dyn Store, after: u64, limit: usize) -> Read<Vec<(u64, SignedOrder)>> {
    let mut found = Vec::new();
    let after = tagged(b'q', &after.to_be_bytes());
    for (key, hash) in store.scan(Tree::Orders, b"q", Some(&after), limit)? {
        let damaged = || RecordError::Damaged("order sequence");
        let sequence = key.get(1..).and_then(|k| k.try_into().ok()).ok_or_else(damaged)?;
        let hash = <[u8; 32]>::try_from(&hash[..]).map_err(|_| damaged())?;
        let order = order(store, &Hash(hash))?.ok_or_else(damaged)?;
        found.push((u64::from_be_bytes(sequence), order));
    }
    Ok(found)
}

/// The sequence number of the newest order; 0 if there is none.
pub(crate) fn last_sequence(store: &dyn Store) -> Read<u64> {
    let (mut after, mut last) = (tagged(b'q', &[]), 0);
    loop {
        let page = store.scan(Tree::Orders, b"q", Some(&after), PAGE)?;
        let Some((key, _)) = page.last() else { return Ok(last) };
        let sequence = key.get(1..).and_then(|k| k.try_into().ok());
        last = u64::from_be_bytes(sequence.ok_or(RecordError::Damaged("order sequence"))?);
        after.clone_from(key);
    }
}

/// The roster chain, as far as it is in the store, in sequence.
pub(crate) fn rosters(store: &dyn Store) -> Read<Vec<SignedRoster>> {
    let (mut after, mut chain) = (vec![b'r'], Vec::new());
    loop {
        let page = store.scan(Tree::Orders, b"r", Some(&after), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(chain) };
        for (_, bytes) in &page {
            let roster = SignedRoster::from_bytes(bytes);
            chain.push(roster.map_err(|_| RecordError::Damaged("roster"))?);
        }
        after.clone_from(last);
    }
}

/// The newest version of the roster in the store; 0 if there is none.
pub(crate) fn last_roster(store: &dyn Store) -> Read<u32> {
    let (mut after, mut last) = (vec![b'r'], 0);
    loop {
        let page = store.scan(Tree::Orders, b"r", Some(&after), PAGE)?;
        let Some((key, _)) = page.last() else { return Ok(last) };
        let version = key.get(1..).and_then(|k| k.try_into().ok());
        last = u32::from_be_bytes(version.ok_or(RecordError::Damaged("roster version"))?);
        after.clone_from(key);
    }
}

/// Keeps a roster.
pub(crate) fn put_roster(batch: Batch, version: u32, roster: &SignedRoster) -> Batch {
    batch.put(Tree::Orders, tagged(b'r', &version.to_be_bytes()), roster.to_bytes())
}

/// Records read at once where all are read.
const PAGE: usize = 1024;

/// Keeps an order, as the newest of its chain if it has one.
pub(crate) fn put_order(batch: Batch, order: &VerifiedOrder, sequence: u64) -> Batch {
    let hash = order.hash();
    let bytes = order.signed().to_bytes();
    let batch = forks::delete_cut(batch, &hash);
    let batch = batch.put(Tree::Orders, tagged(b'o', hash.as_bytes()), bytes).put(
        Tree::Orders,
        tagged(b'q', &sequence.to_be_bytes()),
        hash.as_bytes().to_vec(),
    );
    match order.order().chain() {
        Some(chain) => batch.put(Tree::Orders, head_key(&chain), hash.as_bytes().to_vec()),
        None => batch,
    }
}

/// Marks an applied order until it is logged; `length` is the log's.
pub(crate) fn put_mark(batch: Batch, order: &Hash, length: u64) -> Batch {
    batch.put(Tree::Orders, tagged(b'u', order.as_bytes()), length.to_be_bytes().to_vec())
}

/// Takes an order's mark away.
pub(crate) fn delete_mark(batch: Batch, order: &Hash) -> Batch {
    batch.delete(Tree::Orders, tagged(b'u', order.as_bytes()))
}

/// All marked orders, each with the log's length when it was applied.
pub(crate) fn marks(store: &dyn Store) -> Read<Vec<(Hash, u64)>> {
    let (mut after, mut all) = (vec![b'u'], Vec::new());
    loop {
        let page = store.scan(Tree::Orders, b"u", Some(&after), PAGE)?;
        for (key, length) in &page {
            let order = key.get(1..).and_then(|k| k.try_into().ok()).map(Hash);
            let length = length[..].try_into().ok().map(u64::from_be_bytes);
            all.push(order.zip(length).ok_or(RecordError::Damaged("mark of an order"))?);
        }
        let Some((last, _)) = page.last() else { return Ok(all) };
        after.clone_from(last);
    }
}

/// Sets a chain's newest order back; zeros leave none.
pub(crate) fn put_head(batch: Batch, chain: &ChainId, head: &Hash) -> Batch {
    match *head == Hash::default() {
        true => batch.delete(Tree::Orders, head_key(chain)),
        false => batch.put(Tree::Orders, head_key(chain), head.as_bytes().to_vec()),
    }
}

/// Forgets a client.
pub(crate) fn delete_client(batch: Batch, client: &PublicKey) -> Batch {
    batch.delete(Tree::Orders, tagged(b'c', client.as_bytes()))
}

/// Keeps what an order says of a client.
pub(crate) fn put_client(batch: Batch, client: &PublicKey, standing: ClientStanding) -> Batch {
    let byte = match standing {
        ClientStanding::Known => 1,
        ClientStanding::Revoked => 2,
    };
    batch.put(Tree::Orders, tagged(b'c', client.as_bytes()), vec![byte])
}

/// All clients.
pub(crate) fn clients(store: &dyn Store) -> Read<Vec<(PublicKey, ClientStanding)>> {
    let (mut after, mut all) = (vec![b'c'], Vec::new());
    loop {
        let page = store.scan(Tree::Orders, b"c", Some(&after), PAGE)?;
        for (key, value) in &page {
            let client = key.get(1..).and_then(|k| PublicKey::from_bytes(k.try_into().ok()?).ok());
            let standing = match value[..] {
                [1] => Some(ClientStanding::Known),
                [2] => Some(ClientStanding::Revoked),
                _ => None,
            };
            all.push(client.zip(standing).ok_or(RecordError::Damaged("client"))?);
        }
        let Some((last, _)) = page.last() else { return Ok(all) };
        after.clone_from(last);
    }
}

/// Names of keys after one, in order.
pub(crate) fn key_names(store: &dyn Store, after: &str, limit: usize) -> Read<Vec<KeyName>> {
    let after = tagged(b'h', after.as_bytes());
    let page = store.scan(Tree::Orders, b"h", Some(&after), limit)?;
    let name = |key: &[u8]| {
        let text = std::str::from_utf8(key.get(1..)?).ok()?;
        KeyName::new(text).ok()
    };
    page.iter().map(|(key, _)| name(key).ok_or(RecordError::Damaged("key name"))).collect()
}

/// How many key versions this node serves.
pub(crate) fn count_serving(store: &dyn Store) -> Read<u64> {
    let (mut after, mut count) = (vec![b'v'], 0);
    loop {
        let page = store.scan(Tree::Records, b"v", Some(&after), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(count) };
        count += page.len() as u64;
        after.clone_from(last);
    }
}

/// The birth certificate of a key version.
pub(crate) fn record(store: &dyn Store, name: &KeyName, v: KeyVersion) -> Read<Option<KeyRecord>> {
    get(store, Tree::Records, &of_version(b'r', name, v), "key record")
}

/// The newest retire certificate of a key version whose shares have moved.
pub(crate) fn newest(store: &dyn Store, name: &KeyName, v: KeyVersion) -> Read<Option<KeyRecord>> {
    get(store, Tree::Records, &of_version(b'n', name, v), "retire certificate")
}

pub(crate) fn standing(store: &dyn Store, name: &KeyName, v: KeyVersion) -> Read<Standing> {
    Ok(get(store, Tree::Records, &of_version(b's', name, v), "standing")?.unwrap_or_default())
}

/// The attempt with a number.
fn attempt(store: &dyn Store, name: &KeyName, v: KeyVersion, number: u64) -> Read<Option<Attempt>> {
    get(store, Tree::Records, &of_attempt(b'a', name, v, number), "attempt")
}

/// The share of an epoch.
fn share(
    store: &dyn Store,
    name: &KeyName,
    version: KeyVersion,
    number: u64,
) -> Read<Option<SecretScalar>> {
    let key = of_attempt(SecretKind::Share as u8, name, version, number);
    let Some(bytes) = store.get(Tree::Secrets, &key)? else { return Ok(None) };
    let scalar = <&[u8; 32]>::try_from(&bytes[..]).ok().and_then(SecretScalar::from_bytes);
    scalar.map(Some).ok_or(RecordError::Damaged("share"))
}

/// How many key versions have this node in the committee of the epoch in force, and no
/// share of it here.
pub(crate) fn count_shareless(core: &Core) -> Read<u64> {
    let store = &*core.store;
    let (mut after, mut count) = (vec![b's'], 0);
    loop {
        let page = store.scan(Tree::Records, b"s", Some(&after), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(count) };
        for (key, bytes) in &page {
            let standing =
                Standing::from_bytes(bytes).map_err(|_| RecordError::Damaged("standing"))?;
            let Some(epoch) = standing.in_force else { continue };
            if standing.serves().any(|e| e == epoch) {
                continue;
            }
            let of =
                |tag: u8| get::<KeyRecord>(store, Tree::Records, &tagged(tag, &key[1..]), "record");
            let record = of(b'n')?.or(of(b'r')?);
            let member = record.and_then(|r| {
                r.certificate.public.committee.member(core.index()).map(|m| m.identity)
            });
            count += u64::from(member == Some(core.me.identity));
        }
        after.clone_from(last);
    }
}

/// The greatest threshold of a key that this node serves; none if it serves none.
pub(crate) fn greatest_threshold(store: &dyn Store) -> Read<Option<Threshold>> {
    let (mut after, mut greatest) = (vec![b'v'], None);
    loop {
        let page = store.scan(Tree::Records, b"v", Some(&after), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(greatest) };
        for (key, _) in &page {
            let of =
                |tag: u8| get::<KeyRecord>(store, Tree::Records, &tagged(tag, &key[1..]), "record");
            // Of a key that is not born yet there is no record.
            let record = of(b'n')?.or(of(b'r')?);
            greatest = greatest.max(record.map(|r| r.certificate.public.committee.threshold()));
        }
        after.clone_from(last);
    }
}

/// All that a ceremony step looks at.
pub(crate) fn load_state(store: &dyn Store, s: &Subject) -> Read<VersionState> {
    let (name, version) = (&s.key, s.version);
    let standing = standing(store, name, version)?;
    let number = if s.number == 0 { standing.highest_active().unwrap_or(0) } else { s.number };
    let attempt = attempt(store, name, version, number)?;
    let share_in_force = match standing.in_force {
        Some(epoch) => share(store, name, version, epoch.number)?,
        None => None,
    };
    let mut state = VersionState {
        head: head_order(store, &ChainId::Key(name.clone()))?,
        rotation: head_order(store, &ChainId::Rotation(name.clone()))?,
        frozen: get(store, Tree::Records, &named(b'f', name), "freeze")?,
        share_in_force,
        standing,
        record: record(store, name, version)?,
        newest: newest(store, name, version)?,
        bundle: store
            .get(Tree::Records, &of_attempt(b'b', name, version, s.number))?
            .map(|b| b.to_vec()),
        order: match &attempt {
            Some(attempt) => order(store, &attempt.prepared().order)?,
            None => None,
        },
        attempt,
        ..VersionState::default()
    };
    for kind in SecretKind::ALL {
        let key = of_attempt(kind as u8, name, version, s.number);
        if let Some(bytes) = store.get(Tree::Secrets, &key)? {
            state.secrets.set(kind, &bytes).map_err(|_| RecordError::Damaged("secret"))?;
        }
    }
    Ok(state)
}

/// Adds a step's changes to a batch. `sequence` gives each order its number.
pub(crate) fn put_changes(
    mut batch: Batch,
    changes: &Changes,
    mut sequence: impl FnMut() -> u64,
) -> Result<Batch, StoreError> {
    let (name, version) = (&changes.key, changes.version);
    let attempt = |tag: u8, number: u64| of_attempt(tag, name, version, number);
    let epoch = |number: u64| {
        let subject = Subject { key: name.clone(), version, number };
        EpochId::new(subject.store_epoch().to_vec())
    };
    for change in &changes.list {
        batch = match change {
            Change::Head(order) => put_order(batch, order, sequence()),
            Change::Attempt(number, a) => {
                batch.put(Tree::Records, attempt(b'a', *number), a.to_bytes())
            }
            Change::Bundle(number, bytes) => {
                batch.put(Tree::Records, attempt(b'b', *number), bytes.clone())
            }
            Change::Seal(number, kind, secret) => {
                let key = attempt(*kind as u8, *number);
                batch.seal(Tree::Secrets, key, &epoch(*number)?, secret.clone())
            }
            Change::Drop(number, kind) => {
                batch.delete(Tree::Secrets, attempt(*kind as u8, *number))
            }
            Change::Standing(standing) => {
                let serving = of_version(b'v', name, version);
                let batch = match standing.serves().next() {
                    Some(e) => batch.put(Tree::Records, serving, e.number.to_be_bytes().to_vec()),
                    None => batch.delete(Tree::Records, serving),
                };
                batch.put(Tree::Records, of_version(b's', name, version), standing.to_bytes())
            }
            Change::Record(record) => {
                batch.put(Tree::Records, of_version(b'r', name, version), record.to_bytes())
            }
            Change::Newest(record) => {
                batch.put(Tree::Records, of_version(b'n', name, version), record.to_bytes())
            }
            Change::Freeze(frozen) => {
                batch.put(Tree::Records, named(b'f', name), frozen.to_bytes())
            }
            Change::Erase(number) => {
                batch.erase_epoch(&epoch(*number)?).delete(Tree::Records, attempt(b'b', *number))
            }
            Change::Forget(number) => batch
                .erase_epoch(&epoch(*number)?)
                .delete(Tree::Records, attempt(b'b', *number))
                .delete(Tree::Records, attempt(b'a', *number)),
        };
    }
    Ok(batch)
}

/// A key's name in the keys of its versions' records.
pub(crate) fn versions_of(tag: u8, name: &KeyName) -> Vec<u8> {
    [&[tag], name.as_str().as_bytes(), &[0]].concat()
}

/// Removes the marks that versions of a key are served.
pub(crate) fn delete_serving(store: &dyn Store, batch: Batch, name: &KeyName) -> Read<Batch> {
    delete_records(store, batch, &versions_of(b'v', name))
}

/// Removes what is held of all versions of a key: its secrets are gone.
pub(crate) fn delete_standings(store: &dyn Store, batch: Batch, name: &KeyName) -> Read<Batch> {
    delete_records(store, batch, &versions_of(b's', name))
}

/// Removes the records with this prefix: as many as a key has versions.
fn delete_records(store: &dyn Store, batch: Batch, prefix: &[u8]) -> Read<Batch> {
    let records = store.scan(Tree::Records, prefix, None, MAX_VERSIONS as usize)?;
    Ok(records.into_iter().fold(batch, |batch, (key, _)| batch.delete(Tree::Records, key)))
}

/// What the orders say that made the versions of a key that are born; of a key that is not, the
/// newest order.
pub(crate) fn makers(store: &dyn Store, name: &KeyName) -> Read<Vec<CreateKey>> {
    let action = |signed: &SignedOrder| match Order::from_bytes(&signed.0.body) {
        Ok(order) => Ok(order.action),
        Err(_) => Err(RecordError::Damaged("order")),
    };
    let mut all = Vec::new();
    for record in births(store, name)? {
        let version = record.certificate.public.version;
        all.extend(action(&record.order)?.create_key_of(version).map(Cow::into_owned));
    }
    if let Some(head) = head_order(store, &ChainId::Key(name.clone()))? {
        all.extend(action(&head)?.create_key().cloned());
    }
    Ok(all)
}

/// Attempts of any version of which something is left, at most about `limit`.
pub(crate) fn attempts(store: &dyn Store, name: &KeyName, limit: usize) -> Read<BTreeSet<Subject>> {
    let mut found = BTreeSet::new();
    let public = [(Tree::Records, b'a'), (Tree::Records, b'b')];
    let secret = SecretKind::ALL.map(|kind| (Tree::Secrets, kind as u8));
    for (tree, tag) in public.into_iter().chain(secret) {
        let prefix = versions_of(tag, name);
        for (key, _) in store.scan(tree, &prefix, None, limit)? {
            let read = |rest: &[u8]| {
                let (version, number) = rest.split_first_chunk::<4>()?;
                let version = KeyVersion::new(u32::from_be_bytes(*version))?;
                let number = u64::from_be_bytes(number.try_into().ok()?);
                Some(Subject { key: name.clone(), version, number })
            };
            let subject = key.get(prefix.len()..).and_then(read);
            found.insert(subject.ok_or(RecordError::Damaged("attempt's key"))?);
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// Erases the secrets of an attempt, so that nothing opens them again, and forgets it.
pub(crate) fn erase_attempt(batch: Batch, s: &Subject) -> Result<Batch, StoreError> {
    let key = |tag: u8| of_attempt(tag, &s.key, s.version, s.number);
    let batch = batch.erase_epoch(&EpochId::new(s.store_epoch().to_vec())?);
    Ok(batch.delete(Tree::Records, key(b'a')).delete(Tree::Records, key(b'b')))
}

/// A key version ready for requests; `None` if no order of it is known.
pub(crate) fn load_key(
    core: &Core,
    name: &KeyName,
    version: KeyVersion,
) -> Result<Option<KeyState>, Fault> {
    find_key(core, name, version).map_err(|e| e.fault(core))
}

fn find_key(core: &Core, name: &KeyName, version: KeyVersion) -> Read<Option<KeyState>> {
    let store = &*core.store;
    let standing = standing(store, name, version)?;
    let record = record(store, name, version)?;
    let frozen = store.get(Tree::Records, &named(b'f', name))?.is_some();
    // Who may use the key, the order says that made it.
    let active = standing.active.as_ref().map(|a| &a.order);
    let made = match record.as_ref().map(|r| &r.order).or(active) {
        Some(order) => Some(order.clone()),
        None => to_come(store, name, version)?,
    };
    let Some(order) = made else { return Ok(None) };
    let Some(create) = verified(core, &order)?.create_key_of(version).map(Cow::into_owned) else {
        return Ok(None);
    };
    let refuses = states::refuses(store, name, version)?;
    let mut shares = Vec::new();
    if !frozen && refuses != Some(RefusalReason::Destroyed) {
        let served: Vec<EpochName> = standing.serves().collect();
        let others = served.iter().skip(1).rev().take(MAX_SERVED - 1);
        for epoch in served.first().into_iter().chain(others) {
            shares.push(served_share(core, name, version, epoch)?);
        }
    }
    let older = has_newer(store, name, version)?;
    Ok(Some(KeyState::new(create, shares).refusing(refuses).with_newer(older)))
}

/// Whether a version above this one is born.
fn has_newer(store: &dyn Store, name: &KeyName, version: KeyVersion) -> Read<bool> {
    let (all, this) = (versions_of(b'r', name), of_version(b'r', name, version));
    Ok(!store.scan(Tree::Records, &all, Some(&this), 1)?.is_empty())
}

/// The newest order under which a version may be born, that is not born here.
fn to_come(store: &dyn Store, name: &KeyName, version: KeyVersion) -> Read<Option<SignedOrder>> {
    for chain in [ChainId::Key(name.clone()), ChainId::Rotation(name.clone())] {
        let Some(signed) = head_order(store, &chain)? else { continue };
        let order = Order::from_bytes(&signed.0.body).map_err(|_| RecordError::Damaged("order"))?;
        if order.action.create_key_of(version).is_some() {
            return Ok(Some(signed));
        }
    }
    Ok(None)
}

/// The birth certificates of all versions of a key, ascending.
pub(crate) fn births(store: &dyn Store, name: &KeyName) -> Read<Vec<KeyRecord>> {
    let prefix = versions_of(b'r', name);
    let records = store.scan(Tree::Records, &prefix, None, MAX_VERSIONS as usize)?;
    let read =
        |bytes: &[u8]| KeyRecord::from_bytes(bytes).map_err(|_| RecordError::Damaged("key record"));
    records.iter().map(|(_, bytes)| read(bytes)).collect()
}

/// The newest version of a key that is born, as far as this node knows. Without reading the records
/// of all: from the first one on in steps that double, then halve.
pub(crate) fn newest_born(store: &dyn Store, name: &KeyName) -> Read<Option<KeyVersion>> {
    // The newest is `low` or above it, and `high` at most.
    let (mut low, mut high, mut step) = (0, MAX_VERSIONS, 0);
    while low < high {
        let probe = (low + step).min(high - 1);
        match born_after(store, name, probe)? {
            Some(version) => (low, step) = (version.get(), (2 * step).max(1)),
            None => (high, step) = (probe, (probe - low) / 2),
        }
    }
    Ok(KeyVersion::new(low))
}

/// The next version above one that is born.
fn born_after(store: &dyn Store, name: &KeyName, version: u32) -> Read<Option<KeyVersion>> {
    let prefix = versions_of(b'r', name);
    let after = [&prefix[..], &version.to_be_bytes()].concat();
    let page = store.scan(Tree::Records, &prefix, Some(&after), 1)?;
    let Some((key, _)) = page.first() else { return Ok(None) };
    let version = key.get(prefix.len()..).and_then(|v| v.try_into().ok()).map(u32::from_be_bytes);
    let version = version.and_then(KeyVersion::new).filter(|v| v.get() <= MAX_VERSIONS);
    version.map(Some).ok_or(RecordError::Damaged("record's key"))
}

fn served_share(
    core: &Core,
    name: &KeyName,
    version: KeyVersion,
    epoch: &EpochName,
) -> Read<Share> {
    let store = &*core.store;
    let attempt = attempt(store, name, version, epoch.number)?;
    let receipt = attempt.as_ref().and_then(Attempt::receipt);
    let public = receipt.map(|r| &r.public).filter(|p| p.epoch == *epoch);
    let public = public.ok_or(RecordError::Damaged("public values: they are missing"))?;
    let secret = share(store, name, version, epoch.number)?;
    let secret = secret.ok_or(RecordError::Damaged("share: it is missing"))?;
    let damaged = |_| RecordError::Damaged("public values");
    Share::new(public.clone(), core.index(), secret).map_err(damaged)
}

fn verified(core: &Core, order: &SignedOrder) -> Read<VerifiedOrder> {
    VerifiedOrder::verify(&core.cluster(), order).map_err(|_| RecordError::Damaged("order"))
}
