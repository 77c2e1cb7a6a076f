//! `docs/protocol/vectors/client.json`: from a fingerprint to a plaintext, a derived secret, signatures, what is
//! wrapped, and the key that an alias means, by the Rust types and cryptography. The file is made by the Python client's tests; so both write the
//! same requests, believe the same records, and read the same from the same answers.

#![allow(clippy::unwrap_used)] // clippy.toml spares test functions, not their fixtures

use quorate_crypto::{
    EncodedPoint, IdentityKey, PublicKey, Signature,
    answer::{OpeningSession, ReplyKey},
    dleq::Proof,
    frost::{NonceCommitments, SigningSet, aggregate, verify},
    hash::Label,
    merkle::merkle_root,
    stream::Opener,
    tdh2::{self, Binding, Ciphertext, Combiner},
    voprf::{Batch, private_input},
    wrap::{self, Nonce, Scope, Wrapping, draw_nonce},
};
use quorate_types::{
    Answer, CiphertextHead, Cluster, EncryptionContext, EpochPublic, Fingerprint, Format, Hash,
    KeyName, KeyRecord, Millis, NodeIndex, Operation, PartialContext, RequestHead, SealedAnswer,
    SignedOrder, SignedRoster, VerifiedOrder,
    ciphertext::Sealed,
    signing::{NonceOrder, SignItem, SignerCommitments},
};
use serde_json::Value;
use std::{collections::BTreeMap, fs};

/// Gives the stored bytes for randomness.
struct Stored(Vec<u8>);

impl rand_core::TryRng for Stored {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("keys and blinds are drawn as bytes")
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("keys and blinds are drawn as bytes")
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.copy_from_slice(&self.0.drain(..out.len()).collect::<Vec<_>>());
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Stored {}

/// The file, and what a client knows before it asks.
struct Stage {
    file: Value,
    cluster: Cluster,
    identity: IdentityKey,
    reply: ReplyKey,
    context: EncryptionContext,
}

fn unhex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value).try_into().unwrap()
}

fn many(value: &Value) -> Vec<Vec<u8>> {
    value.as_array().unwrap().iter().map(unhex).collect()
}

impl Stage {
    fn set() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors/client.json");
        let file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let chain: Vec<SignedRoster> =
            many(&file["rosters"]).iter().map(|r| SignedRoster::from_bytes(r).unwrap()).collect();
        let cluster = Cluster::verify(&Fingerprint(array(&file["fingerprint"])), &chain).unwrap();
        assert_eq!(cluster.roster().version, 2);
        let reply = ReplyKey::generate(&mut Stored(unhex(&file["reply_ikm"])));
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let pairs = file["context"].as_object().unwrap();
        let pairs = pairs.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let identity = IdentityKey::from_seed(&array(&file["identity_seed"]));
        let context = EncryptionContext::new(pairs).unwrap();
        Self { cluster, identity, reply, context, file }
    }

    /// A key's epoch in force, with all that proves it.
    fn key(&self, name: &str) -> EpochPublic {
        let stored = &self.file["keys"][name];
        let birth = KeyRecord::from_bytes(&unhex(&stored["record"])).unwrap();
        let born = birth.verify(&self.cluster).unwrap();
        let newest = unhex(&stored["newest"]);
        if newest.is_empty() {
            return born.public().clone();
        }
        let newest = KeyRecord::from_bytes(&newest).unwrap().verify_epoch(&self.cluster).unwrap();
        assert!(born.has(&newest));
        newest.public().clone()
    }

    /// What the nodes said to a request, which is the one that this client would have sent.
    fn answers(
        &self,
        key: &EpochPublic,
        operation: Operation,
        context: &EncryptionContext,
        said: &Value,
    ) -> (Hash, BTreeMap<NodeIndex, Answer>) {
        self.answers_proved(key, operation, context, operation == Operation::Derive, said)
    }

    fn answers_proved(
        &self,
        key: &EpochPublic,
        operation: Operation,
        context: &EncryptionContext,
        prove: bool,
        said: &Value,
    ) -> (Hash, BTreeMap<NodeIndex, Answer>) {
        let (bytes, items) = (unhex(&said["head"]), many(&said["items"]));
        let stored = RequestHead::from_bytes(&bytes).unwrap();
        let head = RequestHead {
            id: stored.id,
            issued_at: Millis(self.file["now"].as_u64().unwrap()),
            ttl: stored.ttl,
            client: self.identity.public(),
            key: key.key.clone(),
            version: key.version,
            operation,
            context: context.clone(),
            reply_key: self.reply.public(),
            prove,
            item_count: u16::try_from(items.len()).unwrap(),
            items_root: Hash(merkle_root(&items).unwrap()),
        };
        assert_eq!(head.to_bytes(), bytes);
        let fingerprint = self.cluster.fingerprint();
        let signature = self.identity.sign(Label::SIG_REQUEST, fingerprint.as_bytes(), &bytes);
        assert_eq!(signature, Signature(array(&said["signature"])));
        let request = RequestHead::hash(fingerprint, &bytes);
        let answers = said["answers"].as_array().unwrap().iter();
        (request, answers.map(|a| self.open(key, request, &unhex(&a["sealed"]))).collect())
    }

    fn open(&self, key: &EpochPublic, request: Hash, sealed: &[u8]) -> (NodeIndex, Answer) {
        let sealed = SealedAnswer::from_bytes(sealed).unwrap();
        let (card, fingerprint) = (&sealed.key, self.cluster.fingerprint());
        assert_eq!((sealed.request, sealed.epoch), (request, key.epoch));
        let member: PublicKey = key.committee.member(card.node).unwrap().identity;
        card.verify(fingerprint, &member).unwrap();
        let info = SealedAnswer::session_info(fingerprint, card.node, &self.identity.public());
        let session =
            OpeningSession::new(&self.reply, &card.public, &sealed.encapsulated, &info).unwrap();
        let aad = SealedAnswer::associated_data(&request, card.node, &sealed.epoch);
        let plain = session.open(sealed.counter, &aad, &sealed.sealed).unwrap();
        (card.node, Answer::from_bytes(&plain).unwrap())
    }
}

#[test]
fn a_ciphertext_opens() {
    let stage = Stage::set();
    let (key, said) = (stage.key("demo"), &stage.file["decrypt"]);
    assert_eq!(key.epoch.number, 2000);
    let ciphertext = unhex(&said["ciphertext"]);
    let (head, taken) = CiphertextHead::split(&ciphertext).unwrap();
    assert_eq!(many(&said["items"]), [head.to_bytes()]);
    let public = EncodedPoint::decode(key.public_key()).unwrap();
    let name = key.key.as_str().as_bytes();
    let binding = Binding::new(stage.cluster.fingerprint().as_bytes(), name, 1, &public);
    let kem = Ciphertext::from_bytes(&head.kem).unwrap();
    let (label, header) = (stage.context.label(), head.header.to_bytes());
    tdh2::verify(&binding, &label, &header, &kem).unwrap();

    let (_, answers) = stage.answers(&key, Operation::Decrypt, &stage.context, said);
    let nodes: Vec<NodeIndex> = answers.keys().copied().collect();
    let partials: Vec<[u8; 32]> = answers.values().map(|a| a.partials[0]).collect();
    let combiner = Combiner::new(key.committee.threshold(), &nodes).unwrap();
    let payload_key = combiner.open(&binding, &label, &header, &kem, &partials).unwrap();
    let mut chunk = ciphertext[taken..].to_vec();
    Opener::new(&payload_key).open_chunk(&mut chunk, true).unwrap();
    assert_eq!(chunk, unhex(&said["plaintext"]));
}

#[test]
fn a_secret_is_derived() {
    let stage = Stage::set();
    let (key, said) = (stage.key("ids"), &stage.file["derive"]);
    let input = private_input(&stage.context.label(), &unhex(&said["input"]));
    let blind = [&array::<32>(&said["blind"])[..], &[0; 32]].concat();
    let batch = Batch::new(&[&input.expose()[..]], &mut Stored(blind)).unwrap();
    let elements: Vec<Vec<u8>> = batch.elements().iter().map(|e| e.bytes().to_vec()).collect();
    assert_eq!(elements, many(&said["items"]));
    let (_, answers) = stage.answers(&key, Operation::Derive, &stage.context, said);
    let commitments = key.decode_commitments().unwrap();
    let verified = |(node, answer): (NodeIndex, Answer)| {
        let proof = Proof::from_bytes(&answer.proof.unwrap()).unwrap();
        let public = commitments.ristretto_at(node).unwrap();
        (node, batch.verify(&public, &answer.partials, &proof).unwrap())
    };
    let verified: Vec<_> = answers.into_iter().map(verified).collect();
    let secrets = batch.finalize(key.committee.threshold(), &verified).unwrap();
    assert_eq!(secrets[0].expose()[..], unhex(&said["secret"]));
}

/// The one-time key of a nonce, by what nodes said; with `prove` only if each has proved its part.
fn one_time_key(
    stage: &Stage,
    said: &Value,
    header: &[u8],
    nonce: Nonce,
    prove: bool,
) -> wrap::OneTimeKey {
    let (key, label) = (stage.key("vault"), stage.context.label());
    assert_eq!(many(&said["items"]), [nonce.to_vec()]);
    let (request, answers) =
        stage.answers_proved(&key, Operation::Wrap, &stage.context, prove, said);
    let name = key.key.as_str().as_bytes();
    let scope = Scope::new(stage.cluster.fingerprint().as_bytes(), name, 1, &label);
    let (points, commitments) = ([scope.point(&nonce).unwrap()], key.decode_commitments().unwrap());
    for (node, answer) in &answers {
        assert_eq!(answer.proof.is_some(), prove);
        let Some(proof) = &answer.proof else { continue };
        let context = PartialContext { public: &key, node: *node, request }.to_bytes();
        let public = commitments.ristretto_at(*node).unwrap();
        let proof = Proof::from_bytes(proof).unwrap();
        wrap::verify(&context, &public, &points, &answer.partials, &proof).unwrap();
    }
    let nodes: Vec<NodeIndex> = answers.keys().copied().collect();
    let partials: Vec<[u8; 32]> = answers.values().map(|a| a.partials[0]).collect();
    let combiner = Combiner::new(key.committee.threshold(), &nodes).unwrap();
    let wrapping = Wrapping { header, nonce, partials: &partials };
    scope.keys(&combiner, &[wrapping]).pop().unwrap().unwrap()
}

#[test]
fn what_is_wrapped_unwraps() {
    let stage = Stage::set();
    let said = &stage.file["wrap"];
    let [plaintext, other, wrapped] =
        ["plaintext", "other_data", "wrapped"].map(|name| unhex(&said[name]));
    let nonce = draw_nonce(&plaintext, &other, &mut Stored(unhex(&said["randomness"])));
    let mut sealed = plaintext.clone();
    let tag = one_time_key(&stage, said, b"", nonce, true).seal(&other, &mut sealed);
    assert_eq!([&nonce[..], &sealed, &tag].concat(), wrapped);
    one_time_key(&stage, said, b"", nonce, true).open(&other, &mut sealed, &tag).unwrap();
    assert_eq!(sealed, plaintext);
}

#[test]
fn a_ciphertext_under_a_key_that_wraps_opens() {
    let stage = Stage::set();
    let said = &stage.file["encrypt"];
    let ciphertext = unhex(&said["ciphertext"]);
    let (head, taken) = Sealed::split(&ciphertext).unwrap();
    let Sealed::Wrapped(head) = head else { panic!("of the form for keys that wrap") };
    let header = head.header.to_bytes();
    // To seal every node has proved its part; to open, the commitment tells.
    for (half, prove) in [(&said["seal"], true), (&said["open"], false)] {
        let key = one_time_key(&stage, half, &header, head.nonce, prove);
        let payload_key = key.committed(&head.commitment).unwrap();
        let mut chunk = ciphertext[taken..].to_vec();
        Opener::new(&payload_key).open_chunk(&mut chunk, true).unwrap();
        assert_eq!(chunk, unhex(&said["plaintext"]));
    }
}

#[test]
fn an_alias_means_a_key() {
    let stage = Stage::set();
    let said = &stage.file["alias"];
    let alias: KeyName = said["alias"].as_str().unwrap().parse().unwrap();
    let believed = |bytes: Vec<u8>| {
        let signed = SignedOrder::from_bytes(&bytes).unwrap();
        VerifiedOrder::verify(&stage.cluster, &signed).unwrap().key_state().unwrap().clone()
    };
    let mut states: Vec<_> = many(&said["orders"]).into_iter().map(believed).collect();
    states.retain(|state| state.aliases.contains(&alias));
    let [state] = &states[..] else { panic!("an alias of one key") };
    assert_eq!(state.name.as_str(), said["key"].as_str().unwrap());
    assert_eq!(state.revision, said["revision"].as_u64().unwrap());
}

#[test]
fn messages_are_signed() {
    let stage = Stage::set();
    let (key, said) = (stage.key("release"), &stage.file["sign"]);
    let messages = many(&said["messages"]);
    let order = NonceOrder { epoch: key.epoch, count: u16::try_from(messages.len()).unwrap() };
    assert_eq!(many(&said["commit"]["items"]), [order.to_bytes()]);
    let none = EncryptionContext::default();
    let (_, drawn) = stage.answers(&key, Operation::SignCommit, &none, &said["commit"]);
    let drawn: BTreeMap<NodeIndex, Vec<SignerCommitments>> = drawn
        .into_iter()
        .map(|(node, a)| (node, SignerCommitments::from_words(node, &a.partials).unwrap()))
        .collect();
    let (_, shares) = stage.answers(&key, Operation::Sign, &stage.context, &said["share"]);
    let commitments = key.decode_commitments().unwrap();
    for (at, message) in messages.iter().enumerate() {
        let signers: Vec<SignerCommitments> = drawn.values().map(|pairs| pairs[at]).collect();
        let points =
            |s: &SignerCommitments| (s.node, NonceCommitments::from_bytes(&s.commitments).unwrap());
        let set = SigningSet::new(message, signers.iter().map(points).collect());
        let item = SignItem { epoch: key.epoch, signers, message: message.clone() };
        assert_eq!(item.to_bytes(), unhex(&said["share"]["items"][at]));
        let of_item: Vec<_> = shares.iter().map(|(node, a)| (*node, a.partials[at])).collect();
        let signature = aggregate(&set, &of_item, key.committee.threshold(), &commitments).unwrap();
        assert_eq!(signature[..], unhex(&said["signatures"][at]));
        assert_eq!(verify(key.public_key(), message, &signature), Ok(()));
    }
}

/// A version that was born on a schedule is one of its order's, with its terms.
#[test]
fn a_version_that_was_born_on_a_schedule_verifies() {
    let stage = Stage::set();
    let stored = &stage.file["scheduled"];
    let birth = KeyRecord::from_bytes(&unhex(&stored["record"])).unwrap();
    let born = birth.verify(&stage.cluster).unwrap();
    assert_eq!(Some(u64::from(born.create().version.get())), stored["version"].as_u64());
    assert_eq!(born.order().rotation().map(quorate_types::RotateKey::last), Some(4));
}
