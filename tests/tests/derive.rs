//! Deriving with real processes: one secret for ever, and keys that do one thing each.

use quorate_tests::{Cluster, run};
use std::{fs, process::Output};

const INPUT: &[u8] = b"alice@example.org";

fn code(out: &Output) -> Option<i32> {
    out.status.code()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn derive(cluster: &Cluster, args: &[&str], input: &[u8]) -> Vec<u8> {
    let out = cluster.client(&[&["derive", "--key", "ids"], args].concat(), input);
    assert_eq!(code(&out), Some(0), "{}", said(&out));
    out.stdout
}

fn key_that_derives(cluster: &Cluster) {
    let create = ["key", "create", "ids", "--purpose", "derive", "--client", "client"];
    let out = cluster.operator(&create);
    assert!(out.status.success(), "{}", said(&out));
}

#[test]
fn a_secret_is_the_same_with_two_nodes_gone_and_after_a_refresh() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    key_that_derives(&cluster);
    let secret = derive(&cluster, &[], INPUT);
    assert_eq!(secret.len(), 64);
    assert_eq!(derive(&cluster, &[], INPUT), secret);
    assert_eq!(derive(&cluster, &["--direct"], INPUT), secret, "past every coordinator");
    assert_ne!(derive(&cluster, &[], b"bob@example.org"), secret);

    cluster.kill(1);
    assert!(cluster.stop(4).success());
    assert_eq!(derive(&cluster, &[], INPUT), secret);
    cluster.kill(2);
    let out = cluster.client(&["derive", "--key", "ids"], INPUT);
    assert_eq!(code(&out), Some(4), "{}", said(&out));
    assert!(out.stdout.is_empty());
    [1, 2, 4].into_iter().for_each(|index| cluster.start_node(index));
    cluster.wait_until_serving();

    let before = derive(&cluster, &["--output", "json"], INPUT);
    let out = cluster.operator(&["share", "refresh", "ids"]);
    assert!(out.status.success(), "{}", said(&out));
    let after = derive(&cluster, &["--output", "json"], INPUT);
    let [before, after] = [before, after]
        .map(|text| serde_json::from_slice::<serde_json::Value>(&text).expect("one document"));
    assert_ne!(before["epoch"], after["epoch"]);
    assert_eq!((&before["version"], &before["liars"]), (&1.into(), &serde_json::json!([])));
    assert_eq!(before["secret"], after["secret"]);
    assert_eq!(derive(&cluster, &[], INPUT), secret);
    // Other nodes than those that answered first.
    cluster.kill(3);
    cluster.kill(5);
    assert_eq!(derive(&cluster, &[], INPUT), secret);
}

#[test]
fn a_secret_is_written_as_it_is_asked_for() {
    let cluster = Cluster::of(3).threshold(2).start();
    key_that_derives(&cluster);
    let secret = derive(&cluster, &["--encoding", "raw"], INPUT);
    let hex: String = secret.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(derive(&cluster, &["--encoding", "hex"], INPUT), format!("{hex}\n").as_bytes());
    assert_eq!(derive(&cluster, &["--encoding", "base64"], INPUT).len(), 89);
    assert_eq!(derive(&cluster, &["--key-version", "1"], INPUT), secret);

    let (from, to) = (cluster.home("client").join("in"), cluster.home("client").join("out"));
    fs::write(&from, INPUT).unwrap();
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    assert!(derive(&cluster, &["--in", from, "--out", to], b"").is_empty());
    assert_eq!(fs::read(to).unwrap(), secret);

    // The context is part of the input, and another one is another secret.
    let app = derive(&cluster, &["--context", "app=a"], INPUT);
    assert_ne!(app, secret);
    assert_ne!(derive(&cluster, &["--context", "app=b"], INPUT), app);
    assert_eq!(derive(&cluster, &["--context", "app=a"], INPUT), app);

    derive(&cluster, &[], &[7; 65_536]);
    let out = cluster.client(&["derive", "--key", "ids"], &[7; 65_537]);
    assert_eq!(code(&out), Some(2), "{}", said(&out));
    let out = cluster.client(&["derive", "--key", "ids", "--key-version", "2"], INPUT);
    assert_eq!(code(&out), Some(1), "{}", said(&out));
}

#[test]
fn a_key_does_one_thing_and_for_granted_clients_only() {
    let cluster = Cluster::of(3).threshold(2).start();
    cluster.key("demo");
    key_that_derives(&cluster);
    let sealed = cluster.encrypt("demo", b"mine");
    let refused = |args: &[&str], says: &str| {
        let out = cluster.client(args, INPUT);
        assert_eq!(code(&out), Some(3), "{}", said(&out));
        assert!(out.stdout.is_empty() && said(&out).contains(says), "{}", said(&out));
    };
    refused(&["derive", "--key", "demo"], "cannot derive");
    refused(&["encrypt", "--key", "ids"], "cannot decrypt");
    assert_eq!(cluster.decrypt(&sealed).stdout, b"mine");
    let shown = cluster.client(&["key", "show", "ids"], b"").stdout;
    assert!(String::from_utf8_lossy(&shown).contains("voprf-ristretto255 (to derive)"));

    let stranger = cluster.home("stranger");
    let roster = cluster.home("client").join("roster.json");
    let (dir, roster) = (stranger.to_str().unwrap(), roster.to_str().unwrap());
    let keygen = ["client", "keygen", "--name", "mallory", "--dir", dir, "--roster", roster];
    let out = cluster.operator(&keygen);
    assert!(out.status.success(), "{}", said(&out));
    let line = String::from_utf8(out.stdout).unwrap();
    let key = line.lines().next().unwrap().to_owned();
    let out = cluster.operator(&["client", "add", "mallory", &key]);
    assert!(out.status.success(), "{}", said(&out));
    let out = run(&stranger, &["derive", "--key", "ids"], INPUT);
    assert_eq!(code(&out), Some(3), "{}", said(&out));
    assert!(said(&out).contains("not granted") && out.stdout.is_empty(), "{}", said(&out));
}
