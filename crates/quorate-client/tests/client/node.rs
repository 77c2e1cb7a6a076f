//! One fake node: does what a node does, or what its behaviour says.

use crate::cluster::{KeyMaterial, NOW};
use quorate_client::transport::ReplyOutcome;
use quorate_crypto::{
    EncodedPoint, IdentityKey, SecretScalar, Signature,
    answer::{AnswerKey, SealingSession},
    group::Group,
    hash::Label,
    merkle::merkle_root,
    tdh2::{self, Binding, Ciphertext, Verified},
    voprf::{self, BlindedElement},
};
use quorate_types::*;
use std::sync::Arc;

/// How a node behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behaviour {
    #[default]
    Honest,
    Down,
    /// Answers with partials of another share, and proves what it can.
    Lies,
    /// Lies unless a proof is demanded.
    LiesUnasked,
    /// Answers with bytes that are no points.
    Junk,
    /// Answers with one partial too few.
    Short,
    Refuses(RefusalReason),
    /// Serves the second epoch.
    NextEpoch,
    /// Answers after the question: its answer key is of yesterday's yesterday.
    OldAnswerKey,
}

/// The items of a request, checked.
enum Items {
    Decrypt(Vec<Verified>),
    Derive(Vec<BlindedElement>),
}

pub(crate) struct Node {
    pub(crate) index: NodeIndex,
    identity: IdentityKey,
    answer_key: AnswerKey,
    fingerprint: Fingerprint,
    keys: Arc<Vec<KeyMaterial>>,
}

impl Node {
    pub(crate) fn new(
        index: NodeIndex,
        identity: IdentityKey,
        fingerprint: Fingerprint,
        keys: Arc<Vec<KeyMaterial>>,
    ) -> Self {
        let answer_key = AnswerKey::generate(&mut rand::rng());
        Self { index, identity, answer_key, fingerprint, keys }
    }

    pub(crate) fn evaluate(
        &self,
        behaviour: Behaviour,
        head_bytes: &[u8],
        signature: &Signature,
        items: &[Vec<u8>],
    ) -> ReplyOutcome {
        let head = RequestHead::from_bytes(head_bytes).unwrap();
        let request = RequestHead::hash(&self.fingerprint, head_bytes);
        let refuse = |reason, item| self.refuse(request, reason, item);
        head.client
            .verify(Label::SIG_REQUEST, self.fingerprint.as_bytes(), head_bytes, signature)
            .expect("a forged request never reaches this point in these tests");
        if let Behaviour::Refuses(reason) = behaviour {
            return refuse(reason, None);
        }
        if merkle_root(items).map(Hash) != Ok(head.items_root) {
            return refuse(RefusalReason::ItemsMismatch, None);
        }
        let name = |k: &&KeyMaterial| k.name == head.key;
        let Some(key) = self.keys.iter().find(name) else {
            return refuse(RefusalReason::UnknownKey, None);
        };
        if !key.epochs[0].public.purpose.allows(head.operation) {
            return refuse(RefusalReason::WrongPurpose, None);
        }
        let bad = |i: usize| refuse(RefusalReason::InvalidItem, Some(i as u16));
        let items = match head.operation {
            Operation::Decrypt => {
                let verified = items.iter().map(|item| self.verify(key, &head, item));
                let verified: Vec<_> = verified.collect();
                if let Some(i) = verified.iter().position(Option::is_none) {
                    return bad(i);
                }
                Items::Decrypt(verified.into_iter().flatten().collect())
            }
            Operation::Derive => {
                let element = |item: &Vec<u8>| {
                    BlindedElement::from_bytes(&item[..].try_into().unwrap()).unwrap()
                };
                Items::Derive(items.iter().map(element).collect())
            }
            // Clients that sign are tested at real nodes.
            Operation::Sign | Operation::SignCommit => {
                return refuse(RefusalReason::WrongPurpose, None);
            }
        };
        let (epoch, answer) = self.answer(behaviour, key, &head, request, &items);
        self.seal(behaviour, &head, request, epoch, &answer)
    }

    fn verify(&self, key: &KeyMaterial, head: &RequestHead, item: &[u8]) -> Option<Verified> {
        let item = CiphertextHead::from_bytes(item).ok()?;
        let public = EncodedPoint::decode(key.epochs[0].public.public_key()).unwrap();
        let name = key.name.as_str().as_bytes();
        let binding = Binding::new(self.fingerprint.as_bytes(), name, 1, &public);
        let ciphertext = Ciphertext::from_bytes(&item.kem).ok()?;
        let (label, header) = (head.context.label(), item.header.to_bytes());
        tdh2::verify(&binding, &label, &header, &ciphertext).ok()
    }

    fn answer(
        &self,
        behaviour: Behaviour,
        key: &KeyMaterial,
        head: &RequestHead,
        request: Hash,
        items: &Items,
    ) -> (EpochName, Answer) {
        let epoch = &key.epochs[usize::from(behaviour == Behaviour::NextEpoch)];
        let mut share = epoch.polynomial.evaluate(self.index);
        let lies =
            behaviour == Behaviour::Lies || (behaviour == Behaviour::LiesUnasked && !head.prove);
        if lies {
            share = SecretScalar::random(&mut rand::rng());
        }
        let mut partials = match items {
            Items::Decrypt(verified) => tdh2::partial_batch(&share, verified),
            Items::Derive(elements) => voprf::evaluate(&share, elements),
        };
        let public = epoch.polynomial.commit(Group::Ristretto255).ristretto_at(self.index).unwrap();
        let context = PartialContext { public: &epoch.public, node: self.index, request };
        let context = context.to_bytes();
        let rng = &mut rand::rng();
        let prove = || match items {
            Items::Decrypt(verified) => {
                tdh2::prove_partials(&context, &share, &public, verified, &partials, rng).unwrap()
            }
            Items::Derive(elements) => {
                voprf::prove(&share, &public, elements, &partials, rng).unwrap()
            }
        };
        let proof = head.prove.then(prove).map(|p| p.to_bytes());
        match behaviour {
            Behaviour::Junk => partials.fill([0xff; 32]),
            Behaviour::Short => partials.truncate(partials.len() - 1),
            _ => {}
        }
        (epoch.public.epoch, Answer { partials, proof })
    }

    fn seal(
        &self,
        behaviour: Behaviour,
        head: &RequestHead,
        request: Hash,
        epoch: EpochName,
        answer: &Answer,
    ) -> ReplyOutcome {
        let info = SealedAnswer::session_info(&self.fingerprint, self.index, &head.client);
        let rng = &mut rand::rng();
        let session = SealingSession::new(&self.answer_key, &head.reply_key, &info, rng).unwrap();
        let aad = SealedAnswer::associated_data(&request, self.index, &epoch);
        let (counter, sealed) = session.seal(&aad, &answer.to_bytes()).unwrap();
        let from = if behaviour == Behaviour::OldAnswerKey {
            Millis(NOW.0 - 2 * Millis::DAY)
        } else {
            NOW
        };
        let public = self.answer_key.public();
        let key = AnswerKeyCard::sign(&self.fingerprint, self.index, public, from, &self.identity);
        let encapsulated = session.encapsulated();
        let answer = SealedAnswer { key, request, epoch, encapsulated, counter, sealed };
        ReplyOutcome::Sealed(answer.to_bytes())
    }

    fn refuse(&self, request: Hash, reason: RefusalReason, item: Option<u16>) -> ReplyOutcome {
        let refusal = Refusal { node: self.index, request, at: NOW, reason, item };
        let signed = SignedRefusal::sign(refusal, &self.fingerprint, &self.identity);
        ReplyOutcome::Refused(signed.to_bytes())
    }
}
