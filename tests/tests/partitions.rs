//! Nodes that cannot be reached: packets are dropped without a word, in one direction or both, in
//! a network of the test's own. What is served, how fast, what is refused and how soon, and what a
//! ceremony under way does. Needs root and network namespaces; where they are not to be had, each
//! test says so in one line and ends.

use quorate_client::{Client, EncryptionContext, Error};
use quorate_tests::{CENTRE, Cluster, Cut, LogTail, Network};
use std::{
    process::{Child, Output},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const PLAINTEXT: &[u8] = b"who owns my key?";
const NO_QUORUM: i32 = 4;
const REFRESH: [&str; 3] = ["share", "refresh", "demo"];
/// How long after the network is whole again everything must be as before.
const HEALED: Duration = Duration::from_secs(15);
/// How long a step of a ceremony may be in coming on a loaded machine.
const SOON: Duration = Duration::from_secs(30);

/// One cluster at a time: some of these tests measure.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A cluster of five in a network of its own, with a key that three use, and something sealed.
fn cluster() -> Option<(Cluster, Vec<u8>)> {
    let cluster = Cluster::of(5).threshold(3).start_in(Network::of(5)?);
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", PLAINTEXT);
    Some((cluster, sealed))
}

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

fn decrypts(cluster: &Cluster, sealed: &[u8], when: &str) {
    let out = cluster.decrypt(sealed);
    assert!(out.status.success(), "{when}: {}", said(&out));
    assert_eq!(out.stdout, PLAINTEXT, "{when}");
}

/// What a load of decryptions came to.
#[derive(Debug)]
struct Load {
    served: u64,
    failed: u64,
    p99: Duration,
    #[expect(dead_code, reason = "it is printed")]
    max: Duration,
}

/// Requests at random moments, thirty each second, for so long; `meanwhile` runs beside them.
fn load(cluster: &Cluster, seconds: u32, meanwhile: impl FnOnce()) -> Load {
    let seconds = seconds.to_string();
    let bench = ["--output", "json", "bench", "decrypt", "--key", "demo", "--rate", "30"];
    let bench = cluster.start_quorate("client", &[&bench[..], &["--seconds", &seconds]].concat());
    meanwhile();
    let json = json(&bench.wait_with_output().expect("it ends"));
    let measured = &json["measured"];
    let failed = measured["failed"].as_object().expect("failures by class");
    let us = |name: &str| {
        let us = measured[name].as_f64().expect("microseconds");
        Duration::from_secs_f64(us / 1e6)
    };
    Load {
        served: measured["served"].as_u64().expect("a count"),
        failed: failed.values().filter_map(serde_json::Value::as_u64).sum(),
        p99: us("p99_us"),
        max: us("max_us"),
    }
}

/// Row 8. Any two nodes are cut off in turn, silently, while clients decrypt.
///
/// The bound on p99 is twice the healthy p99 and [`HEDGE`]: a request that asked a silent node
/// waits until another is asked in its place, once; after that the silent one is asked last. What
/// is healthy is measured before and after, since the machine has other work; and when that comes
/// and goes within a round, another round may show what the cluster does.
#[test]
fn with_n_minus_t_nodes_cut_off_requests_are_served_as_before() {
    let _alone = alone();
    let Some((cluster, sealed)) = cluster() else { return };
    let mut healthy = load(&cluster, 10, || {});
    let mut slow = Vec::new();
    for _ in 0..ROUNDS {
        let cut_off = load(&cluster, 45, || cut_two_off_in_turn(cluster.network()));
        let after = load(&cluster, 10, || {});
        println!("healthy {healthy:?}, with two cut off {cut_off:?}, healthy {after:?}");
        assert!(cut_off.served >= 1000, "too few to say anything of 99.9 %: {cut_off:?}");
        assert!(cut_off.failed * 1000 <= cut_off.served, "{cut_off:?}");
        decrypts(&cluster, &sealed, "after it has healed");
        if cut_off.p99 <= 2 * healthy.p99.max(after.p99) + HEDGE {
            return;
        }
        slow.push((healthy.p99, cut_off.p99, after.p99));
        healthy = after;
    }
    panic!("p99 before, while two were cut off, and after: {slow:?}");
}

const ROUNDS: usize = 3;

/// Both directions, then one and the other: a silent peer is one all the same.
fn cut_two_off_in_turn(network: &Network) {
    std::thread::sleep(Duration::from_secs(3));
    for (nodes, cut) in [([1, 2], Cut::Both), ([3, 4], Cut::Inbound), ([5, 1], Cut::Outbound)] {
        nodes.iter().for_each(|node| network.cut(*node, cut));
        std::thread::sleep(Duration::from_secs(9));
        nodes.iter().for_each(|node| network.heal(*node));
        // Until connections are through again (TCP has doubled its pauses) and peers are asked.
        std::thread::sleep(Duration::from_secs(5));
    }
}

/// How long a node whose latency is not known yet is waited for before another is asked
/// (`quorate-quorum`); of a known one, less.
const HEDGE: Duration = Duration::from_millis(200);

/// Row 9. Everybody who asks is refused, before the deadline, by name, and without a result.
#[test]
fn with_fewer_than_t_reachable_all_is_refused_in_time_and_served_soon_after_it_heals() {
    let _alone = alone();
    let Some((cluster, sealed)) = cluster() else { return };
    let network = cluster.network();
    decrypts(&cluster, &sealed, "before");
    for (nodes, cut) in [([1, 2, 4], Cut::Both), ([5, 3, 1], Cut::Outbound)] {
        nodes.iter().for_each(|node| network.cut(*node, cut));
        // At once, and when the connections are known to be dead.
        network.at(CENTRE, || refused(&cluster, &sealed, &nodes, Duration::from_secs(3), 8));
        network.at(CENTRE, || refused(&cluster, &sealed, &nodes, Duration::from_secs(10), 2));
        let out = cluster.decrypt(&sealed);
        assert_eq!(out.status.code(), Some(NO_QUORUM), "{}", said(&out));
        assert!(out.stdout.is_empty(), "part of a result");
        for node in nodes {
            assert!(said(&out).contains(&format!("node-{node}")), "{}", said(&out));
        }
        nodes.iter().for_each(|node| network.heal(*node));
        let begun = Instant::now();
        while !cluster.decrypt(&sealed).status.success() {
            assert!(begun.elapsed() < HEALED, "{nodes:?}, {cut:?}: it does not serve again");
        }
        println!("{nodes:?}, {cut:?}: served {:?} after healing", begun.elapsed());
    }
}

/// Asks so many times, two at once; nobody gets anything, nor waits beyond the deadline.
fn refused(cluster: &Cluster, sealed: &[u8], nodes: &[u16], deadline: Duration, times: usize) {
    const LATE: Duration = Duration::from_millis(50);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let client = || Client::builder().home(cluster.home("client")).timeout(deadline).build();
    let ask = |client: Client| async move {
        let begun = Instant::now();
        let result = client.decrypt(sealed, &EncryptionContext::default()).await;
        (result.map(drop), begun.elapsed())
    };
    runtime.expect("a runtime").block_on(async {
        let client = client().expect("a client's home");
        for _ in 0..times / 2 {
            let (one, other) = tokio::join!(ask(client.clone()), ask(client.clone()));
            for (result, took) in [one, other] {
                assert!(took <= deadline + LATE, "{took:?} of {deadline:?}");
                let Err(Error::NoQuorum { missing, needed, .. }) = result else {
                    panic!("not refused for want of a quorum: {result:?}")
                };
                assert_eq!(needed, 3);
                for node in nodes {
                    let name = format!("node-{node}");
                    let named = missing.iter().any(|m| m.to_string().contains(&name));
                    assert!(named, "{name} is not among {missing:?}");
                }
            }
        }
    });
}

/// Runs a refresh until it is at a step.
fn until(cluster: &Cluster, step: &str) -> Child {
    let mut log = cluster.tail("coordinator");
    let child = cluster.start_quorate("operator-1", &REFRESH);
    reached(&mut log, step);
    child
}

fn reached(log: &mut LogTail, step: &str) {
    let line = log.wait_for(&["conducts", &format!("step={step} ")], SOON);
    assert!(line.is_some(), "the {step} step was never reached");
}

/// It goes through without the node, or ends with the reason and the node's name; it never hangs.
fn ends_with_a_reason(mut child: Child, node: u16, when: &str) -> bool {
    let begun = Instant::now();
    while child.try_wait().expect("a child can be waited for").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{when}: the command hangs");
        std::thread::sleep(Duration::from_millis(20));
    }
    let out = child.wait_with_output().expect("it has ended");
    println!(
        "{when}, {:?}: {}{}",
        begun.elapsed(),
        String::from_utf8_lossy(&out.stdout),
        said(&out)
    );
    let through = out.status.success();
    if !through {
        // By its index, as commands take it.
        let named = said(&out).contains(&format!("from nodes [{node}]"));
        assert!(named, "{when}: node {node} is not named: {}", said(&out));
    }
    through
}

/// The same command finishes soon: everybody serves one epoch and holds nothing else.
fn the_same_command_finishes(cluster: &Cluster, public_key: &serde_json::Value, when: &str) {
    let begun = Instant::now();
    let mut out = cluster.operator(&REFRESH);
    while !out.status.success() {
        assert!(begun.elapsed() < HEALED, "{when}: {}", said(&out));
        out = cluster.operator(&REFRESH);
    }
    let text = ok(&out);
    assert!(text.contains("3 of 5 nodes use it, 5 serve it"), "{when}: {text}");
    assert!(text.contains("every old share is reported erased"), "{when}: {text}");
    assert_eq!(&self::public_key(cluster), public_key, "{when}");
}

fn public_key(cluster: &Cluster) -> serde_json::Value {
    json(&cluster.operator(&["--output", "json", "key", "show", "demo"]))["public_key"].clone()
}

/// Row 10, one way: a node that hears and cannot answer, and one that speaks and hears nothing.
#[test]
fn a_refresh_with_a_node_cut_off_one_way_ends_with_the_reason_and_then_finishes() {
    let _alone = alone();
    let Some((cluster, sealed)) = cluster() else { return };
    let (network, key) = (cluster.network(), public_key(&cluster));
    let cases = [
        (2, "survey", Cut::Inbound),
        (3, "deal", Cut::Outbound),
        (4, "receive", Cut::Inbound),
        (5, "activate", Cut::Outbound),
        (1, "retire", Cut::Inbound),
    ];
    for (node, step, cut) in cases {
        let when = format!("node {node} cut off at {step}, {cut:?}");
        let command = until(&cluster, step);
        network.cut(node, cut);
        decrypts(&cluster, &sealed, &when);
        ends_with_a_reason(command, node, &when);
        decrypts(&cluster, &sealed, &when);
        assert_eq!(public_key(&cluster), key, "{when}");
        network.heal(node);
        the_same_command_finishes(&cluster, &key, &when);
        decrypts(&cluster, &sealed, &when);
    }
    // Cut off before it begins, and for as long as it takes.
    let when = "node 2 cut off before";
    network.cut(2, Cut::Outbound);
    let refresh = cluster.start_quorate("operator-1", &REFRESH);
    assert!(!ends_with_a_reason(refresh, 2, when), "{when}: all must serve it");
    decrypts(&cluster, &sealed, when);
    network.heal(2);
    the_same_command_finishes(&cluster, &key, when);
    decrypts(&cluster, &sealed, "at the end");
}

/// Row 10, flapping: a node comes and goes each two seconds while shares move again and again.
#[test]
fn refreshes_under_a_flapping_partition_are_safe_and_finish_when_it_has_settled() {
    let _alone = alone();
    let Some((cluster, sealed)) = cluster() else { return };
    let (network, key) = (cluster.network(), public_key(&cluster));
    let settled = AtomicBool::new(false);
    let through = std::thread::scope(|scope| {
        let _settles = Settles(&settled);
        scope.spawn(|| {
            for cut in [Cut::Both, Cut::Inbound, Cut::Outbound].into_iter().cycle() {
                network.cut(4, cut);
                std::thread::sleep(Duration::from_secs(2));
                network.heal(4);
                if settled.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::sleep(Duration::from_secs(2));
            }
        });
        let begun = Instant::now();
        let mut through = Vec::new();
        while begun.elapsed() < Duration::from_secs(30) {
            let when = format!("refresh {} under flapping", through.len() + 1);
            let refresh = cluster.start_quorate("operator-1", &REFRESH);
            decrypts(&cluster, &sealed, &when);
            through.push(ends_with_a_reason(refresh, 4, &when));
            decrypts(&cluster, &sealed, &when);
        }
        through
    });
    println!("under flapping: {through:?}");
    assert_eq!(public_key(&cluster), key);
    the_same_command_finishes(&cluster, &key, "after flapping");
    decrypts(&cluster, &sealed, "at the end");
}

/// Whoever leaves, also by a panic, ends the flapping.
struct Settles<'a>(&'a AtomicBool);

impl Drop for Settles<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
