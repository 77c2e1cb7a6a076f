//! Order rules: `m` operators, exact parameters, the committee rule, limits of life.

use crate::fixtures::*;
use quorate_types::{
    order::{MAX_GRANT_LIFE, MAX_ORDER_LIFE, ORDER_CLOCK_SLACK},
    *,
};

fn verify(create: CreateKey) -> Result<VerifiedOrder, OrderError> {
    let cluster = cluster();
    VerifiedOrder::verify(&cluster, &ordered(&cluster, create))
}

fn broken(change: impl FnOnce(&mut CreateKey)) -> String {
    let mut create = create_key();
    change(&mut create);
    match verify(create).unwrap_err() {
        OrderError::Rule(text) => text,
        other => panic!("expected a broken rule, got {other}"),
    }
}

fn verify_order(change: impl FnOnce(&mut Order)) -> Result<VerifiedOrder, OrderError> {
    let cluster = cluster();
    let mut order = order(&cluster, Action::CreateKey(create_key()));
    change(&mut order);
    // Signed for this cluster, whatever the body says.
    let mut signed = Signed::unsigned(order.to_bytes());
    for n in [101, 102] {
        signed.sign(&key(n), quorate_crypto::hash::Label::SIG_ORDER, cluster.fingerprint());
    }
    VerifiedOrder::verify(&cluster, &SignedOrder(signed))
}

#[test]
fn two_of_three_operators_make_an_order() {
    let cluster = cluster();
    let order = order(&cluster, Action::CreateKey(create_key()));
    let got = |signers: &[u8]| VerifiedOrder::verify(&cluster, &sign_order(&order, signers));
    assert!(got(&[101, 102]).is_ok());
    assert!(got(&[101, 102, 103]).is_ok());
    for signers in [&[][..], &[101], &[101, 101], &[101, 1], &[101, 120], &[101, 50]] {
        let expected = signers.iter().filter(|n| **n == 101).count().min(1);
        let error = got(signers).unwrap_err();
        assert_eq!(error, OrderError::Signatures { needed: 2, got: expected }, "{signers:?}");
    }
}

#[test]
fn q_is_bounded_by_the_committee() {
    // ⌈(5 + 3) / 2⌉ = 4
    assert!(broken(|c| c.q = 3).contains("q must be 4 to 5"));
    assert!(broken(|c| c.q = 6).contains("got 6"));
    assert!(broken(|c| c.q = 0).contains("got 0"));
    assert!(verify(CreateKey { q: 4, ..create_key() }).is_ok());
}

#[test]
fn a_committee_member_has_the_rosters_identity() {
    let foreign = |c: &mut CreateKey| {
        let mut members = c.committee.members().to_vec();
        members[2].identity = public(200);
        c.committee = Committee::new(members, 3).unwrap();
    };
    assert!(broken(foreign).contains("node 3 is not in the roster with this identity"));
    let swapped = |c: &mut CreateKey| {
        let mut members = c.committee.members().to_vec();
        (members[0].identity, members[1].identity) = (members[1].identity, members[0].identity);
        c.committee = Committee::new(members, 3).unwrap();
    };
    assert!(broken(swapped).contains("node 1 is not in the roster"));
    assert!(
        broken(|c| c.committee = committee(&[1, 2, 3, 4, 90], 3)).contains("node 90 is not in")
    );
}

/// Nodes 1 to 3 in one country.
fn concentrated() -> Roster {
    let mut roster = genesis();
    for node in &mut roster.nodes[..3] {
        node.home = "US".parse().unwrap();
    }
    roster
}

#[test]
fn a_concentrated_committee_is_refused_unless_the_order_says_danger() {
    let cluster = cluster_of(&concentrated());
    let verify = |create| VerifiedOrder::verify(&cluster, &ordered(&cluster, create));
    let error = verify(CreateKey { acknowledge_fragile: true, ..create_key() }).unwrap_err();
    assert!(error.to_string().contains("jurisdiction US would hold 3 shares where 3"), "{error}");
    let both = CreateKey { danger_concentrated: true, acknowledge_fragile: true, ..create_key() };
    assert!(verify(both).is_ok());
}

#[test]
fn a_fragile_committee_must_be_acknowledged() {
    let mut roster = genesis();
    roster.nodes[0].home = "IS".parse().unwrap(); // nodes 1 and 2
    let cluster = cluster_of(&roster);
    let verify = |create| VerifiedOrder::verify(&cluster, &ordered(&cluster, create));
    let four = CreateKey { committee: committee(&[1, 2, 3, 4, 5], 4), ..create_key() };
    let error = verify(four.clone()).unwrap_err().to_string();
    assert!(error.contains("without jurisdiction IS the key would be out of reach"), "{error}");
    assert!(verify(CreateKey { acknowledge_fragile: true, ..four }).is_ok());
}

#[test]
fn an_order_lives_30_days_at_most() {
    let rule = |change: fn(&mut Order)| verify_order(change).unwrap_err().to_string();
    assert!(rule(|o| o.expires_at = o.issued_at).contains("longer than 0"));
    assert!(rule(|o| o.expires_at = Millis(o.issued_at.0 - 1)).contains("longer than 0"));
    assert!(rule(|o| o.expires_at = o.issued_at.plus(MAX_ORDER_LIFE + 1)).contains("30 days"));
    assert!(verify_order(|o| o.expires_at = o.issued_at.plus(MAX_ORDER_LIFE)).is_ok());
}

#[test]
fn freshness_is_by_the_readers_clock() {
    let order = verify(create_key()).unwrap();
    let expires = order.order().expires_at;
    assert!(order.check_fresh(NOW).is_ok());
    assert!(order.check_fresh(expires).is_ok());
    assert!(order.check_fresh(expires.plus(1)).is_err());
    assert!(order.check_fresh(Millis(NOW.0 - ORDER_CLOCK_SLACK)).is_ok());
    assert!(order.check_fresh(Millis(NOW.0 - ORDER_CLOCK_SLACK - 1)).is_err());
}

#[test]
fn grants_end_and_stand_by_ascending_client() {
    assert!(
        broken(|c| c.grants[0].expires_at = NOW.plus(MAX_GRANT_LIFE + 1)).contains("ten years")
    );
    let grant = |n| Grant { client: public(n), ..create_key().grants[0].clone() };
    let mut two = vec![grant(50), grant(51)];
    two.sort_by_key(|g| g.client);
    let good = CreateKey { grants: two.clone(), ..create_key() };
    let order = verify(good.clone()).unwrap();
    for n in [50, 51] {
        assert_eq!(order.create_key().unwrap().grant(&public(n)).unwrap().client, public(n));
    }
    assert_eq!(order.create_key().unwrap().grant(&public(52)), None);
    two.reverse();
    for grants in [two.clone(), vec![two[0].clone(), two[0].clone()]] {
        let error = verify(CreateKey { grants, ..good.clone() }).unwrap_err();
        assert!(matches!(error, OrderError::Codec(_)), "{error}");
    }
}

#[test]
fn epoch_numbers_begin_at_one_and_do_not_overflow() {
    assert!(broken(|c| c.first_number = 0).contains("begin at 1"));
    assert!(broken(|c| c.first_number = u64::MAX - 5).contains("begin at 1"));
    let create = CreateKey { first_number: 1025, ..create_key() };
    let action = Action::CreateKey(create.clone());
    assert_eq!(Terms::of(&action).unwrap().numbers(), 1025..=2048);
    assert!(verify(create).is_ok());
}

#[test]
fn an_order_for_another_cluster_or_roster_is_refused() {
    let error = verify_order(|o| o.fingerprint = Fingerprint([1; 32])).unwrap_err();
    assert!(matches!(error, OrderError::Cluster { .. }), "{error}");
    let error = verify_order(|o| o.roster_version = 2).unwrap_err();
    assert_eq!(error, OrderError::Roster(2));
    let error = verify_order(|o| o.roster_hash = Hash([1; 32])).unwrap_err();
    assert_eq!(error, OrderError::Roster(1));
}

#[test]
fn a_party_of_the_roster_is_no_client() {
    for n in [1, 101, 120] {
        let add = Action::AddClient { name: "app".parse().unwrap(), client: public(n) };
        let error = verify_order(|o| o.action = add).unwrap_err().to_string();
        assert!(error.contains("belongs to a party of the roster"), "{error}");
    }
}

#[test]
fn chains() {
    let chain = |action| order(&cluster(), action).chain();
    let key_chain = ChainId::Key("payroll/2026".parse().unwrap());
    assert_eq!(chain(Action::CreateKey(create_key())), Some(key_chain));
    let add = Action::AddClient { name: "app".parse().unwrap(), client: public(50) };
    assert_eq!(chain(add), Some(ChainId::Policy));
    assert_eq!(chain(Action::RevokeClient { client: public(50) }), None);
}

#[test]
fn every_byte_of_a_signed_order_counts() {
    let cluster = cluster();
    let good = ordered(&cluster, create_key()).to_bytes();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        let verified = SignedOrder::from_bytes(&bytes)
            .map_err(OrderError::from)
            .and_then(|o| VerifiedOrder::verify(&cluster, &o));
        assert!(verified.is_err(), "byte {at} of {} flipped and still accepted", good.len());
    }
}

fn check_reshare(change: impl FnOnce(&mut Reshare)) -> Result<(), OrderError> {
    let cluster = cluster();
    let mut to = reshare();
    change(&mut to);
    quorate_types::order::check_rules(&order(&cluster, Action::Reshare(to)), cluster.roster())
}

#[test]
fn a_reshare_obeys_the_rules_of_committees() {
    check_reshare(|_| {}).unwrap();
    let rule = |change: fn(&mut Reshare)| match check_reshare(change) {
        Err(OrderError::Rule(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(rule(|r| r.q = 2).contains("q must be 3 to 3"));
    assert!(rule(|r| r.first_number = 0).contains("begin at 1"));
    assert!(rule(|r| r.grace = 86_401).contains("86400"));
    let schedule = |every, times, days| {
        check_reshare(|r| {
            let until = NOW.plus(days * Millis::DAY);
            r.repeat = Some(Repeat { every, times, until });
        })
    };
    schedule(86_400, 12, 365).unwrap();
    for (every, times, days) in
        [(9, 12, 365), (u32::MAX, 12, 365), (86_400, 0, 365), (86_400, 1025, 365), (60, 12, 4000)]
    {
        assert!(schedule(every, times, days).is_err(), "{every} {times} {days}");
    }
    assert!(rule(|r| r.version = KeyVersion::new(2).unwrap()).contains("newest version"));
    let stranger = |r: &mut Reshare| {
        let members = [(2, 2), (3, 3), (5, 9)];
        let members = members.map(|(i, k)| Member { index: index(i), identity: public(k) });
        r.committee = Committee::new(members.to_vec(), 2).unwrap();
    };
    assert!(rule(stranger).contains("node 5 is not in the roster"));
}

#[test]
fn the_smaller_of_two_bounds_says_how_many_may_lie() {
    let liars = |n: u16, t: u16, q: u16| {
        let all: Vec<u16> = (1..=n).collect();
        let action = Action::Reshare(Reshare { committee: committee(&all, t), q, ..reshare() });
        Terms::of(&action).unwrap().tolerated_liars()
    };
    // q = n: t − 1 liars at least, as far as n ≥ 2t − 1.
    assert_eq!(liars(5, 3, 5), 2);
    assert_eq!(liars(5, 3, 4), 1);
    assert_eq!(liars(4, 3, 4), 1);
    assert_eq!(liars(5, 2, 4), 2);
}

/// A suite with another suite's purpose makes no key, whoever signed it.
#[test]
fn a_key_whose_suite_and_purpose_do_not_fit_is_refused() {
    let cluster = cluster();
    for (suite, purpose) in
        [(Suite::Tdh2Ristretto255, Purpose::Derive), (Suite::VoprfRistretto255, Purpose::Decrypt)]
    {
        let signed = ordered(&cluster, CreateKey { suite, purpose, ..create_key() });
        let error = VerifiedOrder::verify(&cluster, &signed).unwrap_err();
        assert!(matches!(&error, OrderError::Rule(rule) if rule.contains("cannot")), "{error}");
    }
    let fits =
        CreateKey { suite: Suite::VoprfRistretto255, purpose: Purpose::Derive, ..create_key() };
    VerifiedOrder::verify(&cluster, &ordered(&cluster, fits)).unwrap();
}

/// One encoding each: an order without rights is action 1, and no flag is passed over.
#[test]
fn rights_are_stated_or_absent() {
    let cluster = cluster();
    let bytes = |rights| {
        order(&cluster, Action::CreateKey(CreateKey { rights, ..create_key() })).to_bytes()
    };
    let plain = bytes(Rights::NONE);
    // Kind and version, then all before the action.
    let action = 6 + 32 + 4 + 32 + 8 + 8 + 32 + 32;
    assert_eq!(plain[action], 1);
    for (flags, exportable, quick_deletion) in [(1, true, false), (2, false, true), (3, true, true)]
    {
        let with = bytes(Rights { exportable, quick_deletion });
        assert_eq!(with[action..action + 2], [8, flags]);
        assert_eq!(with[action + 2..], plain[action + 1..]);
        let Action::CreateKey(create) = Order::from_bytes(&with).unwrap().action else { panic!() };
        assert_eq!(create.rights, Rights { exportable, quick_deletion });
    }
    for flags in [0, 4, 5, 0xff] {
        let mut with = bytes(Rights { exportable: true, quick_deletion: false });
        with[action + 1] = flags;
        let error = Order::from_bytes(&with).unwrap_err().to_string();
        assert!(error.starts_with("rights:"), "{error}");
    }
}
