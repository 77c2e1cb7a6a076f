//! What the store says about itself, signed by its node: in sled with every batch, and after the
//! barrier in one of two slots of the file `manifest`, alternately.
//!
//! ```text
//! "QSMF" ‖ version u16 ‖ node u16 ‖ cluster 32 ‖ sequence u64 ‖ hash of the previous manifest 32
//!   ‖ count u64 ‖ root 32 ‖ audit length u64 ‖ audit head 32 ‖ signature 64
//! slot:  manifest ‖ check 32, at offset 4096 × (sequence mod 2)
//! ```

use quorate_audit::Chain;
use quorate_crypto::{IdentityKey, PublicKey, Signature, hash::Label};
use std::path::{Path, PathBuf};

use crate::{
    StoreError,
    disk::{Disk, DiskFile, open_existing, read_small},
    layout::{CHECK_LEN, Reader, VERSION, check, checked, sha256},
    seal::Owner,
};

/// A signed manifest.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) sequence: u64,
    pub(crate) previous: [u8; 32],
    pub(crate) count: u64,
    pub(crate) root: [u8; 32],
    pub(crate) audit: Chain,
    bytes: Vec<u8>,
}

/// What the next manifest says.
pub(crate) struct Claims {
    pub(crate) count: u64,
    pub(crate) root: [u8; 32],
    pub(crate) audit: Chain,
}

impl Manifest {
    /// The manifest after `previous`; the first has number 0 and the hash 0 before it.
    pub(crate) fn next(
        previous: Option<&Self>,
        claims: Claims,
        owner: &Owner,
        identity: &IdentityKey,
    ) -> Self {
        let (sequence, before) = previous.map_or((0, [0; 32]), |p| (p.sequence + 1, p.hash()));
        let Claims { count, root, audit } = claims;
        let mut bytes = KIND.to_vec();
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&owner.node.get().to_be_bytes());
        bytes.extend_from_slice(&owner.cluster);
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&before);
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&root);
        bytes.extend_from_slice(&audit.length().to_be_bytes());
        bytes.extend_from_slice(audit.head());
        let signature = identity.sign(Label::SIG_MANIFEST, &owner.cluster, &bytes);
        bytes.extend_from_slice(&signature.0);
        Self { sequence, previous: before, count, root, audit, bytes }
    }

    /// Parses and verifies a manifest of this node.
    pub(crate) fn verify(bytes: &[u8], owner: &Owner, identity: &PublicKey) -> Option<Self> {
        let (body, signature) = bytes.split_last_chunk::<64>()?;
        identity.verify(Label::SIG_MANIFEST, &owner.cluster, body, &Signature(*signature)).ok()?;
        let mut r = Reader::new(body);
        let ours = r.array()? == *KIND
            && r.u16()? == VERSION
            && r.u16()? == owner.node.get()
            && r.array()? == owner.cluster;
        let (sequence, previous) = (r.u64()?, r.array()?);
        let (count, root) = (r.u64()?, r.array()?);
        let audit = Chain::resume(r.u64()?, r.array()?);
        r.end()?;
        ours.then(|| Self { sequence, previous, count, root, audit, bytes: bytes.to_vec() })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(Label::STORE_MANIFEST, &[&self.bytes])
    }
}

/// The file with the two slots.
pub(crate) struct Slots {
    file: DiskFile,
}

impl Slots {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("manifest")
    }

    pub(crate) fn create(disk: &Disk, dir: &Path) -> Result<Self, StoreError> {
        let file = disk.replace(&Self::path(dir), &[0; 2 * SLOT as usize])?;
        Ok(Self { file })
    }

    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { file: open_existing(&Self::path(dir))? })
    }

    /// Writes a manifest into its slot, durably. The other slot keeps the one before it.
    pub(crate) fn write(&self, disk: &Disk, manifest: &Manifest) -> Result<(), StoreError> {
        let mut slot = manifest.bytes().to_vec();
        slot.extend_from_slice(&check(manifest.bytes()));
        disk.write_at(&self.file, SLOT * (manifest.sequence % 2), &slot)?;
        disk.sync(&self.file)
    }

    /// The newest whole manifest in the slots.
    pub(crate) fn newest(
        &self,
        owner: &Owner,
        identity: &PublicKey,
    ) -> Result<Manifest, StoreError> {
        let bytes = read_small(&self.file, 2 * SLOT)?;
        let read = |slot: usize| {
            let at = slot * SLOT as usize;
            let body = checked(bytes.get(at..at + LEN + CHECK_LEN)?)?;
            Manifest::verify(body, owner, identity).filter(|m| m.sequence % 2 == slot as u64)
        };
        read(0).into_iter().chain(read(1)).max_by_key(|m| m.sequence).ok_or_else(|| {
            StoreError::corrupt(&self.file.path, "neither slot holds a manifest of this node")
        })
    }

    /// Holds that sled's manifest is the newest of the slots, or the one after it: a crash between
    /// sled's barrier and the slot's leaves sled one ahead (that batch was not acknowledged, but
    /// is whole). Sled behind the slots has lost what was acknowledged.
    pub(crate) fn admit(&self, newest: &Manifest, sled: &Manifest) -> Result<(), StoreError> {
        let same = newest == sled;
        let one_ahead =
            newest.sequence.checked_add(1) == Some(sled.sequence) && sled.previous == newest.hash();
        if same || one_ahead {
            return Ok(());
        }
        let what = format!(
            "its newest manifest is number {}, the engine's is number {}, and does not continue it: records were lost or put back",
            newest.sequence, sled.sequence
        );
        Err(StoreError::corrupt(&self.file.path, what))
    }
}

const KIND: &[u8; 4] = b"QSMF";

/// One slot, in bytes: a page, so that no device tears both with one write.
const SLOT: u64 = 4096;

/// Bytes of a manifest.
const LEN: usize = 4 + 2 + 2 + 32 + 8 + 32 + 8 + 32 + 8 + 32 + 64;
