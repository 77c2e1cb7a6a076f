//! What is written is read, by the engine as by the model.

use proptest::prelude::*;

use super::{epoch, folder, open_faulty, opening};
use crate::{Batch, MAX_VALUE, MemStore, SledStore, Store, StoreError, Tree, record::PIECE};

#[test]
fn records_and_entries_outlive_a_restart() {
    let home = folder();
    let dir = home.path().join("store");
    let store = SledStore::create(&dir, opening()).unwrap();
    let (e1, e2) = (epoch("e1"), epoch("e2"));
    store
        .commit(
            Batch::new()
                .put(Tree::Records, "a", vec![1; 3 * PIECE])
                .seal(Tree::Secrets, "share", &e1, vec![2; 40])
                .seal(Tree::Secrets, "long", &e2, vec![3; MAX_VALUE]),
        )
        .unwrap();
    store.commit(Batch::new().put(Tree::Records, "a", vec![4]).delete(Tree::Meta, "no")).unwrap();
    assert_eq!(store.audit_append(b"use 1".to_vec()).unwrap(), 0);
    assert_eq!(store.audit_append_many(vec![b"use 2".to_vec(), vec![]]).unwrap(), 1);
    let (heads, audit) = (store.manifest_head(), store.audit_head());
    store.close().unwrap();

    let store = SledStore::open(&dir, opening()).unwrap();
    assert_eq!(store.manifest_head().0, heads.0 + 1);
    assert_eq!(store.audit_head(), audit);
    assert_eq!(**store.get(Tree::Records, b"a").unwrap().unwrap(), [4]);
    assert_eq!(**store.get(Tree::Secrets, b"share").unwrap().unwrap(), [2; 40]);
    assert_eq!(store.get(Tree::Secrets, b"long").unwrap().unwrap().len(), MAX_VALUE);
    assert!(store.get(Tree::Records, b"share").unwrap().is_none());
    assert_eq!(store.audit_read(1, 9).unwrap(), [(1, b"use 2".to_vec()), (2, vec![])]);
    store.commit(Batch::new().erase_epoch(&e2)).unwrap();
    assert!(store.get(Tree::Secrets, b"long").unwrap().is_none());
    drop(store);
    let store = SledStore::open(&dir, opening()).unwrap();
    assert!(store.get(Tree::Secrets, b"long").unwrap().is_none());
    assert!(store.get(Tree::Secrets, b"share").unwrap().is_some());
    assert!(std::fs::read_dir(dir.join("sled/blobs")).unwrap().next().is_none());
}

#[test]
fn a_batch_that_breaks_a_limit_changes_nothing() {
    let home = folder();
    let store = SledStore::create(&home.path().join("store"), opening()).unwrap();
    let e = epoch("e");
    let base = || Batch::new().put(Tree::Meta, "k", "v");
    for batch in [
        base().put(Tree::Meta, "", "v"),
        base().put(Tree::Meta, vec![1; 257], "v"),
        base().put(Tree::Meta, "x", vec![0; MAX_VALUE + 1]),
        base().seal(Tree::Secrets, "s", &e, vec![1]).erase_epoch(&e).seal(
            Tree::Secrets,
            "s",
            &e,
            vec![2],
        ),
        (0..4096).fold(base(), |b, _| b.delete(Tree::Meta, "d")),
        (0..5).fold(base(), |b, _| b.put(Tree::Meta, "x", vec![0; MAX_VALUE])),
    ] {
        let refused = store.commit(batch).unwrap_err();
        assert_eq!(refused.exit_code(), 78, "{refused}");
        assert!(store.get(Tree::Meta, b"k").unwrap().is_none());
    }
    assert!(!store.poisoned());
    assert!(matches!(store.audit_append(vec![0; 1 << 20]), Err(StoreError::Leaf(_))));
    store.commit(base()).unwrap();
}

#[test]
fn writers_that_wait_share_a_sync_and_each_gets_its_own() {
    let home = folder();
    let dir = home.path().join("store");
    SledStore::create(&dir, opening()).unwrap().close().unwrap();
    let (store, _) = open_faulty(&dir).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..20_u8 {
                    let e = epoch(&format!("{thread}"));
                    let batch = Batch::new().put(Tree::Records, [thread, i], [i]);
                    let batch = match i % 5 {
                        4 => batch.erase_epoch(&e),
                        _ => batch.seal(Tree::Secrets, [thread, i], &e, vec![i]),
                    };
                    store.commit(batch).unwrap();
                    let at = store.audit_append(vec![thread, i]).unwrap();
                    assert_eq!(store.audit_read(at, 1).unwrap(), [(at, vec![thread, i])]);
                    assert_eq!(**store.get(Tree::Records, &[thread, i]).unwrap().unwrap(), [i]);
                }
            });
        }
    });
    drop(store);
    let store = SledStore::open(&dir, opening()).unwrap();
    assert_eq!(store.scan(Tree::Records, &[], None, 1000).unwrap().len(), 160);
    assert_eq!(store.scan(Tree::Secrets, &[], None, 1000).unwrap().len(), 0);
    assert_eq!(store.audit_head().0, 160);
}

#[derive(Debug, Clone)]
enum Op {
    Put(u8, u8, usize),
    Seal(u8, u8, u8, usize),
    Delete(u8, u8),
    Erase(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let size = prop_oneof![0..40_usize, PIECE - 45..PIECE + 5, Just(3 * PIECE)];
    prop_oneof![
        (0..2_u8, 0..4_u8, size.clone()).prop_map(|(t, k, s)| Op::Put(t, k, s)),
        (0..2_u8, 0..4_u8, 0..3_u8, size).prop_map(|(t, k, e, s)| Op::Seal(t, k, e, s)),
        (0..2_u8, 0..4_u8).prop_map(|(t, k)| Op::Delete(t, k)),
        (0..3_u8).prop_map(Op::Erase),
    ]
}

fn batch(ops: &[Op]) -> Batch {
    let tree = |t: &u8| [Tree::Secrets, Tree::Records][usize::from(*t)];
    let key = |k: &u8| vec![b'k'; usize::from(*k) + 1];
    ops.iter().fold(Batch::new(), |b, op| match op {
        Op::Put(t, k, s) => b.put(tree(t), key(k), vec![*s as u8; *s]),
        Op::Seal(t, k, e, s) => b.seal(tree(t), key(k), &epoch(&e.to_string()), vec![7; *s]),
        Op::Delete(t, k) => b.delete(tree(t), key(k)),
        Op::Erase(e) => b.erase_epoch(&epoch(&e.to_string())),
    })
}

fn contents(store: &dyn Store) -> Vec<(Tree, Vec<u8>, Vec<u8>)> {
    let of = |tree| {
        let records = store.scan(tree, b"", None, 1000).unwrap();
        records.into_iter().map(move |(k, v)| (tree, k, v.to_vec()))
    };
    Tree::ALL.into_iter().flat_map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_engine_does_what_the_model_does(
        steps in prop::collection::vec(prop::collection::vec(op(), 1..5), 1..8),
        restart in 0..8_usize,
    ) {
        let home = folder();
        let dir = home.path().join("store");
        let mut engine = SledStore::create(&dir, opening()).unwrap();
        let model = MemStore::new();
        for (number, ops) in steps.iter().enumerate() {
            let refused = model.commit(batch(ops)).is_err();
            prop_assert_eq!(engine.commit(batch(ops)).is_err(), refused);
            if number == restart {
                drop(engine);
                engine = SledStore::open(&dir, opening()).unwrap();
            }
            prop_assert_eq!(contents(&engine), contents(&model));
        }
        let page = |s: &dyn Store, after: &[u8]| s.scan(Tree::Records, b"kk", Some(after), 2).unwrap();
        for after in [b"k" as &[u8], b"kk", b"kkk", b"z"] {
            prop_assert_eq!(page(&engine, after), page(&model, after));
        }
    }
}
