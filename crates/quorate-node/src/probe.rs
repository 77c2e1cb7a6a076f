//! Asking one's own node over its own port, with its own key: for container health checks
//! and for people at the machine.

use crate::{
    config::Config,
    kek::{self, KekError},
};
use quorate_rpc::{
    Channel, Deadline, DialOptions, Dialer, EndpointError, Fault, MAX_REQUEST_BYTES, TlsError,
    bounded,
    v1::{NodeHealth, NodeStatusRequest, node_client::NodeClient},
};
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use thiserror::Error;

/// How long the node may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why the node did not answer.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The key-encryption key or the identity.
    #[error(transparent)]
    Kek(#[from] KekError),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No address.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No answer.
    #[error("{0}")]
    Fault(#[from] Fault),
}

/// What the node that listens here says of itself.
///
/// # Errors
/// [`ProbeError`]; also if another key answers at the address.
pub async fn status(config: &Config) -> Result<NodeHealth, ProbeError> {
    let identity = kek::open_identity(&config.identity, &kek::load(&config.kek)?)?;
    let address = reachable(config.listen).to_string();
    let options = DialOptions { connect_timeout: PATIENCE, ..DialOptions::default() };
    let dialer = Dialer::new(&identity, options)?;
    let channel: Channel = dialer.channel(&address, identity.public())?;
    let mut node = bounded!(NodeClient::new(channel), MAX_REQUEST_BYTES);
    let request = Deadline::after(PATIENCE).request(NodeStatusRequest {})?;
    let answer = node.status(request).await.map_err(Fault::from)?;
    Ok(answer.into_inner())
}

/// A node that listens everywhere is asked at home.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen {
        SocketAddr::V4(a) if a.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(a) if a.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other.ip(),
    };
    SocketAddr::new(ip, listen.port())
}
