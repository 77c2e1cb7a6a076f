//! Sealing and opening a payload under its key: whole, or as a stream.

use crate::{ciphertext::CiphertextError, error::Error, stream};
use quorate_crypto::{
    SecretBytes,
    stream::{CHUNK_LEN, Opener, Sealer, StreamError, TAG_LEN},
};
use std::io::{Read, Write};
use zeroize::Zeroizing;

/// Bytes of a sealed chunk, unless it is the last.
const SEALED_LEN: usize = CHUNK_LEN + TAG_LEN;

/// How many surplus bytes at the end are recognised as such: a line end, a padding.
const MAX_SURPLUS: usize = 32;

/// Seals a payload in memory, behind its head.
pub(crate) fn seal(head: Vec<u8>, mut sealer: Sealer, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
    let chunks = plaintext.len().div_ceil(CHUNK_LEN).max(1);
    let mut out = head;
    out.reserve_exact(plaintext.len() + chunks * TAG_LEN);
    let mut chunk = Vec::with_capacity(CHUNK_LEN.min(plaintext.len()) + TAG_LEN);
    for i in 0..chunks {
        let end = ((i + 1) * CHUNK_LEN).min(plaintext.len());
        chunk.clear();
        chunk.extend_from_slice(&plaintext[i * CHUNK_LEN..end]);
        sealer
            .seal_chunk(&mut chunk, i + 1 == chunks)
            .map_err(|e| Error::Invalid(e.to_string()))?;
        out.extend_from_slice(&chunk);
    }
    Ok(out)
}

/// Writes the head and seals a stream behind it; gives the bytes read.
pub(crate) fn seal_stream(
    head: &[u8],
    mut sealer: Sealer,
    reader: impl Read + Send,
    writer: &mut (impl Write + Send),
) -> Result<u64, Error> {
    writer.write_all(head).map_err(|error| Error::Io { what: "writing the ciphertext", error })?;
    stream::pump(reader, writer, CHUNK_LEN, |chunk, last| {
        sealer.seal_chunk(chunk, last).map_err(|e| Error::Invalid(e.to_string()))
    })
}

/// Opens a payload in memory.
pub(crate) fn open(
    key: &SecretBytes<32>,
    payload: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CiphertextError> {
    let mut opener = Chunks::new(key);
    let mut plaintext = Zeroizing::new(Vec::with_capacity(payload.len()));
    let mut chunk = Zeroizing::new(Vec::with_capacity(SEALED_LEN));
    let chunks = payload.len().div_ceil(SEALED_LEN).max(1);
    for i in 0..chunks {
        let end = ((i + 1) * SEALED_LEN).min(payload.len());
        chunk.clear();
        chunk.extend_from_slice(&payload[i * SEALED_LEN..end]);
        opener.open(&mut chunk, i + 1 == chunks)?;
        plaintext.extend_from_slice(&chunk);
    }
    Ok(plaintext)
}

/// Opens a stream. Writes verified chunks only, and ends in an error unless the last one
/// was among them. Gives the bytes read.
pub(crate) fn open_stream(
    key: &SecretBytes<32>,
    reader: impl Read + Send,
    writer: &mut (impl Write + Send),
) -> Result<u64, Error> {
    let mut opener = Chunks::new(key);
    stream::pump(reader, writer, SEALED_LEN, |chunk, last| Ok(opener.open(chunk, last)?))
}

/// Opens chunks in order and says what is wrong with one that does not open.
struct Chunks {
    opener: Opener,
    number: u64,
}

impl Chunks {
    fn new(key: &SecretBytes<32>) -> Self {
        Self { opener: Opener::new(key), number: 0 }
    }

    fn open(&mut self, chunk: &mut Vec<u8>, last: bool) -> Result<(), CiphertextError> {
        // One chunk of a stream is looked at twice if need be: the opener wipes what fails.
        let kept = if last { chunk.clone() } else { Vec::new() };
        match self.opener.open_chunk(chunk, last) {
            Ok(()) => {
                self.number += 1;
                Ok(())
            }
            Err(StreamError::Authentication) if last => Err(self.last_fault(&kept)),
            Err(StreamError::Authentication) => Err(CiphertextError::Chunk(self.number)),
            Err(StreamError::TooLong) => {
                Err(CiphertextError::Head(StreamError::TooLong.to_string()))
            }
            Err(_) if kept.len() < TAG_LEN => Err(CiphertextError::Truncated("its end is missing")),
            Err(_) => Err(self.last_fault(&kept)),
        }
    }

    /// What was done to a last chunk: the next ones cut off, something added, or changed.
    fn last_fault(&self, chunk: &[u8]) -> CiphertextError {
        if self.opener.would_open(chunk, false) {
            return CiphertextError::Truncated("its last chunk is missing");
        }
        let surplus = (1..=MAX_SURPLUS.min(chunk.len()))
            .find(|n| self.opener.would_open(&chunk[..chunk.len() - n], true));
        match surplus {
            Some(n) => CiphertextError::Extended(n),
            None => CiphertextError::LastChunk(self.number),
        }
    }
}
