//! Attacks on signing, by name (rows are those of the attack table of the design).

use super::{
    tests::{Shared, index},
    *,
};
use crate::{
    group::{DecodeError, Group},
    index::{ShareIndex, Threshold},
    secret::SecretScalar,
    sharing::Polynomial,
};
use curve25519_dalek::{
    constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION},
    scalar::Scalar,
};
use frost_ed25519::{SigningPackage, round1, round2};
use std::collections::BTreeMap;

/// Row 12, shown to break: by frost's own interface, which takes nonces by reference, one nonce
/// pair signs three messages. `z_k = d + ρ_k·e + c_k·λ·s` are three linear equations in `d`, `e`
/// and `s`, of which an eavesdropper with the messages and the commitments knows all else.
#[test]
fn three_signatures_under_one_nonce_pair_give_the_share_away() {
    let shared = Shared::of(2, &[1, 2, 3]);
    let (victim, other) = (shared.key(1), shared.key(2));
    let rng = &mut border::Rng06(&mut rand::rng());
    let (nonces, known) = round1::commit(victim.package().signing_share(), rng);
    let (_, theirs) = round1::commit(other.package().signing_share(), rng);
    let key = shared.commitments.constant_bytes();

    let rows = [&b"one"[..], b"two", b"three"].map(|message| {
        let ids = [1, 2].map(|i| border::identifier(index(i)).unwrap());
        let set = BTreeMap::from([(ids[0], known), (ids[1], theirs)]);
        let package = SigningPackage::new(set, message);
        let share = round2::sign(&package, &nonces, victim.package()).unwrap();
        let (rho, c) = rho_and_challenge(key, message, &[(1, &known), (2, &theirs)]);
        let z: [u8; 32] = share.serialize().try_into().unwrap();
        [Scalar::ONE, rho, c, Scalar::from_canonical_bytes(z).unwrap()]
    });
    let lambda = crate::sharing::lagrange_at_zero(&[index(1), index(2)]).unwrap()[0];
    let stolen = solve(rows) * lambda.invert();
    assert_eq!(stolen.to_bytes(), *shared.secrets[&index(1)].to_bytes(), "the share is public");
}

/// And through ours it cannot be written: a pair is moved into the signature that it serves, and
/// there is neither a copy nor an encoding of it. (This would not compile if there were one.)
#[test]
fn a_nonce_pair_cannot_be_copied_or_written_down() {
    trait Absent {
        const IS: bool = false;
    }
    impl<T> Absent for T {}
    struct Clones<T>(std::marker::PhantomData<T>);
    #[allow(dead_code)]
    impl<T: Clone> Clones<T> {
        const IS: bool = true;
    }
    const { assert!(!<Clones<NoncePair>>::IS, "a nonce pair has no Clone") };
    const { assert!(<Clones<NonceCommitments>>::IS, "and the test can tell") };
    let _: fn(NoncePair, &SigningSet, &KeyShare) -> Result<[u8; SHARE_LEN], SignError> = sign;
}

/// Row 12: with other commitments in the set than those of its pair a node does not sign; the
/// pair is gone.
#[test]
fn a_set_with_other_commitments_of_this_node_is_refused() {
    let shared = Shared::of(2, &[1, 2, 3]);
    let (mut nonces, _) = shared.set(b"m", &[1, 2]);
    let (_, other) = shared.set(b"m", &[1, 2]);
    let (_, pair) = nonces.remove(0);
    assert_eq!(sign(pair, &other, &shared.key(1)), Err(SignError::OtherCommitments(index(1))));
    let (mut nonces, set) = shared.set(b"m", &[2, 3]);
    let (_, pair) = nonces.remove(0);
    assert_eq!(sign(pair, &set, &shared.key(1)), Err(SignError::NotSigner(index(1))));
}

#[test]
fn a_set_below_the_threshold_is_refused() {
    let shared = Shared::of(3, &[1, 2, 3, 4]);
    let (mut nonces, set) = shared.set(b"m", &[1, 2]);
    let (_, pair) = nonces.remove(0);
    let few = SignError::TooFew { expected: 3, got: 2 };
    assert_eq!(sign(pair, &set, &shared.key(1)), Err(few));
}

/// A generator that says the same over and over does not repeat a pair: neither two of one draw nor
/// those of two that differ in what is unique to them. With the RFC's way alone it would, and two
/// messages under one pair are two equations about the share.
#[test]
fn a_stuck_generator_repeats_no_nonce() {
    use crate::tdh2::tests::Stuck;
    let shared = Shared::of(2, &[1, 2]);
    let key = shared.key(1);
    let mut seen = std::collections::BTreeSet::new();
    for unique in [&b"1"[..], b"2", b""] {
        let (_, known) = commit(&key, unique, &mut Stuck);
        let (hiding, binding) = known.to_bytes().split_at(32);
        assert!(seen.insert(hiding.to_vec()) && seen.insert(binding.to_vec()));
    }
    let by_rfc = || super::round1::commit_by_rfc(&key, &mut Stuck).1;
    assert_eq!(by_rfc(), by_rfc());
}

/// Row 13: what is signed depends on every signer's commitments. Shares of two sets that differ
/// in one of them do not go together.
#[test]
fn shares_of_another_set_or_message_do_not_verify() {
    let shared = Shared::of(2, &[1, 2, 3]);
    let (nonces, set) = shared.set(b"m", &[1, 2]);
    let mut signers: BTreeMap<ShareIndex, NonceCommitments> =
        set.signers().map(|i| (i, *set.commitments(i).unwrap())).collect();
    let other_message = SigningSet::new(b"n", signers.clone());
    let (_, stranger) = commit(&shared.key(2), b"", &mut rand::rng());
    signers.insert(index(2), stranger);
    let other_set = SigningSet::new(b"m", signers);
    let mut shares = shared.shares(nonces, &set);
    let cheaters = |set: &SigningSet, shares: &[_]| match aggregate(
        set,
        shares,
        shared.threshold,
        &shared.commitments,
    ) {
        Err(AggregateError::Cheaters(who)) => who,
        other => panic!("{other:?}"),
    };
    assert_eq!(cheaters(&other_message, &shares), [index(1), index(2)]);
    assert_eq!(cheaters(&other_set, &shares), [index(1), index(2)]);
    shares.swap(0, 1);
    assert!(aggregate(&set, &shares, shared.threshold, &shared.commitments).is_ok(), "any order");
}

/// Identifiable abort: everybody who cheats is named and nobody else, whatever they send.
#[test]
fn all_cheaters_are_named_and_no_other() {
    let shared = Shared::of(4, &[1, 2, 3, 4, 5]);
    let honest = || {
        let (nonces, set) = shared.set(b"m", &[1, 2, 4, 5]);
        (shared.shares(nonces, &set), set)
    };
    let junk: [[u8; 32]; 3] = [[0; 32], [0xff; 32], [1; 32]];
    for liars in [&[0][..], &[1, 3], &[0, 1, 2, 3]] {
        for bad in junk {
            let (mut shares, set) = honest();
            liars.iter().for_each(|i| shares[*i].1 = bad);
            let named: Vec<_> = liars.iter().map(|i| shares[*i].0).collect();
            let refused = aggregate(&set, &shares, shared.threshold, &shared.commitments);
            assert_eq!(refused, Err(AggregateError::Cheaters(named)));
        }
    }
}

/// Attack 2: one share twice, a share too many, too few.
#[test]
fn a_signature_takes_exactly_the_shares_of_its_set() {
    let shared = Shared::of(2, &[1, 2, 3]);
    let (nonces, set) = shared.set(b"m", &[1, 2]);
    let shares = shared.shares(nonces, &set);
    let stranger = (index(3), shares[0].1);
    for wrong in [
        vec![shares[0]],
        vec![shares[0], shares[0]],
        vec![shares[0], stranger],
        vec![shares[0], shares[1], stranger],
        vec![],
    ] {
        let refused = aggregate(&set, &wrong, shared.threshold, &shared.commitments);
        assert!(matches!(refused, Err(AggregateError::Signers { expected: 2, .. })), "{refused:?}");
    }
    let (nonces, alone) = shared.set(b"m", &[1]);
    drop(nonces);
    let refused = aggregate(&alone, &shares[..1], shared.threshold, &shared.commitments);
    assert_eq!(refused, Err(AggregateError::Signers { expected: 2, got: 1 }));
}

/// Attack 14: no commitment is the identity, of small order, of mixed order, or non-canonical.
#[test]
fn no_bad_point_decodes_as_a_nonce_commitment_or_public_key() {
    let good = ED25519_BASEPOINT_POINT.compress().0;
    let mut bad: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|t| t.compress().0).collect();
    bad.extend(EIGHT_TORSION[1..].iter().map(|t| (ED25519_BASEPOINT_POINT + t).compress().0));
    for low in 0xed..=0xff_u8 {
        for sign in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, sign);
            bad.push(bytes);
        }
    }
    let mut minus_zero = [0; 32];
    (minus_zero[0], minus_zero[31]) = (1, 0x80);
    bad.push(minus_zero);
    let signature = [0; SIGNATURE_LEN];
    for point in bad {
        for halves in [[point, good], [good, point], [point, point]] {
            let bytes: [u8; 64] = halves.concat().try_into().unwrap();
            assert_eq!(NonceCommitments::from_bytes(&bytes), Err(CommitmentsFault), "{point:02x?}");
        }
        assert!(matches!(verify(&point, b"m", &signature), Err(VerifyError::Key(_))));
    }
    let identity = verify(&EIGHT_TORSION[0].compress().0, b"m", &signature);
    assert_eq!(identity, Err(VerifyError::Key(DecodeError::Identity)));
    assert!(NonceCommitments::from_bytes(&[good, good].concat().try_into().unwrap()).is_ok());
}

/// A share of a key over the other group, of another node or another epoch signs nothing.
#[test]
fn a_share_that_does_not_lie_on_the_commitments_makes_no_key() {
    let shared = Shared::of(2, &[1, 2, 3]);
    let t = shared.threshold;
    let refused = KeyShare::new(index(1), &shared.secrets[&index(2)], t, &shared.commitments);
    assert_eq!(refused.unwrap_err(), KeyShareError::Share(index(1)));
    let f = crate::sharing::Polynomial::random(
        t,
        &SecretScalar::random(&mut rand::rng()),
        &mut rand::rng(),
    );
    let ristretto = f.unwrap().commit(Group::Ristretto255);
    let refused = KeyShare::new(index(1), &shared.secrets[&index(1)], t, &ristretto);
    assert_eq!(refused.unwrap_err(), KeyShareError::Group(Group::Ristretto255));
}

/// Signatures that other verifiers take and a strict one must not: `s + ℓ`, and `R` or `Y` of
/// small order.
#[test]
fn malleable_signatures_are_refused() {
    let shared = Shared::of(2, &[1, 2]);
    let key = *shared.commitments.constant_bytes();
    let good = shared.signature(b"m", &[1, 2]);
    let order =
        hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0_u16;
    let mut high = good;
    for (byte, l) in high[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(l);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert_eq!(verify(&key, b"m", &good), Ok(()));
    assert_eq!(verify(&key, b"m", &high), Err(VerifyError::Mismatch));
    for torsion in EIGHT_TORSION {
        let mut small = good;
        small[..32].copy_from_slice(&torsion.compress().0);
        assert_eq!(verify(&key, b"m", &small), Err(VerifyError::Mismatch));
    }
}

/// `ρ_1` and `c`, from public values alone, by the RFC's text (§4.4, §4.6, §6.1).
fn rho_and_challenge(
    key: &[u8; 32],
    message: &[u8],
    signers: &[(u16, &round1::SigningCommitments)],
) -> (Scalar, Scalar) {
    use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
    use sha2::{Digest, Sha512};
    let hash = |parts: &[&[u8]]| -> [u8; 64] {
        let mut h = Sha512::new();
        parts.iter().for_each(|p| h.update(p));
        h.finalize().into()
    };
    let context = b"FROST-ED25519-SHA512-v1";
    let scalar = |i: u16| Scalar::from(i).to_bytes();
    let encoded: Vec<u8> = signers
        .iter()
        .flat_map(|(i, c)| {
            let points = [c.hiding().serialize().unwrap(), c.binding().serialize().unwrap()];
            [&scalar(*i)[..], &points.concat()].concat()
        })
        .collect();
    let (h4, h5) = (hash(&[context, b"msg", message]), hash(&[context, b"com", &encoded]));
    let rho = |i: u16| {
        let wide = hash(&[context, b"rho", key, &h4, &h5, &scalar(i)]);
        Scalar::from_bytes_mod_order_wide(&wide)
    };
    let point = |bytes: Vec<u8>| -> EdwardsPoint {
        CompressedEdwardsY(bytes.try_into().unwrap()).decompress().unwrap()
    };
    let r: EdwardsPoint = signers
        .iter()
        .map(|(i, c)| {
            point(c.hiding().serialize().unwrap())
                + rho(*i) * point(c.binding().serialize().unwrap())
        })
        .sum();
    let c = Scalar::from_bytes_mod_order_wide(&hash(&[&r.compress().0, key, message]));
    (rho(1), c)
}

/// The third unknown of three equations, by elimination.
fn solve(mut rows: [[Scalar; 4]; 3]) -> Scalar {
    for i in 0..3 {
        let inverse = rows[i][i].invert();
        rows[i].iter_mut().for_each(|x| *x *= inverse);
        let pivot = rows[i];
        for (_, row) in rows.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let factor = row[i];
            row.iter_mut().zip(pivot).for_each(|(x, p)| *x -= factor * p);
        }
    }
    rows[2][3]
}

/// A dealer that sees the others' dealings of a reshare can arrange that its own new share is zero, which
/// has no encoding as a point that the scheme takes.
#[test]
fn a_holder_whose_share_is_zero_is_named_and_spoils_no_signature_of_others() {
    let (rng, t) = (&mut rand::rng(), Threshold::new(2, 3).unwrap());
    let secret = SecretScalar::random(rng);
    let scalar = curve25519_dalek::Scalar::from_canonical_bytes(*secret.to_bytes()).unwrap();
    let slope = -scalar * curve25519_dalek::Scalar::from(3_u64).invert();
    let bytes = [&secret.to_bytes()[..], &slope.to_bytes()[..]].concat();
    let f = Polynomial::from_bytes(t, &bytes).unwrap();
    let holders = || (1..=3).map(index);
    let shared = Shared {
        threshold: t,
        commitments: f.commit(Group::Edwards25519),
        secrets: holders().map(|i| (i, f.evaluate(i))).collect(),
    };
    assert!(shared.commitments.at(index(3)).is_identity());
    let public = PublicShares::new(t, holders(), &shared.commitments).unwrap();
    let (nonces, set) = shared.set(b"m", &[1, 2]);
    let signature = public.aggregate(&set, &shared.shares(nonces, &set)).unwrap();
    assert_eq!(verify(shared.commitments.constant_bytes(), b"m", &signature), Ok(()));
    // It has no key package, so it sends what it likes, under nonces of another.
    let (mut nonces, _) = shared.set(b"m", &[1, 2]);
    let commitments = |pair: &NoncePair| pair.commitments();
    let signers = [(index(1), commitments(&nonces[0].1)), (index(3), commitments(&nonces[1].1))];
    let set = SigningSet::new(b"m", signers.into());
    let (_, pair) = nonces.remove(0);
    let shares = [(index(1), sign(pair, &set, &shared.key(1)).unwrap()), (index(3), [7; 32])];
    let refused = public.aggregate(&set, &shares).unwrap_err();
    assert_eq!(refused, AggregateError::Cheaters(vec![index(3)]));
}
