//! Head-room on the disk: refuse in time, so that nothing ever fails for want of space.

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::{
    fs::{self, File},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::Space;

/// When to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that must stay free after every write.
    pub hard_bytes: u64,
    /// Per cent of the disk that must stay free, but at most [`Limits::HARD_PERCENT_CAP`] of it:
    /// 5 % of a large disk is no emergency.
    pub hard_percent: u8,
    /// Bytes set aside in a file, given back for a clean exit when the disk is full.
    pub reserve_bytes: u64,
}

impl Limits {
    /// What `hard_percent` asks for at the most, in bytes: 1 GiB.
    pub const HARD_PERCENT_CAP: u64 = 1 << 30;
}

impl Default for Limits {
    /// 64 MiB or 5 %, and a reserve of 16 MiB.
    fn default() -> Self {
        Self { hard_bytes: 64 << 20, hard_percent: 5, reserve_bytes: 16 << 20 }
    }
}

/// Watches the disk that holds a directory.
pub(crate) struct Room {
    dir: PathBuf,
    limits: Limits,
    #[cfg(test)]
    pub(crate) pretend: std::sync::atomic::AtomicU64,
}

impl Room {
    pub(crate) fn new(dir: &Path, limits: Limits) -> Self {
        Self {
            dir: dir.to_owned(),
            limits,
            #[cfg(test)]
            pretend: u64::MAX.into(),
        }
    }

    /// Free bytes and thresholds. A disk that does not answer has no room.
    pub(crate) fn space(&self) -> Space {
        let (free, size) = statvfs(&self.dir)
            .map_or((0, 0), |s| (s.f_bavail * s.f_frsize, s.f_blocks * s.f_frsize));
        #[cfg(test)]
        let free = free.min(self.pretend.load(std::sync::atomic::Ordering::Relaxed));
        let share = size / 100 * u64::from(self.limits.hard_percent.min(100));
        let hard = self.limits.hard_bytes.max(share.min(Limits::HARD_PERCENT_CAP));
        Space { free, soft: hard.saturating_mul(2), hard }
    }

    /// Sets the reserve aside if there is room for it. It is a help, not a promise: a file system
    /// that cannot do it is no reason to refuse.
    pub(crate) fn set_aside(&self) {
        let wanted = self.limits.reserve_bytes;
        let space = self.space();
        let there = fs::metadata(self.path()).is_ok_and(|m| m.len() == wanted);
        if there || wanted == 0 || space.free < space.hard + wanted {
            return;
        }
        let file =
            File::options().write(true).create(true).truncate(false).mode(0o600).open(self.path());
        if let Ok(file) = file
            && fallocate(&file, FallocateFlags::empty(), 0, wanted).is_err()
        {
            self.give_back();
        }
    }

    /// Before sled opens or the last manifest is written on a full disk.
    pub(crate) fn give_back_if_full(&self) {
        if self.space().free < self.limits.reserve_bytes {
            self.give_back();
        }
    }

    fn give_back(&self) {
        if let Err(e) = fs::remove_file(self.path())
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(error = %e, "cannot give back the disk's reserve");
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.join("reserve")
    }
}
