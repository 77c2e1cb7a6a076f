//! Making a store, and opening one: nothing is skipped, nothing re-initialised.

use quorate_audit::Chain;
use quorate_crypto::{IdentityKey, SecretBytes, ShareIndex};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs,
    fs::File,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    StoreError,
    audit_log::AuditLog,
    commit::Live,
    disk::{Disk, OnPoison, open_existing, temporary_of, unreadable},
    engine::{Changes, Engine},
    format::Format,
    kek::{Kek, Stretch},
    keyring::Keyring,
    manifest::{Claims, Manifest, Slots},
    merkle::Index,
    read::{Census, Reading, census},
    record::MANIFEST_KEY,
    room::{Limits, Room},
    seal::Owner,
};

/// Who opens a store, and with what.
pub struct Opening {
    /// This node.
    pub node: ShareIndex,
    /// The cluster's fingerprint.
    pub cluster: [u8; 32],
    /// Signs the manifest.
    pub identity: IdentityKey,
    /// Opens the key file.
    pub kek: Kek,
    /// When a full disk is refused.
    pub limits: Limits,
    /// Told once when a write has failed, by the thread that failed. A node ends its process here,
    /// with exit code 70: every later store call only answers that the store is poisoned.
    pub on_poison: Option<OnPoison>,
}

/// A store's parts, verified against one another.
pub(crate) struct Parts {
    pub(crate) owner: Owner,
    pub(crate) identity: IdentityKey,
    pub(crate) disk: Arc<Disk>,
    pub(crate) engine: Engine,
    pub(crate) slots: Slots,
    pub(crate) audit: AuditLog,
    pub(crate) live: Live,
    pub(crate) room: Room,
    /// Held for life; the operating system lets go of it when the process ends.
    pub(crate) lock: File,
}

/// Makes an empty store in a directory that is missing or empty. It is built beside it and renamed,
/// so a crash leaves no half-made store: what is left of it is removed by the next attempt.
pub(crate) fn create(disk: &Arc<Disk>, dir: &Path, opening: &Opening) -> Result<(), StoreError> {
    if !is_missing_or_empty(dir)? {
        return Err(StoreError::NotEmpty { path: dir.to_owned() });
    }
    let scratch = scratch_of(dir);
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(|e| unreadable(&scratch, "remove", &e))?;
    }
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|e| unreadable(parent, "make", &e))?;
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700).create(&scratch).map_err(|e| unreadable(&scratch, "make", &e))?;
    fill(disk, &scratch, opening)?;
    disk.sync_dir(&scratch)?;
    disk.rename(&scratch, dir)?;
    disk.sync_dir(parent)
}

fn fill(disk: &Arc<Disk>, dir: &Path, opening: &Opening) -> Result<(), StoreError> {
    let owner = Owner { node: opening.node, cluster: opening.cluster };
    let stretch = matches!(opening.kek, Kek::Passphrase(_)).then(Stretch::fresh);
    let kek = wrapping_key(dir, opening, stretch.as_ref())?;
    let format = Format::new(&owner, &opening.identity.public(), stretch);
    disk.replace(&Format::path(dir), &format.encode())?;
    disk.sync_path(&lock_file(dir)?.1)?;
    Keyring::create(disk, dir, owner, kek)?;
    AuditLog::create(disk, &audit_dir(dir), &owner)?;
    let claims = Claims { count: 0, root: Index::new().root(), audit: Chain::new() };
    let first = Manifest::next(None, claims, &owner, &opening.identity);
    let engine = Engine::create(Arc::clone(disk), &sled_dir(dir))?;
    engine.apply(&Changes::from([(MANIFEST_KEY.to_vec(), Some(first.bytes().to_vec()))]))?;
    drop(engine);
    disk.sync_dir(&sled_dir(dir))?;
    Slots::create(disk, dir)?.write(disk, &first)
}

/// Opens a store and verifies all of it: manifest against records, keys against epochs, the audit
/// log against the head that the manifest remembers.
pub(crate) fn open(disk: Arc<Disk>, dir: &Path, opening: Opening) -> Result<Parts, StoreError> {
    if is_missing_or_empty(dir)? {
        return Err(StoreError::Missing { path: dir.to_owned() });
    }
    let owner = Owner { node: opening.node, cluster: opening.cluster };
    let public = opening.identity.public();
    let format = Format::read(dir)?;
    format.belongs_to(dir, &owner, &public)?;
    let lock = lock(dir)?;
    let room = Room::new(dir, opening.limits);
    room.give_back_if_full();
    remove_temporaries(&disk, dir)?;
    // What a killed process wrote may be in the page cache only. Nothing is built on it, or shown,
    // before it is durable. (The engine and the audit log do the same with their own files.)
    for file in [Keyring::path(dir), Slots::path(dir)] {
        disk.sync(&open_existing(&file)?)?;
    }
    disk.sync_dir(dir)?;

    let kek = wrapping_key(dir, &opening, format.stretch.as_ref())?;
    let mut keyring = Keyring::open(dir, owner, kek, opening.kek.kind())?;
    let slots = Slots::open(dir)?;
    let newest = slots.newest(&owner, &public)?;

    let engine = Engine::open(Arc::clone(&disk), &sled_dir(dir))?;
    let mut census = census(&engine)?;
    let manifest = agree(&engine, &mut census, &slots, &newest, |bytes| {
        Manifest::verify(bytes, &owner, &public)
    })?;
    census.hold_keys(&Reading { engine: &engine, owner: &owner, keyring: &keyring })?;
    let audit_dir = audit_dir(dir);
    let audit = AuditLog::open(Arc::clone(&disk), &audit_dir, owner, &manifest.audit, SEGMENT_LEN)?;

    // Everything has been verified; what a crash left over is mended from here on.
    if manifest != newest {
        slots.write(&disk, &manifest)?;
    }
    let Census { index, sealed, .. } = census;
    if keyring.has_leftovers(|epoch| sealed.contains_key(epoch)) {
        keyring.retain(|epoch| sealed.contains_key(epoch));
        keyring.rewrite(&disk)?;
    }
    room.set_aside();
    let live = Live { index, keyring, sealed, manifest };
    let identity = opening.identity;
    Ok(Parts { owner, identity, disk, engine, slots, audit, live, room, lock })
}

/// Holds the live records against sled's manifest, and that against the slots.
fn agree(
    engine: &Engine,
    census: &mut Census,
    slots: &Slots,
    newest: &Manifest,
    verify: impl Fn(&[u8]) -> Option<Manifest>,
) -> Result<Manifest, StoreError> {
    let refuse = |what: String| Err(StoreError::corrupt(engine.dir(), what));
    let Some(bytes) = &census.manifest else {
        return refuse(format!(
            "sled has lost the manifest; its log was cut or changed (expected number {})",
            newest.sequence
        ));
    };
    let Some(manifest) = verify(bytes) else {
        return refuse("the manifest in sled is not signed by this node".into());
    };
    slots.admit(newest, &manifest)?;
    let (count, root) = (census.index.count(), census.index.root());
    if count != manifest.count {
        return refuse(format!(
            "sled holds {count} physical records, manifest {} says {}",
            manifest.sequence, manifest.count
        ));
    }
    if root != manifest.root {
        return refuse(format!(
            "a record is not the one that manifest {} speaks of, though whole: an older one was put back",
            manifest.sequence
        ));
    }
    Ok(manifest)
}

fn wrapping_key(
    dir: &Path,
    opening: &Opening,
    stretch: Option<&Stretch>,
) -> Result<SecretBytes<32>, StoreError> {
    opening.kek.wrapping_key(&opening.cluster, stretch).ok_or_else(|| StoreError::KekKind {
        path: dir.to_owned(),
        expected: if stretch.is_some() { "passphrase" } else { "key" },
        got: opening.kek.kind(),
    })
}

fn is_missing_or_empty(dir: &Path) -> Result<bool, StoreError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(unreadable(dir, "list", &e)),
    }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let (file, path) = lock_file(dir)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { path: dir.to_owned() }),
        Err(e) => Err(unreadable(&path, "lock", &e.into())),
    }
}

/// The lock's file is made if it is missing: it holds nothing.
fn lock_file(dir: &Path) -> Result<(File, PathBuf), StoreError> {
    let path = dir.join("lock");
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(|e| unreadable(&path, "open", &e))?;
    Ok((file, path))
}

/// What a crash within [`Disk::replace`] leaves.
fn remove_temporaries(disk: &Disk, dir: &Path) -> Result<(), StoreError> {
    let temporary = temporary_of(&Keyring::path(dir));
    if temporary.exists() { disk.remove(&temporary) } else { Ok(()) }
}

fn scratch_of(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".creating");
    name.into()
}

fn sled_dir(dir: &Path) -> PathBuf {
    dir.join("sled")
}

fn audit_dir(dir: &Path) -> PathBuf {
    dir.join("audit")
}

/// Bytes after which the audit log goes on in a new file; small in tests, so that every crash meets
/// a change of files.
const SEGMENT_LEN: u64 = if cfg!(test) { 1 << 10 } else { 64 << 20 };
