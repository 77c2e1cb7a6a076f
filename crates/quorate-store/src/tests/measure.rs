//! Measurements, not run by default: `cargo test --release -p quorate-store -- --ignored --nocapture`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Instant,
};

use super::{epoch, opening};
use crate::{Batch, EpochId, SledStore, Store, Tree};

/// On a real disk: `/dev/shm` syncs nothing.
fn disk_home() -> tempfile::TempDir {
    let base = std::env::var("QUORATE_STORE_DISK").map_or(std::env::temp_dir(), PathBuf::from);
    tempfile::tempdir_in(base).unwrap()
}

#[test]
#[ignore = "a measurement"]
fn how_long_commits_and_audit_appends_take() {
    let home = disk_home();
    let store = SledStore::create(&home.path().join("store"), opening()).unwrap();
    let mut commits: Vec<_> = (0..2000_u32)
        .map(|i| {
            let batch = Batch::new().put(Tree::Meta, (i % 50).to_be_bytes(), vec![0; 200]);
            let start = Instant::now();
            store.commit(batch).unwrap();
            start.elapsed()
        })
        .collect();
    commits.sort();
    println!("commit: median {:?}, p99 {:?}", commits[1000], commits[1980]);
    for waiters in [1_u32, 8, 64] {
        let each = 8000 / waiters.max(4);
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..waiters {
                scope.spawn(|| {
                    for _ in 0..each {
                        store.audit_append(vec![7; 300]).unwrap();
                    }
                });
            }
        });
        let rate = f64::from(each * waiters) / start.elapsed().as_secs_f64();
        println!(
            "audit: {waiters} waiters, {rate:.0} appends/s, {:.0} µs each",
            1e6 * f64::from(waiters) / rate
        );
    }
}

#[test]
#[ignore = "a measurement"]
fn how_long_a_node_with_10_000_keys_takes_to_start() {
    let home = disk_home();
    let dir = home.path().join("store");
    let store = SledStore::create(&dir, opening()).unwrap();
    for chunk in 0..100_u32 {
        let batch = (0..100).fold(Batch::new(), |b, i| {
            let id = (chunk * 100 + i).to_be_bytes();
            let key = |kind: u8| [&[kind] as &[u8], b"a key name of usual length/1/", &id].concat();
            let e = numbered(chunk * 100 + i);
            b.put(Tree::Records, key(1), vec![1; 400])
                .put(Tree::Records, key(2), vec![2; 3000])
                .put(Tree::Records, key(3), vec![3; 1200])
                .put(Tree::Orders, key(4), vec![4; 900])
                .put(Tree::Records, key(5), vec![5; 1400])
                .seal(Tree::Secrets, key(6), &e, vec![6; 80])
        });
        store.commit(batch).unwrap();
    }
    store.close().unwrap();
    // A process of its own, so that its memory is the store's.
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "tests::measure::child_starts", "--nocapture"]).env("QS_MEASURE", &dir);
    assert!(child.status().unwrap().success());
}

#[test]
fn child_starts() {
    let Ok(dir) = std::env::var("QS_MEASURE") else { return };
    let before = resident();
    let start = Instant::now();
    let store = SledStore::open(Path::new(&dir), opening()).unwrap();
    let took = start.elapsed();
    println!("open: {took:?}, {before} -> {} MiB resident", resident());
    let start = Instant::now();
    let (mut after, mut seen) = (Vec::new(), 0);
    while let Some((last, _)) = store.scan(Tree::Secrets, b"", Some(&after), 500).unwrap().pop() {
        (after, seen) = (last, seen + 500);
    }
    println!("scan of {seen} secrets: {:?}, {} MiB", start.elapsed(), resident());
    let start = Instant::now();
    store.commit(Batch::new().erase_epoch(&numbered(77))).unwrap();
    println!("erasing one epoch of 10,000: {:?}", start.elapsed());
    assert!(took.as_secs() < 5);
}

fn numbered(key: u32) -> EpochId {
    epoch(&format!("{key:040}"))
}

/// Resident memory of this process, in MiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}
