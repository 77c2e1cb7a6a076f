//! Quorate's network: generated code, TLS identity, limits, status codes.
//!
//! A peer is its Ed25519 key. Both ends of every connection present a self-signed
//! certificate over that key and prove possession of it (TLS 1.3, hybrid post-quantum key
//! exchange); names, addresses, authorities and validity periods decide nothing. Who may
//! call what is decided above, by [`Peer`].
//!
//! * dial a roster entry: [`Dialer`], [`Deadline`]
//! * serve: [`Server`], [`Limits`], [`Class`], [`bounded!`]
//! * errors on the wire: [`Fault`], the only mapping to and from gRPC status
//! * health checks and reflection: [`describe`]

mod accept;
mod admission;
mod channel;
mod codec;
mod connection;
mod deadline;
pub mod describe;
mod fields;
mod gate;
mod limits;
mod server;
mod status;
mod tls;
mod verify;
mod version;

pub use admission::Stats;
pub use channel::{DialError, DialOptions, Dialer, EndpointError};
pub use connection::Peer;
pub use deadline::{Deadline, HOP_MARGIN, LEAST_USEFUL};
pub use fields::{FieldError, array, array32, array64, index, version};
pub use limits::{
    Class, DescriptorError, Limits, MAX_CEREMONY_BYTES, MAX_REQUEST_BYTES, check_descriptors,
};
pub use server::{ServeError, Server, ServerBuilder, ServerHandle};
pub use status::{Fault, FaultKind, Retry};
pub use tls::{TlsError, TlsIdentity};
pub use verify::Allow;
#[doc(hidden)]
pub use version::danger_speak;

pub use tonic::transport::Channel;

/// Generated from `proto/quorate/v1`: envelopes whose `bytes` fields hold canonical bytes.
#[allow(
    missing_docs,
    unreachable_pub,
    rust_2018_idioms,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used
)]
pub mod v1 {
    tonic::include_proto!("quorate.v1");

    /// The descriptors of these services, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/quorate.v1.bin"));
}

/// Sets the message limit of a generated client or server in both directions:
/// `bounded!(KeysServer::new(keys), MAX_REQUEST_BYTES)`. tonic's own default is 4 MiB in
/// and no limit out. Larger messages are refused with `OUT_OF_RANGE` before they are read.
/// Compression stays off (bombs, and secrets beside attacker's text).
#[macro_export]
macro_rules! bounded {
    ($service:expr, $bytes:expr) => {
        $service.max_decoding_message_size($bytes).max_encoding_message_size($bytes)
    };
}
