//! Orders that several operators sign: what each of them is shown.

use quorate_tests::Cluster;
use serde_json::{Value, json};
use std::process::Output;

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", said(out));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// A path in the cluster's directory.
fn path(cluster: &Cluster, name: &str) -> String {
    cluster.home(name).to_str().expect("a path").to_owned()
}

fn show(cluster: &Cluster, home: &str, order: &str) -> (String, Value) {
    let text = ok(&cluster.quorate(home, &["order", "show", order], b""));
    let json = cluster.quorate(home, &["--output", "json", "order", "show", order], b"");
    (text, serde_json::from_str(&ok(&json)).expect("one JSON document"))
}

/// Writes the order with the first operator, and has the second one sign and submit it.
fn both(cluster: &Cluster, order: &str, command: &[&str]) -> String {
    let mut command = command.to_vec();
    command.extend(["--order-out", order]);
    ok(&cluster.operator(&command));
    let signed = cluster.quorate("operator-2", &["order", "sign", order, "--yes"], b"");
    ok(&signed);
    ok(&cluster.quorate("operator-2", &["order", "submit", order], b""));
    said(&signed)
}

/// The line after the first that holds `text`, which has the identity of who is named there.
fn identity_of<'a>(shown: &'a str, text: &str) -> &'a str {
    shown.lines().skip_while(|l| !l.contains(text)).nth(1).unwrap_or_default().trim()
}

/// A co-signer has never used the key, or has seen it long ago: what is before is asked of the
/// nodes. Of a replaced node the identities are told, though the index stays.
#[test]
fn whoever_is_to_sign_is_shown_what_changes_of_the_epoch_in_force() {
    let mut cluster = Cluster::of(6).threshold(3).operators(3).start();
    let order = path(&cluster, "order");
    both(&cluster, &order, &["key", "create", "demo", "--committee", "1,2,3,4,5"]);
    // The first operator has the first epoch pinned from here on.
    ok(&cluster.operator(&["who-owns", "demo"]));
    both(&cluster, &order, &["share", "refresh", "demo"]);

    let to = ["share", "reshare", "demo", "--committee", "2,3,4,6", "--order-out", &order];
    let written = ok(&cluster.operator(&to));
    assert!(written.contains("JOINS") && written.contains("LEAVES"), "{written}");
    for home in ["operator-1", "operator-3"] {
        let (shown, json) = show(&cluster, home, &order);
        let line = |name: &str| shown.lines().find(|l| l.contains(name)).unwrap_or_default();
        assert!(line("node 6").ends_with("JOINS"), "{home}: {shown}");
        assert!(!line("node 2").contains("JOINS"), "{home}: {shown}");
        assert!(line("node 1").contains("LEAVES, and erases"), "{home}: {shown}");
        assert_eq!((&json["joins"], &json["leaves"]), (&json!([6]), &json!([1, 5])), "{json}");
        assert_eq!(json["before"]["committee"], json!([1, 2, 3, 4, 5]), "{json}");
        assert!(shown.contains("in force now"), "{home}: {shown}");
    }
    let signing = cluster.quorate("operator-3", &["order", "sign", &order, "--yes"], b"");
    assert!(said(&signing).contains("JOINS") && said(&signing).contains("could use it before"));
    ok(&cluster.quorate("operator-3", &["order", "submit", &order], b""));
    let (shown, _) = show(&cluster, "operator-1", &order);
    assert!(shown.contains("CARRIED OUT") && !shown.contains("JOINS"), "{shown}");

    // Another identity in the place of node 3.
    let (shown, _) = show(&cluster, "operator-2", &order);
    let old = identity_of(&shown, "node 3").to_owned();
    cluster.kill(3);
    let (card, roster) = (cluster.new_node(3, "node-3b"), path(&cluster, "roster"));
    let card = card.to_str().expect("a path");
    let replace = ["cluster", "replace", "3", "--node-file", card, "--roster-out", &roster];
    ok(&cluster.operator(&replace));
    ok(&cluster.quorate("operator-2", &["cluster", "sign", &roster, "--yes"], b""));
    ok(&cluster.quorate("operator-2", &["cluster", "submit", &roster], b""));
    cluster.give_roster_of("operator-2", "node-3b");
    cluster.start_node_in(3, "node-3b");
    cluster.wait_until_serving();
    let orders = path(&cluster, "orders");
    ok(&cluster.operator(&["cluster", "apply", "--order-out", &orders]));
    let order = format!("{orders}/demo.order");
    for home in ["operator-1", "operator-2", "operator-3"] {
        let (shown, json) = show(&cluster, home, &order);
        assert_eq!((&json["joins"], &json["leaves"]), (&json!([3]), &json!([3])), "{json}");
        let line = |end: &str| shown.lines().find(|l| l.contains(end)).unwrap_or_default();
        assert!(line("JOINS").contains("node-3b"), "{shown}");
        assert!(line("LEAVES; it has left the roster").contains("node-3 ("), "{shown}");
        assert_eq!(identity_of(&shown, "LEAVES"), old, "{shown}");
        assert_ne!(identity_of(&shown, "JOINS"), old, "{shown}");
        // Who ran the node that has left could have been one of them.
        let providers = |all: &Value| all.to_string();
        let gone = line("LEAVES").split(['(', ',']).nth(1).expect("a provider");
        assert!(providers(&json["coalitions_before"]).contains(gone), "{json}");
    }
    // Nobody can be asked: what was seen last is called that, and nothing is made up.
    cluster.stop_coordinator_hard();
    let (shown, _) = show(&cluster, "operator-1", &order);
    assert!(shown.contains("AS THIS HOME SAW IT LAST"), "{shown}");
    std::fs::remove_dir_all(cluster.home("operator-2").join("pins")).expect("it has pins");
    let (shown, json) = show(&cluster, "operator-2", &order);
    assert!(shown.contains("WHAT CHANGES IS NOT KNOWN HERE"), "{shown}");
    assert!(!shown.contains("JOINS") && json["before"]["unknown"].is_string(), "{shown}");
}
