//! Signatures and public keys as other programs write them: what is signed, and how it is framed.
//!
//! All are plain Ed25519. In the formats of SSH and minisign a file is hashed first, so that a file
//! of any size is a short message to the nodes.

pub mod minisign;
pub mod spki;
pub mod ssh;

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Why text is no signature of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatError(pub String);

impl std::fmt::Display for FormatError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn bad(rule: &str) -> FormatError {
    FormatError(rule.to_owned())
}

/// Base64 in lines.
fn wrapped(bytes: &[u8], width: usize) -> String {
    let text = STANDARD.encode(bytes);
    let lines = text.as_bytes().chunks(width).map(String::from_utf8_lossy);
    lines.map(|line| format!("{line}\n")).collect()
}

/// Between two lines of armour.
fn armored(label: &str, bytes: &[u8], width: usize) -> String {
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", wrapped(bytes, width))
}

/// One canonical base64 line.
fn decoded<const N: usize>(line: &str, what: &str) -> Result<[u8; N], FormatError> {
    let bytes = STANDARD.decode(line.trim_end()).map_err(|_| bad(what))?;
    bytes.try_into().map_err(|_| bad(what))
}

/// Hands a whole file over in parts.
fn absorb(file: &mut impl std::io::Read, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(got) => take(&buffer[..got]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
