//! Signing at real nodes, one of which lies: it is named and left out, and the signature is right.

use quorate_cli::{args::Output, cmd, demo, local::LocalCluster};
use quorate_client::{Client, EncryptionContext};
use quorate_crypto::{
    SecretScalar,
    frost::{KeyShare, NoncePair, SignError, SigningSet},
};
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
        Honest.partials(share, items)
    }

    fn sign(
        &self,
        key: &KeyShare,
        pairs: Vec<NoncePair>,
        sets: &[SigningSet],
    ) -> Vec<Result<[u8; 32], SignError>> {
        std::thread::sleep(SLOW);
        Honest.sign(key, pairs, sets)
    }
}

/// Answers with signature shares of its own making.
struct Liar;

impl Evaluator for Liar {
    fn partials(&self, share: &SecretScalar, items: &Items) -> Vec<[u8; 32]> {
        Honest.partials(share, items)
    }

    fn sign(
        &self,
        _: &KeyShare,
        pairs: Vec<NoncePair>,
        _: &[SigningSet],
    ) -> Vec<Result<[u8; 32], SignError>> {
        let one = |_| Ok(*SecretScalar::random(&mut rand::rng()).to_bytes());
        pairs.into_iter().map(one).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_spoils_signatures_is_named_and_the_signature_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = LocalCluster::lay_out(&dir.path().join("c"), 5, 3).unwrap();
    for index in 1..=5 {
        cluster.start_node_with(index, Arc::new(Slow)).await.unwrap();
    }
    cluster.start_coordinator().await.unwrap();
    cluster.settle().await.unwrap();
    let operator = demo::operator(cluster.home("operator-1"));
    assert_eq!(operator.output, Output::Text);
    let mut create = demo::key_create("release");
    create.purpose = Purpose::Sign;
    cmd::key::create(&operator, &create).await.unwrap();

    let client = Client::open(cluster.home("client")).unwrap();
    let (key, none) = (client.key("release").await.unwrap(), EncryptionContext::default());
    let messages = ["one", "two", "three"];
    let sign = async |client: &Client| {
        let (made, report) = client.sign_with_report(&key, &messages, &none).await.unwrap();
        for (message, signature) in messages.iter().zip(&made) {
            key.verify_signature(message.as_bytes(), signature).unwrap();
        }
        report
    };
    assert!(sign(&client).await.liars.is_empty());

    cluster.stop_node(LIAR).await;
    cluster.stop_node(1).await;
    cluster.start_node_with(LIAR, Arc::new(Liar)).await.unwrap();
    cluster.settle().await.unwrap();
    let mut named = false;
    for _ in 0..ROUNDS {
        // A client of its own each time: one that knows no nonces asks whoever answers first.
        let client = Client::open(cluster.home("client")).unwrap();
        let report = sign(&client).await;
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
