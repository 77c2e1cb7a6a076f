//! Row 44: threads, memory and descriptors run out, at the start and later.

use crate::rig::*;
use quorate_tests::{Cluster, binary, run};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// A node in a shell that has obeyed first.
fn under(orders: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{orders}; exec \"$0\" \"$@\"")]).arg(binary("quorate-node"));
    shell.envs([NO_BACKTRACE]);
    shell
}

/// The standard library hangs where memory ends while it prints a backtrace.
const NO_BACKTRACE: (&str, &str) = ("RUST_BACKTRACE", "0");

/// A node under a limit has ended or serves, and soon.
fn ended_or_serving(cluster: &mut Cluster, index: u16) -> Option<ExitStatus> {
    let begun = Instant::now();
    loop {
        match cluster.ended(index) {
            Some(status) => return Some(status),
            None if cluster.is_serving(index) => return None,
            None => assert!(begun.elapsed() < PATIENCE, "neither: {}", tail(cluster, index)),
        }
    }
}

/// The ends of a node that lacks something: with a code of its own and a line that says what, or
/// as a panic or a failed allocation ends it.
fn ended_well(cluster: &Cluster, index: u16, status: ExitStatus) -> bool {
    let said = tail(cluster, index);
    let last = said.lines().last().unwrap_or_default();
    match status.code() {
        Some(code) => [70, 74, 78].contains(&code) && last.starts_with("quorate-node: "),
        None => {
            let why = said.contains("panicked at") || said.contains("memory allocation of");
            status.signal() == Some(ABORT) && why
        }
    }
}

/// Decrypts at the same time; how many were served.
fn decrypt_at_once(cluster: &Cluster, sealed: &[u8]) -> usize {
    let asked: Vec<_> = (0..AT_ONCE)
        .map(|_| (cluster.home("client"), sealed.to_owned()))
        .map(|(home, sealed)| thread::spawn(move || run(&home, &["decrypt"], &sealed)))
        .collect();
    asked.into_iter().map(|a| a.join().unwrap()).filter(|o| o.stdout == b"kept").count()
}

/// More than have a thread already.
const AT_ONCE: usize = 6;

/// Three nodes of which the first is needed, and stopped.
fn with_one_to_starve() -> (Cluster, Vec<u8>) {
    let mut cluster = Cluster::of(3).threshold(2).start();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", b"kept");
    cluster.stop(1);
    cluster.kill(2);
    (cluster, sealed)
}

#[test]
fn without_threads_a_node_ends_with_a_reason_or_serves() {
    let (mut cluster, sealed) = with_one_to_starve();
    let fault = Fault::none_yet();
    let mut served = 0;
    for given in [0, 1, 2, 3, 4, 7, 10, 11, 12, 14, 20] {
        fault.ask(&format!("threads {given}"));
        let [preload, control] = fault.env();
        cluster.start_node_with(1, &[preload, control, ("TOKIO_WORKER_THREADS", "2")]);
        match ended_or_serving(&mut cluster, 1) {
            Some(status) => assert!(ended_well(&cluster, 1, status), "{given}: {status}"),
            None => {
                served += 1;
                assert_eq!(cluster.decrypt(&sealed).stdout, b"kept");
                cluster.kill(1);
            }
        }
    }
    assert!((1..11).contains(&served), "the limits are around what it needs: {served}");

    // None from now on: what runs goes on, or ends.
    fault.mend();
    restart(&mut cluster, 1, &fault);
    fault.ask("threads 0");
    let served = decrypt_at_once(&cluster, &sealed);
    match cluster.ended(1) {
        Some(status) => assert!(ended_well(&cluster, 1, status), "{status}"),
        None => {
            assert_eq!(served, AT_ONCE, "it lives and does not serve: {}", tail(&cluster, 1));
            cluster.kill(1);
        }
    }
    serves_without_limits(&mut cluster, 1, &sealed);
}

#[test]
fn without_memory_a_node_ends_with_a_reason_or_serves() {
    let (mut cluster, sealed) = with_one_to_starve();
    let mut ended = 0;
    for mebibytes in [1, 4, 8, 24, 28, 40, 46, 48, 50, 52, 54, 64] {
        let orders = format!("ulimit -d {}", mebibytes << 10);
        cluster.start_node_as(1, under(&orders));
        match ended_or_serving(&mut cluster, 1) {
            Some(status) => {
                ended += 1;
                assert!(ended_well(&cluster, 1, status), "{mebibytes} MiB: {status}");
            }
            None => cluster.kill(1),
        }
    }
    assert!(ended > 2, "the limits are around what it needs: {ended}");

    // It runs, and gets no more than a little more.
    cluster.start_node(2);
    let mut births = Vec::new();
    for more in [0, 1, 2, 4] {
        cluster.start_node_with(1, &[NO_BACKTRACE]);
        cluster.wait_until_serving();
        let most = size(cluster.pid(1)) + (more << 20);
        limit(cluster.pid(1), Resource::Data, most);
        births.push(birth(&cluster, &format!("starved-{more}")));
        decrypt_at_once(&cluster, &sealed);
        match ended_or_serving(&mut cluster, 1) {
            Some(status) => {
                println!("with {more} MiB more: {status}");
                assert!(ended_well(&cluster, 1, status), "{more} MiB more: {status}");
            }
            None => cluster.kill(1),
        }
    }
    serves_without_limits(&mut cluster, 1, &sealed);
    births.into_iter().for_each(|birth| drop(birth.join().unwrap()));
    cluster.kill(2);
    assert_eq!(cluster.decrypt(&sealed).stdout, b"kept", "with the node that was starved");
}

/// A process's data, in bytes.
fn size(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmData:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Sets a soft limit of a process that runs; its hard one is as ours.
fn limit(pid: Pid, what: Resource, to: u64) {
    let limits = Rlimit { current: Some(to), ..getrlimit(what) };
    prlimit(Some(pid), what, limits).unwrap();
}

#[test]
fn without_descriptors_a_node_refuses_to_start_or_ends_and_serves_again() {
    let (mut cluster, sealed) = with_one_to_starve();
    for few in [64, 12, 8, 5] {
        cluster.start_node_as(1, under(&format!("ulimit -n {few}")));
        let status = end(&mut cluster, 1);
        assert!(ended_well(&cluster, 1, status), "{few}: {status}\n{}", tail(&cluster, 1));
    }
    assert!(log(&cluster, 1).contains("LimitNOFILE="), "it says what to do");

    // All are in use: nobody new comes in, and a birth that needs a new file ends it.
    cluster.start_node(2);
    cluster.start_node(1);
    cluster.wait_until_serving();
    let open = fs::read_dir(format!("/proc/{}/fd", cluster.pid(1).as_raw_nonzero()));
    limit(cluster.pid(1), Resource::Nofile, open.unwrap().count() as u64 - 1);
    let birth = birth(&cluster, "starved");
    assert!(!cluster.is_healthy(1), "a new connection");
    assert_eq!(cluster.decrypt(&sealed).stdout, b"kept", "others go on");
    limit(cluster.pid(1), Resource::Nofile, 1024 + 64);
    thread::sleep(Duration::from_millis(200));
    if let Some(status) = cluster.ended(1) {
        assert_eq!(status.code(), Some(FAIL_STOP));
        cluster.start_node(1);
    }
    cluster.wait_until_serving();
    if !birth.join().unwrap().status.success() {
        cluster.key("starved");
    }
    let other = cluster.encrypt("starved", b"kept");
    cluster.kill(2);
    for sealed in [sealed, other] {
        assert_eq!(cluster.decrypt(&sealed).stdout, b"kept");
    }
}
