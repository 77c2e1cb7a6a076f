//! What `quorate-coordinator` says and refuses at its command line.

use std::process::{Command, Output};

fn coordinator(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-coordinator"));
    command.args(args).env_remove("QUORATE_HOME").output().expect("the program runs")
}

#[test]
fn exit_codes_tell_systemd_what_to_do() {
    assert_eq!(coordinator(&["nonsense"]).status.code(), Some(64));
    let home = tempfile::tempdir().unwrap();
    let at = home.path().display().to_string();
    assert_eq!(coordinator(&["run", "--home", &at]).status.code(), Some(78));
    assert_eq!(coordinator(&["--help"]).status.code(), Some(0));
}

#[test]
fn a_home_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("c").display().to_string();
    let init = ["init", "--home", &at, "--name", "c-1", "--endpoint", "127.0.0.1:7500"];
    let out = coordinator(&init);
    assert!(String::from_utf8_lossy(&out.stdout).contains("QUORATE COORDINATOR"));
    assert_eq!(coordinator(&init).status.code(), Some(1), "nothing is overwritten");
    // Without a roster it does not start, and says so.
    let run = coordinator(&["run", "--home", &at]);
    assert_eq!(run.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&run.stderr).contains("roster.json"));
}

#[test]
fn the_annotated_configuration_is_printed() {
    let out = coordinator(&["config"]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("step_seconds"));
}
