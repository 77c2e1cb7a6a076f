//! The accept loop. tonic's own passes EMFILE up and spins, waits for ever for a silent
//! peer, and takes any number of connections.

use crate::{
    admission::{Admission, Admitted},
    connection::{Connection, Peer},
    limits::Limits,
    tls::ALPN,
    verify::key_of,
};
use quorate_crypto::PublicKey;
use std::{
    io::{Error, ErrorKind},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

/// What the loop and its handshakes share.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) tls: TlsAcceptor,
    pub(crate) admission: Arc<Admission>,
    pub(crate) limits: Limits,
    /// Stop accepting; connections may end their requests.
    pub(crate) stop: CancellationToken,
    /// Cut what is left.
    pub(crate) kill: CancellationToken,
    pub(crate) ready: mpsc::Sender<Result<Connection, Error>>,
}

impl Acceptor {
    /// Accepts until stopped, then closes the listening socket.
    pub(crate) async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, addr)) => self.admit(tcp, addr),
                Err(error) => self.pause(&error).await,
            }
        }
    }

    /// Handshakes run in tasks: a slow peer holds up nobody. A refused one is closed at
    /// once, so that it does not wait for a place that it will not get.
    fn admit(&self, tcp: TcpStream, addr: SocketAddr) {
        match self.admission.admit(addr.ip()) {
            Ok(admitted) => {
                let this = self.clone();
                tokio::spawn(async move { this.shake(tcp, addr, admitted).await });
            }
            Err(refused) => tracing::debug!(%addr, %refused, "connection refused"),
        }
    }

    async fn shake(self, tcp: TcpStream, addr: SocketAddr, mut admitted: Admitted) {
        // Small messages in both directions; only latency is lost if this fails.
        let _ = tcp.set_nodelay(true);
        let shaken = tokio::select! {
            () = self.stop.cancelled() => return,
            shaken = timeout(self.limits.handshake_timeout, self.tls.accept(tcp)) => shaken,
        };
        let tls = match shaken {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => {
                tracing::debug!(%addr, %error, "handshake failed");
                return;
            }
            Err(_) => {
                tracing::debug!(%addr, "handshake timed out");
                return;
            }
        };
        let Some(key) = proven_key(&tls) else { return };
        if let Err(refused) = admitted.identify(key) {
            tracing::debug!(%addr, %key, %refused, "connection refused");
            return;
        }
        let peer = Peer { key, addr };
        let connection = Connection::new(tls, peer, admitted, &self.limits, self.kill);
        // The receiver is gone only when the server has stopped.
        let _ = self.ready.send(Ok(connection)).await;
    }

    /// A peer that left in the queue costs nothing; all else (EMFILE, ENFILE, ENOBUFS)
    /// needs a connection to end first.
    async fn pause(&self, error: &Error) {
        self.admission.count_accept_error();
        let gone = [ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset];
        if !gone.contains(&error.kind()) {
            tracing::debug!(%error, "accept failed");
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// After an accept error: long enough not to spin, short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The key of the certificate that the handshake has verified; `None` for a peer that
/// did not agree on HTTP/2.
fn proven_key(tls: &TlsStream<TcpStream>) -> Option<PublicKey> {
    let (_, session) = tls.get_ref();
    if session.alpn_protocol() != Some(ALPN) {
        return None;
    }
    let [certificate] = session.peer_certificates()? else { return None };
    key_of(certificate, &[]).ok()
}
