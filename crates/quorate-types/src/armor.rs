//! Formats as text, for files that people carry: base64 between two lines that name it.

use crate::codec::{CodecError, Format};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

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

/// Wraps bytes. They may be a secret: no copy of them is left behind but the text.
#[must_use]
pub fn encode(title: Title, bytes: &[u8]) -> String {
    let body = Zeroizing::new(STANDARD.encode(bytes));
    let frame = 2 * (title.0.len() + "-----BEGIN -----\n".len());
    let mut text = String::with_capacity(frame + body.len() + body.len().div_ceil(64));
    text.extend(["-----BEGIN ", title.0, "-----\n"]);
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.extend(["-----END ", title.0, "-----\n"]);
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
    let mut packed = Zeroizing::new(String::with_capacity(body.len()));
    packed.extend(body.split_ascii_whitespace());
    STANDARD.decode(&*packed).map_err(|_| bad("the base64 between the lines is damaged".into()))
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
