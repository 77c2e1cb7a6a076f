//! Peers that say nothing, little, too much, or the same thing too often.

use crate::{Port, call, identity, identity::tls, ms};
use quorate_rpc::{Limits, TlsIdentity};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

fn limits() -> Limits {
    Limits { handshake_timeout: ms(300), preface_timeout: ms(500), ..Limits::default() }
}

/// How long the server keeps the connection; panics after five seconds.
async fn kept(mut stream: impl AsyncReadExt + Unpin) -> Duration {
    let start = Instant::now();
    let mut buffer = [0; 1024];
    let closed = async { while matches!(stream.read(&mut buffer).await, Ok(1..)) {} };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the server cuts it");
    start.elapsed()
}

async fn shaken(port: &Port, seed: u8) -> TlsStream<TcpStream> {
    let config = TlsIdentity::new(&identity(seed)).unwrap().client_config(port.key).unwrap();
    tls(port.addr(), config).await.unwrap()
}

async fn still_serves(port: &Port) {
    call(&mut port.client(99)).await.expect("others are served");
}

#[tokio::test]
async fn a_silent_peer_is_cut() {
    let port = Port::start(1, limits()).await;
    let silent = TcpStream::connect(port.addr()).await.unwrap();
    let kept = kept(silent).await;
    assert!(ms(250) < kept && kept < ms(1500), "{kept:?}");
    assert_eq!(port.handle.stats().failed_handshakes, 1);
    still_serves(&port).await;
}

#[tokio::test]
async fn a_slow_handshake_is_cut() {
    let port = Port::start(1, limits()).await;
    let mut slow = TcpStream::connect(port.addr()).await.unwrap();
    slow.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap(); // a hello of 512 bytes begins
    let kept = kept(slow).await;
    assert!(ms(250) < kept && kept < ms(1500), "{kept:?}");
}

#[tokio::test]
async fn a_peer_without_preface_is_cut() {
    let port = Port::start(1, limits()).await;
    let kept = kept(shaken(&port, 7).await).await;
    assert!(ms(400) < kept && kept < ms(1500), "{kept:?}");
    assert_eq!(port.handle.stats().open, 0);
}

#[tokio::test]
async fn a_dripping_preface_is_cut() {
    let port = Port::start(1, limits()).await;
    let (reader, mut writer) = tokio::io::split(shaken(&port, 7).await);
    let drip = tokio::spawn(async move {
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            if writer.write_all(&[*byte]).await.is_err() || writer.flush().await.is_err() {
                return;
            }
            tokio::time::sleep(ms(60)).await;
        }
    });
    let kept = kept(reader).await;
    assert!(ms(400) < kept && kept < ms(1300), "{kept:?}");
    drip.abort();
}

/// Connects until one is refused; returns how many were kept.
async fn fill(port: &Port, seed: impl Fn(u8) -> u8) -> (Vec<TlsStream<TcpStream>>, usize) {
    let mut held = Vec::new();
    for n in 0..10 {
        let config = TlsIdentity::new(&identity(seed(n))).unwrap().client_config(port.key).unwrap();
        let Ok(mut stream) = tls(port.addr(), config).await else { break };
        if !matches!(stream.read(&mut [0; 9]).await, Ok(1..)) {
            break;
        }
        held.push(stream);
    }
    let kept = held.len();
    (held, kept)
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        tokio::time::sleep(ms(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn connections_are_capped_in_total() {
    let port = Port::start(1, Limits { max_connections: 4, ..Limits::default() }).await;
    let (held, kept) = fill(&port, |n| n + 10).await;
    assert_eq!(kept, 4);
    assert!(port.handle.stats().refused_full >= 1);
    drop(held);
    eventually("places come back", || port.handle.stats().open == 0).await;
    still_serves(&port).await;
}

#[tokio::test]
async fn connections_are_capped_by_address() {
    let port = Port::start(1, Limits { max_per_loopback: 3, ..Limits::default() }).await;
    let (held, kept) = fill(&port, |n| n + 10).await;
    assert_eq!(kept, 3);
    drop(held);
    eventually("places come back", || port.handle.stats().open == 0).await;
    still_serves(&port).await;
}

#[tokio::test]
async fn connections_are_capped_by_identity() {
    let port = Port::start(1, Limits { max_per_identity: 2, ..Limits::default() }).await;
    let (_held, kept) = fill(&port, |_| 10).await;
    assert_eq!(kept, 2);
    assert_eq!(port.handle.stats().refused_identity, 1);
    still_serves(&port).await;
}

/// 400 silent connections from one address: its places are taken, then nothing is.
#[tokio::test]
async fn a_flood_of_silent_peers_ends_by_itself() {
    let port = Port::start(1, Limits { max_per_loopback: 32, ..limits() }).await;
    let mut flood = Vec::new();
    for _ in 0..400 {
        flood.push(TcpStream::connect(port.addr()).await.unwrap());
    }
    eventually("all are refused or cut", || port.handle.stats().open == 0).await;
    assert!(port.handle.stats().refused_full >= 300);
    still_serves(&port).await;
}

async fn raw_http2(port: &Port, seed: u8) -> (h2::client::SendRequest<bytes::Bytes>, Driver) {
    let (send, connection) = h2::client::handshake(shaken(port, seed).await).await.unwrap();
    (send, tokio::spawn(connection))
}

type Driver = tokio::task::JoinHandle<Result<(), h2::Error>>;

fn grpc() -> http::request::Builder {
    http::Request::post("https://node/quorate.v1.Node/Evaluate")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

/// One frame: length, type, flags, stream, payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head[..], payload].concat()
}

/// Reads frames until GOAWAY, and returns its error code.
async fn goaway(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<u32> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.ok()?;
        if head[3] == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
    }
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// CVE-2023-44487: streams opened and reset in one breath.
#[tokio::test]
async fn rapid_reset_ends_the_connection() {
    let port = Port::start(1, Limits::default()).await;
    let (mut reader, mut writer) = tokio::io::split(shaken(&port, 7).await);
    let mut attack = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    attack.extend(frame(SETTINGS, 0, 0, &[]));
    for n in 0..5_000 {
        // POST, https, "/", authority "node"; END_HEADERS.
        attack.extend(frame(HEADERS, 4, 2 * n + 1, b"\x83\x87\x84\x41\x04node"));
        attack.extend(frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes()));
    }
    // The end of the connection may break the write.
    let attack = tokio::spawn(async move { writer.write_all(&attack).await });
    let ended = tokio::time::timeout(Duration::from_secs(5), goaway(&mut reader)).await;
    assert_eq!(ended.unwrap(), Some(ENHANCE_YOUR_CALM));
    attack.abort();
    still_serves(&port).await;
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    // 10 KB as HTTP/2 counts them; hyper alone would take 16.
    let port = Port::start(1, Limits::default()).await;
    let (mut send, _driver) = raw_http2(&port, 7).await;
    let bomb = (0..150).fold(grpc(), |request, n| request.header(format!("x-{n}"), "y".repeat(30)));
    let (answer, _) = send.send_request(bomb.body(()).unwrap(), true).unwrap();
    match answer.await {
        Ok(answer) => assert_eq!(answer.status(), 431),
        Err(error) => assert!(error.is_remote(), "{error}"),
    }
    assert_eq!(port.calls(), 0);
    still_serves(&port).await;
}

/// Row 35: a hundred thousand headers, half a megabyte in CONTINUATION frames.
#[tokio::test]
async fn a_header_bomb_ends_the_connection() {
    let port = Port::start(1, Limits::default()).await;
    let (mut send, driver) = raw_http2(&port, 7).await;
    let mut bomb = grpc().body(()).unwrap();
    let value = http::HeaderValue::from_static("y");
    for n in 0..20_000 {
        let name = http::HeaderName::try_from(format!("x-{n}")).unwrap();
        bomb.headers_mut().append(name, value.clone());
    }
    for _ in 0..80_000 {
        bomb.headers_mut().append("x-0", value.clone());
    }
    let answer = send.send_request(bomb, true).unwrap().0;
    assert!(!answer.await.is_ok_and(|answer| answer.status().is_success()));
    drop(send);
    assert!(driver.await.unwrap().is_err());
    assert_eq!(port.calls(), 0);
    still_serves(&port).await;
}

#[tokio::test]
async fn streams_of_one_connection_are_limited() {
    let port = Port::start(1, Limits { max_streams: 4, ..Limits::default() }).await;
    let (send, _driver) = raw_http2(&port, 7).await;
    let mut send = send.ready().await.unwrap();
    let (answer, _) = send.send_request(grpc().body(()).unwrap(), true).unwrap();
    let _ = answer.await; // the server's SETTINGS have arrived
    assert_eq!(send.current_max_send_streams(), 4);
}
