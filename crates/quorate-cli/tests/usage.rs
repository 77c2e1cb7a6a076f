//! What the command line says and refuses, without any cluster.

use std::process::{Command, Output};

fn quorate(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.args(args).env_remove("QUORATE_HOME").output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_names_every_command_and_exit_code() {
    let help = text(&quorate(&["--help"]).stdout);
    for word in [
        "demo",
        "dev",
        "cluster",
        "key",
        "order",
        "encrypt",
        "decrypt",
        "derive",
        "sign",
        "verify",
        "who-owns",
        "4 no quorum",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn every_command_parses() {
    use clap::CommandFactory;
    // Checks ids, conflicts and defaults of the whole tree; two arguments with one id and
    // two types once made `audit tail` panic.
    quorate_cli::args::Cli::command().debug_assert();
    for args in [
        &["audit", "tail", "3"][..],
        &["key", "create", "a", "--committee", "1,2,3", "--threshold", "2"],
        &["cluster", "status"],
        &["client", "list"],
        &["bench", "--key", "a"],
        &["derive", "--key", "a", "--context", "app=ids", "--encoding", "base64"],
        &["sign", "--key", "a", "--file", "b", "--format", "ssh", "--namespace", "git"],
        &["sign", "--key", "a", "--format", "minisign", "--trusted-comment", "c"],
        &["sign", "--key", "a", "b"],
        &["verify", "--key", "a", "--signature", "s", "--in", "b"],
        &["verify", "--key", "a", "--signature", "s", "b"],
        &["key", "show", "a", "--pem"],
        &[
            "key",
            "schedule-rotation",
            "a",
            "--every",
            "90d",
            "--from",
            "2030-01-01",
            "--times",
            "4",
        ],
        &["key", "schedule-rotation", "a", "--every", "90d", "--from", "30d", "--days", "3660"],
        &["key", "schedule-rotation", "a", "--end"],
        &["bench", "sign", "--key", "a"],
        &["key", "create", "a", "--purpose", "derive"],
        &["key", "create", "a", "--suite", "frost-ed25519"],
    ] {
        let out = quorate(&[args, &["--home", "/nonexistent"]].concat());
        assert_eq!(out.status.code(), Some(1), "{args:?}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains("no home directory"), "{}", text(&out.stderr));
    }
}

#[test]
fn wrong_usage_exits_2_and_says_what_to_do() {
    for (args, says) in [
        (&["encrypt"][..], "--key"),
        (&["cluster", "show"], "--home"),
        (&["cluster", "init", "--threshold", "3", "--dir", "x"], "--local"),
        (&["nonsense"], "unrecognized"),
        (&["derive"], "--key"),
        (&["derive", "--key", "a", "--output", "json", "--encoding", "raw"], "hex or base64"),
        (&["sign"], "--key"),
        (&["sign", "--key", "a", "--format", "pgp"], "raw, ssh, minisign"),
        (&["verify", "--key", "a"], "--signature"),
        (&["sign", "--key", "a", "b", "--in", "c"], "cannot be used with"),
        (&["key", "show", "a", "--pem", "--raw"], "--raw"),
        (&["key", "create", "a", "--suite", "frost-ed25519", "--purpose", "derive"], "--suite"),
        (&["key", "create", "a", "--purpose", "both"], "decrypt, sign, derive"),
        (&["key", "schedule-rotation", "a"], "--every"),
        (&["key", "schedule-rotation", "a", "--every", "9d", "--end"], "cannot be used with"),
        (&["key", "schedule-rotation", "a", "--end", "--times", "2"], "cannot be used with"),
        (&["key", "schedule-rotation", "a", "--every", "9d", "--from", "soon"], "2027-01-01"),
    ] {
        let out = quorate(args);
        assert_eq!(out.status.code(), Some(2), "{args:?}");
        assert!(text(&out.stderr).contains(says), "{args:?}: {}", text(&out.stderr));
    }
}

#[test]
fn a_cluster_is_laid_out_once_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("c").display().to_string();
    let init = ["cluster", "init", "--local", "5", "--threshold", "3", "--dir", &at];
    let out = quorate(&init);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let again = quorate(&init);
    assert_ne!(again.status.code(), Some(0), "nothing is overwritten");

    let home = format!("{at}/operator-1");
    let show = quorate(&["--home", &home, "--output", "json", "cluster", "show"]);
    let json: serde_json::Value = serde_json::from_slice(&show.stdout).unwrap();
    assert_eq!(json["nodes"].as_array().map(Vec::len), Some(5));
    let check = quorate(&["--home", &home, "cluster", "check"]);
    assert!(text(&check.stdout).contains("provider"), "{}", text(&check.stdout));
    let bad = quorate(&["--home", &home, "cluster", "check", "--threshold", "9"]);
    assert_eq!(bad.status.code(), Some(2));
}
