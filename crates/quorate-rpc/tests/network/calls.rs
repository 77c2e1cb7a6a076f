//! Messages that are too large, malformed or too many.

use crate::{Port, call, channel, identity, identity::tls, ms, slow_call};
use quorate_rpc::{Class, Fault, FaultKind, Limits, MAX_REQUEST_BYTES, Retry, TlsIdentity, v1};
use std::time::{Duration, Instant};
use tokio_stream::StreamExt;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

fn of_bytes(count: usize) -> v1::NodeEvaluateRequest {
    v1::NodeEvaluateRequest { head: vec![], signature: vec![], items: vec![vec![3; count]] }
}

#[tokio::test]
async fn oversized_messages_are_refused() {
    let port = Port::start(1, Limits::default()).await;
    let mut client = port.client(7);
    client.evaluate(of_bytes(MAX_REQUEST_BYTES - 64)).await.expect("one of the limit's size");
    let status = client.evaluate(of_bytes(MAX_REQUEST_BYTES + 1)).await.unwrap_err();
    let fault = Fault::from(status);
    assert_eq!(fault.kind, FaultKind::OutOfRange, "{fault}");
    assert_eq!(fault.retry(), Retry::Never);
    assert_eq!(port.calls(), 1);
}

#[tokio::test]
async fn oversized_answers_are_not_sent() {
    let port = Port::start(1, Limits::default()).await;
    let request = |version| v1::GetKeyRequest { name: String::new(), version, fresh: false };
    let mut client = port.client(7);
    client.get_key(request(MAX_REQUEST_BYTES as u32 - 64)).await.unwrap();
    let status = client.get_key(request(MAX_REQUEST_BYTES as u32 + 1)).await.unwrap_err();
    assert_eq!(Fault::from(status).kind, FaultKind::OutOfRange);
}

/// Sends a gRPC frame as it stands and returns the status code of the answer.
async fn raw(port: &Port, encoding: &str, frame: &[u8], end: bool) -> Option<String> {
    let config = TlsIdentity::new(&identity(7)).unwrap().client_config(port.key).unwrap();
    let stream = tls(port.addr(), config).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::post("https://node/quorate.v1.Node/Evaluate")
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding)
        .body(())
        .unwrap();
    let (answer, mut body) = send.send_request(request, false).unwrap();
    body.send_data(frame.to_vec().into(), end).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(1), answer).await;
    let answer = answer.expect("answered at once").unwrap();
    driver.abort();
    Some(answer.headers().get("grpc-status")?.to_str().unwrap().to_owned())
}

const OUT_OF_RANGE: &str = "11";
const INVALID_ARGUMENT: &str = "3";
const UNIMPLEMENTED: &str = "12";

/// Row 35: the claim alone is refused; nothing is read or allocated for it.
#[tokio::test]
async fn a_claimed_length_is_refused_before_it_is_read() {
    let port = Port::start(1, Limits::default()).await;
    let claims_2_gib = [0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3];
    assert_eq!(raw(&port, "identity", &claims_2_gib, false).await.as_deref(), Some(OUT_OF_RANGE));
    assert_eq!(port.calls(), 0);
}

#[tokio::test]
async fn compressed_messages_are_refused() {
    let port = Port::start(1, Limits::default()).await;
    let bomb = [1, 0, 0, 0, 4, 0x1f, 0x8b, 8, 0];
    assert_eq!(raw(&port, "gzip", &bomb, true).await.as_deref(), Some(UNIMPLEMENTED));
    assert_eq!(port.calls(), 0);
}

/// Row 36.
#[tokio::test]
async fn malformed_protobuf_is_the_callers_fault() {
    let port = Port::start(1, Limits::default()).await;
    let nested = [0x0b; 200]; // groups in groups
    for message in [
        &[0x0a, 0xff][..],                         // length beyond the end
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f][..], // length of 4 GiB
        &[0x08, 0x01][..],                         // a number where bytes belong
        &[0x00, 0x00][..],                         // field number 0
        &[0xff; 11][..],                           // endless varint
        &nested[..],
    ] {
        let mut frame = vec![0, 0, 0, 0, message.len() as u8];
        frame.extend_from_slice(message);
        let status = raw(&port, "identity", &frame, true).await;
        assert_eq!(status.as_deref(), Some(INVALID_ARGUMENT), "{message:02x?}");
    }
    assert_eq!(port.calls(), 0);
}

/// Half a million empty items in a message of 1 MiB would be 12 MiB of memory.
#[tokio::test]
async fn a_bomb_of_empty_items_is_refused() {
    let port = Port::start(1, Limits::default()).await;
    let of = |count| v1::NodeEvaluateRequest { items: vec![vec![]; count], ..Default::default() };
    let mut client = port.client(7);
    client.evaluate(of(1024)).await.expect("a full batch");
    let fault = Fault::from(client.evaluate(of(500_000)).await.unwrap_err());
    assert_eq!(fault.kind, FaultKind::InvalidArgument, "{fault}");
    assert_eq!(port.calls(), 1);
}

#[tokio::test]
async fn overload_is_shed_at_once_and_others_are_served() {
    let class = Class::new("requests", 4, ms(0), ms(2000));
    let status = Class::status();
    let port = Port::with(1, Limits::default(), &class, |b| b.described(&status).0).await;
    // Connected before the clock runs: forty handshakes take a loaded machine its time.
    let mut clients: Vec<_> = (10..14).map(|seed| port.client(seed)).collect();
    for client in &mut clients {
        call(client).await.unwrap();
    }
    let mut calls = tokio::task::JoinSet::new();
    for mut client in clients.iter().cycle().take(40).cloned() {
        calls.spawn(async move {
            let start = Instant::now();
            (slow_call(&mut client, 600).await, start.elapsed())
        });
    }
    while port.calls() < 4 + 4 {
        tokio::time::sleep(ms(5)).await;
    }
    // Another class is untouched.
    let mut health = HealthClient::new(channel(99, port.addr(), port.key));
    health.check(HealthCheckRequest::default()).await.expect("health answers under overload");

    let outcomes = calls.join_all().await;
    let shed: Vec<_> = outcomes.iter().filter_map(|(o, t)| Some((o.as_ref().err()?, t))).collect();
    let served = outcomes.len() - shed.len();
    assert!((4..40).contains(&served), "{served} served");
    assert_eq!(class.shed(), shed.len() as u64);
    for (fault, after) in shed {
        assert_eq!(fault.kind, FaultKind::ResourceExhausted, "{fault}");
        assert!(matches!(fault.retry(), Retry::After(_)));
        assert!(*after < ms(590), "shed after {after:?}");
    }
    call(&mut port.client(98)).await.expect("normal again");
}

#[tokio::test]
async fn a_short_queue_smooths_a_burst() {
    let class = Class::new("requests", 4, ms(500), ms(2000));
    let port = Port::with(1, Limits::default(), &class, |b| b).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..8 {
        let mut client = port.client(n + 10);
        calls.spawn(async move { slow_call(&mut client, 50).await });
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    assert_eq!(class.shed(), 0);
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    use tonic_reflection::pb::{v1 as new, v1alpha as old};
    let status = Class::status();
    let port = Port::with(1, Limits::default(), &status, |b| b.described(&status).0).await;
    let channel = channel(7, port.addr(), port.key);

    let mut client = new::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let request = new::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(new::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let stream = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = stream.into_inner().next().await.unwrap().unwrap();
    let names = format!("{:?}", answer.message_response);
    for name in ["quorate.v1.Node", "quorate.v1.Keys", "grpc.health.v1.Health"] {
        assert!(names.contains(name), "{names}");
    }

    let mut client = old::server_reflection_client::ServerReflectionClient::new(channel);
    let request = old::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            old::server_reflection_request::MessageRequest::FileContainingSymbol(
                "quorate.v1.Node".into(),
            ),
        ),
    };
    let stream = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    assert!(stream.into_inner().next().await.unwrap().is_ok());
}

/// Not a benchmark: shows that a call costs about what the plan allows (DESIGN.md 4.4).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_takes_well_under_a_millisecond() {
    let port = Port::start(1, Limits::default()).await;
    let mut client = port.client(7);
    call(&mut client).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..300 {
        let start = Instant::now();
        client.evaluate(v1::NodeEvaluateRequest::default()).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    println!(
        "least {:?}  p10 {:?}  p50 {:?}  p90 {:?}",
        times[0], times[30], times[150], times[270]
    );
    assert!(times[30] < ms(5), "generous, for a loaded machine: {:?}", times[30]);
}
