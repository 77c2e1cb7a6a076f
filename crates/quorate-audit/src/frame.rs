//! A batch of leaves as it is stored.
//!
//! ```text
//! "QADF" ‖ version u16 ‖ first index u64 ‖ count u32 ‖ payload length u32
//!   ‖ payload: count × (length u32 ‖ leaf) ‖ head after 32 ‖ check 8
//! ```
//!
//! The check is the first 8 bytes of SHA-256 over everything before it. It tells a torn write from
//! a whole one without the log before it; it is no protection against anybody. The head is.

use crate::chain::{AuditError, Chain, MAX_BATCH_BYTES, MAX_BATCH_LEAVES, MAX_LEAF, check_batch};
use sha2::{Digest, Sha256};

/// Bytes before the payload.
pub const HEADER_LEN: usize = 4 + 2 + 8 + 4 + 4;

/// The longest frame, in bytes.
pub const MAX_FRAME: usize = HEADER_LEN + MAX_BATCH_BYTES + 4 * MAX_BATCH_LEAVES + TRAILER_LEN;

/// Why stored bytes are not the next frame of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end within a frame.
    #[error("the bytes end within a frame: {needed} bytes are needed, {got} are there")]
    Short {
        /// Bytes that this frame has, as far as known.
        needed: usize,
        /// Bytes that are there.
        got: usize,
    },
    /// Not a frame, or a changed one.
    #[error("not a whole frame: {0}")]
    Broken(&'static str),
    /// A frame of another version.
    #[error("a frame of version {got}, this program reads version {VERSION}")]
    Version {
        /// The version.
        got: u16,
    },
    /// A whole frame that does not continue this log.
    #[error("a whole frame that does not continue the log: {0}")]
    Chain(&'static str),
}

/// A frame that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Index of the first leaf.
    pub first: u64,
    /// The leaves.
    pub leaves: Vec<Vec<u8>>,
    /// The log's head after these leaves, as stored.
    pub head: [u8; 32],
    /// Bytes that the frame takes.
    pub len: usize,
}

impl Frame {
    /// Appends the leaves to the log and gives the frame to store.
    ///
    /// # Errors
    /// A limit of [`check_batch`]; the chain is then untouched.
    pub fn append(chain: &mut Chain, leaves: &[Vec<u8>]) -> Result<Vec<u8>, AuditError> {
        check_batch(leaves)?;
        let payload: usize = leaves.iter().map(|l| 4 + l.len()).sum();
        let mut out = Vec::with_capacity(HEADER_LEN + payload + TRAILER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&chain.length().to_be_bytes());
        out.extend_from_slice(&(leaves.len() as u32).to_be_bytes());
        out.extend_from_slice(&(payload as u32).to_be_bytes());
        for leaf in leaves {
            out.extend_from_slice(&(leaf.len() as u32).to_be_bytes());
            out.extend_from_slice(leaf);
            chain.append(leaf);
        }
        out.extend_from_slice(chain.head());
        let check = check_of(&out);
        out.extend_from_slice(&check);
        Ok(out)
    }

    /// Reads the frame at the start of `bytes` and appends it to the log.
    ///
    /// # Errors
    /// [`FrameError`]; the chain is then untouched.
    pub fn verify(chain: &mut Chain, bytes: &[u8]) -> Result<Self, FrameError> {
        let frame = Self::read(bytes)?;
        if frame.first != chain.length() {
            return Err(FrameError::Chain("its first index is not the log's length"));
        }
        let mut next = chain.clone();
        for leaf in &frame.leaves {
            next.append(leaf);
        }
        if *next.head() != frame.head {
            return Err(FrameError::Chain("its head is not the log's head after its entries"));
        }
        *chain = next;
        Ok(frame)
    }

    /// Reads the frame at the start of `bytes` by its check alone: for a log whose chain has been
    /// verified before.
    ///
    /// # Errors
    /// [`FrameError`], but never [`FrameError::Chain`].
    pub fn read(bytes: &[u8]) -> Result<Self, FrameError> {
        let header = Header::read(bytes)?;
        let len = header.frame_len();
        let whole = bytes.get(..len).ok_or(FrameError::Short { needed: len, got: bytes.len() })?;
        let broken = FrameError::Broken("its check does not match its bytes");
        let (body, check) = whole.split_last_chunk::<8>().ok_or(broken)?;
        if check_of(body) != *check {
            return Err(broken);
        }
        let (body, head) = body.split_last_chunk::<32>().ok_or(broken)?;
        let leaves = leaves_of(&body[HEADER_LEN..], header.count)?;
        Ok(Self { first: header.first, leaves, head: *head, len })
    }
}

/// Verifies a run of whole frames; gives the number of frames.
///
/// # Errors
/// The first frame that does not continue the log; the chain then stands before it.
pub fn verify(chain: &mut Chain, mut bytes: &[u8]) -> Result<usize, FrameError> {
    let mut frames = 0;
    while !bytes.is_empty() {
        let frame = Frame::verify(chain, bytes)?;
        bytes = &bytes[frame.len..];
        frames += 1;
    }
    Ok(frames)
}

/// Whether a whole frame (by its check alone) starts anywhere in `bytes`: then what stands before it is no
/// torn tail, because a frame is only written after the one before it is durable.
#[must_use]
pub fn finds_frame(bytes: &[u8]) -> bool {
    let starts = bytes.windows(MAGIC.len()).enumerate().filter(|(_, w)| *w == MAGIC);
    // A hostile tail of magics could make each start hash a megabyte: bounded work.
    let mut budget = 8 * MAX_FRAME;
    for (at, _) in starts {
        let rest = &bytes[at..];
        let Ok(header) = Header::read(rest) else { continue };
        let len = header.frame_len();
        let Some(whole) = rest.get(..len) else { continue };
        if len > budget {
            return true; // Not what a torn write leaves: call it a frame, which is refused.
        }
        budget -= len;
        if check_of(&whole[..len - 8]) == whole[len - 8..] {
            return true;
        }
    }
    false
}

struct Header {
    first: u64,
    count: usize,
    payload: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, FrameError> {
        let short = FrameError::Short { needed: HEADER_LEN, got: bytes.len() };
        let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(short)?;
        if &header[..4] != MAGIC {
            return Err(FrameError::Broken("it does not begin with the mark of a frame"));
        }
        let version = u16::from_be_bytes([header[4], header[5]]);
        if version != VERSION {
            return Err(FrameError::Version { got: version });
        }
        let word = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let first = u64::from(word(6)) << 32 | u64::from(word(10));
        let (count, payload) = (word(14) as usize, word(18) as usize);
        if count == 0 || count > MAX_BATCH_LEAVES {
            return Err(FrameError::Broken("its number of entries is out of range"));
        }
        if payload < 4 * count || payload > MAX_BATCH_BYTES + 4 * count {
            return Err(FrameError::Broken("its length is out of range"));
        }
        Ok(Self { first, count, payload })
    }

    fn frame_len(&self) -> usize {
        HEADER_LEN + self.payload + TRAILER_LEN
    }
}

fn leaves_of(mut payload: &[u8], count: usize) -> Result<Vec<Vec<u8>>, FrameError> {
    let broken = FrameError::Broken("its entries do not fill its length");
    let mut leaves = Vec::with_capacity(count);
    for _ in 0..count {
        let (len, rest) = payload.split_first_chunk::<4>().ok_or(broken)?;
        let len = u32::from_be_bytes(*len) as usize;
        if len > MAX_LEAF {
            return Err(FrameError::Broken("an entry is too long"));
        }
        let leaf = rest.get(..len).ok_or(broken)?;
        leaves.push(leaf.to_vec());
        payload = &rest[len..];
    }
    if payload.is_empty() { Ok(leaves) } else { Err(broken) }
}

fn check_of(bytes: &[u8]) -> [u8; 8] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    let mut check = [0; 8];
    check.copy_from_slice(&hash[..8]);
    check
}

const MAGIC: &[u8] = b"QADF";
const VERSION: u16 = 1;
const TRAILER_LEN: usize = 32 + 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(batches: &[&[&str]]) -> (Chain, Vec<Vec<u8>>) {
        let mut chain = Chain::new();
        let to_leaves = |b: &[&str]| b.iter().map(|l| l.as_bytes().to_vec()).collect::<Vec<_>>();
        let stored =
            batches.iter().map(|b| Frame::append(&mut chain, &to_leaves(b)).unwrap()).collect();
        (chain, stored)
    }

    #[test]
    fn a_log_reads_back_with_the_same_head() {
        let (written, stored) = frames(&[&["a", "", "bc"], &["d"], &["e", "f"]]);
        let mut read = Chain::new();
        assert_eq!(verify(&mut read, &stored.concat()), Ok(3));
        assert_eq!(read, written);
        assert_eq!(read.length(), 6);
    }

    #[test]
    fn every_single_bit_flip_is_refused() {
        let (_, stored) = frames(&[&["a", "bc"], &["d"]]);
        let bytes = stored.concat();
        for bit in 0..bytes.len() * 8 {
            let mut edited = bytes.clone();
            edited[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&mut Chain::new(), &edited).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn an_edit_with_a_corrected_check_is_refused_by_the_chain() {
        let (_, stored) = frames(&[&["pay 1"], &["pay 2"]]);
        let mut edited = stored[0].clone();
        edited[HEADER_LEN + 4 + 4] = b'9';
        let end = edited.len() - 8;
        let check = check_of(&edited[..end]);
        edited[end..].copy_from_slice(&check);
        assert!(matches!(Frame::verify(&mut Chain::new(), &edited), Err(FrameError::Chain(_))));

        // Even a wholly rewritten first frame does not carry the second.
        let (_, forged) = frames(&[&["pay 9"]]);
        let log = [forged[0].clone(), stored[1].clone()].concat();
        let mut chain = Chain::new();
        assert!(matches!(verify(&mut chain, &log), Err(FrameError::Chain(_))));
        assert_eq!(chain.length(), 1);
    }

    #[test]
    fn reordered_repeated_and_dropped_frames_are_refused() {
        let (_, s) = frames(&[&["a"], &["b"], &["c"]]);
        for order in [[0, 2, 1], [1, 0, 2], [0, 0, 1], [0, 2, 2]] {
            let log: Vec<u8> = order.iter().flat_map(|i| s[*i].clone()).collect();
            assert!(verify(&mut Chain::new(), &log).is_err(), "{order:?}");
        }
    }

    #[test]
    fn a_cut_within_a_frame_is_refused_and_a_cut_between_frames_shows_in_the_head() {
        let (whole, s) = frames(&[&["a"], &["b", "c"]]);
        let log = s.concat();
        for cut in 0..log.len() {
            let mut chain = Chain::new();
            let result = verify(&mut chain, &log[..cut]);
            assert_eq!(result.is_ok(), cut == 0 || cut == s[0].len(), "cut {cut}");
            assert_ne!(chain.head(), whole.head(), "cut {cut}");
        }
    }

    #[test]
    fn a_lost_frame_in_the_middle_is_not_taken_for_a_torn_tail() {
        let (_, s) = frames(&[&["a"], &["b"]]);
        let mut tail = s.concat();
        tail[HEADER_LEN] ^= 1;
        assert!(finds_frame(&tail));
        assert!(!finds_frame(&tail[..s[0].len()]));
        assert!(!finds_frame(&[0; 4096]));
    }

    #[test]
    fn limits_hold_and_leave_the_log_untouched() {
        let mut chain = Chain::new();
        for leaves in [
            vec![],
            vec![vec![0; MAX_LEAF + 1]],
            vec![vec![]; MAX_BATCH_LEAVES + 1],
            vec![vec![0; MAX_LEAF]; 17],
        ] {
            assert!(Frame::append(&mut chain, &leaves).is_err());
            assert_eq!(chain, Chain::new());
        }
        let largest = vec![vec![7; MAX_LEAF]; 16];
        let frame = Frame::append(&mut chain, &largest).unwrap();
        assert!(frame.len() <= MAX_FRAME);
        assert_eq!(Frame::verify(&mut Chain::new(), &frame).unwrap().leaves, largest);
    }

    #[test]
    fn the_frame_is_pinned() {
        let (_, s) = frames(&[&["one", "two"]]);
        let hex: String = s[0].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, PIN);
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut hostile = MAGIC.to_vec();
            hostile.extend_from_slice(&VERSION.to_be_bytes());
            hostile.extend_from_slice(&bytes);
            prop_assert!(verify(&mut Chain::new(), &hostile).is_err());
            let _ = finds_frame(&hostile);
        }
    }

    const PIN: &str = concat!(
        "51414446",
        "0001",
        "0000000000000000",
        "00000002",
        "0000000e",
        "00000003",
        "6f6e65",
        "00000003",
        "74776f",
        "158953bcbe5ceec9e37f75b9d5bb436372fa61767848ffe4bcaf26ab5456914d",
        "48eb2749cfe42a9d",
    );
}
