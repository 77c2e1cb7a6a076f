//! Round two: a node signs a message for an exact set of signers, with one nonce pair of its own.

use super::{
    SHARE_LEN,
    border::{self, Barred},
    round1::{NonceCommitments, NoncePair},
};
use crate::{
    index::{ShareIndex, Threshold},
    secret::SecretScalar,
    sharing::Commitments,
};
use frost_ed25519::{SigningPackage, keys::KeyPackage, round2};
use std::{collections::BTreeMap, fmt};

/// Why a share signs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyShareError {
    /// The caller's: the key is shared over another group.
    #[error("the key is shared over {0}, Ed25519 signatures are over edwards25519")]
    Group(crate::group::Group),
    /// The caller's: not this node's share of this epoch.
    #[error("the share does not lie on the committed polynomial at index {0}")]
    Share(ShareIndex),
    /// Ours.
    #[error("alarm: a verified share is refused by the signature scheme (a bug)")]
    Barred,
}

/// Why a node does not sign. The nonce pair is gone all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The client's: this node is not in the set.
    #[error("the set of signers does not name node {0}")]
    NotSigner(ShareIndex),
    /// The client's: in the set stand other commitments for this node than those of the pair.
    #[error("the set names other commitments of node {0} than those of its nonce pair")]
    OtherCommitments(ShareIndex),
    /// The client's: fewer signers than the threshold.
    #[error("{expected} signers are needed at least, the set has {got}")]
    TooFew {
        /// The threshold.
        expected: u16,
        /// The set's size.
        got: usize,
    },
    /// Also if the commitments were chosen so that `R` is the identity.
    #[error("the commitments of the set have no group commitment")]
    Degenerate,
}

/// A share ready to sign, checked against the epoch's commitments. Wiped on drop.
pub struct KeyShare {
    index: ShareIndex,
    threshold: Threshold,
    package: KeyPackage,
}

impl KeyShare {
    /// # Errors
    /// [`KeyShareError`].
    pub fn new(
        index: ShareIndex,
        share: &SecretScalar,
        threshold: Threshold,
        commitments: &Commitments,
    ) -> Result<Self, KeyShareError> {
        if commitments.group() != crate::group::Group::Edwards25519 {
            return Err(KeyShareError::Group(commitments.group()));
        }
        if !commitments.verify_share(index, share) {
            return Err(KeyShareError::Share(index));
        }
        let package = || -> Result<KeyPackage, Barred> {
            Ok(KeyPackage::new(
                border::identifier(index)?,
                border::signing_share(share)?,
                border::verifying_share(&commitments.at(index))?,
                border::verifying_key(&commitments.constant())?,
                threshold.get(),
            ))
        };
        let package = package().map_err(|Barred| KeyShareError::Barred)?;
        Ok(Self { index, threshold, package })
    }

    /// Whose.
    #[must_use]
    pub const fn index(&self) -> ShareIndex {
        self.index
    }

    pub(super) const fn package(&self) -> &KeyPackage {
        &self.package
    }
}

impl fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyShare({}, [redacted])", self.index)
    }
}

/// A message with the exact set of its signers and their commitments: all that a signature
/// share depends on beside the share itself.
#[derive(Clone)]
pub struct SigningSet {
    signers: BTreeMap<ShareIndex, NonceCommitments>,
    package: SigningPackage,
}

impl SigningSet {
    /// The map's order and uniqueness of indices are RFC 9591's.
    #[must_use]
    pub fn new(message: &[u8], signers: BTreeMap<ShareIndex, NonceCommitments>) -> Self {
        let points = signers
            .iter()
            .filter_map(|(i, c)| Some((border::identifier(*i).ok()?, *c.points())))
            .collect();
        Self { package: SigningPackage::new(points, message), signers }
    }

    /// Who signs.
    pub fn signers(&self) -> impl ExactSizeIterator<Item = ShareIndex> {
        self.signers.keys().copied()
    }

    /// The commitments of a signer.
    #[must_use]
    pub fn commitments(&self, index: ShareIndex) -> Option<&NonceCommitments> {
        self.signers.get(&index)
    }

    /// What is signed.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.package.message()
    }

    pub(super) const fn package(&self) -> &SigningPackage {
        &self.package
    }
}

impl fmt::Debug for SigningSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSet({} bytes by {:?})", self.message().len(), self.signers.keys())
    }
}

/// `z_i = d + ρ_i·e + λ_i·s_i·c` (§5.2). Takes the nonce pair away, whatever comes of it.
///
/// # Security
/// The compiler sees to it that a pair signs once. Constant time in share and nonces.
///
/// # Errors
/// [`SignError`].
#[expect(clippy::needless_pass_by_value, reason = "a nonce pair serves once")]
pub fn sign(
    nonces: NoncePair,
    set: &SigningSet,
    key: &KeyShare,
) -> Result<[u8; SHARE_LEN], SignError> {
    let known = set.commitments(key.index).ok_or(SignError::NotSigner(key.index))?;
    if known.points() != nonces.expose().commitments() {
        return Err(SignError::OtherCommitments(key.index));
    }
    if set.signers.len() < key.threshold.as_usize() {
        let expected = key.threshold.get();
        return Err(SignError::TooFew { expected, got: set.signers.len() });
    }
    let share = round2::sign(&set.package, nonces.expose(), &key.package)
        .map_err(|_| SignError::Degenerate)?;
    share.serialize().try_into().map_err(|_| SignError::Degenerate)
}
