//! SSH: public keys (RFC 8709) and SSHSIG signatures (OpenSSH, PROTOCOL.sshsig).
//!
//! ```text
//! signed:    "SSHSIG" ‖ string namespace ‖ string reserved ‖ string "sha512" ‖ string SHA-512(file)
//! signature: "SSHSIG" ‖ u32 1 ‖ string public key ‖ string namespace ‖ string reserved
//!            ‖ string "sha512" ‖ string (string "ssh-ed25519" ‖ string R ‖ z)
//! ```
//! A `string` has its length before it, as a big-endian `u32`; reserved is empty.

use super::{FormatError, armored, bad};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha512};
use std::io::{self, Read};

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
const ALGORITHM: &[u8] = b"ssh-ed25519";
const HASH: &[u8] = b"sha512";
const LABEL: &str = "SSH SIGNATURE";
/// As `ssh-keygen` wraps.
const WIDTH: usize = 70;
/// The longest namespace: what is signed must be a message that nodes take.
const MAX_NAMESPACE: usize = 512;

/// Whether a file of signatures is of this format.
#[must_use]
pub fn looks_so(text: &[u8]) -> bool {
    text.starts_with(b"-----BEGIN SSH SIGNATURE-----")
}

/// A line for `authorized_keys` and, with a name before it, for `allowed_signers`.
#[must_use]
pub fn public_line(public_key: &[u8; 32], comment: &str) -> String {
    format!("ssh-ed25519 {} {comment}", STANDARD.encode(public_blob(public_key)))
}

/// What is signed of a file: its hash, bound to a namespace.
///
/// # Errors
/// From the file; for a namespace that is empty or too long.
pub fn message(namespace: &str, mut file: impl Read) -> io::Result<Vec<u8>> {
    if namespace.is_empty() || namespace.len() > MAX_NAMESPACE {
        let text = format!("a namespace has 1 to {MAX_NAMESPACE} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut hasher = Sha512::new();
    super::absorb(&mut file, |bytes| hasher.update(bytes))?;
    let hash: [u8; 64] = hasher.finalize().into();
    let mut out = MAGIC.to_vec();
    for part in [namespace.as_bytes(), b"", HASH, &hash] {
        string(&mut out, part);
    }
    Ok(out)
}

/// A signature file.
#[must_use]
pub fn signature(public_key: &[u8; 32], namespace: &str, signature: &[u8; 64]) -> String {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_be_bytes());
    let mut inner = Vec::new();
    string(&mut inner, ALGORITHM);
    string(&mut inner, signature);
    for part in [&public_blob(public_key)[..], namespace.as_bytes(), b"", HASH, &inner] {
        string(&mut out, part);
    }
    armored(LABEL, &out, WIDTH)
}

/// Reads a signature file that must be of this key, namespace and hash.
///
/// # Errors
/// [`FormatError`].
pub fn read(text: &str, public_key: &[u8; 32], namespace: &str) -> Result<[u8; 64], FormatError> {
    let body = text
        .trim()
        .strip_prefix("-----BEGIN SSH SIGNATURE-----")
        .and_then(|t| t.strip_suffix("-----END SSH SIGNATURE-----"))
        .ok_or_else(|| bad("an SSH signature stands between its BEGIN and END lines"))?;
    let body: String = body.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(body).map_err(|_| bad("an SSH signature is base64"))?;
    let mut rest = bytes
        .strip_prefix(MAGIC)
        .and_then(|r| r.strip_prefix(&VERSION.to_be_bytes()))
        .ok_or_else(|| bad("not an SSHSIG signature of version 1"))?;
    let mut next = || take(&mut rest).ok_or_else(|| bad("the SSH signature is cut short"));
    if next()? != public_blob(public_key) {
        return Err(bad("the SSH signature is by another key"));
    }
    if next()? != namespace.as_bytes() {
        return Err(FormatError(format!(
            "the SSH signature is for another namespace than {namespace}: say which by --namespace"
        )));
    }
    if !next()?.is_empty() || next()? != HASH {
        return Err(bad("the SSH signature is over another hash than sha512"));
    }
    let mut inner = next()?;
    let algorithm = take(&mut inner);
    let signature = take(&mut inner).and_then(|s| <[u8; 64]>::try_from(s).ok());
    match (algorithm, signature) {
        (Some(ALGORITHM), Some(signature)) if inner.is_empty() && rest.is_empty() => Ok(signature),
        _ => Err(bad("the SSH signature is no Ed25519 signature")),
    }
}

fn public_blob(public_key: &[u8; 32]) -> Vec<u8> {
    let mut out = Vec::new();
    string(&mut out, ALGORITHM);
    string(&mut out, public_key);
    out
}

/// Parts are far below 4 GiB.
fn string(out: &mut Vec<u8>, part: &[u8]) {
    out.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(part);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (part, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = tail;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const SIGNATURE: [u8; 64] = [9; 64];

    #[test]
    fn a_signature_is_read_back_for_its_own_key_and_namespace_only() {
        let text = signature(&KEY, "file", &SIGNATURE);
        assert!(looks_so(text.as_bytes()));
        assert_eq!(read(&text, &KEY, "file"), Ok(SIGNATURE));
        assert!(read(&text, &[8; 32], "file").unwrap_err().0.contains("another key"));
        assert!(read(&text, &KEY, "git").unwrap_err().0.contains("namespace"));
        assert_eq!(read(&text.replace('\n', "\r\n"), &KEY, "file"), Ok(SIGNATURE));
    }

    #[test]
    fn damaged_signatures_are_refused_without_a_panic() {
        let text = signature(&KEY, "file", &SIGNATURE);
        let body: String = text.lines().filter(|l| !l.starts_with('-')).collect();
        let bytes = STANDARD.decode(body).unwrap();
        for cut in 0..bytes.len() {
            assert!(read(&armored(LABEL, &bytes[..cut], WIDTH), &KEY, "file").is_err(), "{cut}");
        }
        let long = armored(LABEL, &[&bytes[..], &[0]].concat(), WIDTH);
        assert!(read(&long, &KEY, "file").is_err());
        for text in ["", "-----BEGIN SSH SIGNATURE-----", "junk"] {
            assert!(read(text, &KEY, "file").is_err());
        }
    }

    #[test]
    fn what_is_signed_binds_namespace_and_file() {
        let of = |namespace, file: &[u8]| message(namespace, file).unwrap();
        assert_ne!(of("file", b"a"), of("file", b"b"));
        assert_ne!(of("file", b"a"), of("git", b"a"));
        assert_eq!(of("file", b"a").len(), 6 + 4 + 4 + 4 + 4 + 6 + 4 + 64);
        assert!(message("", &b"a"[..]).is_err());
        assert!(message(&"n".repeat(513), &b"a"[..]).is_err());
    }
}
