//! Row 45: what a process that runs, or dies, shows to others.

use crate::rig::*;
use quorate_tests::{Cluster, binary};
use rustix::process::{Signal, geteuid, kill_process};
use std::{fs, os::unix::process::ExitStatusExt, process::Command, thread, time::Duration};

/// A shell's command by a process that has the same user and no privilege, as one that was broken
/// into would.
fn unprivileged(command: &str) -> Command {
    if !geteuid().is_root() {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        return shell;
    }
    let mut shell = Command::new("setpriv");
    shell.args(["--bounding-set=-all", "--inh-caps=-all", "sh", "-c", command]);
    shell
}

#[test]
fn what_dies_or_runs_shows_no_secret() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    cluster.key("demo");
    cluster.stop(1);
    cluster.trace(1);
    let cwd = tempfile::tempdir().unwrap();
    let orders = format!("ulimit -c unlimited; cd {}", cwd.path().display());

    // Without what a node forbids itself there would be a core, and a memory to read.
    let died = Command::new("sh").args(["-c", &format!("{orders}; kill -ABRT $$")]).status();
    let dumps = died.unwrap().core_dumped();
    let mut idle = unprivileged("exec sleep 60").spawn().unwrap();
    thread::sleep(Duration::from_millis(100));
    let readable = |pid: u32| {
        let mut read = unprivileged(&format!(": < /proc/{pid}/mem"));
        read.output().unwrap().status.success()
    };
    let reads = readable(idle.id());
    idle.kill().unwrap();
    idle.wait().unwrap();
    if !dumps || !reads {
        println!("weaker here: dumps are {dumps}, reading the same user's memory is {reads}");
    }
    for left in fs::read_dir(cwd.path()).unwrap() {
        fs::remove_file(left.unwrap().path()).unwrap();
    }

    let sealed = cluster.encrypt("demo", b"the plaintext of this test");
    for signal in [Signal::ABORT, Signal::SEGV] {
        let mut program = unprivileged(&format!("{orders}; exec \"$0\" \"$@\""));
        program.arg(binary("quorate-node"));
        cluster.start_node_as(1, program);
        cluster.wait_until_serving();
        assert_eq!(cluster.decrypt(&sealed).stdout, b"the plaintext of this test");
        let pid = cluster.pid(1);
        assert!(!readable(pid.as_raw_nonzero().get().unsigned_abs()), "its memory can be read");
        // The standard library takes the first SEGV for a full stack, and steps aside.
        kill_process(pid, signal).unwrap();
        thread::sleep(Duration::from_millis(50));
        let _ = kill_process(pid, signal);
        let status = end(&mut cluster, 1);
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
        assert!(!status.core_dumped(), "{status}");
        assert_eq!(fs::read_dir(cwd.path()).unwrap().count(), 0, "a core is left");
    }

    let log = fs::read(cluster.log("node-1")).unwrap();
    let has = |needle: &[u8]| log.windows(needle.len()).any(|w| w == needle);
    assert!(has(b"TRACE"), "the log was heard");
    let kek = fs::read(cluster.home("node-1").join("kek")).unwrap();
    let hex: String = kek.iter().map(|b| format!("{b:02x}")).collect();
    let list = format!("{:?}", &kek[..8]);
    for secret in [&b"the plaintext of this test"[..], &kek[..8], &hex.as_bytes()[..16]] {
        assert!(!has(secret));
    }
    assert!(!has(list.trim_matches(['[', ']']).as_bytes()));
}
