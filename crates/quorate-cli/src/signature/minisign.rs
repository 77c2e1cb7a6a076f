//! minisign: signature and public key files, prehashed (`ED`: BLAKE2b-512 of the file).
//!
//! ```text
//! untrusted comment: TEXT
//! base64("ED" ‖ key id ‖ signature of BLAKE2b-512(file))
//! trusted comment: TEXT
//! base64(signature of (the 64 bytes above ‖ TEXT of the trusted comment))
//! ```
//! So a file takes two signatures of the key, the second over the first. A public key file is a
//! comment and `base64("Ed" ‖ key id ‖ public key)`.

use super::{FormatError, bad, decoded};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use blake2::{Blake2b512, Digest as _};
use sha2::Sha512;
use std::io::{self, Read};

const PREHASHED: &[u8; 2] = b"ED";
const KEY: &[u8; 2] = b"Ed";
const UNTRUSTED: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";
/// The longest trusted comment: signed with 64 bytes before it, as a message that nodes take.
pub const MAX_COMMENT: usize = 512;

/// Whether a file of signatures is of this format.
#[must_use]
pub fn looks_so(text: &[u8]) -> bool {
    text.starts_with(UNTRUSTED.as_bytes())
}

/// A file of two signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signatures {
    /// Of the file's hash.
    pub file: [u8; 64],
    /// What the second one vouches for.
    pub comment: String,
    /// Of the first one and the comment.
    pub global: [u8; 64],
}

/// What is signed of a file first.
///
/// # Errors
/// From the file.
pub fn message(mut file: impl Read) -> io::Result<Vec<u8>> {
    let mut hasher = Blake2b512::new();
    super::absorb(&mut file, |bytes| hasher.update(bytes))?;
    Ok(hasher.finalize().to_vec())
}

/// What is signed second.
///
/// # Errors
/// For a comment that is too long, or has more lines than one.
pub fn global_message(file: &[u8; 64], comment: &str) -> Result<Vec<u8>, FormatError> {
    if comment.len() > MAX_COMMENT || comment.chars().any(|c| c.is_control() && c != '\t') {
        let rule = format!("a trusted comment is one line of at most {MAX_COMMENT} bytes");
        return Err(FormatError(rule));
    }
    Ok([&file[..], comment.as_bytes()].concat())
}

/// A public key file.
#[must_use]
pub fn public_file(public_key: &[u8; 32]) -> String {
    let id = key_id(public_key);
    let line = STANDARD.encode([&KEY[..], &id, public_key].concat());
    let shown = u64::from_le_bytes(id);
    format!("{UNTRUSTED}minisign public key {shown:016X}\n{line}\n")
}

impl Signatures {
    /// The file of them.
    #[must_use]
    pub fn write(&self, public_key: &[u8; 32], name: &str) -> String {
        let line = STANDARD.encode([&PREHASHED[..], &key_id(public_key), &self.file].concat());
        let global = STANDARD.encode(self.global);
        let comment = &self.comment;
        format!("{UNTRUSTED}signature by {name}\n{line}\n{TRUSTED}{comment}\n{global}\n")
    }

    /// Reads a file of this key.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn read(text: &str, public_key: &[u8; 32]) -> Result<Self, FormatError> {
        let rule = "a minisign signature has four lines: comment, signature, trusted comment, \
                    signature";
        let lines: Vec<&str> = text.lines().collect();
        let [untrusted, line, trusted, global] = lines[..] else { return Err(bad(rule)) };
        let comment = trusted.strip_prefix(TRUSTED).ok_or_else(|| bad(rule))?;
        if !untrusted.starts_with(UNTRUSTED) {
            return Err(bad(rule));
        }
        let first: [u8; 74] = decoded(line, rule)?;
        if &first[..2] != PREHASHED {
            return Err(bad("only prehashed minisign signatures (ED) are made and read"));
        }
        if first[2..10] != key_id(public_key) {
            return Err(bad("the minisign signature is by another key"));
        }
        let mut file = [0; 64];
        file.copy_from_slice(&first[10..]);
        Ok(Self { file, comment: comment.to_owned(), global: decoded(global, rule)? })
    }
}

/// minisign draws it; here it is a hash of the key, so that everybody writes the same.
fn key_id(public_key: &[u8; 32]) -> [u8; 8] {
    let hash: [u8; 64] = Sha512::digest(public_key).into();
    std::array::from_fn(|i| hash[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn a_file_is_read_back_for_its_own_key_only() {
        let signatures =
            Signatures { file: [1; 64], comment: "timestamp:1\tfile:a".into(), global: [2; 64] };
        let text = signatures.write(&KEY, "release");
        assert!(looks_so(text.as_bytes()));
        assert_eq!(Signatures::read(&text, &KEY), Ok(signatures));
        assert!(Signatures::read(&text, &[8; 32]).unwrap_err().0.contains("another key"));
    }

    #[test]
    fn damaged_files_are_refused_without_a_panic() {
        let signatures = Signatures { file: [1; 64], comment: "c".into(), global: [2; 64] };
        let text = signatures.write(&KEY, "release");
        for cut in 0..text.len() - 1 {
            assert!(Signatures::read(&text[..cut], &KEY).is_err(), "{cut}");
        }
        assert!(Signatures::read(&text.replace("RU", "RW"), &KEY).is_err(), "another algorithm");
        assert!(Signatures::read(&format!("{text}more\n"), &KEY).is_err());
    }

    #[test]
    fn a_comment_is_one_short_line() {
        assert!(global_message(&[0; 64], "one\ttwo").is_ok());
        for comment in ["a\nb", "a\rb", &"x".repeat(513)] {
            assert!(global_message(&[0; 64], comment).is_err());
        }
    }

    #[test]
    fn the_hash_is_blake2b_512() {
        // RFC 7693, appendix A.
        let abc = "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1\
                   7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923";
        assert_eq!(hex::encode(message(&b"abc"[..]).unwrap()), abc);
    }
}
