//! RFC 9591, appendix E.1, bit for bit, from `docs/protocol/vectors/frost.json`: nonces from the
//! RFC's randomness, commitments, signature shares, signature.

use super::{tests::index, *};
use crate::{
    group::Group,
    index::Threshold,
    secret::SecretScalar,
    sharing::{Polynomial, reconstruct},
};
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
        let (pair, known) = commit(&key, &mut Stored(fresh));
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
