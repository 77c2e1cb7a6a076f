//! A cluster whose machine fails when it is asked to.

use quorate_tests::{Cluster, run};
use std::{
    fs,
    process::{Command, ExitStatus, Output},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

pub(crate) const FAIL_STOP: i32 = 70;
pub(crate) const NO_QUORUM: i32 = 4;
pub(crate) const ABORT: i32 = 6;

/// How long a process may take to serve or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A fault that one process may have, once it is asked for.
pub(crate) struct Fault {
    _dir: tempfile::TempDir,
    control: String,
}

impl Fault {
    pub(crate) fn none_yet() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let control = dir.path().join("fault").to_str().unwrap().to_owned();
        Self { _dir: dir, control }
    }

    /// What makes a process one that can fail.
    pub(crate) fn env(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", shim()), ("QUORATE_FAULT", &self.control)]
    }

    /// From now on it fails so; the words stand in the shim.
    pub(crate) fn ask(&self, fault: &str) {
        self.mend();
        let new = format!("{}.new", self.control);
        fs::write(&new, fault).unwrap();
        fs::rename(&new, &self.control).unwrap();
    }

    pub(crate) fn mend(&self) {
        let _ = fs::remove_file(&self.control);
        let _ = fs::remove_file(self.struck());
    }

    pub(crate) fn struck(&self) -> String {
        format!("{}.struck", self.control)
    }

    /// How long ago it struck first.
    pub(crate) fn age(&self) -> Duration {
        let struck = fs::metadata(self.struck()).expect("the fault has struck");
        SystemTime::now().duration_since(struck.modified().unwrap()).unwrap_or_default()
    }
}

pub(crate) fn shim() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c");
        let library = concat!(env!("CARGO_TARGET_TMPDIR"), "/shim.so");
        let mut cc = Command::new("cc");
        cc.args(["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O1", "-o", library, source]);
        assert!(cc.status().unwrap().success(), "the shim does not compile");
        library.to_owned()
    })
}

/// Clients that decrypt without a pause.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Load {
    pub(crate) fn start(cluster: &Cluster, sealed: &[u8], plain: &'static [u8]) -> Self {
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
    pub(crate) fn stop(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let results = self.clients.into_iter().map(|c| c.join().unwrap());
        results.fold((0, Vec::new()), |(n, all), (served, failures)| {
            (n + served, [all, failures].concat())
        })
    }
}

pub(crate) fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The end of a node that must stop by itself.
pub(crate) fn end(cluster: &mut Cluster, index: u16) -> ExitStatus {
    cluster.wait_for_end(index, PATIENCE)
}

/// A node whose write has failed: its end, within a second.
pub(crate) fn fail_stopped(cluster: &mut Cluster, index: u16, fault: &Fault) {
    let status = end(cluster, index);
    let took = fault.age();
    assert_eq!(status.code(), Some(FAIL_STOP), "{status}\n{}", tail(cluster, index));
    assert!(took < Duration::from_secs(1), "it lived on for {took:?}");
    println!("node {index} was gone {took:?} after its first failed write");
    fault.mend();
}

pub(crate) fn restart(cluster: &mut Cluster, index: u16, fault: &Fault) {
    cluster.start_node_with(index, &fault.env());
    cluster.wait_until_serving();
}

pub(crate) fn log(cluster: &Cluster, index: u16) -> String {
    String::from_utf8_lossy(&fs::read(cluster.log(&format!("node-{index}"))).unwrap()).into_owned()
}

/// The end of a node's log.
pub(crate) fn tail(cluster: &Cluster, index: u16) -> String {
    let log = log(cluster, index);
    log.lines().skip(log.lines().count().saturating_sub(20)).collect::<Vec<_>>().join("\n")
}

/// The uses of keys that stand in a node's audit log.
pub(crate) fn granted(cluster: &Cluster, index: u16) -> usize {
    let index = index.to_string();
    let out = cluster.operator(&["audit", "tail", &index, "--count", "1000"]);
    assert!(out.status.success(), "{}", said(&out));
    String::from_utf8_lossy(&out.stdout).matches("granted").count()
}

/// Makes a key, beside what the test does.
pub(crate) fn birth(cluster: &Cluster, name: &str) -> JoinHandle<Output> {
    let (home, name) = (cluster.home("operator-1"), name.to_owned());
    thread::spawn(move || run(&home, &["key", "create", &name], b""))
}

/// Decrypts until it fails, beside what the test does; how often it did not.
pub(crate) fn decrypt_until_it_fails(cluster: &Cluster, sealed: &[u8]) -> JoinHandle<usize> {
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

/// With all that it needs it serves, and has forgotten nothing.
pub(crate) fn serves_without_limits(cluster: &mut Cluster, index: u16, sealed: &[u8]) {
    cluster.start_node(index);
    cluster.wait_until_serving();
    let out = cluster.decrypt(sealed);
    assert_eq!(out.stdout, b"kept", "{}", said(&out));
}
