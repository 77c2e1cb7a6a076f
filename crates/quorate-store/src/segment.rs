//! One file of the audit log.
//!
//! ```text
//! "QSAU" ‖ version u16 ‖ node u16 ‖ cluster 32 ‖ first index u64 ‖ chain head before it 32
//!   ‖ check 32
//! then frames of quorate-audit
//! ```

use quorate_audit::{Chain, Frame, FrameError, MAX_FRAME, finds_frame};
use std::{
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{
    StoreError,
    disk::{Disk, DiskFile, open_existing, unreadable},
    layout::{CHECK_LEN, VERSION, check, checked},
    seal::Owner,
};

/// A segment, verified up to `end`.
pub(crate) struct Segment {
    pub(crate) file: DiskFile,
    /// Index of its first entry.
    pub(crate) first: u64,
    /// Bytes up to the last durable frame.
    pub(crate) end: u64,
    /// (first entry, offset) of about every 1024th entry's frame.
    marks: Vec<(u64, u64)>,
}

/// How reading a segment ended.
pub(crate) enum Tail {
    /// With a whole frame.
    Whole,
    /// With bytes that are no whole frame, from this offset on, and that one torn write explains.
    Torn { why: FrameError },
}

impl Segment {
    /// The file's name tells its first index, so that names sort as entries do.
    pub(crate) fn path(dir: &Path, first: u64) -> PathBuf {
        dir.join(format!("audit-{first:020}"))
    }

    /// Makes a segment that continues the chain, durably.
    ///
    /// A crash before the last sync leaves a file without a whole header, or none: nothing in it
    /// was acknowledged, and [`Segment::is_stillborn`] knows it.
    pub(crate) fn create(
        disk: &Disk,
        dir: &Path,
        owner: &Owner,
        chain: &Chain,
    ) -> Result<Self, StoreError> {
        let first = chain.length();
        let header = header(owner, chain);
        let file = disk.create(&Self::path(dir, first))?;
        disk.write_at(&file, 0, &header)?;
        disk.sync(&file)?;
        disk.sync_dir(dir)?;
        Ok(Self { file, first, end: header.len() as u64, marks: Vec::new() })
    }

    /// Whether the file is what a crash in [`Segment::create`] leaves.
    pub(crate) fn is_stillborn(path: &Path) -> Result<bool, StoreError> {
        let file = open_existing(path)?;
        let (bytes, len) = read_at(&file, 0, HEADER)?;
        Ok(len <= HEADER as u64 && checked(&bytes).is_none())
    }

    /// Opens a segment and verifies it frame by frame, in bounded memory. Every length that
    /// someone remembers is offered to `at_boundary` when the chain stands there.
    pub(crate) fn verify(
        path: &Path,
        owner: &Owner,
        chain: &mut Chain,
        mut at_boundary: impl FnMut(&Chain) -> Result<(), StoreError>,
    ) -> Result<(Self, Tail), StoreError> {
        let file = open_existing(path)?;
        let (found, _) = read_at(&file, 0, HEADER)?;
        if found != header(owner, chain) {
            let what =
                format!("its header does not continue this node's log at entry {}", chain.length());
            return Err(StoreError::corrupt(path, what));
        }
        let (first, end) = (chain.length(), HEADER as u64);
        let mut segment = Self { file, first, end, marks: Vec::new() };
        let mut window = Window::default();
        loop {
            let bytes = window.at(&segment.file, segment.end)?;
            if bytes.is_empty() {
                return Ok((segment, Tail::Whole));
            }
            let entry = chain.length();
            match Frame::verify(chain, bytes) {
                Ok(frame) => {
                    segment.grew(entry, frame.len);
                    at_boundary(chain)?;
                }
                Err(why) => {
                    segment.hold_torn(entry, &why, bytes)?;
                    return Ok((segment, Tail::Torn { why }));
                }
            }
        }
    }

    /// Appends a frame, durably.
    pub(crate) fn append(
        &mut self,
        disk: &Disk,
        entry: u64,
        frame: &[u8],
    ) -> Result<(), StoreError> {
        disk.write_at(&self.file, self.end, frame)?;
        disk.sync(&self.file)?;
        self.grew(entry, frame.len());
        Ok(())
    }

    /// At most `limit` entries from `from` on, which is in this segment.
    pub(crate) fn read(
        &self,
        from: u64,
        limit: usize,
        out: &mut Vec<(u64, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let mark = self.marks.partition_point(|(entry, _)| *entry <= from);
        let mut at = mark.checked_sub(1).map_or(HEADER as u64, |m| self.marks[m].1);
        let mut window = Window::default();
        while at < self.end && out.len() < limit {
            let bytes = window.at(&self.file, at)?;
            let frame = Frame::read(bytes).map_err(|e| {
                StoreError::corrupt(&self.file.path, format!("at offset {at}: {e}"))
            })?;
            at += frame.len as u64;
            let entries = (frame.first..).zip(frame.leaves).filter(|(entry, _)| *entry >= from);
            out.extend(entries.take(limit - out.len()));
        }
        Ok(())
    }

    fn grew(&mut self, entry: u64, len: usize) {
        if self.marks.last().is_none_or(|(last, _)| entry >= last + MARK_EVERY) {
            self.marks.push((entry, self.end));
        }
        self.end += len as u64;
    }

    /// Holds that the rest of the file may be one torn write: a frame is written only after the
    /// one before it is durable, so at most one is torn, and no whole one stands behind it.
    fn hold_torn(&self, entry: u64, why: &FrameError, bytes: &[u8]) -> Result<(), StoreError> {
        let len =
            self.file.file.metadata().map_err(|e| unreadable(&self.file.path, "look at", &e))?;
        let rest = len.len().saturating_sub(self.end);
        let torn = match why {
            FrameError::Chain(_) | FrameError::Version { .. } => false,
            FrameError::Short { .. } | FrameError::Broken(_) => {
                rest <= MAX_FRAME as u64 && !finds_frame(bytes.get(1..).unwrap_or_default())
            }
        };
        if torn {
            return Ok(());
        }
        let what = format!("entry {entry} at offset {}: {why}", self.end);
        Err(StoreError::corrupt(&self.file.path, what))
    }
}

fn header(owner: &Owner, chain: &Chain) -> Vec<u8> {
    let mut out = KIND.to_vec();
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&owner.node.get().to_be_bytes());
    out.extend_from_slice(&owner.cluster);
    out.extend_from_slice(&chain.length().to_be_bytes());
    out.extend_from_slice(chain.head());
    let check = check(&out);
    out.extend_from_slice(&check);
    debug_assert_eq!(out.len(), HEADER);
    out
}

/// The first index that a segment's file name tells.
pub(crate) fn first_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix("audit-")?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

fn read_at(file: &DiskFile, at: u64, len: usize) -> Result<(Vec<u8>, u64), StoreError> {
    let unreadable = |e: std::io::Error| unreadable(&file.path, "read", &e);
    let total = file.file.metadata().map_err(unreadable)?.len();
    let there = usize::try_from(total.saturating_sub(at)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len.min(there)];
    file.file.read_exact_at(&mut bytes, at).map_err(unreadable)?;
    Ok((bytes, total))
}

/// A sliding view of a file that always shows a whole frame, if one is there.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    /// The file's bytes from `at` on: at least [`MAX_FRAME`] of them unless the file ends before.
    fn at(&mut self, file: &DiskFile, at: u64) -> Result<&[u8], StoreError> {
        let skip = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let short = self.bytes.len().checked_sub(skip).is_none_or(|left| left < MAX_FRAME);
        if short {
            (self.bytes, _) = read_at(file, at, 2 * MAX_FRAME)?;
            self.start = at;
            return Ok(&self.bytes);
        }
        Ok(&self.bytes[skip..])
    }
}

const KIND: &[u8; 4] = b"QSAU";
const HEADER: usize = 4 + 2 + 2 + 32 + 8 + 32 + CHECK_LEN;

/// Entries between two marks: a read starts at most so many entries too early.
const MARK_EVERY: u64 = 1024;
