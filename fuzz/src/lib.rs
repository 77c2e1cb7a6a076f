//! What the fuzz targets check: no decoder panics, whatever it reads, and what decodes is canonical,
//! which means that it encodes to the very bytes that were read.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run TARGET -- -max_total_time=60
//! ```
//!
//! [`ceremony`] goes further: it drives a member of a ceremony.
//!
//! Not reached from here: what lies behind a passphrase (each try costs an Argon2), and the file of
//! the audit log behind its checksums (the store's own tests flip every byte of it).

pub mod ceremony;

// The members are those that the ceremony's own tests drive.
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../crates/quorate-ceremony/tests/genesis/disk.rs"]
mod disk;
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../crates/quorate-ceremony/tests/genesis/rig.rs"]
mod rig;

use quorate_audit::{Chain, Frame};
use quorate_ceremony::{Request, SecretKind, Secrets, StepKind};
use quorate_crypto::{
    EncodedPoint, PublicKey, SecretBytes, ShareIndex, Threshold,
    answer::{OpeningSession, ReplyKey},
    complaint::Complaint,
    dealing::Dealing,
    dleq,
    envelope::{self as sealed, Cost},
    frost::NonceCommitments,
    group::{B, Group, decode_scalar},
    sharing::{Commitments, Polynomial},
    stream::Opener,
    tdh2::{self, Ciphertext},
    voprf::{self, BlindedElement},
};
use quorate_types::{
    CiphertextHead, Endpoint, Fingerprint, Format, Hash, Jurisdiction, KeyName, Operation,
    PartyName, ProviderName, Purpose, RequestHead, RosterChain, Suite,
    armor::{self, Title},
    ids::parse_public_key,
    keyfile,
    request::claimed_client,
    signing::{NonceOrder, SignItem, SignerCommitments},
};
use rand::{SeedableRng, rngs::StdRng};
use std::str::FromStr;

/// Any format of the domain.
pub fn format<F: Format>(data: &[u8]) {
    if let Ok(value) = F::from_bytes(data) {
        assert_eq!(value.to_bytes(), data);
    }
}

/// A request of a ceremony's step, also as a node's driver parses it.
pub fn request<F: Format>(step: StepKind, data: &[u8]) {
    format::<F>(data);
    if let Ok((subject, request)) = Request::parse(step, data) {
        assert!(F::from_bytes(data).is_ok());
        assert_eq!(request.subject(), Ok(subject));
    }
}

/// A secret as a node's store keeps it; the first byte says of which kind.
pub fn stored_secret(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let kind = SecretKind::ALL[usize::from(*kind) % SecretKind::ALL.len()];
    let mut secrets = Secrets::default();
    let taken = secrets.set(kind, bytes).is_ok();
    assert_eq!(secrets.get(kind).as_ref().map(|b| &b[..]), taken.then_some(bytes));
}

/// The head of a request: its client is the one that was claimed before anything was parsed.
pub fn request_head(data: &[u8]) {
    format::<RequestHead>(data);
    let claimed = claimed_client(data);
    if let Ok(head) = RequestHead::from_bytes(data) {
        assert_eq!(claimed, Ok(head.client));
    }
}

/// Both items of a signature: nonces that are ordered, and a message with its signers.
pub fn sign_item(data: &[u8]) {
    format::<NonceOrder>(data);
    format::<SignItem>(data);
    if let Ok(item) = SignItem::from_bytes(data) {
        for signer in &item.signers {
            frost_commitments(&signer.commitments);
        }
    }
}

/// Commitments to a nonce pair.
pub fn frost_commitments(data: &[u8]) {
    let Ok(bytes) = data.try_into() else { return };
    if let Ok(commitments) = NonceCommitments::from_bytes(bytes) {
        assert_eq!(commitments.to_bytes(), bytes);
    }
}

/// The words of an answer to an order for nonces.
pub fn nonce_words(data: &[u8]) {
    let (words, _) = data.as_chunks::<32>();
    let Ok(node) = ShareIndex::new(1) else { return };
    if let Ok(drawn) = SignerCommitments::from_words(node, words) {
        let again = drawn.iter().flat_map(|d| SignerCommitments::words(&d.handle, &d.commitments));
        assert!(again.eq(words.iter().copied()));
    }
}

/// Every name that people write.
pub fn names(text: &str) {
    one_spelling::<PartyName>(text);
    one_spelling::<KeyName>(text);
    one_spelling::<ProviderName>(text);
    one_spelling::<Jurisdiction>(text);
    one_spelling::<Fingerprint>(text);
    one_spelling::<Hash>(text);
    one_spelling::<Suite>(text);
    one_spelling::<Purpose>(text);
    one_spelling::<Operation>(text);
    one_spelling::<Endpoint>(text);
    if let Ok(endpoint) = text.parse::<Endpoint>() {
        let (host, port) = (endpoint.host(), endpoint.port());
        assert!(text == format!("{host}:{port}") || text == format!("[{host}]:{port}"));
    }
    if let Ok(key) = parse_public_key(text) {
        assert_eq!(Hash(*key.as_bytes()).to_string(), text);
    }
}

fn one_spelling<T: FromStr + ToString>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

/// Group elements, scalars and identities.
pub fn points(data: &[u8]) {
    for bytes in data.as_chunks::<32>().0 {
        if let Ok(point) = EncodedPoint::decode(bytes) {
            assert_eq!(EncodedPoint::new(*point.point()), Ok(point));
            assert_eq!(point.bytes(), bytes);
        }
        if let Ok(scalar) = decode_scalar(bytes) {
            assert_eq!(scalar.as_bytes(), bytes);
        }
        if let Ok(key) = PublicKey::from_bytes(*bytes) {
            assert_eq!(key.as_bytes(), bytes);
        }
    }
}

/// A dealing as it travels.
pub fn dealing(data: &[u8]) {
    if let Ok(dealing) = Dealing::from_bytes(data) {
        assert_eq!(dealing.to_bytes(), data);
    }
}

/// A complaint as it travels.
pub fn complaint(data: &[u8]) {
    if let Ok(complaint) = Complaint::from_bytes(data) {
        assert_eq!(complaint.to_bytes(), data);
    }
}

/// A proof of equal logarithms.
pub fn dleq_proof(data: &[u8]) {
    let Ok(bytes) = data.try_into() else { return };
    if let Ok(proof) = dleq::Proof::from_bytes(bytes) {
        assert_eq!(proof.to_bytes(), *bytes);
    }
}

/// The encapsulation in a ciphertext, with the proof that nodes check. None that was not made
/// for the key verifies, so the fuzzer must not find one.
pub fn tdh2_ciphertext(data: &[u8]) {
    let Ok(ciphertext) = Ciphertext::from_bytes(data) else { return };
    assert_eq!(ciphertext.to_bytes(), data);
    let public = EncodedPoint::new(B).expect("the generator is a public key");
    let binding = tdh2::Binding::new(&[1; 32], b"key", 1, &public);
    assert!(tdh2::verify(&binding, b"label", b"header", &ciphertext).is_err());
}

/// Blinded elements, a node's partials of them, and their proof: 64 bytes of proof, then pairs.
/// None that was not made with the key verifies, so the fuzzer must not find one.
pub fn voprf_answer(data: &[u8]) {
    let Some((proof, pairs)) = data.split_first_chunk::<64>() else { return };
    let (mut elements, mut partials) = (Vec::new(), Vec::new());
    for pair in pairs.as_chunks::<64>().0 {
        let (element, partial) = pair.split_at(32);
        let Ok(element) = element.try_into().map(BlindedElement::from_bytes) else { return };
        let (Ok(element), Ok(partial)) = (element, partial.try_into()) else { return };
        elements.push(element);
        partials.push(partial);
    }
    let Ok(proof) = dleq::Proof::from_bytes(proof) else { return };
    let public = EncodedPoint::new(B + B).expect("twice the generator is a public key");
    assert!(voprf::verify(&public, &elements, &partials, &proof).is_err());
}

/// One item of a request to derive.
pub fn voprf_element(data: &[u8]) {
    let Ok(bytes) = data.try_into() else { return };
    if let Ok(element) = BlindedElement::from_bytes(bytes) {
        assert_eq!(element.bytes(), bytes);
    }
}

/// Commitments to a polynomial, of the degree that their number says.
pub fn commitments(data: &[u8]) {
    let (points, rest) = data.as_chunks::<32>();
    if !rest.is_empty() {
        return;
    }
    let Ok(count) = u16::try_from(points.len()) else { return };
    let Ok(threshold) = Threshold::new(count, points.len()) else { return };
    for group in [Group::Ristretto255, Group::Edwards25519] {
        if let Ok(commitments) = Commitments::from_bytes(group, threshold, points) {
            assert_eq!(commitments.concat(), data);
        }
    }
}

/// A polynomial as its dealer keeps it, of the degree that its length says.
pub fn polynomial(data: &[u8]) {
    let Ok(count) = u16::try_from(data.len() / 32) else { return };
    let Ok(threshold) = Threshold::new(count, usize::from(count)) else { return };
    if let Ok(polynomial) = Polynomial::from_bytes(threshold, data) {
        assert_eq!(polynomial.to_bytes()[..], *data);
    }
}

/// A sealed answer, with the node's key and the encapsulated key that came with it.
pub fn answer_session(data: &[u8]) {
    let Some((node, rest)) = data.split_first_chunk() else { return };
    let Some((encapsulated, sealed)) = rest.split_first_chunk() else { return };
    let reply = ReplyKey::generate(&mut StdRng::seed_from_u64(7));
    if let Ok(session) = OpeningSession::new(&reply, node, encapsulated, b"fuzz") {
        assert!(session.open(0, b"", sealed).is_err());
    }
}

/// A secret sealed under a key.
pub fn envelope(data: &[u8]) {
    assert!(sealed::open_with_key(&SecretBytes::new([7; 32]), b"fuzz", data).is_err());
}

/// A stream's chunks, cut by the first byte.
pub fn stream(data: &[u8]) {
    let Some((cut, rest)) = data.split_first() else { return };
    let mut opener = Opener::new(&SecretBytes::new([7; 32]));
    for chunk in rest.chunks(usize::from(*cut) + 1) {
        let mut buffer = chunk.to_vec();
        assert!(opener.open_chunk(&mut buffer, chunk.len() <= usize::from(*cut)).is_err());
        assert!(buffer.is_empty(), "bytes that were not authenticated came out");
    }
    assert!(opener.finish().is_err());
}

/// The head at the front of a ciphertext file.
pub fn ciphertext_head(data: &[u8]) {
    let whole = CiphertextHead::from_bytes(data);
    match CiphertextHead::split(data) {
        Ok((head, used)) => {
            assert_eq!(head.to_bytes(), data[..used]);
            assert_eq!(whole.ok(), (used == data.len()).then_some(head));
        }
        Err(_) => assert!(whole.is_err()),
    }
}

/// A key file without a passphrase, whole and with only the part between its lines hostile.
pub fn key_file(text: &str) {
    let _ = keyfile::read(text, None, &Cost::FLOOR);
    let framed = framed(Title::IDENTITY, text);
    if let Ok(key) = keyfile::read(&framed, None, &Cost::FLOOR) {
        let bytes = keyfile::plain_bytes(&key);
        assert_eq!(armor::decode(Title::IDENTITY, &framed).as_deref(), Ok(&bytes[..]));
    }
}

/// Text around bytes: both ways.
pub fn armor(text: &str) {
    let encoded = armor::encode(Title::ORDER, text.as_bytes());
    assert_eq!(armor::decode(Title::ORDER, &encoded).as_deref(), Ok(text.as_bytes()));
    let _ = armor::decode(Title::ORDER, text);
    let _ = RosterChain::from_text(&framed(Title::ROSTER, text));
}

/// The tail of an audit log.
pub fn audit_frames(data: &[u8]) {
    let _ = quorate_audit::verify(&mut Chain::new(), data);
    let _ = quorate_audit::finds_frame(data);
}

/// A batch of leaves, stored and read back; then with a byte of it changed.
pub fn audit_batch(data: &[u8]) {
    let Some(([cut, high, low, change], rest)) = data.split_first_chunk() else { return };
    let leaves: Vec<_> = rest.chunks(usize::from(*cut) + 1).map(<[u8]>::to_vec).collect();
    let (mut written, mut read) = (Chain::new(), Chain::new());
    let Ok(mut bytes) = Frame::append(&mut written, &leaves) else { return };
    let frame = Frame::verify(&mut read, &bytes).expect("a frame that was written is whole");
    assert_eq!((&read, frame.leaves, frame.len), (&written, leaves, bytes.len()));
    assert!(quorate_audit::finds_frame(&bytes));
    if *change != 0 {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % bytes.len();
        bytes[at] ^= change;
        assert!(Frame::read(&bytes).is_err());
        assert!(quorate_audit::verify(&mut Chain::new(), &bytes).is_err());
    }
}

fn framed(title: Title, body: &str) -> String {
    let Title(title) = title;
    format!("-----BEGIN {title}-----\n{body}\n-----END {title}-----\n")
}
