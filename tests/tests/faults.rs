//! Faults of the machine under real processes: the disk, randomness, threads, descriptors, memory;
//! and what a process that dies leaves behind. `tests/faults/shim.c` is the machine that fails.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of `#[test]` functions")]

use quorate_tests::{Cluster, binary, run};
use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus, Output},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

const FAIL_STOP: i32 = 70;
const NO_QUORUM: i32 = 4;
const ABORT: i32 = 6;

/// A fault that one process may have, once it is asked for.
struct Fault {
    _dir: tempfile::TempDir,
    control: String,
}

impl Fault {
    fn none_yet() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let control = dir.path().join("fault").to_str().unwrap().to_owned();
        Self { _dir: dir, control }
    }

    /// What makes a process one that can fail.
    fn env(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", shim()), ("QUORATE_FAULT", &self.control)]
    }

    /// From now on it fails so; the words stand in the shim.
    fn ask(&self, fault: &str) {
        self.mend();
        let new = format!("{}.new", self.control);
        fs::write(&new, fault).unwrap();
        fs::rename(&new, &self.control).unwrap();
    }

    fn mend(&self) {
        let _ = fs::remove_file(&self.control);
        let _ = fs::remove_file(self.struck());
    }

    fn struck(&self) -> String {
        format!("{}.struck", self.control)
    }

    /// How long ago it struck first.
    fn age(&self) -> Duration {
        let struck = fs::metadata(self.struck()).expect("the fault has struck");
        SystemTime::now().duration_since(struck.modified().unwrap()).unwrap_or_default()
    }
}

fn shim() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/shim.c");
        let library = concat!(env!("CARGO_TARGET_TMPDIR"), "/shim.so");
        let mut cc = Command::new("cc");
        cc.args(["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O1", "-o", library, source]);
        assert!(cc.status().unwrap().success(), "the shim does not compile");
        library.to_owned()
    })
}

/// Clients that decrypt without a pause.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Load {
    fn start(cluster: &Cluster, sealed: &[u8], plain: &'static [u8]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (stop, home, sealed) = (stop.clone(), cluster.home("client"), sealed.to_owned());
            thread::spawn(move || {
                let (mut served, mut failures) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let out = run(&home, &["decrypt"], &sealed);
                    if out.status.success() && out.stdout == plain {
                        served += 1;
                    } else {
                        failures.push(said(&out));
                    }
                }
                (served, failures)
            })
        };
        let clients = (0..2).map(client).collect();
        Self { stop, clients }
    }

    /// How many were served, and what the others were told.
    fn stop(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let results = self.clients.into_iter().map(|c| c.join().unwrap());
        results.fold((0, Vec::new()), |(n, all), (served, failures)| {
            (n + served, [all, failures].concat())
        })
    }
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The end of a node that must stop by itself.
fn end(cluster: &mut Cluster, index: u16) -> ExitStatus {
    cluster.wait_for_end(index, Duration::from_secs(10))
}

/// A node whose write has failed: its end, within a second.
fn fail_stopped(cluster: &mut Cluster, index: u16, fault: &Fault) {
    let status = end(cluster, index);
    let took = fault.age();
    assert_eq!(status.code(), Some(FAIL_STOP), "{status}\n{}", tail(cluster, index));
    assert!(took < Duration::from_secs(1), "it lived on for {took:?}");
    println!("node {index} was gone {took:?} after its first failed write");
    fault.mend();
}

fn restart(cluster: &mut Cluster, index: u16, fault: &Fault) {
    cluster.start_node_with(index, &fault.env());
    cluster.wait_until_serving();
}

fn log(cluster: &Cluster, index: u16) -> String {
    String::from_utf8_lossy(&fs::read(cluster.log(&format!("node-{index}"))).unwrap()).into_owned()
}

/// The end of a node's log.
fn tail(cluster: &Cluster, index: u16) -> String {
    let log = log(cluster, index);
    log.lines().skip(log.lines().count().saturating_sub(20)).collect::<Vec<_>>().join("\n")
}

/// The uses of keys that stand in a node's audit log.
fn granted(cluster: &Cluster, index: u16) -> usize {
    let index = index.to_string();
    let out = cluster.operator(&["audit", "tail", &index, "--count", "1000"]);
    assert!(out.status.success(), "{}", said(&out));
    String::from_utf8_lossy(&out.stdout).matches("granted").count()
}

/// Makes a key, beside what the test does.
fn birth(cluster: &Cluster, name: &str) -> JoinHandle<Output> {
    let (home, name) = (cluster.home("operator-1"), name.to_owned());
    thread::spawn(move || run(&home, &["key", "create", &name], b""))
}

/// Decrypts until it fails, beside what the test does; how often it did not.
fn decrypt_until_it_fails(cluster: &Cluster, sealed: &[u8]) -> JoinHandle<usize> {
    let (home, sealed) = (cluster.home("client"), sealed.to_owned());
    thread::spawn(move || {
        for served in 0..50 {
            let out = run(&home, &["decrypt"], &sealed);
            if !out.status.success() {
                assert_eq!(out.status.code(), Some(NO_QUORUM), "{}", said(&out));
                assert!(out.stdout.is_empty());
                return served;
            }
        }
        panic!("fifty decryptions and no fault");
    })
}

#[test]
fn when_a_sync_fails_the_node_is_gone_within_a_second_and_what_it_said_holds() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    let fault = Fault::none_yet();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", b"kept");
    cluster.stop(1);
    restart(&mut cluster, 1, &fault);

    // Others go on. Only a birth is sure to need this node.
    let load = Load::start(&cluster, &sealed, b"kept");
    fault.ask("sync 1");
    let birth_under_load = birth(&cluster, "under-load");
    fail_stopped(&mut cluster, 1, &fault);
    thread::sleep(Duration::from_millis(500));
    let (served, failures) = load.stop();
    assert!(served > 0 && failures.is_empty(), "{served}, {failures:?}");
    assert!(!birth_under_load.join().unwrap().status.success());

    // A node that is needed: every answer that it gave is in its log.
    restart(&mut cluster, 1, &fault);
    cluster.kill(2);
    let before = granted(&cluster, 1);
    fault.ask("sync 4");
    let served = decrypt_until_it_fails(&cluster, &sealed);
    fail_stopped(&mut cluster, 1, &fault);
    let served = served.join().unwrap();
    cluster.start_node(2);
    restart(&mut cluster, 1, &fault);
    assert!(granted(&cluster, 1) >= before + served);

    // Births: the sync fails at each kind of write that one makes.
    let mut born = vec![sealed];
    for nth in [1, 3, 6, 10] {
        let name = format!("born-{nth}");
        fault.ask(&format!("sync {nth}"));
        let birth = birth(&cluster, &name);
        fail_stopped(&mut cluster, 1, &fault);
        restart(&mut cluster, 1, &fault);
        if !birth.join().unwrap().status.success() {
            cluster.key(&name);
        }
        born.push(cluster.encrypt(&name, b"kept"));
    }
    cluster.kill(2);
    for sealed in &born {
        let out = cluster.decrypt(sealed);
        assert_eq!(out.stdout, b"kept", "{}", said(&out));
    }
}

#[test]
fn when_writes_find_no_space_the_node_is_gone_and_serves_again_with_room() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    let fault = Fault::none_yet();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", b"kept");
    cluster.stop(1);
    restart(&mut cluster, 1, &fault);
    cluster.kill(2);
    assert_eq!(cluster.decrypt(&sealed).stdout, b"kept");
    let before = granted(&cluster, 1);
    fault.ask("full");
    let served = decrypt_until_it_fails(&cluster, &sealed);
    assert_eq!(end(&mut cluster, 1).code(), Some(FAIL_STOP));
    assert!(fault.age() < Duration::from_secs(1));
    assert_eq!(served.join().unwrap(), 0, "no answer without its entry");

    // While it lasts a supervisor starts it in vain, and harms nothing.
    cluster.start_node_with(1, &fault.env());
    assert_eq!(end(&mut cluster, 1).code(), Some(FAIL_STOP), "{}", tail(&cluster, 1));
    cluster.start_node(2);
    cluster.wait_until_serving();
    assert_eq!(cluster.decrypt(&sealed).stdout, b"kept", "with the others");
    cluster.kill(2);
    fault.mend();
    restart(&mut cluster, 1, &fault);
    assert_eq!(granted(&cluster, 1), before);
    assert_eq!(cluster.decrypt(&sealed).stdout, b"kept");
}

#[test]
fn a_panic_ends_the_process_and_not_the_cluster() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    let fault = Fault::none_yet();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", b"kept");
    cluster.stop(1);
    restart(&mut cluster, 1, &fault);
    // Randomness is asked for in the thread that handles a request, and `expect`ed: row 46.
    fault.ask("random");
    cluster.kill(2);
    let asked = decrypt_until_it_fails(&cluster, &sealed);
    let status = end(&mut cluster, 1);
    assert_eq!(status.signal(), Some(ABORT), "{status}\n{}", tail(&cluster, 1));
    assert_eq!(asked.join().unwrap(), 0);
    assert!(tail(&cluster, 1).contains("panicked at"), "it says why: {}", tail(&cluster, 1));

    cluster.start_node(2);
    cluster.wait_until_serving();
    assert_eq!(cluster.decrypt(&sealed).stdout, b"kept", "with the others");
    fault.mend();
    restart(&mut cluster, 1, &fault);
    cluster.kill(2);
    assert_eq!(cluster.decrypt(&sealed).stdout, b"kept", "with the one that is back");

    // The coordinator as well: it cannot start its threads.
    cluster.stop_coordinator();
    fault.ask("threads 0");
    let mut coordinator = Command::new(binary("quorate-coordinator"));
    coordinator.args(["run", "--home"]).arg(cluster.home("coordinator")).envs(fault.env());
    let out = coordinator.output().unwrap();
    assert_eq!(out.status.signal(), Some(ABORT), "{}", said(&out));
    assert!(said(&out).contains("panicked at"), "{}", said(&out));
}
