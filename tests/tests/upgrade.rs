//! Nodes are upgraded one by one under load, refused when their versions do not fit, and not put
//! back. There is no earlier release yet: `quorate-node-next` stands for the later one (protocol
//! 1.1, store format 2) and this build for the earlier. With `QUORATE_OLD_BINARIES=DIR`, a folder
//! with a real earlier release's `quorate`, `quorate-node` and `quorate-coordinator`, the rolling
//! upgrade is from those to this build.

use quorate_client::{Client, EncryptionContext};
use quorate_tests::{Cluster, binary};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

const PLAINTEXT: &[u8] = b"who owns my key?";
const REFRESH: [&str; 3] = ["share", "refresh", "demo"];
/// How long something may be in coming on a loaded machine.
const SOON: Duration = Duration::from_secs(30);
/// Who asks without a pause, at once.
const CLIENTS: usize = 3;

fn old_binaries() -> Option<PathBuf> {
    std::env::var_os("QUORATE_OLD_BINARIES").map(PathBuf::from)
}

/// A node of the later release.
fn next() -> Command {
    match old_binaries() {
        Some(_) => Command::new(binary("quorate-node")),
        None => Command::new(env!("CARGO_BIN_EXE_quorate-node-next")),
    }
}

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", said(out));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn log(cluster: &Cluster, index: u16) -> String {
    fs::read_to_string(cluster.log(&format!("node-{index}"))).expect("a log")
}

fn wait_until_serving(cluster: &Cluster, index: u16) {
    let begun = Instant::now();
    while !cluster.is_serving(index) {
        let log = log(cluster, index);
        assert!(begun.elapsed() < SOON, "node {index} does not serve: {log}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn ends(mut child: Child) -> Output {
    let begun = Instant::now();
    while child.try_wait().expect("a child can be waited for").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(120), "the command hangs");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("it has ended")
}

/// Clients that decrypt until told to stop.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    served: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    fn run(&self, home: &Path, sealed: &[u8]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let client = Client::open(home).expect("a client's home");
            while !self.over.load(Ordering::SeqCst) {
                let asked = client.decrypt(sealed, &EncryptionContext::default()).await;
                let count = match asked {
                    Ok(plaintext) => {
                        assert_eq!(&plaintext[..], PLAINTEXT);
                        &self.served
                    }
                    Err(error) => {
                        eprintln!("a request failed: {error}");
                        &self.failed
                    }
                };
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
    }

    fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }
}

/// Whoever leaves, also by a panic, ends the load.
struct Ends<'a>(&'a Load);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

#[test]
fn nodes_are_upgraded_one_by_one_under_load_without_a_failed_request() {
    let mut plan = Cluster::of(5).threshold(3);
    if let Some(old) = old_binaries() {
        plan = plan.binaries(&old);
    }
    let mut cluster = plan.start();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", PLAINTEXT);
    let load = Load::default();
    let home = cluster.home("client");
    std::thread::scope(|scope| {
        let ends_with_us = Ends(&load);
        for _ in 0..CLIENTS {
            scope.spawn(|| load.run(&home, &sealed));
        }
        for node in 1..=5 {
            // At the fourth, shares are on the move: three nodes are new, two are old.
            let refresh = (node == 4).then(|| {
                let mut log = cluster.tail("coordinator");
                let refresh = cluster.start_quorate("operator-1", &REFRESH);
                let line = log.wait_for(&["conducts", "step=deal "], SOON);
                assert!(line.is_some(), "the ceremony does not begin");
                refresh
            });
            let before = load.served();
            assert!(cluster.stop(node).success());
            cluster.start_node_as(node, next());
            wait_until_serving(&cluster, node);
            assert!(load.served() > before, "nobody is served while node {node} is upgraded");
            if let Some(refresh) = refresh {
                let out = ends(refresh);
                // It has gone on, or names whom it waited for; then it is given again.
                let named = said(&out).contains("[4]") || said(&out).contains("version");
                assert!(out.status.success() || named, "{}", said(&out));
                println!("refresh while node 4 was upgraded: {}{}", ok_text(&out), said(&out));
            }
            if node == 3 {
                let text = ok(&cluster.operator(&REFRESH));
                assert!(text.contains("5 serve it"), "of both releases: {text}");
            }
        }
        let text = ok(&cluster.operator(&REFRESH));
        assert!(text.contains("3 of 5 nodes use it, 5 serve it"), "{text}");
        assert!(text.contains("every old share is reported erased"), "{text}");
        drop(ends_with_us);
    });
    let (served, failed) = (load.served(), load.failed.load(Ordering::SeqCst));
    println!("{served} requests served, {failed} failed");
    assert_eq!(failed, 0);
    assert!(served > 50, "too few requests to say anything: {served}");
    if old_binaries().is_none() {
        for node in 1..=5 {
            let log = log(&cluster, node);
            assert!(log.contains("speaks protocol 1.1, store format 2"), "{log}");
        }
    }
}

fn ok_text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn a_node_of_another_major_version_is_refused_by_name_and_the_others_serve() {
    let mut cluster = Cluster::of(4).threshold(3).start();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", PLAINTEXT);
    assert!(cluster.stop(4).success());
    let mut program = Command::new(env!("CARGO_BIN_EXE_quorate-node-next"));
    program.env("QUORATE_NEXT_PROTOCOL", "2.0");
    cluster.start_node_as(4, program);
    // Whoever calls it is told both versions.
    let begun = Instant::now();
    let both = "protocol 1.0 is not spoken here, only 2.0";
    loop {
        let status = ok(&cluster.operator(&["cluster", "status"]));
        if status.contains(both) {
            break;
        }
        assert!(begun.elapsed() < SOON, "{status}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
    let out = cluster.operator(&REFRESH);
    assert!(!out.status.success());
    assert!(said(&out).contains(both) && said(&out).contains('4'), "{}", said(&out));
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
    // In the version of the others it takes part again.
    assert!(cluster.stop(4).success());
    cluster.start_node_as(4, Command::new(env!("CARGO_BIN_EXE_quorate-node-next")));
    cluster.wait_until_serving();
    ok(&cluster.operator(&REFRESH));
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
}

#[test]
fn a_store_of_the_next_format_is_refused_by_this_release_and_kept() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", PLAINTEXT);
    assert!(cluster.stop(3).success());
    cluster.start_node_as(3, Command::new(env!("CARGO_BIN_EXE_quorate-node-next")));
    wait_until_serving(&cluster, 3);
    assert!(cluster.stop(3).success());

    cluster.start_node(3);
    let ended = cluster.wait_for_end(3, SOON);
    assert_eq!(ended.code(), Some(78), "a supervisor does not try again");
    let log = log(&cluster, 3);
    let told = "has format 2, this program reads format 1: use the release that wrote it";
    assert!(log.contains(told), "{log}");

    // Nothing was lost by the attempt.
    cluster.start_node_as(3, Command::new(env!("CARGO_BIN_EXE_quorate-node-next")));
    cluster.wait_until_serving();
    ok(&cluster.operator(&REFRESH));
    cluster.kill(1);
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
}
