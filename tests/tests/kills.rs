//! Somebody is killed at each step of each ceremony in turn: a node, the coordinator, the command
//! line, and while shares move all nodes at once. Keys go on decrypting, the same command finishes,
//! and no old share stays on a disk.
//!
//! A step is known to be under way by the line that the coordinator logs for it; the signal is
//! sent some milliseconds later. What happens in between is the machine's choice, and all of it
//! is allowed: no step is waited for by a clock.

use quorate_tests::{Cluster, LogTail};
use std::{
    process::{Child, Output},
    time::{Duration, Instant},
};

const PLAINTEXT: &[u8] = b"who owns my key?";
const STEPS: [&str; 6] = ["survey", "prepare", "deal", "receive", "activate", "retire"];
const REFRESH: [&str; 3] = ["share", "refresh", "demo"];

/// How long a step may be in coming on a loaded machine.
const SOON: Duration = Duration::from_secs(30);

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn json(out: &Output) -> serde_json::Value {
    serde_json::from_str(&ok(out)).expect("one JSON document")
}

/// A cluster of five with a key, and something sealed under it.
fn cluster() -> (Cluster, Vec<u8>) {
    let cluster = Cluster::of(5).threshold(3).start();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", PLAINTEXT);
    (cluster, sealed)
}

/// Runs a command of the operator until the ceremony that it asks for is at a step.
fn until(cluster: &Cluster, args: &[&str], step: &str) -> Child {
    let mut log = cluster.tail("coordinator");
    let child = cluster.start_quorate("operator-1", args);
    reached(&mut log, step);
    child
}

fn reached(log: &mut LogTail, step: &str) {
    let line = log.wait_for(&["conducts", &format!("step={step} ")], SOON);
    assert!(line.is_some(), "the {step} step was never reached");
}

/// What has begun goes on or fails; it does not hang.
fn ends(mut child: Child) -> Output {
    let begun = Instant::now();
    while child.try_wait().expect("a child can be waited for").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(120), "the command hangs");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("it has ended")
}

fn decrypts(cluster: &Cluster, sealed: &[u8], when: &str) {
    let out = cluster.decrypt(sealed);
    assert!(out.status.success(), "{when}: {}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.stdout, PLAINTEXT, "{when}");
}

/// The same command is given again and goes through; then every node serves one epoch, holds no
/// other share, and says so.
fn the_same_command_finishes(cluster: &Cluster, args: &[&str], when: &str) {
    let out = cluster.operator(args);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{when}: {said}");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("3 of 5 nodes use it, 5 serve it"), "{when}: {text}");
    assert!(text.contains("every old share is reported erased"), "{when}: {text}");
    is_settled(cluster, "demo", when);
}

/// Each of the five members serves the one epoch, and nobody holds any other share.
fn is_settled(cluster: &Cluster, key: &str, when: &str) {
    let status = json(&cluster.operator(&["--output", "json", "share", "status", key]));
    assert_eq!(status["serving"], 5, "{when}: {status}");
    let committee = status["committee"].as_array().expect("members");
    for node in status["nodes"].as_array().expect("nodes") {
        let held = match committee.contains(&node["node"]) {
            true => serde_json::json!([status["epoch"]]),
            false => serde_json::json!([]),
        };
        assert_eq!(node["held"], held, "{when}: {node}");
        assert!(node["note"].is_null(), "{when}: {node}");
    }
}

#[test]
fn a_node_killed_at_each_step_comes_back_and_the_same_command_finishes() {
    let (mut cluster, sealed) = cluster();
    for (step, victim) in STEPS.into_iter().zip([1, 2, 3, 4, 5, 1]) {
        let when = format!("node {victim} killed at {step}");
        let command = until(&cluster, &REFRESH, step);
        cluster.kill(victim);
        decrypts(&cluster, &sealed, &when);
        cluster.start_node(victim);
        ends(command);
        cluster.wait_until_serving();
        decrypts(&cluster, &sealed, &when);
        the_same_command_finishes(&cluster, &REFRESH, &when);
    }
    decrypts(&cluster, &sealed, "at the end");
}

#[test]
fn a_coordinator_killed_at_each_step_loses_nothing_and_the_same_command_finishes() {
    let (mut cluster, sealed) = cluster();
    let mut cut_short = 0;
    for step in STEPS {
        let when = format!("coordinator killed at {step}");
        let command = until(&cluster, &REFRESH, step);
        cluster.stop_coordinator_hard();
        let out = ends(command);
        // It knows no outcome that it has not heard.
        match out.status.success() {
            true => assert!(ok(&out).contains("serve it"), "{when}"),
            false => cut_short += 1,
        }
        cluster.start_coordinator();
        cluster.wait_until_serving();
        decrypts(&cluster, &sealed, &when);
        the_same_command_finishes(&cluster, &REFRESH, &when);
    }
    assert!(cut_short > 0, "the coordinator was never killed in time");
    println!("{cut_short} of {} ceremonies were cut short", STEPS.len());
    decrypts(&cluster, &sealed, "at the end");
}

#[test]
fn a_command_line_killed_at_each_step_leaves_nothing_to_clean_up() {
    let (cluster, sealed) = cluster();
    let file = cluster.home("order");
    let file = file.to_str().expect("a path");
    for step in STEPS {
        let when = format!("share refresh killed at {step}");
        let mut command = until(&cluster, &REFRESH, step);
        command.kill().expect("a child can be killed");
        ends(command);
        decrypts(&cluster, &sealed, &when);
        the_same_command_finishes(&cluster, &REFRESH, &when);

        // The same order again is the same epoch, once.
        let when = format!("order submit killed at {step}");
        ok(&cluster.operator(&["share", "refresh", "demo", "--order-out", file]));
        let submit = ["order", "submit", file];
        let mut command = until(&cluster, &submit, step);
        command.kill().expect("a child can be killed");
        ends(command);
        the_same_command_finishes(&cluster, &submit, &when);
        let epoch = |text: &str| text.lines().next().map(str::to_owned);
        let (once, again) = (ok(&cluster.operator(&submit)), ok(&cluster.operator(&submit)));
        assert_eq!(epoch(&once), epoch(&again), "{when}");
        decrypts(&cluster, &sealed, &when);
    }
}

/// The power goes everywhere.
#[test]
fn all_nodes_killed_at_once_at_each_step_serve_again_and_the_same_command_finishes() {
    let (mut cluster, sealed) = cluster();
    for step in STEPS {
        let when = format!("all nodes killed at {step}");
        let command = until(&cluster, &REFRESH, step);
        for node in 1..=5 {
            cluster.kill(node);
        }
        for node in 1..=5 {
            cluster.start_node(node);
        }
        ends(command);
        cluster.wait_until_serving();
        decrypts(&cluster, &sealed, &when);
        the_same_command_finishes(&cluster, &REFRESH, &when);
    }
    decrypts(&cluster, &sealed, "at the end");
}

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Node(u16),
    Coordinator,
    CommandLine,
}

/// A ceremony that an order begins, and the order for it.
struct Ceremony {
    steps: &'static [&'static str],
    /// Orders it for the so manieth time: the key that it is about, and the command that has it
    /// conducted, any number of times.
    order: fn(&Cluster, usize) -> (String, Vec<String>),
}

/// Those that end with a key, and not with old shares to be erased.
const BIRTH: [&str; 5] = ["prepare", "deal", "receive", "activate", "retire"];

/// At each step one party, in turn; by `QUORATE_KILLS=all` each of them.
fn each_is_killed_at_each_step(nodes: u16, ceremony: &Ceremony) {
    let mut cluster = Cluster::of(nodes).threshold(3).start();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", PLAINTEXT);
    let all = std::env::var("QUORATE_KILLS").is_ok_and(|v| v == "all");
    let mut times = 0;
    for (at, step) in ceremony.steps.iter().enumerate() {
        let node = 3 + u16::try_from(at).expect("a few steps") % 3;
        let victims = [Victim::Node(node), Victim::Coordinator, Victim::CommandLine];
        let in_turn = [victims[at % victims.len()]];
        for victim in if all { &victims[..] } else { &in_turn[..] } {
            let when = format!("{victim:?} killed at {step}");
            let (key, command) = (ceremony.order)(&cluster, times);
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            times += 1;
            let mut under_way = until(&cluster, &command, step);
            match victim {
                Victim::Node(node) => {
                    cluster.kill(*node);
                    decrypts(&cluster, &sealed, &when);
                    cluster.start_node(*node);
                }
                Victim::Coordinator => {
                    cluster.stop_coordinator_hard();
                    cluster.start_coordinator();
                }
                Victim::CommandLine => under_way.kill().expect("a child can be killed"),
            }
            ends(under_way);
            cluster.wait_until_serving();
            decrypts(&cluster, &sealed, &when);
            let out = cluster.operator(&command);
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(out.status.success(), "{when}: {said}");
            is_settled(&cluster, &key, &when);
            decrypts(&cluster, &sealed, &when);
            decrypts(&cluster, &cluster.encrypt(&key, PLAINTEXT), &when);
        }
    }
}

/// Writes an order to a file; what submits it.
fn written(cluster: &Cluster, order: &[&str]) -> Vec<String> {
    let file = order_file(cluster);
    ok(&cluster.operator(&[order, &["--order-out", &file]].concat()));
    vec!["order".into(), "submit".into(), file]
}

fn order_file(cluster: &Cluster) -> String {
    cluster.home("order").to_str().expect("a path").to_owned()
}

#[test]
fn whoever_is_killed_at_each_step_of_a_birth_the_same_order_gives_birth_to_the_key() {
    let order = |cluster: &Cluster, times| {
        let key = format!("born-{times}");
        let command = written(cluster, &["key", "create", &key]);
        (key, command)
    };
    each_is_killed_at_each_step(5, &Ceremony { steps: &BIRTH, order });
}

#[test]
fn whoever_is_killed_at_each_step_of_a_rotation_the_same_order_makes_the_version() {
    let order =
        |cluster: &Cluster, _| ("demo".to_owned(), written(cluster, &["key", "rotate", "demo"]));
    each_is_killed_at_each_step(5, &Ceremony { steps: &BIRTH, order });
}

#[test]
fn whoever_is_killed_at_each_step_of_an_import_the_same_command_imports_the_key() {
    let order = |cluster: &Cluster, times: usize| {
        let key = format!("had-{times}");
        let (file, order) = (cluster.home("scalar"), order_file(cluster));
        let mut scalar = [0x11; 32];
        scalar[31] = 1;
        scalar[0] = u8::try_from(times).expect("a few times");
        std::fs::write(&file, scalar).expect("a file can be written");
        let file = file.to_str().expect("a path");
        let import = ["key", "import", &key, "--from", file];
        let draft = ["--purpose", "decrypt", "--order-out", &order];
        ok(&cluster.operator(&[&import[..], &draft].concat()));
        let command = [&import[..], &["--order", &order, "--yes"]].concat();
        let command = command.into_iter().map(str::to_owned).collect();
        (key, command)
    };
    each_is_killed_at_each_step(5, &Ceremony { steps: &BIRTH, order });
}

#[test]
fn whoever_is_killed_at_each_step_of_a_reshare_to_others_the_same_order_finishes() {
    let order = |cluster: &Cluster, times: usize| {
        let to = if times.is_multiple_of(2) { "3,4,5,6,7" } else { "1,2,3,4,5" };
        let reshare = ["share", "reshare", "demo", "--committee", to];
        ("demo".to_owned(), written(cluster, &reshare))
    };
    each_is_killed_at_each_step(7, &Ceremony { steps: &STEPS, order });
}
