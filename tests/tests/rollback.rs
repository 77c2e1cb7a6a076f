//! Disk images that are put back, and nodes that run twice, as real processes.

use quorate_tests::Cluster;
use std::{
    fs,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Output,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

const PLAINTEXT: &[u8] = b"who owns my key?";

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn json(out: &Output) -> serde_json::Value {
    serde_json::from_str(&ok(out)).expect("one JSON document")
}

/// What the coordinator says of a node.
fn status(cluster: &Cluster, index: u16) -> serde_json::Value {
    let all = json(&cluster.operator(&["--output", "json", "cluster", "status"]));
    let nodes = all["nodes"].as_array().expect("nodes");
    let one = nodes.iter().find(|n| n["node"] == index);
    one.expect("the node").clone()
}

/// Waits for a node's quarantine to be this.
fn wait_for_quarantine(cluster: &Cluster, index: u16, is: &str, limit: Duration) {
    let begun = Instant::now();
    loop {
        let status = status(cluster, index);
        if status["quarantine"] == is {
            return;
        }
        assert!(begun.elapsed() < limit, "not {is}: {status}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The node's own log of what it did, newest last.
fn audit(cluster: &Cluster, index: u16) -> Vec<serde_json::Value> {
    let index = index.to_string();
    let tail = ["--output", "json", "audit", "tail", &index, "--count", "1000"];
    json(&cluster.operator(&tail)).as_array().expect("entries").clone()
}

/// Whether an entry is the use of a key. It stands in the log before the share is touched.
fn is_use(entry: &serde_json::Value) -> bool {
    entry["outcome"].as_str().is_some_and(|o| o.contains("granted"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("a type").is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).expect("a copy"); // with its permissions
        }
    }
}

#[test]
fn a_node_on_an_old_disk_image_never_answers_and_is_replaced() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    cluster.key("demo");
    let ciphertext = cluster.encrypt("demo", PLAINTEXT);
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);

    cluster.stop(3);
    let (home, image) = (cluster.home("node-3"), cluster.home("image"));
    copy(&home, &image);
    cluster.start_node(3);
    cluster.wait_until_serving();
    ok(&cluster.operator(&["share", "refresh", "demo"]));
    for _ in 0..5 {
        assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
    }
    cluster.stop(3);
    fs::remove_dir_all(&home).expect("the newer disk is gone");
    copy(&image, &home);
    cluster.start_node(3);

    // Clients go on meanwhile, and node 3 is among those that are asked.
    let begun = Instant::now();
    let refused = loop {
        assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
        let status = status(&cluster, 3);
        assert_ne!(status["state"], "serving", "{status}");
        if status["quarantine"] == "rolled_back" {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{status}");
    };
    let detail = refused["detail"].as_str().expect("a detail");
    assert!(detail.contains("an older disk image"), "{detail}");
    assert!(detail.contains("has seen") && detail.contains("cluster replace 3"), "{detail}");
    let text = ok(&cluster.operator(&["cluster", "status"]));
    assert!(text.contains("an older disk image") && text.contains("quarantined"), "{text}");
    // Where it would be needed it gives nothing either, nor after another start.
    for again in [false, true] {
        if again {
            cluster.stop(3);
            cluster.start_node(3);
            wait_for_quarantine(&cluster, 3, "rolled_back", Duration::from_secs(20));
        }
        cluster.kill(1);
        cluster.kill(2);
        let out = cluster.decrypt(&ciphertext);
        assert!(!out.status.success(), "two nodes are not three");
        cluster.start_node(1);
        cluster.start_node(2);
        wait_until_serving(&cluster, 4);
    }
    // The image's log has one start and a use; of the starts since then none has any.
    let log = audit(&cluster, 3);
    let mut since = log.split(|e| e["event"] == "started").skip(2);
    assert_eq!(since.clone().count(), 2, "{log:?}");
    assert!(since.all(|start| !start.iter().any(is_use)), "{log:?}");
    assert_eq!(log.iter().filter(|e| e["event"] == "split").count(), 1, "{log:?}");

    // The way out: another identity in its place.
    cluster.stop(3);
    let card = cluster.new_node(3, "node-3b");
    let card = card.to_str().expect("a path");
    ok(&cluster.operator(&["cluster", "replace", "3", "--node-file", card]));
    cluster.give_roster("node-3b");
    cluster.start_node_in(3, "node-3b");
    cluster.wait_until_serving();
    let text = ok(&cluster.operator(&["cluster", "apply"]));
    assert!(text.contains("1 keys moved"), "{text}");
    cluster.kill(1);
    cluster.kill(2);
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);
}

fn wait_until_serving(cluster: &Cluster, count: u64) {
    let begun = Instant::now();
    loop {
        let out = cluster.operator(&["--output", "json", "cluster", "status"]);
        let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
        if json["serving"].as_u64() == Some(count) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{json}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// An address behind which now one machine is, now another.
struct Relay {
    target: Arc<Mutex<SocketAddr>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    fn listen(at: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).expect("the address is free");
        let relay = Self { target: Arc::new(Mutex::new(target)), open: Arc::default() };
        let (target, open) = (Arc::clone(&relay.target), Arc::clone(&relay.open));
        std::thread::spawn(move || {
            for incoming in listener.incoming() {
                let to = *target.lock().unwrap_or_else(PoisonError::into_inner);
                let (Ok(near), Ok(far)) = (incoming, TcpStream::connect(to)) else { continue };
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) =
                        (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    open.push(from.try_clone().expect("a socket"));
                    std::thread::spawn(move || {
                        // Cut connections are what this is for.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        relay
    }

    /// From now on the other machine is there, also for whoever is connected.
    fn switch(&self, to: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = to;
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Has the node of a home listen elsewhere; gives where it listened, and where it does.
fn move_away(home: &Path) -> (SocketAddr, SocketAddr) {
    let file = home.join("node.toml");
    let toml = fs::read_to_string(&file).expect("a configuration");
    let line = toml.lines().find(|l| l.starts_with("listen = ")).expect("where it listens");
    let before = line.trim_start_matches("listen = ").trim_matches('"');
    let before = before.parse().expect("an address");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    fs::write(&file, toml.replace(line, &format!("listen = \"{free}\""))).expect("it is written");
    (before, free)
}

#[test]
fn a_node_that_runs_twice_raises_the_alarm_within_a_minute() {
    let mut cluster = Cluster::of(4).threshold(3).start();
    cluster.key("demo");
    let ciphertext = cluster.encrypt("demo", PLAINTEXT);
    cluster.stop(2);
    let (first, second) = (cluster.home("node-2"), cluster.home("node-2b"));
    copy(&first, &second);
    let (known, at_first) = move_away(&first);
    let (_, at_second) = move_away(&second);
    let relay = Relay::listen(known, at_first);
    cluster.start_node(2);
    cluster.wait_until_serving();
    assert_eq!(ok(&cluster.decrypt(&ciphertext)).as_bytes(), PLAINTEXT);

    // On another machine its copy is started; the address leads there, and back.
    cluster.start_node_in(102, "node-2b");
    let begun = Instant::now();
    relay.switch(at_second);
    let limit = Duration::from_secs(40);
    wait_for_quarantine(&cluster, 2, "rolled_back", limit);
    relay.switch(at_first);
    wait_for_quarantine(&cluster, 2, "cloned", limit);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let text = ok(&cluster.operator(&["cluster", "status"]));
    assert!(text.contains("node-2: ") && text.contains("two processes run under this"), "{text}");
    // Peers have written it down.
    let peers = [1, 3, 4].iter().filter(|peer| {
        audit(&cluster, **peer).iter().any(|e| e["event"] == "split" && e["split"] == "cloned")
    });
    assert!(peers.count() > 0);
    // Neither of the two is of use: without another node there are not three.
    let begun = Instant::now();
    while status(&cluster, 2)["state"] != "quarantined" {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", status(&cluster, 2));
        std::thread::sleep(Duration::from_millis(100));
    }
    cluster.kill(1);
    for at in [at_first, at_second] {
        relay.switch(at);
        assert!(!cluster.decrypt(&ciphertext).status.success());
    }
    assert_eq!(status(&cluster, 2)["quarantine"], "cloned");
}
