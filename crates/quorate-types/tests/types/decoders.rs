//! Decoders against hostile bytes: they never panic, and what parses has one encoding.

use crate::fixtures::*;
use proptest::prelude::*;
use quorate_types::*;

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

fn head_decoder(bytes: &[u8]) -> bool {
    CiphertextHead::from_bytes(bytes).is_ok_and(|head| {
        assert_eq!(head.to_bytes(), bytes);
        true
    })
}

/// Every decoder there is.
fn decoders() -> Vec<Decoder> {
    let cluster = cluster();
    let record = record(&cluster);
    let fingerprint = *cluster.fingerprint();
    let request = Hash([5; 32]);
    let epoch = record.certificate.public.epoch;
    let header = CiphertextHeader::new(
        Suite::Tdh2Ristretto255,
        &fingerprint,
        create_key().name,
        KeyVersion::FIRST,
    );
    let refusal =
        Refusal { node: index(1), request, at: NOW, reason: RefusalReason::Clock, item: None };
    let sealed = SealedAnswer {
        key: AnswerKeyCard::sign(&fingerprint, index(1), [4; 32], NOW, &key(1)),
        request,
        epoch,
        encapsulated: [5; 32],
        counter: 1,
        sealed: vec![6; 80],
    };
    let granted = Event::Request {
        head: request_head().to_bytes(),
        signature: quorate_crypto::Signature([3; 64]),
        decision: Decision::Granted(epoch),
    };
    vec![
        decoder(&genesis()),
        decoder(&cluster.chain()[0]),
        decoder(&RosterChain(cluster.chain().to_vec())),
        decoder(&NodeCard::sign(node(1), &key(1))),
        decoder(&CoordinatorCard::sign(genesis().coordinators.remove(0), &key(120))),
        decoder(&order(&cluster, Action::CreateKey(create_key()))),
        decoder(&record.order),
        decoder(&record.certificate.public),
        decoder(&record.certificate),
        decoder(&record),
        decoder(&request_head()),
        decoder(&nonce_order()),
        decoder(&sign_item()),
        decoder(&sealed),
        decoder(&Answer { partials: vec![[1; 32]; 3], proof: Some([7; 64]) }),
        decoder(&SignedRefusal::sign(refusal, &fingerprint, &key(1))),
        decoder(&destroyed()),
        decoder(&header),
        (head_decoder, CiphertextHead { header, kem: [8; 240] }.to_bytes()),
        decoder(&AuditEntry { at: NOW, event: granted }),
        decoder(&sighting().newest),
        decoder(&sighting()),
        decoder(&witness()),
        decoder(&sealed_share()),
    ]
}

/// Further bytes of formats that have many forms.
fn forms() -> Vec<Decoder> {
    let cluster = cluster();
    let mut with_rights = rotate_key();
    with_rights.create.rights.exportable = true;
    let of_schedule = ChainId::Rotation(create_key().name);
    vec![
        decoder(&order(&cluster, Action::RotateKey(rotate_key()))),
        decoder(&order(&cluster, Action::RotateKey(with_rights))),
        decoder(&resolve(&cluster, of_schedule, 1, 2)),
    ]
}

/// Bytes changed at some places, then cut or extended.
fn mutate(bytes: &mut Vec<u8>, edits: &[(usize, u8)], cut: usize, tail: &[u8]) {
    for (at, value) in edits {
        let at = at % bytes.len();
        bytes[at] = *value;
    }
    bytes.truncate(bytes.len() - cut.min(bytes.len()));
    bytes.extend_from_slice(tail);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for (decode, good) in decoders() {
            decode(&bytes);
            // Behind a good kind and version, to get past the first check.
            decode(&[&good[..6], &bytes[..]].concat());
        }
    }

    #[test]
    fn mutated_bytes_never_panic_and_stay_canonical(
        edits in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        cut in prop_oneof![3 => Just(0_usize), 1 => 0..40_usize],
        tail in prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(any::<u8>(), 0..8)],
    ) {
        for (decode, good) in decoders().into_iter().chain(forms()) {
            let mut bytes = good;
            mutate(&mut bytes, &edits, cut, &tail);
            decode(&bytes);
        }
    }

    #[test]
    fn armor_never_panics(text in ".{0,200}", inner in "[A-Za-z0-9+/=\n ]{0,200}") {
        use quorate_types::armor::{Title, decode};
        let _ = decode(Title::ORDER, &text);
        let _ = decode(
            Title::ORDER,
            &format!("-----BEGIN QUORATE ORDER-----{inner}-----END QUORATE ORDER-----"),
        );
    }

    #[test]
    fn armored_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        use quorate_types::armor::{Title, decode, encode};
        let text = encode(Title::ROSTER, &bytes);
        prop_assert!(text.lines().all(|l| l.len() <= 64));
        prop_assert_eq!(decode(Title::ROSTER, &text).unwrap(), bytes.clone());
        let loose = format!("\n  {}\r\n", text.replace('\n', "\r\n "));
        prop_assert_eq!(decode(Title::ROSTER, &loose).unwrap(), bytes);
        prop_assert!(decode(Title::ORDER, &text).is_err());
    }

    #[test]
    fn names_that_parse_come_back(text in ".{0,140}") {
        fn same<T: std::str::FromStr + ToString>(text: &str) {
            if let Ok(name) = text.parse::<T>() {
                assert_eq!(name.to_string(), text);
            }
        }
        same::<PartyName>(&text);
        same::<KeyName>(&text);
        same::<ProviderName>(&text);
        same::<Jurisdiction>(&text);
        same::<Endpoint>(&text);
    }

    #[test]
    fn heads_round_trip(
        id: [u8; 16], at: u64, ttl in 1..=60_000_u32, version in 1..=u32::MAX, prove: bool,
        count in 1..=1024_u16, root: [u8; 32], reply: [u8; 32],
        pairs in prop::collection::btree_map("[a-z]{1,9}", ".{0,40}", 0..8),
    ) {
        let head = RequestHead {
            id: RequestId(id),
            issued_at: Millis(at),
            ttl,
            version: KeyVersion::new(version).unwrap(),
            context: EncryptionContext::new(pairs).unwrap(),
            reply_key: reply,
            prove,
            item_count: count,
            items_root: Hash(root),
            ..request_head()
        };
        prop_assert_eq!(RequestHead::from_bytes(&head.to_bytes()), Ok(head));
    }
}

#[test]
fn every_decoder_takes_its_own_bytes_and_no_others() {
    for (decode, good) in forms() {
        assert!(decode(&good));
        assert!((0..good.len()).all(|n| !decode(&good[..n])), "a form is taken in part");
    }
    let all = decoders();
    for (i, (decode, good)) in all.iter().enumerate() {
        assert!(decode(good), "decoder {i}");
        assert!(!decode(&[&good[..], &[0]].concat()), "decoder {i} takes a trailing byte");
        assert!((0..good.len()).all(|n| !decode(&good[..n])), "decoder {i} takes a part");
        let mut newer = good.clone();
        newer[5] += 1;
        assert!(!decode(&newer), "decoder {i} takes another version");
        let taken = all.iter().filter(|(_, other)| decode(other)).count();
        assert_eq!(taken, 1, "decoder {i} takes another format");
    }
}

/// A claimed length is never allocated.
#[test]
fn a_huge_claimed_length_is_refused() {
    let mut bytes = SignedOrder(Signed::unsigned(vec![1; 40])).to_bytes();
    bytes[6..10].copy_from_slice(&u32::MAX.to_be_bytes());
    let error = SignedOrder::from_bytes(&bytes).unwrap_err();
    assert!(matches!(error, CodecError::TooLong { got: 0xffff_ffff, .. }), "{error}");
}

#[test]
fn a_newer_version_says_what_to_do() {
    let mut bytes = genesis().to_bytes();
    bytes[5] = 2;
    let error = Roster::from_bytes(&bytes).unwrap_err().to_string();
    assert_eq!(error, "format QROS version 2 is not known here (newest known: 1); update Quorate");
}
