//! STREAM (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015) over AES-256-GCM: any size in
//! constant memory, with reordering, truncation and extension detected.
//!
//! A stream is chunks of 64 KiB of plaintext; the last may be shorter, and is empty only if
//! the whole stream is. Chunk `i` is sealed under the nonce
//! `0⁷ ‖ i (u32, big-endian) ‖ last (1 or 0)`, with no associated data; its tag follows it.
//!
//! # Security
//! The key is for one stream: it comes from one ciphertext. Whoever reads learns that a
//! chunk is genuine as soon as it opens, and that the stream is whole only when
//! [`Opener::finish`] says so. Up to 2³² chunks, 256 TiB.
//!
//! AES-GCM is aws-lc's (measured 1.8 times as fast as RustCrypto's, and TLS brings it anyway).

use crate::SecretBytes;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize;

/// Plaintext bytes in every chunk but the last.
pub const CHUNK_LEN: usize = 64 * 1024;

/// How much longer a sealed chunk is.
pub const TAG_LEN: usize = 16;

/// Why a chunk is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Changed, out of its place, of another stream; or called last and is not, or the reverse.
    #[error("a chunk does not open: the stream was changed, reordered or cut")]
    Authentication,
    /// The stream ended before its last chunk.
    #[error("the stream was cut before its last chunk")]
    Truncated,
    /// A chunk follows the last one, or one that was refused.
    #[error("no chunk may follow the last one, or one that was refused")]
    Ended,
    /// A chunk of the wrong length.
    #[error(
        "a chunk has {CHUNK_LEN} bytes of plaintext; the last 1 to {CHUNK_LEN}, or none in an \
         empty stream; got {got}"
    )]
    Length {
        /// Plaintext bytes offered.
        got: usize,
    },
    /// More than 2³² chunks.
    #[error("a stream has at most 2^32 chunks: split what is sealed")]
    TooLong,
}

/// Seals a stream, chunk by chunk.
pub struct Sealer(Position);

impl Sealer {
    /// A stream under `key`, which seals nothing else, ever.
    #[must_use]
    pub fn new(key: &SecretBytes<32>) -> Self {
        Self(Position::new(key))
    }

    /// Seals `buffer` in place and appends the tag. Give it [`CHUNK_LEN`]` + `[`TAG_LEN`] of
    /// capacity once and nothing is allocated.
    ///
    /// # Errors
    /// [`StreamError::Ended`], [`StreamError::Length`], [`StreamError::TooLong`]; the buffer is
    /// as it was, and the stream goes on.
    pub fn seal_chunk(&mut self, buffer: &mut Vec<u8>, last: bool) -> Result<(), StreamError> {
        let nonce = self.0.check(buffer.len(), last)?;
        self.0
            .cipher
            .seal_in_place_append_tag(nonce, Aad::empty(), buffer)
            .expect("64 KiB is below the limit of AES-GCM");
        self.0.advance(last);
        Ok(())
    }
}

/// Opens a stream, chunk by chunk.
pub struct Opener(Position);

impl Opener {
    /// The stream that was sealed under `key`.
    #[must_use]
    pub fn new(key: &SecretBytes<32>) -> Self {
        Self(Position::new(key))
    }

    /// Opens a sealed chunk in place and cuts its tag off. `last` says that no byte follows.
    ///
    /// # Errors
    /// [`StreamError`]: the buffer is wiped and empty, and every later chunk is refused.
    pub fn open_chunk(&mut self, buffer: &mut Vec<u8>, last: bool) -> Result<(), StreamError> {
        let opened = self.try_open(buffer, last);
        if opened.is_err() {
            buffer.zeroize();
            self.0.end(false);
        }
        opened
    }

    fn try_open(&mut self, buffer: &mut Vec<u8>, last: bool) -> Result<(), StreamError> {
        let len = buffer.len().checked_sub(TAG_LEN).ok_or(StreamError::Truncated)?;
        let nonce = self.0.check(len, last)?;
        self.0
            .cipher
            .open_in_place(nonce, Aad::empty(), buffer)
            .map_err(|_| StreamError::Authentication)?;
        buffer.truncate(len);
        self.0.advance(last);
        Ok(())
    }

    /// Whether a sealed chunk would open in the place of the chunk that was tried last. For
    /// a diagnosis after a refusal; gives no plaintext.
    #[must_use]
    pub fn would_open(&self, sealed: &[u8], last: bool) -> bool {
        let State::Ended { number, .. } = self.0.state else { return false };
        if sealed.len() < TAG_LEN || sealed.len() > CHUNK_LEN + TAG_LEN {
            return false;
        }
        let mut scratch = zeroize::Zeroizing::new(sealed.to_vec());
        self.0.cipher.open_in_place(nonce(number, last), Aad::empty(), &mut scratch).is_ok()
    }

    /// The stream is whole: its last chunk was opened.
    ///
    /// # Errors
    /// [`StreamError::Truncated`]: discard everything.
    pub fn finish(self) -> Result<(), StreamError> {
        match self.0.state {
            State::Ended { whole: true, .. } => Ok(()),
            State::At(_) | State::Full | State::Ended { whole: false, .. } => {
                Err(StreamError::Truncated)
            }
        }
    }
}

/// Where a stream stands.
struct Position {
    cipher: LessSafeKey,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// The next chunk's number.
    At(u32),
    /// The chunk of the highest number is past, and was not the last.
    Full,
    /// No chunk is expected any more; `number` is that of the last one tried.
    Ended { number: u32, whole: bool },
}

impl Position {
    fn new(key: &SecretBytes<32>) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).expect("AES-256 takes 32 bytes");
        Self { cipher: LessSafeKey::new(key), state: State::At(0) }
    }

    /// The nonce of the next chunk, of `len` bytes of plaintext.
    fn check(&self, len: usize, last: bool) -> Result<Nonce, StreamError> {
        let number = match self.state {
            State::At(number) => number,
            State::Full => return Err(StreamError::TooLong),
            State::Ended { .. } => return Err(StreamError::Ended),
        };
        let fits =
            if last { len <= CHUNK_LEN && (len > 0 || number == 0) } else { len == CHUNK_LEN };
        if !fits {
            return Err(StreamError::Length { got: len });
        }
        Ok(nonce(number, last))
    }

    fn end(&mut self, whole: bool) {
        let number = match self.state {
            State::At(number) | State::Ended { number, .. } => number,
            State::Full => u32::MAX,
        };
        self.state = State::Ended { number, whole };
    }

    fn advance(&mut self, last: bool) {
        match self.state {
            _ if last => self.end(true),
            State::At(number) => {
                self.state = number.checked_add(1).map_or(State::Full, State::At);
            }
            State::Full | State::Ended { .. } => {}
        }
    }
}

/// `0⁷ ‖ number ‖ last`.
fn nonce(number: u32, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[7..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(last);
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
