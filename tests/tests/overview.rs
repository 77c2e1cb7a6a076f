//! `share status` of more keys than anybody reads.

use quorate_tests::Cluster;
use std::{
    process::Output,
    time::{Duration, Instant},
};

/// More than each has a line of its own by default.
const KEYS: usize = 70;

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn status(cluster: &Cluster, more: &[&str]) -> serde_json::Value {
    let out = cluster.operator(&[&["--output", "json", "share", "status"], more].concat());
    serde_json::from_str(&ok(&out)).expect("one JSON document")
}

fn names(status: &serde_json::Value) -> Vec<&str> {
    let keys = status["keys"].as_array().expect("keys");
    keys.iter().filter_map(|k| k["key"].as_str()).collect()
}

#[test]
fn of_many_keys_only_those_that_need_attention_are_listed() {
    let mut cluster = Cluster::of(4).threshold(2).start();
    std::thread::scope(|scope| {
        for part in 0..4 {
            let cluster = &cluster;
            scope.spawn(move || {
                (part..KEYS).step_by(4).for_each(|key| cluster.key(&format!("key-{key:02}")));
            });
        }
    });
    let text = ok(&cluster.operator(&["share", "status"]));
    assert_eq!(text.trim(), "70 keys: 70 served by all of their nodes");
    let summary = &status(&cluster, &[])["summary"];
    assert_eq!((&summary["keys"], &summary["attention"]), (&70.into(), &0.into()));
    // One key moves while a node is away: it alone is listed, when the node is back.
    cluster.kill(3);
    let refresh = ["share", "refresh", "key-33", "--allow-absent", "1", "--yes"];
    ok(&cluster.operator(&refresh));
    // Meanwhile all need attention: as many as the limit are asked about, the rest is counted.
    let text = ok(&cluster.operator(&["share", "status", "--limit", "5"]));
    assert_eq!(text.lines().filter(|l| l.starts_with("key-")).count(), 5, "{text}");
    assert!(text.contains("and 65 more that need attention: --limit 70"), "{text}");
    assert!(text.contains("does not serve 70 of its keys"), "{text}");
    assert!(text.contains("70 keys: 70 need attention, 0 served by all"), "{text}");
    let all = status(&cluster, &["--all", "--limit", "5"]);
    assert_eq!((names(&all).len(), &all["summary"]["not_shown"]), (KEYS, &0.into()));
    cluster.start_node(3);
    cluster.wait_until_serving();
    let begun = Instant::now();
    loop {
        let now = status(&cluster, &[]);
        if names(&now) == ["key-33"] {
            assert_eq!(
                (&now["keys"][0]["serving"], &now["keys"][0]["spare"]),
                (&3.into(), &1.into())
            );
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{now}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let text = ok(&cluster.operator(&["share", "status"]));
    assert!(text.contains("quorate share repair 3"), "{text}");
    assert!(
        text.ends_with("70 keys: 1 need attention, 69 served by all of their nodes\n"),
        "{text}"
    );
    ok(&cluster.operator(&["share", "repair", "3"]));
    an_older_version_lags(&mut cluster);
    let text = ok(&cluster.operator(&["share", "status"]));
    assert_eq!(text.trim(), "70 keys: 70 served by all of their nodes");
}

/// The newest version is served by all; of the one before it a node has missed a refresh.
fn an_older_version_lags(cluster: &mut Cluster) {
    // A key has a version before its newest: what that one encrypted, its shares open.
    ok(&cluster.operator(&["key", "rotate", "key-44", "--yes"]));
    let text = ok(&cluster.operator(&["share", "status"]));
    assert_eq!(text.trim(), "70 keys: 70 served by all of their nodes");
    cluster.kill(3);
    let refresh = ["share", "refresh", "key-44", "--version", "1", "--allow-absent", "1", "--yes"];
    ok(&cluster.operator(&refresh));
    cluster.start_node(3);
    cluster.wait_until_serving();
    let begun = Instant::now();
    let now = loop {
        let now = status(cluster, &[]);
        // Both versions are asked about; the list has led there by the older one alone.
        if names(&now) == ["key-44"] {
            break now;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{now}");
        std::thread::sleep(Duration::from_millis(200));
    };
    let line = &now["keys"][0];
    assert_eq!(
        (&line["version"], &line["serving"], &line["spare"]),
        (&1.into(), &3.into(), &1.into())
    );
    assert_eq!(now["summary"]["attention"], 1);
    let text = ok(&cluster.operator(&["share", "status", "--all"]));
    assert!(text.contains("key-44 version 2"), "{text}");
    assert!(text.contains("node-3"), "{text}");
    assert!(text.contains("does not serve 1 of its keys"), "{text}");
    assert!(text.contains("70 keys: 1 need attention, 69 served by all"), "{text}");
    ok(&cluster.operator(&["share", "repair", "3"]));
}
