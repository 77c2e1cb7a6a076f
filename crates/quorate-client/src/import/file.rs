//! Files that a key is imported from.
//!
//! * a scalar: 32 bytes, little-endian, below the group order and not zero; as they are, or as 64
//!   hexadecimal digits;
//! * an Ed25519 private key as PKCS#8 (RFC 8410 and RFC 5958), PEM, as `openssl genpkey` writes it;
//! * an Ed25519 private key of OpenSSH (PROTOCOL.key), not encrypted, as `ssh-keygen -N ''` does.
//!
//! Decoders take no byte that is not understood, and check a public key that stands beside.

use super::OwnedKey;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use quorate_crypto::{SecretScalar, group::Group};
use std::{fmt, io::Read, path::Path};
use thiserror::Error;
use zeroize::Zeroizing;

/// What a key was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// A scalar of 32 bytes.
    Scalar,
    /// An Ed25519 private key as PKCS#8.
    Pkcs8,
    /// An Ed25519 private key of OpenSSH.
    OpenSsh,
}

impl fmt::Display for KeyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "a scalar",
            Self::Pkcs8 => "an Ed25519 key (PKCS#8)",
            Self::OpenSsh => "an Ed25519 key (OpenSSH)",
        })
    }
}

/// Why a file has no key to import. Says nothing of what is in it.
#[derive(Debug, Error)]
pub enum ImportFileError {
    /// The disk.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Larger than any key file.
    #[error("a key file has {MAX_FILE} bytes at most")]
    TooLong,
    /// None of the forms.
    #[error(
        "expected a scalar (32 bytes little-endian, or 64 hexadecimal digits), an Ed25519 key as \
         PKCS#8 PEM (BEGIN PRIVATE KEY), or as OpenSSH writes it (BEGIN OPENSSH PRIVATE KEY)"
    )]
    Form,
    /// A scalar that is not reduced.
    #[error(
        "the scalar is not canonical: as a little-endian number it must be below the group order \
         2^252 + 27742317777372353535851937790883648493 (the seed of an Ed25519 key is no scalar: \
         give its PKCS#8 or OpenSSH file)"
    )]
    NotCanonical,
    /// Zero.
    #[error("the scalar is zero, which is no key")]
    Zero,
    /// An encrypted PKCS#8 file.
    #[error(
        "the key is encrypted; decrypt it into a file that only you can read, and shred that after \
         the import: openssl pkey -in FILE -out PLAIN"
    )]
    EncryptedPkcs8,
    /// An encrypted OpenSSH file.
    #[error(
        "the key is encrypted; take the passphrase off a copy that only you can read, and shred that \
         after the import: cp FILE COPY && ssh-keygen -p -N '' -f COPY"
    )]
    EncryptedOpenSsh,
    /// Of another kind of key.
    #[error("the file has no Ed25519 key; of private keys only Ed25519 is imported")]
    Algorithm,
    /// Broken.
    #[error("the file is damaged: {0}")]
    Damaged(&'static str),
}

impl OwnedKey {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`ImportFileError`].
    pub fn read(path: &Path) -> Result<Self, ImportFileError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
        std::fs::File::open(path)?.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
        Self::parse(&bytes)
    }

    /// Parses the bytes of a key file.
    ///
    /// # Errors
    /// [`ImportFileError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ImportFileError> {
        if bytes.len() > MAX_FILE {
            return Err(ImportFileError::TooLong);
        }
        if let Ok(raw) = <&[u8; 32]>::try_from(bytes) {
            return scalar(raw);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ImportFileError::Form)?.trim();
        if text.len() == 64 {
            let digits = hexadecimal(text).ok_or(ImportFileError::Form)?;
            return scalar(&digits);
        }
        if text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
            return Err(ImportFileError::EncryptedPkcs8);
        }
        if let Some(der) = pem(text, "PRIVATE KEY")? {
            let found = pkcs8(&der)?;
            return seed(&found, KeyForm::Pkcs8);
        }
        if let Some(blob) = pem(text, "OPENSSH PRIVATE KEY")? {
            let found = openssh(&blob)?;
            return seed(&found, KeyForm::OpenSsh);
        }
        match text.starts_with("-----BEGIN ") {
            true => Err(ImportFileError::Algorithm),
            false => Err(ImportFileError::Form),
        }
    }
}

fn scalar(bytes: &[u8; 32]) -> Result<OwnedKey, ImportFileError> {
    let secret = SecretScalar::from_bytes(bytes).ok_or(ImportFileError::NotCanonical)?;
    if secret.is_zero() {
        return Err(ImportFileError::Zero);
    }
    Ok(OwnedKey { secret, form: KeyForm::Scalar })
}

/// `stated` is the public key that stands beside a seed, if one does.
fn seed(found: &Seed, form: KeyForm) -> Result<OwnedKey, ImportFileError> {
    let secret = SecretScalar::from_ed25519_seed(&found.seed);
    if secret.is_zero() {
        return Err(ImportFileError::Zero);
    }
    let public = Group::Edwards25519.mul_base(&secret).encode();
    if found.stated.is_some_and(|stated| stated != public) {
        return Err(ImportFileError::Damaged("its public key is not the private key's"));
    }
    Ok(OwnedKey { secret, form })
}

#[derive(zeroize::Zeroize)]
struct Seed {
    seed: [u8; 32],
    #[zeroize(skip)]
    stated: Option<[u8; 32]>,
}

/// Of either case.
fn hexadecimal(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut out = Zeroizing::new([0; 32]);
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(out)
}

/// The bytes between the lines that name `label`; `None` if the text begins with others.
fn pem(text: &str, label: &str) -> Result<Option<Zeroizing<Vec<u8>>>, ImportFileError> {
    let Some(rest) = text.strip_prefix(&format!("-----BEGIN {label}-----")) else {
        return Ok(None);
    };
    let body = rest
        .strip_suffix(&format!("-----END {label}-----"))
        .ok_or(ImportFileError::Damaged("its last line is not the END of its first"))?;
    let mut packed = Zeroizing::new(String::with_capacity(body.len()));
    packed.extend(body.split_ascii_whitespace());
    let mut out = Zeroizing::new(vec![0; packed.len()]);
    let length = STANDARD
        .decode_slice(packed.as_bytes(), &mut out)
        .map_err(|_| ImportFileError::Damaged("what stands between its lines is not base64"))?;
    out.truncate(length);
    Ok(Some(out))
}

/// `PrivateKeyInfo` or `OneAsymmetricKey` of an Ed25519 key, in DER.
fn pkcs8(der: &[u8]) -> Result<Zeroizing<Seed>, ImportFileError> {
    let mut outer = Der(der);
    let mut key = Der(outer.take(SEQUENCE)?);
    outer.end()?;
    let version = key.take(INTEGER)?;
    let mut algorithm = Der(key.take(SEQUENCE)?);
    if algorithm.take(OBJECT_IDENTIFIER)? != ED25519 {
        return Err(ImportFileError::Algorithm);
    }
    algorithm.end()?;
    let mut inner = Der(key.take(OCTET_STRING)?);
    let seed = array(inner.take(OCTET_STRING)?)?;
    inner.end()?;
    let mut found = Zeroizing::new(Seed { seed, stated: None });
    // [0] attributes: of no account here.
    if key.next() == Some(ATTRIBUTES) {
        key.take(ATTRIBUTES)?;
    }
    if key.next() == Some(PUBLIC_KEY) {
        let public = key.take(PUBLIC_KEY)?;
        // A bit string has the number of its unused bits before it.
        let public = public.strip_prefix(&[0]).ok_or(DAMAGED_DER)?;
        found.stated = Some(array(public)?);
    }
    key.end()?;
    match (version, found.stated) {
        ([0], None) | ([1], Some(_)) => Ok(found),
        _ => Err(DAMAGED_DER),
    }
}

/// A reader of DER: definite lengths in their shortest form, up to 255 bytes.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn take(&mut self, tag: u8) -> Result<&'a [u8], ImportFileError> {
        let (length, rest) = match self.0 {
            [t, length @ ..=0x7f, rest @ ..] if *t == tag => (*length, rest),
            [t, 0x81, length @ 0x80..=0xff, rest @ ..] if *t == tag => (*length, rest),
            _ => return Err(DAMAGED_DER),
        };
        let (value, rest) = rest.split_at_checked(usize::from(length)).ok_or(DAMAGED_DER)?;
        self.0 = rest;
        Ok(value)
    }

    fn end(&self) -> Result<(), ImportFileError> {
        if self.0.is_empty() { Ok(()) } else { Err(DAMAGED_DER) }
    }
}

/// "openssh-key-v1" with one Ed25519 key.
fn openssh(blob: &[u8]) -> Result<Zeroizing<Seed>, ImportFileError> {
    let mut outer = Strings(blob.strip_prefix(b"openssh-key-v1\0").ok_or(DAMAGED_SSH)?);
    let (cipher, kdf, options) = (outer.string()?, outer.string()?, outer.string()?);
    if cipher != b"none" || kdf != b"none" {
        return Err(ImportFileError::EncryptedOpenSsh);
    }
    if !options.is_empty() || outer.number()? != 1 {
        return Err(DAMAGED_SSH);
    }
    let mut public = Strings(outer.string()?);
    if public.string()? != b"ssh-ed25519" {
        return Err(ImportFileError::Algorithm);
    }
    let stated: [u8; 32] = array(public.string()?)?;
    public.end()?;
    let mut private = Strings(outer.string()?);
    outer.end()?;
    // Twice the same number, to tell a wrong passphrase.
    if private.number()? != private.number()? || private.string()? != b"ssh-ed25519" {
        return Err(DAMAGED_SSH);
    }
    let (again, pair) = (private.string()?, private.string()?);
    let (seed, public) = pair.split_at_checked(32).ok_or(DAMAGED_SSH)?;
    if again != stated || public != stated {
        return Err(DAMAGED_SSH);
    }
    let found = Zeroizing::new(Seed { seed: array(seed)?, stated: Some(stated) });
    private.string()?; // a comment
    let padded = private.0.iter().zip(1..=u8::MAX).all(|(byte, i)| *byte == i);
    if padded && private.0.len() < 8 { Ok(found) } else { Err(DAMAGED_SSH) }
}

/// A reader of SSH's strings: each has its length before it, big-endian.
struct Strings<'a>(&'a [u8]);

impl<'a> Strings<'a> {
    fn number(&mut self) -> Result<u32, ImportFileError> {
        let (number, rest) = self.0.split_first_chunk::<4>().ok_or(DAMAGED_SSH)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Result<&'a [u8], ImportFileError> {
        let length = usize::try_from(self.number()?).map_err(|_| DAMAGED_SSH)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(DAMAGED_SSH)?;
        self.0 = rest;
        Ok(string)
    }

    fn end(&self) -> Result<(), ImportFileError> {
        if self.0.is_empty() { Ok(()) } else { Err(DAMAGED_SSH) }
    }
}

fn array(bytes: &[u8]) -> Result<[u8; 32], ImportFileError> {
    bytes.try_into().map_err(|_| ImportFileError::Damaged("an Ed25519 key has 32 bytes"))
}

const DAMAGED_DER: ImportFileError =
    ImportFileError::Damaged("it is no DER of one private key with an algorithm");
const DAMAGED_SSH: ImportFileError =
    ImportFileError::Damaged("it is no openssh-key-v1 with one key");

/// Bytes of a key file that are looked at: an OpenSSH file with a long comment.
pub(super) const MAX_FILE: usize = 16 * 1024;
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// `[0]`, constructed.
const ATTRIBUTES: u8 = 0xa0;
/// `[1] IMPLICIT BIT STRING`.
const PUBLIC_KEY: u8 = 0x81;
/// id-Ed25519, 1.3.101.112.
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

#[cfg(test)]
mod tests;
