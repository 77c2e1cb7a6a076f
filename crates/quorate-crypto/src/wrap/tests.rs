//! What holds when everybody is honest.

use super::*;
use crate::{
    SecretBytes, SecretScalar, ShareIndex, dleq::Proof, group::encode_point, voprf::tests::Toy,
};

pub(super) const FINGERPRINT: [u8; 32] = [0xf1; 32];

pub(super) fn scope(context: &[u8]) -> Scope<'_> {
    Scope::new(&FINGERPRINT, b"payroll", 1, context)
}

pub(super) fn points(scope: &Scope<'_>, n: usize) -> Vec<WrapPoint> {
    (0..n).map(|i| scope.point(&[i as u8; NONCE_LEN]).unwrap()).collect()
}

/// Node `i`'s partials of these points with their proof.
pub(super) fn answer(toy: &Toy, i: u16, points: &[WrapPoint]) -> (Vec<PointBytes>, Proof) {
    let share = toy.share(i);
    let partials = partials(&share, points);
    let rng = &mut rand::rng();
    let proof = prove(b"ctx", &share, &toy.public(i), points, &partials, rng).unwrap();
    (partials, proof)
}

pub(super) fn combiner(toy: &Toy, nodes: &[u16]) -> Combiner {
    let nodes: Vec<_> = nodes.iter().map(|i| ShareIndex::new(*i).unwrap()).collect();
    Combiner::new(toy.t, &nodes).unwrap()
}

/// The keys of `n` wrappings by these nodes, as key and commitment.
pub(super) fn keys(
    toy: &Toy,
    scope: &Scope<'_>,
    nodes: &[u16],
    n: usize,
) -> Vec<([u8; 32], [u8; 32])> {
    let points = points(scope, n);
    let by_node: Vec<_> = nodes.iter().map(|i| answer(toy, *i, &points).0).collect();
    let by_item: Vec<Vec<_>> = (0..n).map(|j| by_node.iter().map(|p| p[j]).collect()).collect();
    let wrappings: Vec<_> = (0..n)
        .map(|j| Wrapping { header: b"head", nonce: [j as u8; NONCE_LEN], partials: &by_item[j] })
        .collect();
    let keys = scope.keys(&combiner(toy, nodes), &wrappings);
    keys.into_iter()
        .map(|key| {
            let key = key.unwrap();
            let commitment = *key.commitment();
            (*key.into_key().expose(), commitment)
        })
        .collect()
}

/// The slow model: the whole key, one hash after the other.
fn model(key: &SecretScalar, scope: &Scope<'_>, j: usize) -> ([u8; 32], [u8; 32]) {
    let nonce = [j as u8; NONCE_LEN];
    let input =
        hash(Label::WRAP_INPUT, &[&FINGERPRINT, b"payroll", &[0, 0, 0, 1], scope.context, &nonce]);
    let point = encode_point(&(hash_to_group(&input) * key.expose()));
    let wide = hash(
        Label::WRAP_DEM,
        &[&FINGERPRINT, b"payroll", &[0, 0, 0, 1], b"head", scope.context, &nonce, &point],
    );
    (wide[..32].try_into().unwrap(), wide[32..].try_into().unwrap())
}

#[test]
fn keys_are_the_whole_keys_from_every_quorum_and_epoch() {
    let (key, toy) = Toy::new();
    let later = Toy::of(&key, 3);
    let scope = scope(b"context");
    let expected: Vec<_> = (0..3).map(|j| model(&key, &scope, j)).collect();
    for nodes in [[1, 2, 3], [5, 3, 1], [2, 4, 5]] {
        assert_eq!(keys(&toy, &scope, &nodes, 3), expected);
        assert_eq!(keys(&later, &scope, &nodes, 3), expected);
    }
    assert_eq!(keys(&toy, &scope, &[1, 2, 3], 1), expected[..1]);
}

#[test]
fn proofs_hold_for_one_and_for_as_many_as_a_request_takes() {
    let (_, toy) = Toy::new();
    let scope = scope(b"");
    for n in [1, 2, 17] {
        let points = points(&scope, n);
        let (partials, proof) = answer(&toy, 2, &points);
        verify(b"ctx", &toy.public(2), &points, &partials, &proof).unwrap();
    }
}

#[test]
fn what_is_sealed_opens_and_is_as_long_as_what_was_sealed() {
    let key = |header: &[u8]| OneTimeKey::new(&scope(b""), header, &[7; NONCE_LEN], &[9; 32]);
    for len in [0, 1, 4300] {
        let plaintext = vec![0x5a; len];
        let mut buffer = plaintext.clone();
        let tag = key(b"").seal(b"other", &mut buffer);
        assert_eq!(buffer.len(), len);
        assert!(len == 0 || buffer != plaintext);
        let sealed = buffer.clone();
        for (header, other, flip) in
            [(&b"x"[..], &b"other"[..], false), (b"", b"another", false), (b"", b"other", true)]
        {
            let mut tag = tag;
            tag[15] ^= u8::from(flip);
            assert_eq!(key(header).open(other, &mut buffer, &tag), Err(SealError));
            assert_eq!(buffer, sealed, "nothing unverified is left behind");
        }
        key(b"").open(b"other", &mut buffer, &tag).unwrap();
        assert_eq!(buffer, plaintext);
    }
}

#[test]
fn a_stuck_generator_gives_other_plaintexts_other_nonces() {
    use crate::tdh2::tests::Stuck;
    let draw = |p: &[u8], o: &[u8]| draw_nonce(p, o, &mut Stuck);
    assert_eq!(draw(b"a", b""), draw(b"a", b""));
    assert_ne!(draw(b"a", b""), draw(b"b", b""));
    assert_ne!(draw(b"a", b""), draw(b"", b"a"));
    let rng = &mut rand::rng();
    assert_ne!(draw_nonce(b"a", b"", rng), draw_nonce(b"a", b"", rng));
}

#[test]
fn a_commitment_says_whether_the_key_is_the_one() {
    let key = |nonce| OneTimeKey::new(&scope(b""), b"", &[nonce; NONCE_LEN], &[9; 32]);
    let commitment = *key(1).commitment();
    let right: SecretBytes<32> = key(1).committed(&commitment).unwrap();
    assert_eq!(right.expose(), key(1).into_key().expose());
    assert_ne!(right.expose(), &commitment);
    assert_eq!(key(2).committed(&commitment).unwrap_err(), OpenError::Commitment);
    for at in 0..COMMITMENT_LEN {
        let mut other = commitment;
        other[at] ^= 1;
        assert_eq!(key(1).committed(&other).unwrap_err(), OpenError::Commitment);
    }
}
