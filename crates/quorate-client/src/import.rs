//! Imports: the owner's side. The key is dealt on the owner's machine, and leaves it only in
//! shares, each sealed to one node.

mod file;

pub use file::{ImportFileError, KeyForm};

use quorate_crypto::{
    EncodedPoint, IdentityKey, SecretScalar,
    dealing::{DealError, DealingParams, ParamsError, Receivers, deal_owned},
};
use quorate_types::{
    AttemptId, CeremonyContext, CodecError, DealRequest, NodeIndex, SignedDealing, Suite,
    VerifiedOrder, dealing::list_hash,
};
use thiserror::Error;

/// A key that exists already, in its owner's hands. Wiped on drop, never printed.
#[derive(Debug)]
pub struct OwnedKey {
    secret: SecretScalar,
    form: KeyForm,
}

/// Why an owner does not deal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImportError {
    // The owner's.
    /// The order imports nothing.
    #[error("the order imports no key")]
    Action,
    /// The order names another dealer.
    #[error(
        "the order names another dealer than this home's key; use the home that it was made in"
    )]
    Dealer,
    /// The order states another key.
    #[error("the order imports another key than this file has: its public key differs")]
    PublicKey,
    /// An Ed25519 key is to do something else than sign.
    #[error("an Ed25519 private key signs: say --purpose sign")]
    Form,

    // The coordinator's.
    /// Not the canonical bytes of a request to deal.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// For another key or number than the order's.
    #[error("the request to deal is for another key, version or number than the order allows")]
    Subject,
    /// Not signed by the nodes that the order names: to somebody else's keys nothing is dealt.
    #[error(
        "the ceremony keys to deal to are not those of the order's committee, each signed by its node"
    )]
    Receivers,
    /// A list that verified is none.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The key could not be dealt.
    #[error(transparent)]
    Deal(#[from] DealError),
}

impl OwnedKey {
    /// The public key that it has in a suite.
    ///
    /// # Errors
    /// [`ImportError::Form`] for an Ed25519 key in a suite that does not sign.
    pub fn public_key(&self, suite: Suite) -> Result<[u8; 32], ImportError> {
        if self.form != KeyForm::Scalar && suite != Suite::FrostEd25519 {
            return Err(ImportError::Form);
        }
        Ok(suite.group().mul_base(&self.secret).encode())
    }

    /// What it was read from.
    #[must_use]
    pub fn form(&self) -> KeyForm {
        self.form
    }

    /// The owner's dealing: to those only whom the order names, and of what it states. The same
    /// bytes whenever it is asked for the same.
    ///
    /// # Errors
    /// [`ImportError`]: then nothing is dealt.
    pub fn deal(
        &self,
        order: &VerifiedOrder,
        request: &DealRequest,
        owner: &IdentityKey,
    ) -> Result<SignedDealing, ImportError> {
        let (import, terms) = match (order.import(), order.terms()) {
            (Some(import), Some(terms)) => (import, terms),
            _ => return Err(ImportError::Action),
        };
        if import.dealer != owner.public() {
            return Err(ImportError::Dealer);
        }
        if self.public_key(terms.suite)? != import.public_key {
            return Err(ImportError::PublicKey);
        }
        let subject = &request.subject;
        if (&subject.key, subject.version) != (terms.name, terms.version)
            || !terms.numbers().contains(&subject.number)
            || request.dealers != [NodeIndex::OWNER]
        {
            return Err(ImportError::Subject);
        }
        let receivers = receivers(order, request)?;
        let fingerprint = &order.order().fingerprint;
        let list = list_hash(fingerprint, &request.answers, &request.dealers);
        let context = CeremonyContext::of(order, subject.version, None, subject.number, list);
        let ctx = context.ok_or(ImportError::Action)?.hash();
        let params = DealingParams::new(
            terms.suite.group(),
            *ctx.as_bytes(),
            NodeIndex::OWNER,
            *import.dealer.as_bytes(),
            terms.committee.threshold(),
            &receivers,
        )?;
        let dealing = deal_owned(&params, &self.secret)?;
        Ok(SignedDealing::sign(fingerprint, &ctx, NodeIndex::OWNER, &dealing, owner))
    }
}

/// The ceremony keys of the whole committee, each signed by its node for this attempt.
fn receivers(order: &VerifiedOrder, request: &DealRequest) -> Result<Receivers, ImportError> {
    let terms = order.terms().ok_or(ImportError::Action)?;
    let attempt = AttemptId {
        fingerprint: order.order().fingerprint,
        key: terms.name.clone(),
        version: terms.version,
        order: order.hash(),
        number: request.subject.number,
    };
    let members = terms.committee.members();
    if members.len() != request.answers.len() {
        return Err(ImportError::Receivers);
    }
    let key = |(member, answer): (&quorate_types::Member, &quorate_types::PrepareAnswer)| {
        let signed = answer.node == member.index
            && answer.commitment.is_none()
            && answer.verifies(&attempt, &member.identity);
        let key = EncodedPoint::decode(&answer.ceremony_key).ok().filter(|_| signed);
        key.map(|key| (member.index, key)).ok_or(ImportError::Receivers)
    };
    let keys = members.iter().zip(&request.answers).map(key).collect::<Result<Vec<_>, _>>()?;
    Ok(Receivers::new(keys)?)
}

#[cfg(test)]
mod tests;
