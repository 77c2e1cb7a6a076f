//! How stored bytes are laid out: big-endian integers, a four-byte kind and a version in front of
//! every file, a check behind what may be torn.

use quorate_crypto::hash::Label;
use sha2::{Digest, Sha256};

/// The version of every format of this crate.
pub(crate) const VERSION: u16 = 1;

/// Length of [`check`].
pub(crate) const CHECK_LEN: usize = 32;

/// SHA-256 over a label and parts, each behind its length: no two lists of parts share an input.
pub(crate) fn sha256(label: Label, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(label.as_bytes());
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Tells changed or torn bytes from whole ones; anybody can compute it.
pub(crate) fn check(bytes: &[u8]) -> [u8; CHECK_LEN] {
    sha256(Label::STORE_CHECK, &[bytes])
}

/// Splits the check off and compares it.
pub(crate) fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (body, found) = bytes.split_last_chunk::<CHECK_LEN>()?;
    (check(body) == *found).then_some(body)
}

/// Reads fixed layouts: every read answers `None` past the end.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// `Some` if nothing is left.
    pub(crate) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

impl Reader<'_> {
    /// What every file begins with.
    pub(crate) fn kind_and_version(bytes: &[u8]) -> Option<([u8; 4], u16)> {
        let mut r = Reader::new(bytes);
        Some((r.array()?, r.u16()?))
    }
}
