//! Rows 41 and 42: a log that was cut, edited, reordered, repeated or extended on disk.

use std::{fs, path::Path, path::PathBuf};

use quorate_audit::{Chain, Frame};

use super::{
    home, opening,
    trace::{read_all, write_all},
};
use crate::{SledStore, Store, StoreError};

/// Appends entries in several batches and segments, and closes cleanly.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let home = home();
    let dir = home.path().join("store");
    let store = SledStore::open(&dir, opening()).unwrap();
    for n in 0..30_u8 {
        let leaves = (0..=n % 3).map(|i| vec![n; 40 + usize::from(i)]).collect();
        store.audit_append_many(leaves).unwrap();
    }
    store.close().unwrap();
    (home, dir)
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(dir.join("audit")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 2, "the test's segments are small");
    paths
}

fn refused(dir: &Path) -> StoreError {
    match SledStore::open(dir, opening()) {
        Ok(_) => panic!("it opened"),
        Err(e) => e,
    }
}

#[test]
fn entries_read_back_across_segments_from_anywhere() {
    let (_home, dir) = filled();
    let store = SledStore::open(&dir, opening()).unwrap();
    let all = store.audit_read(0, 1000).unwrap();
    assert_eq!(all.len(), 60);
    assert!(all.iter().enumerate().all(|(i, (index, _))| *index == i as u64));
    for from in 0..62 {
        let part = store.audit_read(from as u64, 7).unwrap();
        assert_eq!(part, all[from.min(60)..(from + 7).min(60)], "from {from}");
    }
    let mut chain = Chain::new();
    for (_, leaf) in &all {
        chain.append(leaf);
    }
    assert_eq!(store.audit_head(), (60, *chain.head()));
}

#[test]
fn a_cut_tail_or_a_lost_segment_is_refused_by_the_manifest() {
    let (home, dir) = filled();
    let files = read_all(&dir);
    let paths = segments(&dir);
    let last = paths.last().unwrap().strip_prefix(&dir).unwrap().to_owned();
    for keep in (0..files[&last].len()).step_by(7) {
        let mut cut = files.clone();
        cut.get_mut(&last).unwrap().truncate(keep);
        let copy = home.path().join("copy");
        write_all(&copy, &cut);
        let error = refused(&copy);
        assert_eq!(error.exit_code(), 65, "cut to {keep}");
        assert!(error.to_string().contains("entry") || error.to_string().contains("entries"));
        fs::remove_dir_all(&copy).unwrap();
    }
    for lost in paths {
        let bytes = fs::read(&lost).unwrap();
        fs::remove_file(&lost).unwrap();
        assert_eq!(refused(&dir).exit_code(), 65, "{} lost", lost.display());
        fs::write(&lost, bytes).unwrap();
    }
    SledStore::open(&dir, opening()).unwrap();
}

#[test]
fn swapped_repeated_and_renamed_segments_are_refused() {
    let (_home, dir) = filled();
    let paths = segments(&dir);
    let (first, second) = (fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    fs::write(&paths[0], &second).unwrap();
    fs::write(&paths[1], &first).unwrap();
    assert!(refused(&dir).to_string().contains("does not continue this node's log"));
    fs::write(&paths[0], &first).unwrap();
    assert_eq!(refused(&dir).exit_code(), 65);
    fs::write(&paths[1], &second).unwrap();
    fs::write(dir.join("audit/notes"), b"x").unwrap();
    assert!(refused(&dir).to_string().contains("not a segment"));
}

/// Someone who can compute checks rewrites the whole log consistently, or forks its end.
#[test]
fn a_consistently_rewritten_log_is_refused_by_the_manifest() {
    let (_home, dir) = filled();
    let paths = segments(&dir);
    let path = paths.last().unwrap();
    let mut chain = Chain::new();
    let store = SledStore::open(&dir, opening()).unwrap();
    let first: u64 = path.to_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
    let all = store.audit_read(0, 1000).unwrap();
    drop(store);
    for (_, leaf) in &all[..first as usize] {
        chain.append(leaf);
    }
    let header = fs::read(path).unwrap()[..112].to_vec();
    let mut leaves: Vec<_> = all[first as usize..].iter().map(|(_, leaf)| leaf.clone()).collect();
    leaves[0][0] ^= 1;
    let forged = [header, Frame::append(&mut chain, &leaves).unwrap()].concat();
    fs::write(path, forged).unwrap();
    let error = refused(&dir).to_string();
    assert!(error.contains("not the one that the manifest remembers"), "{error}");
}

/// What was never acknowledged may go; what a later frame shows to have been durable may not.
#[test]
fn a_torn_last_batch_is_cut_and_anything_else_is_refused() {
    let (_home, dir) = filled();
    let path = segments(&dir).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let store = SledStore::open(&dir, opening()).unwrap();
    let (length, head) = store.audit_head();
    drop(store);
    let mut chain = Chain::resume(length, head);
    let next = Frame::append(&mut chain, &[vec![8; 600]]).unwrap();
    let after = Frame::append(&mut chain, &[vec![9; 600]]).unwrap();
    let with = |tail: &[u8]| fs::write(&path, [&whole, tail].concat()).unwrap();

    for torn in
        [&next[..1], &next[..next.len() - 1], &[0; 700], &[&[0; 512], &next[512..]].concat()]
    {
        with(torn);
        let store = SledStore::open(&dir, opening()).unwrap();
        assert_eq!(store.audit_head(), (length, head));
        drop(store);
        assert_eq!(fs::read(&path).unwrap(), whole, "the torn batch was not cut");
    }
    let mut broken = next.clone();
    broken[30] ^= 1;
    with(&[broken, after].concat());
    assert_eq!(refused(&dir).exit_code(), 65);
    with(&vec![0; quorate_audit::MAX_FRAME + 1]);
    assert_eq!(refused(&dir).exit_code(), 65);

    // A whole frame that nobody was told of (a crash after its sync) is kept.
    with(&next);
    let store = SledStore::open(&dir, opening()).unwrap();
    assert_eq!(store.audit_head().0, length + 1);
    assert_eq!(store.audit_append(vec![1]).unwrap(), length + 1);
}

/// A crash while a new segment was made leaves a file without a header.
#[test]
fn a_stillborn_segment_is_removed() {
    let (_home, dir) = filled();
    for content in [&[] as &[u8], b"QSAU", &[0; 112]] {
        let stillborn = dir.join("audit/audit-00000000000000000060");
        fs::write(&stillborn, content).unwrap();
        let store = SledStore::open(&dir, opening()).unwrap();
        assert_eq!(store.audit_head().0, 60);
        assert!(!stillborn.exists());
    }
}
