//! The protobuf codec, which tells a caller's malformed message from a bug.
//!
//! tonic answers `INTERNAL` to bytes that do not parse. The caller is at fault, so the
//! server says `INVALID_ARGUMENT`; but the same code on a client must not: a peer that
//! answers garbage is broken, and asking another one helps. So the decoder only marks the
//! status, and the [`Gate`](crate::gate) translates the mark on the way out.

use http::{HeaderMap, HeaderValue};
use prost::Message;
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
        // prost's text names fields and rules, not the bytes that broke them.
        U::decode(bytes).map(Some).map_err(|error| {
            let mut status = Status::internal(format!("malformed message: {error}"));
            status.metadata_mut().insert(MALFORMED, MetadataValue::from_static("1"));
            status
        })
    }
}

/// Turns a marked status into `INVALID_ARGUMENT`.
pub(crate) fn blame_sender(headers: &mut HeaderMap) {
    if headers.remove(MALFORMED).is_some() {
        headers.insert(Status::GRPC_STATUS, HeaderValue::from(Code::InvalidArgument as i32));
    }
}

const MALFORMED: &str = "quorate-malformed";
