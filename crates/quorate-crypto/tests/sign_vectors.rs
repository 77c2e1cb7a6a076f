//! What a client computes of a signature, with every value on the way: `docs/protocol/vectors/sign.json`,
//! which plain Python and the Python client check too. Made here from fixed randomness; what is stored
//! must be what is made. To make it again:
//! `cargo test -p quorate-crypto --test sign_vectors -- --ignored`.

#![allow(clippy::unwrap_used)] // clippy.toml spares test functions, not their fixtures

use curve25519_dalek::{
    constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION},
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::Identity,
};
use quorate_crypto::{
    ShareIndex, Threshold,
    frost::{
        AggregateError, CommitmentsFault, KeyShare, NonceCommitments, NoncePair, SigningSet,
        aggregate, commit, sign, verify,
    },
    group::Group,
    hash::{Label, hash32},
    sharing::{Commitments, Polynomial, lagrange_at_zero},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use std::{collections::BTreeMap, fs};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors/sign.json");
const MESSAGE: &[u8] = b"v1.2.3 is good";
const NODES: [u16; 5] = [1, 2, 3, 4, 5];

/// Gives the stored bytes for randomness.
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

/// A key shared among the nodes.
struct Shared {
    threshold: Threshold,
    polynomial: Polynomial,
    commitments: Commitments,
}

impl Shared {
    fn new() -> Self {
        let threshold = Threshold::new(3, NODES.len()).unwrap();
        let stored: Vec<u8> = (0..3).flat_map(|i| scalar("coefficient", i).to_bytes()).collect();
        let polynomial = Polynomial::from_bytes(threshold, &stored).unwrap();
        let commitments = polynomial.commit(Group::Edwards25519);
        Self { threshold, polynomial, commitments }
    }

    fn key(&self, i: u16) -> KeyShare {
        let share = self.polynomial.evaluate(index(i));
        KeyShare::new(index(i), &share, self.threshold, &self.commitments).unwrap()
    }

    fn shares(
        &self,
        pairs: Vec<(u16, NoncePair)>,
        set: &SigningSet,
    ) -> Vec<(ShareIndex, [u8; 32])> {
        let one = |(i, pair)| (index(i), sign(pair, set, &self.key(i)).unwrap());
        pairs.into_iter().map(one).collect()
    }
}

fn index(i: u16) -> ShareIndex {
    ShareIndex::new(i).unwrap()
}

fn hx(bytes: impl AsRef<[u8]>) -> Value {
    Value::String(hex::encode(bytes))
}

/// 32 bytes that stand for randomness.
fn fixed(label: &str, i: u16) -> [u8; 32] {
    hash32(Label::DEALING_HASH, &[label.as_bytes(), &i.to_be_bytes()])
}

fn scalar(label: &str, i: u16) -> Scalar {
    Scalar::from_bytes_mod_order(fixed(label, i))
}

fn hash(parts: &[&[u8]]) -> [u8; 64] {
    let mut state = Sha512::new();
    parts.iter().for_each(|part| state.update(part));
    state.finalize().into()
}

fn hash_to_scalar(parts: &[&[u8]]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&hash(parts))
}

fn point(bytes: &[u8]) -> EdwardsPoint {
    CompressedEdwardsY(bytes.try_into().unwrap()).decompress().unwrap()
}

/// `z + ℓ`: the same number, and no canonical scalar.
fn above_the_order(z: &[u8; 32]) -> [u8; 32] {
    let order = (Scalar::ZERO - Scalar::ONE).to_bytes(); // ℓ − 1
    let mut carry = 1_u16;
    let mut sum = *z;
    for (byte, l) in sum.iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(l);
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    assert_eq!(carry, 0, "2ℓ has 254 bits");
    sum
}

/// §4.4 to §4.6 by their text: the encoded list, each `ρ_i`, `R` and `c`.
struct Rfc {
    encoded: Vec<u8>,
    factors: BTreeMap<ShareIndex, Scalar>,
    commitment: [u8; 32],
    challenge: Scalar,
}

impl Rfc {
    fn of(
        key: &[u8; 32],
        message: &[u8],
        signers: &BTreeMap<ShareIndex, NonceCommitments>,
    ) -> Self {
        let context = b"FROST-ED25519-SHA512-v1";
        let id = |i: &ShareIndex| Scalar::from(i.get()).to_bytes();
        let encoded: Vec<u8> =
            signers.iter().flat_map(|(i, c)| [&id(i)[..], c.to_bytes()].concat()).collect();
        let (h4, h5) = (hash(&[context, b"msg", message]), hash(&[context, b"com", &encoded]));
        let factor = |i: &ShareIndex| hash_to_scalar(&[context, b"rho", key, &h4, &h5, &id(i)]);
        let factors: BTreeMap<_, _> = signers.keys().map(|i| (*i, factor(i))).collect();
        let of_signer = |(i, c): (&ShareIndex, &NonceCommitments)| {
            let (hiding, binding) = c.to_bytes().split_at(32);
            point(hiding) + factors[i] * point(binding)
        };
        let commitment = signers.iter().map(of_signer).sum::<EdwardsPoint>().compress().0;
        let challenge = hash_to_scalar(&[&commitment, key, message]);
        Self { encoded, factors, commitment, challenge }
    }
}

/// One signature: nonces of fixed randomness, shares, and shares that spoil it.
fn signature(shared: &Shared, what: &str, message: &[u8], who: &[u16]) -> Value {
    let (mut pairs, mut signers, mut fresh) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for i in who {
        let random = [fixed(&format!("{what} hiding"), *i), fixed(&format!("{what} binding"), *i)];
        let (pair, known) = commit(&shared.key(*i), &mut Stored(random.concat()));
        pairs.push((*i, pair));
        signers.insert(index(*i), known);
        fresh.insert(index(*i), random);
    }
    let set = SigningSet::new(message, signers.clone());
    let shares = shared.shares(pairs, &set);
    let key = shared.commitments.constant_bytes();
    let made = aggregate(&set, &shares, shared.threshold, &shared.commitments).unwrap();
    let rfc = Rfc::of(key, message, &signers);
    assert_eq!(rfc.commitment, made[..32]);
    assert_eq!(verify(key, message, &made), Ok(()));
    let weights = lagrange_at_zero(&signers.keys().copied().collect::<Vec<_>>()).unwrap();
    let signer = |((i, z), weight): (&(ShareIndex, [u8; 32]), &Scalar)| {
        let (hiding, binding) = signers[i].to_bytes().split_at(32);
        let (d, e) = (point(hiding), point(binding));
        // z_i·B = D_i + ρ_i·E_i + c·λ_i·Y_i
        let public = point(&shared.commitments.at(*i).encode());
        let right = d + rfc.factors[i] * e + rfc.challenge * weight * public;
        assert_eq!(Scalar::from_canonical_bytes(*z).unwrap() * ED25519_BASEPOINT_POINT, right);
        json!({
            "index": i.get(), "hiding": hx(hiding), "binding": hx(binding),
            "hiding_randomness": hx(fresh[i][0]), "binding_randomness": hx(fresh[i][1]),
            "binding_factor": hx(rfc.factors[i].to_bytes()), "lagrange": hx(weight.to_bytes()),
            "signature_share": hx(z),
        })
    };
    json!({
        "what": what,
        "message": hx(message),
        "signers": shares.iter().zip(&weights).map(signer).collect::<Vec<_>>(),
        "encoded_commitments": hx(&rfc.encoded),
        "group_commitment": hx(rfc.commitment),
        "challenge": hx(rfc.challenge.to_bytes()),
        "signature": hx(made),
        "spoilt": spoilt(shared, &set, &shares),
    })
}

/// Shares of which some are lies, and who is named: nobody, if the sum is right.
fn spoilt(shared: &Shared, set: &SigningSet, shares: &[(ShareIndex, [u8; 32])]) -> Vec<Value> {
    let plus = |z: [u8; 32], by: Scalar| (Scalar::from_canonical_bytes(z).unwrap() + by).to_bytes();
    let last = shares.len() - 1;
    let with = |what: &str, changes: &[(usize, [u8; 32])]| {
        let mut bad = shares.to_vec();
        changes.iter().for_each(|(at, z)| bad[*at].1 = *z);
        let cheaters = match aggregate(set, &bad, shared.threshold, &shared.commitments) {
            Ok(_) => Vec::new(),
            Err(AggregateError::Cheaters(cheaters)) => cheaters,
            Err(error) => panic!("{what}: {error}"),
        };
        json!({
            "what": what,
            "signature_shares": bad.iter().map(|(_, z)| hx(z)).collect::<Vec<_>>(),
            "cheaters": cheaters.iter().map(|i| i.get()).collect::<Vec<_>>(),
        })
    };
    vec![
        with("one more than it is", &[(1, plus(shares[1].1, Scalar::ONE))]),
        with("two that lie", &[(0, [7; 32]), (last, plus(shares[last].1, Scalar::ONE))]),
        with("zero", &[(last, [0; 32])]),
        with("no scalar", &[(0, [0xff; 32])]),
        with("the same number above the order", &[(1, above_the_order(&shares[1].1))]),
        with("errors that cancel", &[(0, shares[1].1), (1, shares[0].1)]),
        with(
            "all of them",
            &shares.iter().map(|(_, z)| plus(*z, Scalar::ONE)).enumerate().collect::<Vec<_>>(),
        ),
    ]
}

/// Encodings that are no points of prime order.
fn refused_points() -> Vec<Value> {
    let p_plus = |k: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xed + k, 0x7f);
        bytes
    };
    let mut one_with_sign = [0; 32];
    (one_with_sign[0], one_with_sign[31]) = (1, 0x80);
    let mut two = [0; 32];
    two[0] = 2;
    let five = Scalar::from(5_u8) * ED25519_BASEPOINT_POINT;
    let mut all = vec![
        ("the identity".to_owned(), EdwardsPoint::identity().compress().0),
        ("the identity with a sign".to_owned(), one_with_sign),
        ("the identity, y not below p".to_owned(), p_plus(1)),
        ("of order 4, y not below p".to_owned(), p_plus(0)),
        ("on no curve".to_owned(), two),
        ("all ones".to_owned(), [0xff; 32]),
    ];
    for (i, torsion) in EIGHT_TORSION.iter().enumerate().skip(1) {
        all.push((format!("of small order, {i}"), torsion.compress().0));
        all.push((format!("with a component of small order, {i}"), (five + torsion).compress().0));
    }
    let good = ED25519_BASEPOINT_POINT.compress().0;
    let refused = |(what, bytes): (String, [u8; 32])| {
        assert!(Group::Edwards25519.decode(&bytes).is_err(), "{what}");
        for pair in [[bytes, good], [good, bytes]] {
            let pair: [u8; 64] = pair.concat().try_into().unwrap();
            assert_eq!(NonceCommitments::from_bytes(&pair), Err(CommitmentsFault), "{what}");
        }
        json!({ "what": what, "point": hx(bytes) })
    };
    all.into_iter().map(refused).collect()
}

/// What some verifiers accept and strict ones do not; made by somebody who knows the key.
fn refused_signatures(shared: &Shared, secret: &Scalar) -> Vec<Value> {
    let key = *shared.commitments.constant_bytes();
    let sign = |nonce: Scalar, offset: EdwardsPoint, public: EdwardsPoint| {
        let commitment = (nonce * ED25519_BASEPOINT_POINT + offset).compress().0;
        let public = public.compress().0;
        let c = hash_to_scalar(&[&commitment, &public, MESSAGE]);
        let made: [u8; 64] =
            [commitment, (nonce + c * secret).to_bytes()].concat().try_into().unwrap();
        (public, made)
    };
    let (plain, nonce) = (point(&key), scalar("nonce", 0));
    let (_, good) = sign(nonce, EdwardsPoint::identity(), plain);
    assert_eq!(verify(&key, MESSAGE, &good), Ok(()));
    let (commitment, z) = (&good[..32], good[32..].try_into().unwrap());
    let high: [u8; 64] = [commitment, &above_the_order(&z)].concat().try_into().unwrap();
    let (mut other, mut flipped) = (good, good);
    (other[40], flipped[3]) = (other[40] ^ 1, flipped[3] ^ 1);
    let all = [
        ("another response", (key, other)),
        ("another commitment", (key, flipped)),
        ("a response above the order", (key, high)),
        ("R is the identity", sign(Scalar::ZERO, EdwardsPoint::identity(), plain)),
        ("R is of small order", sign(Scalar::ZERO, EIGHT_TORSION[1], plain)),
        ("R has a component of small order", sign(nonce, EIGHT_TORSION[4], plain)),
        (
            "the key has a component of small order",
            sign(nonce, EdwardsPoint::identity(), plain + EIGHT_TORSION[4]),
        ),
        ("the key is of small order", (EIGHT_TORSION[1].compress().0, good)),
        ("the key is the identity", (EdwardsPoint::identity().compress().0, good)),
    ];
    let refused = |(what, (public, made)): (&str, ([u8; 32], [u8; 64]))| {
        assert!(verify(&public, MESSAGE, &made).is_err(), "{what}");
        json!({ "what": what, "public_key": hx(public), "message": hx(MESSAGE), "signature": hx(made) })
    };
    all.into_iter().map(refused).collect()
}

fn vector() -> Value {
    let shared = Shared::new();
    let secret = scalar("coefficient", 0);
    let node = |i: &u16| {
        let share = shared.polynomial.evaluate(index(*i)).to_bytes();
        let public = shared.commitments.at(index(*i)).encode();
        json!({ "index": i, "share": hx(&share[..]), "verifying_key": hx(public) })
    };
    json!({
        "source": "made by crates/quorate-crypto/tests/sign_vectors.rs, checked by check.py and clients/python",
        "threshold": 3,
        "coefficients": (0..3).map(|i| hx(scalar("coefficient", i).to_bytes())).collect::<Vec<_>>(),
        "commitments": shared.commitments.bytes().iter().map(hx).collect::<Vec<_>>(),
        "public_key": hx(shared.commitments.constant_bytes()),
        "nodes": NODES.iter().map(node).collect::<Vec<_>>(),
        "signatures": [
            signature(&shared, "a message", MESSAGE, &[1, 2, 3]),
            signature(&shared, "an empty message", b"", &[2, 4, 5]),
            signature(&shared, "the longest message", &[7; 1024], &[1, 3, 5]),
            signature(&shared, "more signers than the threshold", MESSAGE, &NODES),
        ],
        "refused_points": refused_points(),
        "refused_signatures": refused_signatures(&shared, &secret),
    })
}

#[test]
fn what_a_client_computes_is_what_is_stored() {
    let stored: Value = serde_json::from_str(&fs::read_to_string(PATH).unwrap()).unwrap();
    assert_eq!(vector(), stored, "a client in another language would fail");
}

#[test]
#[ignore = "writes docs/protocol/vectors/sign.json"]
fn write_what_a_client_computes() {
    fs::write(PATH, serde_json::to_string_pretty(&vector()).unwrap() + "\n").unwrap();
}
