//! Rows 22 and 23: the disk fails, or is full.

use crate::rig::*;
use quorate_tests::Cluster;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

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

/// A file system of its own, gone with its guard.
struct Disk(PathBuf);

impl Disk {
    /// `None` where one may not mount.
    fn mount(at: PathBuf, mebibytes: u32) -> Option<Self> {
        let size = format!("size={mebibytes}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at);
        mount.output().is_ok_and(|out| out.status.success()).then_some(Self(at))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Adds to a file so many mebibytes, or what there is room for.
fn fill(file: &Path, mebibytes: u32) {
    let mut file = fs::File::options().create(true).append(true).open(file).unwrap();
    let mebibyte = vec![0; 1 << 20];
    let _ = (0..mebibytes).try_for_each(|_| file.write_all(&mebibyte));
}

#[test]
fn a_full_disk_takes_a_node_out_of_service_until_there_is_room() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    cluster.stop(1);
    // The node's whole home on a disk that is a little larger than its thresholds.
    let (home, aside) = (cluster.home("node-1"), cluster.home("aside"));
    fs::rename(&home, &aside).unwrap();
    fs::create_dir(&home).unwrap();
    let Some(_disk) = Disk::mount(home.clone(), 200) else {
        println!("skipped: a file system of a given size takes the right to mount");
        return;
    };
    let from = format!("{}/.", aside.display());
    assert!(Command::new("cp").args(["-a", &from]).arg(&home).status().unwrap().success());
    cluster.start_node(1);
    cluster.wait_until_serving();
    cluster.key("demo");
    let sealed = cluster.encrypt("demo", b"kept");
    cluster.kill(2);
    assert_eq!(cluster.decrypt(&sealed).stdout, b"kept");
    let before = granted(&cluster, 1);

    // Almost full, then so full that nothing can be written at all.
    let filler = home.join("filler");
    for mebibytes in [130, 200] {
        fill(&filler, mebibytes);
        let out = cluster.decrypt(&sealed);
        assert_eq!(out.status.code(), Some(NO_QUORUM), "{}", said(&out));
        assert_eq!(granted(&cluster, 1), before, "it lives, and answers what needs no entry");
    }
    cluster.start_node(2);
    cluster.wait_until_serving();
    assert_eq!(cluster.decrypt(&sealed).stdout, b"kept", "with the others");
    let out = cluster.operator(&["key", "create", "more"]);
    assert!(!out.status.success() && said(&out).contains("[1]"), "{}", said(&out));
    let out = cluster.operator(&["cluster", "status"]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("node-1: the disk is full"));
    cluster.kill(2);

    // It serves again by itself.
    fs::remove_file(&filler).unwrap();
    assert_eq!(cluster.decrypt(&sealed).stdout, b"kept");
    assert_eq!(granted(&cluster, 1), before + 1);

    // It ends well on a full disk, does not serve from one, and loses nothing.
    fill(&filler, 130);
    assert!(cluster.stop(1).success());
    cluster.start_node(1);
    assert_eq!(end(&mut cluster, 1).code(), Some(FAIL_STOP), "{}", tail(&cluster, 1));
    fs::remove_file(&filler).unwrap();
    serves_without_limits(&mut cluster, 1, &sealed);
    assert_eq!(granted(&cluster, 1), before + 2);
}
