//! `quorate demo`: the story that a newcomer sees, told by checks that can fail.

use quorate_tests::binary;
use std::{fs, process::Command};

/// Every line that is a check. What they do is in `crates/quorate-cli/src/demo.rs`; here it is
/// held that none is left out.
const CHECKS: usize = 11;

#[test]
fn the_demonstration_holds_and_fits_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("figures.txt");
    fs::write(&file, b"figures that nobody alone may read\n".repeat(9000)).unwrap();
    let out = Command::new(binary("quorate")).args(["demo", "--file"]).arg(&file).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}{error}");

    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() <= 40, "{} lines", lines.len());
    for line in &lines {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert_eq!(lines.iter().filter(|l| l.trim_start().starts_with('✓')).count(), CHECKS, "{text}");
    assert!(!text.contains('✗'), "{text}");
    let last = lines.last().unwrap();
    assert!(last.starts_with(&format!("All {CHECKS} checks held")), "{last}");
    for told in [
        "born split",
        "verifies it",
        "without a public key",
        "byte for byte",
        "unreachable",
        "is named",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[test]
fn a_file_that_cannot_be_read_ends_it_with_a_reason() {
    let out = Command::new(binary("quorate"))
        .args(["demo", "--file", "/nowhere/at/all"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("/nowhere/at/all"));
    assert!(!String::from_utf8_lossy(&out.stdout).contains("checks held"));
}

/// With nowhere to write, nothing is claimed: the stores cannot be made.
#[test]
fn without_room_for_its_stores_no_check_is_said_to_hold() {
    let out = Command::new(binary("quorate"))
        .arg("demo")
        .env("TMPDIR", "/nowhere/at/all")
        .output()
        .unwrap();
    assert!(!out.status.success());
    assert!(!String::from_utf8_lossy(&out.stdout).contains("checks held"));
}
