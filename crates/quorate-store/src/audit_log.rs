//! The audit log's files: append-only segments with group commit.

use quorate_audit::{Chain, Frame, MAX_BATCH_BYTES, MAX_BATCH_LEAVES, check_batch};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    StoreError,
    disk::{Disk, open_existing, unreadable},
    group::Group,
    seal::Owner,
    segment::{Segment, Tail, first_of},
};

/// The log. Appends go through one leader; reads see durable entries only.
pub(crate) struct AuditLog {
    disk: Arc<Disk>,
    dir: PathBuf,
    owner: Owner,
    group: Group<Vec<Vec<u8>>>,
    durable: RwLock<Durable>,
    segment_len: u64,
}

struct Durable {
    chain: Chain,
    /// Never empty; the last one grows.
    segments: Vec<Segment>,
}

impl AuditLog {
    /// Makes the directory and an empty first segment.
    pub(crate) fn create(disk: &Disk, dir: &Path, owner: &Owner) -> Result<(), StoreError> {
        fs::create_dir(dir).map_err(|e| unreadable(dir, "make", &e))?;
        Segment::create(disk, dir, owner, &Chain::new()).map(drop)
    }

    /// Verifies the whole log, against the length and head that the manifest remembers, and cuts a
    /// torn batch off its end.
    pub(crate) fn open(
        disk: Arc<Disk>,
        dir: &Path,
        owner: Owner,
        remembered: &Chain,
        segment_len: u64,
    ) -> Result<Self, StoreError> {
        let (chain, segments) = recover(&disk, dir, &owner, remembered)?;
        let group = Group::new(chain.length());
        let durable = RwLock::new(Durable { chain, segments });
        Ok(Self { disk, dir: dir.to_owned(), owner, group, durable, segment_len })
    }

    /// Appends entries next to one another; gives the first one's index when they are durable.
    pub(crate) fn append(&self, leaves: Vec<Vec<u8>>) -> Result<u64, StoreError> {
        check_batch(&leaves).map_err(StoreError::Leaf)?;
        let weight = leaves.len() as u64;
        self.group.submit(leaves, weight, fits, |batches| self.write(batches.concat()))
    }

    pub(crate) fn read(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let durable = self.durable.read().unwrap_or_else(PoisonError::into_inner);
        let mut out = Vec::new();
        let start = durable.segments.partition_point(|s| s.first <= from).saturating_sub(1);
        for segment in &durable.segments[start..] {
            segment.read(from, limit, &mut out)?;
        }
        Ok(out)
    }

    /// Length and head of what is durable.
    pub(crate) fn chain(&self) -> Chain {
        self.durable.read().unwrap_or_else(PoisonError::into_inner).chain.clone()
    }

    /// The leader's work: one frame, one sync.
    fn write(&self, leaves: Vec<Vec<u8>>) -> Result<(), StoreError> {
        self.disk.alive()?;
        let mut chain = self.chain();
        let entry = chain.length();
        let frame = Frame::append(&mut chain, &leaves).map_err(StoreError::Leaf)?;
        let mut durable = self.durable.write().unwrap_or_else(PoisonError::into_inner);
        let full = durable.last().end >= self.segment_len;
        if full {
            let next = Segment::create(&self.disk, &self.dir, &self.owner, &durable.chain)?;
            durable.segments.push(next);
        }
        // A crash before the sync leaves a torn frame, which no one was told of; after it, entries
        // whose answers never left. Both are what §4.4 allows.
        durable.last().append(&self.disk, entry, &frame)?;
        durable.chain = chain;
        Ok(())
    }
}

impl Durable {
    fn last(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log has at least one segment")
    }
}

fn fits(taken: &[Vec<Vec<u8>>], next: &Vec<Vec<u8>>) -> bool {
    let batches = || taken.iter().chain([next]);
    let leaves: usize = batches().map(Vec::len).sum();
    let bytes: usize = batches().flatten().map(Vec::len).sum();
    leaves <= MAX_BATCH_LEAVES && bytes <= MAX_BATCH_BYTES
}

fn recover(
    disk: &Disk,
    dir: &Path,
    owner: &Owner,
    remembered: &Chain,
) -> Result<(Chain, Vec<Segment>), StoreError> {
    let mut paths = list(dir)?;
    // The newest file may have been made by a crash; older ones were whole before it was made.
    if paths.len() > 1 && Segment::is_stillborn(&paths[paths.len() - 1])? {
        disk.remove(&paths[paths.len() - 1])?;
        disk.sync_dir(dir)?;
        paths.pop();
    }
    // What a killed process wrote may be in the page cache only: durable first, then believed.
    // Older segments were durable before the newest was made.
    if let Some(newest) = paths.last() {
        disk.sync(&open_existing(newest)?)?;
        disk.sync_dir(dir)?;
    }
    let (mut chain, mut segments) = (Chain::new(), Vec::new());
    let mut met = chain == *remembered;
    for (number, path) in paths.iter().enumerate() {
        let check = |chain: &Chain| hold(path, chain, remembered, &mut met);
        let (segment, tail) = Segment::verify(path, owner, &mut chain, check)?;
        if let Tail::Torn { why } = tail {
            let last = number + 1 == paths.len();
            if !last || chain.length() < remembered.length() {
                let what = format!("entry {} at offset {}: {why}", chain.length(), segment.end);
                return Err(StoreError::corrupt(path, what));
            }
            tracing::warn!(entry = chain.length(), "cut a torn batch off the audit log");
            disk.truncate(&segment.file, segment.end)?;
        }
        segments.push(segment);
    }
    if segments.is_empty() || !met {
        let what = format!(
            "the log ends after {} entries, the manifest remembers {}",
            chain.length(),
            remembered.length()
        );
        return Err(StoreError::corrupt(dir, what));
    }
    Ok((chain, segments))
}

/// Holds that the log has the remembered head at the remembered length, at the end of a frame.
fn hold(path: &Path, chain: &Chain, remembered: &Chain, met: &mut bool) -> Result<(), StoreError> {
    *met |= chain == remembered;
    if *met || chain.length() < remembered.length() {
        return Ok(());
    }
    let what = format!(
        "the log's head after {} entries is not the one that the manifest remembers",
        remembered.length()
    );
    Err(StoreError::corrupt(path, what))
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let unreadable = |e: std::io::Error| unreadable(dir, "list", &e);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => StoreError::corrupt(dir, "the directory is missing"),
        _ => unreadable(e),
    })? {
        let path = entry.map_err(unreadable)?.path();
        if first_of(&path).is_none() {
            return Err(StoreError::corrupt(path, "not a segment of the audit log"));
        }
        paths.push(path);
    }
    paths.sort();
    Ok(paths)
}
