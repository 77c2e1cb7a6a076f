//! A complaint that proves itself: the dealer lied, or the receiver does.
//!
//! The receiver reveals `K = p_j·E`, the Diffie–Hellman point of the one sealed value,
//! with a proof that `K` and its ceremony key have the same logarithm. Anyone can then
//! open that value and see. Never the ceremony key itself: it would open every
//! honest dealer's value too. Only a [`VerifiedDealing`] can be complained about, and only
//! for a value that is bad: the proof of the ephemeral secret shows that its dealer
//! made it, so a complaint opens nobody else's value.

use crate::{
    dealing::{BadValue, OpenError, VerifiedDealing},
    dleq::{self, Proof},
    group::{DecodeError, EncodedPoint},
    hash::{Label, hash},
    index::ShareIndex,
    secret::SecretScalar,
};
use rand_core::CryptoRng;

/// The length of a complaint: index, point, proof.
pub const COMPLAINT_LEN: usize = 2 + 32 + dleq::PROOF_LEN;

/// Why there is no complaint. All are the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComplainError {
    /// The value is good; revealing its key would give it away.
    #[error("the value is good: there is nothing to complain about")]
    GoodValue,
    /// Not a receiver, or not its key.
    #[error(transparent)]
    Receiver(OpenError),
    /// The proof could not be made: no verified dealing has a point that prevents it.
    #[error("alarm: the complaint's proof could not be made (a bug)")]
    Proof,
}

/// Why bytes are no complaint. All are the receiver's that sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComplaintError {
    /// Another length.
    #[error("a complaint has {COMPLAINT_LEN} bytes, got {0}")]
    Length(usize),
    /// Index 0.
    #[error("a receiver's index must not be 0")]
    IndexZero,
    /// The revealed point is not canonical, or the identity.
    #[error("the revealed point: {0}")]
    Point(#[from] DecodeError),
    /// The proof is not two canonical scalars.
    #[error("a proof is two canonical scalars")]
    Proof,
}

/// Who lied. There is no third answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The sealed value is bad: the attempt runs again without this dealer.
    DealerLied,
    /// The complaint's proof is false, or the value is good.
    ReceiverLied,
}

/// The key of one sealed value, with its proof. The dealing is named by whoever carries
/// the complaint; the proof is bound to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    receiver: ShareIndex,
    shared: EncodedPoint,
    proof: Proof,
}

impl Complaint {
    /// Who complains. The caller checks that this receiver signed it.
    #[must_use]
    pub fn receiver(&self) -> ShareIndex {
        self.receiver
    }

    /// `u16 receiver ‖ 32 K ‖ 64 proof`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; COMPLAINT_LEN] {
        let mut out = [0; COMPLAINT_LEN];
        out[..2].copy_from_slice(&self.receiver.get().to_be_bytes());
        out[2..34].copy_from_slice(self.shared.bytes());
        out[34..].copy_from_slice(&self.proof.to_bytes());
        out
    }

    /// Decodes strictly; what decodes, encodes to the same bytes.
    ///
    /// # Errors
    /// [`ComplaintError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ComplaintError> {
        let length = ComplaintError::Length(bytes.len());
        let (index, rest) = bytes.split_first_chunk::<2>().ok_or(length)?;
        let (shared, rest) = rest.split_first_chunk::<32>().ok_or(length)?;
        let proof: &[u8; dleq::PROOF_LEN] = rest.try_into().map_err(|_| length)?;
        Ok(Self {
            receiver: ShareIndex::new(u16::from_be_bytes(*index))
                .map_err(|_| ComplaintError::IndexZero)?,
            shared: EncodedPoint::decode(shared)?,
            proof: Proof::from_bytes(proof).map_err(|_| ComplaintError::Proof)?,
        })
    }
}

impl VerifiedDealing {
    /// Complains about a value that [`VerifiedDealing::open`] found bad.
    ///
    /// # Errors
    /// [`ComplainError::GoodValue`] rather than reveal a good value;
    /// [`ComplainError::Receiver`].
    pub fn complain(
        &self,
        index: ShareIndex,
        ceremony_secret: &SecretScalar,
        rng: &mut impl CryptoRng,
    ) -> Result<Complaint, ComplainError> {
        let key = self.receiver_key(index, ceremony_secret).map_err(ComplainError::Receiver)?;
        let shared = self.ephemeral().point() * ceremony_secret.expose();
        if self.open_with(index, key, &shared).is_ok() {
            return Err(ComplainError::GoodValue);
        }
        let shared = EncodedPoint::new(shared).map_err(|_| ComplainError::Proof)?;
        let proof = dleq::prove_encoded(
            &context(self, index),
            ceremony_secret,
            key,
            &[*self.ephemeral()],
            &[shared],
            rng,
        )
        .map_err(|_| ComplainError::Proof)?;
        Ok(Complaint { receiver: index, shared, proof })
    }
}

/// Judges a complaint; everybody comes to the same verdict.
///
/// The receiver's key is the one that the dealing was verified with. Whether the
/// complaint was *signed* by its receiver is the caller's to check first.
#[must_use]
pub fn judge(dealing: &VerifiedDealing, complaint: &Complaint) -> Verdict {
    let index = complaint.receiver;
    let Some(key) = dealing.receivers().key(index) else {
        return Verdict::ReceiverLied;
    };
    let proven = dleq::verify_encoded(
        &context(dealing, index),
        key,
        &[*dealing.ephemeral()],
        &[complaint.shared],
        &complaint.proof,
    );
    if proven.is_err() {
        return Verdict::ReceiverLied;
    }
    match dealing.open_with(index, key, complaint.shared.point()) {
        Ok(_) => Verdict::ReceiverLied,
        Err(BadValue::Sealed | BadValue::Scalar | BadValue::Mismatch) => Verdict::DealerLied,
    }
}

/// Binds ceremony, dealer and dealing (its hash and statement) and the receiver.
fn context(dealing: &VerifiedDealing, receiver: ShareIndex) -> [u8; 64] {
    let index = receiver.get().to_be_bytes();
    hash(Label::DEALING_COMPLAINT, &[dealing.hash(), dealing.statement(), &index])
}
