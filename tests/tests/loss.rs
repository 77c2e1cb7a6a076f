//! Nodes that do not answer, and disks that are gone: what is served, what is refused and how
//! soon, and what an operator is told when a key is lost.

use quorate_tests::Cluster;
use std::{
    fs,
    process::Output,
    time::{Duration, Instant},
};

const PLAINTEXT: &[u8] = b"who owns my key?";
const NO_QUORUM: i32 = 4;
/// A client's deadline, and what a loaded machine needs to start the program.
const DEADLINE: Duration = Duration::from_secs(10);
const OVERHEAD: Duration = Duration::from_secs(5);

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", said(out));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn json(out: &Output) -> serde_json::Value {
    serde_json::from_str(&ok(out)).expect("one JSON document")
}

/// Frozen processes keep their connections: the worst kind of slow, and what a partition looks
/// like to whoever was connected before it.
#[test]
fn nodes_that_stop_answering_are_passed_over_until_fewer_than_t_are_left() {
    let cluster = Cluster::of(5).threshold(3).start();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", PLAINTEXT);
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);

    // Up to n - t are hedged, whoever they are: nobody waits for a deadline.
    for frozen in [[1, 2], [2, 4], [5, 3]] {
        frozen.iter().for_each(|n| cluster.freeze(*n));
        for _ in 0..3 {
            let begun = Instant::now();
            assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
            assert!(begun.elapsed() < OVERHEAD, "{frozen:?}: {:?}", begun.elapsed());
        }
        frozen.iter().for_each(|n| cluster.thaw(*n));
    }

    // One more, and it is refused: before the deadline, with its own exit code, naming them, and
    // without any part of a result.
    [1, 2, 4].iter().for_each(|n| cluster.freeze(*n));
    for _ in 0..2 {
        let begun = Instant::now();
        let out = cluster.decrypt(&sealed);
        assert!(begun.elapsed() < DEADLINE + OVERHEAD, "{:?}", begun.elapsed());
        assert_eq!(out.status.code(), Some(NO_QUORUM), "{}", said(&out));
        assert!(out.stdout.is_empty());
        for node in ["node-1", "node-2", "node-4"] {
            assert!(said(&out).contains(node), "{}", said(&out));
        }
        assert!(said(&out).contains("2 of the 3 nodes needed"), "{}", said(&out));
    }
    // A ceremony ends too, and says for whom it has waited; nothing has moved.
    let epoch = |cluster: &Cluster| {
        json(&cluster.operator(&["--output", "json", "key", "show", "demo"]))["epoch"].clone()
    };
    let before = epoch(&cluster);
    let out = cluster.operator(&["share", "refresh", "demo"]);
    assert!(!out.status.success() && said(&out).contains("1, 2, 4"), "{}", said(&out));
    assert_eq!(epoch(&cluster), before);

    [1, 2, 4].iter().for_each(|n| cluster.thaw(*n));
    let begun = Instant::now();
    while !cluster.decrypt(&sealed).status.success() {
        assert!(begun.elapsed() < Duration::from_secs(15), "it does not serve again");
    }
    ok(&cluster.operator(&["share", "refresh", "demo"]));
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
}

/// Clients that die in the middle of a request: what they began is finished and logged, and no
/// node keeps anything for them.
#[test]
fn clients_that_are_killed_leave_nothing_under_way() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", PLAINTEXT);
    let file = cluster.home("sealed");
    fs::write(&file, &sealed).expect("it is written");
    let file = file.to_str().expect("a path");
    // A node that tells how many uses are under way.
    cluster.stop(1);
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let address = port.expect("a free port").to_string();
    let config = cluster.home("node-1").join("node.toml");
    let toml = fs::read_to_string(&config).expect("a configuration");
    fs::write(config, format!("metrics_listen = \"{address}\"\n{toml}")).expect("it is written");
    cluster.start_node(1);
    cluster.wait_until_serving();
    cluster.kill(3); // so that it is needed

    let begun = Instant::now();
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
    let whole = begun.elapsed();
    let before = uses(&cluster);
    const CLIENTS: u32 = 100;
    for client in 0..CLIENTS {
        let mut child = cluster.start_quorate("client", &["decrypt", "--in", file]);
        // From before it has asked to after it has its answer.
        std::thread::sleep(whole * (20 + client) / 100);
        child.kill().expect("a child can be killed");
        child.wait().expect("it has ended");
    }
    let begun = Instant::now();
    while in_flight(&address) != 0 {
        assert!(begun.elapsed() < DEADLINE + Duration::from_secs(1), "uses stay under way");
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed: Vec<u32> =
        uses(&cluster).iter().zip(before).map(|(now, then)| now - then).collect();
    println!("of {CLIENTS} killed clients the nodes had answered {killed:?}");
    assert!(killed.iter().all(|uses| *uses <= CLIENTS) && killed.iter().any(|uses| *uses > 0));
    assert_eq!(ok(&cluster.decrypt(&sealed)).as_bytes(), PLAINTEXT);
}

/// The uses of keys in each node's audit log.
fn uses(cluster: &Cluster) -> [u32; 2] {
    ["1", "2"].map(|node| {
        let tail = ok(&cluster.operator(&["audit", "tail", node, "--count", "1000"]));
        u32::try_from(tail.matches("granted").count()).expect("a thousand at most")
    })
}

/// Uses of keys that are under way at a node, by its metrics.
fn in_flight(address: &str) -> u64 {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).expect("metrics are served");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it can be asked");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    let line = text.lines().find(|l| !l.starts_with('#') && l.contains("in_flight"));
    let value = line.and_then(|l| l.split_whitespace().last());
    value.and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("no gauge in {text}"))
}

#[test]
fn with_more_than_n_minus_t_disks_lost_the_key_is_said_to_be_lost_and_nothing_is_made_up() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", PLAINTEXT);
    let record = json(&cluster.operator(&["--output", "json", "key", "show", "demo"]));
    for node in [1, 2, 3] {
        cluster.kill(node);
        fs::remove_dir_all(cluster.home(&format!("node-{node}")).join("store")).expect("a store");
    }
    // A node without its disk does not begin anew.
    cluster.start_node(1);
    let ended = cluster.wait_for_end(1, Duration::from_secs(20));
    assert!(!ended.success());

    // While the nodes are only down, they may come back: out of reach.
    let out = cluster.decrypt(&sealed);
    assert_eq!(out.status.code(), Some(NO_QUORUM), "{}", said(&out));
    assert!(out.stdout.is_empty());
    let status = ok(&cluster.operator(&["share", "status", "demo"]));
    assert!(status.contains("OUT OF REACH until 1 more are back"), "{status}");
    assert!(!status.contains("KEY LOST"), "{status}");
    let out = cluster.operator(&["share", "repair", "1"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(said(&out).contains("if their disks are gone, the key is lost"), "{}", said(&out));

    // With others in their places it is known: nobody has the shares any more.
    for node in [1, 2, 3] {
        let name = format!("node-{node}b");
        let card = cluster.new_node(node, &name);
        let card = card.to_str().expect("a path");
        let node_text = node.to_string();
        let replace = ["cluster", "replace", &node_text, "--node-file", card];
        if node == 3 {
            // The last one that may not be missed: not by mistake.
            let out = cluster.operator(&replace);
            assert_eq!(out.status.code(), Some(2), "{}", said(&out));
            assert!(said(&out).contains("would lose 1 keys for good (demo)"), "{}", said(&out));
            ok(&cluster.operator(&[&replace[..], &["--accept-lost-keys"]].concat()));
        } else {
            ok(&cluster.operator(&replace));
        }
        cluster.give_roster(&name);
        cluster.start_node_in(node, &name);
    }
    // Only now has each of them the newest roster.
    cluster.wait_until_serving();
    let status = ok(&cluster.operator(&["share", "status", "demo"]));
    assert!(status.contains("2 serve it: KEY LOST: 3 shares"), "{status}");
    assert!(status.contains("another node than the one that held the share"), "{status}");
    let all = ok(&cluster.operator(&["share", "status"]));
    assert!(all.contains("KEY LOST") && all.contains("1 OUT OF REACH"), "{all}");
    let repair = ["share", "repair", "1", "--danger-concentrated", "--acknowledge-fragile"];
    for command in [&["cluster", "apply"][..], &repair] {
        let out = cluster.operator(command);
        assert_eq!(out.status.code(), Some(1), "{}", said(&out));
        assert!(said(&out).contains("KEY LOST"), "{command:?}: {}", said(&out));
    }
    let out = cluster.decrypt(&sealed);
    assert_eq!(out.status.code(), Some(NO_QUORUM), "{}", said(&out));
    assert!(out.stdout.is_empty());
    assert!(said(&out).contains("2 of the 3 nodes needed"), "{}", said(&out));
    let owns = ok(&cluster.operator(&["who-owns", "demo"]));
    assert!(owns.contains("another node has its place"), "{owns}");

    // Nothing was made up: the epoch is what it was, and the new nodes hold nothing of it.
    let now = json(&cluster.operator(&["--output", "json", "key", "show", "demo"]));
    assert_eq!((&now["epoch"], &now["public_key"]), (&record["epoch"], &record["public_key"]));
    let status = json(&cluster.operator(&["--output", "json", "share", "status", "demo"]));
    assert_eq!((&status["lost"], &status["serving"]), (&true.into(), &2.into()));
    for node in status["nodes"].as_array().expect("nodes").iter().take(3) {
        assert_eq!(node["held"].as_array().map(Vec::len), Some(0), "{node}");
    }
}
