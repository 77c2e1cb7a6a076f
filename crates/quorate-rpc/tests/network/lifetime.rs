//! Ends of connections and servers: by age, by shutdown, by deadline.

use crate::{Port, call, channel, ms, slow_call};
use quorate_rpc::{Class, FaultKind, Limits};
use std::{sync::atomic::Ordering, time::Instant};

#[tokio::test]
async fn draining_finishes_what_is_under_way_and_refuses_the_new() {
    let port = Port::start(1, Limits::default()).await;
    let (addr, key, echo) = (port.addr(), port.key, port.echo.clone());
    let mut slow = port.client(7);
    let mut idle = port.client(8);
    call(&mut idle).await.unwrap();
    let under_way = tokio::spawn(async move { slow_call(&mut slow, 400).await });
    while port.calls() < 2 {
        tokio::time::sleep(ms(5)).await;
    }
    let start = Instant::now();
    let drained = tokio::spawn(port.handle.drain());
    tokio::time::sleep(ms(100)).await;
    assert!(call(&mut crate::client(9, addr, key)).await.is_err(), "new connection");
    assert!(call(&mut idle).await.is_err(), "old connection, new call");
    assert!(under_way.await.unwrap().is_ok(), "a call under way is answered");
    drained.await.unwrap();
    assert!(start.elapsed() < ms(1500), "{:?}", start.elapsed());
    assert_eq!(echo.done.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_outlives_the_drain_time_is_cut() {
    let limits = Limits { drain_timeout: ms(200), ..Limits::default() };
    let port = Port::start(1, limits).await;
    let mut slow = port.client(7);
    let under_way = tokio::spawn(async move { slow_call(&mut slow, 1900).await });
    while port.calls() < 1 {
        tokio::time::sleep(ms(5)).await;
    }
    let start = Instant::now();
    port.handle.drain().await;
    assert!(start.elapsed() < ms(1200), "{:?}", start.elapsed());
    let fault = under_way.await.unwrap().unwrap_err();
    assert!(!fault.kind.is_decision(), "{fault}");
}

/// Old connections end without a failed call: each ends when it is idle, and the channel
/// dials again.
#[tokio::test]
async fn connections_are_renewed_without_a_failed_call() {
    let limits = Limits { max_age: ms(150), max_age_grace: ms(400), ..Limits::default() };
    let port = Port::start(1, limits).await;
    let mut client = port.client(7);
    for _ in 0..6 {
        slow_call(&mut client, 100).await.expect("no call is lost");
    }
    assert!(port.handle.stats().served >= 3, "{:?}", port.handle.stats());
}

#[tokio::test]
async fn a_connection_is_cut_after_its_grace() {
    let limits = Limits { max_age: ms(150), max_age_grace: ms(150), ..Limits::default() };
    let port = Port::start(1, limits).await;
    let start = Instant::now();
    let fault = slow_call(&mut port.client(7), 1900).await.unwrap_err();
    assert!(!fault.kind.is_decision(), "{fault}");
    assert!(start.elapsed() < ms(1000), "{:?}", start.elapsed());
    assert_eq!(port.handle.stats().open, 0);
}

#[tokio::test]
async fn the_class_limits_the_time_of_a_call() {
    let class = Class::new("brief", 4, ms(10), ms(150));
    let port = Port::with(1, Limits::default(), &class, |b| b).await;
    let start = Instant::now();
    let fault = slow_call(&mut port.client(7), 3000).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::DeadlineExceeded, "{fault}");
    assert!(start.elapsed() < ms(1000));
}

#[tokio::test]
async fn a_deadline_travels_to_the_server() {
    let port = Port::start(1, Limits::default()).await;
    let mut raw = port.client(7);
    let mut request = tonic::Request::new(quorate_rpc::v1::NodeEvaluateRequest {
        head: 1500_u64.to_be_bytes().to_vec(),
        ..Default::default()
    });
    request.set_timeout(ms(150));
    let start = Instant::now();
    let fault = quorate_rpc::Fault::from(raw.evaluate(request).await.unwrap_err());
    assert_eq!(fault.kind, FaultKind::DeadlineExceeded, "{fault}");
    assert!(start.elapsed() < ms(1000));
    tokio::time::sleep(ms(1600)).await;
    assert_eq!(port.echo.done.load(Ordering::SeqCst), 0, "the server stopped working on it");
}

#[tokio::test]
async fn an_absent_peer_is_an_outage() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let channel = channel(7, addr, crate::identity(1).public());
    let mut client = crate::NodeClient::new(channel);
    let fault = call(&mut client).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable, "{fault}");
}
