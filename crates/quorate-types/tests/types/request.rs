//! Request heads and encryption contexts.

use crate::fixtures::*;
use quorate_types::{
    request::{
        MAX_CONTEXT, MAX_HEAD, MAX_ITEMS, MAX_PAIR_TEXT, MAX_PAIRS, MAX_TTL, claimed_client,
    },
    *,
};

fn refused(change: impl FnOnce(&mut RequestHead)) -> String {
    let mut head = request_head();
    change(&mut head);
    RequestHead::from_bytes(&head.to_bytes()).unwrap_err().to_string()
}

#[test]
fn a_request_lives_one_minute_at_most() {
    assert!(refused(|h| h.ttl = 0).contains("1 to 60000 ms"));
    assert!(refused(|h| h.ttl = MAX_TTL + 1).contains("got 60001"));
    let head = RequestHead { ttl: MAX_TTL, ..request_head() };
    assert_eq!(RequestHead::from_bytes(&head.to_bytes()), Ok(head));
}

#[test]
fn a_request_has_1_to_1024_items() {
    assert!(refused(|h| h.item_count = 0).contains("1 to 1024"));
    assert!(refused(|h| h.item_count = MAX_ITEMS as u16 + 1).contains("got 1025"));
    let head = RequestHead { item_count: MAX_ITEMS as u16, ..request_head() };
    assert_eq!(RequestHead::from_bytes(&head.to_bytes()), Ok(head));
}

/// A node checks the signature of the claimed client before it parses anything else: both
/// must see one client.
#[test]
fn the_claimed_client_is_the_parsed_one() {
    for n in [1, 50, 200] {
        let head = RequestHead { client: public(n), ..request_head() };
        let bytes = head.to_bytes();
        assert_eq!(claimed_client(&bytes), Ok(public(n)));
        assert_eq!(RequestHead::from_bytes(&bytes).unwrap().client, public(n));
    }
    assert!(claimed_client(&request_head().to_bytes()[..60]).is_err());
    assert!(claimed_client(&vec![0; MAX_HEAD + 1]).is_err());
}

#[test]
fn the_largest_head_fits_its_limit() {
    let value = "v".repeat(MAX_PAIR_TEXT);
    let mut pairs: std::collections::BTreeMap<_, _> =
        (0..7).map(|i| (format!("name-{i}"), value.clone())).collect();
    let context = EncryptionContext::new(pairs.clone()).unwrap();
    let head = RequestHead { key: "k".repeat(128).parse().unwrap(), context, ..request_head() };
    assert!(head.to_bytes().len() <= MAX_HEAD);
    pairs.insert("name-7".into(), value);
    let error = EncryptionContext::new(pairs).unwrap_err();
    assert!(matches!(error, CodecError::TooLong { max: MAX_CONTEXT, .. }), "{error}");
}

#[test]
fn contexts_are_bounded_and_canonical() {
    let pair = |n: &str, v: &str| EncryptionContext::new([(n.into(), v.into())].into());
    assert!(pair("", "v").is_err(), "an empty name");
    assert!(pair("n", "").is_ok());
    assert!(pair(&"n".repeat(MAX_PAIR_TEXT + 1), "v").is_err());
    let many = (0..=MAX_PAIRS).map(|i| (format!("{i:03}"), String::new())).collect();
    assert!(EncryptionContext::new(many).is_err());
}

/// `{ab: c}` and `{a: bc}` must be two labels.
#[test]
fn moving_a_byte_between_name_and_value_changes_the_label() {
    let label =
        |n: &str, v: &str| EncryptionContext::new([(n.into(), v.into())].into()).unwrap().label();
    assert_ne!(label("ab", "c"), label("a", "bc"));
}

#[test]
fn names_out_of_order_do_not_parse() {
    let good = context().label();
    assert_eq!(EncryptionContext::read(&mut Reader::new(&good)), Ok(context()));
    let mut w = Writer::new();
    w.u16(2);
    for text in ["row", "17", "app", "payroll"] {
        w.bytes(text.as_bytes());
    }
    let error = EncryptionContext::read(&mut Reader::new(&w.finish())).unwrap_err().to_string();
    assert!(error.contains("strictly ascending"), "{error}");
}

#[test]
fn two_clusters_give_one_head_two_names() {
    let head = request_head().to_bytes();
    let a = RequestHead::hash(&Fingerprint([1; 32]), &head);
    assert_ne!(a, RequestHead::hash(&Fingerprint([2; 32]), &head));
}

/// Nothing is encrypted to a key that derives, and no header says so.
#[test]
fn a_ciphertext_header_of_a_suite_that_does_not_encrypt_is_refused() {
    let fingerprint = *cluster().fingerprint();
    let name = create_key().name;
    let header =
        |suite| CiphertextHeader::new(suite, &fingerprint, name.clone(), KeyVersion::FIRST);
    let good = header(Suite::Tdh2Ristretto255).to_bytes();
    assert!(CiphertextHeader::from_bytes(&good).is_ok());
    let bad = header(Suite::FrostEd25519).to_bytes();
    assert!(CiphertextHeader::from_bytes(&bad).is_err());
    // Under this suite something is sealed if the key wraps; but not so that a node decrypts it.
    let wrapped = header(Suite::VoprfRistretto255).to_bytes();
    assert!(CiphertextHeader::from_bytes(&wrapped).is_ok());
    assert!(
        CiphertextHead::from_bytes(
            &[&wrapped[..], &[0; quorate_types::ciphertext::KEM_BYTES]].concat()
        )
        .is_err()
    );
}

#[test]
fn a_ciphertexts_head_is_of_the_form_that_its_suite_says() {
    use quorate_types::ciphertext::{Sealed, WrappedHead};
    let (fingerprint, name) = (*cluster().fingerprint(), create_key().name);
    let suite = Suite::VoprfRistretto255;
    let header = CiphertextHeader::new(suite, &fingerprint, name, KeyVersion::FIRST);
    let head = WrappedHead { header, nonce: [1; 16], commitment: [2; 32] };
    let bytes = head.to_bytes();
    let (read, used) = Sealed::split(&[&bytes[..], b"payload"].concat()).unwrap();
    assert_eq!((&read, used), (&Sealed::Wrapped(head.clone()), bytes.len()));
    assert_eq!((read.purpose(), read.header()), (Purpose::Wrap, &head.header));
    for cut in 0..bytes.len() {
        let error = Sealed::split(&bytes[..cut]).unwrap_err();
        assert!(matches!(error, CodecError::Truncated { .. }), "{error}");
    }
}

/// What is no exact set of signers, or no number of nonces, is refused before anything is decoded
/// in it.
#[test]
fn items_to_sign_have_their_limits() {
    use quorate_types::signing::{
        MAX_MESSAGE, MAX_NONCES, MAX_SIGN_ITEM, NonceOrder, SignItem, SignerCommitments,
    };
    let refused = |item: SignItem| SignItem::from_bytes(&item.to_bytes()).unwrap_err().to_string();
    let good = sign_item();
    let signers = |list: &[usize]| {
        let signers = list.iter().map(|i| good.signers[*i]).collect();
        refused(SignItem { signers, ..good.clone() })
    };
    assert!(signers(&[]).contains("two at least"));
    assert!(signers(&[0]).contains("two at least"));
    assert!(signers(&[0, 0]).contains("ascending"), "{}", signers(&[0, 0]));
    assert!(signers(&[1, 0]).contains("ascending"));
    let message = vec![0; MAX_MESSAGE + 1];
    assert!(refused(SignItem { message, ..good.clone() }).contains("1024"));
    let many = |count: u16| {
        let one = |i: u16| SignerCommitments { node: index(i), ..good.signers[0] };
        let signers = (1..=count).map(one).collect();
        SignItem { signers, message: vec![0; MAX_MESSAGE], ..good.clone() }
    };
    assert!(refused(many(65)).contains("64"));
    assert_eq!(many(64).to_bytes().len(), MAX_SIGN_ITEM, "the largest item there is");
    assert_eq!(Operation::Sign.max_item(), MAX_SIGN_ITEM);

    for count in [0, MAX_NONCES + 1, u16::MAX] {
        let order = NonceOrder { count, ..nonce_order() };
        assert!(NonceOrder::from_bytes(&order.to_bytes()).is_err());
    }
    let mut words = SignerCommitments::words(&good.signers[0].handle, &[7; 64]);
    assert!(SignerCommitments::from_words(index(1), &words[..2]).is_err());
    words[0][31] = 1;
    assert!(SignerCommitments::from_words(index(1), &words).is_err());
}
