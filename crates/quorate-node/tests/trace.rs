//! Row 45: no secret in the log, at trace level, of all that a node is made of. A process of
//! its own, because there is one log for a process.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of `#[test]` functions")]

#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "node/cluster.rs"]
mod cluster;

use cluster::*;
use quorate_crypto::SecretScalar;
use quorate_node::{Config, Evaluator, Honest, Items, kek};
use std::{
    io,
    sync::{Arc, Mutex},
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the share that it was given.
#[derive(Default)]
struct Curious(Mutex<Option<SecretScalar>>);

impl Evaluator for Curious {
    fn partials(&self, share: &SecretScalar, items: &Items) -> Vec<[u8; 32]> {
        *self.0.lock().unwrap() = Some(share.clone());
        Honest.partials(share, items)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_logged_at_any_level() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let laid = Laid::out();
    let curious = Arc::new(Curious::default());
    let mut nodes = vec![laid.start_with(1, curious.clone()).await.unwrap()];
    for i in [2, 3] {
        nodes.push(laid.start(i).await.unwrap());
    }
    acquaint_all(&nodes).await;
    let me = Client::new(&laid, give_birth(&laid, &nodes).await);
    assert!(me.decrypt(&[&nodes[0], &nodes[1]], &me.encrypt()).await);
    for node in nodes {
        node.stop().await;
    }

    let config = Config::load(&laid.home(1)).unwrap();
    let identity = kek::open_identity(&config.identity, &kek::load(&config.kek).unwrap()).unwrap();
    let share = curious.0.lock().unwrap().clone().unwrap();
    let kek = std::fs::read(laid.home(1).join("kek")).unwrap();
    let text = lines.0.lock().unwrap().clone();
    let shows = |what: &[u8]| text.windows(what.len()).any(|w| w == what);
    assert!(shows(b"TRACE") && shows(b"serving"), "the log was heard");
    // What is public is found, so a secret would be.
    assert!(shows(laid.cluster.fingerprint().to_string().as_bytes()));
    for secret in [share.to_bytes().to_vec(), identity.seed().to_vec(), kek] {
        let hex: String = secret.iter().map(|b| format!("{b:02x}")).collect();
        let list = format!("{secret:?}");
        for shown in [&secret[..8], &hex.as_bytes()[..16], &list.as_bytes()[1..20]] {
            assert!(!shows(shown));
        }
    }
}
