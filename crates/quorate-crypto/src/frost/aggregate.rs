//! The client's part: signature shares become a signature, or name those who spoilt it.

use super::{
    SHARE_LEN, SIGNATURE_LEN,
    border::{self, Barred},
    round2::SigningSet,
    verify::verify,
};
use crate::{
    index::{ShareIndex, Threshold},
    sharing::Commitments,
};
use frost_ed25519::{
    CheaterDetection, Identifier, aggregate_custom, keys::PublicKeyPackage, round2::SignatureShare,
};
use std::collections::BTreeMap;

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

/// `R ‖ Σ z_i` (§5.3), verified strictly under `Y`.
///
/// The shares are verified one by one against `Y_i` only if the sum does not verify: then all
/// cheaters are found, also one whose share is no scalar. Two that cheat so that their errors
/// cancel have signed the message, and harm nobody.
///
/// # Errors
/// [`AggregateError`].
pub fn aggregate(
    set: &SigningSet,
    shares: &[(ShareIndex, [u8; SHARE_LEN])],
    threshold: Threshold,
    commitments: &Commitments,
) -> Result<[u8; SIGNATURE_LEN], AggregateError> {
    let given: BTreeMap<ShareIndex, &[u8; SHARE_LEN]> =
        shares.iter().map(|(i, share)| (*i, share)).collect();
    let complete = given.len() == shares.len()
        && given.len() >= threshold.as_usize()
        && set.signers().eq(given.keys().copied());
    if !complete {
        return Err(AggregateError::Signers { expected: threshold.get(), got: shares.len() });
    }
    let alarm = |Barred| AggregateError::Invalid;
    let names: BTreeMap<Identifier, ShareIndex> = given
        .keys()
        .map(|i| Ok((border::identifier(*i)?, *i)))
        .collect::<Result<_, Barred>>()
        .map_err(alarm)?;
    let public = public_package(&given, threshold, commitments).map_err(alarm)?;
    let decoded = names.iter().map(|(id, i)| Ok((*id, share(given.get(i))?)));
    let decoded = decoded.collect::<Result<_, Barred>>().map_err(alarm)?;

    let detection = CheaterDetection::AllCheaters;
    let signature = match aggregate_custom(set.package(), &decoded, &public, detection) {
        Ok(signature) => signature.serialize().map_err(|_| AggregateError::Invalid)?,
        Err(error) => {
            let cheaters: Vec<ShareIndex> =
                error.culprits().iter().filter_map(|id| names.get(id)).copied().collect();
            let found = !cheaters.is_empty();
            return Err(if found {
                AggregateError::Cheaters(cheaters)
            } else {
                AggregateError::Invalid
            });
        }
    };
    let signature = signature.try_into().map_err(|_| AggregateError::Invalid)?;
    verify(commitments.constant_bytes(), set.message(), &signature)
        .map_err(|_| AggregateError::Invalid)?;
    Ok(signature)
}

fn public_package(
    signers: &BTreeMap<ShareIndex, &[u8; SHARE_LEN]>,
    threshold: Threshold,
    commitments: &Commitments,
) -> Result<PublicKeyPackage, Barred> {
    let shares = signers
        .keys()
        .map(|i| Ok((border::identifier(*i)?, border::verifying_share(&commitments.at(*i))?)));
    let key = border::verifying_key(&commitments.constant())?;
    Ok(PublicKeyPackage::new(shares.collect::<Result<_, Barred>>()?, key, Some(threshold.get())))
}

/// What is no scalar counts as zero, which no signer's share is: it spoils the sum, and is then
/// found with the others.
fn share(bytes: Option<&&[u8; SHARE_LEN]>) -> Result<SignatureShare, Barred> {
    let bytes = bytes.ok_or(Barred)?;
    SignatureShare::deserialize(&bytes[..])
        .or_else(|_| SignatureShare::deserialize(&[0; SHARE_LEN]))
        .map_err(|_| Barred)
}
