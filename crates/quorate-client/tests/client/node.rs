//! One fake node: does what a node does, or what its behaviour says.

use crate::cluster::{KeyMaterial, NOW};
use quorate_client::transport::ReplyOutcome;
use quorate_crypto::{
    EncodedPoint, IdentityKey, SecretScalar, Signature,
    answer::{AnswerKey, SealingSession},
    frost::{self, KeyShare, NonceCommitments, NoncePair, SigningSet},
    group::Group,
    hash::Label,
    merkle::merkle_root,
    tdh2::{self, Binding, Ciphertext, Verified},
    voprf::{self, BlindedElement},
    wrap::{self, Scope, WrapPoint},
};
use quorate_types::{
    signing::{NonceHandle, NonceOrder, SignItem, SignerCommitments},
    *,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

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
    /// Draws nonces, and is unreachable once it is to sign.
    Leaves,
    /// Draws nonces, and says that they are gone once it is to sign.
    Forgets,
    /// Answers after the question: its answer key is of yesterday's yesterday.
    OldAnswerKey,
}

/// The items of a request, checked.
enum Items {
    Decrypt(Vec<Verified>),
    Derive(Vec<BlindedElement>),
    Wrap(Vec<WrapPoint>),
}

pub(crate) struct Node {
    pub(crate) index: NodeIndex,
    identity: IdentityKey,
    answer_key: AnswerKey,
    fingerprint: Fingerprint,
    keys: Arc<Vec<KeyMaterial>>,
    nonces: Mutex<Drawn>,
}

/// Nonce pairs that wait, and how many there were.
#[derive(Default)]
struct Drawn {
    waiting: HashMap<u64, NoncePair>,
    count: u64,
}

impl Node {
    pub(crate) fn new(
        index: NodeIndex,
        identity: IdentityKey,
        fingerprint: Fingerprint,
        keys: Arc<Vec<KeyMaterial>>,
    ) -> Self {
        let answer_key = AnswerKey::generate(&mut rand::rng());
        Self { index, identity, answer_key, fingerprint, keys, nonces: Mutex::default() }
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
            Operation::Wrap => {
                let (label, name) = (head.context.label(), key.name.as_str().as_bytes());
                let scope = Scope::new(self.fingerprint.as_bytes(), name, 1, &label);
                let point = |nonce: &Vec<u8>| scope.point(nonce[..].try_into().unwrap()).unwrap();
                Items::Wrap(items.iter().map(point).collect())
            }
            Operation::Sign | Operation::SignCommit => {
                let (epoch, partials) = match self.sign(behaviour, key, head.operation, items) {
                    Ok(words) => words,
                    Err(reason) => return refuse(reason, None),
                };
                let answer = Answer { partials, proof: None };
                return self.seal(behaviour, &head, request, epoch, &answer);
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
            Items::Wrap(points) => wrap::partials(&share, points),
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
            Items::Wrap(points) => {
                wrap::prove(&context, &share, &public, points, &partials, rng).unwrap()
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

    /// All nonces are gone, as after a new start.
    pub(crate) fn starts_again(&self) {
        self.nonces.lock().unwrap().waiting.clear();
    }

    /// Either half of a signature. Nonces serve once.
    fn sign(
        &self,
        behaviour: Behaviour,
        key: &KeyMaterial,
        operation: Operation,
        items: &[Vec<u8>],
    ) -> Result<(EpochName, Vec<[u8; 32]>), RefusalReason> {
        let epoch = &key.epochs[usize::from(behaviour == Behaviour::NextEpoch)];
        let t = epoch.public.committee.threshold();
        let commitments = epoch.public.decode_commitments().unwrap();
        let share = epoch.polynomial.evaluate(self.index);
        let share = KeyShare::new(self.index, &share, t, &commitments).unwrap();
        let mut drawn = self.nonces.lock().unwrap();
        let mut words = Vec::new();
        for item in items {
            if operation == Operation::SignCommit {
                let order = NonceOrder::from_bytes(item).unwrap();
                if order.epoch != epoch.public.epoch {
                    return Err(RefusalReason::NoShare);
                }
                for _ in 0..order.count {
                    let (pair, known) = frost::commit(&share, b"", &mut rand::rng());
                    drawn.count += 1;
                    let number = drawn.count;
                    drawn.waiting.insert(number, pair);
                    let handle = NonceHandle { boot: BootId::default(), number };
                    words.extend(SignerCommitments::words(&handle, known.to_bytes()));
                }
            } else {
                let item = SignItem::from_bytes(item).unwrap();
                if item.epoch != epoch.public.epoch {
                    return Err(RefusalReason::NoShare);
                }
                let own = item.signers.iter().find(|s| s.node == self.index).unwrap();
                let pair = drawn.waiting.remove(&own.handle.number);
                let pair = pair.filter(|_| behaviour != Behaviour::Forgets);
                let pair = pair.ok_or(RefusalReason::NonceGone)?;
                let points = item.signers.iter();
                let points =
                    points.map(|s| (s.node, NonceCommitments::from_bytes(&s.commitments).unwrap()));
                let set = SigningSet::new(&item.message, points.collect());
                words.push(frost::sign(pair, &set, &share).unwrap());
            }
        }
        match behaviour {
            Behaviour::Junk => words.fill([0xff; 32]),
            Behaviour::Short => words.truncate(words.len() - 1),
            Behaviour::Lies if operation == Operation::Sign => {
                words.fill(*SecretScalar::random(&mut rand::rng()).to_bytes());
            }
            _ => {}
        }
        Ok((epoch.public.epoch, words))
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
