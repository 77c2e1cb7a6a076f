//! The file `keys`: one key for each epoch, outside sled, so that an epoch can be erased.
//!
//! ```text
//! "QSKY" ‖ version u16 ‖ node u16 ‖ cluster 32 ‖ generation u64
//!   ‖ root key, sealed under the KEK 72 ‖ check 32
//!   ‖ length u32 ‖ block, sealed under the root key:
//!       for each epoch: length u16 ‖ epoch ‖ epoch key 32
//! then for each epoch that has come since:
//!   length u16 ‖ epoch ‖ epoch key, sealed under the root key 72
//! ```
//!
//! A new epoch is appended and synced *before* the batch that seals under it; erasing writes the
//! whole file anew under a fresh root key *after* the batch that removes the epoch's records. So
//! after any crash the file may hold keys that no live record needs, and never lacks one: the next
//! start drops what is not needed.
//!
//! Each erasure seals every key again, and a node may hold very many: hence one block, not one
//! sealed value for each.

use quorate_crypto::{SecretBytes, hash::Label};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

use crate::{
    EpochId, StoreError,
    disk::{Disk, DiskFile, open_existing, read_small},
    layout::{CHECK_LEN, Reader, check, checked},
    seal::{self, Owner, SEAL_OVERHEAD, Sealing, aad},
};

/// The open key file, its root key, and the key of each epoch.
pub(crate) struct Keyring {
    owner: Owner,
    file: DiskFile,
    kek: SecretBytes<32>,
    root: SecretBytes<32>,
    generation: u64,
    keys: BTreeMap<EpochId, SecretBytes<32>>,
    /// Entries and bytes in the file; an erased epoch's entry counts until the rewrite.
    entries: u32,
    length: u64,
    /// The file ends in something that is no entry: a torn append.
    torn: bool,
}

impl Keyring {
    /// Bytes in front of the block's length.
    pub(crate) const HEADER: usize = 4 + 2 + 2 + 32 + 8 + SEALED_KEY + CHECK_LEN;

    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("keys")
    }

    /// Makes the file, without any epoch.
    pub(crate) fn create(
        disk: &Disk,
        dir: &Path,
        owner: Owner,
        kek: SecretBytes<32>,
    ) -> Result<Self, StoreError> {
        let (root, generation, keys) = (seal::random(), 1, BTreeMap::new());
        let bytes = encode(&owner, &kek, &root, generation, &keys);
        let file = disk.replace(&Self::path(dir), &bytes)?;
        let length = bytes.len() as u64;
        Ok(Self { owner, file, kek, root, generation, keys, entries: 0, length, torn: false })
    }

    /// Opens the file. `kek_kind` is for the message if the KEK is a wrong one.
    pub(crate) fn open(
        dir: &Path,
        owner: Owner,
        kek: SecretBytes<32>,
        kek_kind: &'static str,
    ) -> Result<Self, StoreError> {
        let path = Self::path(dir);
        let file = open_existing(&path)?;
        let bytes = Zeroizing::new(read_small(&file, MAX_FILE)?);
        let broken = |what: &str| StoreError::corrupt(&path, what);
        let (header, epochs) =
            bytes.split_at_checked(Self::HEADER).ok_or_else(|| broken("its header is cut"))?;
        let header = checked(header).ok_or_else(|| broken("its header's check does not match"))?;
        if let Some(got) = version(header)
            && got != VERSION
        {
            return Err(StoreError::OtherFormat { path, expected: VERSION, got });
        }
        let (generation, wrapped) =
            decode_header(header, &owner).ok_or_else(|| broken("its header does not parse"))?;
        let root = seal::open(&kek, &root_aad(&owner, generation), wrapped)
            .and_then(secret)
            .ok_or_else(|| StoreError::WrongKek { path: path.clone(), source_name: kek_kind })?;
        let (keys, count, torn) = decode_epochs(&owner, &root, generation, epochs);
        let length = bytes.len() as u64;
        Ok(Self { owner, file, kek, root, generation, keys, entries: count, length, torn })
    }

    pub(crate) fn get(&self, epoch: &EpochId) -> Option<&SecretBytes<32>> {
        self.keys.get(epoch)
    }

    /// Makes a key for an epoch that has none. It is durable only after [`Keyring::append`].
    pub(crate) fn make(&mut self, epoch: EpochId) {
        self.keys.entry(epoch).or_insert_with(seal::random);
    }

    /// Forgets an epoch's key. The file does so only at the next [`Keyring::rewrite`].
    pub(crate) fn forget(&mut self, epoch: &EpochId) {
        self.keys.remove(epoch);
    }

    /// Appends the keys of new epochs, durably.
    ///
    /// A crash before the sync leaves a torn tail, after it keys that no record uses; neither
    /// was acknowledged, and the next start drops both.
    pub(crate) fn append(&mut self, disk: &Disk, epochs: &[EpochId]) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        let sealing = Sealing::new(&self.root);
        for epoch in epochs {
            let Some(key) = self.keys.get(epoch) else { continue };
            let aad = epoch_aad(&self.owner, self.generation, self.entries, epoch);
            push_entry(&sealing, seal::random().expose(), &aad, epoch, key, &mut bytes);
            self.entries += 1;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        disk.write_at(&self.file, self.length, &bytes)?;
        disk.sync(&self.file)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Writes the file anew, under a fresh root key, with the keys that are left.
    ///
    /// A crash before the rename leaves the old file, whose extra keys the next start drops.
    pub(crate) fn rewrite(&mut self, disk: &Disk) -> Result<(), StoreError> {
        #[cfg(test)]
        if disk.faults.rewrite_is_out() {
            return Ok(());
        }
        self.root = seal::random();
        self.generation += 1;
        let bytes = encode(&self.owner, &self.kek, &self.root, self.generation, &self.keys);
        let fresh = disk.replace(&self.file.path, &bytes)?;
        let old = std::mem::replace(&mut self.file, fresh);
        self.entries = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.length = bytes.len() as u64;
        self.torn = false;
        // The old file has no name any more. Where the medium writes in place, this also wipes
        // the old root key; elsewhere it is wasted.
        disk.write_at(&old, 0, &[0; Self::HEADER])?;
        disk.sync(&old)
    }

    /// Whether the file holds anything but one whole entry for each of these epochs.
    pub(crate) fn has_leftovers<'a>(&self, live: impl Fn(&EpochId) -> bool + 'a) -> bool {
        self.torn || self.entries as usize != self.keys.len() || !self.keys.keys().all(live)
    }

    /// Forgets the keys of all other epochs.
    pub(crate) fn retain(&mut self, live: impl Fn(&EpochId) -> bool) {
        self.keys.retain(|epoch, _| live(epoch));
    }
}

fn encode(
    owner: &Owner,
    kek: &SecretBytes<32>,
    root: &SecretBytes<32>,
    generation: u64,
    keys: &BTreeMap<EpochId, SecretBytes<32>>,
) -> Vec<u8> {
    let mut out = KIND.to_vec();
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&owner.node.get().to_be_bytes());
    out.extend_from_slice(&owner.cluster);
    out.extend_from_slice(&generation.to_be_bytes());
    out.extend_from_slice(&seal::seal(kek, &root_aad(owner, generation), root.expose()));
    let check = check(&out);
    out.extend_from_slice(&check);
    debug_assert_eq!(out.len(), Keyring::HEADER);
    // Exact from the start: a buffer that grows leaves copies of keys behind.
    let length = keys.keys().map(|epoch| 2 + epoch.as_bytes().len() + KEY).sum();
    let mut block = Zeroizing::new(Vec::with_capacity(length));
    for (epoch, key) in keys {
        push_epoch(epoch, &mut block);
        block.extend_from_slice(key.expose());
    }
    debug_assert_eq!(block.len(), length);
    let sealed = u32::try_from(length + SEAL_OVERHEAD).expect("a node holds far fewer epochs");
    out.reserve_exact(4 + length + SEAL_OVERHEAD);
    out.extend_from_slice(&sealed.to_be_bytes());
    let (nonce, aad) = (seal::random(), block_aad(owner, generation));
    Sealing::new(root).append(nonce.expose(), &aad, &block, &mut out);
    out
}

fn version(header: &[u8]) -> Option<u16> {
    let mut r = Reader::new(header);
    if r.array()? == *KIND { r.u16() } else { None }
}

fn decode_header<'a>(header: &'a [u8], owner: &Owner) -> Option<(u64, &'a [u8])> {
    let mut r = Reader::new(header);
    let ours = r.array()? == *KIND
        && r.u16()? == VERSION
        && r.u16()? == owner.node.get()
        && r.array()? == owner.cluster;
    let generation = r.u64()?;
    let wrapped = r.take(SEALED_KEY)?;
    r.end()?;
    ours.then_some((generation, wrapped))
}

fn push_entry(
    sealing: &Sealing,
    nonce: &[u8; 24],
    aad: &[u8],
    epoch: &EpochId,
    key: &SecretBytes<32>,
    out: &mut Vec<u8>,
) {
    push_epoch(epoch, out);
    sealing.append(nonce, aad, key.expose(), out);
}

fn push_epoch(epoch: &EpochId, out: &mut Vec<u8>) {
    let len = u16::try_from(epoch.as_bytes().len()).expect("an epoch id has at most 96 bytes");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(epoch.as_bytes());
}

/// The block and the entries up to the first that is torn or changed. Whether something is missing
/// is decided against the live records.
fn decode_epochs(
    owner: &Owner,
    root: &SecretBytes<32>,
    generation: u64,
    bytes: &[u8],
) -> (BTreeMap<EpochId, SecretBytes<32>>, u32, bool) {
    let mut r = Reader::new(bytes);
    let mut block = || {
        let length = usize::try_from(r.u32()?).ok()?;
        let plain = seal::open(root, &block_aad(owner, generation), r.take(length)?)?;
        decode_block(&plain)
    };
    let Some(mut keys) = block() else { return (BTreeMap::new(), 0, true) };
    let mut count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    let mut rest = r.rest();
    while !rest.is_empty() {
        let mut r = Reader::new(rest);
        let mut next = || {
            let len = usize::from(r.u16()?);
            let epoch = EpochId::new(r.take(len)?).ok()?;
            let sealed = r.take(SEALED_KEY)?;
            let aad = epoch_aad(owner, generation, count, &epoch);
            Some((epoch, secret(seal::open(root, &aad, sealed)?)?))
        };
        let Some((epoch, key)) = next() else { return (keys, count, true) };
        keys.insert(epoch, key);
        count += 1;
        rest = r.rest();
    }
    (keys, count, false)
}

fn decode_block(plain: &[u8]) -> Option<BTreeMap<EpochId, SecretBytes<32>>> {
    let (mut keys, mut rest) = (BTreeMap::new(), plain);
    while !rest.is_empty() {
        let mut r = Reader::new(rest);
        let len = usize::from(r.u16()?);
        let epoch = EpochId::new(r.take(len)?).ok()?;
        keys.insert(epoch, SecretBytes::new(r.array()?));
        rest = r.rest();
    }
    Some(keys)
}

fn secret(bytes: Zeroizing<Vec<u8>>) -> Option<SecretBytes<32>> {
    bytes.first_chunk().filter(|_| bytes.len() == 32).map(|b| SecretBytes::new(*b))
}

fn root_aad(owner: &Owner, generation: u64) -> Vec<u8> {
    aad(Label::STORE_ROOT_KEY, owner, &[&generation.to_be_bytes()])
}

fn block_aad(owner: &Owner, generation: u64) -> Vec<u8> {
    aad(Label::STORE_EPOCHS, owner, &[&generation.to_be_bytes()])
}

fn epoch_aad(owner: &Owner, generation: u64, number: u32, epoch: &EpochId) -> Vec<u8> {
    let parts: [&[u8]; 3] = [&generation.to_be_bytes(), &number.to_be_bytes(), epoch.as_bytes()];
    aad(Label::STORE_EPOCH_KEY, owner, &parts)
}

const KIND: &[u8; 4] = b"QSKY";
/// The first had no block.
const VERSION: u16 = 2;
const KEY: usize = 32;
const SEALED_KEY: usize = KEY + SEAL_OVERHEAD;
/// 300,000 epochs of the longest id: far above what a node may hold, far below its memory.
const MAX_FILE: u64 = 64 << 20;
