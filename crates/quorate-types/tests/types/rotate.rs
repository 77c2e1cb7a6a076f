//! Versions on a schedule: the rules of the order, and what is proven of what was born under it.

use crate::fixtures::*;
use quorate_types::{
    order::{MAX_GRANT_LIFE, check_rules},
    *,
};

const EVERY: u32 = 90 * 86_400;

fn version(n: u32) -> KeyVersion {
    KeyVersion::new(n).unwrap()
}

fn broken(change: impl FnOnce(&mut RotateKey)) -> String {
    let cluster = cluster();
    let mut rotate = rotate_key();
    change(&mut rotate);
    match check_rules(&order(&cluster, Action::RotateKey(rotate)), cluster.roster()) {
        Err(OrderError::Rule(text)) => text,
        other => panic!("expected a broken rule, got {other:?}"),
    }
}

fn given(rotate: RotateKey) -> (Cluster, VerifiedOrder) {
    let cluster = cluster();
    let signed = sign_order(&order(&cluster, Action::RotateKey(rotate)), &[101, 103]);
    let order = VerifiedOrder::verify(&cluster, &signed).unwrap();
    (cluster, order)
}

#[test]
fn each_version_has_its_date_and_the_orders_terms() {
    let (_, order) = given(rotate_key());
    assert_eq!(order.order().chain(), Some(ChainId::Rotation(create_key().name)));
    let rotate = order.rotation().unwrap();
    assert_eq!(rotate.last(), 4);
    let due = |n| rotate.due(version(n));
    let step = u64::from(EVERY) * 1000;
    assert_eq!(due(2), Some(rotate.from));
    assert_eq!(due(4), Some(rotate.from.plus(2 * step)));
    for n in [1, 5, u32::MAX] {
        assert_eq!((due(n), order.terms_of(version(n))), (None, None), "version {n}");
        assert_eq!(order.create_key_of(version(n)), None);
    }
    // Whoever knows of no version sees an order that makes nothing.
    assert_eq!((order.terms(), order.create_key()), (None, None));
    let terms = order.terms_of(version(3)).unwrap();
    assert_eq!((terms.version, terms.newest), (version(3), version(3)));
    assert_eq!(terms.numbers(), 2049..=3072);
    assert!(terms.is_genesis());
    let create = order.create_key_of(version(3)).unwrap();
    assert_eq!(*create, CreateKey { version: version(3), ..rotate.create.clone() });
    // Of other orders it is what they make, of their own version.
    let (cluster, of) = (cluster(), |n| {
        let signed = ordered(&cluster(), create_key());
        let order = VerifiedOrder::verify(&cluster(), &signed).unwrap();
        order.terms_of(version(n)).map(|terms| terms.version)
    });
    assert_eq!((of(1), of(2)), (Some(version(1)), None), "{}", cluster.fingerprint());
}

#[test]
fn the_last_one_whose_time_comes_is_among_the_versions_and_before_the_end() {
    let step = u64::from(EVERY) * 1000;
    let last = |times, until| {
        RotateKey { times, until, ..rotate_key() }.last_in_time().map(KeyVersion::get)
    };
    let from = rotate_key().from;
    assert_eq!(last(3, from.plus(100 * step)), Some(4));
    assert_eq!(last(9, from.plus(2 * step)), Some(4));
    assert_eq!(last(9, from.plus(2 * step - 1)), Some(3));
    assert_eq!(last(9, from), Some(2));
    assert_eq!(last(9, Millis(from.0 - 1)), None);
    assert_eq!(last(0, from.plus(step)), None);
    assert_eq!(last(9, Millis(u64::MAX)), Some(10));
}

#[test]
fn a_schedule_of_versions_obeys_the_rules_of_keys_and_of_schedules() {
    given(rotate_key());
    assert!(broken(|r| r.create.version = version(1)).contains("an order of its own"));
    assert!(broken(|r| r.create.q = 3).contains("q must be 4 to 5"));
    assert!(broken(|r| r.create.first_number = 0).contains("begin at 1"));
    assert!(broken(|r| r.create.first_number = u64::MAX - 5).contains("begin at 1"));
    assert!(broken(|r| r.every = 9).contains("every 10 to"));
    assert!(broken(|r| r.every = u32::MAX).contains("every 10 to"));
    assert!(broken(|r| r.until = NOW.plus(4000 * Millis::DAY)).contains("ten years"));
    assert!(broken(|r| r.from = NOW.plus(4000 * Millis::DAY)).contains("ten years"));
    let late = NOW.plus(MAX_GRANT_LIFE + 1);
    assert!(broken(|r| r.create.grants[0].expires_at = late).contains("ten years"));
    assert!(broken(|r| r.times = 1024).contains("1024 versions"));
    given(RotateKey { times: 1023, ..rotate_key() });
    // The end of one names no committee that would have to be one still.
    let end = |change: fn(&mut RotateKey)| {
        let mut rotate = RotateKey { times: 0, ..rotate_key() };
        change(&mut rotate);
        check_rules(&order(&cluster(), Action::RotateKey(rotate)), cluster().roster())
    };
    end(|r| r.create.version = version(1025)).unwrap();
    end(|r| r.create.committee = committee(&[1, 2, 3, 4, 90], 3)).unwrap();
    assert!(end(|r| r.create.version = version(1026)).is_err());
    assert!(end(|r| r.create.first_number = 0).is_err());
    let strange = |r: &mut RotateKey| r.create.committee = committee(&[1, 2, 3, 4, 90], 3);
    assert!(broken(strange).contains("node 90 is not in"));
}

/// What all five nodes have signed of a version that the order has them make.
fn born(order: &VerifiedOrder, n: u32, change: impl FnOnce(&mut EpochPublic)) -> KeyRecord {
    let create = order.rotation().unwrap().create.clone();
    let mut public = EpochPublic {
        version: version(n),
        order: order.hash(),
        epoch: EpochName { number: create.first_number, bundle: Hash([0xb0; 32]) },
        ..record(&cluster()).certificate.public
    };
    change(&mut public);
    record_of(order.signed().clone(), public)
}

#[test]
fn a_version_that_was_born_under_it_verifies_and_says_who_may_use_it() {
    let (cluster, order) = given(rotate_key());
    for n in 2..=4 {
        let key = born(&order, n, |_| {}).verify(&cluster).unwrap();
        let create = CreateKey { version: version(n), ..rotate_key().create };
        assert_eq!(*key.create(), create);
        assert_eq!(key.epoch().terms().version, version(n));
    }
}

#[test]
fn a_version_that_was_not_ordered_is_refused_though_all_nodes_signed_it() {
    let (cluster, order) = given(rotate_key());
    let what = |record: KeyRecord| match record.verify(&cluster).unwrap_err() {
        CertificateError::NotAsOrdered { what } => what,
        other => panic!("expected another thing than ordered, got {other}"),
    };
    assert_eq!(what(born(&order, 1, |_| {})), "key name or version");
    assert_eq!(what(born(&order, 5, |_| {})), "key name or version");
    let other = |p: &mut EpochPublic| p.key = "other".parse().unwrap();
    assert_eq!(what(born(&order, 3, other)), "key name or version");
    assert_eq!(what(born(&order, 3, |p| p.epoch.number = 2048)), "epoch number");
    assert_eq!(what(born(&order, 3, |p| p.epoch.number = 3073)), "epoch number");
    assert_eq!(what(born(&order, 3, |p| p.order = Hash([1; 32]))), "order");
    // Of another order of the same key, with other versions.
    let create = CreateKey { version: version(5), ..rotate_key().create };
    let (_, another) = given(RotateKey { create, ..rotate_key() });
    let stolen = KeyRecord { order: another.signed().clone(), ..born(&order, 3, |_| {}) };
    assert_eq!(what(stolen), "key name or version");
    // An end makes nothing.
    let (_, end) = given(RotateKey { times: 0, ..rotate_key() });
    assert_eq!(what(born(&end, 2, |_| {})), "action");
}
