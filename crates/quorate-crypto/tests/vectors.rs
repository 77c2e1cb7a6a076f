//! The vectors of docs/protocol: written by the slow model, checked against the crate.
//!
//! `cargo test -p quorate-crypto --test vectors -- --ignored` writes them anew; a change
//! of any byte is a change of protocol.
#![allow(clippy::unwrap_used)] // a test

#[path = "model/lib.rs"]
mod model;

use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_POINT as B, ristretto::RistrettoPoint, scalar::Scalar,
};
use model::{Deal, VectorRng, enc};
use quorate_crypto::{
    EncodedPoint, SecretScalar, ShareIndex, Threshold,
    complaint::{Complaint, Verdict, judge},
    dealing::{Dealing, DealingParams, Receivers, VerifiedDealing, commitment_hash, deal},
    dleq,
    group::Group,
    sharing::{Commitments, Polynomial, lagrange_at_zero},
};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// Name of the file, and how the model makes it.
type Vector = (&'static str, fn() -> Value);

const FILES: [Vector; 4] =
    [("sharing", sharing), ("dleq", dleq), ("dealing", dealing), ("complaint", complaint)];

fn path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol/vectors");
    root.join(name).with_extension("json")
}

fn render(vector: &Value) -> String {
    serde_json::to_string_pretty(vector).unwrap() + "\n"
}

#[test]
#[ignore = "writes docs/protocol/vectors"]
fn write_vectors() {
    fs::create_dir_all(path("x").parent().unwrap()).unwrap();
    for (name, make) in FILES {
        fs::write(path(name), render(&make())).unwrap();
    }
}

#[test]
fn the_stored_vectors_are_those_of_the_model() {
    for (name, make) in FILES {
        assert_eq!(fs::read_to_string(path(name)).unwrap(), render(&make()), "{name}");
    }
}

// ---- The model's side ----

fn hx(bytes: impl AsRef<[u8]>) -> Value {
    hex::encode(bytes).into()
}

fn scalars(list: &[Scalar]) -> Value {
    list.iter().map(|s| hx(s.to_bytes())).collect()
}

fn points(list: &[RistrettoPoint]) -> Value {
    list.iter().map(|p| hx(enc(p))).collect()
}

fn sharing() -> Value {
    let rng = &mut VectorRng::new("quorate vectors: sharing");
    let coefficients: Vec<Scalar> = (0..3).map(|_| rng.scalar()).collect();
    let commitments = model::commit(&coefficients);
    let share = |i: &u16| {
        json!({
            "index": i,
            "value": hx(model::evaluate(&coefficients, *i).to_bytes()),
            "verifying_key": hx(enc(&model::commitment_at(&commitments, *i))),
        })
    };
    let shares: Value = [1_u16, 2, 7, 256, 65535].iter().map(share).collect();
    let subset = [65535_u16, 2, 7];
    json!({
        "seed": "quorate vectors: sharing",
        "threshold": 3,
        "coefficients": scalars(&coefficients),
        "commitments": points(&commitments),
        "shares": shares,
        "lagrange_at_zero": { "indices": subset, "weights": scalars(&model::lagrange(&subset)) },
    })
}

fn dleq() -> Value {
    let rng = &mut VectorRng::new("quorate vectors: dleq");
    let mut one = |n: usize| {
        let secret = rng.scalar();
        let inputs = model::commit(&(0..n).map(|_| rng.scalar()).collect::<Vec<_>>());
        let outputs: Vec<_> = inputs.iter().map(|c| secret * c).collect();
        let fresh: [u8; 32] = rng.bytes();
        let context = format!("context of {n}");
        let p = model::dleq(context.as_bytes(), &secret, &inputs, &outputs, &fresh);
        json!({
            "context": hx(context),
            "secret": hx(secret.to_bytes()),
            "public": hx(enc(&(secret * B))),
            "inputs": points(&inputs),
            "outputs": points(&outputs),
            "fresh": hx(fresh),
            "statement_seed": hx(p.seed),
            "weights": scalars(&p.weights),
            "m": hx(enc(&p.m)),
            "z": hx(enc(&p.z)),
            "nonce": hx(p.nonce.to_bytes()),
            "a": hx(enc(&p.a)),
            "a_bar": hx(enc(&p.a_bar)),
            "proof": hx(p.proof),
        })
    };
    json!({ "seed": "quorate vectors: dleq", "proofs": [one(1), one(3)] })
}

struct Scene {
    deal: Deal,
    secrets: Vec<Scalar>,
    rng: VectorRng,
}

fn scene(seed: &'static str) -> Scene {
    let mut rng = VectorRng::new(seed);
    let coefficients: Vec<Scalar> = (0..2).map(|_| rng.scalar()).collect();
    let secrets: Vec<Scalar> = (0..3).map(|_| rng.scalar()).collect();
    let receivers = [1, 2, 300].into_iter().zip(model::commit(&secrets)).collect();
    let (ctx, identity) = (rng.bytes(), rng.bytes());
    let fresh = [rng.bytes(), rng.bytes(), rng.bytes()];
    let deal = Deal { ctx, dealer: 5, identity, coefficients, receivers, fresh };
    Scene { deal, secrets, rng }
}

fn setting(scene: &Scene) -> Value {
    let Deal { ctx, dealer, identity, coefficients, receivers, fresh } = &scene.deal;
    let receiver = |((index, key), secret): (&(u16, RistrettoPoint), &Scalar)| json!({ "index": index, "secret": hx(secret.to_bytes()), "key": hx(enc(key)) });
    json!({
        "ctx": hx(ctx),
        "dealer": dealer,
        "dealer_identity": hx(identity),
        "threshold": coefficients.len(),
        "coefficients": scalars(coefficients),
        "receivers": receivers.iter().zip(&scene.secrets).map(receiver).collect::<Value>(),
        "fresh": fresh.iter().map(hx).collect::<Value>(),
    })
}

fn dealing() -> Value {
    let scene = scene("quorate vectors: dealing");
    let dealt = scene.deal.deal();
    let value = |s: &model::Sealed| {
        json!({
            "index": s.index,
            "value": hx(s.value),
            "shared": hx(enc(&s.shared)),
            "binding": hx(s.binding),
            "key": hx(s.key),
            "sealed": hx(&s.sealed),
        })
    };
    let scope = [0x5c; 32];
    let dealer = scene.deal.dealer.to_be_bytes();
    let concat = dealt.commitments.concat();
    let commit_parts: [&[u8]; 4] = [&scope, &dealer, &scene.deal.identity, &concat];
    json!({
        "seed": "quorate vectors: dealing",
        "setting": setting(&scene),
        "commitments": dealt.commitments.iter().map(hx).collect::<Value>(),
        "commit_scope": hx(scope),
        "commitment_hash": hx(model::h32("dealing/commit.", &commit_parts)),
        "statement": hx(dealt.statement),
        "knowledge_nonce": hx(dealt.knowledge.nonce.to_bytes()),
        "knowledge_r": hx(enc(&dealt.knowledge.r)),
        "knowledge": hx(dealt.knowledge.proof),
        "ephemeral_secret": hx(dealt.ephemeral_secret.to_bytes()),
        "ephemeral": hx(enc(&dealt.ephemeral)),
        "values": dealt.sealed.iter().map(value).collect::<Value>(),
        "ephemeral_knowledge_nonce": hx(dealt.ephemeral_knowledge.nonce.to_bytes()),
        "ephemeral_knowledge_r": hx(enc(&dealt.ephemeral_knowledge.r)),
        "ephemeral_knowledge": hx(dealt.ephemeral_knowledge.proof),
        "bytes": hx(&dealt.bytes),
        "hash": hx(model::h32("dealing/hash.", &[&scene.deal.ctx, &dealt.bytes])),
    })
}

/// The dealer seals 1 to receiver 2, who complains; receiver 1 complains without cause.
fn complaint() -> Value {
    let mut scene = scene("quorate vectors: complaint");
    let lie = |i, honest| if i == 2 { Scalar::ONE.to_bytes() } else { honest };
    let dealt = scene.deal.deal_values(lie);
    let mut file = |at: usize, verdict: &str| {
        let (index, secret) = (scene.deal.receivers[at].0, scene.secrets[at]);
        let shared = secret * dealt.ephemeral;
        let ctx = &scene.deal.ctx;
        let context = model::complaint_context(ctx, &dealt.bytes, &dealt.statement, index);
        let fresh: [u8; 32] = scene.rng.bytes();
        let proof = model::dleq(&context, &secret, &[dealt.ephemeral], &[shared], &fresh).proof;
        let bytes = [&index.to_be_bytes()[..], &enc(&shared), &proof].concat();
        json!({
            "receiver": index,
            "shared": hx(enc(&shared)),
            "context": hx(context),
            "fresh": hx(fresh),
            "proof": hx(proof),
            "bytes": hx(bytes),
            "verdict": verdict,
        })
    };
    let complaints = [file(1, "dealer lied"), file(0, "receiver lied")];
    json!({
        "seed": "quorate vectors: complaint",
        "setting": setting(&scene),
        "dealing": hx(&dealt.bytes),
        "complaints": complaints,
    })
}

// ---- The crate's side ----

fn stored(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(path(name)).unwrap()).unwrap()
}

fn unhex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value).try_into().unwrap()
}

fn list<T>(value: &Value, one: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().unwrap().iter().map(one).collect()
}

fn index(value: &Value) -> ShareIndex {
    ShareIndex::new(value.as_u64().unwrap().try_into().unwrap()).unwrap()
}

fn point(value: &Value) -> EncodedPoint {
    EncodedPoint::decode(&array(value)).unwrap()
}

fn secret(value: &Value) -> SecretScalar {
    SecretScalar::from_bytes(&array(value)).unwrap()
}

/// A generator that gives the stored fresh bytes, in order.
struct Stored(Vec<u8>);

impl rand_core::TryRng for Stored {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("only bytes are drawn")
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("only bytes are drawn")
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.copy_from_slice(&self.0[..out.len()]);
        self.0.drain(..out.len());
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Stored {}

#[test]
fn sharing_vectors_hold() {
    let v = stored("sharing");
    let t = Threshold::new(3, 5).unwrap();
    let f = Polynomial::from_bytes(t, &list(&v["coefficients"], unhex).concat()).unwrap();
    let commitments =
        Commitments::from_bytes(Group::Ristretto255, t, &list(&v["commitments"], array)).unwrap();
    assert_eq!(f.commit(Group::Ristretto255), commitments);
    for share in v["shares"].as_array().unwrap() {
        let i = index(&share["index"]);
        assert_eq!(f.evaluate(i).to_bytes()[..], unhex(&share["value"]));
        assert_eq!(commitments.at(i).encode()[..], unhex(&share["verifying_key"]));
    }
    let lagrange = &v["lagrange_at_zero"];
    let weights = lagrange_at_zero(&list(&lagrange["indices"], index)).unwrap();
    assert_eq!(scalars(&weights), lagrange["weights"]);
}

#[test]
fn dleq_vectors_hold() {
    for v in stored("dleq")["proofs"].as_array().unwrap() {
        let (context, public) = (unhex(&v["context"]), point(&v["public"]));
        let (inputs, outputs) = (list(&v["inputs"], point), list(&v["outputs"], point));
        let (k, rng) = (secret(&v["secret"]), &mut Stored(unhex(&v["fresh"])));
        let made = dleq::prove_encoded(&context, &k, &public, &inputs, &outputs, rng).unwrap();
        assert_eq!(made.to_bytes()[..], unhex(&v["proof"]));
        assert_eq!(dleq::verify_encoded(&context, &public, &inputs, &outputs, &made), Ok(()));
    }
}

fn verified(setting: &Value, bytes: &Value) -> (VerifiedDealing, Vec<u8>) {
    let receiver = |r: &Value| (index(&r["index"]), point(&r["key"]));
    let receivers = Receivers::new(list(&setting["receivers"], receiver)).unwrap();
    let t = Threshold::new(2, receivers.len()).unwrap();
    let identity = array(&setting["dealer_identity"]);
    let (ctx, dealer) = (array(&setting["ctx"]), index(&setting["dealer"]));
    let params =
        DealingParams::new(Group::Ristretto255, ctx, dealer, identity, t, &receivers).unwrap();
    let coefficients = list(&setting["coefficients"], unhex).concat();
    let f = Polynomial::from_bytes(t, &coefficients).unwrap();
    let rng = &mut Stored(list(&setting["fresh"], unhex).concat());
    let honest = deal(&params, &f, rng).unwrap().to_bytes();
    let dealing = Dealing::from_bytes(&unhex(bytes)).unwrap();
    (dealing.verify(&params, None).unwrap(), honest)
}

#[test]
fn dealing_vectors_hold() {
    let v = stored("dealing");
    let (setting, bytes) = (&v["setting"], &v["bytes"]);
    let (dealing, dealt) = verified(setting, bytes);
    assert_eq!(dealt, unhex(bytes), "the crate deals the same bytes");
    assert_eq!(dealing.hash()[..], unhex(&v["hash"]));
    let identity = array(&setting["dealer_identity"]);
    let scope = array(&v["commit_scope"]);
    let name = commitment_hash(&scope, dealing.dealer(), &identity, dealing.commitments());
    assert_eq!(name[..], unhex(&v["commitment_hash"]));
    for (r, value) in
        setting["receivers"].as_array().unwrap().iter().zip(list(&v["values"], Clone::clone))
    {
        let opened = dealing.open(index(&r["index"]), &secret(&r["secret"])).unwrap();
        assert_eq!(opened.to_bytes()[..], unhex(&value["value"]));
    }
}

#[test]
fn complaint_vectors_hold() {
    let v = stored("complaint");
    let (dealing, _) = verified(&v["setting"], &v["dealing"]);
    for c in v["complaints"].as_array().unwrap() {
        let complaint = Complaint::from_bytes(&unhex(&c["bytes"])).unwrap();
        let verdict = match judge(&dealing, &complaint) {
            Verdict::DealerLied => "dealer lied",
            Verdict::ReceiverLied => "receiver lied",
        };
        assert_eq!(verdict, c["verdict"]);
    }
    // The crate complains with the same bytes, where there is cause.
    let (c, r) = (&v["complaints"][0], &v["setting"]["receivers"][1]);
    let rng = &mut Stored(unhex(&c["fresh"]));
    let made = dealing.complain(index(&r["index"]), &secret(&r["secret"]), rng).unwrap();
    assert_eq!(made.to_bytes()[..], unhex(&c["bytes"]));
}
