//! Operators who order at the same moment, and operators who order what cannot be.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of `#[test]` functions")]

use quorate_client::Home;
use quorate_crypto::{IdentityKey, hash::Label};
use quorate_tests::Cluster;
use quorate_types::{
    Action, Format, Hash, Order, Signed, SignedOrder,
    armor::{self, Title},
};
use std::{fs, path::Path, process::Output};

const PLAINTEXT: &[u8] = b"who owns my key?";

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", said(out));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn json(out: &Output) -> serde_json::Value {
    serde_json::from_str(&ok(out)).unwrap()
}

/// The operator at another machine.
fn second_home(cluster: &Cluster) -> &'static str {
    copy(&cluster.home("operator-1"), &cluster.home("operator-1b"));
    "operator-1b"
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// Every node serves one epoch of the key, and holds nothing else.
fn is_settled(cluster: &Cluster, key: &str) {
    let status = json(&cluster.operator(&["--output", "json", "share", "status", key]));
    assert_eq!(
        status["serving"].as_u64(),
        status["committee"].as_array().map(|c| c.len() as u64),
        "{status}"
    );
    for node in status["nodes"].as_array().unwrap() {
        assert!(node["note"].is_null(), "{node}");
    }
}

/// Two orders made of one state: the first that arrives goes through, the other one is brought
/// to no node, and the key's chain has not forked.
#[test]
fn of_two_rotations_ordered_at_once_one_goes_through_and_the_other_is_told_what_to_do() {
    let cluster = Cluster::of(5).threshold(3).start();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", PLAINTEXT);
    let second = second_home(&cluster);
    let file = |name: &str| cluster.home(name).to_str().unwrap().to_owned();
    for round in 0..3 {
        let files = [file("one.order"), file("two.order")];
        let refresh = ["share", "refresh", "demo", "--order-out", &files[0]];
        ok(&cluster.operator(&refresh));
        let reshare = ["share", "reshare", "demo", "--threshold", "3", "--order-out", &files[1]];
        ok(&cluster.quorate(second, &reshare, b""));
        let begun = [
            cluster.start_quorate("operator-1", &["order", "submit", &files[0]]),
            cluster.start_quorate(second, &["order", "submit", &files[1]]),
        ];
        let outs = begun.map(|child| child.wait_with_output().unwrap());
        let (done, refused): (Vec<_>, Vec<_>) = outs.iter().partition(|o| o.status.success());
        let [done, refused] = match (&done[..], &refused[..]) {
            ([done], [refused]) => [*done, *refused],
            _ => panic!("round {round}: {}", outs.each_ref().map(said).join("\n")),
        };
        assert!(ok(done).contains("5 serve it"), "{}", ok(done));
        assert_eq!(refused.status.code(), Some(1));
        let why = said(refused);
        assert!(why.contains("came first") && why.contains("quorate order list"), "{why}");
        assert!(why.contains("run the command again"), "{why}");
        is_settled(&cluster, "demo");
        // Nobody has to clean up: the next run works, of either.
        ok(&cluster.quorate(second, &["share", "refresh", "demo"], b""));
        is_settled(&cluster, "demo");
        assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
    }
}

/// The commands as people type them, which read the chain and order at whatever moment.
#[test]
fn operators_who_rotate_one_key_at_once_never_mix_epochs_and_the_next_run_works() {
    let cluster = Cluster::of(5).threshold(3).start();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", PLAINTEXT);
    let second = second_home(&cluster);
    let moves: [[&str; 5]; 4] = [
        ["share", "refresh", "demo", "--grace", "0"],
        ["share", "reshare", "demo", "--committee", "1,2,3,4"],
        ["share", "reshare", "demo", "--committee", "1,2,3,4,5"],
        ["share", "refresh", "demo", "--order-days", "3"],
    ];
    for (one, two) in [(0, 1), (0, 2), (1, 2), (2, 3)] {
        let begun = [
            cluster.start_quorate("operator-1", &moves[one]),
            cluster.start_quorate(second, &moves[two]),
        ];
        let outs = begun.map(|child| child.wait_with_output().unwrap());
        let done = outs.iter().filter(|o| o.status.success()).count();
        assert!(done >= 1, "neither goes through: {}", outs.each_ref().map(said).join("\n"));
        for refused in outs.iter().filter(|o| !o.status.success()) {
            let why = said(refused);
            assert_eq!(refused.status.code(), Some(1), "{why}");
            assert!(why.contains("quorate order list"), "{why}");
        }
        assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
        ok(&cluster.operator(&["share", "refresh", "demo"]));
        is_settled(&cluster, "demo");
        assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
    }
}

/// Orders and state, as the cluster tells them.
fn state(cluster: &Cluster) -> [serde_json::Value; 3] {
    let ask = |args: &[&str]| json(&cluster.operator(&[&["--output", "json"], args].concat()));
    [ask(&["order", "list"]), ask(&["share", "status", "demo"]), ask(&["key", "list"])]
}

#[test]
fn plans_that_cannot_be_are_refused_before_anything_is_signed() {
    let cluster = Cluster::of(5).threshold(3).start();
    cluster.key("demo");
    let before = state(&cluster);
    let plans: [(&[&str], &str); 8] = [
        (&["share", "reshare", "demo", "--threshold", "6"], "threshold"),
        (&["share", "reshare", "demo", "--threshold", "1"], "threshold"),
        (&["share", "reshare", "demo", "--committee", "1,2"], "threshold"),
        (&["share", "reshare", "demo", "--committee", "1,2,3,3"], "node 3 stands twice"),
        (&["share", "reshare", "demo", "--committee", "1,2,9"], "node 9 is not in the roster"),
        (
            &["share", "refresh", "demo", "--allow-absent", "4", "--yes"],
            "--allow-absent is at most",
        ),
        (&["share", "drain", "9"], "node 9 is not in the roster"),
        (&["key", "create", "other", "--threshold", "9"], "threshold"),
    ];
    for (plan, why) in plans {
        let out = cluster.operator(plan);
        assert_eq!(out.status.code(), Some(2), "{plan:?}: {}", said(&out));
        assert!(said(&out).contains(why), "{plan:?}: {}", said(&out));
    }
    assert_eq!(state(&cluster), before);
}

/// Reads an order, changes it, and has it signed by whoever this is.
fn forge(cluster: &Cluster, file: &Path, by: &IdentityKey, change: impl FnOnce(&mut Order)) {
    let signed: SignedOrder =
        armor::read(Title::ORDER, &fs::read_to_string(file).unwrap()).unwrap();
    let mut order = Order::from_bytes(&signed.0.body).unwrap();
    change(&mut order);
    let mut signed = SignedOrder(Signed::unsigned(order.to_bytes()));
    let home = Home::open(cluster.home("operator-1")).unwrap();
    signed.0.sign(by, Label::SIG_ORDER, home.cluster().fingerprint());
    fs::write(file, armor::write(Title::ORDER, &signed)).unwrap();
}

/// What a command would not make, an operator can still sign: every node refuses it on its own.
#[test]
fn a_signed_order_that_does_not_fit_is_refused_by_each_node_and_changes_nothing() {
    let cluster = Cluster::of(5).threshold(3).start();
    for key in ["demo", "other"] {
        cluster.key(key);
    }
    let sealed = cluster.encrypt("demo", PLAINTEXT);
    let identity = |home: &str| Home::open(cluster.home(home)).unwrap().identity(None).unwrap();
    let (operator, stranger) = (identity("operator-1"), identity("client"));
    let shown = json(&cluster.operator(&["--output", "json", "cluster", "show"]));
    let nodes = shown["nodes"].as_array().unwrap().clone();
    let other = json(&cluster.operator(&["--output", "json", "key", "show", "other"]));
    let other = other["public_key"].as_str().unwrap().to_owned();
    let other: [u8; 32] =
        std::array::from_fn(|at| u8::from_str_radix(&other[2 * at..2 * at + 2], 16).unwrap());
    let path = cluster.home("order");
    let file = path.to_str().unwrap();
    let before = state(&cluster);
    let make = || drop(ok(&cluster.operator(&["share", "refresh", "demo", "--order-out", file])));
    let refused = |why: &str| {
        let endpoints = nodes.iter().map(|n| n["endpoint"].as_str().unwrap());
        for endpoint in endpoints {
            let out = cluster.operator(&["--node", endpoint, "order", "submit", file]);
            assert_eq!(out.status.code(), Some(1), "{endpoint}: {}", said(&out));
            assert!(said(&out).contains(why), "{endpoint}: {}", said(&out));
        }
        let out = cluster.operator(&["order", "submit", file]);
        assert_eq!(out.status.code(), Some(1), "{}", said(&out));
        assert!(said(&out).contains(why), "{}", said(&out));
        assert_eq!(state(&cluster), before, "{why}");
    };

    make();
    forge(&cluster, &path, &operator, |order| {
        let Action::Reshare(to) = &mut order.action else { panic!("it moves shares") };
        to.public_key = other;
    });
    refused("another public key");
    make();
    forge(&cluster, &path, &operator, |order| order.predecessor = Hash([7; 32]));
    refused("the newest order of this chain here is");
    make();
    forge(&cluster, &path, &operator, |order| {
        let Action::Reshare(to) = &mut order.action else { panic!("it moves shares") };
        to.first_number = 1;
    });
    refused("begin above");
    make();
    forge(&cluster, &path, &stranger, |_| {});
    refused("have signed it validly");

    // And the next good one works.
    ok(&cluster.operator(&["share", "refresh", "demo"]));
    is_settled(&cluster, "demo");
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
}
