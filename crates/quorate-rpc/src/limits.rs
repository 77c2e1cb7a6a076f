//! What a server takes, and for how long. tonic's defaults leave most of this open.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::sync::Semaphore;

/// Largest message of a request or its answer: 1 MiB of items (DESIGN.md 4.4) and their
/// heads and signatures.
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024 + 64 * 1024;

/// Largest message of a ceremony step: bundles of 64 keys times 64 dealings of some
/// 4 KiB each, with certificates. Only for ports and peers that the roster names.
pub const MAX_CEREMONY_BYTES: usize = 16 * 1024 * 1024;

/// Limits of one listening port. Every field has a default that suits a node in
/// production; tests and demonstrations shorten some.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections, handshakes included. Each costs a descriptor and up to
    /// `connection_window` of memory. Further ones are closed at once.
    pub max_connections: usize,
    /// Handshakes under way. A handshake is the only work that a stranger can cause.
    pub max_handshakes: usize,
    /// Connections from one IPv4 address or one IPv6 /64.
    pub max_per_ip: usize,
    /// The same for loopback addresses: whole clusters run on one machine.
    pub max_per_loopback: usize,
    /// Connections that prove the same key.
    pub max_per_identity: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From the handshake to the last byte of the HTTP/2 preface. Keepalive pings start
    /// only after it, so without this a silent peer stays for ever.
    pub preface_timeout: Duration,
    /// Requests at once on one connection: 64 for clients, 16 is enough for peers.
    pub max_streams: u32,
    /// Streams reset by us for the peer's errors before the connection is ended.
    pub max_local_resets: usize,
    /// Streams opened and reset by the peer before we saw them (rapid reset,
    /// CVE-2023-44487) before the connection is ended.
    pub max_pending_resets: usize,
    /// Bytes of all headers of a request, decoded.
    pub max_header_bytes: u32,
    /// Unread bytes that one request may have under way.
    pub stream_window: u32,
    /// Unread bytes that one connection may have under way.
    pub connection_window: u32,
    /// Silence after which a peer is pinged.
    pub keepalive_interval: Duration,
    /// How long it may take to answer.
    pub keepalive_timeout: Duration,
    /// Age at which a connection is asked to end; so a key that has left the roster
    /// does not stay connected.
    pub max_age: Duration,
    /// After `max_age`: how long requests under way may take until the connection is cut.
    pub max_age_grace: Duration,
    /// Longest time limit of any class; also holds for services without a class.
    pub request_timeout: Duration,
    /// After a shutdown has begun: how long requests under way may take.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_handshakes: 256,
            max_per_ip: 16,
            max_per_loopback: 256,
            max_per_identity: 16,
            handshake_timeout: Duration::from_secs(3),
            preface_timeout: Duration::from_secs(5),
            max_streams: 64,
            max_local_resets: 256,
            max_pending_resets: 20,
            max_header_bytes: 8192,
            stream_window: 256 * 1024,
            connection_window: 1024 * 1024,
            keepalive_interval: Duration::from_secs(15),
            keepalive_timeout: Duration::from_secs(5),
            max_age: Duration::from_secs(30 * 60),
            max_age_grace: Duration::from_secs(30),
            request_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// A class of requests with a limit of its own over all connections, so that one class
/// never starves another. Clones share the limit: give one class to several services.
#[derive(Debug, Clone)]
pub struct Class {
    pub(crate) name: &'static str,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) waiting: Arc<Semaphore>,
    pub(crate) max_wait: Duration,
    pub(crate) time_limit: Duration,
    pub(crate) shed: Arc<AtomicU64>,
}

impl Class {
    /// A class that has `in_flight` requests under way at most, lets as many again wait
    /// for `max_wait`, refuses all others at once with `RESOURCE_EXHAUSTED`, and ends each
    /// after `time_limit` with `DEADLINE_EXCEEDED`.
    ///
    /// A handler that is ended is dropped at an await: state changes belong in a task.
    #[must_use]
    pub fn new(
        name: &'static str,
        in_flight: usize,
        max_wait: Duration,
        time_limit: Duration,
    ) -> Self {
        let semaphore = || Arc::new(Semaphore::new(in_flight));
        Self {
            name,
            permits: semaphore(),
            waiting: semaphore(),
            max_wait,
            time_limit,
            shed: Arc::default(),
        }
    }

    /// Uses of keys: work for the processor. `in_flight` should be a small multiple of
    /// the cores; what waited 50 ms is refused.
    #[must_use]
    pub fn requests(in_flight: usize) -> Self {
        Self::new("requests", in_flight, Duration::from_millis(50), Duration::from_secs(2))
    }

    /// Ceremony steps and orders: few, large, flushed to disk; a reserve of 16.
    #[must_use]
    pub fn ceremony() -> Self {
        Self::new("ceremony", 16, Duration::from_secs(1), Duration::from_secs(60))
    }

    /// Status, health, records: cheap, and answered under overload too.
    #[must_use]
    pub fn status() -> Self {
        Self::new("status", 64, Duration::from_millis(50), Duration::from_secs(5))
    }
}

/// The process may open too few files for its limits.
#[derive(Debug, thiserror::Error)]
#[error(
    "the limit of open files is {soft}, {needed} are needed: raise it (ulimit -n, or \
     LimitNOFILE= in the systemd unit), or lower the limit of connections"
)]
pub struct DescriptorError {
    soft: u64,
    needed: u64,
}

/// Checks at start that the process may open a descriptor for each connection of its
/// ports, and `others` (store, logs, connections that it opens itself).
///
/// # Errors
/// [`DescriptorError`] with the number needed.
pub fn check_descriptors(ports: &[&Limits], others: u64) -> Result<(), DescriptorError> {
    let connections: u64 = ports.iter().map(|l| l.max_connections as u64).sum();
    let needed = connections.saturating_add(others);
    let soft = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match soft {
        Some(soft) if soft < needed => Err(DescriptorError { soft, needed }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_descriptors_are_found_at_start() {
        assert!(check_descriptors(&[], 8).is_ok());
        let greedy = Limits { max_connections: usize::MAX / 2, ..Limits::default() };
        // An unlimited process has no such bound to find.
        if rustix::process::getrlimit(rustix::process::Resource::Nofile).current.is_some() {
            let text = check_descriptors(&[&greedy], 0).unwrap_err().to_string();
            assert!(text.contains("LimitNOFILE"), "{text}");
        }
    }
}
