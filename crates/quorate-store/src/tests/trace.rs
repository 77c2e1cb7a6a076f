//! What the shim (`shim.c`) recorded of a process, and the directories that a power cut could leave
//! of it. Of each file, all up to its last sync is there, and of what was written later a random
//! subset of 512-byte sectors. `sync_file_range` counts for nothing. Names change in order, as a
//! journal keeps them.
//!
//! Used by the tests of the store, and of nodes (by path).

use rand::{RngExt, rngs::StdRng};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// One operation of the shim's log.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) kind: u8,
    pub(crate) path: PathBuf,
    at: usize,
    pub(crate) data: Vec<u8>,
}

/// A store's directory, if the power goes after these events; of what is not synced, a sector is
/// there with probability `keep`.
pub(crate) fn image(
    before: &Files,
    store: &Path,
    events: &[Event],
    keep: f64,
    rng: &mut StdRng,
) -> Files {
    let mut durable = before.clone();
    let mut pending: BTreeMap<PathBuf, Vec<&Event>> = BTreeMap::new();
    for event in events {
        let Ok(path) = event.path.strip_prefix(store).map(Path::to_owned) else { continue };
        match event.kind {
            b'w' | b't' => pending.entry(path).or_default().push(event),
            b's' => {
                for event in pending.remove(&path).unwrap_or_default() {
                    apply(durable.entry(path.clone()).or_default(), event, 0, event.data.len());
                }
            }
            b'c' => drop(durable.entry(path).or_default()),
            b'z' => {
                pending.remove(&path);
                durable.insert(path, Vec::new());
            }
            b'u' => {
                pending.remove(&path);
                durable.remove(&path);
            }
            b'r' => {
                let to = PathBuf::from(String::from_utf8(event.data.clone()).unwrap());
                let to = to.strip_prefix(store).unwrap().to_owned();
                durable.insert(to.clone(), durable.get(&path).cloned().unwrap_or_default());
                durable.remove(&path);
                let moved = pending.remove(&path).unwrap_or_default();
                pending.insert(to, moved);
            }
            other => panic!("unknown event {other}"),
        }
    }
    for (path, events) in pending {
        let file = durable.entry(path).or_default();
        for event in events {
            for from in (0..event.data.len().max(1)).step_by(512) {
                if rng.random_bool(keep) {
                    apply(file, event, from, event.data.len().min(from + 512));
                }
            }
        }
    }
    durable
}

/// Applies bytes `from..to` of an event's data to a file.
fn apply(file: &mut Vec<u8>, event: &Event, from: usize, to: usize) {
    if event.kind == b't' {
        file.resize(event.at, 0);
        return;
    }
    if file.len() < event.at + to {
        file.resize(event.at + to, 0);
    }
    file[event.at + from..event.at + to].copy_from_slice(&event.data[from..to]);
}

pub(crate) fn parse(mut log: &[u8]) -> Vec<Event> {
    let mut take = |len: usize| {
        let (head, rest) = log.split_at_checked(len)?;
        log = rest;
        Some(head)
    };
    let mut events = Vec::new();
    while let Some(kind) = take(1) {
        let kind = kind[0];
        let len = usize::from(u16::from_ne_bytes(take(2).unwrap().try_into().unwrap()));
        let path = PathBuf::from(String::from_utf8(take(len).unwrap().to_vec()).unwrap());
        let at = u64::from_ne_bytes(take(8).unwrap().try_into().unwrap()) as usize;
        let len = u32::from_ne_bytes(take(4).unwrap().try_into().unwrap()) as usize;
        events.push(Event { kind, path, at, data: take(len).unwrap().to_vec() });
    }
    events
}

/// Every file below a folder, by relative path.
pub(crate) fn read_all(dir: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

pub(crate) fn write_all(dir: &Path, files: &Files) {
    fs::create_dir_all(dir.join("sled/blobs")).unwrap();
    fs::create_dir_all(dir.join("audit")).unwrap();
    for (path, bytes) in files {
        fs::write(dir.join(path), bytes).unwrap();
    }
}
