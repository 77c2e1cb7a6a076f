//! The documents' claims, held to the code: every test that they name exists, every relative link
//! leads somewhere.
//!
//! The convention: a test is named in backticks as `path/from/the/root.rs::test_name`, and must be
//! a function of that name in that file (of the Python client: one that pytest collects). A claim
//! without a test says "not yet" instead.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Documents whose every row names a test, or says that there is none yet.
const CLAIMS: [&str; 2] = ["docs/assurance.md", "docs/failures.md"];

#[test]
fn every_test_that_a_document_names_exists() {
    let mut broken = Vec::new();
    for document in markdown() {
        for (line, code) in code_spans(&read(&document)) {
            let Some((file, name)) = test_reference(&code) else { continue };
            if let Err(why) = find_test(&file, &name) {
                broken.push(format!("{}:{line}: `{code}`: {why}", shown(&document)));
            }
        }
    }
    assert!(broken.is_empty(), "tests that are named and not there:\n{}", broken.join("\n"));
}

#[test]
fn every_claim_names_a_test_or_says_not_yet() {
    let mut broken = Vec::new();
    for document in CLAIMS {
        let rows = claims(&read(&root().join(document)));
        assert!(!rows.is_empty(), "{document} has no table of claims");
        for (line, row) in rows {
            let named = code_spans(&row).iter().any(|(_, code)| test_reference(code).is_some());
            if !named && !row.to_lowercase().contains("not yet") {
                broken.push(format!("{document}:{line}: {row}"));
            }
        }
    }
    assert!(broken.is_empty(), "claims without a test or a \"not yet\":\n{}", broken.join("\n"));
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for document in markdown() {
        let folder = document.parent().expect("a file has a folder");
        for (line, target) in links(&read(&document)) {
            let path = target.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !outside && !path.is_empty() && !folder.join(path).exists() {
                broken.push(format!("{}:{line}: {target}", shown(&document)));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn a_wrong_name_a_bare_row_and_a_dead_link_are_seen() {
    let here = "tests/tests/assurance.rs";
    assert!(find_test(here, "a_wrong_name_a_bare_row_and_a_dead_link_are_seen").is_ok());
    assert!(find_test(here, "a_wrong_name").is_err(), "a name's beginning is not the name");
    assert!(find_test(here, "read").is_err(), "a function that is no test");
    assert!(find_test("tests/tests/gone.rs", "read").is_err());
    let python = "clients/python/tests/test_vectors.py";
    assert!(find_test(python, "test_client").is_ok());
    assert!(find_test(python, "test_clien").is_err());
    assert!(find_test(python, "flipped").is_err(), "a function that is no test");
    assert!(test_reference("a/b.py::test_c").is_some());
    assert_eq!(test_reference("a/b.rs::c_d"), Some(("a/b.rs".to_owned(), "c_d".to_owned())));
    assert_eq!(test_reference("Store::commit"), None);
    assert_eq!(code_spans("a `b` c\n```\n`no`\n```\n`d`"), [(1, "b".into()), (5, "d".into())]);
    assert_eq!(claims("| a |\n| --- |\n| b |\n\nc"), [(3, "| b |".into())]);
    assert_eq!(links("[a](b.md) `[no](c)`\n[d](e)"), [(1, "b.md".into()), (2, "e".into())]);
}

/// `path.rs::name`, if the code span has that form.
fn test_reference(code: &str) -> Option<(String, String)> {
    let (file, name) = code.rsplit_once("::")?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fits = (file.ends_with(".rs") || file.ends_with(".py"))
        && !name.is_empty()
        && name.chars().all(is_name);
    fits.then(|| (file.to_owned(), name.to_owned()))
}

/// Looks for a function of that name with a test's attribute within the few lines before it.
fn find_test(file: &str, name: &str) -> Result<(), String> {
    let text = fs::read_to_string(root().join(file)).map_err(|e| format!("{file}: {e}"))?;
    let lines: Vec<&str> = text.lines().collect();
    if file.ends_with(".py") {
        // What pytest collects.
        let needle = format!("def {name}(");
        let there = name.starts_with("test_") && lines.iter().any(|l| l.starts_with(&needle));
        return if there { Ok(()) } else { Err(format!("no test {name} in {file}")) };
    }
    let needle = format!("fn {name}(");
    let at = lines.iter().position(|line| line.contains(&needle));
    let at = at.ok_or_else(|| format!("no function {name} in {file}"))?;
    let marked = lines[at.saturating_sub(ATTRIBUTE_LINES)..at]
        .iter()
        .rev()
        .take_while(|line| line.trim() != "}")
        .any(|line| line.contains("#[test]") || line.contains("::test"));
    if marked { Ok(()) } else { Err(format!("{name} in {file} is no test")) }
}

/// Rows of all tables, without their heads.
fn claims(text: &str) -> Vec<(usize, String)> {
    let mut rows = Vec::new();
    let mut in_table = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with("| ---") {
            in_table = true;
        } else if !line.starts_with('|') {
            in_table = false;
        } else if in_table {
            rows.push((number, line.to_owned()));
        }
    }
    rows
}

/// What stands in single backticks outside code blocks, with its line.
fn code_spans(text: &str) -> Vec<(usize, String)> {
    let spans = |line: &str| line.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    prose(text)
        .into_iter()
        .flat_map(|(number, line)| {
            let spans: Vec<String> = spans(&line);
            spans.into_iter().map(move |span| (number, span))
        })
        .collect()
}

/// Targets of inline links outside code, with their line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let plain: Vec<&str> = line.split('`').step_by(2).collect();
        for part in plain.join("``").split("](").skip(1) {
            let target = part.split([')', ' ']).next().unwrap_or_default();
            found.push((number, target.to_owned()));
        }
    }
    found
}

/// Numbered lines outside code blocks.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut in_block = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            lines.push((number, line.to_owned()));
        }
    }
    lines
}

/// Every Markdown file of the repository, build folders left out.
fn markdown() -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![root()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository reads") {
            let path = entry.expect("an entry of the repository reads").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                let built = path.join("CACHEDIR.TAG").exists();
                if !built && !name.starts_with('.') && name != "target" {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() >= CLAIMS.len(), "the documents are not where they should be");
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// How far above its function a test's attribute may stand: others and comments come between.
const ATTRIBUTE_LINES: usize = 8;
