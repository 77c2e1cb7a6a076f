//! RFC 9497 A.1.2: ristretto255-SHA512, VOPRF mode, every vector, bit for bit; and the same
//! from three of five shares of the vectors' key.
//!
//! `docs/protocol/vectors/voprf.json` holds these, and a derivation with every intermediate value,
//! made here step by step without the code under test and checked against it. To make it
//! again: `cargo test -p quorate-crypto voprf::vectors -- --ignored`.

use super::{
    tests::{Toy, hex32, verified_alone},
    *,
};
use crate::{
    SecretScalar, ShareIndex, Threshold,
    dleq::Proof,
    group::{B, encode_point},
    sharing::combine_points,
};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use serde_json::{Value, json};
use std::fs;

const KEY: &str = "e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909";
const PUBLIC: &str = "c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e";

const BLIND: &str = "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706";
const SCALAR: &str = "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e";
const OUTPUT_1: &str = "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7d\
                        a4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c";
const OUTPUT_2: &str = "8a9a2f3c7f085b65933594309041fc1898d42d0858e59f90814ae90571a6df60\
                        356f4610bf816f27afdd84f47719e480906d27ecd994985890e5f539e7ea74b6";

struct Vector {
    inputs: &'static [&'static str],
    blinds: &'static [&'static str],
    blinded: &'static [&'static str],
    evaluated: &'static [&'static str],
    proof: &'static str,
    proof_scalar: &'static str,
    outputs: &'static [&'static str],
}

const VECTORS: [Vector; 3] = [
    Vector {
        inputs: &["00"],
        blinds: &[BLIND],
        blinded: &["863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945"],
        evaluated: &["aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e"],
        proof: "ddef93772692e535d1a53903db24367355cc2cc78de93b3be5a8ffcc6985dd06\
                6d4346421d17bf5117a2a1ff0fcb2a759f58a539dfbe857a40bce4cf49ec600d",
        proof_scalar: SCALAR,
        outputs: &[OUTPUT_1],
    },
    Vector {
        inputs: &["5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"],
        blinds: &[BLIND],
        blinded: &["cc0b2a350101881d8a4cba4c80241d74fb7dcbfde4a61fde2f91443c2bf9ef0c"],
        evaluated: &["60a59a57208d48aca71e9e850d22674b611f752bed48b36f7a91b372bd7ad468"],
        proof: "401a0da6264f8cf45bb2f5264bc31e109155600babb3cd4e5af7d181a2c9dc0a\
                67154fabf031fd936051dec80b0b6ae29c9503493dde7393b722eafdf5a50b02",
        proof_scalar: SCALAR,
        outputs: &[OUTPUT_2],
    },
    Vector {
        inputs: &["00", "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"],
        blinds: &[BLIND, SCALAR],
        blinded: &[
            "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945",
            "90a0145ea9da29254c3a56be4fe185465ebb3bf2a1801f7124bbbadac751e654",
        ],
        evaluated: &[
            "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e",
            "cc5ac221950a49ceaa73c8db41b82c20372a4c8d63e5dded2db920b7eee36a2a",
        ],
        proof: "cc203910175d786927eeb44ea847328047892ddf8590e723c37205cb74600b0a\
                5ab5337c8eb4ceae0494c2cf89529dcf94572ed267473d567aeed6ab873dee08",
        proof_scalar: "419c4f4f5052c53c45f3da494d2b67b220d02118e0857cdbcf037f9ea84bbe0c",
        outputs: &[OUTPUT_1, OUTPUT_2],
    },
];

fn scalar(hex: &str) -> SecretScalar {
    SecretScalar::from_bytes(&hex32(hex)).unwrap()
}

fn blindings(vector: &Vector) -> Vec<Blinding> {
    let blind = |(input, blind): (&&str, &&str)| {
        Blinding::with(&hex::decode(input).unwrap(), scalar(blind)).unwrap()
    };
    vector.inputs.iter().zip(vector.blinds).map(blind).collect()
}

#[test]
fn rfc_9497_vectors_with_the_whole_key() {
    let (key, public) = (scalar(KEY), EncodedPoint::decode(&hex32(PUBLIC)).unwrap());
    assert_eq!(key.public(), *public.point());
    for vector in &VECTORS {
        let blindings = blindings(vector);
        let elements: Vec<_> = blindings.iter().map(|b| *b.element()).collect();
        let hex = |bytes: &PointBytes| hex::encode(bytes);
        assert_eq!(elements.iter().map(|e| hex(e.bytes())).collect::<Vec<_>>(), vector.blinded);
        let evaluated = evaluate(&key, &elements);
        assert_eq!(evaluated.iter().map(hex).collect::<Vec<_>>(), vector.evaluated);
        let r = scalar(vector.proof_scalar);
        let proof = proof::prove_with(&key, &public, &elements, &evaluated, &r).unwrap();
        assert_eq!(hex::encode(proof.to_bytes()), vector.proof);
        let bytes = hex::decode(vector.proof).unwrap().try_into().unwrap();
        let points =
            verify(&public, &elements, &evaluated, &Proof::from_bytes(&bytes).unwrap()).unwrap();
        let output =
            |(b, p): (&Blinding, &EncodedPoint)| hex::encode(b.finalize(p.point()).expose());
        let outputs: Vec<_> = blindings.iter().zip(&points).map(output).collect();
        assert_eq!(outputs, vector.outputs);
    }
}

/// Each share proves as a server of the RFC under its verifying key; what `t` of them answer
/// combines to the vectors' evaluation elements and outputs.
#[test]
fn rfc_9497_vectors_from_three_of_five_shares() {
    let toy = Toy::of(&scalar(KEY), 3);
    for vector in &VECTORS {
        let blindings = blindings(vector);
        let elements: Vec<_> = blindings.iter().map(|b| *b.element()).collect();
        for nodes in [[1, 2, 3], [5, 3, 1], [2, 4, 5]] {
            let partials: Vec<_> =
                nodes.iter().map(|i| (*i, verified_alone(&toy, *i, &elements))).collect();
            for (j, blinding) in blindings.iter().enumerate() {
                let points: Vec<_> = partials
                    .iter()
                    .map(|(i, p)| (ShareIndex::new(*i).unwrap(), *p[j].point()))
                    .collect();
                let n = combine_points(Threshold::new(3, 5).unwrap(), &points).unwrap();
                assert_eq!(hex::encode(encode_point(&n)), vector.evaluated[j]);
                assert_eq!(hex::encode(blinding.finalize(&n).expose()), vector.outputs[j]);
            }
        }
    }
}

// ---- The file ----

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors/voprf.json");
const INPUTS: [&[u8]; 3] = [b"alice@example.org", b"", b"alice@example.org"];
const NODES: [u16; 3] = [5, 1, 300];

/// One pair, `app` and `crm`, as a request carries it.
const CONTEXT: &[u8] = b"\0\x01\0\0\0\x03app\0\0\0\x03crm";

fn fixed(what: &str) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&rfc::hash(&[b"quorate test vector: ", what.as_bytes()]))
}

fn coefficients() -> Vec<Scalar> {
    (0..3).map(|k| fixed(&format!("coefficient {k}"))).collect()
}

fn share(x: u16) -> Scalar {
    let mut power = Scalar::ONE;
    let mut sum = Scalar::ZERO;
    for c in coefficients() {
        sum += c * power;
        power *= Scalar::from(x);
    }
    sum
}

fn blind(j: usize) -> Scalar {
    fixed(&format!("blind {j}"))
}

fn check_weight(j: usize) -> Scalar {
    fixed(&format!("check weight {j}"))
}

fn private(j: usize) -> [u8; 64] {
    *private_input(CONTEXT, INPUTS[j]).expose()
}

fn elements() -> Vec<RistrettoPoint> {
    let element = |j: usize| rfc::hash_to_group(&private(j)) * blind(j);
    let mut all: Vec<_> = (0..INPUTS.len()).map(element).collect();
    all.push((0..INPUTS.len()).map(|j| all[j] * check_weight(j)).sum());
    all
}

/// The steps of docs/protocol/voprf.md, one after the other.
fn node(x: u16) -> Value {
    let (share, r) = (share(x), fixed(&format!("proof {x}")));
    let (elements, y) = (elements(), encode_point(&(share * B)));
    let partials: Vec<_> = elements.iter().map(|b| share * b).collect();
    let prefixed = |part: &[u8]| {
        let mut bytes = u16::try_from(part.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(part);
        bytes
    };
    let seed_dst = [&b"Seed-OPRFV1-"[..], &[1], b"-ristretto255-SHA512"].concat();
    let seed = rfc::hash(&[&prefixed(&y), &prefixed(&seed_dst)]);
    let (mut m, mut weights) = (Scalar::ZERO * B, Vec::new());
    for (j, (b, d)) in elements.iter().zip(&partials).enumerate() {
        let place = u16::try_from(j).unwrap().to_be_bytes();
        let (b_bytes, d_bytes) = (prefixed(&encode_point(b)), prefixed(&encode_point(d)));
        let parts: [&[u8]; 5] = [&prefixed(&seed), &place, &b_bytes, &d_bytes, b"Composite"];
        let weight = rfc::hash_to_scalar(&parts);
        m += weight * b;
        weights.push(weight);
    }
    let points = [m, share * m, r * B, r * m].map(|p| encode_point(&p));
    let mut transcript = prefixed(&y);
    points.iter().for_each(|p| transcript.extend(prefixed(p)));
    transcript.extend(b"Challenge");
    let c = rfc::hash_to_scalar(&[&transcript]);
    let s = r - c * share;
    json!({
        "index": x,
        "share": hex::encode(share.as_bytes()),
        "share_public": hex::encode(y),
        "partials": partials.iter().map(|d| hex::encode(encode_point(d))).collect::<Vec<_>>(),
        "seed": hex::encode(seed),
        "weights": weights.iter().map(|w| hex::encode(w.as_bytes())).collect::<Vec<_>>(),
        "M": hex::encode(points[0]),
        "Z": hex::encode(points[1]),
        "proof_scalar": hex::encode(r.as_bytes()),
        "proof": hex::encode([c.to_bytes(), s.to_bytes()].concat()),
    })
}

fn derivation() -> Value {
    let all = |of: &dyn Fn(usize) -> String| (0..INPUTS.len()).map(of).collect::<Vec<_>>();
    let key = SecretScalar::new(coefficients()[0]);
    let output = |j: usize| hex::encode(super::tests::model(&key, &private(j)));
    json!({
        "context": hex::encode(CONTEXT),
        "inputs": all(&|j| hex::encode(INPUTS[j])),
        "private_inputs": all(&|j| hex::encode(private(j))),
        "blinds": all(&|j| hex::encode(blind(j).as_bytes())),
        "check_weights": all(&|j| hex::encode(check_weight(j).as_bytes())),
        "elements": elements().iter().map(|e| hex::encode(encode_point(e))).collect::<Vec<_>>(),
        "coefficients": coefficients().iter().map(|c| hex::encode(c.as_bytes())).collect::<Vec<_>>(),
        "public_key": hex::encode(encode_point(&key.public())),
        "nodes": NODES.iter().map(|x| node(*x)).collect::<Vec<_>>(),
        "outputs": all(&output),
    })
}

fn rfc9497(v: &Vector) -> Value {
    json!({
        "inputs": v.inputs, "blinds": v.blinds, "elements": v.blinded, "evaluated": v.evaluated,
        "proof_scalar": v.proof_scalar, "proof": v.proof, "outputs": v.outputs,
    })
}

fn file() -> String {
    let all = json!({
        "source": "RFC 9497 A.1.2; and quorate-crypto, src/voprf/vectors.rs, described in docs/protocol/voprf.md",
        "encoding": "hex; scalars and points as in RFC 9496",
        "rfc9497": {
            "key": KEY,
            "public_key": PUBLIC,
            "cases": VECTORS.iter().map(rfc9497).collect::<Vec<_>>(),
        },
        "derivation": derivation(),
    });
    serde_json::to_string_pretty(&all).unwrap() + "\n"
}

#[test]
#[ignore = "writes docs/protocol/vectors/voprf.json"]
fn write_the_file() {
    fs::write(FILE, file()).unwrap();
}

#[test]
fn the_file_is_that_of_the_model() {
    assert_eq!(fs::read_to_string(FILE).unwrap(), file());
}

#[test]
fn the_code_says_what_the_model_says() {
    let said = derivation();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = |name: &str| said[name].as_array().unwrap().iter().map(text).collect::<Vec<_>>();
    let blinding = |j: usize| Blinding::with(&private(j), SecretScalar::new(blind(j))).unwrap();
    let weights: Vec<_> = (0..INPUTS.len()).map(check_weight).collect();
    let batch = Batch::of((0..INPUTS.len()).map(blinding).collect(), weights.into()).unwrap();
    let elements: Vec<_> = batch.elements().iter().map(|e| hex::encode(e.bytes())).collect();
    assert_eq!(elements, list("elements"));
    let mut verified = Vec::new();
    for (x, node) in NODES.iter().zip(said["nodes"].as_array().unwrap()) {
        let share = scalar(node["share"].as_str().unwrap());
        let public = EncodedPoint::new(share.public()).unwrap();
        let partials = evaluate(&share, batch.elements());
        let r = scalar(node["proof_scalar"].as_str().unwrap());
        let proof = proof::prove_with(&share, &public, batch.elements(), &partials, &r).unwrap();
        assert_eq!(hex::encode(proof.to_bytes()), node["proof"].as_str().unwrap());
        let said: Vec<_> = node["partials"].as_array().unwrap().iter().map(text).collect();
        assert_eq!(partials.iter().map(hex::encode).collect::<Vec<_>>(), said);
        let index = ShareIndex::new(*x).unwrap();
        verified.push((index, batch.verify(&public, &partials, &proof).unwrap()));
    }
    let outputs = batch.finalize(Threshold::new(3, 5).unwrap(), &verified).unwrap();
    let outputs: Vec<_> = outputs.iter().map(|o| hex::encode(o.expose())).collect();
    assert_eq!(outputs, list("outputs"));
}
