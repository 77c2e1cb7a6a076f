//! Two lints over the crate's sources: variable-time calls never meet a secret, and one
//! file only names vsss-rs.
//!
//! Every `vartime_` call site is in [`ALLOWED`] with its reason, and no statement that
//! has one names a secret. This reads text: a secret that was renamed in an earlier
//! statement escapes it, so the reason in the table is for the reviewer to check.
#![allow(clippy::unwrap_used)] // a test

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// File, call, how many sites, and why the data is public.
const ALLOWED: &[(&str, &str, usize, &str)] = &[
    ("dleq.rs", "vartime_double_scalar_mul_basepoint", 1, "verifier: received proof and key"),
    ("dleq.rs", "vartime_multiscalar_mul", 2, "composites and verifier: hashed weights"),
    (
        "group/element.rs",
        "vartime_double_scalar_mul_basepoint",
        2,
        "verifier: received proof and point, over either group",
    ),
    ("group/element.rs", "vartime_schnorr", 1, "its definition"),
    ("schnorr.rs", "vartime_schnorr", 1, "verifier: received proof and point"),
    ("sharing.rs", "vartime_multiscalar_mul", 1, "Lagrange coefficients of public indices"),
    ("sharing/commitments.rs", "vartime_multiscalar_mul", 1, "public weights of commitments"),
    ("sharing/commitments.rs", "vartime_mul_small", 1, "a share index"),
    ("tdh2/check.rs", "vartime_double_scalar_mul_basepoint", 1, "proof of a received ciphertext"),
    ("tdh2/check.rs", "vartime_mixed_multiscalar_mul", 1, "proof of a received ciphertext"),
    ("tdh2/check.rs", "vartime_multiscalar_mul", 1, "weighted proofs of received ciphertexts"),
    (
        "voprf/proof.rs",
        "vartime_double_scalar_mul_basepoint",
        1,
        "verifier: received proof and key",
    ),
    ("voprf/proof.rs", "vartime_multiscalar_mul", 2, "composites and verifier: hashed weights"),
    ("tdh2/open.rs", "vartime_multiscalar_mul", 1, "Lagrange coefficients of public indices"),
];

/// What a statement with a variable-time call must not say.
const SECRET_WORDS: &[&str] = &["expose()", "SecretScalar", "SecretBytes", "secret", "nonce"];

/// The one file that may name the crate.
const VSSS_FILE: &str = "sharing/feldman.rs";

#[test]
fn every_variable_time_call_is_allowed_and_meets_no_secret() {
    let mut found: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (file, code) in sources() {
        for (at, _) in code.match_indices("vartime_") {
            let name = word_at(&code, at);
            if !code[at + name.len()..].starts_with('(') {
                continue;
            }
            let statement = statement_around(&code, at);
            for word in SECRET_WORDS {
                assert!(!statement.contains(word), "{file}: `{word}` in:\n{statement}");
            }
            *found.entry((file.clone(), name.to_owned())).or_default() += 1;
        }
    }
    let allowed: BTreeMap<(String, String), usize> =
        ALLOWED.iter().map(|(f, c, n, _)| ((f.to_string(), c.to_string()), *n)).collect();
    assert_eq!(found, allowed, "a new call site needs a row in ALLOWED, with a reason");
}

#[test]
fn only_one_file_names_vsss_rs() {
    for (file, code) in sources() {
        assert_eq!(code.contains("vsss_rs"), file == VSSS_FILE, "{file}");
    }
}

/// Its nonces can be used twice; behind `frost` they cannot.
#[test]
fn only_the_frost_module_names_frost_ed25519() {
    for (file, code) in sources() {
        assert!(!code.contains("frost_ed25519") || file.starts_with("frost/"), "{file}");
    }
}

#[test]
fn the_lint_sees_a_secret_beside_a_variable_time_call() {
    let code = "let a = 1;\nlet b = P::vartime_mul(\n    k.expose(),\n);\nlet c = 2;";
    let at = code.find("vartime_").unwrap();
    assert_eq!(word_at(code, at), "vartime_mul");
    assert!(statement_around(code, at).contains("expose()"));
    assert!(!statement_around(code, at).contains("let a"));
}

/// Path under `src` and its text, without comments and without the tests at its end.
fn sources() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 5, "the sources are there");
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let whole = fs::read_to_string(&path).unwrap();
        let product = whole.split("#[cfg(test)]\nmod ").next().unwrap_or("");
        let code = product.lines().map(|l| l.split("//").next().unwrap_or(""));
        (name, code.collect::<Vec<_>>().join("\n"))
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

fn word_at(code: &str, at: usize) -> &str {
    let rest = &code[at..];
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    &rest[..end]
}

/// From the end of the statement before to the end of this one.
fn statement_around(code: &str, at: usize) -> &str {
    let start = code[..at].rfind([';', '{', '}']).map_or(0, |i| i + 1);
    let end = code[at..].find([';', '{', '}']).map_or(code.len(), |i| at + i);
    &code[start..end]
}
