//! What the fuzz targets check: no decoder panics, whatever it reads, and what decodes is canonical,
//! which means that it encodes to the very bytes that were read.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run TARGET -- -max_total_time=60
//! ```
//!
//! Not reached from here: what lies behind a passphrase (each try costs an Argon2), and the file of
//! the audit log behind its checksums (the store's own tests flip every byte of it).

use quorate_audit::Chain;
use quorate_crypto::{
    EncodedPoint, SecretBytes, Threshold,
    complaint::Complaint,
    dealing::Dealing,
    dleq,
    envelope::{self as sealed, Cost},
    group::B,
    sharing::Commitments,
    stream::Opener,
    tdh2::{self, Ciphertext},
};
use quorate_types::{
    CiphertextHead, Format, RosterChain,
    armor::{self, Title},
    keyfile,
};

/// Any format of the domain.
pub fn format<F: Format>(data: &[u8]) {
    if let Ok(value) = F::from_bytes(data) {
        assert_eq!(value.to_bytes(), data);
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

/// Commitments to a polynomial, of the degree that their number says.
pub fn commitments(data: &[u8]) {
    let (points, rest) = data.as_chunks::<32>();
    if !rest.is_empty() {
        return;
    }
    let Ok(count) = u16::try_from(points.len()) else { return };
    let Ok(threshold) = Threshold::new(count, points.len()) else { return };
    if let Ok(commitments) = Commitments::from_bytes(threshold, points) {
        assert_eq!(commitments.concat(), data);
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
    if let Ok((head, used)) = CiphertextHead::split(data) {
        assert_eq!(head.to_bytes(), data[..used]);
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

fn framed(title: Title, body: &str) -> String {
    let Title(title) = title;
    format!("-----BEGIN {title}-----\n{body}\n-----END {title}-----\n")
}
