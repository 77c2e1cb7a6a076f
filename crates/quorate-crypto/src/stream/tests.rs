use super::*;

fn key(byte: u8) -> SecretBytes<32> {
    SecretBytes::new([byte; 32])
}

/// A recognisable plaintext.
fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn seal(key: &SecretBytes<32>, plaintext: &[u8]) -> Vec<Vec<u8>> {
    let mut sealer = Sealer::new(key);
    let mut chunks: Vec<Vec<u8>> = plaintext.chunks(CHUNK_LEN).map(<[u8]>::to_vec).collect();
    if chunks.is_empty() {
        chunks.push(Vec::new());
    }
    let last = chunks.len() - 1;
    for (i, chunk) in chunks.iter_mut().enumerate() {
        sealer.seal_chunk(chunk, i == last).unwrap();
    }
    chunks
}

fn open(key: &SecretBytes<32>, chunks: &[Vec<u8>]) -> Result<Vec<u8>, StreamError> {
    let mut opener = Opener::new(key);
    let mut out = Vec::new();
    for (i, chunk) in chunks.iter().enumerate() {
        let mut chunk = chunk.clone();
        opener.open_chunk(&mut chunk, i + 1 == chunks.len())?;
        out.extend_from_slice(&chunk);
    }
    opener.finish()?;
    Ok(out)
}

#[test]
fn every_length_around_a_chunk_comes_back() {
    for len in [0, 1, 15, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 3 * CHUNK_LEN] {
        let sealed = seal(&key(1), &text(len));
        assert_eq!(open(&key(1), &sealed).as_deref(), Ok(&text(len)[..]), "{len} bytes");
        assert_eq!(sealed.len(), len.div_ceil(CHUNK_LEN).max(1));
    }
}

#[test]
fn a_dropped_last_chunk_is_noticed() {
    let mut sealed = seal(&key(1), &text(3 * CHUNK_LEN));
    sealed.pop();
    assert_eq!(open(&key(1), &sealed), Err(StreamError::Authentication));
    // Also by a reader that never calls a chunk the last.
    let mut opener = Opener::new(&key(1));
    for mut chunk in sealed {
        opener.open_chunk(&mut chunk, false).unwrap();
    }
    assert_eq!(opener.finish(), Err(StreamError::Truncated));
    assert_eq!(Opener::new(&key(1)).finish(), Err(StreamError::Truncated));
    assert_eq!(open(&key(1), &[]), Err(StreamError::Truncated));
}

#[test]
fn a_cut_chunk_is_noticed() {
    for cut in [1, TAG_LEN, 100] {
        let mut sealed = seal(&key(1), &text(CHUNK_LEN + 200));
        let len = sealed[1].len();
        sealed[1].truncate(len - cut);
        assert_eq!(open(&key(1), &sealed), Err(StreamError::Authentication), "cut by {cut}");
    }
    let mut sealed = seal(&key(1), b"short");
    sealed[0].truncate(TAG_LEN - 1);
    assert_eq!(open(&key(1), &sealed), Err(StreamError::Truncated));
}

#[test]
fn an_extended_stream_is_refused() {
    let mut sealed = seal(&key(1), &text(CHUNK_LEN));
    sealed.extend(seal(&key(1), b"more"));
    assert_eq!(open(&key(1), &sealed), Err(StreamError::Authentication));
    // A reader that honours the last chunk takes nothing behind it.
    let mut opener = Opener::new(&key(1));
    opener.open_chunk(&mut sealed[0].clone(), true).unwrap();
    assert_eq!(opener.open_chunk(&mut sealed[1].clone(), true), Err(StreamError::Ended));
}

#[test]
fn reordered_and_duplicated_chunks_are_refused() {
    let sealed = seal(&key(1), &text(3 * CHUNK_LEN));
    for order in [[1, 0, 2], [0, 2, 1], [0, 0, 2], [2, 1, 0]] {
        let moved = order.map(|i: usize| sealed[i].clone());
        assert_eq!(open(&key(1), &moved), Err(StreamError::Authentication), "{order:?}");
    }
}

#[test]
fn a_chunk_of_another_stream_is_refused() {
    let mut sealed = seal(&key(1), &text(3 * CHUNK_LEN));
    sealed[1] = seal(&key(2), &text(3 * CHUNK_LEN))[1].clone();
    assert_eq!(open(&key(1), &sealed), Err(StreamError::Authentication));
}

#[test]
fn any_flipped_bit_is_refused_and_nothing_of_the_chunk_is_left() {
    let sealed = seal(&key(1), &text(40));
    for byte in 0..sealed[0].len() {
        let mut chunk = sealed[0].clone();
        chunk[byte] ^= 0x10;
        let mut opener = Opener::new(&key(1));
        assert_eq!(opener.open_chunk(&mut chunk, true), Err(StreamError::Authentication));
        assert!(chunk.is_empty());
        // A stream that lied once is not heard again.
        assert_eq!(opener.open_chunk(&mut sealed[0].clone(), true), Err(StreamError::Ended));
        assert_eq!(opener.finish(), Err(StreamError::Truncated));
    }
}

#[test]
fn the_sealer_refuses_what_the_opener_would() {
    let mut sealer = Sealer::new(&key(1));
    let length = |got| Err(StreamError::Length { got });
    assert_eq!(sealer.seal_chunk(&mut text(CHUNK_LEN - 1), false), length(CHUNK_LEN - 1));
    assert_eq!(sealer.seal_chunk(&mut text(CHUNK_LEN + 1), true), length(CHUNK_LEN + 1));
    assert_eq!(sealer.seal_chunk(&mut Vec::new(), false), length(0));
    sealer.seal_chunk(&mut text(CHUNK_LEN), false).unwrap();
    assert_eq!(sealer.seal_chunk(&mut Vec::new(), true), length(0));
    sealer.seal_chunk(&mut text(1), true).unwrap();
    assert_eq!(sealer.seal_chunk(&mut text(1), true), Err(StreamError::Ended));
}

#[test]
fn an_empty_last_chunk_behind_others_is_refused() {
    // Sealed by hand, since the sealer refuses to make it.
    let mut opener = Opener::new(&key(1));
    opener.open_chunk(&mut seal(&key(1), &text(2 * CHUNK_LEN))[0].clone(), false).unwrap();
    let mut empty = Position { state: State::At(1), ..Position::new(&key(1)) };
    let nonce = Nonce::assume_unique_for_key([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    let mut chunk = Vec::new();
    empty.cipher.seal_in_place_append_tag(nonce, Aad::empty(), &mut chunk).unwrap();
    empty.advance(true);
    assert_eq!(opener.open_chunk(&mut chunk, true), Err(StreamError::Length { got: 0 }));
}

#[test]
fn the_counter_never_wraps() {
    let at = |n| Position { state: State::At(n), ..Position::new(&key(1)) };
    let mut sealer = Sealer(at(u32::MAX));
    sealer.seal_chunk(&mut text(CHUNK_LEN), false).unwrap();
    assert_eq!(sealer.seal_chunk(&mut text(CHUNK_LEN), false), Err(StreamError::TooLong));
    assert_eq!(sealer.seal_chunk(&mut text(1), true), Err(StreamError::TooLong));
    // The last chunk may carry the highest number.
    assert_eq!(Sealer(at(u32::MAX)).seal_chunk(&mut text(1), true), Ok(()));
}

#[test]
fn a_buffer_with_room_for_the_tag_is_never_reallocated() {
    let mut buffer = Vec::with_capacity(CHUNK_LEN + TAG_LEN);
    buffer.resize(CHUNK_LEN, 3);
    let (at, mut sealer) = (buffer.as_ptr(), Sealer::new(&key(1)));
    sealer.seal_chunk(&mut buffer, false).unwrap();
    Opener::new(&key(1)).open_chunk(&mut buffer, false).unwrap();
    assert_eq!((at, buffer.len()), (buffer.as_ptr(), CHUNK_LEN));
}
