//! Tests of the store: what a disk can do to it, and what it must do then.

mod audit;
mod basic;
mod child;
mod erase;
mod faults;
mod faulty;
mod flips;
mod kill;
mod measure;
mod misuse;
mod power;
mod trace;

pub(crate) use child::{folder, home};
pub(crate) use faults::Faults;

use quorate_crypto::{IdentityKey, SecretBytes, ShareIndex};
use std::{path::Path, sync::Arc};

use crate::{EpochId, Kek, Limits, Opening, SledStore, StoreError, disk::Disk, open};

/// Node 1 of the test cluster.
pub(crate) fn opening() -> Opening {
    Opening {
        node: ShareIndex::new(1).unwrap(),
        cluster: [0xc1; 32],
        identity: IdentityKey::from_seed(&[0x1d; 32]),
        kek: Kek::from_bytes(SecretBytes::new([0x5e; 32])),
        limits: Limits { hard_bytes: 0, hard_percent: 0, reserve_bytes: 0 },
        on_poison: None,
    }
}

pub(crate) fn epoch(name: &str) -> EpochId {
    EpochId::new(name.as_bytes()).unwrap()
}

/// Opens a store and gives its disk, to make it fail.
pub(crate) fn open_faulty(dir: &Path) -> Result<(SledStore, Arc<Disk>), StoreError> {
    let disk = Arc::new(Disk::new(None));
    let store = SledStore::from_parts(open::open(Arc::clone(&disk), dir, opening())?);
    Ok((store, disk))
}

/// Puts an empty store where there was one.
pub(crate) fn renew(dir: &Path) {
    std::fs::remove_dir_all(dir).unwrap();
    SledStore::create(dir, opening()).unwrap().close().unwrap();
}
