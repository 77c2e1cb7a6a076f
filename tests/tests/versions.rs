//! Versions that are born by themselves, between real processes: at their dates, beside what
//! operators do by hand, with a coordinator that has just started, until an order ends it.

use quorate_tests::Cluster;
use serde_json::Value;
use std::{
    process::Output,
    time::{Duration, Instant},
};

const PLAINTEXT: &[u8] = b"who owns my key?";

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn refused(out: &Output) -> String {
    assert!(!out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn ask(cluster: &Cluster, arguments: &[&str]) -> Value {
    let json = [&["--output", "json"], arguments].concat();
    serde_json::from_str(&ok(&cluster.operator(&json))).expect("one JSON document")
}

fn newest(cluster: &Cluster) -> u64 {
    let status = ask(cluster, &["share", "status", "demo"]);
    status["version"].as_u64().expect("a version")
}

/// Waits until a version is born, and gives how long that took.
fn wait_for(cluster: &Cluster, version: u64) -> Duration {
    let begun = Instant::now();
    while newest(cluster) < version {
        assert!(begun.elapsed() < Duration::from_secs(60), "version {version} does not come");
        std::thread::sleep(Duration::from_millis(500));
    }
    begun.elapsed()
}

fn decrypts(cluster: &Cluster, ciphertext: &[u8]) {
    assert_eq!(ok(&cluster.decrypt(ciphertext)).as_bytes(), PLAINTEXT);
}

#[test]
fn versions_are_born_by_themselves_beside_what_is_done_by_hand_until_an_order_ends_it() {
    let mut cluster = Cluster::of(4).threshold(2).start();
    cluster.key("demo");
    let first = cluster.encrypt("demo", PLAINTEXT);
    let none = refused(&cluster.operator(&["key", "schedule-rotation", "demo", "--end"]));
    assert!(none.contains("demo has no schedule of versions"), "{none}");
    let given = ["key", "schedule-rotation", "demo", "--every", "10s"];
    // Who signs it sees which versions come when, for whom, and who could use them.
    let file = cluster.home("order");
    let file = file.to_str().expect("a path");
    let text =
        ok(&cluster.operator(&[&given[..], &["--times", "3", "--order-out", file]].concat()));
    assert!(text.contains("SCHEDULE VERSIONS 2 to 4 of key demo"), "{text}");
    let shown = ok(&cluster.operator(&["order", "show", file]));
    for line in
        ["version 2     is due", "version 4     is due", "every 10 s", "client        client until"]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(shown.contains("can use each of them, at the least"), "{shown}");
    let text = ok(&cluster.operator(&given));
    assert!(text.contains("version 2 is due") && text.contains("every 10 s"), "{text}");
    let begun = Instant::now();
    wait_for(&cluster, 2);
    assert!(begun.elapsed() > Duration::from_secs(7), "before its time: {:?}", begun.elapsed());
    let second = cluster.encrypt("demo", PLAINTEXT);
    decrypts(&cluster, &first);
    decrypts(&cluster, &second);

    // By hand: it counts as the one that was due next. Nothing of it ends the schedule.
    let text = ok(&cluster.operator(&["key", "rotate", "demo"]));
    assert!(text.contains("demo version 3 is born"), "{text}");
    assert!(text.contains("version 4 is due"), "{text}");
    // Nor does a refresh, whose order states the newest version.
    let text = ok(&cluster.operator(&["share", "refresh", "demo"]));
    assert!(text.contains("demo version 3 is in epoch"), "{text}");
    wait_for(&cluster, 4);
    let waited = begun.elapsed();
    assert!(waited > Duration::from_secs(27), "version 4 has a date of its own: {waited:?}");
    let shown = ask(&cluster, &["key", "show", "demo"]);
    let schedule = &shown["schedule"];
    assert_eq!((&schedule["every"], &schedule["next_version"]), (&10.into(), &5.into()), "{shown}");
    assert_eq!(shown["versions"].as_array().map(Vec::len), Some(4));

    // A coordinator that has just started knows the schedule from the nodes.
    cluster.stop_coordinator_hard();
    cluster.start_coordinator();
    cluster.wait_until_serving();
    wait_for(&cluster, 5);
    // What moves shares knows of versions that no order of the key's chain names.
    let text = ok(&cluster.operator(&["share", "refresh", "demo"]));
    assert!(text.contains("demo version 5 is in epoch"), "{text}");
    for ciphertext in [&first, &second, &cluster.encrypt("demo", PLAINTEXT)] {
        decrypts(&cluster, ciphertext);
    }

    let text = ok(&cluster.operator(&["key", "schedule-rotation", "demo", "--end"]));
    assert!(text.contains("has ended"), "{text}");
    let last = newest(&cluster);
    let text = ok(&cluster.operator(&["share", "status", "demo"]));
    assert!(!text.contains("schedule"), "{text}");
    std::thread::sleep(Duration::from_secs(16));
    assert_eq!(newest(&cluster), last, "it went on");
    // By hand it goes on, and under another schedule.
    let text = ok(&cluster.operator(&["key", "rotate", "demo"]));
    assert!(text.contains(&format!("demo version {} is born", last + 1)), "{text}");
    let again = ["key", "schedule-rotation", "demo", "--every", "10s", "--from", "0s"];
    let text = ok(&cluster.operator(&[&again[..], &["--times", "1"]].concat()));
    assert!(text.contains(&format!("version {} is the last one", last + 2)), "{text}");
    wait_for(&cluster, last + 2);
    std::thread::sleep(Duration::from_secs(16));
    assert_eq!(newest(&cluster), last + 2);
    decrypts(&cluster, &first);
    decrypts(&cluster, &cluster.encrypt("demo", PLAINTEXT));
}
