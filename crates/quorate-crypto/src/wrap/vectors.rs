//! `docs/protocol/vectors/wrap.json`: wrappings with every intermediate value, checked here and
//! once more in plain Python (`docs/protocol/vectors/check.py`). To make it again:
//! `cargo test -p quorate-crypto wrap::vectors -- --ignored`.

use super::*;
use crate::{SecretScalar, ShareIndex, Threshold, group::encode_point};
use curve25519_dalek::scalar::Scalar;
use serde_json::{Value, json};
use std::fs;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors/wrap.json");
const FINGERPRINT: [u8; 32] = [0xf1; 32];
const NODES: [u16; 3] = [5, 1, 300];
const OTHER_DATA: &[u8] = b"bound, not sealed";
const PLAINTEXT: &[u8] = b"as long as its ciphertext";
/// One pair, `app` and `crm`, as a request carries it.
const CONTEXT: &[u8] = b"\0\x01\0\0\0\x03app\0\0\0\x03crm";
const HEADERS: [&[u8]; 2] = [b"", b"the head of a ciphertext"];

fn nonce(j: usize) -> Nonce {
    std::array::from_fn(|i| (16 * j + i) as u8)
}

fn coefficients() -> [Scalar; 3] {
    [3, 7, 11].map(|n: u64| Scalar::from(n).invert())
}

fn share(x: u16) -> SecretScalar {
    let [a, b, c] = coefficients();
    let x = Scalar::from(x);
    SecretScalar::new(a + x * (b + x * c))
}

/// Step by step, under the whole key and without batches.
fn case(j: usize) -> Value {
    let version = 7_u32.to_be_bytes();
    let input = hash(Label::WRAP_INPUT, &[&FINGERPRINT, b"payroll", &version, CONTEXT, &nonce(j)]);
    let point = hash_to_group(&input);
    let shared = encode_point(&(point * coefficients()[0]));
    let parts: [&[u8]; 7] =
        [&FINGERPRINT, b"payroll", &version, HEADERS[j], CONTEXT, &nonce(j), &shared];
    let wide = hash(Label::WRAP_DEM, &parts);
    let scope = Scope::new(&FINGERPRINT, b"payroll", 7, CONTEXT);
    let mut sealed = PLAINTEXT.to_vec();
    let tag = OneTimeKey::new(&scope, HEADERS[j], &nonce(j), &shared).seal(OTHER_DATA, &mut sealed);
    json!({
        "header": hex::encode(HEADERS[j]),
        "nonce": hex::encode(nonce(j)),
        "hashed_input": hex::encode(input),
        "point": hex::encode(encode_point(&point)),
        "partials": NODES.map(|x| hex::encode(encode_point(&(point * share(x).expose())))),
        "shared": hex::encode(shared),
        "key": hex::encode(&wide[..32]),
        "commitment": hex::encode(&wide[32..]),
        "ciphertext": hex::encode(sealed),
        "tag": hex::encode(tag),
    })
}

fn file() -> String {
    let all = json!({
        "source": "quorate-crypto, src/wrap/vectors.rs; described in docs/protocol/wrap.md",
        "encoding": "hex; scalars and points as in RFC 9496",
        "fingerprint": hex::encode(FINGERPRINT),
        "key_name": "payroll",
        "version": 7,
        "context": hex::encode(CONTEXT),
        "coefficients": coefficients().map(|c| hex::encode(c.as_bytes())),
        "nodes": NODES,
        "shares": NODES.map(|x| hex::encode(share(x).to_bytes())),
        "other_data": hex::encode(OTHER_DATA),
        "plaintext": hex::encode(PLAINTEXT),
        "wrappings": [case(0), case(1)],
    });
    serde_json::to_string_pretty(&all).unwrap() + "\n"
}

#[test]
#[ignore = "writes docs/protocol/vectors/wrap.json"]
fn write_the_file() {
    fs::write(FILE, file()).unwrap();
}

#[test]
fn the_file_is_that_of_the_model() {
    assert_eq!(fs::read_to_string(FILE).unwrap(), file());
}

#[test]
fn the_code_says_what_the_model_says() {
    let scope = Scope::new(&FINGERPRINT, b"payroll", 7, CONTEXT);
    let points: Vec<_> = (0..2).map(|j| scope.point(&nonce(j)).unwrap()).collect();
    let by_node: Vec<_> = NODES.iter().map(|x| partials(&share(*x), &points)).collect();
    let by_item: Vec<Vec<_>> = (0..2).map(|j| by_node.iter().map(|p| p[j]).collect()).collect();
    let indices = NODES.map(|x| ShareIndex::new(x).unwrap());
    let combiner = Combiner::new(Threshold::new(3, 3).unwrap(), &indices).unwrap();
    let wrappings: Vec<_> = (0..2)
        .map(|j| Wrapping { header: HEADERS[j], nonce: nonce(j), partials: &by_item[j] })
        .collect();
    for (j, key) in scope.keys(&combiner, &wrappings).into_iter().enumerate() {
        let (key, said) = (key.unwrap(), case(j));
        for (i, partial) in by_item[j].iter().enumerate() {
            assert_eq!(said["partials"][i], hex::encode(partial));
        }
        assert_eq!(said["commitment"], hex::encode(key.commitment()));
        assert_eq!(said["key"], hex::encode(key.into_key().expose()));
    }
}
