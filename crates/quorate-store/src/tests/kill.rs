//! SIGKILL: the page cache survives, so this tests order and start-up, not durability.

use rand::RngExt;
use std::{fs, path::Path, thread::sleep, time::Duration};

use super::{
    child::{Run, acks, folder, home, rounds, verify},
    opening,
};
use crate::SledStore;

#[test]
fn killed_at_random_moments_it_shows_what_was_acknowledged_and_exactly_that() {
    let home = home();
    let mut rng = rand::rng();
    for round in 0..rounds(12) {
        let threads = 3;
        let run = Run { home: home.path(), threads, steps: 10_000, env: vec![] };
        let told = fs::metadata(home.path().join("store-acks")).map_or(0, |m| m.len());
        let mut child = run.spawn();
        // Every other round is killed during its start, the others while they write.
        for _ in 0..10_000 * (round % 2) {
            if fs::metadata(home.path().join("store-acks")).is_ok_and(|m| m.len() > told + 60) {
                break;
            }
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_micros(rng.random_range(1..40_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        verify(&home.path().join("store"), threads, &acks(home.path()))
            .unwrap_or_else(|e| panic!("round {round}: {e}"));
    }
    assert!(!acks(home.path()).is_empty(), "no round lived long enough to write");
}

/// Every operation of a start-up, of the first steps and of a clean close is once the last one.
#[test]
fn killed_before_each_operation_it_opens_again() {
    let stride = if std::env::var("QUORATE_STORE_ROUNDS").is_ok() { 1 } else { 23 };
    let mut ended_by_itself = false;
    for at in (1..2000).step_by(stride) {
        let home = home();
        let env = vec![("QS_KILL_AT", at.to_string())];
        let status = Run { home: home.path(), threads: 1, steps: 15, env }.spawn().wait().unwrap();
        verify(&home.path().join("store"), 1, &acks(home.path()))
            .unwrap_or_else(|e| panic!("killed before operation {at}: {e}"));
        if status.success() {
            ended_by_itself = true;
            break;
        }
    }
    assert!(ended_by_itself, "the run has more operations than were tried");
}

/// sled #1527, #1533: what a kill during sled's start-up snapshot leaves.
#[test]
fn a_snapshot_that_was_being_written_is_no_corruption() {
    let home = home();
    let sled = home.path().join("store/sled");
    let leftover = sled.join("snap.00000000FFFFFFFF.generating");
    fs::write(&leftover, b"half a snapsh").unwrap();
    let raw = raw_copy(&sled);
    assert!(sled::open(raw.path()).is_err(), "sled has learnt to ignore it: drop the workaround");
    SledStore::open(&home.path().join("store"), opening()).unwrap();
    assert!(!leftover.exists());
}

fn raw_copy(sled: &Path) -> tempfile::TempDir {
    let copy = folder();
    for entry in fs::read_dir(sled).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::create_dir(copy.path().join("blobs")).unwrap();
    copy
}
