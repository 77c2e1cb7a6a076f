//! Failed syncs and full disks, from outside (the shim) and within (the disk layer).

use std::{
    fs,
    io::ErrorKind,
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use super::{
    child::{Run, acks, home, rounds, verify},
    epoch,
    faults::Kind,
    open_faulty, opening,
};
use crate::{Batch, SledStore, Store, StoreError, Tree};

#[test]
fn when_a_sync_fails_the_process_is_gone_within_a_second_and_nothing_acknowledged_is_lost() {
    let stride = (200 / rounds(10).min(200)) as usize;
    for at in (1..=200).step_by(stride) {
        let home = home();
        let env = vec![("QS_FAIL_SYNC", at.to_string())];
        let run = Run { home: home.path(), threads: 2, steps: 60, env };
        let status = run.spawn().wait().unwrap();
        let gone = SystemTime::now();
        let failed = fs::metadata(home.path().join("store.failed")).expect("no sync failed");
        let late = gone.duration_since(failed.modified().unwrap()).unwrap_or_default();
        assert_eq!(status.code(), Some(70), "sync {at}");
        assert!(late < Duration::from_secs(1), "sync {at}: {late:?}");
        verify(&home.path().join("store"), 2, &acks(home.path()))
            .unwrap_or_else(|e| panic!("sync {at}: {e}"));
    }
}

#[test]
fn when_the_disk_fills_up_nothing_acknowledged_is_lost() {
    for full_after in [100, 4_000, 30_000, 90_000] {
        let home = home();
        let env = vec![("QS_FULL_AFTER", full_after.to_string())];
        let run = Run { home: home.path(), threads: 2, steps: 300, env };
        let code = run.spawn().wait().unwrap().code();
        assert_eq!(code, Some(70), "full after {full_after} bytes");
        verify(&home.path().join("store"), 2, &acks(home.path()))
            .unwrap_or_else(|e| panic!("full after {full_after}: {e}"));
    }
}

#[test]
fn below_the_hard_threshold_writes_are_refused_cleanly_and_go_on_when_there_is_room() {
    let home = home();
    let dir = home.path().join("store");
    let mut with_limit = opening();
    with_limit.limits.hard_bytes = 1 << 20;
    let store = SledStore::open(&dir, with_limit).unwrap();
    store.commit(Batch::new().put(Tree::Meta, "k", "v")).unwrap();
    store.room.pretend.store(100, Ordering::Relaxed);
    assert!(matches!(store.commit(Batch::new()), Err(StoreError::Full { free: 100, .. })));
    assert!(store.audit_append(vec![1]).unwrap_err().is_full());
    assert!(!store.space().allows_writes() && !store.space().allows_ceremonies());
    assert_eq!(**store.get(Tree::Meta, b"k").unwrap().unwrap(), *b"v");
    assert!(!store.poisoned());
    store.room.pretend.store((1 << 20) + 1, Ordering::Relaxed);
    assert!(store.space().allows_writes() && !store.space().allows_ceremonies());
    store.audit_append(vec![1]).unwrap();
    store.room.pretend.store(0, Ordering::Relaxed);
    store.close().unwrap();
    assert_eq!(SledStore::open(&dir, opening()).unwrap().audit_head().0, 1);
}

/// Every operation of our own disk layer fails once: the step is not acknowledged, nothing is
/// written after it, readers are refused too, and the next process finds what was acknowledged.
#[test]
fn each_operation_of_a_step_that_fails_poisons_for_good() {
    let home = home();
    let dir = home.path().join("store");
    let (e1, e2) = (epoch("e1"), epoch("e2"));
    let steps = || {
        [
            Batch::new().seal(Tree::Secrets, "a", &e1, vec![1]),
            Batch::new().seal(Tree::Secrets, "b", &e2, vec![2]).erase_epoch(&e1),
            Batch::new().erase_epoch(&e2),
        ]
    };
    for error in [ErrorKind::StorageFull, ErrorKind::Other] {
        for at in 1.. {
            let (store, disk) = open_faulty(&dir).unwrap();
            disk.faults.fail(Kind::Any, at, error);
            let mut told = 0;
            let failed = steps().into_iter().find_map(|batch| {
                let result = store.commit(batch).and_then(|()| store.audit_append(vec![0]));
                told += u64::from(result.is_ok());
                result.err()
            });
            let Some(failed) = failed else {
                assert!(at > 20, "only {at} operations");
                break;
            };
            assert_eq!(failed.exit_code(), 70);
            assert!(store.poisoned());
            assert!(matches!(store.get(Tree::Secrets, b"a"), Err(StoreError::Poisoned { .. })));
            assert!(matches!(store.commit(Batch::new()), Err(StoreError::Poisoned { .. })));
            assert!(store.audit_append(vec![1]).is_err());
            assert!(store.audit_read(0, 1).is_err());
            // This process goes on only because it is a test; its engine is leaked, with its lock.
            drop(store);
            let copy = tempfile::tempdir_in(home.path()).unwrap();
            super::trace::write_all(copy.path(), &super::trace::read_all(&dir));
            let store = SledStore::open(copy.path(), opening())
                .unwrap_or_else(|e| panic!("operation {at}: {e}"));
            let a = store.get(Tree::Secrets, b"a").unwrap().is_some();
            let b = store.get(Tree::Secrets, b"b").unwrap().is_some();
            let seen = match (a, b) {
                (true, false) => vec![1, 0],
                (false, true) => vec![1, 2],
                (false, false) => vec![0, 2, 3],
                (true, true) => vec![],
            };
            assert!(seen.contains(&told) || seen.contains(&(told + 1)), "{at}: {a} {b} {told}");
            drop(store);
            super::renew(&dir);
        }
        super::renew(&dir);
    }
}
