//! An erased epoch stays erased, also for someone who has every file, the KEK and this source.

use std::{collections::BTreeSet, fs, path::Path};

use quorate_crypto::SecretBytes;

use super::{epoch, faults::Kind, folder, home, open_faulty, opening, trace::read_all};
use crate::{
    Batch, SledStore, Store, Tree,
    keyring::Keyring,
    record,
    seal::{self, Owner, SEAL_OVERHEAD, record_aad},
};

#[test]
fn no_window_of_any_file_opens_a_record_of_an_erased_epoch() {
    assert_eq!(search(true), Found { erased: 0, live: 1 });
}

/// A test that cannot fail proves nothing.
#[test]
fn with_the_rewrite_taken_out_the_search_finds_the_erased_records_key() {
    assert_eq!(search(false), Found { erased: 1, live: 1 });
}

/// A crash between the batch that erases and the rewrite: the next start makes up for it.
#[test]
fn an_erasure_cut_short_is_finished_at_the_next_start() {
    let home = home();
    let dir = home.path().join("store");
    let (old, live) = (epoch("old"), epoch("live"));
    let (store, disk) = open_faulty(&dir).unwrap();
    store.commit(seals(&old, &live)).unwrap();
    let before = fs::read(Keyring::path(&dir)).unwrap();
    disk.faults.fail(Kind::Rename, 1, std::io::ErrorKind::Other);
    assert!(store.commit(Batch::new().erase_epoch(&old)).is_err());
    drop(store);
    let copy = folder();
    super::trace::write_all(copy.path(), &read_all(&dir));
    assert_eq!(fs::read(Keyring::path(copy.path())).unwrap(), before);

    let store = SledStore::open(copy.path(), opening()).unwrap();
    assert!(store.get(Tree::Secrets, b"old").unwrap().is_none());
    assert!(store.get(Tree::Secrets, b"live").unwrap().is_some());
    let after = fs::read(Keyring::path(copy.path())).unwrap();
    assert!(after.len() < before.len() && !contains(&after, old.as_bytes()));
    assert!(!copy.path().join("keys.tmp").exists());
}

/// Keys that an erasure has kept, all in one block, and keys that have come since.
#[test]
fn kept_and_later_keys_open_after_a_restart_whatever_else_is_erased() {
    let home = home();
    let dir = home.path().join("store");
    let store = SledStore::open(&dir, opening()).unwrap();
    let seal = |n: u8| {
        let id = epoch(&format!("epoch {n}"));
        Batch::new().seal(Tree::Secrets, [n], &id, vec![n; usize::from(n)])
    };
    (0..40).for_each(|n| store.commit(seal(n)).unwrap());
    store.commit(Batch::new().erase_epoch(&epoch("epoch 7"))).unwrap();
    (40..50).for_each(|n| store.commit(seal(n)).unwrap());
    store.close().unwrap();
    for erased in [vec![7], vec![7, 8, 45]] {
        let store = SledStore::open(&dir, opening()).unwrap();
        for n in 0..50 {
            let expected = (!erased.contains(&n)).then(|| vec![n; usize::from(n)]);
            let found = store.get(Tree::Secrets, &[n]).unwrap();
            assert_eq!(found.map(|v| v.to_vec()), expected, "{n}");
        }
        store.commit(Batch::new().erase_epoch(&epoch("epoch 8"))).unwrap();
        store.commit(Batch::new().erase_epoch(&epoch("epoch 45"))).unwrap();
        store.close().unwrap();
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    erased: usize,
    live: usize,
}

fn seals(old: &crate::EpochId, live: &crate::EpochId) -> Batch {
    Batch::new().seal(Tree::Secrets, "old", old, b"old share".to_vec()).seal(
        Tree::Secrets,
        "live",
        live,
        b"live share".to_vec(),
    )
}

/// Seals a record under each of two epochs, erases one, and tries every window of every file as a
/// wrapped key: first under the KEK, then under whatever that gave, then against both records.
fn search(rewrite: bool) -> Found {
    let home = home();
    let dir = home.path().join("store");
    let (old, live) = (epoch("old"), epoch("live"));
    let (store, disk) = open_faulty(&dir).unwrap();
    if !rewrite {
        disk.faults.take_rewrite_out();
    }
    store.commit(seals(&old, &live)).unwrap();
    let body = |key: &[u8]| {
        let value = store.engine.get(&record::head_key(Tree::Secrets, key)).unwrap().unwrap();
        let head = record::decode_head(&value).unwrap();
        (head.body, head.sequence)
    };
    let (old_record, live_record) = (body(b"old"), body(b"live"));
    store.commit(Batch::new().erase_epoch(&old)).unwrap();
    store.close().unwrap();
    let files: Vec<Vec<u8>> = read_all(&dir).into_values().map(trimmed).collect();
    assert!(files.iter().any(|f| contains(f, &old_record.0)), "sled has forgotten the old record");

    let owner = Owner { node: opening().node, cluster: opening().cluster };
    let kek = opening().kek.wrapping_key(&owner.cluster, None).unwrap();
    let mut keys = vec![kek];
    let generations = 1..4_u64;
    let roots: Vec<_> = generations
        .clone()
        .map(|g| {
            seal::aad(quorate_crypto::hash::Label::STORE_ROOT_KEY, &owner, &[&g.to_be_bytes()])
        })
        .collect();
    let mut epochs = Vec::new();
    for (generation, number, id) in generations
        .clone()
        .flat_map(|g| (0..3_u32).map(move |n| (g, n)))
        .flat_map(|(g, n)| [&old, &live].map(|id| (g, n, id)))
    {
        let parts: [&[u8]; 3] = [&generation.to_be_bytes(), &number.to_be_bytes(), id.as_bytes()];
        epochs.push(seal::aad(quorate_crypto::hash::Label::STORE_EPOCH_KEY, &owner, &parts));
    }
    // Unwrap whatever unwraps: the root keys under the KEK, blocks and epoch keys under those.
    let found: Vec<_> = files.iter().flat_map(|file| unwrap_all(file, &keys, &roots)).collect();
    assert!(!found.is_empty());
    keys.extend(found);
    let blocks: Vec<_> = generations
        .map(|g| seal::aad(quorate_crypto::hash::Label::STORE_EPOCHS, &owner, &[&g.to_be_bytes()]))
        .collect();
    let appended: Vec<_> = files.iter().flat_map(|file| unwrap_all(file, &keys, &epochs)).collect();
    let of_blocks: Vec<_> =
        files.iter().flat_map(|file| open_blocks(file, &keys, &blocks)).collect();
    // Where the file was written anew the live key is in its block, else both are appended.
    assert_eq!((appended.is_empty(), of_blocks.is_empty()), (rewrite, !rewrite));
    keys.extend(appended.into_iter().chain(of_blocks));
    let opens = |(body, sequence): &(Vec<u8>, u64), name: &[u8], id| {
        let aad = record_aad(&owner, Tree::Secrets, name, id, *sequence);
        keys.iter().filter(|key| seal::open(key, &aad, body).is_some()).count().min(1)
    };
    Found { erased: opens(&old_record, b"old", &old), live: opens(&live_record, b"live", &live) }
}

fn unwrap_all(file: &[u8], keys: &[SecretBytes<32>], aads: &[Vec<u8>]) -> Vec<SecretBytes<32>> {
    let windows: BTreeSet<&[u8]> = file.windows(32 + SEAL_OVERHEAD).collect();
    let tries = windows.into_iter().flat_map(|w| keys.iter().map(move |k| (w, k)));
    tries
        .flat_map(|(window, key)| aads.iter().filter_map(move |aad| seal::open(key, aad, window)))
        .map(|plain| SecretBytes::new(plain[..].try_into().unwrap()))
        .collect()
}

/// Whatever may be a key in a block of one of the two epochs, or of both, at any place.
fn open_blocks(file: &[u8], keys: &[SecretBytes<32>], aads: &[Vec<u8>]) -> Vec<SecretBytes<32>> {
    let (old, live) = (2 + "old".len() + 32, 2 + "live".len() + 32);
    let windows: BTreeSet<&[u8]> = [old, live, old + live]
        .into_iter()
        .flat_map(|len| file.windows(len + SEAL_OVERHEAD))
        .filter(|w| w[..8] != [0; 8])
        .collect();
    let tries = windows.into_iter().flat_map(|w| keys.iter().map(move |k| (w, k)));
    let plains = tries
        .flat_map(|(window, key)| aads.iter().filter_map(move |aad| seal::open(key, aad, window)));
    let key = |w: &[u8]| SecretBytes::new(w.try_into().unwrap());
    plains.flat_map(|plain| plain.windows(32).map(key).collect::<Vec<_>>()).collect()
}

/// Without the zeros at the end: no key is there.
fn trimmed(mut file: Vec<u8>) -> Vec<u8> {
    let end = file.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    file.truncate(end);
    file
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

#[test]
fn the_files_hold_no_secret_in_the_clear() {
    let home = home();
    let dir = home.path().join("store");
    let store = SledStore::open(&dir, opening()).unwrap();
    let secret = b"a share that no file may show".to_vec();
    store.commit(Batch::new().seal(Tree::Secrets, "s", &epoch("e"), secret.clone())).unwrap();
    store.close().unwrap();
    let all = read_all(Path::new(&dir));
    assert!(all.values().all(|file| !contains(file, &secret)));
    assert!(all.values().all(|file| !contains(file, &[0x5e; 32])), "the KEK is on disk");
}
