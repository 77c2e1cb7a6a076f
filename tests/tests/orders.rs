//! Orders that several operators sign: what each of them is shown, and many at once.

use quorate_tests::Cluster;
use serde_json::{Value, json};
use std::{process::Output, time::Duration};

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

fn json_of(out: &Output) -> Value {
    serde_json::from_str(&ok(out)).expect("one JSON document")
}

/// What was under way when somebody was killed may still be being finished.
fn until_it_goes_through(command: impl Fn() -> Output) -> Output {
    for _ in 0..10 {
        let out = command();
        if out.status.success() {
            return out;
        }
        assert!(said(&out).contains("the same command again goes on with what is left"));
        std::thread::sleep(Duration::from_millis(500));
    }
    command()
}

/// One question for all of them, and one submission, which can be cut short.
#[test]
fn orders_for_many_keys_are_signed_and_submitted_as_a_directory() {
    const KEYS: usize = 12;
    let cluster = Cluster::of(6).threshold(3).operators(3).start();
    let sign = |dir: &str| cluster.quorate("operator-2", &["order", "sign", dir, "--yes"], b"");
    let submit = |dir: &str| {
        let command = ["--output", "json", "order", "submit", dir, "--at-once", "4"];
        cluster.quorate("operator-3", &command, b"")
    };
    let births = path(&cluster, "births");
    std::fs::create_dir(&births).expect("a directory");
    for k in 0..KEYS {
        let (name, file) = (format!("key-{k:02}"), format!("{births}/key-{k:02}.order"));
        let committee = ["--committee", "1,2,3,4,5", "--order-out", &file];
        ok(&cluster.operator(&[&["key", "create", &name], &committee[..]].concat()));
    }
    let alone = submit(&births);
    assert!(!alone.status.success() && said(&alone).contains("12 keys failed"), "{alone:?}");
    // Nobody is there to be asked, and one file is none.
    let asked = cluster.quorate("operator-2", &["order", "sign", &births], b"");
    assert!(said(&asked).contains("12 ORDERS: 12 create-key"), "{asked:?}");
    assert!(said(&asked).contains("CREATE KEY key-07 version 1"), "{asked:?}");
    assert!(!asked.status.success() && said(&asked).contains("say --yes"), "{asked:?}");
    let damaged = format!("{births}/x.order");
    std::fs::write(&damaged, "nothing").expect("a file");
    assert!(said(&sign(&births)).contains("x.order"));
    std::fs::remove_file(damaged).expect("it is there");
    assert!(said(&submit(&births)).contains("12 keys failed"), "nobody has signed anything");
    let signed = ok(&sign(&births));
    assert!(signed.starts_with("12 orders signed, 0 were already; all have"), "{signed}");
    assert!(ok(&sign(&births)).starts_with("0 orders signed, 12 were already"));
    assert_eq!(json_of(&submit(&births))["done"], KEYS);
    let again = json_of(&submit(&births));
    assert_eq!((&again["done"], &again["before"]), (&json!(0), &json!(KEYS)), "{again}");
    let sealed = cluster.encrypt("key-03", b"sealed");

    // A key with two versions has two orders, the second of which follows the first.
    let rotate = path(&cluster, "rotate");
    both(&cluster, &rotate, &["key", "rotate", "key-03"]);
    let drain = path(&cluster, "drain");
    let to = ["share", "drain", "1", "--to", "6", "--order-out", &drain];
    let written = ok(&cluster.operator(&to));
    assert!(written.contains("13 orders written"), "{written}");
    let signing = sign(&drain);
    let shown = said(&signing);
    ok(&signing);
    assert!(shown.contains("13 ORDERS: 13 reshare"), "{shown}");
    let line = |what: &str| shown.lines().find(|l| l.contains(what)).unwrap_or_default();
    assert!(line("JOINS").contains("node-6 (") && line("JOINS").ends_with("13 keys"), "{shown}");
    assert!(line("LEAVES").contains("node-1 (") && line("LEAVES").ends_with("13 keys"), "{shown}");
    assert!(line("MOVE THE SHARES of 13 keys").contains("key-03 version 2"), "{shown}");
    assert!(shown.contains("could use it before"), "{shown}");

    // Killed half-way, it goes on with what is left.
    let mut log = cluster.tail("coordinator");
    let mut one_by_one =
        cluster.start_quorate("operator-1", &["order", "submit", &drain, "--at-once", "1"]);
    for _ in 0..4 {
        let line = log.wait_for(&["shares have moved"], Duration::from_secs(30));
        assert!(line.is_some(), "no share moves");
    }
    one_by_one.kill().and_then(|()| one_by_one.wait()).expect("it is killed");
    let rest = json_of(&until_it_goes_through(|| submit(&drain)));
    let count = |of: &str| rest[of].as_u64().expect("a number");
    assert!(count("before") >= 3, "{rest}");
    assert_eq!(count("before") + count("done"), 13, "{rest}");
    assert!(rest["keys_per_second"].as_f64().is_some_and(|r| r > 0.0), "{rest}");
    let overview = json_of(&cluster.operator(&["--output", "json", "share", "status"]));
    for key in overview["keys"].as_array().expect("keys") {
        assert_eq!(key["committee"], json!([2, 3, 4, 5, 6]), "{key}");
        assert_eq!(key["serving"], 5, "{key}");
    }
    let shown = ok(&cluster.operator(&["order", "show", &drain]));
    assert!(shown.contains("CARRIED OUT   13 of them already"), "{shown}");
    assert_eq!(cluster.decrypt(&sealed).stdout, b"sealed");

    // Orders of before a change of the roster are named, and none is signed.
    let port = ["cluster", "endpoint", "6", "127.0.0.1:9", "--roster-out"];
    let roster = path(&cluster, "roster");
    ok(&cluster.operator(&[&port[..], &[&roster]].concat()));
    ok(&cluster.quorate("operator-2", &["cluster", "sign", &roster, "--yes"], b""));
    ok(&cluster.quorate("operator-2", &["cluster", "submit", &roster], b""));
    let old = sign(&drain);
    assert!(said(&old).contains("it was made under roster version 1, and 2 holds"), "{old:?}");
    assert!(said(&old).contains("nothing is signed"), "{old:?}");
}
