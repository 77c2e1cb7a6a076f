//! A client's use of a key: one request to every node, and what the answers make. It believes
//! nothing that it can check, as `quorate-client` does; an honest node's answer must hold.

use super::{Broken, story::Story};
use crate::tests::fixture::{Ask, World};
use quorate_crypto::{
    EncodedPoint, ShareIndex,
    dleq::Proof,
    frost::{AggregateError, NonceCommitments, SigningSet, aggregate, verify},
    tdh2::{self, Binding, Ciphertext, Combiner, Verified},
    voprf::{Batch, VerifiedPartials},
    wrap::{self, Scope, Wrapping},
};
use quorate_types::{
    signing::{NonceOrder, SignItem, SignerCommitments},
    *,
};
use rand::{RngExt, rngs::StdRng};
use std::collections::BTreeMap;

pub(crate) struct Use {
    pub(crate) key: usize,
    pub(crate) ask: Ask,
    pub(crate) what: What,
    /// Answers that hold, by their epoch.
    held: BTreeMap<EpochName, BTreeMap<ShareIndex, Held>>,
    pub(crate) done: bool,
}

pub(crate) enum What {
    Decrypt { header: Vec<u8>, ciphertext: Box<Ciphertext>, verified: Verified, payload: [u8; 32] },
    Derive(Batch),
    Wrap,
    Draw(EpochName),
    Sign(Box<(SignItem, SigningSet)>),
}

enum Held {
    Partials(Vec<[u8; 32]>),
    Derived(VerifiedPartials),
    Drawn(SignerCommitments),
}

/// What came of a use.
pub(crate) enum Done {
    /// It has its result, and that is right.
    Used,
    /// These have committed to nonces of an epoch.
    Drawn(EpochName, Vec<SignerCommitments>),
}

/// Of every wrapping and derivation: their results never change.
const NONCE: [u8; 16] = [9; 16];
const INPUT: &[u8] = b"alice";

impl Use {
    /// Begins to use a key that is born.
    pub(crate) fn begin(world: &World, dice: &mut StdRng, at: usize, story: &Story) -> Self {
        let label = EncryptionContext::default().label();
        let (item, operation, what) = match story.purpose {
            Purpose::Decrypt => {
                let fingerprint = world.cluster.fingerprint();
                let point = EncodedPoint::decode(&story.public.unwrap()).unwrap();
                let binding =
                    Binding::new(fingerprint.as_bytes(), story.name.as_bytes(), 1, &point);
                let header = world.header(fingerprint, story.name);
                let bytes = header.to_bytes();
                let (ciphertext, payload) = tdh2::encapsulate(&binding, &label, &bytes, dice);
                let verified = tdh2::verify(&binding, &label, &bytes, &ciphertext).unwrap();
                let item = CiphertextHead { header, kem: ciphertext.to_bytes() }.to_bytes();
                let (ciphertext, payload) = (Box::new(ciphertext), *payload.expose());
                let what = What::Decrypt { header: bytes, ciphertext, verified, payload };
                (item, Operation::Decrypt, what)
            }
            Purpose::Derive => {
                let batch = Batch::new(&[INPUT], dice).unwrap();
                (batch.elements()[0].bytes().to_vec(), Operation::Derive, What::Derive(batch))
            }
            Purpose::Wrap => (NONCE.to_vec(), Operation::Wrap, What::Wrap),
            Purpose::Sign => {
                // Mostly of the newest epoch that is known; sometimes of an old one.
                let newest = story.newest().unwrap().certificate.public.epoch;
                let epoch = match dice.random_bool(0.9) {
                    true => newest,
                    false => story.birth().unwrap().certificate.public.epoch,
                };
                let order = NonceOrder { epoch, count: 1 };
                (order.to_bytes(), Operation::SignCommit, What::Draw(epoch))
            }
        };
        Self::of(world, dice, at, story, item, operation, what)
    }

    /// The epoch that nonces are drawn for.
    pub(crate) fn epoch(&self) -> Option<EpochName> {
        if let What::Draw(epoch) = self.what { Some(epoch) } else { None }
    }

    /// Has a message signed by those who have committed to nonces.
    pub(crate) fn sign(
        world: &World,
        dice: &mut StdRng,
        at: usize,
        story: &Story,
        epoch: EpochName,
        signers: &[SignerCommitments],
    ) -> Self {
        let message = dice.random::<[u8; 16]>().to_vec();
        let points = signers.iter();
        let points =
            points.map(|s| (s.node, NonceCommitments::from_bytes(&s.commitments).unwrap()));
        let set = SigningSet::new(&message, points.collect());
        let item = SignItem { epoch, signers: signers.to_vec(), message };
        let bytes = item.to_bytes();
        let what = What::Sign(Box::new((item, set)));
        Self::of(world, dice, at, story, bytes, Operation::Sign, what)
    }

    fn of(
        world: &World,
        dice: &mut StdRng,
        key: usize,
        story: &Story,
        item: Vec<u8>,
        operation: Operation,
        what: What,
    ) -> Self {
        let mut ask = world.ask_for(vec![item]);
        ask.head.id = RequestId(dice.random());
        ask.head.key = story.name.parse().unwrap();
        ask.head.operation = operation;
        ask.head.prove = matches!(what, What::Decrypt { .. } | What::Derive(_) | What::Wrap);
        Self { key, ask, what, held: BTreeMap::new(), done: false }
    }

    /// The one answer of `node` under one epoch. A lie is caught; who is blamed must be the liar.
    pub(crate) fn hear(
        &mut self,
        world: &World,
        story: &mut Story,
        node: &NodeEntry,
        bytes: &[u8],
        liar: bool,
    ) -> Result<Option<Done>, Broken> {
        let (sealed, answer) = world.open_bytes(node, bytes);
        let Some(public) = story.publics.get(&sealed.epoch).cloned() else { return Ok(None) };
        let head = self.ask.head.to_bytes();
        let request = RequestHead::hash(world.cluster.fingerprint(), &head);
        let context = PartialContext { public: &public, node: node.index, request }.to_bytes();
        let Some(held) = self.check(world, story, &public, node.index, &context, &answer) else {
            return match liar {
                true => Ok(None),
                false => Err(Broken {
                    rule: "answers",
                    how: format!("honest node {}'s answer does not hold", node.index),
                }),
            };
        };
        let of_epoch = self.held.entry(sealed.epoch).or_default();
        of_epoch.insert(node.index, held);
        let threshold = public.committee.threshold();
        if self.done || of_epoch.len() < threshold.as_usize() {
            return Ok(None);
        }
        self.combine(world, story, &public, sealed.epoch)
    }

    fn check(
        &self,
        world: &World,
        story: &Story,
        public: &EpochPublic,
        node: NodeIndex,
        context: &[u8],
        answer: &Answer,
    ) -> Option<Held> {
        let own = || public.decode_commitments().ok()?.ristretto_at(node).ok();
        let proof = || Proof::from_bytes(answer.proof.as_ref()?).ok();
        let partials = &answer.partials;
        match &self.what {
            What::Decrypt { verified, .. } => {
                let verified = std::slice::from_ref(verified);
                tdh2::verify_partials(context, &own()?, verified, partials, &proof()?).ok()?;
                Some(Held::Partials(partials.clone()))
            }
            What::Derive(batch) => {
                batch.verify(&own()?, partials, &proof()?).ok().map(Held::Derived)
            }
            What::Wrap => {
                let label = EncryptionContext::default().label();
                let point = scope(world, story, &label).point(&NONCE).unwrap();
                wrap::verify(context, &own()?, &[point], partials, &proof()?).ok()?;
                Some(Held::Partials(partials.clone()))
            }
            What::Draw(_) => {
                let drawn = SignerCommitments::from_words(node, partials).ok()?;
                drawn.first().copied().map(Held::Drawn)
            }
            // Verified with the others'.
            What::Sign(_) => Some(Held::Partials(partials.clone())),
        }
    }

    fn combine(
        &mut self,
        world: &World,
        story: &mut Story,
        public: &EpochPublic,
        epoch: EpochName,
    ) -> Result<Option<Done>, Broken> {
        let wrong = |how: &str| Broken { rule: "results", how: format!("{how} ({epoch:?})") };
        let threshold = public.committee.threshold();
        let of_epoch = self.held.get(&epoch).unwrap().iter().take(match &self.what {
            What::Sign(_) => usize::MAX,
            _ => threshold.as_usize(),
        });
        let (mut nodes, mut partials, mut derived, mut drawn) = (vec![], vec![], vec![], vec![]);
        for (node, held) in of_epoch {
            nodes.push(*node);
            match held {
                Held::Partials(p) => partials.push(p[0]),
                Held::Derived(v) => derived.push((*node, v.clone())),
                Held::Drawn(s) => drawn.push(*s),
            }
        }
        let label = EncryptionContext::default().label();
        let output = match &self.what {
            What::Decrypt { header, ciphertext, payload, .. } => {
                let fingerprint = world.cluster.fingerprint().as_bytes();
                let point = EncodedPoint::decode(&story.public.unwrap()).unwrap();
                let binding = Binding::new(fingerprint, story.name.as_bytes(), 1, &point);
                let combiner = Combiner::new(threshold, &nodes).unwrap();
                let opened = combiner.open(&binding, &label, header, ciphertext, &partials);
                if opened.map_err(|e| wrong(&e.to_string()))?.expose() != payload {
                    return Err(wrong("another payload key"));
                }
                None
            }
            What::Derive(batch) => {
                let output = batch.finalize(threshold, &derived);
                Some(output.map_err(|e| wrong(&e.to_string()))?[0].expose().to_vec())
            }
            What::Wrap => {
                let combiner = Combiner::new(threshold, &nodes).unwrap();
                let wrapping = Wrapping { header: b"", nonce: NONCE, partials: &partials };
                let keys = scope(world, story, &label).keys(&combiner, &[wrapping]);
                let key = keys[0].as_ref().map_err(|e| wrong(&e.to_string()))?;
                Some(key.commitment().to_vec())
            }
            What::Draw(_) => {
                self.done = true;
                return Ok(Some(Done::Drawn(epoch, drawn)));
            }
            What::Sign(sign) => {
                let (item, set) = &**sign;
                let shares: Vec<_> = nodes.iter().copied().zip(partials).collect();
                let commitments = public.decode_commitments().unwrap();
                match aggregate(set, &shares, threshold, &commitments) {
                    Ok(signature) => verify(&story.public.unwrap(), &item.message, &signature)
                        .map_err(|e| wrong(&e.to_string()))?,
                    Err(AggregateError::Signers { .. }) => return Ok(None),
                    Err(AggregateError::Cheaters(by)) if Some(by.as_slice()) == story.liars() => {
                        return Ok(None);
                    }
                    Err(other) => return Err(wrong(&other.to_string())),
                }
                None
            }
        };
        self.done = true;
        if let Some(output) = output
            && *story.output.get_or_insert_with(|| output.clone()) != output
        {
            return Err(wrong("another output than before"));
        }
        Ok(Some(Done::Used))
    }
}

fn scope<'a>(world: &'a World, story: &'a Story, label: &'a [u8]) -> Scope<'a> {
    Scope::new(world.cluster.fingerprint().as_bytes(), story.name.as_bytes(), 1, label)
}
