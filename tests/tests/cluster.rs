//! Whole clusters of real processes: what people do, and what goes wrong.

use quorate_tests::{Cluster, binary, run};
use std::{fs, process::Command, process::Output};

fn code(out: &Output) -> Option<i32> {
    out.status.code()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn a_key_is_born_used_lost_and_found() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    cluster.key("demo");
    let secret = b"attack at dawn".repeat(20_000);
    let sealed = cluster.encrypt("demo", &secret);
    assert!(!sealed.windows(14).any(|w| w == b"attack at dawn"));
    assert_eq!(cluster.decrypt(&sealed).stdout, secret);

    cluster.kill(1);
    assert!(cluster.stop(2).success(), "SIGTERM drains and ends well");
    let out = cluster.decrypt(&sealed);
    assert_eq!((code(&out), &out.stdout), (Some(0), &secret), "{}", said(&out));

    cluster.kill(3);
    let out = cluster.decrypt(&sealed);
    assert_eq!(code(&out), Some(4), "{}", said(&out));
    assert!(out.stdout.is_empty(), "no partial plaintext");
    for missing in ["node-1 (DE)", "node-2 (CH)", "node-3 (NO)"] {
        assert!(said(&out).contains(missing), "{}", said(&out));
    }

    for index in [1, 2, 3] {
        cluster.start_node(index);
    }
    cluster.wait_until_serving();
    assert_eq!(cluster.decrypt(&sealed).stdout, secret);

    // The coordinator holds nothing that it cannot fetch again.
    assert!(cluster.stop_coordinator().success());
    assert_eq!(code(&cluster.decrypt(&sealed)), Some(1));
    let direct = cluster.client(&["--direct", "decrypt"], &sealed);
    assert_eq!(direct.stdout, secret, "past every coordinator: {}", said(&direct));
    cluster.start_coordinator();
    cluster.wait_until_serving();
    assert_eq!(cluster.decrypt(&sealed).stdout, secret);
}

#[test]
fn changed_ciphertexts_exit_5_and_leave_no_plaintext() {
    let cluster = Cluster::of(3).threshold(2).start();
    cluster.key("demo");
    let context = ["encrypt", "--key", "demo", "--context", "app=payroll"];
    let sealed = cluster.client(&context, b"salaries").stdout;
    let right = cluster.client(&["decrypt", "--context", "app=payroll"], &sealed);
    assert_eq!(right.stdout, b"salaries", "{}", said(&right));

    let refused = |what: &str, args: &[&str], bytes: &[u8]| {
        let out = cluster.client(args, bytes);
        assert!(matches!(code(&out), Some(3 | 5)), "{what}: {:?} {}", code(&out), said(&out));
        assert!(out.stdout.is_empty(), "{what}");
        assert_eq!(said(&out).trim().lines().count(), 1, "{what}: {}", said(&out));
    };
    let right = ["decrypt", "--context", "app=payroll"];
    refused("other context", &["decrypt", "--context", "app=mail"], &sealed);
    refused("no context", &["decrypt"], &sealed);
    refused("truncated", &right, &sealed[..sealed.len() - 1]);
    refused("cut in its head", &right, &sealed[..100]);
    refused("extended", &right, &[&sealed[..], b"x"].concat());
    for at in [8, 20, 60, 150, 280, sealed.len() - 1] {
        let mut flipped = sealed.clone();
        flipped[at] ^= 1;
        refused(&format!("bit {at}"), &right, &flipped);
    }
    let other = Cluster::of(3).threshold(2).start();
    other.key("demo");
    let foreign = other.client(&context, b"salaries").stdout;
    refused("another cluster's", &right, &foreign);

    // A stream fails before its end is written: what came before is verified, and the
    // exit code says that it is not the whole.
    let long = vec![7; 300_000];
    let sealed = cluster.encrypt("demo", &long);
    let out = cluster.decrypt(&sealed[..200_000]);
    assert_eq!(code(&out), Some(5));
    assert!(long.starts_with(&out.stdout) && out.stdout.len() < long.len());
    // A file appears only when it is whole.
    let target = cluster.home("client").join("plain");
    let target = target.to_str().unwrap();
    let out = cluster.client(&["decrypt", "--out", target], &sealed[..200_000]);
    assert_eq!(code(&out), Some(5));
    assert!(!fs::exists(target).unwrap());
}

#[test]
fn only_granted_clients_may_use_a_key_until_revoked() {
    let cluster = Cluster::of(3).threshold(2).start();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", b"mine");

    // A stranger with the roster, and one who is known but not granted the key.
    let stranger = cluster.home("stranger");
    let dir = stranger.to_str().unwrap();
    let roster = cluster.home("client").join("roster.json");
    let keygen = [
        "client",
        "keygen",
        "--name",
        "mallory",
        "--dir",
        dir,
        "--roster",
        roster.to_str().unwrap(),
    ];
    let out = cluster.operator(&keygen);
    assert!(out.status.success(), "{}", said(&out));
    assert_eq!(code(&run(&stranger, &["decrypt"], &sealed)), Some(3));
    let line = String::from_utf8(out.stdout).unwrap();
    let key = line.lines().next().unwrap().to_owned();
    let out = cluster.operator(&["client", "add", "mallory", &key]);
    assert!(out.status.success(), "{}", said(&out));
    let out = run(&stranger, &["decrypt"], &sealed);
    assert_eq!(code(&out), Some(3), "{}", said(&out));
    assert!(said(&out).contains("not granted"), "{}", said(&out));

    // The client whose grant holds loses everything at once.
    assert_eq!(cluster.decrypt(&sealed).stdout, b"mine");
    let out = cluster.operator(&["client", "revoke", "client"]);
    assert!(out.status.success(), "{}", said(&out));
    let out = cluster.decrypt(&sealed);
    assert_eq!(code(&out), Some(3), "{}", said(&out));
    assert!(said(&out).contains("revoked"), "{}", said(&out));
}

#[test]
fn two_operators_sign_what_one_cannot_order() {
    let cluster = Cluster::of(3).threshold(2).operators(2).start();
    let out = cluster.operator(&["key", "create", "demo"]);
    assert_eq!(code(&out), Some(2), "{}", said(&out));
    let file = cluster.home("order.txt");
    let file = file.to_str().unwrap();
    let out = cluster.operator(&["key", "create", "demo", "--order-out", file]);
    assert!(out.status.success(), "{}", said(&out));
    let out = cluster.operator(&["order", "submit", file]);
    assert_eq!(code(&out), Some(1), "one signature is not enough: {}", said(&out));
    let shown = String::from_utf8(cluster.operator(&["order", "show", file]).stdout).unwrap();
    assert!(shown.contains("CREATE KEY demo") && shown.contains("1 of the 2"), "{shown}");
    let out = cluster.quorate("operator-2", &["order", "sign", "--yes", file], b"");
    assert!(out.status.success(), "{}", said(&out));
    let out = cluster.operator(&["order", "submit", file]);
    assert!(out.status.success(), "{}", said(&out));
    let sealed = cluster.encrypt("demo", b"both agreed");
    assert_eq!(cluster.decrypt(&sealed).stdout, b"both agreed");
    // Once is enough: the same order again changes nothing.
    let out = cluster.operator(&["order", "submit", file]);
    assert!(out.status.success(), "{}", said(&out));
    assert_eq!(cluster.decrypt(&sealed).stdout, b"both agreed");
}

#[test]
fn a_birth_needs_every_member_and_finishes_when_it_is_back() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    cluster.kill(3);
    let out = cluster.operator(&["key", "create", "demo"]);
    assert_ne!(code(&out), Some(0));
    assert!(said(&out).contains('3'), "it says who is missing: {}", said(&out));
    cluster.start_node(3);
    cluster.wait_until_serving();
    let out = cluster.operator(&["order", "list", "--output", "json"]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("create-key"));
    // A new order for the same name continues its chain.
    let out = cluster.operator(&["key", "create", "demo"]);
    assert!(out.status.success(), "{}", said(&out));
    let sealed = cluster.encrypt("demo", b"late");
    assert_eq!(cluster.decrypt(&sealed).stdout, b"late");
}

#[test]
fn logs_at_trace_level_hold_no_secret() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    for index in 1..=3 {
        cluster.stop(index);
        cluster.trace(index);
        cluster.start_node(index);
    }
    cluster.wait_until_serving();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", b"the plaintext of this test");
    assert_eq!(cluster.decrypt(&sealed).stdout, b"the plaintext of this test");
    for index in 1..=3 {
        cluster.stop(index);
    }
    cluster.stop_coordinator();
    let seed = |home: &str| fs::read(cluster.home(home).join("kek")).unwrap();
    for home in ["node-1", "node-2", "node-3", "coordinator"] {
        let log = fs::read(cluster.log(home)).unwrap();
        let has = |needle: &[u8]| log.windows(needle.len()).any(|w| w == needle);
        assert!(has(b"TRACE"), "{home}: the log was heard");
        assert!(!has(b"the plaintext of this test"), "{home}");
        if home != "coordinator" {
            let kek = seed(home);
            let hex: String = kek.iter().map(|b| format!("{b:02x}")).collect();
            let list = format!("{kek:?}");
            let list = list.trim_matches(['[', ']']);
            assert!(!has(&kek) && !has(hex.as_bytes()) && !has(list.as_bytes()), "{home}");
        }
    }
}

#[test]
fn a_node_without_its_store_does_not_start_over() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    cluster.key("demo");
    cluster.stop(1);
    fs::remove_dir_all(cluster.home("node-1").join("store")).unwrap();
    let mut node = Command::new(binary("quorate-node"));
    let out = node.args(["run", "--home"]).arg(cluster.home("node-1")).output().unwrap();
    assert_ne!(out.status.code(), Some(0));
    assert!(said(&out).contains("store"), "{}", said(&out));
}

#[test]
fn the_health_checks_of_supervisors_tell_life_from_death() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    let healthy = |program: &str, home: &str| {
        let mut check = Command::new(binary(program));
        check
            .args(["healthcheck", "--home"])
            .arg(cluster.home(home))
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(healthy("quorate-node", "node-1"), Some(0));
    assert_eq!(healthy("quorate-coordinator", "coordinator"), Some(0));
    cluster.kill(1);
    let mut check = Command::new(binary("quorate-node"));
    let out = check.args(["healthcheck", "--home"]).arg(cluster.home("node-1")).output().unwrap();
    assert_eq!(out.status.code(), Some(1), "{}", said(&out));
}
