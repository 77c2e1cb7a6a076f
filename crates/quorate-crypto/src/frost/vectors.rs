//! RFC 9591, appendix E.1, bit for bit, from `docs/protocol/vectors/frost.json`: nonces from the
//! RFC's randomness, commitments, signature shares, signature. Beside it a dealing of ours over
//! edwards25519; to make that again: `cargo test -p quorate-crypto frost::vectors -- --ignored`.

use super::{tests::index, *};
use crate::{
    dealing::{DealingParams, Receivers, commitment_hash, deal},
    group::{EncodedPoint, Group},
    hash::Label,
    index::Threshold,
    secret::SecretScalar,
    sharing::{Polynomial, reconstruct},
};
use curve25519_dalek::scalar::Scalar;
use frost_core::round1::Nonce;
use frost_ed25519::round1::SigningNonces;
use serde_json::Value;
use std::{collections::BTreeMap, fs};

/// Gives the RFC's bytes for randomness.
struct Stored(Vec<u8>);

impl rand_core::TryRng for Stored {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("nonces are drawn as bytes")
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("nonces are drawn as bytes")
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.copy_from_slice(&self.0.drain(..out.len()).collect::<Vec<_>>());
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Stored {}

fn stored() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors/frost.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn unhex(v: &Value) -> Vec<u8> {
    hex::decode(v.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(v: &Value) -> [u8; N] {
    unhex(v).try_into().unwrap()
}

fn at(v: &Value) -> u16 {
    u16::try_from(v["index"].as_u64().unwrap()).unwrap()
}

#[test]
fn rfc_9591_vectors_hold_bit_for_bit() {
    let v = &stored()["rfc9591"];
    let t = Threshold::new(2, 3).unwrap();
    let coefficients: Vec<u8> =
        v["coefficients"].as_array().unwrap().iter().flat_map(unhex).collect();
    let f = Polynomial::from_bytes(t, &coefficients).unwrap();
    let commitments = f.commit(Group::Edwards25519);
    assert_eq!(commitments.constant_bytes()[..], unhex(&v["public_key"]));
    let shares: BTreeMap<u16, SecretScalar> = v["shares"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (at(s), SecretScalar::from_bytes(&array(&s["share"])).unwrap()))
        .collect();
    for (i, share) in &shares {
        assert_eq!(f.evaluate(index(*i)).to_bytes(), share.to_bytes(), "share {i}");
    }
    let some: Vec<_> = shares.iter().map(|(i, s)| (index(*i), s.clone())).collect();
    let secret = reconstruct(&commitments, &some).unwrap();
    assert_eq!(secret.to_bytes()[..], unhex(&v["group_secret_key"]));

    let (mut pairs, mut signers) = (Vec::new(), BTreeMap::new());
    for s in v["signers"].as_array().unwrap() {
        let key = KeyShare::new(index(at(s)), &shares[&at(s)], t, &commitments).unwrap();
        let fresh = [unhex(&s["hiding_randomness"]), unhex(&s["binding_randomness"])].concat();
        let (pair, known) = super::round1::commit_by_rfc(&key, &mut Stored(fresh));
        let nonces = [unhex(&s["hiding_nonce"]), unhex(&s["binding_nonce"])];
        let drawn = [pair.expose().hiding().serialize(), pair.expose().binding().serialize()];
        assert_eq!(drawn, nonces);
        assert_eq!(known.to_bytes()[..32], unhex(&s["hiding"]));
        assert_eq!(known.to_bytes()[32..], unhex(&s["binding"]));
        assert_eq!(NonceCommitments::from_bytes(known.to_bytes()), Ok(known));
        // The RFC's nonces themselves give the same commitments.
        let [hiding, binding] = nonces.map(|n| Nonce::deserialize(&n).unwrap());
        let of_rfc = NoncePair::of(SigningNonces::from_nonces(hiding, binding));
        assert_eq!(of_rfc.expose().commitments(), known.points());
        signers.insert(index(at(s)), known);
        pairs.push((s, key, pair));
    }
    let set = SigningSet::new(&unhex(&v["message"]), signers);
    let mut made = Vec::new();
    for (s, key, pair) in pairs {
        let share = sign(pair, &set, &key).unwrap();
        assert_eq!(share[..], unhex(&s["signature_share"]));
        made.push((key.index(), share));
    }
    let signature = aggregate(&set, &made, t, &commitments).unwrap();
    assert_eq!(signature[..], unhex(&v["signature"]));
}

fn hx(bytes: impl AsRef<[u8]>) -> Value {
    Value::String(hex::encode(bytes))
}

/// A dealing over edwards25519 from fixed randomness, with what a reader needs to make it again.
fn dealing_vector() -> Value {
    let byte = |label: &str, i: u8| -> [u8; 32] {
        let parts: [&[u8]; 2] = [label.as_bytes(), &[i]];
        crate::hash::hash32(Label::DEALING_HASH, &parts)
    };
    let scalar =
        |label: &str, i: u8| SecretScalar::new(Scalar::from_bytes_mod_order(byte(label, i)));
    let (ctx, identity) = (byte("ctx", 0), byte("identity", 0));
    let (t, dealer) = (Threshold::new(2, 3).unwrap(), index(3));
    let secrets: Vec<_> = [1_u8, 3, 8].iter().map(|i| (*i, scalar("receiver", *i))).collect();
    let key = |s: &SecretScalar| EncodedPoint::new(s.public()).unwrap();
    let receivers = secrets.iter().map(|(i, s)| (index(u16::from(*i)), key(s))).collect::<Vec<_>>();
    let receivers = Receivers::new(receivers).unwrap();
    let coefficients = [scalar("coefficient", 0), scalar("coefficient", 1)];
    let stored = coefficients.iter().flat_map(|c| c.to_bytes().to_vec()).collect::<Vec<u8>>();
    let f = Polynomial::from_bytes(t, &stored).unwrap();
    let fresh: Vec<[u8; 32]> = (0..3).map(|i| byte("fresh", i)).collect();
    let group = Group::Edwards25519;
    let params = DealingParams::new(group, ctx, dealer, identity, t, &receivers).unwrap();
    let dealing = deal(&params, &f, &mut Stored(fresh.concat())).unwrap();
    let verified = dealing.verify(&params, Some(&f.commit(group).constant())).unwrap();
    for (i, secret) in &secrets {
        let at = index(u16::from(*i));
        let opened = verified.open(at, secret).unwrap();
        assert_eq!(opened.to_bytes(), f.evaluate(at).to_bytes());
    }
    let scope = byte("scope", 0);
    serde_json::json!({
        "source": "made by this crate, checked by check.py",
        "ctx": hx(ctx), "dealer": 3, "dealer_identity": hx(identity),
        "coefficients": coefficients.iter().map(|c| hx(&c.to_bytes()[..])).collect::<Vec<_>>(),
        "receivers": secrets.iter().map(|(i, s)| serde_json::json!({
            "index": i, "secret": hx(&s.to_bytes()[..]), "key": hx(key(s).bytes()),
        })).collect::<Vec<_>>(),
        "fresh": fresh.iter().map(hx).collect::<Vec<_>>(),
        "bytes": hx(dealing.to_bytes()),
        "hash": hx(dealing.hash(&ctx)),
        "scope": hx(scope),
        "commitment_hash": hx(commitment_hash(&scope, dealer, &identity, &f.commit(group))),
    })
}

/// Everything that a dealing over edwards25519 is made of; plain Python makes the same
/// (`docs/protocol/vectors/check.py`).
#[test]
fn the_dealing_over_edwards25519_is_the_stored_one() {
    assert_eq!(dealing_vector(), stored()["dealing"]);
}

#[test]
#[ignore = "writes the dealing of docs/protocol/vectors/frost.json"]
fn write_the_dealing() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors/frost.json");
    let mut file = stored();
    file["dealing"] = dealing_vector();
    fs::write(path, serde_json::to_string_pretty(&file).unwrap() + "\n").unwrap();
}
