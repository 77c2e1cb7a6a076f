//! Row 43: a panic in a handler.

use crate::rig::*;
use quorate_tests::{Cluster, binary};
use std::{os::unix::process::ExitStatusExt, process::Command};

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
