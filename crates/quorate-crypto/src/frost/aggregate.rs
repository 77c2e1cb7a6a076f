//! The client's part: signature shares become a signature, or name those who spoilt it.

use super::{
    SHARE_LEN, SIGNATURE_LEN,
    border::{self, Barred},
    round2::SigningSet,
};
use crate::{
    index::{ShareIndex, Threshold},
    sharing::Commitments,
};
use curve25519_dalek::Scalar;
use ed25519_dalek::{Signature, VerifyingKey};
use frost_core::{Group as _, compute_binding_factor_list, compute_group_commitment};
use frost_ed25519::{
    CheaterDetection, Ed25519Group, Identifier, aggregate_custom, keys::PublicKeyPackage,
    round2::SignatureShare,
};
use std::{collections::BTreeMap, fmt};

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// The peers': these shares are not what their nodes' `Y_i` demand. All of them are named.
    #[error("the signature shares of nodes {0:?} do not verify: leave them out")]
    Cheaters(Vec<ShareIndex>),
    /// The caller's: not exactly one share of each signer, or fewer than the threshold.
    #[error("a signature takes one share of each of at least {expected} signers, got {got}")]
    Signers {
        /// The threshold.
        expected: u16,
        /// Shares given.
        got: usize,
    },
    /// Ours.
    #[error("alarm: verified signature shares make no valid signature (a bug)")]
    Invalid,
}

/// What signature shares are verified against: `t`, `Y` and the `Y_i` of an epoch's holders, in the
/// form that the crate `frost-ed25519` wants. Made once for an epoch: each point costs a check
/// that it is of prime order.
///
/// A holder whose `Y_i` is the identity is left out: it has arranged its share to be zero, which a
/// dealer that sees the others' dealings first can do for itself. It signs nothing, and others do.
#[derive(Clone)]
pub struct PublicShares {
    threshold: Threshold,
    key: VerifyingKey,
    package: PublicKeyPackage,
}

impl PublicShares {
    /// Of an epoch with these `holders`.
    ///
    /// # Errors
    /// [`AggregateError::Invalid`] for commitments that are not over edwards25519.
    pub fn new(
        threshold: Threshold,
        holders: impl IntoIterator<Item = ShareIndex>,
        commitments: &Commitments,
    ) -> Result<Self, AggregateError> {
        let holders = holders.into_iter().filter(|i| !commitments.at(*i).is_identity());
        let one = |i| Ok((border::identifier(i)?, border::verifying_share(&commitments.at(i))?));
        let package = || -> Result<PublicKeyPackage, Barred> {
            let shares = holders.map(one).collect::<Result<_, Barred>>()?;
            let key = border::verifying_key(&commitments.constant())?;
            Ok(PublicKeyPackage::new(shares, key, Some(threshold.get())))
        };
        let package = package().map_err(|Barred| AggregateError::Invalid)?;
        let key = VerifyingKey::from_bytes(commitments.constant_bytes())
            .map_err(|_| AggregateError::Invalid)?;
        Ok(Self { threshold, key, package })
    }

    /// `R ‖ Σ z_i` (§5.3), verified strictly under `Y`.
    ///
    /// The shares are verified one by one against `Y_i` only if the sum does not verify: then all
    /// cheaters are found, also one whose share is no scalar. Two that cheat so that their errors
    /// cancel have signed the message, and harm nobody.
    ///
    /// # Errors
    /// [`AggregateError`].
    pub fn aggregate(
        &self,
        set: &SigningSet,
        shares: &[(ShareIndex, [u8; SHARE_LEN])],
    ) -> Result<[u8; SIGNATURE_LEN], AggregateError> {
        let given: BTreeMap<ShareIndex, &[u8; SHARE_LEN]> =
            shares.iter().map(|(i, share)| (*i, share)).collect();
        let complete = given.len() == shares.len()
            && given.len() >= self.threshold.as_usize()
            && set.signers().eq(given.keys().copied());
        if !complete {
            return Err(AggregateError::Signers {
                expected: self.threshold.get(),
                got: shares.len(),
            });
        }
        let alarm = |Barred| AggregateError::Invalid;
        let names: BTreeMap<Identifier, ShareIndex> = given
            .keys()
            .map(|i| Ok((border::identifier(*i)?, *i)))
            .collect::<Result<_, Barred>>()
            .map_err(alarm)?;
        let known = self.package.verifying_shares();
        let shareless = names.iter().filter(|(id, _)| !known.contains_key(*id));
        let shareless: Vec<ShareIndex> = shareless.map(|(_, i)| *i).collect();
        if !shareless.is_empty() {
            return Err(AggregateError::Cheaters(shareless));
        }
        if let Some(signature) = self.sum(set, given.values().copied()) {
            return Ok(signature);
        }
        let decoded = names.iter().map(|(id, i)| Ok((*id, share(given.get(i))?)));
        let decoded = decoded.collect::<Result<_, Barred>>().map_err(alarm)?;
        let detection = CheaterDetection::AllCheaters;
        let cheaters: Vec<ShareIndex> =
            match aggregate_custom(set.package(), &decoded, &self.package, detection) {
                // It verifies there and not here.
                Ok(_) => return Err(AggregateError::Invalid),
                Err(error) => {
                    error.culprits().iter().filter_map(|id| names.get(id)).copied().collect()
                }
            };
        Err(match cheaters.is_empty() {
            true => AggregateError::Invalid,
            false => AggregateError::Cheaters(cheaters),
        })
    }

    /// `R ‖ Σ z_i`, if that verifies. `aggregate_custom` would verify it too, in constant time,
    /// which no public value needs and which costs more than all the rest.
    fn sum<'a>(
        &self,
        set: &SigningSet,
        shares: impl Iterator<Item = &'a [u8; SHARE_LEN]>,
    ) -> Option<[u8; SIGNATURE_LEN]> {
        let mut z = Scalar::ZERO;
        for share in shares {
            z += Option::<Scalar>::from(Scalar::from_canonical_bytes(*share))?;
        }
        let (package, key) = (set.package(), self.package.verifying_key());
        let factors = compute_binding_factor_list(package, key, &[]).ok()?;
        let point = compute_group_commitment(package, &factors).ok()?.to_element();
        let r = Ed25519Group::serialize(&point).ok()?;
        let signature = Signature::from_components(r, z.to_bytes());
        self.key.verify_strict(set.message(), &signature).ok()?;
        Some(signature.to_bytes())
    }
}

impl fmt::Debug for PublicShares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicShares({} of {})", self.threshold, self.package.verifying_shares().len())
    }
}

/// [`PublicShares::aggregate`] for one signature.
///
/// # Errors
/// [`AggregateError`].
pub fn aggregate(
    set: &SigningSet,
    shares: &[(ShareIndex, [u8; SHARE_LEN])],
    threshold: Threshold,
    commitments: &Commitments,
) -> Result<[u8; SIGNATURE_LEN], AggregateError> {
    PublicShares::new(threshold, set.signers(), commitments)?.aggregate(set, shares)
}

/// What is no scalar counts as zero, which no signer's share is: it spoils the sum, and is then
/// found with the others.
fn share(bytes: Option<&&[u8; SHARE_LEN]>) -> Result<SignatureShare, Barred> {
    let bytes = bytes.ok_or(Barred)?;
    SignatureShare::deserialize(&bytes[..])
        .or_else(|_| SignatureShare::deserialize(&[0; SHARE_LEN]))
        .map_err(|_| Barred)
}
