//! `cluster apply` that is cut short: by a signal, by a coordinator that dies, by nodes that are
//! not there. What it has moved stays moved, and the same command goes on with the rest.

use quorate_tests::{Cluster, LogTail};
use std::{
    process::Output,
    time::{Duration, Instant},
};

const PLAINTEXT: &[u8] = b"who owns my key?";
const KEYS: usize = 12;
/// One after the other, so that there is a middle.
const APPLY: [&str; 4] = ["cluster", "apply", "--at-once", "1"];

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn failed(out: &Output) -> String {
    assert!(!out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn json(out: &Output) -> serde_json::Value {
    serde_json::from_str(&ok(out)).expect("one JSON document")
}

/// Five nodes, twelve keys, and another identity in the place of node 3.
fn with_a_replaced_node() -> (Cluster, Vec<u8>) {
    let mut cluster = Cluster::of(5).threshold(3).start();
    for key in 0..KEYS {
        cluster.key(&format!("key-{key:02}"));
    }
    let sealed = cluster.encrypt("key-07", PLAINTEXT);
    cluster.kill(3);
    let card = cluster.new_node(3, "node-3b");
    let card = card.to_str().expect("a path");
    ok(&cluster.operator(&["cluster", "replace", "3", "--node-file", card]));
    cluster.give_roster("node-3b");
    cluster.start_node_in(3, "node-3b");
    cluster.wait_until_serving();
    (cluster, sealed)
}

fn moved(log: &mut LogTail, keys: usize) {
    for _ in 0..keys {
        let line = log.wait_for(&["shares have moved"], Duration::from_secs(30));
        assert!(line.is_some(), "no share moves");
    }
}

/// Runs the same command until nothing is left: at once, unless what was under way before is
/// still being finished. Gives how many keys it has moved.
fn completes(cluster: &Cluster, args: &[&str]) -> u64 {
    let begun = Instant::now();
    let mut keys = 0;
    loop {
        let out = cluster.operator(&[&["--output", "json"], args].concat());
        if out.status.success() {
            let done = json(&out);
            keys += done["moved"].as_u64().expect("a count");
            if done["moved"] == 0 {
                return keys;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{out:?}");
    }
}

fn all_are_served_by_five(cluster: &Cluster) {
    let status = json(&cluster.operator(&["--output", "json", "share", "status"]));
    let keys = status["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), KEYS);
    for key in keys {
        assert_eq!(key["serving"], 5, "{key}");
    }
}

#[test]
fn apply_killed_half_way_goes_on_with_what_is_left() {
    let (mut cluster, sealed) = with_a_replaced_node();
    let mut log = cluster.tail("coordinator");
    let mut command = cluster.start_quorate("operator-1", &APPLY);
    moved(&mut log, 4);
    command.kill().expect("a child can be killed");
    command.wait().expect("it has ended");
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
    let plan = json(&cluster.operator(&["--output", "json", "cluster", "plan"]));
    let left = plan["keys"].as_array().expect("keys").len();
    assert!((1..=KEYS - 4).contains(&left), "{plan}");
    let rest = completes(&cluster, &APPLY);
    // The key that was under way is finished by the coordinator, or by the second run.
    assert!((left as u64 - 1..=left as u64).contains(&rest), "{rest} of {left}");
    all_are_served_by_five(&cluster);
    // The new identity can be needed.
    cluster.kill(1);
    cluster.kill(2);
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
}

#[test]
fn a_coordinator_killed_under_apply_is_told_and_the_same_command_goes_on() {
    let (mut cluster, sealed) = with_a_replaced_node();
    let mut log = cluster.tail("coordinator");
    let command = cluster.start_quorate("operator-1", &APPLY);
    moved(&mut log, 4);
    cluster.stop_coordinator_hard();
    let out = command.wait_with_output().expect("it ends");
    let said = failed(&out);
    assert!(said.contains("the same command again goes on with what is left"), "{said}");
    cluster.start_coordinator();
    cluster.wait_until_serving();
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
    completes(&cluster, &APPLY);
    all_are_served_by_five(&cluster);
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
}

/// The node that is removed is down, and so is one that stays.
#[test]
fn apply_with_a_removed_node_and_a_member_down_says_who_missed_it_and_is_repaired() {
    let mut cluster = Cluster::of(6).threshold(3).start();
    for key in ["one", "two"] {
        cluster.key(key);
    }
    let sealed = cluster.encrypt("two", PLAINTEXT);
    cluster.kill(4);
    cluster.kill(5);
    let removed = ok(&cluster.operator(&["cluster", "remove", "4"]));
    assert!(removed.contains("not yet at") && removed.contains("node-5"), "{removed}");
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
    // All members are asked for unless the order allows less, and the silent one is named.
    let said = failed(&cluster.operator(&["cluster", "apply"]));
    assert!(said.contains("nodes [5]"), "{said}");
    assert!(said.contains("the same command again"), "{said}");
    let absent = ["cluster", "apply", "--allow-absent", "1", "--yes"];
    let applied = ok(&cluster.operator(&absent));
    assert!(applied.starts_with("2 keys moved"), "{applied}");
    assert!(applied.contains("missed by node-5"), "{applied}");
    let late = applied.lines().find(|l| l.starts_with("not yet erased at")).unwrap_or_default();
    assert!(late.contains("node 4") || late.contains("node-4"), "{applied}");
    assert!(late.contains("node-5"), "{applied}");
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
    // Both come back: one is told that it is out and erases, the other has no share yet.
    cluster.start_node(4);
    cluster.start_node(5);
    let begun = Instant::now();
    let held = |cluster: &Cluster| {
        let status = json(&cluster.operator(&["--output", "json", "share", "status", "two"]));
        let nodes = status["nodes"].as_array().expect("nodes").clone();
        let five = nodes.iter().find(|n| n["node"] == 5).cloned().unwrap_or_default();
        five["held"].as_array().map(Vec::len)
    };
    while held(&cluster) != Some(0) {
        assert!(begun.elapsed() < Duration::from_secs(30), "node 5 keeps its old share");
        std::thread::sleep(Duration::from_millis(200));
    }
    ok(&cluster.operator(&["share", "repair", "5"]));
    let status = json(&cluster.operator(&["--output", "json", "share", "status", "two"]));
    assert_eq!((&status["serving"], &status["spare"]), (&5.into(), &2.into()), "{status}");
    assert_eq!(status["committee"], serde_json::json!([1, 2, 3, 5, 6]));
    cluster.kill(1);
    cluster.kill(2);
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
}
