//! One accepted, authenticated connection, as tonic sees it.

use crate::{admission::Admitted, limits::Limits};
use quorate_crypto::PublicKey;
use std::{
    future::Future,
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, transport::server::Connected};

/// Who is at the other end: the key that was proven in the handshake. A service finds it
/// with [`Peer::of`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The peer's identity.
    pub key: PublicKey,
    /// Where it came from; decides nothing.
    pub addr: SocketAddr,
}

impl Peer {
    /// The peer of a request; `None` only if the request did not come through a
    /// [`Server`](crate::Server).
    #[must_use]
    pub fn of<T>(request: &Request<T>) -> Option<Self> {
        request.extensions().get().copied()
    }
}

/// The client preface (24 bytes) and the head of the SETTINGS frame that must follow.
const PREFACE: usize = 24 + 9;

/// A TLS stream that ends itself: before the preface after `preface_timeout`, in any case
/// at its age limit or when the server is killed. tonic asks for a graceful end at
/// `max_age` but never enforces it (and with a grace of its own enforces without asking).
pub(crate) struct Connection {
    tls: TlsStream<TcpStream>,
    peer: Peer,
    preface: Option<Pin<Box<Sleep>>>,
    received: usize,
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _admitted: Admitted,
}

impl Connection {
    pub(crate) fn new(
        tls: TlsStream<TcpStream>,
        peer: Peer,
        admitted: Admitted,
        limits: &Limits,
        kill: CancellationToken,
    ) -> Self {
        let age = limits.max_age.saturating_add(limits.max_age_grace);
        let cut = async move {
            tokio::select! {
                () = tokio::time::sleep(age) => {}
                () = kill.cancelled() => {}
            }
        };
        Self {
            tls,
            peer,
            preface: Some(Box::pin(tokio::time::sleep(limits.preface_timeout))),
            received: 0,
            cut: Some(Box::pin(cut)),
            _admitted: admitted,
        }
    }

    /// Fails once the connection has had its time. hyper polls reads and writes from one
    /// task, so either wakes it.
    fn check(&mut self, cx: &mut Context<'_>) -> Result<()> {
        let over = self.cut.as_mut().is_none_or(|cut| cut.as_mut().poll(cx).is_ready());
        let mute = self.preface.as_mut().is_some_and(|p| p.as_mut().poll(cx).is_ready());
        if over || mute {
            self.cut = None;
            return Err(Error::from(ErrorKind::TimedOut));
        }
        Ok(())
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        self.check(cx)?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.tls).poll_read(cx, buf))?;
        if self.preface.is_some() {
            self.received += buf.filled().len() - before;
            if self.received >= PREFACE {
                self.preface = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.tls).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }
}
