//! One changed byte, anywhere in a cleanly closed store: refused, or identical content.

use std::{collections::BTreeMap, fs, path::Path};

use super::{
    epoch, home, opening,
    trace::{read_all, write_all},
};
use crate::{Batch, SledStore, Store, Tree};

/// By default every 97th byte; every single one with `QUORATE_STORE_FLIPS=all`.
#[test]
fn a_changed_byte_is_refused_or_harmless() {
    let stride = match std::env::var("QUORATE_STORE_FLIPS") {
        Ok(all) if all == "all" => 1,
        _ => 97,
    };
    let home = home();
    let dir = home.path().join("store");
    fill(&dir);
    let files = read_all(&dir);
    let honest = contents(&dir).unwrap();
    let mut tally: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for (name, bytes) in &files {
        let written = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        // Zeros that were never written are tried less densely.
        let places =
            (0..written).step_by(stride).chain((written..bytes.len()).step_by(stride * 64));
        for at in places {
            let mut changed = files.clone();
            changed.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            let copy = home.path().join("copy");
            write_all(&copy, &changed);
            let count = tally.entry(name.display().to_string()).or_default();
            match contents(&copy) {
                Err(e) => {
                    assert!([65, 78].contains(&e.exit_code()), "{}@{at}: {e}", name.display());
                    count[0] += 1;
                }
                Ok(found) => {
                    assert!(found == honest, "{}@{at} changed the content", name.display());
                    count[1] += 1;
                }
            }
            fs::remove_dir_all(&copy).unwrap();
        }
    }
    println!("file: [refused, identical] {tally:#?}");
    assert!(tally["keys"][0] > 0 && tally["sled/db"][0] > 0 && tally["manifest"][1] > 0);
}

#[test]
fn a_cut_file_is_refused_or_harmless() {
    let home = home();
    let dir = home.path().join("store");
    fill(&dir);
    let files = read_all(&dir);
    let honest = contents(&dir).unwrap();
    for (name, bytes) in files.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        for keep in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = files.clone();
            changed.get_mut(name).unwrap().truncate(keep);
            let copy = home.path().join("copy");
            write_all(&copy, &changed);
            match contents(&copy) {
                Err(e) => assert_eq!(e.exit_code(), 65, "{} cut to {keep}: {e}", name.display()),
                Ok(found) => assert!(found == honest, "{} cut to {keep}", name.display()),
            }
            fs::remove_dir_all(&copy).unwrap();
        }
    }
}

fn fill(dir: &Path) {
    let store = SledStore::open(dir, opening()).unwrap();
    let (live, gone) = (epoch("live"), epoch("gone"));
    store
        .commit(
            Batch::new()
                .put(Tree::Records, "key", vec![1; 30])
                .seal(Tree::Secrets, "old", &gone, vec![2; 32])
                .seal(Tree::Secrets, "share", &live, vec![3; 32]),
        )
        .unwrap();
    store.commit(Batch::new().erase_epoch(&gone).put(Tree::Orders, "1", vec![4; 60])).unwrap();
    store.audit_append(vec![5; 40]).unwrap();
    store.audit_append_many(vec![vec![6; 9], vec![7; 9]]).unwrap();
    store.close().unwrap();
}

type Contents = (Vec<(Tree, Vec<u8>, Vec<u8>)>, Vec<(u64, Vec<u8>)>, (u64, [u8; 32]));

fn contents(dir: &Path) -> Result<Contents, crate::StoreError> {
    let store = SledStore::open(dir, opening())?;
    let mut records = Vec::new();
    for tree in Tree::ALL {
        let found = store.scan(tree, b"", None, 100)?;
        records.extend(found.into_iter().map(|(k, v)| (tree, k, v.to_vec())));
    }
    Ok((records, store.audit_read(0, 100)?, store.audit_head()))
}
