//! The protobuf codec, which tells a caller's malformed message from a bug.
//!
//! tonic answers `INTERNAL` to bytes that do not parse. The caller is at fault, so the
//! server says `INVALID_ARGUMENT`; but the same code on a client must not: a peer that
//! answers garbage is broken, and asking another one helps. So the decoder only marks the
//! status, and the [`Gate`](crate::gate) translates the mark on the way out.

use http::{HeaderMap, HeaderValue};
use prost::{Message, bytes::Buf, encoding::decode_varint};
use std::marker::PhantomData;
use tonic::{
    Code, Status,
    codec::{Codec, DecodeBuf, Decoder},
    metadata::MetadataValue,
};
use tonic_prost::ProstEncoder;

/// As `tonic_prost::ProstCodec`, with our [`Decoder`]. Named by the generated code only.
#[derive(Debug, Clone)]
pub(crate) struct ProtoCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for ProtoCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for ProtoCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProtoDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProtoDecoder(PhantomData)
    }
}

/// Decodes one message, and marks a failure as the sender's.
#[derive(Debug, Clone)]
pub(crate) struct ProtoDecoder<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for ProtoDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // tonic gathers a message in one piece, so its first chunk is all of it.
        if exceeds(bytes.chunk(), MAX_FIELDS) {
            return Err(malformed(&format!("more than {MAX_FIELDS} fields")));
        }
        // prost's text names fields and rules, not the bytes that broke them.
        U::decode(bytes).map(Some).map_err(|error| malformed(&error.to_string()))
    }
}

/// Fields of one message. An empty item takes two bytes on the wire and a dozen times as
/// many in memory; no message of ours has more than a thousand or two.
const MAX_FIELDS: usize = 8192;

/// Whether there are more top-level fields. Whatever does not parse is prost's to refuse.
fn exceeds(mut bytes: &[u8], max: usize) -> bool {
    for _ in 0..=max {
        if bytes.is_empty() {
            return false;
        }
        let Ok(key) = decode_varint(&mut bytes) else { return false };
        let skip = match key & 7 {
            0 => decode_varint(&mut bytes).map(|_| 0),
            1 => Ok(8),
            2 => decode_varint(&mut bytes),
            5 => Ok(4),
            // The ends of a group; the fields within are counted like the others.
            _ => Ok(0),
        };
        let skip = skip.ok().and_then(|skip| usize::try_from(skip).ok());
        let Some(rest) = skip.and_then(|skip| bytes.get(skip..)) else { return false };
        bytes = rest;
    }
    true
}

fn malformed(why: &str) -> Status {
    let mut status = Status::internal(format!("malformed message: {why}"));
    status.metadata_mut().insert(MALFORMED, MetadataValue::from_static("1"));
    status
}

/// Turns a marked status into `INVALID_ARGUMENT`.
pub(crate) fn blame_sender(headers: &mut HeaderMap) {
    if headers.remove(MALFORMED).is_some() {
        headers.insert(Status::GRPC_STATUS, HeaderValue::from(Code::InvalidArgument as i32));
    }
}

const MALFORMED: &str = "quorate-malformed";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::NodeEvaluateRequest;

    #[test]
    fn fields_are_counted_by_the_wire() {
        let of = |count| NodeEvaluateRequest { items: vec![vec![]; count], ..Default::default() };
        assert!(!exceeds(&of(10).encode_to_vec(), 10));
        assert!(exceeds(&of(11).encode_to_vec(), 10));
        let large = NodeEvaluateRequest { items: vec![vec![0x0a; 1000]; 9], ..Default::default() };
        assert!(!exceeds(&large.encode_to_vec(), 10));
        // Behind the start of a group, an unknown varint, 64 and 32 bits.
        let hidden: [&[u8]; 4] =
            [&[0x7b], &[0x78, 1], &[0x79, 0, 0, 0, 0, 0, 0, 0, 0], &[0x7d, 0, 0, 0, 0]];
        for first in hidden {
            let bytes = [first, &of(10).encode_to_vec()].concat();
            assert!(exceeds(&bytes, 10), "{first:02x?}");
            assert!(!exceeds(&bytes, 11), "{first:02x?}");
        }
        for cut in [&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0x0a], &[0xff; 20], &[]] {
            assert!(!exceeds(cut, 10));
        }
    }
}
