//! Rosters that change while real processes run: nodes join, leave, and take one another's
//! place.

use quorate_client::{Client, EncryptionContext};
use quorate_tests::{Cluster, binary};
use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

const PLAINTEXT: &[u8] = b"who owns my key?";

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

fn key_status(cluster: &Cluster, key: &str) -> serde_json::Value {
    json(&cluster.operator(&["--output", "json", "share", "status", key]))
}

/// What a node says of itself to its own command line.
fn node_status(cluster: &Cluster, home: &str) -> String {
    let mut ask = Command::new(binary("quorate-node"));
    ask.args(["status", "--home"]).arg(cluster.home(home));
    let out = ask.output().expect("quorate-node runs");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_sixth_node_joins_and_takes_a_key_and_everything_starts_again_with_the_newest_roster() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    cluster.key("demo");
    let ciphertext = cluster.encrypt("demo", PLAINTEXT);
    // A process that knows the roster of the beginning, and goes on all the way.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let home = cluster.home("client");
    let old_client = runtime.block_on(async { Client::open(home).expect("the client's home") });
    let decrypts = |client: &Client| {
        let none = EncryptionContext::default();
        let opened = client.decrypt(&ciphertext, &none);
        assert_eq!(&runtime.block_on(opened).expect("it decrypts")[..], PLAINTEXT);
    };
    decrypts(&old_client);
    // A client that is revoked, and one that is added, before there is a sixth node.
    let revoked = ok(&Command::new(binary("quorate"))
        .args(["--output", "json", "client", "keygen", "--name", "gone", "--dir"])
        .arg(cluster.home("gone"))
        .output()
        .expect("quorate runs"));
    let revoked: serde_json::Value = serde_json::from_str(&revoked).expect("JSON");
    let revoked = revoked["key"].as_str().expect("a key");
    ok(&cluster.operator(&["client", "add", "gone", revoked]));
    ok(&cluster.operator(&["client", "revoke", "gone"]));

    let card = cluster.new_node(6, "");
    let card = card.to_str().expect("a path");
    let text = ok(&cluster.operator(&["cluster", "add", "--node-file", card]));
    assert!(text.contains("roster version 2 holds"), "{text}");
    assert!(text.contains("not yet at node-6"), "{text}");
    let again = failed(&cluster.operator(&["cluster", "add", "--node-file", card]));
    assert!(again.contains("has been in the roster before"), "{again}");
    cluster.give_roster("node-6");
    cluster.start_node(6);
    cluster.wait_until_serving();
    let plan = ok(&cluster.operator(&["cluster", "plan"]));
    assert!(plan.contains("none of 1 keys is touched"), "{plan}");
    ok(&cluster.operator(&["share", "reshare", "demo", "--committee", "2,3,5,6"]));
    decrypts(&old_client);
    // It hears of the orders that were given before its time.
    wait_for("the sixth node has the orders", || {
        let log = std::fs::read_to_string(cluster.log("node-6")).expect("a log");
        log.contains("revoke client") && log.contains("add client")
    });

    // Everything starts again; the coordinator has nothing but its first roster file.
    cluster.stop_coordinator();
    for index in 1..=6 {
        cluster.stop(index);
    }
    for index in 1..=6 {
        cluster.start_node(index);
    }
    cluster.start_coordinator();
    wait_for("six nodes serve", || {
        let out = cluster.operator(&["--output", "json", "cluster", "status"]);
        let status: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
        status["roster_version"] == 2 && status["serving"] == 6
    });
    ok(&cluster.operator(&["share", "refresh", "demo"]));
    decrypts(&old_client);
    // The sixth is needed now.
    cluster.kill(2);
    cluster.kill(1);
    decrypts(&old_client);
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
}

#[test]
fn a_killed_node_is_replaced_by_a_new_identity_and_the_old_one_is_refused() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    for name in ["one", "two", "elsewhere"] {
        let nodes = if name == "elsewhere" { "1,2,4,5" } else { "1,2,3,4,5" };
        ok(&cluster.operator(&["key", "create", name, "--committee", nodes]));
    }
    let ciphertext = cluster.encrypt("two", PLAINTEXT);
    cluster.kill(3);
    let card = cluster.new_node(3, "node-3b");
    let card = card.to_str().expect("a path");
    let out = cluster.operator(&["cluster", "replace", "3", "--node-file", card]);
    let shown = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(shown.contains("IS REPLACED node-3 at"), "{shown}");
    assert!(shown.contains("node-3b at"), "{shown}");
    ok(&out);
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
    cluster.give_roster("node-3b");
    cluster.start_node_in(3, "node-3b");
    cluster.wait_until_serving();
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);

    let plan = ok(&cluster.operator(&["cluster", "plan"]));
    assert!(plan.contains("2 of 3 keys are touched"), "{plan}");
    assert!(plan.contains("node 3 (replaced)"), "{plan}");
    let applied = ok(&cluster.operator(&["cluster", "apply"]));
    assert!(applied.starts_with("2 keys moved"), "{applied}");
    assert!(applied.contains("1 not touched, 0 failed"), "{applied}");
    assert!(applied.contains("not yet erased at node-3 or node-3b"), "{applied}");
    let applied = ok(&cluster.operator(&["cluster", "apply"]));
    assert!(applied.starts_with("0 keys moved"), "{applied}");
    assert_eq!(key_status(&cluster, "two")["serving"], 5);

    // The old identity comes back with the old roster: a coordinator tells it.
    cluster.start_node_in(9, "node-3");
    wait_for("the old identity knows that it is out", || {
        node_status(&cluster, "node-3").contains("removed")
    });
    // The new one can be needed.
    cluster.kill(9);
    cluster.kill(1);
    cluster.kill(2);
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
}

#[test]
fn a_node_that_is_removed_stops_and_erases_and_another_address_is_followed() {
    let mut cluster = Cluster::of(6).threshold(3).start();
    cluster.key("demo");
    let ciphertext = cluster.encrypt("demo", PLAINTEXT);
    ok(&cluster.operator(&["cluster", "remove", "4"]));
    assert!(node_status(&cluster, "node-4").contains("removed"));
    assert!(!cluster.is_healthy(4));
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
    let plan = ok(&cluster.operator(&["cluster", "plan"]));
    assert!(plan.contains("node 4 (left)") && plan.contains("3 of 5"), "{plan}");
    let status = ok(&cluster.operator(&["share", "status", "demo"]));
    assert!(status.contains("has left the roster: `quorate cluster apply`"), "{status}");
    let applied = ok(&cluster.operator(&["cluster", "apply"]));
    assert!(applied.starts_with("1 keys moved"), "{applied}");
    assert!(!applied.contains("not yet erased"), "it has erased what it held: {applied}");
    let status = key_status(&cluster, "demo");
    assert_eq!(status["committee"], serde_json::json!([1, 2, 3, 5, 6]));
    // It starts, and still knows that it is out.
    cluster.stop(4);
    cluster.start_node(4);
    wait_for("it is out", || node_status(&cluster, "node-4").contains("removed"));
    cluster.kill(4);

    // Node 5 moves to another port.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let address = port.expect("a free port").to_string();
    let config = cluster.home("node-5").join("node.toml");
    cluster.stop(5);
    let text = std::fs::read_to_string(&config).expect("a configuration");
    let lines = text.lines().map(|l| match l.starts_with("listen = ") {
        true => format!("listen = \"{address}\"\n"),
        false => format!("{l}\n"),
    });
    std::fs::write(&config, lines.collect::<String>()).expect("it is written");
    ok(&cluster.operator(&["cluster", "endpoint", "5", &address]));
    cluster.start_node(5);
    cluster.wait_until_serving();
    cluster.kill(1);
    cluster.kill(2);
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
    // With three left and three needed, one more cannot leave without its keys.
    ok(&cluster.operator(&["cluster", "remove", "1"]));
    ok(&cluster.operator(&["cluster", "remove", "2"]));
    let refused = failed(&cluster.operator(&["cluster", "remove", "3"]));
    assert!(refused.contains("would lose 1 keys for good (demo)"), "{refused}");
    ok(&cluster.operator(&["cluster", "remove", "3", "--accept-lost-keys"]));
    let plan = ok(&cluster.operator(&["cluster", "plan"]));
    assert!(plan.contains("CANNOT FOLLOW: KEY LOST: only 2 of its 5 members"), "{plan}");
    let refused = failed(&cluster.operator(&["cluster", "apply"]));
    assert!(refused.contains("only 2 of its 5 members"), "{refused}");
}

#[test]
fn several_operators_sign_a_roster_as_a_file() {
    let mut cluster = Cluster::of(3).threshold(2).operators(3).start();
    let card = cluster.new_node(4, "");
    let (card, file) = (card.to_str().expect("a path"), cluster.home("next"));
    let file = file.to_str().expect("a path");
    let alone = failed(&cluster.operator(&["cluster", "add", "--node-file", card]));
    assert!(alone.contains("2 operators must sign"), "{alone}");
    let add = ["cluster", "add", "--node-file", card, "--roster-out", file];
    let shown = ok(&cluster.operator(&add));
    assert!(shown.contains("JOINS       node-4"), "{shown}");
    let early = failed(&cluster.operator(&["cluster", "submit", file]));
    assert!(early.contains("1 of 2 operators signed"), "{early}");
    ok(&cluster.quorate("operator-2", &["cluster", "sign", file, "--yes"], b""));
    let done = ok(&cluster.quorate("operator-3", &["cluster", "submit", file], b""));
    assert!(done.contains("roster version 2 holds"), "{done}");
    // The others' homes have the old roster; what they order is under the new one.
    cluster.give_roster_of("operator-3", "node-4");
    cluster.start_node(4);
    cluster.wait_until_serving();
    let order = cluster.home("order");
    let order = order.to_str().expect("a path");
    let create = ["key", "create", "demo", "--committee", "2,3,4", "--order-out", order];
    ok(&cluster.operator(&create));
    ok(&cluster.quorate("operator-2", &["order", "sign", order, "--yes"], b""));
    ok(&cluster.quorate("operator-2", &["order", "submit", order], b""));
    assert!(ok(&cluster.operator(&["order", "list"])).contains("demo"));
    // Another one in the same version is refused.
    let late = failed(&cluster.quorate("operator-2", &["cluster", "sign", file, "--yes"], b""));
    assert!(
        late.contains("more than one new roster") || late.contains("does not follow"),
        "{late}"
    );
}
