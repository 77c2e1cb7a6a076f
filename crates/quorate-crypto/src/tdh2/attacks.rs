//! Every attack on TDH2 that we know, and that it fails.

use super::{
    tests::{FINGERPRINT, HEADER, KEY, LABEL, Toy, index},
    *,
};
use crate::{
    SecretBytes, SecretScalar, Threshold,
    dleq::{DleqError, Proof},
    group::{B, B2, DecodeError, decode_point, decode_scalar, encode_point},
    sharing::{combine_points, lagrange_at_zero},
};
use aes_gcm::aead::AeadInOut;
use curve25519_dalek::RistrettoPoint;

fn refused(binding: &Binding<'_>, label: &[u8], header: &[u8], c: &Ciphertext) -> bool {
    let single = verify(binding, label, header, c);
    let batch = verify_batch(binding, label, &[(header, c.clone())], &mut rand::rng());
    assert_eq!(single.as_ref().err(), batch.as_ref().map_err(|b| &b.fault).err());
    single.is_err()
}

#[test]
fn a_flipped_bit_anywhere_in_the_ciphertext_is_refused() {
    let toy = Toy::new(2);
    let bytes = toy.seal().0.to_bytes();
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut changed = bytes;
            changed[at] ^= bit;
            let Ok(c) = Ciphertext::from_bytes(&changed) else { continue };
            assert!(refused(&toy.binding(), LABEL, HEADER, &c), "byte {at}");
        }
    }
}

#[test]
fn a_changed_header_or_label_is_refused() {
    let toy = Toy::new(2);
    let (c, _) = toy.seal();
    assert!(!refused(&toy.binding(), LABEL, HEADER, &c));
    for text in [LABEL, HEADER] {
        for at in 0..text.len() {
            let mut changed = text.to_vec();
            changed[at] ^= 1;
            let (label, header) =
                if text == LABEL { (&changed[..], HEADER) } else { (LABEL, &changed[..]) };
            assert!(refused(&toy.binding(), label, header, &c));
        }
    }
    assert!(refused(&toy.binding(), b"", HEADER, &c));
    assert!(refused(&toy.binding(), LABEL, b"", &c));
    assert!(refused(&toy.binding(), HEADER, LABEL, &c));
    // A byte moved from one part to the next.
    assert!(refused(&toy.binding(), b"tenant=acm", b"efile 17", &c));
}

#[test]
fn a_ciphertext_of_another_key_version_or_cluster_is_refused() {
    let (toy, other) = (Toy::new(2), Toy::new(2));
    let (c, _) = toy.seal();
    let fingerprint = [8; 32];
    assert!(refused(&other.binding(), LABEL, HEADER, &c));
    assert!(refused(&Binding::new(&FINGERPRINT, KEY, 2, &toy.y), LABEL, HEADER, &c));
    assert!(refused(&Binding::new(&FINGERPRINT, b"payments", 1, &toy.y), LABEL, HEADER, &c));
    assert!(refused(&Binding::new(&fingerprint, KEY, 1, &toy.y), LABEL, HEADER, &c));
}

#[test]
fn identity_and_non_canonical_fields_are_refused() {
    let toy = Toy::new(2);
    let bytes = toy.seal().0.to_bytes();
    let p_minus_1 = {
        let mut b = [0xff; 32];
        (b[0], b[31]) = (0xec, 0x7f);
        b
    };
    let bad = [
        ([0; 32], DecodeError::Identity),
        ([0xff; 32], DecodeError::Point),
        (p_minus_1, DecodeError::Point),
    ];
    for at in [0, 32, 64, 96] {
        for (field, fault) in bad {
            let mut changed = bytes;
            changed[at..at + 32].copy_from_slice(&field);
            let c = Ciphertext::from_bytes(&changed).unwrap();
            let said = verify(&toy.binding(), LABEL, HEADER, &c).err();
            assert_eq!(said, Some(CiphertextFault::Decode(fault)), "field at {at}");
            assert!(refused(&toy.binding(), LABEL, HEADER, &c));
        }
    }
    // z + ℓ is the same scalar in another encoding.
    let mut changed = bytes;
    let l =
        hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0;
    for (i, l) in l.iter().enumerate() {
        let sum = u16::from(changed[128 + i]) + u16::from(*l) + carry;
        changed[128 + i] = sum as u8;
        carry = sum >> 8;
    }
    let fault = CiphertextFault::Decode(DecodeError::Scalar);
    assert_eq!(Ciphertext::from_bytes(&changed), Err(fault));
}

#[test]
fn a_proof_replayed_on_another_ciphertext_is_refused() {
    let toy = Toy::new(2);
    let (victim, _) = toy.seal();
    let (donor, _) = toy.seal();
    let mut c = Ciphertext { w: donor.w, w2: donor.w2, z: donor.z, ..victim.clone() };
    assert!(refused(&toy.binding(), LABEL, HEADER, &c));
    (c.u, c.u2) = (donor.u, donor.u2); // the donor's whole statement over the victim's payload
    assert!(refused(&toy.binding(), LABEL, HEADER, &c));
}

#[test]
fn a_point_whose_logarithm_is_not_known_cannot_be_proved() {
    // The attacker shifts the victim's U by a known k and proves with k alone.
    let toy = Toy::new(2);
    let (victim, _) = toy.seal();
    let k = SecretScalar::random(&mut rand::rng());
    let payload = SecretBytes::new([0; 32]);
    let s = SecretScalar::random(&mut rand::rng());
    let mut c = seal::seal(&toy.binding(), LABEL, HEADER, &k, &s, &payload);
    c.u = encode_point(&(decode_point(&victim.u).unwrap() + k.public()));
    c.u2 = encode_point(&(decode_point(&victim.u2).unwrap() + k.expose() * *B2));
    let e = toy.binding().challenge(LABEL, HEADER, &c);
    c.z = (s.expose() + e * k.expose()).to_bytes();
    assert!(refused(&toy.binding(), LABEL, HEADER, &c));
}

#[test]
fn a_batch_names_its_bad_item() {
    let toy = Toy::new(2);
    let good: Vec<(&[u8], Ciphertext)> = (0..9).map(|_| (HEADER, toy.seal().0)).collect();
    assert!(verify_batch(&toy.binding(), LABEL, &good, &mut rand::rng()).is_ok());
    for item in 0..good.len() {
        let mut items = good.clone();
        items[item].0 = b"other";
        let said = verify_batch(&toy.binding(), LABEL, &items, &mut rand::rng()).err();
        assert_eq!(said, Some(BatchFault { item, fault: CiphertextFault::Proof }));
        let mut items = good.clone();
        items[item].1.u2 = [0; 32];
        let fault = CiphertextFault::Decode(DecodeError::Identity);
        let said = verify_batch(&toy.binding(), LABEL, &items, &mut rand::rng()).err();
        assert_eq!(said, Some(BatchFault { item, fault }));
    }
}

/// The left sides of both equations of an item: the identity, if it is good.
fn errors(toy: &Toy, c: &Ciphertext) -> [RistrettoPoint; 2] {
    let [u, u2, w, w2] = [c.u, c.u2, c.w, c.w2].map(|p| decode_point(&p).unwrap());
    let (z, e) = (decode_scalar(&c.z).unwrap(), toy.binding().challenge(LABEL, HEADER, c));
    [z * B - w - e * u, z * *B2 - w2 - e * u2]
}

#[test]
fn two_items_whose_errors_cancel_are_refused_by_the_weights() {
    let toy = Toy::new(2);
    let (mut a, mut b) = (toy.seal().0, toy.seal().0);
    let shift = |z: &[u8; 32], by: Scalar| (decode_scalar(z).unwrap() + by).to_bytes();
    (a.z, b.z) = (shift(&a.z, Scalar::ONE), shift(&b.z, -Scalar::ONE));
    let (of_a, of_b) = (errors(&toy, &a), errors(&toy, &b));
    assert!(of_a[0] + of_b[0] == RistrettoPoint::default(), "without weights it would pass");
    assert!(of_a[1] + of_b[1] == RistrettoPoint::default());
    for _ in 0..8 {
        let items = [(HEADER, a.clone()), (HEADER, b.clone())];
        let said = verify_batch(&toy.binding(), LABEL, &items, &mut rand::rng()).err();
        assert_eq!(said, Some(BatchFault { item: 0, fault: CiphertextFault::Proof }));
    }
}

#[test]
fn errors_that_cancel_between_the_two_equations_of_an_item_are_refused() {
    // One weight for both equations would let this pass: W is off by D, W̄ by −D.
    let toy = Toy::new(2);
    let [r, s] = [(); 2].map(|()| SecretScalar::random(&mut rand::rng()));
    let mut c = seal::seal(&toy.binding(), LABEL, HEADER, &r, &s, &SecretBytes::new([0; 32]));
    c.w = encode_point(&(s.public() + B));
    c.w2 = encode_point(&(s.expose() * *B2 - B));
    let e = toy.binding().challenge(LABEL, HEADER, &c);
    c.z = (s.expose() + e * r.expose()).to_bytes();
    let [first, second] = errors(&toy, &c);
    assert!(first + second == RistrettoPoint::default(), "with one weight it would pass");
    let items = [(HEADER, toy.seal().0), (HEADER, c)];
    let said = verify_batch(&toy.binding(), LABEL, &items, &mut rand::rng()).err();
    assert_eq!(said, Some(BatchFault { item: 1, fault: CiphertextFault::Proof }));
}

#[test]
fn either_equation_alone_is_not_enough() {
    let toy = Toy::new(2);
    let [r, s] = [(); 2].map(|()| SecretScalar::random(&mut rand::rng()));
    let good = seal::seal(&toy.binding(), LABEL, HEADER, &r, &s, &SecretBytes::new([0; 32]));
    let finish = |mut c: Ciphertext| {
        let e = toy.binding().challenge(LABEL, HEADER, &c);
        c.z = (s.expose() + e * r.expose()).to_bytes();
        c
    };
    let shifted = |p: &PointBytes| encode_point(&(decode_point(p).unwrap() + B));
    let first_fails = finish(Ciphertext { w: shifted(&good.w), ..good.clone() });
    let second_fails = finish(Ciphertext { u2: shifted(&good.u2), ..good.clone() });
    let identity = RistrettoPoint::default();
    assert!(errors(&toy, &first_fails)[1] == identity, "the second equation holds");
    assert!(errors(&toy, &second_fails)[0] == identity, "the first equation holds");
    for c in [first_fails, second_fails] {
        assert!(refused(&toy.binding(), LABEL, HEADER, &c));
        let items = [(HEADER, good.clone()), (HEADER, c)];
        let said = verify_batch(&toy.binding(), LABEL, &items, &mut rand::rng()).err();
        assert_eq!(said, Some(BatchFault { item: 1, fault: CiphertextFault::Proof }));
    }
}

#[test]
fn fewer_than_t_and_one_node_twice_open_nothing() {
    let toy = Toy::new(3);
    let (c, _) = toy.seal();
    let v = toy.verified(&c);
    let p = toy.partials(&v, &[1, 2, 3, 4]);
    let count = |got| Some(OpenError::Count { expected: 3, got });
    assert_eq!(toy.open(&c, &p[..2]).err(), count(2));
    assert_eq!(toy.open(&c, &[]).err(), count(0));
    assert_eq!(toy.open(&c, &p).err(), count(4));
    assert_eq!(toy.open(&c, &[p[0], p[1], p[1]]).err(), count(2));
    assert_eq!(toy.open(&c, &[p[0], p[1], p[2], p[2]]).err(), count(3));
    // Also a client that believes in a lower threshold.
    let two = Threshold::new(2, 5).unwrap();
    let low = decapsulate(&toy.binding(), LABEL, HEADER, &c, two, &p[..2]);
    assert_eq!(low.err(), Some(OpenError::Commitment));
}

#[test]
fn a_lying_partial_is_caught_by_the_commitment_and_named_by_its_proof() {
    let toy = Toy::new(3);
    let (c, key) = toy.seal();
    let v = toy.verified(&c);
    let mut p = toy.partials(&v, &[1, 2, 3]);
    p[1].1 = encode_point(&(decode_point(&p[1].1).unwrap() + B));
    assert_eq!(toy.open(&c, &p).err(), Some(OpenError::Commitment));

    let rng = &mut rand::rng();
    let mut honest = Vec::new();
    for (i, answer) in &p {
        let (share, public) = (toy.share(i.get()), toy.share_public(i.get()));
        let v = [v.clone()];
        let proof = prove_partials(b"ctx", &share, &public, &v, &[*answer], rng).unwrap();
        match verify_partials(b"ctx", &public, &v, &[*answer], &proof) {
            Ok(()) => honest.push((*i, *answer)),
            Err(fault) => {
                assert_eq!((i.get(), fault), (2, PartialFault::Proof(DleqError::Mismatch)));
            }
        }
    }
    honest.extend(toy.partials(&v, &[5]));
    assert_eq!(toy.open(&c, &honest).unwrap().expose(), key.expose());
}

#[test]
fn a_partial_that_is_no_point_names_its_node() {
    let toy = Toy::new(2);
    let (c, _) = toy.seal();
    let mut p = toy.partials(&toy.verified(&c), &[4, 9]);
    for bad in [[0; 32], [0xff; 32]] {
        p[1].1 = bad;
        assert_eq!(toy.open(&c, &p).err(), Some(OpenError::Partial { index: index(9) }));
        let (v, public) = ([toy.verified(&c)], toy.share_public(9));
        let proof = Proof::from_bytes(&[0; 64]).unwrap();
        let said = verify_partials(b"", &public, &v, &[bad], &proof);
        assert_eq!(said, Err(PartialFault::Point { item: 0 }));
    }
}

#[test]
fn a_proof_is_bound_to_context_node_ciphertexts_partials_and_their_order() {
    let toy = Toy::new(2);
    let rng = &mut rand::rng();
    let v: Vec<_> = (0..3).map(|_| toy.verified(&toy.seal().0)).collect();
    let (share, public) = (toy.share(1), toy.share_public(1));
    let p = partial_batch(&share, &v);
    let proof = prove_partials(b"ctx", &share, &public, &v, &p, rng).unwrap();
    let wrong = Err(PartialFault::Proof(DleqError::Mismatch));
    assert_eq!(verify_partials(b"ctx", &public, &v, &p, &proof), Ok(()));
    assert_eq!(verify_partials(b"cty", &public, &v, &p, &proof), wrong);
    assert_eq!(verify_partials(b"ctx", &toy.share_public(2), &v, &p, &proof), wrong);
    assert_eq!(verify_partials(b"ctx", &public, &v[..2], &p[..2], &proof), wrong);
    let swapped = [p[1], p[0], p[2]];
    assert_eq!(verify_partials(b"ctx", &public, &v, &swapped, &proof), wrong);
    let (v2, p2) = ([&v[1], &v[0], &v[2]].map(Clone::clone), swapped);
    assert_eq!(verify_partials(b"ctx", &public, &v2, &p2, &proof), wrong);
    let missing = verify_partials(b"ctx", &public, &v, &p[..2], &proof);
    assert!(matches!(missing, Err(PartialFault::Proof(DleqError::Length { .. }))));
    for at in 0..64 {
        let mut bytes = proof.to_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = Proof::from_bytes(&bytes) else { continue };
        assert_eq!(verify_partials(b"ctx", &public, &v, &p, &changed), wrong, "byte {at}");
    }
}

#[test]
fn a_partial_of_another_epoch_fails_under_this_epochs_key() {
    let (old, rng) = (Toy::new(2), &mut rand::rng());
    let new = old.refreshed();
    let v = [old.verified(&old.seal().0)];
    let (stale, p) = (old.share(1), partial_batch(&old.share(1), &v));
    for public in [old.share_public(1), new.share_public(1)] {
        let proof = prove_partials(b"ctx", &stale, &public, &v, &p, rng).unwrap();
        let said = verify_partials(b"ctx", &new.share_public(1), &v, &p, &proof);
        assert_eq!(said, Err(PartialFault::Proof(DleqError::Mismatch)));
    }
}

#[test]
fn mixed_epochs_fail_and_give_no_wrong_plaintext() {
    let old = Toy::new(3);
    let new = old.refreshed();
    let (c, key) = old.seal();
    let v = old.verified(&c);
    let (o, n) = (old.partials(&v, &[1, 2, 3]), new.partials(&v, &[1, 2, 3]));
    for mask in 1..7_usize {
        let mixed: Vec<_> = (0..3).map(|i| if mask >> i & 1 == 1 { n[i] } else { o[i] }).collect();
        assert_eq!(old.open(&c, &mixed).err(), Some(OpenError::Commitment));
    }
    assert_eq!(old.open(&c, &n).unwrap().expose(), key.expose());
}

#[test]
fn the_client_refuses_what_colluding_nodes_let_pass() {
    // Nodes that skip the check give good partials for a changed ciphertext. Label and header
    // are bound by the wrapping key and its associated data all the same.
    let toy = Toy::new(2);
    let (c, _) = toy.seal();
    let p = toy.partials(&toy.verified(&c), &[1, 2]);
    let (b, t) = (toy.binding(), toy.threshold());
    let open = |label, header, c: &Ciphertext| decapsulate(&b, label, header, c, t, &p).err();
    assert_eq!(open(b"tenant=evil", HEADER, &c), Some(OpenError::Commitment));
    assert_eq!(open(LABEL, b"file 18", &c), Some(OpenError::Wrapped));
    let wrapped = std::array::from_fn(|i| c.wrapped[i] ^ u8::from(i == 3));
    assert_eq!(open(LABEL, HEADER, &Ciphertext { wrapped, ..c.clone() }), Some(OpenError::Wrapped));
    let commitment = [0; 32];
    let swapped = Ciphertext { commitment, ..c };
    assert_eq!(open(LABEL, HEADER, &swapped), Some(OpenError::Commitment));
}

#[test]
fn why_the_ciphertext_check_matters() {
    // Nodes that answer s_i·U for any U are a static Diffie–Hellman oracle: the attacker asks
    // about a point that nobody can link to the victim's ciphertext, under a harmless label.
    let toy = Toy::new(3);
    let (victim, key) = toy.seal();
    let k = SecretScalar::random(&mut rand::rng());
    let asked = decode_point(&victim.u).unwrap() + k.public();
    let answers = [1, 2, 3].map(|i| (index(i), toy.share(i).expose() * asked));
    let combined = combine_points(toy.threshold(), &answers).unwrap();
    let shared = combined - k.expose() * toy.y.point();

    let dem = toy.binding().dem(&victim.u, &encode_point(&shared), LABEL);
    assert_eq!(dem[32..], victim.commitment);
    assert_eq!(unwrap_without_commitment(&dem, &victim.wrapped, HEADER).unwrap(), *key.expose());
}

/// What opening would be if AES-GCM were trusted to commit to its key.
fn unwrap_without_commitment(
    dem: &[u8; 64],
    wrapped: &[u8; 48],
    header: &[u8],
) -> Option<[u8; 32]> {
    let mut body: [u8; 32] = wrapped[..32].try_into().unwrap();
    let tag: [u8; 16] = wrapped[32..].try_into().unwrap();
    let cipher = seal::wrapping_cipher(dem);
    let buffer = body.as_mut_slice().into();
    cipher.decrypt_inout_detached(&[0; 12].into(), header, buffer, &tag.into()).ok()?;
    Some(body)
}

#[test]
fn a_sender_and_a_node_cannot_make_one_ciphertext_open_in_two_ways() {
    // The sender knows r, its node knows its share, so together they know which answer of that
    // node leads to which second key; then one AES-GCM ciphertext for both keys is made.
    let toy = Toy::new(2);
    let (b, rng) = (toy.binding(), &mut rand::rng());
    let [r, s, off] = [(); 3].map(|()| SecretScalar::random(rng));
    let u = encode_point(&r.public());
    let shared = r.expose() * toy.y.point();
    let other = shared + off.public();
    let dems = [shared, other].map(|p| b.dem(&u, &encode_point(&p), LABEL));
    let wrapped =
        model::gcm_for_two_keys([&dems[0], &dems[1]].map(|d| d[..32].try_into().unwrap()));
    let both = dems.each_ref().map(|d| unwrap_without_commitment(d, &wrapped, b"").unwrap());
    assert_ne!(both[0], both[1], "without the commitment it opens in two ways");

    let mut c = seal::seal(&b, LABEL, b"", &r, &s, &SecretBytes::new([0; 32]));
    c.wrapped = wrapped;
    let e = b.challenge(LABEL, b"", &c);
    c.z = (s.expose() + e * r.expose()).to_bytes();
    let v = verify(&b, LABEL, b"", &c).unwrap(); // a good ciphertext, as far as nodes can see

    let honest = toy.partials(&v, &[1, 2]);
    let open = |p: &[_]| decapsulate(&b, LABEL, b"", &c, toy.threshold(), p);
    assert_eq!(*open(&honest).unwrap().expose(), both[0]);
    let lambda = lagrange_at_zero(&[index(1), index(2)]).unwrap()[1];
    let mut lie = honest;
    let shift = lambda.invert() * off.public();
    lie[1].1 = encode_point(&(decode_point(&lie[1].1).unwrap() + shift));
    assert_eq!(open(&lie).err(), Some(OpenError::Commitment));
}
