//! The binary: exit codes, signals, and what it prints.

use crate::cluster::Laid;
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
