//! Every format's bytes, pinned, and every decoder against hostile ones.

use crate::rig::*;
use proptest::prelude::*;
use quorate_ceremony::{state::Live, *};
use quorate_crypto::{Signature, complaint::COMPLAINT_LEN};
use quorate_types::*;
use std::{fs, path::PathBuf};

const ACCEPT: &str = "QUORATE_ACCEPT_SNAPSHOTS";

fn pinned<F: Format + PartialEq + std::fmt::Debug>(name: &str, value: &F) {
    let bytes = value.to_bytes();
    assert_eq!(&F::from_bytes(&bytes).unwrap(), value);
    pinned_bytes(name, &bytes);
}

/// Compares with `tests/snapshots/<name>.hex`: 32 bytes to a line.
fn pinned_bytes(name: &str, bytes: &[u8]) {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.hex"));
    let text: String = bytes.chunks(32).map(|line| hex::encode(line) + "\n").collect();
    if std::env::var_os(ACCEPT).is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == text,
        "the bytes of {name} are not those of {}.\nWhat is signed or stored under the old bytes \
         would no longer verify: give the format a new version. If that is meant, run the test \
         with {ACCEPT}=1 and commit the file.\nexpected:\n{stored}got:\n{text}",
        path.display()
    );
}

fn id() -> AttemptId {
    AttemptId {
        fingerprint: Fingerprint([0xf1; 32]),
        key: "payroll/2026".parse().unwrap(),
        version: KeyVersion::FIRST,
        order: Hash([0xd0; 32]),
        number: 7,
    }
}

fn answer(node: u16) -> PrepareAnswer {
    let commitment = Some([0xc0 + node as u8; 32]);
    PrepareAnswer::sign(&id(), index(node), [0xb0 + node as u8; 32], commitment, &key(node as u8))
}

fn dealing(dealer: u16) -> SignedDealing {
    let signature = Signature([0xe0 + dealer as u8; 64]);
    SignedDealing { dealer: index(dealer), dealing: vec![0xa0 + dealer as u8; 40], signature }
}

fn public() -> EpochPublic {
    EpochPublic {
        fingerprint: id().fingerprint,
        key: id().key,
        version: id().version,
        suite: Suite::Tdh2Ristretto255,
        purpose: Purpose::Decrypt,
        epoch: EpochName { number: 7, bundle: Hash([0xb0; 32]) },
        parent: None,
        context: Hash([0xc7; 32]),
        order: id().order,
        committee: committee(&[1, 2, 3], 2),
        commitments: vec![[1; 32], [2; 32]],
    }
}

fn signed_order() -> SignedOrder {
    SignedOrder(Signed::unsigned(vec![0x0d; 50]))
}

fn record() -> KeyRecord {
    let active = |i: u16| public().sign_active(index(i), &key(i as u8));
    let actives = vec![active(1), active(3)];
    KeyRecord { order: signed_order(), certificate: receipts(), actives }
}

fn receipts() -> Certificate {
    let receipt = |i: u16| public().sign_receipt(index(i), &key(i as u8));
    Certificate { public: public(), receipts: vec![receipt(1), receipt(2)] }
}

fn certified() -> Certified {
    let active = public().sign_active(index(2), &key(2));
    Certified { order: signed_order(), certificate: receipts(), active }
}

fn prepare_request() -> PrepareRequest {
    PrepareRequest {
        order: signed_order(),
        earlier: vec![signed_order()],
        number: 7,
        descent: None,
        scheduled: None,
    }
}

fn deal_request() -> DealRequest {
    DealRequest { subject: subject(7), answers: vec![answer(1), answer(2)], dealers: all() }
}

fn receive_request() -> ReceiveRequest {
    let bundle = vec![dealing(1), dealing(2)];
    ReceiveRequest {
        subject: subject(7),
        answers: vec![answer(1), answer(2)],
        bundle,
        parent: None,
    }
}

fn receipt() -> Receipt {
    Receipt { public: public(), signature: public().sign_receipt(index(2), &key(2)) }
}

fn complaint() -> SignedComplaint {
    let signature = Signature([0x5c; 64]);
    SignedComplaint { dealer: index(3), complaint: [0xcc; COMPLAINT_LEN], signature }
}

fn activate_request() -> ActivateRequest {
    ActivateRequest { order: signed_order(), certificate: receipts() }
}

fn dealt() -> Box<Dealt> {
    let answers = vec![answer(1), answer(2)];
    Box::new(Dealt {
        prepared: answer(2),
        answers,
        dealers: vec![index(1), index(2)],
        dealing: Some(dealing(2)),
    })
}

fn attempts() -> Vec<(&'static str, Attempt)> {
    let receipt = Box::new(receipt());
    vec![
        ("attempt-expect-prepare-list", Attempt::ExpectPrepareList(answer(2))),
        ("attempt-expect-bundle", Attempt::ExpectBundle(dealt())),
        ("attempt-expect-certificate", Attempt::ExpectCertificate(dealt(), receipt.clone())),
        ("attempt-active", Attempt::Active(dealt(), receipt, None)),
        ("attempt-complained", Attempt::Complained(dealt(), Box::new(complaint()))),
    ]
}

fn standing() -> Standing {
    Standing {
        active: Some(certified()),
        noted: Some(activate_request()),
        in_force: Some(public().epoch),
        in_force_since: START,
        live: vec![
            Live {
                dealt: true,
                epoch: Some(public().epoch),
                active: true,
                ..Live::prepared(7, None)
            },
            Live::prepared(9, Some(public().epoch)),
        ],
    }
}

fn frozen() -> Frozen {
    Frozen { what: Forgery::Receipt, evidence: vec![0xee; 33] }
}

fn retire_answer() -> RetireAnswer {
    RetireAnswer::sign(&public(), index(2), true, &key(2))
}

#[test]
fn prepare_messages() {
    pinned("prepare-request", &prepare_request());
    pinned("prepare-reply-prepared", &PrepareReply::Prepared(answer(2)));
    pinned("prepare-reply-certified", &PrepareReply::Certified(Box::new(certified())));
    pinned("prepare-reply-born", &PrepareReply::Born(Box::new(record())));
    pinned_bytes("attempt-id-hash", id().hash().as_bytes());
    let list =
        prepare_list::list_hash(&id().fingerprint, &[answer(1), answer(2)], &[index(1), index(2)]);
    pinned_bytes("prepare-list-hash", list.as_bytes());
}

#[test]
fn deal_messages() {
    pinned("deal-request", &deal_request());
    pinned("signed-dealing", &dealing(2));
}

#[test]
fn receive_messages() {
    pinned("receive-request", &receive_request());
    pinned("receive-answer-receipt", &ReceiveAnswer::Receipt(Box::new(receipt())));
    pinned("receive-answer-complaint", &ReceiveAnswer::Complaint(Box::new(complaint())));
    let bundle = bundle::bundle_hash(&Hash([0xc7; 32]), &[dealing(1), dealing(2)]);
    pinned_bytes("bundle-hash", bundle.as_bytes());
}

#[test]
fn activate_messages() {
    pinned("activate-request", &activate_request());
    let signature = public().sign_active(index(2), &key(2));
    pinned("activate-answer-active", &ActivateAnswer::Active(signature));
    pinned("activate-answer-noted", &ActivateAnswer::Noted);
    pinned("activate-answer-other", &ActivateAnswer::Other(Box::new(certified())));
    pinned("activate-answer-born", &ActivateAnswer::Born(Box::new(record())));
}

#[test]
fn retire_messages() {
    pinned("retire-request", &RetireRequest { record: record(), birth: None });
    pinned("retire-answer", &retire_answer());
}

#[test]
fn stored_state() {
    for (name, attempt) in attempts() {
        pinned(name, &attempt);
    }
    pinned("standing", &standing());
    pinned("frozen", &frozen());
    pinned_bytes("store-epoch", &subject(7).store_epoch());
}

/// What parses encodes to the same bytes.
fn canonical<F: Format>(bytes: &[u8]) -> bool {
    match F::from_bytes(bytes) {
        Ok(value) => {
            assert_eq!(value.to_bytes(), bytes, "{} has two encodings", F::KIND);
            true
        }
        Err(error) => {
            assert!(error.to_string().len() < 1000);
            false
        }
    }
}

/// A decoder, and bytes that it takes.
type Decoder = (fn(&[u8]) -> bool, Vec<u8>);

fn decoder<F: Format>(value: &F) -> Decoder {
    (canonical::<F>, value.to_bytes())
}

fn decoders() -> Vec<Decoder> {
    let mut all = vec![
        decoder(&prepare_request()),
        decoder(&PrepareReply::Prepared(answer(2))),
        decoder(&PrepareReply::Born(Box::new(record()))),
        decoder(&deal_request()),
        decoder(&dealing(2)),
        decoder(&receive_request()),
        decoder(&ReceiveAnswer::Receipt(Box::new(receipt()))),
        decoder(&ReceiveAnswer::Complaint(Box::new(complaint()))),
        decoder(&activate_request()),
        decoder(&ActivateAnswer::Noted),
        decoder(&ActivateAnswer::Other(Box::new(certified()))),
        decoder(&RetireRequest { record: record(), birth: None }),
        decoder(&retire_answer()),
        decoder(&standing()),
        decoder(&frozen()),
    ];
    all.extend(attempts().iter().map(|(_, a)| decoder(a)));
    all
}

#[test]
fn a_cut_or_lengthened_message_is_none() {
    for (decode, bytes) in decoders() {
        assert!(decode(&bytes));
        for end in (0..bytes.len()).rev().take(200).chain(0..40.min(bytes.len())) {
            assert!(!decode(&bytes[..end]));
        }
        assert!(!decode(&[&bytes[..], &[0]].concat()));
    }
}

#[test]
fn a_message_of_an_unknown_version_is_refused_and_says_so() {
    for (decode, mut bytes) in decoders() {
        bytes[5] += 1;
        assert!(!decode(&bytes));
    }
    let mut newer = dealing(2).to_bytes();
    newer[5] = 2;
    let error = SignedDealing::from_bytes(&newer).unwrap_err();
    assert!(error.to_string().contains("update Quorate"), "{error}");
}

#[test]
fn lists_are_ascending_without_duplicates() {
    for change in [
        (|r: &mut ReceiveRequest| r.answers.swap(0, 1)) as fn(&mut ReceiveRequest),
        |r| r.bundle.swap(0, 1),
        |r| r.answers[1] = r.answers[0].clone(),
        |r| r.bundle[1] = r.bundle[0].clone(),
    ] {
        let mut changed = receive_request();
        change(&mut changed);
        assert!(ReceiveRequest::from_bytes(&changed.to_bytes()).is_err());
    }
}

#[test]
fn limits_hold() {
    let mut large = dealing(2);
    large.dealing = vec![0; message::MAX_DEALING + 1];
    assert!(SignedDealing::from_bytes(&large.to_bytes()).is_err());
    let mut many = prepare_request();
    many.earlier = vec![signed_order(); message::MAX_EARLIER + 1];
    assert!(PrepareRequest::from_bytes(&many.to_bytes()).is_err());
    let mut crowd = deal_request();
    crowd.answers = (1..=129).map(|i| PrepareAnswer { node: index(i), ..answer(1) }).collect();
    assert!(DealRequest::from_bytes(&crowd.to_bytes()).is_err());
    let zero = DealRequest { subject: subject(0), answers: Vec::new(), dealers: all() };
    assert!(DealRequest::from_bytes(&zero.to_bytes()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_decoder_panics_or_has_two_encodings(
        which in 0..20_usize,
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let (decode, mut bytes) = decoders().swap_remove(which);
        let at = at.index(bytes.len());
        for (byte, with) in bytes[at..].iter_mut().zip(&with) {
            *byte = *with;
        }
        decode(&bytes);
        decode(&with);
    }
}
