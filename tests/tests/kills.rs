//! Somebody is killed while shares move, at each step of the ceremony in turn: a node, the
//! coordinator, the command line, all nodes at once. The key goes on decrypting, the same command
//! finishes, and no old share stays on a disk.
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
    let status = json(&cluster.operator(&["--output", "json", "share", "status", "demo"]));
    assert_eq!(status["serving"], 5, "{when}: {status}");
    for node in status["nodes"].as_array().expect("nodes") {
        assert_eq!(node["held"], serde_json::json!([status["epoch"]]), "{when}: {node}");
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
