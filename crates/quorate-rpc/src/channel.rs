//! Dialling a roster entry: an address to try, and the key that must answer there.

use crate::{
    status::FaultKind,
    tls::{ALPN, TlsError, TlsIdentity},
};
use hyper_util::rt::TokioIo;
use quorate_crypto::{IdentityKey, PublicKey};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// Why an endpoint cannot be dialled at all.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Not an address.
    #[error("{0:?} is no endpoint: write host:port, an IPv6 address as [address]:port")]
    Syntax(String),
    /// No TLS configuration.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name does not resolve, nobody listens, no route.
    #[error("no connection to {endpoint}: {error}")]
    Connect {
        /// What was dialled.
        endpoint: String,
        /// What the system says.
        error: io::Error,
    },
    /// Somebody answers who cannot prove the key: another node, or none of the cluster's.
    #[error("{endpoint} does not prove the key {expected} that the roster names: {error}")]
    WrongPeer {
        /// What was dialled.
        endpoint: String,
        /// The roster's key for it.
        expected: PublicKey,
        /// What rustls says.
        error: rustls::Error,
    },
    /// No TLS with this peer, for another reason.
    #[error("no TLS with {endpoint}: {error}")]
    Handshake {
        /// What was dialled.
        endpoint: String,
        /// What went wrong.
        error: io::Error,
    },
    /// The peer does not speak HTTP/2.
    #[error("{0} did not agree on HTTP/2: is it a Quorate port?")]
    Protocol(String),
    /// Too slow.
    #[error("no connection to {endpoint} within {within:?}")]
    TimedOut {
        /// What was dialled.
        endpoint: String,
        /// The connect timeout.
        within: Duration,
    },
}

impl DialError {
    /// Its kind as a fault.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::WrongPeer { .. } => FaultKind::WrongPeer,
            _ => FaultKind::Unavailable,
        }
    }
}

/// How to dial. The defaults suit nodes on several continents.
#[derive(Debug, Clone)]
pub struct DialOptions {
    /// Name resolution, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Silence after which the peer is pinged, also when no call is under way: a dead
    /// path is found before the next request needs it.
    pub keepalive_interval: Duration,
    /// How long it may take to answer.
    pub keepalive_timeout: Duration,
    /// How long what was sent may stay without the peer's acknowledgement. Then the connection is
    /// given up and the next call dials anew. TCP itself doubles its pauses: left alone, it
    /// finds out as long after a partition has healed as it lasted.
    pub unacknowledged: Duration,
    /// Unread bytes of one answer under way.
    pub stream_window: u32,
    /// Unread bytes of all answers under way.
    pub connection_window: u32,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            keepalive_interval: Duration::from_secs(15),
            keepalive_timeout: Duration::from_secs(5),
            unacknowledged: Duration::from_secs(5),
            stream_window: 1024 * 1024,
            connection_window: 4 * 1024 * 1024,
        }
    }
}

/// Dials with one identity of ours.
#[derive(Debug, Clone)]
pub struct Dialer {
    identity: TlsIdentity,
    options: DialOptions,
}

impl Dialer {
    /// A dialler that proves `identity` to every peer.
    ///
    /// # Errors
    /// [`TlsError`]: our bug or a broken build.
    pub fn new(identity: &IdentityKey, options: DialOptions) -> Result<Self, TlsError> {
        Ok(Self { identity: TlsIdentity::new(identity)?, options })
    }

    /// The key that it proves.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.identity.public()
    }

    /// A channel to `host:port` (or `https://host:port`) that talks only to the holder of
    /// `expected`. It connects at the first call and again whenever the connection is
    /// lost. Connecting does not count against a call's `grpc-timeout`: wrap calls in a
    /// timeout of your own, as `quorate-quorum` does.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn channel(&self, endpoint: &str, expected: PublicKey) -> Result<Channel, EndpointError> {
        let target = Target::parse(endpoint)?;
        let syntax = || EndpointError::Syntax(endpoint.to_owned());
        let origin = format!("https://{}", target.authority());
        let dialled = Endpoint::from_shared(origin)
            .map_err(|_| syntax())?
            .tcp_nodelay(true)
            .http2_adaptive_window(false)
            .initial_stream_window_size(self.options.stream_window)
            .initial_connection_window_size(self.options.connection_window)
            .http2_keep_alive_interval(self.options.keepalive_interval)
            .keep_alive_timeout(self.options.keepalive_timeout)
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(ANSWER_HEADER_BYTES);

        let config = Arc::new(self.identity.client_config(expected)?);
        let (within, unacknowledged) = (self.options.connect_timeout, self.options.unacknowledged);
        let dial = Arc::new(Dial { target, expected, within, unacknowledged, config });
        let connector = service_fn(move |_: http::Uri| {
            let dial = Arc::clone(&dial);
            Box::pin(async move { dial.connect().await.map(TokioIo::new) }) as Connecting
        });
        Ok(dialled.connect_with_connector_lazy(connector))
    }
}

type Connecting =
    Pin<Box<dyn Future<Output = Result<TokioIo<TlsStream<TcpStream>>, DialError>> + Send>>;

/// Trailers of an answer: a status, its message, a pause.
const ANSWER_HEADER_BYTES: u32 = 16 * 1024;

struct Dial {
    target: Target,
    expected: PublicKey,
    within: Duration,
    unacknowledged: Duration,
    config: Arc<ClientConfig>,
}

impl Dial {
    async fn connect(&self) -> Result<TlsStream<TcpStream>, DialError> {
        let timed_out =
            |_| DialError::TimedOut { endpoint: self.target.authority(), within: self.within };
        timeout(self.within, self.handshake()).await.map_err(timed_out)?
    }

    async fn handshake(&self) -> Result<TlsStream<TcpStream>, DialError> {
        let endpoint = || self.target.authority();
        let tcp = TcpStream::connect((&*self.target.host, self.target.port))
            .await
            .map_err(|error| DialError::Connect { endpoint: endpoint(), error })?;
        // Only latency is lost if this fails.
        let _ = tcp.set_nodelay(true);
        // Without it a dead path is found by the keep-alive, later.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&tcp).set_tcp_user_timeout(Some(self.unacknowledged));
        // rustls wants a name; the verifier looks at the key only, and none is sent.
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into());
        let tls = TlsConnector::from(Arc::clone(&self.config))
            .connect(name, tcp)
            .await
            .map_err(|error| self.refused(error))?;
        if tls.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(DialError::Protocol(endpoint()));
        }
        Ok(tls)
    }

    /// Tells a peer with another key from a broken connection.
    fn refused(&self, error: io::Error) -> DialError {
        let endpoint = self.target.authority();
        let tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
        match tls {
            Some(error @ rustls::Error::InvalidCertificate(_)) => {
                DialError::WrongPeer { endpoint, expected: self.expected, error: error.clone() }
            }
            _ => DialError::Handshake { endpoint, error },
        }
    }
}

/// `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    /// A name or an address, IPv6 without brackets.
    host: String,
    port: u16,
}

impl Target {
    fn parse(text: &str) -> Result<Self, EndpointError> {
        let syntax = || EndpointError::Syntax(text.chars().take(256).collect());
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let uri: http::uri::Authority = rest.parse().map_err(|_| syntax())?;
        let port = uri.port_u16().filter(|port| *port != 0).ok_or_else(syntax)?;
        let host = uri.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || rest.contains('@') {
            return Err(syntax());
        }
        Ok(Self { host: host.to_owned(), port })
    }

    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_host_and_port() {
        for (text, want) in [
            ("node-1.example:7100", Some("node-1.example:7100")),
            ("https://127.0.0.1:7100", Some("127.0.0.1:7100")),
            ("[::1]:7100", Some("[::1]:7100")),
            ("node-1.example", None),
            ("node-1.example:0", None),
            ("node-1.example:70000", None),
            (":7100", None),
            ("http://node:7100", None),
            ("user@node:7100", None),
            ("node:7100/path", None),
            ("::1:7100:", None),
            ("", None),
        ] {
            let got = Target::parse(text).ok().map(|t| t.authority());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }
}
