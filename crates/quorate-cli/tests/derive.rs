//! Deriving at real nodes, one of which lies: it is named and left out, and the secret is right.

use quorate_cli::{args::Output, cmd, demo, local::LocalCluster};
use quorate_client::{Client, EncryptionContext};
use quorate_crypto::SecretScalar;
use quorate_node::{Evaluator, Honest, Items};
use quorate_types::Purpose;
use std::{sync::Arc, time::Duration};

const LIAR: u16 = 4;

/// Of the four nodes that run, the three fastest are asked: how often the liar may be left out
/// before its peers have shown how slow they are.
const ROUNDS: usize = 100;

/// How slow they are: more than is expected of a node that nobody has measured.
const SLOW: Duration = Duration::from_millis(150);

/// Honest and slow, so that the liar becomes one of those that are asked first.
struct Slow;

impl Evaluator for Slow {
    fn partials(&self, share: &SecretScalar, items: &Items) -> Vec<[u8; 32]> {
        std::thread::sleep(SLOW);
        Honest.partials(share, items)
    }
}

/// Evaluates under a share of its own making.
struct Liar;

impl Evaluator for Liar {
    fn partials(&self, _: &SecretScalar, items: &Items) -> Vec<[u8; 32]> {
        Honest.partials(&SecretScalar::random(&mut rand::rng()), items)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lies_is_named_and_the_secret_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = LocalCluster::lay_out(&dir.path().join("c"), 5, 3).unwrap();
    for index in 1..=5 {
        cluster.start_node_with(index, Arc::new(Slow)).await.unwrap();
    }
    cluster.start_coordinator().await.unwrap();
    cluster.settle().await.unwrap();
    let operator = demo::operator(cluster.home("operator-1"));
    assert_eq!(operator.output, Output::Text);
    let mut create = demo::key_create("ids");
    create.purpose = Purpose::Derive;
    cmd::key::create(&operator, &create).await.unwrap();

    let client = Client::open(cluster.home("client")).unwrap();
    let (key, none) = (client.key("ids").await.unwrap(), EncryptionContext::default());
    let inputs = ["alice", "bob", "carol"];
    let derive = async || client.derive_with_report(&key, &inputs, &none).await.unwrap();
    let (right, report) = derive().await;
    assert!(report.liars.is_empty());

    cluster.stop_node(LIAR).await;
    cluster.stop_node(1).await;
    cluster.start_node_with(LIAR, Arc::new(Liar)).await.unwrap();
    cluster.settle().await.unwrap();
    let mut named = false;
    for _ in 0..ROUNDS {
        let (derived, report) = derive().await;
        for (right, derived) in right.iter().zip(&derived) {
            assert_eq!(right.expose(), derived.expose());
        }
        assert!(report.nodes.iter().all(|node| node.index.get() != LIAR));
        let liars: Vec<u16> = report.liars.iter().map(|node| node.index.get()).collect();
        assert!(liars.is_empty() || liars == [LIAR], "{liars:?}");
        named |= !liars.is_empty();
        if named {
            break;
        }
    }
    assert!(named, "the liar was never asked");
    cluster.stop().await;
}
