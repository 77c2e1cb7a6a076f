//! Formats as text, for files that people carry: base64 between two lines that name it.

use crate::codec::{CodecError, Format};
use base64::{Engine, engine::general_purpose::STANDARD};

/// The largest text that is looked at.
pub const MAX_TEXT: usize = 4 * 1024 * 1024;

/// What a file says it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Title(pub &'static str);

impl Title {
    /// A roster chain.
    pub const ROSTER: Self = Self("QUORATE ROSTER");
    /// An order with its signatures.
    pub const ORDER: Self = Self("QUORATE ORDER");
    /// A node's public part.
    pub const NODE: Self = Self("QUORATE NODE");
    /// A coordinator's public part.
    pub const COORDINATOR: Self = Self("QUORATE COORDINATOR");
    /// A private identity key.
    pub const IDENTITY: Self = Self("QUORATE PRIVATE IDENTITY");
    /// A private identity key under a passphrase.
    pub const SEALED_IDENTITY: Self = Self("QUORATE SEALED IDENTITY");
}

/// Wraps bytes.
#[must_use]
pub fn encode(title: Title, bytes: &[u8]) -> String {
    let mut text = format!("-----BEGIN {}-----\n", title.0);
    let body = STANDARD.encode(bytes);
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {}-----\n", title.0));
    text
}

/// Unwraps the bytes of a text with this title; white space around and between lines
/// is of no account.
///
/// # Errors
/// [`CodecError`] says which title was expected.
pub fn decode(title: Title, text: &str) -> Result<Vec<u8>, CodecError> {
    let bad = |rule: String| CodecError::invalid(title.0, rule);
    if text.len() > MAX_TEXT {
        return Err(CodecError::TooLong { what: title.0, max: MAX_TEXT, got: text.len() });
    }
    let body = text
        .trim()
        .strip_prefix(&format!("-----BEGIN {}-----", title.0))
        .and_then(|t| t.strip_suffix(&format!("-----END {}-----", title.0)))
        .ok_or_else(|| bad(format!("expected a text that begins -----BEGIN {}-----", title.0)))?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).map_err(|_| bad("the base64 between the lines is damaged".into()))
}

/// Wraps a value.
#[must_use]
pub fn write<F: Format>(title: Title, value: &F) -> String {
    encode(title, &value.to_bytes())
}

/// Unwraps a value.
///
/// # Errors
/// [`CodecError`].
pub fn read<F: Format>(title: Title, text: &str) -> Result<F, CodecError> {
    F::from_bytes(&decode(title, text)?)
}
