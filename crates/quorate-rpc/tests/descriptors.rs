//! Row 44: no descriptor is left. A process of its own, because the limit is the process's.

use quorate_crypto::IdentityKey;
use quorate_rpc::{Limits, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    fs::File,
    net::TcpStream,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpSocket},
};

#[tokio::test]
async fn without_descriptors_the_port_waits_and_then_serves_again() {
    let limits = Limits { handshake_timeout: Duration::from_millis(200), ..Limits::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Server::builder(&IdentityKey::from_seed(&[1; 32])).unwrap().limits(limits);
    let handle = server.serve(listener, std::future::pending()).unwrap();

    // The client's socket is the last descriptor that there is.
    let late = TcpSocket::new_v4().unwrap();
    let limit = Rlimit { current: Some(256), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let mut late = late.connect(addr).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let errors = handle.stats().accept_errors;
    assert!((2..=12).contains(&errors), "a pause of 50 ms each, got {errors} in 500 ms");
    assert_eq!(handle.stats().open, 0);

    drop(taken);
    let start = Instant::now();
    // Accepted, and cut as the silent peer that it is.
    assert_eq!(late.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(handle.stats().failed_handshakes, 1);
    assert!(TcpStream::connect(addr).is_ok());
}
