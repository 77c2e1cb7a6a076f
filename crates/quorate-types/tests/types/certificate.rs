//! What a client verifies before it uses a key (DESIGN §4.4).

use crate::fixtures::*;
use quorate_types::*;

fn good() -> (Cluster, KeyRecord) {
    let cluster = cluster();
    let record = record(&cluster);
    (cluster, record)
}

/// A record whose epoch differs from the order, re-signed by all nodes: only the order tells.
fn resigned(change: impl FnOnce(&mut EpochPublic)) -> Result<VerifiedKey, CertificateError> {
    let (cluster, record) = good();
    let mut public = record.certificate.public;
    change(&mut public);
    record_of(record.order, public).verify(&cluster)
}

fn not_as_ordered(change: impl FnOnce(&mut EpochPublic)) -> &'static str {
    match resigned(change).unwrap_err() {
        CertificateError::NotAsOrdered { what } => what,
        other => panic!("expected another thing than ordered, got {other}"),
    }
}

fn too_few(error: CertificateError, expected: usize) {
    let CertificateError::Signatures { needed, got, .. } = error else {
        panic!("expected too few signatures, got {error}")
    };
    assert_eq!((needed, got), (5, expected));
}

#[test]
fn a_born_key_verifies() {
    let (cluster, record) = good();
    let key = record.verify(&cluster).unwrap();
    assert_eq!(key.public().public_key(), &[1; 32]);
    assert_eq!(key.create(), &create_key());
    assert_eq!(key.record(), &record);
}

#[test]
fn what_was_not_ordered_is_refused_though_all_nodes_signed_it() {
    assert_eq!(not_as_ordered(|p| p.fingerprint = Fingerprint([1; 32])), "cluster");
    assert_eq!(not_as_ordered(|p| p.order = Hash([1; 32])), "order");
    assert_eq!(not_as_ordered(|p| p.key = "other".parse().unwrap()), "key name or version");
    assert_eq!(not_as_ordered(|p| p.version = KeyVersion::new(2).unwrap()), "key name or version");
    assert_eq!(not_as_ordered(|p| p.epoch.number = 1025), "epoch number");
}

/// A lower `t` with one commitment fewer: nodes would agree, the order does not.
#[test]
fn another_threshold_or_committee_is_refused() {
    let lower = |p: &mut EpochPublic| {
        p.committee = committee(&[1, 2, 3, 4, 5], 2);
        p.commitments.pop();
    };
    assert_eq!(not_as_ordered(lower), "committee or threshold");
    let smaller = |p: &mut EpochPublic| p.committee = committee(&[1, 2, 3, 4], 3);
    assert_eq!(not_as_ordered(smaller), "committee or threshold");
}

#[test]
fn q_signatures_are_needed_and_q_is_the_orders() {
    let (cluster, mut record) = good();
    record.actives.pop();
    too_few(record.verify(&cluster).unwrap_err(), 4);
    let (_, mut record) = good();
    record.certificate.receipts.remove(0);
    too_few(record.verify(&cluster).unwrap_err(), 4);

    // The same four are enough where the operators said so.
    let signed = ordered(&cluster, CreateKey { q: 4, ..create_key() });
    let order = VerifiedOrder::verify(&cluster, &signed).unwrap();
    let mut record = record_of(signed, epoch(&order));
    record.actives.pop();
    assert!(record.verify(&cluster).is_ok());
}

#[test]
fn strangers_and_duplicates_do_not_count() {
    let (cluster, record) = good();
    let public = record.certificate.public.clone();
    let with = |actives: Vec<NodeSignature>| KeyRecord { actives, ..record.clone() };

    let mut strangers = record.actives[..4].to_vec();
    strangers.push(public.sign_active(index(90), &key(90)));
    too_few(with(strangers).verify(&cluster).unwrap_err(), 4);

    // Node 5's index, another's key.
    let mut impostor = record.actives[..4].to_vec();
    impostor.push(public.sign_active(index(5), &key(4)));
    too_few(with(impostor).verify(&cluster).unwrap_err(), 4);

    let mut twice = record.actives[..4].to_vec();
    twice.push(record.actives[3]);
    assert!(matches!(with(twice.clone()).verify(&cluster), Err(CertificateError::Codec(_))));
    assert!(KeyRecord::from_bytes(&with(twice).to_bytes()).is_err());

    // One node's signature under another's index.
    let mut relabelled = record.actives.clone();
    relabelled[4] = NodeSignature { node: index(5), signature: relabelled[3].signature };
    too_few(with(relabelled).verify(&cluster).unwrap_err(), 4);
}

/// A receipt says "I hold it", not "I serve it".
#[test]
fn a_receipt_is_no_active_signature_nor_the_reverse() {
    let (cluster, record) = good();
    let receipts = record.certificate.receipts.clone();
    let confused = KeyRecord { actives: receipts, ..record.clone() };
    too_few(confused.verify(&cluster).unwrap_err(), 0);
    let mut confused = record.clone();
    confused.certificate.receipts = record.actives;
    too_few(confused.verify(&cluster).unwrap_err(), 0);
}

/// Signatures over one epoch's values carried to another: key, version, epoch, committee,
/// commitments, cluster.
#[test]
fn signatures_do_not_move_to_other_values() {
    let (cluster, record) = good();
    let changes: [fn(&mut EpochPublic); 5] = [
        |p| p.epoch.number = 2,
        |p| p.epoch.bundle = Hash([1; 32]),
        |p| p.context = Hash([1; 32]),
        |p| p.commitments[0] = [9; 32], // the swapped public key
        |p| p.commitments[2] = [9; 32],
    ];
    for change in changes {
        let mut moved = record.clone();
        change(&mut moved.certificate.public);
        too_few(moved.verify(&cluster).unwrap_err(), 0);
    }
}

#[test]
fn a_record_of_another_cluster_is_refused() {
    let (_, record) = good();
    let other = cluster_of(&Roster { nonce: [8; 32], ..genesis() });
    let error = record.verify(&other).unwrap_err();
    assert!(matches!(error, CertificateError::Order(OrderError::Cluster { .. })), "{error}");
}

#[test]
fn an_order_that_makes_no_key_bears_none() {
    let (cluster, mut record) = good();
    let revoke = order(&cluster, Action::RevokeClient { client: public(50) });
    record.order = sign_order(&revoke, &[101, 102]);
    let error = record.verify(&cluster).unwrap_err();
    assert!(matches!(error, CertificateError::NotAsOrdered { .. }), "{error}");
}

/// Threshold raising or lowering by the length of the list.
#[test]
fn exactly_t_commitments_parse() {
    let (_, record) = good();
    let public = record.certificate.public;
    for change in [
        (|p: &mut EpochPublic| p.commitments.push([4; 32])) as fn(&mut EpochPublic),
        |p| p.commitments.truncate(2),
        |p| p.commitments.clear(),
    ] {
        let mut changed = public.clone();
        change(&mut changed);
        let error = EpochPublic::from_bytes(&changed.to_bytes()).unwrap_err().to_string();
        assert!(error.contains("expected exactly 3 for threshold 3"), "{error}");
    }
}

#[test]
fn every_byte_of_a_record_counts() {
    let (cluster, record) = good();
    let good = record.to_bytes();
    // Every 3rd byte, each with two masks: the whole takes seconds.
    for (at, mask) in (0..good.len()).step_by(3).flat_map(|at| [(at, 1), (at + 1, 0x80)]) {
        let mut bytes = good.clone();
        let Some(byte) = bytes.get_mut(at) else { continue };
        *byte ^= mask;
        let accepted = KeyRecord::from_bytes(&bytes).is_ok_and(|r| r.verify(&cluster).is_ok());
        assert!(!accepted, "byte {at} of {} flipped and still accepted", good.len());
    }
}

/// A record of the epoch after the birth, under the order that moves the shares there.
fn moved(change: impl FnOnce(&mut EpochPublic)) -> KeyRecord {
    let cluster = cluster();
    let signed = sign_order(&order(&cluster, Action::Reshare(reshare())), &[101, 102]);
    let verified = VerifiedOrder::verify(&cluster, &signed).unwrap();
    let to = verified.reshare().unwrap();
    let born = record(&cluster).certificate.public;
    let mut public = EpochPublic {
        epoch: EpochName { number: to.first_number, bundle: Hash([0xb1; 32]) },
        parent: Some(born.epoch),
        order: verified.hash(),
        committee: to.committee.clone(),
        commitments: vec![[1; 32], [5; 32]],
        ..born
    };
    change(&mut public);
    let of = |sign: &dyn Fn(u16) -> NodeSignature| [2, 3, 5].map(sign).to_vec();
    KeyRecord {
        order: signed,
        actives: of(&|i| public.sign_active(index(i), &key(i as u8))),
        certificate: Certificate {
            receipts: of(&|i| public.sign_receipt(index(i), &key(i as u8))),
            public,
        },
    }
}

#[test]
fn a_later_epoch_is_of_the_key_and_proves_no_birth() {
    let cluster = cluster();
    let born = record(&cluster).verify(&cluster).unwrap();
    let record = moved(|_| {});
    let epoch = record.verify_epoch(&cluster).unwrap();
    assert!(born.has(&epoch) && born.has(born.epoch()));
    assert_eq!(epoch.terms().grace, 60);
    let error = record.verify(&cluster).unwrap_err();
    assert_eq!(error, CertificateError::NotAsOrdered { what: "action" });
}

#[test]
fn an_epoch_under_another_public_key_or_without_parent_is_refused() {
    let cluster = cluster();
    let refused = |change: fn(&mut EpochPublic)| match moved(change).verify_epoch(&cluster) {
        Err(CertificateError::NotAsOrdered { what }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(|p| p.commitments[0] = [7; 32]), "public key");
    assert_eq!(refused(|p| p.parent = None), "parent epoch");
    assert_eq!(refused(|p| p.epoch.number = 5000), "epoch number");
    assert_eq!(refused(|p| p.committee = committee(&[2, 3, 4], 2)), "committee or threshold");
}
