//! Identity key files.

use crate::fixtures::key;
use quorate_crypto::envelope::{Cost, EnvelopeError};
use quorate_types::{
    KeyFileError,
    armor::Title,
    keyfile::{is_sealed, plain, read, sealed},
};

const PASSPHRASE: &[u8] = b"correct horse";

fn cheap() -> Cost {
    Cost::danger_for_tests()
}

fn sealed_file() -> String {
    sealed(&key(50), PASSPHRASE, &cheap(), &mut rand::rng()).unwrap()
}

#[test]
fn a_plain_key_comes_back() {
    let text = plain(&key(50));
    assert!(text.starts_with("-----BEGIN QUORATE PRIVATE IDENTITY-----\n"));
    assert!(!is_sealed(&text));
    let read = read(&text, None, &Cost::FLOOR).unwrap();
    assert_eq!(read.public(), key(50).public());
}

#[test]
fn a_sealed_key_comes_back_under_its_passphrase_only() {
    let text = sealed_file();
    assert!(is_sealed(&text));
    assert_eq!(read(&text, Some(PASSPHRASE), &cheap()).unwrap().public(), key(50).public());
    let wrong = read(&text, Some(b"wrong horse"), &cheap()).unwrap_err();
    assert_eq!(wrong, KeyFileError::Envelope(EnvelopeError::Open));
    assert_eq!(read(&text, None, &cheap()).unwrap_err(), KeyFileError::PassphraseNeeded);
}

/// A key that was swapped for a plain one must not open without a word.
#[test]
fn a_passphrase_for_a_plain_file_is_refused() {
    let error = read(&plain(&key(50)), Some(PASSPHRASE), &cheap()).unwrap_err();
    assert_eq!(error, KeyFileError::NotSealed);
}

#[test]
fn a_file_hardened_too_cheaply_is_refused() {
    let error = read(&sealed_file(), Some(PASSPHRASE), &Cost::FLOOR).unwrap_err();
    assert!(matches!(error, KeyFileError::Envelope(EnvelopeError::Cost(_))), "{error}");
}

#[test]
fn a_short_passphrase_seals_nothing() {
    let error = sealed(&key(50), b"short", &cheap(), &mut rand::rng()).unwrap_err();
    assert_eq!(error, KeyFileError::PassphraseShort(5));
}

#[test]
fn what_is_no_key_file_says_what_was_expected() {
    let error = read("hello", None, &Cost::FLOOR).unwrap_err().to_string();
    assert!(error.contains("-----BEGIN QUORATE PRIVATE IDENTITY-----"), "{error}");
    assert!(!error.contains("hello"), "{error}");
    let other = quorate_types::armor::encode(Title::IDENTITY, b"QORD....");
    assert!(read(&other, None, &Cost::FLOOR).is_err());
    let mut cut = plain(&key(50)).to_string();
    cut.replace_range(60..64, "");
    assert!(read(&cut, None, &Cost::FLOOR).is_err());
}
