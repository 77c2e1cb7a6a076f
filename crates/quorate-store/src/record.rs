//! A record as sled values: a head, and pieces behind it if it is long.
//!
//! ```text
//! head:   tree u8 ‖ key                              (physical key)
//!         version u8 ‖ kind u8 ‖ length u32 ‖ pieces u16 ‖ sequence u64
//!           ‖ (sealed only) epoch length u8 ‖ epoch ‖ body, first piece ‖ check 8
//! piece:  (0x80 | tree) u8 ‖ key length u16 ‖ key ‖ number u16
//!         body, that piece ‖ check 8
//! ```
//!
//! The body of a public record is its value; of a sealed one, `nonce ‖ ciphertext ‖ tag`. The check
//! is the first 8 bytes of the record's leaf hash: it names a changed record. The manifest's root
//! is what proves it.

use quorate_crypto::hash::Label;

use crate::{
    EpochId, Tree,
    batch::MAX_VALUE,
    layout::{Reader, sha256},
    seal::SEAL_OVERHEAD,
};

/// Bytes of body in one sled value. sled splits a page only above 16 entries and puts a page above
/// 128 KiB into a blob file, which it never syncs: 17 values of this size stay below 80 KiB.
pub(crate) const PIECE: usize = 3840;

/// The longest sled value that this crate may write.
pub(crate) const MAX_PHYSICAL: usize = 4096;

/// Where the manifest stands in sled: below all trees.
pub(crate) const MANIFEST_KEY: &[u8] = &[0];

const VERSION: u8 = 1;
const CHECK: usize = 8;
const PIECES_FLAG: u8 = 0x80;

/// The head of a record, parsed.
pub(crate) struct Head {
    /// `Some` for a sealed record.
    pub(crate) epoch: Option<EpochId>,
    /// Number of the manifest that it was written with.
    pub(crate) sequence: u64,
    /// Length of the whole body.
    pub(crate) length: usize,
    /// Sled values that the body takes, the head included.
    pub(crate) pieces: u16,
    /// The first piece.
    pub(crate) body: Vec<u8>,
}

/// Splits a body into sled entries.
pub(crate) fn encode(
    tree: Tree,
    key: &[u8],
    epoch: Option<&EpochId>,
    sequence: u64,
    body: &[u8],
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pieces = u16::try_from(body.len().div_ceil(PIECE).max(1))
        .expect("a value of at most MAX_VALUE has at most 1093 pieces");
    let (first, rest) = body.split_at(body.len().min(PIECE));
    let mut head = vec![VERSION, if epoch.is_some() { 2 } else { 1 }];
    head.extend_from_slice(&(body.len() as u32).to_be_bytes());
    head.extend_from_slice(&pieces.to_be_bytes());
    head.extend_from_slice(&sequence.to_be_bytes());
    if let Some(epoch) = epoch {
        head.push(epoch.as_bytes().len() as u8);
        head.extend_from_slice(epoch.as_bytes());
    }
    head.extend_from_slice(first);
    let mut out = vec![with_check(head_key(tree, key), head)];
    for (number, piece) in (1..).zip(rest.chunks(PIECE)) {
        out.push(with_check(piece_key(tree, key, number), piece.to_vec()));
    }
    out
}

/// Parses the head of a record whose check has been compared.
pub(crate) fn decode_head(value: &[u8]) -> Option<Head> {
    let mut r = Reader::new(value.get(..value.len().checked_sub(CHECK)?)?);
    if r.u8()? != VERSION {
        return None;
    }
    let kind = r.u8()?;
    let length = r.u32()? as usize;
    let pieces = r.u16()?;
    let sequence = r.u64()?;
    let epoch = match kind {
        1 => None,
        2 => {
            let len = usize::from(r.u8()?);
            Some(EpochId::new(r.take(len)?).ok()?)
        }
        _ => return None,
    };
    let body = r.rest().to_vec();
    let fits = length <= MAX_VALUE + SEAL_OVERHEAD
        && usize::from(pieces) == length.div_ceil(PIECE).max(1)
        && body.len() == length.min(PIECE);
    fits.then_some(Head { epoch, sequence, length, pieces, body })
}

/// The body of a piece whose check has been compared.
pub(crate) fn decode_piece(value: &[u8]) -> Option<&[u8]> {
    value.get(..value.len().checked_sub(CHECK)?)
}

/// A physical record's leaf in the manifest's tree, if its check matches.
pub(crate) fn leaf(key: &[u8], value: &[u8]) -> Option<[u8; 32]> {
    let (body, check) = value.split_last_chunk::<CHECK>()?;
    let leaf = leaf_of(key, body);
    (leaf[..CHECK] == *check).then_some(leaf)
}

pub(crate) fn head_key(tree: Tree, key: &[u8]) -> Vec<u8> {
    [&[tree as u8], key].concat()
}

pub(crate) fn piece_key(tree: Tree, key: &[u8], number: u16) -> Vec<u8> {
    let len = u16::try_from(key.len()).expect("a key has at most 256 bytes");
    [&[PIECES_FLAG | tree as u8] as &[u8], &len.to_be_bytes(), key, &number.to_be_bytes()].concat()
}

/// The tree and key of a head; `None` for pieces and anything else.
pub(crate) fn split_head_key(physical: &[u8]) -> Option<(Tree, &[u8])> {
    let (tree, key) = physical.split_first()?;
    Some((Tree::from_byte(*tree)?, key))
}

/// What a physical key is, for messages. Keys are public, but long and not always text.
pub(crate) fn describe(physical: &[u8]) -> String {
    let Some((byte, rest)) = physical.split_first() else { return "a record without key".into() };
    let tree =
        Tree::from_byte(byte & !PIECES_FLAG).map_or("unknown tree".into(), |t| t.to_string());
    let part = if byte & PIECES_FLAG == 0 { "record" } else { "piece of a record" };
    let shown: String = rest.iter().take(48).map(|b| format!("{b:02x}")).collect();
    format!("{part} {shown} in {tree}")
}

fn with_check(key: Vec<u8>, mut value: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let leaf = leaf_of(&key, &value);
    value.extend_from_slice(&leaf[..CHECK]);
    assert!(value.len() <= MAX_PHYSICAL, "a sled value of {} bytes would be a blob", value.len());
    (key, value)
}

fn leaf_of(key: &[u8], body: &[u8]) -> [u8; 32] {
    sha256(Label::STORE_LEAF, &[key, body])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_splits_and_joins() {
        let epoch = EpochId::new([7; 96]).unwrap();
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 5] {
            let body: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let entries = encode(Tree::Secrets, &[9; 256], Some(&epoch), 5, &body);
            assert!(entries.iter().all(|(k, v)| v.len() <= MAX_PHYSICAL && leaf(k, v).is_some()));
            let head = decode_head(&entries[0].1).unwrap();
            assert_eq!((head.length, head.sequence, head.epoch), (len, 5, Some(epoch.clone())));
            assert_eq!(usize::from(head.pieces), entries.len());
            let mut joined = head.body;
            entries[1..].iter().for_each(|(_, v)| joined.extend(decode_piece(v).unwrap()));
            assert_eq!(joined, body);
        }
    }

    #[test]
    fn a_record_is_pinned() {
        let epoch = EpochId::new(*b"e1").unwrap();
        let [(key, value)]: [_; 1] =
            encode(Tree::Secrets, b"k", Some(&epoch), 5, b"body").try_into().unwrap();
        let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(&key), "016b");
        let fixed = "01 02 00000004 0001 0000000000000005 02 6531 626f6479".replace(' ', "");
        assert_eq!(hex(&value[..value.len() - CHECK]), fixed);
        assert_eq!(hex(&value[value.len() - CHECK..]), "27e5a21dfd0a967a");
    }

    #[test]
    fn a_changed_record_loses_its_check() {
        let [(key, value)]: [_; 1] = encode(Tree::Orders, b"k", None, 1, b"v").try_into().unwrap();
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert!(leaf(&key, &changed).is_none());
        }
        assert!(leaf(b"\x03j", &value).is_none());
    }
}
