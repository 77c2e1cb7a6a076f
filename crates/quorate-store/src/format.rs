//! The file `format`: whose store this is and how it is laid out. Written once, at creation.
//!
//! ```text
//! "QSFO" ‖ version u16 ‖ node u16 ‖ cluster 32 ‖ identity 32
//!   ‖ KEK: 1 (key) or 2 ‖ memory KiB u32 ‖ passes u32 ‖ lanes u32 ‖ salt 16
//!   ‖ check 32
//! ```

use quorate_crypto::{PublicKey, ShareIndex};
use std::path::{Path, PathBuf};

use crate::{
    StoreError,
    disk::{open_existing, read_small},
    kek::Stretch,
    layout::{Reader, VERSION, check, checked},
    seal::Owner,
};

/// The parsed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    version: u16,
    node: u16,
    cluster: [u8; 32],
    identity: [u8; 32],
    pub(crate) stretch: Option<Stretch>,
}

impl Format {
    pub(crate) fn new(owner: &Owner, identity: &PublicKey, stretch: Option<Stretch>) -> Self {
        let (node, cluster) = (owner.node.get(), owner.cluster);
        Self { version: VERSION, node, cluster, identity: *identity.as_bytes(), stretch }
    }

    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("format")
    }

    pub(crate) fn read(dir: &Path) -> Result<Self, StoreError> {
        let path = Self::path(dir);
        let bytes = read_small(&open_existing(&path)?, 4096)?;
        let broken = |what: &str| StoreError::corrupt(&path, what);
        let body = checked(&bytes).ok_or_else(|| broken("its check does not match"))?;
        let (kind, version) = Reader::kind_and_version(body)
            .ok_or_else(|| broken("it is too short for its version"))?;
        if kind != *KIND {
            return Err(broken("it is no store's format file"));
        }
        if version != VERSION {
            let path = dir.to_owned();
            return Err(StoreError::OtherFormat { path, expected: VERSION, got: version });
        }
        let format = Self::decode(body).ok_or_else(|| broken("it does not parse"))?;
        if format.stretch.as_ref().is_some_and(|s| !s.is_sane()) {
            return Err(broken("its passphrase costs are out of range"));
        }
        Ok(format)
    }

    /// Holds that this is the store of this node.
    pub(crate) fn belongs_to(
        &self,
        dir: &Path,
        owner: &Owner,
        identity: &PublicKey,
    ) -> Result<(), StoreError> {
        let path = dir.to_owned();
        if self.cluster != owner.cluster {
            let (expected, got) = (short(&owner.cluster), short(&self.cluster));
            return Err(StoreError::OtherCluster { path, expected, got });
        }
        if self.node != owner.node.get() {
            let (expected, got) = (owner.node.get(), self.node);
            return Err(StoreError::OtherNode { path, expected, got });
        }
        if self.identity != *identity.as_bytes() {
            let (expected, got) = (short(identity.as_bytes()), short(&self.identity));
            return Err(StoreError::OtherIdentity { path, expected, got });
        }
        Ok(())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = KIND.to_vec();
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.node.to_be_bytes());
        out.extend_from_slice(&self.cluster);
        out.extend_from_slice(&self.identity);
        match &self.stretch {
            None => out.push(1),
            Some(s) => {
                out.push(2);
                for cost in [s.memory_kib, s.passes, s.lanes] {
                    out.extend_from_slice(&cost.to_be_bytes());
                }
                out.extend_from_slice(&s.salt);
            }
        }
        let check = check(&out);
        out.extend_from_slice(&check);
        out
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let mut r = Reader::new(body);
        r.take(KIND.len())?;
        let (version, node) = (r.u16()?, r.u16()?);
        ShareIndex::new(node).ok()?;
        let (cluster, identity) = (r.array()?, r.array()?);
        let stretch = match r.u8()? {
            1 => None,
            2 => {
                let (memory_kib, passes, lanes) = (r.u32()?, r.u32()?, r.u32()?);
                Some(Stretch { memory_kib, passes, lanes, salt: r.array()? })
            }
            _ => return None,
        };
        r.end()?;
        Some(Self { version, node, cluster, identity, stretch })
    }
}

pub(crate) fn short(bytes: &[u8; 32]) -> String {
    bytes[..4].iter().map(|b| format!("{b:02x}")).collect()
}

const KIND: &[u8; 4] = b"QSFO";
