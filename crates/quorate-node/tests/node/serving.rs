//! A key is born, used, and used again after restarts; what a node refuses to start on.

use crate::cluster::*;
use quorate_crypto::SecretScalar;
use quorate_node::{Config, EnrolError, Evaluator, Honest, Items, StartError, probe};
use quorate_rpc::v1;
use quorate_store::StoreError;
use quorate_types::*;
use std::{
    fs,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_born_over_tls_and_sled_and_outlives_restarts() {
    let laid = Laid::out();
    let nodes = laid.start_all().await;
    let me = Client::new(&laid, give_birth(&laid, &nodes).await);
    let sealed = me.encrypt();
    assert!(me.decrypt(&[&nodes[0], &nodes[2]], &sealed).await);
    let id = RequestId([9; 16]);
    let first = me.request_with(id, vec![sealed.item.clone()]);
    me.open(client(&nodes[0], 120).evaluate(first).await.unwrap().into_inner());
    for node in nodes {
        node.stop().await;
    }

    // The same stores, new processes as far as a node can tell.
    let nodes = laid.start_all().await;
    assert!(me.decrypt(&[&nodes[0], &nodes[1]], &sealed).await);
    let replay = me.request_with(id, vec![me.encrypt().item]);
    let answer = client(&nodes[0], 120).evaluate(replay).await.unwrap().into_inner();
    assert_eq!(refusal(&answer), Some(RefusalReason::Replayed));

    let mut asked = client(&nodes[0], 120);
    let record = asked
        .get_key(v1::GetKeyRequest { name: KEY.into(), version: 0, fresh: false })
        .await
        .unwrap();
    assert_eq!(record.into_inner().record, me.record.to_bytes());
    let keys = asked.list_keys(v1::ListKeysRequest::default()).await.unwrap().into_inner();
    assert_eq!((keys.keys[0].name.as_str(), keys.keys[0].state.as_str()), (KEY, "active"));
    let health = asked.status(v1::NodeStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((health.keys, health.state.as_str(), health.home.as_str()), (1, "serving", "CH"));
    // Strangers see nothing.
    let stranger = client(&nodes[0], 99).status(v1::NodeStatusRequest {}).await;
    assert_eq!(stranger.unwrap_err().code(), tonic::Code::PermissionDenied);
    let text = http_get(&nodes[0], "/metrics").await;
    for line in [
        "quorate_node_calls_total{operation=\"decrypt\",outcome=\"granted\"} 1",
        "quorate_node_calls_total{operation=\"decrypt\",outcome=\"refused_replayed\"} 1",
        "quorate_node_keys 1",
    ] {
        assert!(text.contains(line), "{line} not in:\n{text}");
    }
    assert!(http_get(&nodes[0], "/healthz").await.ends_with("ok\n"));
    for node in nodes {
        node.stop().await;
    }
}

async fn http_get(node: &quorate_node::NodeHandle, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(node.metrics_address().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_node_that_lost_its_store_or_found_another_cluster_does_not_start() {
    let laid = Laid::out();
    laid.start(1).await.unwrap().stop().await;
    laid.start(2).await.unwrap().stop().await;
    // Lost: never started over.
    fs::rename(laid.home(1).join("store"), laid.home(1).join("away")).unwrap();
    for _ in 0..2 {
        let refused = laid.start(1).await.unwrap_err();
        let missing =
            matches!(refused, StartError::Enrol(EnrolError::Store(StoreError::Missing { .. })));
        assert!(missing, "{refused}");
        assert_eq!(refused.exit_code(), 78);
        let _ = fs::create_dir(laid.home(1).join("store"));
    }
    fs::remove_dir(laid.home(1).join("store")).unwrap();
    // Another node's.
    fs::rename(laid.home(2).join("store"), laid.home(1).join("store")).unwrap();
    let refused = laid.start(1).await.unwrap_err();
    assert!(matches!(refused, StartError::Enrol(EnrolError::Store(_))), "{refused}");
    // Another cluster's roster.
    fs::remove_dir_all(laid.home(1).join("store")).unwrap();
    fs::rename(laid.home(1).join("away"), laid.home(1).join("store")).unwrap();
    let foreign = Laid::out();
    fs::copy(foreign.home(1).join("roster.json"), laid.home(1).join("roster.json")).unwrap();
    let refused = laid.start(1).await.unwrap_err();
    assert!(matches!(refused, StartError::Enrol(EnrolError::Roster { .. })), "{refused}");
    assert!(refused.to_string().contains("another cluster"), "{refused}");
}

/// What the data directory and its surroundings can lose, each by itself and together: with the
/// store gone the node never begins anew, though everything else that says so is gone too.
#[tokio::test]
async fn a_node_that_keeps_only_its_identity_knows_that_it_was_a_member() {
    for also_pin in [false, true] {
        let laid = Laid::out();
        laid.start(1).await.unwrap().stop().await;
        fs::remove_dir_all(laid.home(1).join("store")).unwrap();
        if also_pin {
            fs::remove_file(laid.home(1).join("fingerprint")).unwrap();
        }
        let refused = laid.start(1).await.unwrap_err();
        let missing =
            matches!(refused, StartError::Enrol(EnrolError::Store(StoreError::Missing { .. })));
        assert!(missing, "{refused}");
        assert!(!laid.home(1).join("store").exists(), "nothing was begun");
    }
    // The pin alone can be made again: the store knows its cluster.
    let laid = Laid::out();
    laid.start(1).await.unwrap().stop().await;
    fs::remove_file(laid.home(1).join("fingerprint")).unwrap();
    laid.start(1).await.unwrap().stop().await;
    assert!(laid.home(1).join("fingerprint").exists());
}

/// A first start that was cut short between any two of its durable writes is finished by the
/// next, and from then on the node is a member.
#[tokio::test]
async fn a_first_start_that_was_cut_short_is_finished() {
    // After the store, before the note in the identity's file.
    let laid = Laid::out();
    let new = fs::read(laid.home(1).join("identity.key")).unwrap();
    laid.start(1).await.unwrap().stop().await;
    let joined = fs::read(laid.home(1).join("identity.key")).unwrap();
    assert_ne!(new, joined);
    fs::write(laid.home(1).join("identity.key"), &new).unwrap();
    fs::remove_file(laid.home(1).join("fingerprint")).unwrap();
    laid.start(1).await.unwrap().stop().await;
    fs::remove_dir_all(laid.home(1).join("store")).unwrap();
    assert!(laid.start(1).await.is_err(), "it has joined");

    // While the identity's file was replaced.
    let laid = Laid::out();
    fs::write(laid.home(1).join("identity.key.new"), b"half of it").unwrap();
    laid.start(1).await.unwrap().stop().await;
    assert!(!laid.home(1).join("identity.key.new").exists());
    laid.start(1).await.unwrap().stop().await;
}

#[tokio::test]
async fn two_processes_never_share_a_store() {
    let laid = Laid::out();
    let one = laid.start(1).await.unwrap();
    let two = laid.start(1).await.unwrap_err();
    let in_use = matches!(two, StartError::Enrol(EnrolError::Store(StoreError::InUse { .. })));
    assert!(in_use, "{two}");
    one.stop().await;
    laid.start(1).await.unwrap().stop().await;
}

/// Says when it is asked, and waits until it may answer.
struct Slow {
    asked: Mutex<mpsc::Sender<()>>,
    may: Mutex<mpsc::Receiver<()>>,
}

impl Evaluator for Slow {
    fn partials(&self, share: &SecretScalar, items: &Items) -> Vec<[u8; 32]> {
        self.asked.lock().unwrap().send(()).unwrap();
        let _ = self.may.lock().unwrap().recv_timeout(Duration::from_secs(10));
        Honest.partials(share, items)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_finishes_what_is_under_way_and_begins_nothing() {
    let laid = Laid::out();
    let nodes = laid.start_all().await;
    let me = Client::new(&laid, give_birth(&laid, &nodes).await);
    let mut nodes = nodes.into_iter();
    nodes.next().unwrap().stop().await;
    let (asked, begun) = mpsc::channel();
    let (let_go, may) = mpsc::channel();
    let slow = Arc::new(Slow { asked: Mutex::new(asked), may: Mutex::new(may) });
    let node = laid.start_with(1, slow).await.unwrap();
    acquaint(&node, nodes.as_slice().iter()).await;
    let mut late = client(&node, 120);
    let mut asking = client(&node, 120);
    let request = me.request(vec![me.encrypt().item]);
    let under_way = tokio::spawn(async move { asking.evaluate(request).await });
    tokio::task::spawn_blocking(move || begun.recv_timeout(Duration::from_secs(10)).unwrap())
        .await
        .unwrap();
    let stopping = tokio::spawn(node.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!stopping.is_finished(), "a request is under way");
    late.status(v1::NodeStatusRequest {}).await.unwrap_err();
    let_go.send(()).unwrap();
    me.open(under_way.await.unwrap().unwrap().into_inner());
    stopping.await.unwrap();
    // Its lock is free.
    laid.start(1).await.unwrap().stop().await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_probe_asks_its_own_node_by_its_own_key() {
    let laid = Laid::out();
    let node = laid.start(1).await.unwrap();
    let mut config = Config::load(&laid.home(1)).unwrap();
    config.listen = node.address();
    let status = probe::status(&config).await.unwrap();
    // Its peers are not there.
    assert_eq!((status.state.as_str(), status.quarantine.as_str()), ("quarantined", "waiting"));
    // Another node at the same address is not taken for it.
    let mut other = Config::load(&laid.home(2)).unwrap();
    other.listen = node.address();
    assert!(probe::status(&other).await.is_err());
    node.stop().await;
    assert!(probe::status(&config).await.is_err());
}

/// `cargo test --release -p quorate-node --test node -- --ignored latency --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn latency_of_one_decryption() {
    const ROUNDS: usize = 2000;
    let laid = Laid::out();
    let nodes = laid.start_all().await;
    let me = Client::new(&laid, give_birth(&laid, &nodes).await);
    let mut asked = client(&nodes[0], 120);
    for size in [1, 256] {
        let rounds = ROUNDS / size.min(100);
        let items: Vec<_> = (0..size).map(|_| me.encrypt().item).collect();
        let mut took = Vec::new();
        for _ in 0..rounds {
            let request = me.request(items.clone());
            let begun = Instant::now();
            let answer = asked.evaluate(request).await.unwrap().into_inner();
            took.push(begun.elapsed());
            assert!(refusal(&answer).is_none());
        }
        took.sort();
        let at = |p: usize| took[took.len() * p / 100];
        println!("{size} items over TLS: p50 {:?} p90 {:?} p99 {:?}", at(50), at(90), at(99));
    }
    let text = http_get(&nodes[0], "/metrics").await;
    for line in text.lines().filter(|l| l.contains("call_duration") && l.contains("evaluate")) {
        println!("{line}");
    }
    for node in nodes {
        node.stop().await;
    }
}
