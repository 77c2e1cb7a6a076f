//! `docs/protocol/vectors/tdh2.json`: made by the model, checked against the code. To make it
//! again: `cargo test -p quorate-crypto tdh2::vectors -- --ignored`.

use super::{
    model,
    tests::{Stuck, Toy, index},
    *,
};
use crate::{SecretBytes, SecretScalar, ShareIndex, group::decode_point};
use serde_json::{Value, json};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors/tdh2.json");
const FINGERPRINT: [u8; 32] = [0x5a; 32];
const CONTEXT: &str = "any bytes that say what the proof is for";

/// Key, version, label, header, threshold, nodes.
type Case = (&'static str, u32, &'static str, &'static str, usize, &'static [u16]);
const CASES: [Case; 3] = [
    ("payments/cards", 1, "tenant=acme", "file 17", 2, &[1, 2]),
    ("k", u32::MAX, "", "", 3, &[65535, 1, 300]),
    ("schlüssel", 7, "länge=größer", "\u{0}header\u{0}", 5, &[5, 4, 3, 2, 1]),
];

fn secret(case: usize, what: &str) -> Scalar {
    model::scalar("quorate test vector", &[&[case as u8], what.as_bytes()])
}

fn coefficients(case: usize) -> Vec<Scalar> {
    (0..CASES[case].4).map(|k| secret(case, &format!("coefficient {k}"))).collect()
}

fn inputs(case: usize) -> model::Inputs<'static> {
    let (key, version, label, header, ..) = CASES[case];
    model::Inputs {
        fingerprint: FINGERPRINT,
        key,
        version,
        public: model::times(&coefficients(case)[0], model::base()),
        label,
        header,
        r: secret(case, "r"),
        s: secret(case, "s"),
        payload_key: secret(case, "payload key").to_bytes(),
    }
}

/// The product's proof with a stuck generator: what a verifier needs.
fn proof(case: usize, sealed: &model::Sealed) -> Value {
    let (toy, i) = (Toy::of(coefficients(case)), inputs(case));
    let binding = Binding::new(&FINGERPRINT, i.key.as_bytes(), i.version, &toy.y);
    let ciphertext = Ciphertext::from_bytes(&sealed.ciphertext()).unwrap();
    let v = [verify(&binding, i.label.as_bytes(), i.header.as_bytes(), &ciphertext).unwrap()];
    let node = CASES[case].5[0];
    let (share, public) = (toy.share(node), toy.share_public(node));
    let partials = partial_batch(&share, &v);
    let context = CONTEXT.as_bytes();
    let proof = prove_partials(context, &share, &public, &v, &partials, &mut Stuck).unwrap();
    json!({ "context": hex::encode(context), "node": node, "proof": hex::encode(proof.to_bytes()) })
}

fn case(n: usize) -> Value {
    let i = inputs(n);
    let sealed = model::seal(&i);
    let coefficients = coefficients(n);
    let u = decode_point(&sealed.points[0]).unwrap();
    let partials = CASES[n].5.iter().map(|x| {
        let share = model::share(&coefficients, *x);
        json!({
            "index": x,
            "share": hex::encode(share.as_bytes()),
            "share_public": hex::encode(model::bytes(model::times(&share, model::base()))),
            "partial": hex::encode(model::bytes(model::times(&share, u))),
        })
    });
    json!({
        "fingerprint": hex::encode(i.fingerprint),
        "key": hex::encode(i.key),
        "version": i.version,
        "public_key": hex::encode(model::bytes(i.public)),
        "label": hex::encode(i.label),
        "header": hex::encode(i.header),
        "coefficients": coefficients.iter().map(|c| hex::encode(c.as_bytes())).collect::<Vec<_>>(),
        "r": hex::encode(i.r.as_bytes()),
        "s": hex::encode(i.s.as_bytes()),
        "payload_key": hex::encode(i.payload_key),
        "U": hex::encode(sealed.points[0]),
        "U2": hex::encode(sealed.points[1]),
        "W": hex::encode(sealed.points[2]),
        "W2": hex::encode(sealed.points[3]),
        "shared": hex::encode(sealed.shared),
        "wrapping_key": hex::encode(&sealed.dem[..32]),
        "commitment": hex::encode(&sealed.dem[32..]),
        "wrapped": hex::encode(&sealed.wrapped),
        "e": hex::encode(sealed.e.as_bytes()),
        "z": hex::encode(sealed.z.as_bytes()),
        "ciphertext": hex::encode(sealed.ciphertext()),
        "partials": partials.collect::<Vec<_>>(),
        "proof": proof(n, &sealed),
    })
}

fn file() -> String {
    let all = json!({
        "source": "quorate-crypto, src/tdh2/model.rs (slow model); described in docs/protocol/tdh2.md",
        "encoding": "hex; scalars and points as in RFC 9496",
        "B2": hex::encode(model::bytes(model::base2())),
        "cases": (0..CASES.len()).map(case).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&all).unwrap() + "\n"
}

#[test]
#[ignore = "writes the file"]
fn generate() {
    std::fs::write(FILE, file()).unwrap();
}

#[test]
fn the_file_is_what_the_model_says() {
    assert_eq!(std::fs::read_to_string(FILE).unwrap(), file());
}

#[test]
fn the_code_says_what_the_model_says() {
    for (n, (.., nodes)) in CASES.iter().enumerate() {
        let (i, toy) = (inputs(n), Toy::of(coefficients(n)));
        let sealed = model::seal(&i);
        let (label, header) = (i.label.as_bytes(), i.header.as_bytes());
        let binding = Binding::new(&FINGERPRINT, i.key.as_bytes(), i.version, &toy.y);
        let (r, s) = (SecretScalar::new(i.r), SecretScalar::new(i.s));
        let payload_key = SecretBytes::new(i.payload_key);
        let ciphertext = seal::seal(&binding, label, header, &r, &s, &payload_key);
        assert_eq!(ciphertext.to_bytes()[..], sealed.ciphertext());

        let v = verify(&binding, label, header, &ciphertext).unwrap();
        let points: Vec<(u16, _)> = nodes
            .iter()
            .map(|x| (*x, model::times(&model::share(&toy.coefficients, *x), *v.u.point())))
            .collect();
        let partials: Vec<(ShareIndex, PointBytes)> = points
            .iter()
            .map(|(x, p)| {
                assert_eq!(partial(&toy.share(*x), &v), model::bytes(*p));
                (index(*x), model::bytes(*p))
            })
            .collect();
        assert_eq!(model::bytes(model::combine(&points)), sealed.shared);
        let opened =
            decapsulate(&binding, label, header, &ciphertext, toy.threshold(), &partials).unwrap();
        assert_eq!(*opened.expose(), i.payload_key);
    }
}
