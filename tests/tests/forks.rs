//! Two orders that follow the same one, at a cluster of real processes.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of `#[test]` functions")]

use quorate_crypto::IdentityKey;
use quorate_tests::Cluster;
use std::process::Output;

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// Runs an operator's command that must succeed; what it printed.
fn done(cluster: &Cluster, args: &[&str]) -> String {
    let out = cluster.operator(args);
    assert!(out.status.success(), "{args:?}: {}", said(&out));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Runs an operator's command that must be refused; why it was.
fn refused(cluster: &Cluster, args: &[&str]) -> String {
    let out = cluster.operator(args);
    assert!(!out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stdout));
    said(&out)
}

fn identity(n: u8) -> String {
    IdentityKey::from_seed(&[n; 32]).public().to_string()
}

/// The names of the clients that are known at each node.
fn clients(cluster: &Cluster, nodes: &[String]) -> Vec<Vec<String>> {
    let at = |node: &String| {
        let json = done(cluster, &["--output", "json", "--node", node, "client", "list"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let name = |c: &serde_json::Value| c["name"].as_str().unwrap().to_owned();
        let mut names: Vec<String> = json.as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    };
    nodes.iter().map(at).collect()
}

#[test]
fn a_chain_that_forked_goes_on_when_operators_have_said_which_order_stays() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    let shown = done(&cluster, &["--output", "json", "cluster", "show"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let endpoint = |n: &serde_json::Value| n["endpoint"].as_str().unwrap().to_owned();
    let nodes: Vec<String> = shown["nodes"].as_array().unwrap().iter().map(endpoint).collect();

    // Two orders are made of one state, and each reaches other nodes first.
    let file = |name: &str| cluster.home(name).to_str().unwrap().to_owned();
    let (one, two, end) = (file("one.order"), file("two.order"), file("end.order"));
    for (name, key, file) in [("one", identity(51), &one), ("two", identity(52), &two)] {
        done(&cluster, &["client", "add", name, &key, "--order-out", file]);
    }
    cluster.stop(3);
    done(&cluster, &["order", "submit", &one]);
    cluster.stop_coordinator();
    cluster.start_node(3);
    let patience = std::time::Instant::now();
    while !cluster.operator(&["--node", &nodes[2], "order", "submit", &two]).status.success() {
        assert!(patience.elapsed().as_secs() < 20, "node 3 does not come back");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    cluster.start_coordinator();
    cluster.wait_until_serving();
    let known = clients(&cluster, &nodes);
    assert_eq!(known, [["client", "one"], ["client", "one"], ["client", "two"]]);

    // Who submits the second one is told that it does not hold everywhere.
    let out = cluster.operator(&["order", "submit", &two]);
    assert!(said(&out).contains("not applied at node 1"), "{}", said(&out));
    let fault = refused(&cluster, &["--node", &nodes[2], "order", "submit", &one]);
    assert!(fault.contains("order resolve") && fault.contains("operator-1"), "{fault}");
    let three = identity(53);
    for node in &nodes {
        let add = ["--node", &node[..], "client", "add", "three", &three];
        let fault = refused(&cluster, &add);
        assert!(fault.contains("order resolve"), "{node}: {fault}");
    }

    // An operator sees what would be signed, then says which stays.
    done(&cluster, &["order", "resolve", &one, &two, "--order-out", &end]);
    let shown = done(&cluster, &["order", "show", &end]);
    assert!(shown.contains("RESOLVE FORK of the orders for policy and clients"), "{shown}");
    assert!(!shown.contains("WILL BE REFUSED"), "{shown}");
    done(&cluster, &["order", "submit", &end]);
    done(&cluster, &["client", "add", "three", &three]);
    let known = clients(&cluster, &nodes);
    assert_eq!(known, vec![["client", "one", "three"]; 3]);
    let listed = done(&cluster, &["order", "list"]);
    assert_eq!(listed.matches("(fell").count(), 1, "{listed}");
    let fault = refused(&cluster, &["order", "submit", &two]);
    assert!(fault.contains("another one stays"), "{fault}");

    // Orders that do not fork anything are not made to.
    let fault = refused(&cluster, &["order", "resolve", &one, &end]);
    assert!(fault.contains("do not follow the same order"), "{fault}");
}
