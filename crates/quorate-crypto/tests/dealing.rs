//! The story of a dealing, and every attack on one that CRYPTO.md §5 and §7 list. (Torsion, row
//! 14, applies to polynomials over edwards25519: at the end.)
#![allow(clippy::unwrap_used)] // a test

#[path = "committee/lib.rs"]
mod committee;

use committee::{
    CTX, Committee, ORDER, Refused, coefficients, fault, identity, index, model, random,
};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use quorate_crypto::{
    EncodedPoint, SecretScalar, Threshold,
    complaint::{Verdict, judge},
    dealing::{
        BadValue, Dealing, DealingFault, DealingParams, OpenError, Weights, WireError,
        combine_public, combine_share, commitment_hash, deal,
    },
    group::{DecodeError, Group},
    sharing::{Commitments, CommitmentsError, Polynomial, reconstruct},
};

// ---- The story ----

#[test]
fn genesis_then_reshare_to_another_committee_keeps_the_key() {
    let old = Committee::of(&[1, 2, 3, 4, 5], 3);
    let genesis: Vec<_> = (1..=5)
        .map(|d| {
            let fresh = SecretScalar::random(&mut rand::rng());
            old.verify(d, &old.deal(d, &fresh).to_bytes()).unwrap()
        })
        .collect();
    let public = combine_public(&genesis, Weights::Sum).unwrap();
    let shares = old.new_shares(&genesis, Weights::Sum);
    assert!(shares.iter().all(|(i, s)| public.verify_share(*i, s)));
    let key = reconstruct(&public, &shares[1..4]).unwrap();

    let new = Committee::of(&[2, 6, 7, 8, 9, 10, 65535], 4);
    let reshare: Vec<_> = [0, 2, 3]
        .map(|at: usize| {
            let (dealer, share) = &shares[at];
            let dealing = new.deal(dealer.get(), share);
            let expected = public.at(*dealer);
            dealing.verify(&new.params(dealer.get()), Some(&expected)).unwrap()
        })
        .into();
    let renewed = combine_public(&reshare, Weights::LagrangeAtZero).unwrap();
    assert_eq!(renewed.constant(), public.constant(), "the key stays");
    let shares = new.new_shares(&reshare, Weights::LagrangeAtZero);
    assert!(shares.iter().all(|(i, s)| renewed.verify_share(*i, s)));
    assert_eq!(reconstruct(&renewed, &shares[3..]).unwrap().to_bytes(), key.to_bytes());
}

#[test]
fn an_import_shares_the_owners_key() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let key = SecretScalar::random(&mut rand::rng());
    let dealing = committee.deal(900, &key);
    let verified = dealing.verify(&committee.params(900), Some(&key.public().into())).unwrap();
    let public = combine_public(std::slice::from_ref(&verified), Weights::Sum).unwrap();
    assert_eq!(public.constant(), key.public().into());
    let shares = committee.new_shares(&[verified], Weights::Sum);
    assert_eq!(reconstruct(&public, &shares).unwrap().to_bytes(), key.to_bytes());
}

#[test]
fn the_crate_and_the_model_deal_the_same_bytes() {
    let committee = Committee::of(&[1, 3, 9], 2);
    let (mut ours, mut theirs) = (model::VectorRng::new("same"), model::VectorRng::new("same"));
    let mut lie = committee.model(4, coefficients(2));
    lie.fresh = [theirs.bytes(), theirs.bytes(), theirs.bytes()];
    let stored: Vec<u8> = lie.coefficients.iter().flat_map(Scalar::to_bytes).collect();
    let f = Polynomial::from_bytes(committee.t, &stored).unwrap();
    let dealing = deal(&committee.params(4), &f, &mut ours).unwrap();
    assert_eq!(dealing.to_bytes(), lie.deal().bytes);
}

// ---- Attacks on decoding and on the polynomial ----

/// Rows 1, 2.
#[test]
fn index_zero_and_repeated_receivers_are_refused_on_the_wire() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let bytes = committee.deal(1, &SecretScalar::random(&mut rand::rng())).to_bytes();
    let first = 2 + 2 * 32 + 64 + 32 + 2;
    for (at, value, error) in [
        (0, 0, WireError::IndexZero),
        (1, 1, WireError::Order), // twice receiver 1
        (0, 3, WireError::Order), // out of order
    ] {
        let mut changed = bytes.clone();
        changed[first + at * 50..][..2].copy_from_slice(&u16::to_be_bytes(value));
        assert_eq!(Dealing::from_bytes(&changed).unwrap_err(), error);
    }
}

/// Row 1: a value that is ℓ, the other name of 0, sealed by a dealer that lies.
#[test]
fn a_sealed_value_that_is_not_reduced_is_a_proven_lie() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let order: [u8; 32] = hex::decode(ORDER).unwrap().try_into().unwrap();
    let dealt = committee.model(1, coefficients(2)).deal_values(|_, _| order);
    let verified = committee.verify(1, &dealt.bytes).unwrap();
    let error = verified.open(index(2), committee.secret(2)).unwrap_err();
    assert_eq!(error, OpenError::BadValue(BadValue::Scalar));
    let rng = &mut rand::rng();
    let complaint = verified.complain(index(2), committee.secret(2), rng).unwrap();
    assert_eq!(judge(&verified, &complaint), Verdict::DealerLied);
}

/// Row 3: Trail of Bits 2024. All proofs of the dealer hold; only the count is wrong.
#[test]
fn threshold_raise_and_lower_are_refused() {
    let committee = Committee::of(&[1, 2, 3, 4, 5], 3);
    for t in [2, 4, 5] {
        let dealt = committee.model(1, coefficients(t)).deal();
        let error = CommitmentsError::Count { expected: 3, got: t };
        let refused = committee.verify(1, &dealt.bytes).unwrap_err();
        assert_eq!(refused, fault(DealingFault::Commitments(error)));
    }
    for t in [0, 1] {
        let dealt = committee.model(1, coefficients(1)).deal();
        let mut bytes = dealt.bytes;
        bytes[..2].copy_from_slice(&u16::to_be_bytes(t));
        let refused = committee.verify(1, &bytes).unwrap_err();
        assert_eq!(refused, Refused::Wire(WireError::Count(t.into())));
    }
    let verified = committee.verify(1, &committee.model(1, coefficients(3)).deal().bytes);
    assert!(verified.is_ok(), "the right count passes");
}

/// Row 3: a leading coefficient of zero passes the count, and would lower the threshold.
#[test]
fn a_leading_zero_coefficient_is_refused() {
    let committee = Committee::of(&[1, 2, 3], 3);
    let dealt = committee.model(1, vec![random(), random(), Scalar::ZERO]).deal();
    let error = CommitmentsError::Point { k: 2, error: DecodeError::Identity };
    let refused = committee.verify(1, &dealt.bytes).unwrap_err();
    assert_eq!(refused, fault(DealingFault::Commitments(error)));
}

/// Row 14.
#[test]
fn non_canonical_and_identity_points_are_refused() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let bytes = committee.deal(1, &SecretScalar::random(&mut rand::rng())).to_bytes();
    for (bad, error) in [([0; 32], DecodeError::Identity), ([0xff; 32], DecodeError::Point)] {
        for (k, at) in [(0, 2), (1, 34)] {
            let mut changed = bytes.clone();
            changed[at..at + 32].copy_from_slice(&bad);
            let expected = DealingFault::Commitments(CommitmentsError::Point { k, error });
            assert_eq!(committee.verify(1, &changed).unwrap_err(), fault(expected));
        }
        let mut changed = bytes.clone();
        changed[2 + 64 + 64..][..32].copy_from_slice(&bad);
        let refused = committee.verify(1, &changed).unwrap_err();
        assert_eq!(refused, fault(DealingFault::Ephemeral(error)));
    }
}

// ---- Attacks on the proofs ----

/// Row 4: the rogue's constant cancels the honest ones, so that it alone knows the key.
#[test]
fn a_rogue_key_is_refused_with_a_copied_foreign_or_absent_proof() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let honest = committee.model(1, coefficients(2)).deal();
    let honest_constant = EncodedPoint::decode(&honest.commitments[0]).unwrap();
    let known = random();
    let cancelling = RistrettoPoint::mul_base(&known) - honest_constant.point();
    let rogue = committee.model(3, vec![known, random()]).deal();
    for proof in [honest.knowledge.proof, rogue.knowledge.proof, [0; 64]] {
        let mut bytes = rogue.bytes.clone();
        bytes[2..34].copy_from_slice(&model::enc(&cancelling));
        bytes[66..130].copy_from_slice(&proof);
        assert_eq!(committee.verify(3, &bytes).unwrap_err(), fault(DealingFault::Knowledge));
    }
}

/// Rows 11 and 18: a dealing means nothing in another ceremony, epoch or mouth.
#[test]
fn a_dealing_replayed_under_other_params_is_refused() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let dealing = committee.deal(1, &SecretScalar::random(&mut rand::rng()));
    let t = committee.t;
    let other_keys = Committee::of(&[1, 2, 3], 2);
    let other_members = Committee::of(&[1, 2, 4], 2);
    let params = |ctx, dealer, id, t, who| {
        DealingParams::new(Group::Ristretto255, ctx, index(dealer), identity(id), t, who).unwrap()
    };
    let who = &committee.receivers;
    assert!(dealing.verify(&params(CTX, 1, 1, t, who), None).is_ok());
    let raised = Threshold::new(3, 3).unwrap();
    let count = DealingFault::Commitments(CommitmentsError::Count { expected: 3, got: 2 });
    for (name, params, expected) in [
        ("ceremony", params([8; 32], 1, 1, t, who), DealingFault::Knowledge),
        ("dealer", params(CTX, 2, 1, t, who), DealingFault::Knowledge),
        ("identity", params(CTX, 1, 2, t, who), DealingFault::Knowledge),
        ("threshold", params(CTX, 1, 1, raised, who), count),
        ("members", params(CTX, 1, 1, t, &other_members.receivers), DealingFault::Receivers),
    ] {
        assert_eq!(dealing.verify(&params, None).unwrap_err(), expected, "{name}");
    }
    // Other ceremony keys are other ctx; without that, every value is bad, and provably so.
    let verified = dealing.verify(&params(CTX, 1, 1, t, &other_keys.receivers), None).unwrap();
    let opened = verified.open(index(1), other_keys.secret(1)).unwrap_err();
    assert_eq!(opened, OpenError::BadValue(BadValue::Sealed));
}

/// Row 10, the mutation table: every bit of every field.
#[test]
fn every_flipped_bit_of_a_dealing_is_refused() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let dealing = committee.deal(1, &SecretScalar::random(&mut rand::rng()));
    let bytes = dealing.to_bytes();
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(committee.verify(1, &flipped).is_err(), "bit {bit} of {}", 8 * bytes.len());
    }
}

/// Row 18: a dealer that deals another value than its share of the parent epoch.
#[test]
fn a_reshare_with_a_wrong_constant_is_refused() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let dealing = committee.deal(1, &SecretScalar::random(&mut rand::rng()));
    let share = SecretScalar::random(&mut rand::rng());
    let refused = dealing.verify(&committee.params(1), Some(&share.public().into())).unwrap_err();
    assert_eq!(refused, DealingFault::Constant);
}

/// Row 5: what was committed to before the others were seen cannot be changed after.
#[test]
fn a_commitment_hash_binds_scope_dealer_identity_and_polynomial() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let commitments = |c: &[Scalar]| {
        let bytes: Vec<_> = model::commit(c).iter().map(model::enc).collect();
        Commitments::from_bytes(Group::Ristretto255, committee.t, &bytes).unwrap()
    };
    let f = coefficients(2);
    let mine = commitments(&f);
    let name = commitment_hash(&[1; 32], index(1), &identity(1), &mine);
    assert_eq!(name, commitment_hash(&[1; 32], index(1), &identity(1), &commitments(&f)));
    let other = commitments(&[f[0], random()]);
    for changed in [
        commitment_hash(&[2; 32], index(1), &identity(1), &mine),
        commitment_hash(&[1; 32], index(2), &identity(1), &mine),
        commitment_hash(&[1; 32], index(1), &identity(2), &mine),
        commitment_hash(&[1; 32], index(1), &identity(1), &other),
    ] {
        assert_ne!(name, changed);
    }
}

/// Row 6: two valid dealings of one dealer have two names, and their values do not mix.
#[test]
fn an_equivocating_dealer_has_two_names_and_no_common_sharing() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let secret = SecretScalar::random(&mut rand::rng());
    let [one, two] =
        [0, 1].map(|_| committee.verify(1, &committee.deal(1, &secret).to_bytes()).unwrap());
    assert_ne!(one.hash(), two.hash());
    let mixed = one.open(index(1), committee.secret(1)).unwrap();
    assert!(!two.commitments().verify_share(index(1), &mixed));
}

/// Row 11: ctx is part of the name.
#[test]
fn a_dealing_has_another_name_in_another_ceremony() {
    let dealing = Committee::of(&[1, 2, 3], 2).deal(1, &SecretScalar::random(&mut rand::rng()));
    assert_ne!(dealing.hash(&CTX), dealing.hash(&[8; 32]));
}

#[test]
fn dealings_of_two_ceremonies_or_one_dealer_twice_do_not_combine() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let secret = SecretScalar::random(&mut rand::rng());
    let one = committee.verify(1, &committee.deal(1, &secret).to_bytes()).unwrap();
    let mut foreign = committee.model(2, coefficients(2));
    foreign.ctx = [8; 32];
    let (id, who) = (identity(2), &committee.receivers);
    let params =
        DealingParams::new(Group::Ristretto255, [8; 32], index(2), id, committee.t, who).unwrap();
    let foreign = Dealing::from_bytes(&foreign.deal().bytes).unwrap().verify(&params, None);
    for bundle in [vec![one.clone(), one.clone()], vec![one, foreign.unwrap()], vec![]] {
        assert!(combine_public(&bundle, Weights::Sum).is_err());
    }
    let twice = [(index(1), secret.clone()), (index(1), secret)];
    assert!(combine_share(&twice, Weights::Sum).is_err());
}

// ---- Attacks on secrecy and on complaints ----

/// Row 25: what a relay sees contains no value.
#[test]
fn no_value_travels_in_the_clear() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let dealt = committee.model(1, coefficients(2)).deal();
    for sealed in &dealt.sealed {
        assert!(!dealt.bytes.windows(32).any(|w| w == sealed.value));
        assert!(!dealt.bytes.windows(32).any(|w| w == model::enc(&sealed.shared)));
    }
}

#[test]
fn a_generator_that_repeats_does_not_repeat_an_ephemeral_key() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let ephemeral = |secret: u64| {
        let constant = SecretScalar::new(Scalar::from(secret));
        let rng = &mut model::VectorRng::new("stuck");
        let f = Polynomial::random(committee.t, &constant, rng).unwrap();
        let bytes = deal(&committee.params(1), &f, rng).unwrap().to_bytes();
        bytes[130..162].to_vec()
    };
    assert_eq!(ephemeral(5), ephemeral(5));
    assert_ne!(ephemeral(5), ephemeral(6));
}

// ---- Over edwards25519 ----

const GROUPS: [Group; 2] = [Group::Ristretto255, Group::Edwards25519];

fn params_in(group: Group, committee: &Committee, dealer: u16) -> DealingParams<'_> {
    let (id, who) = (identity(dealer), &committee.receivers);
    DealingParams::new(group, CTX, index(dealer), id, committee.t, who).unwrap()
}

fn dealt_in(group: Group, committee: &Committee, dealer: u16, secret: &SecretScalar) -> Dealing {
    let rng = &mut rand::rng();
    let f = Polynomial::random(committee.t, secret, rng).unwrap();
    deal(&params_in(group, committee, dealer), &f, rng).unwrap()
}

#[test]
fn an_edwards_genesis_and_reshare_keep_the_key() {
    let group = Group::Edwards25519;
    let old = Committee::of(&[1, 2, 3, 4, 5], 3);
    let genesis: Vec<_> = (1..=5)
        .map(|d| {
            let fresh = SecretScalar::random(&mut rand::rng());
            let dealing = Dealing::from_bytes(&dealt_in(group, &old, d, &fresh).to_bytes());
            dealing.unwrap().verify(&params_in(group, &old, d), None).unwrap()
        })
        .collect();
    let public = combine_public(&genesis, Weights::Sum).unwrap();
    let shares = old.new_shares(&genesis, Weights::Sum);
    assert!(shares.iter().all(|(i, s)| public.verify_share(*i, s)));
    let key = reconstruct(&public, &shares[1..4]).unwrap();
    assert_eq!(public.constant(), group.mul_base(&key));

    let new = Committee::of(&[8, 16, 24, 65535], 2);
    let reshare: Vec<_> = [0, 2, 3]
        .map(|at: usize| {
            let (dealer, share) = &shares[at];
            let params = params_in(group, &new, dealer.get());
            let dealing = dealt_in(group, &new, dealer.get(), share);
            dealing.verify(&params, Some(&public.at(*dealer))).unwrap()
        })
        .into();
    let renewed = combine_public(&reshare, Weights::LagrangeAtZero).unwrap();
    assert_eq!(renewed.constant(), public.constant(), "the key stays");
    let shares = new.new_shares(&reshare, Weights::LagrangeAtZero);
    assert!(shares.iter().all(|(i, s)| renewed.verify_share(*i, s)));
    assert_eq!(reconstruct(&renewed, &shares[2..]).unwrap().to_bytes(), key.to_bytes());
}

/// A dealing over one group, offered to a ceremony over the other.
#[test]
fn a_dealing_over_the_other_group_is_refused() {
    let committee = Committee::of(&[1, 2, 3], 2);
    for (here, there) in [(0, 1), (1, 0)] {
        let secret = SecretScalar::random(&mut rand::rng());
        for _ in 0..8 {
            let dealing = dealt_in(GROUPS[here], &committee, 1, &secret);
            assert!(dealing.verify(&params_in(GROUPS[here], &committee, 1), None).is_ok());
            let refused = dealing.verify(&params_in(GROUPS[there], &committee, 1), None);
            let refused = refused.map(|_| ()).unwrap_err();
            // Half of all bytes are a point there too: then the proof of knowledge fails.
            let public = matches!(refused, DealingFault::Commitments(_) | DealingFault::Knowledge);
            assert!(public, "{refused}");
        }
    }
}

/// The group is bound by itself, also under one context: points are bytes, and the bytes of a
/// point of one group may be a point of the other.
#[test]
fn a_commitment_hash_binds_the_group() {
    let committee = Committee::of(&[1, 2, 3], 2);
    let both = |bytes: &[[u8; 32]]| {
        let [r, e] = GROUPS.map(|g| Commitments::from_bytes(g, committee.t, bytes).ok());
        r.zip(e)
    };
    let drawn = std::iter::repeat_with(|| {
        let f = Polynomial::random(
            committee.t,
            &SecretScalar::random(&mut rand::rng()),
            &mut rand::rng(),
        );
        f.unwrap().commit(Group::Ristretto255).bytes().to_vec()
    });
    // One in eight edwards points is of prime order: some hundreds of draws.
    let (r, e) = drawn.take(100_000).find_map(|bytes| both(&bytes)).expect("one decodes as both");
    assert_eq!(r.bytes(), e.bytes());
    let hash = |c| commitment_hash(&[1; 32], index(1), &identity(1), c);
    assert_ne!(hash(&r), hash(&e));
}

/// Row 10 for the other group, and row 14: every flipped bit, and torsion in each commitment.
#[test]
fn an_edwards_dealing_with_a_flipped_bit_or_torsion_is_refused() {
    use curve25519_dalek::{constants::EIGHT_TORSION, edwards::CompressedEdwardsY};
    let committee = Committee::of(&[1, 2, 8], 2);
    let group = Group::Edwards25519;
    let dealing = dealt_in(group, &committee, 1, &SecretScalar::random(&mut rand::rng()));
    let bytes = dealing.to_bytes();
    let refused = |bytes: &[u8]| match Dealing::from_bytes(bytes) {
        Ok(dealing) => dealing.verify(&params_in(group, &committee, 1), None).err(),
        Err(_) => Some(DealingFault::Receivers),
    };
    assert_eq!(refused(&bytes), None);
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(refused(&flipped).is_some(), "bit {bit} of {}", 8 * bytes.len());
    }
    for k in 0..2 {
        let at = 2 + 32 * k..2 + 32 * (k + 1);
        let point = CompressedEdwardsY::from_slice(&bytes[at.clone()]).unwrap().decompress();
        for torsion in &EIGHT_TORSION[1..] {
            let mut mixed = bytes.clone();
            mixed[at.clone()].copy_from_slice(&(point.unwrap() + torsion).compress().0);
            let error = DecodeError::Torsion;
            let expected = DealingFault::Commitments(CommitmentsError::Point { k, error });
            assert_eq!(refused(&mixed), Some(expected));
        }
    }
}
