//! Shares that move between real processes: under load, and while somebody is killed.

use quorate_client::{Client, EncryptionContext};
use quorate_tests::Cluster;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

const PLAINTEXT: &[u8] = b"who owns my key?";

fn ok(out: &std::process::Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn json(out: &std::process::Output) -> serde_json::Value {
    serde_json::from_str(&ok(out)).expect("one JSON document")
}

/// A client that decrypts one after the other until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl Load {
    fn start(cluster: &Cluster, ciphertext: Vec<u8>) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&done));
        let home = cluster.home("client");
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let client = Client::open(home).expect("the client's home");
                let mut errors = Vec::new();
                while !stopped.load(Ordering::Relaxed) {
                    match client.decrypt(&ciphertext, &EncryptionContext::default()).await {
                        Ok(plaintext) => assert_eq!(&plaintext[..], PLAINTEXT),
                        Err(error) => errors.push(error.to_string()),
                    }
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                errors
            })
        });
        Self { stop, done, thread }
    }

    /// Waits until it has decrypted some more.
    fn goes_on(&self) {
        let (before, begun) = (self.done.load(Ordering::Relaxed), std::time::Instant::now());
        while self.done.load(Ordering::Relaxed) < before + 3 {
            assert!(begun.elapsed() < Duration::from_secs(20), "no decryption goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let errors = self.thread.join().expect("the client goes on");
        (self.done.load(Ordering::Relaxed), errors)
    }
}

#[test]
fn shares_move_from_three_of_five_to_four_of_seven_to_two_of_three_while_clients_decrypt() {
    let cluster = Cluster::of(9).threshold(3).start();
    ok(&cluster.operator(&["key", "create", "demo", "--committee", "1,2,3,4,5"]));
    let ciphertext = cluster.encrypt("demo", PLAINTEXT);
    let show = || json(&cluster.operator(&["--output", "json", "key", "show", "demo"]));
    let public_key = show()["public_key"].clone();

    let load = Load::start(&cluster, ciphertext.clone());
    load.goes_on();
    let moves: [&[&str]; 4] = [
        &["share", "refresh", "demo"],
        &["share", "reshare", "demo", "--committee", "1,2,3,4,5,6,7", "--threshold", "4"],
        &["share", "reshare", "demo", "--committee", "7,8,9", "--threshold", "2"],
        &["share", "refresh", "demo", "--grace", "1"],
    ];
    for arguments in moves {
        let text = ok(&cluster.operator(arguments));
        assert!(text.contains("every old share is reported erased"), "{text}");
        load.goes_on();
    }
    let (count, errors) = load.end();
    assert!(errors.is_empty(), "{} of {count} failed: {errors:?}", errors.len());
    assert!(count >= 15, "{count}");

    let shown = show();
    assert_eq!(shown["public_key"], public_key);
    assert_eq!((&shown["threshold"], &shown["committee"]), (&2.into(), &vec![7, 8, 9].into()));
    let status = json(&cluster.operator(&["--output", "json", "share", "status", "demo"]));
    assert_eq!((&status["serving"], &status["spare"]), (&3.into(), &1.into()));
    // Who left holds nothing, and is not needed.
    for node in status["nodes"].as_array().expect("nodes") {
        let left = node["node"].as_u64() < Some(7);
        assert_eq!(node["held"].as_array().map(Vec::is_empty), Some(left), "{node}");
    }
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
}

#[test]
fn a_node_that_was_away_is_named_and_repaired() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    cluster.key("demo");
    let ciphertext = cluster.encrypt("demo", PLAINTEXT);
    cluster.kill(5);
    let out = cluster.operator(&["share", "refresh", "demo", "--allow-absent", "1", "--yes"]);
    let text = ok(&out);
    assert!(text.contains("node-5 missed it"), "{text}");
    assert!(text.contains("not yet reported erased at node-5"), "{text}");
    let status = ok(&cluster.operator(&["share", "status", "demo"]));
    assert!(status.contains("4 serve it: 1 more may be lost"), "{status}");

    // A coordinator brings the proof of the newer epoch as soon as it is back: what that ends
    // is erased, it answers no more, and it says why.
    cluster.start_node(5);
    cluster.wait_until_serving();
    let begun = std::time::Instant::now();
    loop {
        let status = json(&cluster.operator(&["--output", "json", "share", "status", "demo"]));
        if status["nodes"][4]["held"].as_array().is_some_and(Vec::is_empty) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{status}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let status = ok(&cluster.operator(&["share", "status", "demo"]));
    assert!(status.contains("holds no share: `quorate share repair 5`"), "{status}");
    let health = ok(&cluster.operator(&["cluster", "status"]));
    assert!(health.contains("quorate share repair 5"), "{health}");
    let text = ok(&cluster.operator(&["share", "repair", "5"]));
    assert!(text.starts_with("1 keys moved"), "{text}");
    // It can be one of the three that decrypt.
    cluster.kill(1);
    cluster.kill(2);
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
}

#[test]
fn a_node_is_drained_with_one_command() {
    let mut cluster = Cluster::of(6).threshold(3).start();
    for name in ["one", "two", "elsewhere"] {
        let nodes = if name == "elsewhere" { "1,2,4,5,6" } else { "1,2,3,4,5" };
        ok(&cluster.operator(&["key", "create", name, "--committee", nodes]));
    }
    let ciphertext = cluster.encrypt("two", PLAINTEXT);
    let text = ok(&cluster.operator(&["share", "drain", "3", "--to", "6"]));
    assert!(text.starts_with("2 keys moved"), "{text}");
    assert!(text.contains("1 not touched, 0 failed"), "{text}");
    let status = json(&cluster.operator(&["--output", "json", "share", "status"]));
    for key in status["keys"].as_array().expect("keys") {
        assert!(!key["committee"].as_array().expect("a committee").contains(&3.into()), "{key}");
    }
    cluster.kill(3);
    cluster.kill(1);
    cluster.kill(2);
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
}

#[test]
fn a_schedule_refreshes_by_itself_until_an_order_ends_it() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    cluster.key("demo");
    let ciphertext = cluster.encrypt("demo", PLAINTEXT);
    ok(&cluster.operator(&["share", "schedule", "demo", "--every", "10s"]));
    let (first, begun) = (epoch_of(&cluster), std::time::Instant::now());
    while epoch_of(&cluster) < first + 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no refresh comes by itself");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(begun.elapsed() > Duration::from_secs(17), "twice in {:?}", begun.elapsed());
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
    let text = ok(&cluster.operator(&["share", "status", "demo"]));
    assert!(text.contains("scheduled: every 10 s"), "{text}");

    // A coordinator that has just started knows it from the nodes.
    cluster.stop_coordinator_hard();
    cluster.start_coordinator();
    cluster.wait_until_serving();
    let (before, begun) = (epoch_of(&cluster), std::time::Instant::now());
    while epoch_of(&cluster) == before {
        assert!(begun.elapsed() < Duration::from_secs(60), "it forgot the schedule");
        std::thread::sleep(Duration::from_millis(500));
    }
    ok(&cluster.operator(&["share", "refresh", "demo", "--end-schedule"]));
    let text = ok(&cluster.operator(&["share", "status", "demo"]));
    assert!(!text.contains("scheduled"), "{text}");
}

fn epoch_of(cluster: &Cluster) -> u64 {
    let status = json(&cluster.operator(&["--output", "json", "share", "status", "demo"]));
    status["epoch"].as_u64().expect("an epoch")
}

/// With two operators needed a reshare is a file, and says what changes before it is signed.
#[test]
fn an_order_shows_who_joins_and_leaves_before_it_is_signed() {
    let cluster = Cluster::of(6).threshold(3).operators(3).start();
    let order = cluster.home("order");
    let order = order.to_str().expect("a path");
    let sign_and_submit = |signers: &[&str]| {
        for signer in signers {
            ok(&cluster.quorate(signer, &["order", "sign", order, "--yes"], b""));
        }
        ok(&cluster.quorate(signers[0], &["order", "submit", order], b""))
    };
    let create = ["key", "create", "demo", "--committee", "1,2,3,4,5", "--order-out", order];
    ok(&cluster.operator(&create));
    sign_and_submit(&["operator-2"]);
    let ciphertext = cluster.encrypt("demo", PLAINTEXT);

    let to = ["share", "reshare", "demo", "--committee", "2,3,4,6", "--order-out", order];
    ok(&cluster.operator(&to));
    let shown = ok(&cluster.operator(&["order", "show", order]));
    assert!(shown.contains("MOVE THE SHARES of key demo"), "{shown}");
    let line = |name: &str| shown.lines().find(|l| l.contains(name)).unwrap_or_default();
    assert!(line("node 6").contains("JOINS"), "{shown}");
    assert!(line("node 1").contains("LEAVES") && line("node 5").contains("LEAVES"), "{shown}");
    assert!(shown.contains("could use it before") && shown.contains("can use it then"), "{shown}");
    let done = sign_and_submit(&["operator-3"]);
    assert!(done.contains("3 of 4 nodes use it, 4 serve it"), "{done}");
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
}
