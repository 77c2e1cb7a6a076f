//! Schedules of refreshes that a change of the roster ends: who is told, and how they go on.

use quorate_tests::Cluster;
use serde_json::Value;
use std::process::Output;

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", said(out));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn status(cluster: &Cluster, key: &str) -> (String, Value) {
    let json = cluster.operator(&["--output", "json", "share", "status", key]);
    let json = serde_json::from_str(&ok(&json)).expect("one JSON document");
    (ok(&cluster.operator(&["share", "status", key])), json)
}

fn is_scheduled(cluster: &Cluster, key: &str) {
    let (text, json) = status(cluster, key);
    assert!(text.contains("scheduled: every 1 h until"), "{text}");
    assert!(json["schedule"]["ended"].is_null() && json["schedule"]["every"] == 3600, "{json}");
}

/// Runs a command as it was printed.
fn as_printed(cluster: &Cluster, command: &str) -> String {
    let mut words = command.trim().split(' ');
    assert_eq!(words.next(), Some("quorate"), "{command}");
    ok(&cluster.operator(&words.collect::<Vec<_>>()))
}

fn printed<'a>(text: &'a str, beginning: &str) -> Vec<&'a str> {
    text.lines().map(str::trim).filter(|l| l.starts_with(beginning)).collect()
}

#[test]
fn whoever_changes_the_roster_is_told_which_schedules_end_and_how_to_give_them_again() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    for (key, committee) in [("all", "1,2,3,4,5"), ("some", "1,2,4,5"), ("never", "1,2,4,5")] {
        ok(&cluster.operator(&["key", "create", key, "--committee", committee]));
    }
    for key in ["all", "some"] {
        let schedule = ["share", "schedule", key, "--every", "1h", "--times", "5", "--days", "9"];
        let done = ok(&cluster.operator(&schedule));
        assert!(done.contains("scheduled: every 1 h until"), "{done}");
        is_scheduled(&cluster, key);
    }

    // A node more, which touches no key.
    let card = cluster.new_node(6, "");
    let add = ["cluster", "add", "--node-file", card.to_str().expect("a path")];
    let out = cluster.operator(&add);
    assert!(said(&out).contains("ENDS         the schedules of refreshes of all, some"), "{out:?}");
    let text = ok(&out);
    assert!(!text.contains("cluster apply"), "{text}");
    let again = printed(&text, "quorate share schedule");
    assert_eq!(
        again,
        [
            "quorate share schedule all --every 1h --times 5 --days 9",
            "quorate share schedule some --every 1h --times 5 --days 9",
            "quorate share schedule --ended",
        ]
    );
    let (text, json) = status(&cluster, "all");
    assert!(text.contains("ENDED by roster version 2; give it again: `quorate share"), "{text}");
    assert!(!text.contains("scheduled:"), "{text}");
    assert_eq!(json["schedule"]["ended"]["by"], "roster", "{json}");
    assert_eq!(json["schedule"]["ended"]["version"], 2, "{json}");
    assert_eq!(json["schedule"]["again"], again[0], "{json}");
    let (_, json) = status(&cluster, "never");
    assert!(json["schedule"].is_null(), "{json}");
    let all = ok(&cluster.operator(&["share", "status"]));
    assert!(all.contains("2 need attention") && all.contains("ENDED by roster version 2"), "{all}");
    as_printed(&cluster, again[0]);
    is_scheduled(&cluster, "all");

    // Another identity in the place of a node that one of them is at; the other one has not been
    // given again yet.
    let card = cluster.new_node(3, "node-3b");
    cluster.kill(3);
    let replace = ["cluster", "replace", "3", "--node-file", card.to_str().expect("a path")];
    let text = ok(&cluster.operator(&replace));
    assert_eq!(printed(&text, "quorate cluster apply").len(), 1, "{text}");
    assert_eq!(printed(&text, "quorate share schedule"), ["quorate share schedule --ended"]);
    cluster.give_roster("node-3b");
    cluster.start_node_in(3, "node-3b");
    cluster.wait_until_serving();
    ok(&cluster.operator(&["cluster", "apply"]));
    is_scheduled(&cluster, "all");
    let (text, _) = status(&cluster, "some");
    assert!(text.contains("ENDED by roster version 2"), "{text}");
    let done = as_printed(&cluster, "quorate share schedule --ended");
    assert!(done.starts_with("1 keys moved") && done.contains("2 not touched"), "{done}");
    is_scheduled(&cluster, "some");
    let done = as_printed(&cluster, "quorate share schedule --ended");
    assert!(done.starts_with("0 keys moved"), "{done}");

    // An operator who ends one is told before and after; one who moves shares keeps it.
    let kept = ok(&cluster.operator(&["share", "refresh", "some"]));
    assert!(kept.contains("scheduled: every 1 h until"), "{kept}");
    let out = cluster.operator(&["share", "refresh", "some", "--end-schedule"]);
    assert!(said(&out).contains("this ENDS the schedule of some: every 1 h"), "{out:?}");
    let text = ok(&out);
    assert!(text.contains("has ended; to give it again: `quorate share schedule some"), "{text}");
    let (text, json) = status(&cluster, "some");
    assert!(!text.contains("schedule") && json["schedule"].is_null(), "{text}");
    let all = ok(&cluster.operator(&["share", "refresh", "--all", "--end-schedule"]));
    assert!(all.contains("schedules that this ends: 1; to give them again:"), "{all}");
    assert_eq!(printed(&all, "quorate share schedule all --every 1h --times 5").len(), 1, "{all}");
}
