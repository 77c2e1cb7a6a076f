//! The life of a key at real processes: versions, disabled and enabled, tags and aliases,
//! deletion, and nodes that were away meanwhile.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of `#[test]` functions")]

use quorate_tests::Cluster;
use serde_json::{Value, json};
use std::{
    process::Output,
    time::{Duration, Instant},
};

const PLAINTEXT: &[u8] = b"who owns my key?";

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// What a command says that must be refused with this exit code.
fn refused(out: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{text}");
    text
}

fn ask(cluster: &Cluster, arguments: &[&str]) -> Value {
    let arguments = [&["--output", "json"], arguments].concat();
    serde_json::from_str(&ok(&cluster.operator(&arguments))).unwrap()
}

fn show(cluster: &Cluster, key: &str) -> Value {
    ask(cluster, &["key", "show", key])
}

fn decrypts(cluster: &Cluster, ciphertext: &[u8]) {
    assert_eq!(ok(&cluster.decrypt(ciphertext)).as_bytes(), PLAINTEXT);
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_rotated_key_decrypts_what_its_older_versions_encrypted_and_moves_with_them() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    cluster.key("demo");
    let first = cluster.encrypt("demo", PLAINTEXT);
    let text = ok(&cluster.operator(&["key", "rotate", "demo"]));
    assert!(text.contains("demo version 2 is born"), "{text}");
    assert!(text.contains("version 1 goes on decrypting"), "{text}");
    let second = cluster.encrypt("demo", PLAINTEXT);
    decrypts(&cluster, &first);
    decrypts(&cluster, &second);
    let shown = show(&cluster, "demo");
    assert_eq!((&shown["version"], &shown["grants"][0]["name"]), (&2.into(), &"client".into()));
    let versions = shown["versions"].as_array().unwrap();
    let states: Vec<_> = versions.iter().map(|v| (&v["version"], &v["state"])).collect();
    assert_eq!(states, [(&json!(1), &json!("older")), (&json!(2), &json!("newest"))]);
    assert_ne!(versions[0]["public_key"], versions[1]["public_key"]);

    // Shares of all versions move, also those that a node was away for.
    cluster.kill(5);
    let absent = ["share", "refresh", "demo", "--allow-absent", "1", "--yes"];
    let text = ok(&cluster.operator(&absent));
    assert!(text.contains("demo version 1 is in epoch"), "{text}");
    assert!(text.contains("demo version 2 is in epoch"), "{text}");
    cluster.start_node(5);
    cluster.wait_until_serving();
    let status = || ask(&cluster, &["share", "status", "demo"]);
    let held = |of: &Value| -> Value {
        let nodes = of["nodes"].as_array().unwrap();
        nodes.iter().find(|n| n["node"] == 5).unwrap()["held"].clone()
    };
    wait_for("node 5 erases the shares of both versions", || {
        let said = status();
        held(&said) == json!([]) && held(&said["older"][0]) == json!([])
    });
    let said = status();
    assert_eq!((&said["version"], &said["older"][0]["version"]), (&2.into(), &1.into()));
    ok(&cluster.operator(&["share", "repair", "5"]));
    assert_eq!((&status()["serving"], &status()["older"][0]["serving"]), (&5.into(), &5.into()));
    decrypts(&cluster, &first);
    decrypts(&cluster, &second);
}

#[test]
fn a_birth_that_is_not_finished_leaves_the_older_version_the_newest() {
    let mut cluster = Cluster::of(4).threshold(2).start();
    cluster.key("demo");
    cluster.kill(4);
    let failed = cluster.operator(&["key", "rotate", "demo"]);
    assert!(!failed.status.success());
    assert_eq!(show(&cluster, "demo")["version"], 1);
    let ciphertext = cluster.encrypt("demo", PLAINTEXT);
    decrypts(&cluster, &ciphertext);
    cluster.start_node(4);
    cluster.wait_until_serving();
    // The same version is finished, or made anew.
    let text = ok(&cluster.operator(&["key", "rotate", "demo"]));
    assert!(text.contains("demo version 2 is born"), "{text}");
    assert_eq!(show(&cluster, "demo")["version"], 2);
    decrypts(&cluster, &ciphertext);
}

#[test]
fn a_disabled_key_refuses_until_it_is_enabled_also_at_nodes_that_were_away() {
    // All of them use a key: one that has not heard of the order would not do.
    let mut cluster = Cluster::of(3).threshold(3).start();
    ok(&cluster.operator(&["key", "create", "demo", "--acknowledge-fragile"]));
    let ciphertext = cluster.encrypt("demo", PLAINTEXT);
    cluster.kill(3);
    let out = cluster.operator(&["key", "disable", "demo"]);
    assert!(ok(&out).contains("disabled    every version"));
    let note = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(note.contains("not applied at node 3"), "{note}");
    cluster.start_node(3);
    cluster.wait_until_serving();
    // It is told before it serves.
    let nodes = show(&cluster, "demo")["state"]["nodes"].clone();
    let revisions: Vec<_> = nodes.as_array().unwrap().iter().map(|n| &n["revision"]).collect();
    assert_eq!(revisions, [1, 1, 1]);
    let text = refused(&cluster.decrypt(&ciphertext), 3);
    assert!(text.contains("disabled; operators can enable it again"), "{text}");
    assert_eq!(ask(&cluster, &["key", "list", "--state", "disabled"])[0]["name"], "demo");

    ok(&cluster.operator(&["key", "enable", "demo"]));
    decrypts(&cluster, &ciphertext);
    // One version alone.
    ok(&cluster.operator(&["key", "rotate", "demo"]));
    ok(&cluster.operator(&["key", "disable", "demo", "--version", "1"]));
    refused(&cluster.decrypt(&ciphertext), 3);
    decrypts(&cluster, &cluster.encrypt("demo", PLAINTEXT));
    let shown = show(&cluster, "demo");
    assert_eq!(shown["versions"][0]["state"], "disabled");
    let unknown = refused(&cluster.operator(&["key", "disable", "demo", "--version", "3"]), 2);
    assert!(unknown.contains("has versions 1 to 2"), "{unknown}");
}

#[test]
fn keys_are_found_by_alias_tag_and_prefix() {
    let cluster = Cluster::of(3).threshold(2).start();
    for name in ["app/mail", "app/pay", "apq", "web"] {
        cluster.key(name);
    }
    let describe = |key: &str, more: &[&str]| {
        let arguments = [&["key", "describe", key], more].concat();
        cluster.operator(&arguments)
    };
    ok(&describe("app/pay", &["--tag", "team=pay", "--tag", "env=live", "--alias", "salaries"]));
    ok(&describe("web", &["--tag", "env=live", "--description", "of the web site"]));
    let ciphertext = cluster.encrypt("salaries", PLAINTEXT);
    decrypts(&cluster, &ciphertext);
    assert_eq!(show(&cluster, "salaries")["name"], "app/pay");
    let names = |more: &[&str]| -> Vec<String> {
        let listed = ask(&cluster, &[&["key", "list"], more].concat());
        let name = |k: &Value| k["name"].as_str().unwrap().to_owned();
        listed.as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(names(&["--tag", "env=live"]), ["app/pay", "web"]);
    assert_eq!(names(&["--tag", "env=live", "--tag", "team=pay"]), ["app/pay"]);
    assert_eq!(names(&["--prefix", "app"]), ["app/mail", "app/pay"]);
    assert_eq!(names(&["--prefix", "app/pay"]), ["app/pay"]);
    assert_eq!(names(&["--limit", "2"]), ["app/mail", "app/pay"]);
    assert_eq!(names(&["--limit", "2", "--after", "app/pay"]), ["apq", "web"]);
    assert_eq!(names(&["--purpose", "sign"]), [""; 0]);
    // An alias is nobody else's, and no key's name.
    let taken = refused(&describe("web", &["--alias", "salaries"]), 1);
    assert!(taken.contains("is an alias of key app/pay"), "{taken}");
    let name = refused(&describe("web", &["--alias", "apq"]), 1);
    assert!(name.contains("is the name of a key"), "{name}");
    let create = refused(&cluster.operator(&["key", "create", "salaries"]), 1);
    assert!(create.contains("is an alias of key app/pay"), "{create}");
    ok(&describe("app/pay", &["--unalias", "salaries", "--untag", "env"]));
    ok(&describe("web", &["--alias", "salaries"]));
    assert_eq!(show(&cluster, "salaries")["name"], "web");
    assert_eq!(names(&["--tag", "env=live"]), ["web"]);
}

#[test]
fn a_deleted_key_is_destroyed_at_every_node_also_at_one_that_was_down() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    ok(&cluster.operator(&["key", "create", "demo", "--quick-deletion"]));
    ok(&cluster.operator(&["key", "create", "slow"]));
    let ciphertext = cluster.encrypt("demo", PLAINTEXT);
    let delete = |key: &str, after: &str| {
        cluster.operator(&["key", "schedule-deletion", key, "--after", after, "--yes"])
    };
    let slow = refused(&delete("slow", "1h"), 1);
    assert!(slow.contains("waits for 7 days at least"), "{slow}");

    // It is taken back in time.
    ok(&delete("demo", "1h"));
    let text = refused(&cluster.decrypt(&ciphertext), 3);
    assert!(text.contains("waits for its deletion"), "{text}");
    ok(&cluster.operator(&["key", "cancel-deletion", "demo"]));
    decrypts(&cluster, &ciphertext);

    ok(&delete("demo", "4s"));
    cluster.kill(3);
    let destroyed = |cluster: &Cluster| -> Vec<bool> {
        let nodes = show(cluster, "demo")["state"]["nodes"].clone();
        let is = |n: &Value| n["destroyed_at"].is_u64();
        nodes.as_array().unwrap().iter().map(is).collect()
    };
    wait_for("two nodes destroy it", || destroyed(&cluster) == [true, true, false]);
    let text = ok(&cluster.operator(&["key", "show", "demo"]));
    assert!(text.contains("says nothing"), "the one that is missing is named: {text}");
    let listed = ask(&cluster, &["key", "list", "--prefix", "demo"]);
    assert_eq!(listed[0]["state"], "destroyed", "{listed}");
    cluster.start_node(3);
    cluster.wait_until_serving();
    wait_for("the third destroys it", || destroyed(&cluster) == [true, true, true]);

    let text = refused(&cluster.decrypt(&ciphertext), 3);
    assert!(text.contains("this node has destroyed all that it held"), "{text}");
    let tail = ok(&cluster.operator(&["audit", "tail", "3"]));
    assert!(tail.contains("DESTROYED key demo"), "{tail}");
    for (arguments, code) in [
        (&["key", "cancel-deletion", "demo"][..], 1),
        (&["key", "create", "demo"][..], 1),
        (&["key", "rotate", "demo"][..], 1),
        (&["share", "refresh", "demo"][..], 1),
    ] {
        let text = refused(&cluster.operator(arguments), code);
        assert!(text.contains("nothing brings it back"), "{arguments:?}: {text}");
    }
    // The other key is as it was.
    decrypts(&cluster, &cluster.encrypt("slow", PLAINTEXT));
}
