//! The binary: exit codes, signals, and what it prints.

use crate::cluster::{KEY, Laid, give_birth};
use quorate_ceremony::Subject;
use quorate_node::{Config, kek};
use quorate_store::{Batch, EpochId, Limits, Opening, Record, SledStore, Store, Tree};
use quorate_types::{KeyName, KeyVersion, NodeIndex};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

fn node(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-node"));
    command.args(args).env_remove("QUORATE_HOME");
    command
}

fn output(args: &[&str]) -> Output {
    node(args).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Starts a node, waits until it serves.
fn serve(home: &Path) -> Child {
    let mut child =
        node(&["run", "--home", home.to_str().unwrap()]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("serving") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the node did not start");
    }
    // Keeps the pipe open and empty.
    std::thread::spawn(move || lines.lines().for_each(drop));
    child
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

fn wait(mut child: Child) -> i32 {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the node does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn usage_and_configuration_have_exit_codes_of_their_own() {
    assert_eq!(code(&output(&["run"])), 64);
    assert_eq!(code(&output(&["nonsense"])), 64);
    assert_eq!(code(&output(&["--help"])), 0);
    let manual = output(&["config"]);
    assert_eq!(String::from_utf8(manual.stdout).unwrap(), quorate_node::Config::MANUAL);
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().to_str().unwrap();
    let missing = output(&["run", "--home", home]);
    assert_eq!(code(&missing), 78);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("quorate-node init"));
    fs::write(dir.path().join("node.toml"), "unsafe_mode = true").unwrap();
    assert_eq!(code(&output(&["run", "--home", home])), 78);
}

#[test]
fn init_prints_the_card_that_it_writes_and_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let (home, card) = (dir.path().join("n"), dir.path().join("public"));
    let args = [
        "init",
        "--home",
        home.to_str().unwrap(),
        "--name",
        "node-1",
        "--endpoint",
        "node-1:7400",
        "--provider",
        "Nordlys Cloud",
        "--home-jurisdiction",
        "NO",
        "--location",
        "DE",
        "--public-out",
        card.to_str().unwrap(),
    ];
    let made = output(&args);
    assert_eq!(code(&made), 0, "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(made.stdout, fs::read(&card).unwrap());
    let again = output(&args);
    assert_eq!(code(&again), 78);
    assert!(String::from_utf8_lossy(&again.stderr).contains("never overwritten"));
    // Without a roster it cannot run.
    assert_eq!(code(&output(&["run", "--home", home.to_str().unwrap()])), 78);
}

#[test]
fn it_drains_on_sigterm_and_refuses_a_corrupt_store() {
    let laid = Laid::out();
    let home = laid.home(1);
    for name in ["-TERM", "-INT"] {
        let child = serve(&home);
        signal(&child, name);
        assert_eq!(wait(child), 0);
    }
    // Killed: what was written is there, and it starts again.
    let child = serve(&home);
    // No core file, and no other process of this user looks inside.
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id()));
    if let Ok(limits) = limits {
        let core = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().filter(|w| *w == "0").count(), 2, "{core}");
    }
    signal(&child, "-KILL");
    let mut child = child;
    child.wait().unwrap();
    let child = serve(&home);
    signal(&child, "-TERM");
    assert_eq!(wait(child), 0);

    let format = home.join("store/format");
    let mut bytes = fs::read(&format).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&format, bytes).unwrap();
    let refused = output(&["run", "--home", home.to_str().unwrap()]);
    assert_eq!(code(&refused), 65, "{}", String::from_utf8_lossy(&refused.stderr));
}

/// Keys that a node is measured with.
const MANY: u64 = 10_000;

/// `cargo test --release -p quorate-node --test node -- --ignored 10_000 --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; run in release on an idle machine"]
async fn a_node_with_10_000_keys_starts_within_its_bounds() {
    let laid = Laid::out();
    let nodes = laid.start_all().await;
    give_birth(&laid, &nodes).await;
    for node in nodes {
        node.stop().await;
    }
    let home = laid.home(1);
    listen_on_a_port_that_is_known(&home);
    let begun = Instant::now();
    multiply(&laid);
    println!("{MANY} keys laid out in {:?}", begun.elapsed());

    let home = home.to_str().unwrap();
    for _ in 0..3 {
        let begun = Instant::now();
        let mut child = node(&["run", "--home", home]).stderr(Stdio::null()).spawn().unwrap();
        while code(&output(&["healthcheck", "--home", home])) != 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        let took = begun.elapsed();
        let status = String::from_utf8(output(&["status", "--home", home]).stdout).unwrap();
        assert!(status.contains(&format!("keys: {}", MANY + 1)), "{status}");
        let (resident, most) = (mebibytes(&child, "VmRSS:"), mebibytes(&child, "VmHWM:"));
        println!("serves after {took:?}, {resident} MiB are resident, {most} were at the most");
        // Unoptimised, the check of every record takes a few times as long.
        let bound = if cfg!(debug_assertions) { 20 } else { 5 };
        assert!(took < Duration::from_secs(bound), "{took:?}");
        assert!(resident < 150, "{resident} MiB are resident");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn listen_on_a_port_that_is_known(home: &Path) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = home.join("node.toml");
    let toml = fs::read_to_string(&file).unwrap();
    let known = toml.replacen("listen = \"127.0.0.1:0\"", &format!("listen = \"{free}\""), 1);
    assert_ne!(known, toml);
    fs::write(file, known).unwrap();
}

/// What `/proc/PID/status` says, in MiB.
fn mebibytes(child: &Child, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|l| l.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

/// Gives node 1 the records of its key under many other names, each with an order and an epoch of
/// its own.
fn multiply(laid: &Laid) {
    let config = Config::load(&laid.home(1)).unwrap();
    let kek = kek::load(&config.kek).unwrap();
    let opening = Opening {
        node: NodeIndex::new(1).unwrap(),
        cluster: *laid.cluster.fingerprint().as_bytes(),
        identity: kek::open_identity(&config.identity, &kek).unwrap(),
        kek,
        limits: Limits::default(),
        on_poison: None,
    };
    let store = SledStore::open(&config.store, opening).unwrap();
    let head = store.get(Tree::Orders, &named(b'h', KEY)).unwrap().unwrap();
    let order = store.get(Tree::Orders, &[b"o", &head[..]].concat()).unwrap().unwrap();
    let all = |tag: &u8| store.scan(Tree::Records, &named(*tag, KEY), None, 100).unwrap();
    let records: Vec<Record> = b"svrab".iter().flat_map(all).collect();
    let secrets = store.scan(Tree::Secrets, b"", None, 100).unwrap();
    assert!(records.len() >= 5 && !secrets.is_empty(), "the key was born");
    let one = |batch: Batch, i: u64| {
        let name = format!("{KEY}-{i:05}");
        let hash = [&i.to_be_bytes()[..], &[0; 24]].concat();
        let sequence = [b"q", &(1_000_000 + i).to_be_bytes()[..]].concat();
        let batch = batch
            .put(Tree::Orders, [b"o", &hash[..]].concat(), order.to_vec())
            .put(Tree::Orders, sequence, hash.clone())
            .put(Tree::Orders, named(b'h', &name), hash);
        let batch = records.iter().fold(batch, |batch, (key, value)| {
            batch.put(Tree::Records, renamed(key, &name), value.to_vec())
        });
        secrets.iter().fold(batch, |batch, (key, value)| {
            batch.seal(Tree::Secrets, renamed(key, &name), &epoch(key, &name), value.clone())
        })
    };
    for i in (0..MANY).step_by(100) {
        store.commit((i..i + 100).fold(Batch::new(), one)).unwrap();
    }
    store.close().unwrap();
}

fn named(tag: u8, name: &str) -> Vec<u8> {
    [&[tag], name.as_bytes()].concat()
}

/// A record's key with another name in the place of [`KEY`].
fn renamed(key: &[u8], name: &str) -> Vec<u8> {
    [&named(key[0], name), &key[1 + KEY.len()..]].concat()
}

/// The epoch under which a secret is sealed; its number ends the record's key.
fn epoch(key: &[u8], name: &str) -> EpochId {
    let number = u64::from_be_bytes(*key.last_chunk().unwrap());
    let key: KeyName = name.parse().unwrap();
    let subject = Subject { key, version: KeyVersion::FIRST, number };
    EpochId::new(subject.store_epoch().to_vec()).unwrap()
}
