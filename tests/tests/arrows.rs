//! The crate borders, held by a test over `cargo metadata`.
//!
//! The table below is the design's, word for word: which of our crates may name which other, and
//! what must not be reachable from a crate over any number of steps. A crate that is missing from
//! the table fails, so a new one has to earn its border first. Dev-dependencies are free, except
//! that nobody but the owner of a fenced crate may name it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// One row: what a crate of ours may name of ours, and what its closure must never hold.
struct Row {
    crate_name: &'static str,
    may: &'static [&'static str],
    never: &'static [&'static str],
}

/// Crates of the pure floor: no clock, no I/O, no async.
const IMPURE: &[&str] = &["tokio", "tonic", "sled"];

const TABLE: &[Row] = &[
    Row { crate_name: "quorate-crypto", may: &[], never: &["quorate-*", "tokio", "tonic", "sled"] },
    Row { crate_name: "quorate-types", may: &["quorate-crypto"], never: IMPURE },
    Row {
        crate_name: "quorate-ceremony",
        may: &["quorate-types", "quorate-crypto"],
        never: IMPURE,
    },
    // Leaves are bytes: the log does not know what it logs.
    Row {
        crate_name: "quorate-audit",
        may: &[],
        never: &["quorate-types", "tokio", "tonic", "sled"],
    },
    Row {
        crate_name: "quorate-rpc",
        may: &["quorate-types", "quorate-crypto", "quorate-audit"],
        never: &["quorate-store", "quorate-ceremony"],
    },
    Row {
        crate_name: "quorate-store",
        may: &["quorate-types", "quorate-crypto", "quorate-ceremony", "quorate-audit"],
        never: &["quorate-rpc", "tonic"],
    },
    Row {
        crate_name: "quorate-quorum",
        may: &["quorate-rpc", "quorate-types", "quorate-crypto"],
        never: &["quorate-store"],
    },
    Row {
        crate_name: "quorate-node",
        may: &[
            "quorate-rpc",
            "quorate-store",
            "quorate-ceremony",
            "quorate-audit",
            "quorate-types",
            "quorate-crypto",
        ],
        never: &["quorate-client", "quorate-coordinator"],
    },
    // The coordinator's binary holds no code that could read a share.
    Row {
        crate_name: "quorate-coordinator",
        may: &[
            "quorate-quorum",
            "quorate-rpc",
            "quorate-ceremony",
            "quorate-audit",
            "quorate-types",
            "quorate-crypto",
        ],
        never: &["quorate-store", "quorate-node", "sled"],
    },
    Row {
        crate_name: "quorate-client",
        may: &["quorate-quorum", "quorate-rpc", "quorate-audit", "quorate-types", "quorate-crypto"],
        never: &["quorate-store", "quorate-ceremony", "quorate-node", "sled"],
    },
    // Embeds node and coordinator for `dev` and `demo`.
    Row { crate_name: "quorate-cli", may: &["quorate-*"], never: &["quorate-tests"] },
    Row { crate_name: "quorate-tests", may: &["quorate-*"], never: &[] },
];

/// Outside crates that one crate of ours fences in: nothing else, ours or not, may name them.
const FENCED: &[(&str, &str)] = &[
    ("sled", "quorate-store"),
    ("vsss-rs", "quorate-crypto"),
    ("frost-ed25519", "quorate-crypto"),
];

#[test]
fn every_crate_of_ours_is_in_the_table_and_only_those() {
    let graph = Graph::of_workspace();
    let listed: BTreeSet<&str> = TABLE.iter().map(|row| row.crate_name).collect();
    let built: BTreeSet<&str> = graph.ours.iter().map(String::as_str).collect();
    let new: Vec<_> = built.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&built).collect();
    assert!(new.is_empty(), "crates without a row in the arrow table: {new:?}");
    assert!(gone.is_empty(), "rows of the arrow table without a crate: {gone:?}");
}

#[test]
fn our_crates_name_only_what_the_table_allows() {
    let graph = Graph::of_workspace();
    let mut broken = Vec::new();
    for row in TABLE {
        for target in graph.declared_of_ours(row.crate_name) {
            if !row.may.iter().any(|allowed| matches(allowed, &target)) {
                broken.push(format!("{} -> {target}", row.crate_name));
            }
        }
    }
    assert!(broken.is_empty(), "arrows that the table does not allow: {broken:#?}");
}

#[test]
fn what_a_crate_must_never_reach_is_not_in_its_closure() {
    let graph = Graph::of_workspace();
    let mut broken = Vec::new();
    for row in TABLE {
        for path in graph.closure(row.crate_name) {
            let end = path.last().expect("a path has an end");
            if row.never.iter().any(|banned| matches(banned, end)) {
                broken.push(path.join(" -> "));
            }
        }
    }
    assert!(broken.is_empty(), "forbidden crates are reachable: {broken:#?}");
}

#[test]
fn fenced_crates_are_named_by_their_owner_alone() {
    let graph = Graph::of_workspace();
    for (fenced, owner) in FENCED {
        let parents = graph.parents(fenced);
        assert_eq!(
            parents,
            BTreeSet::from([(*owner).to_owned()]),
            "{fenced} must be named by {owner} and by nothing else"
        );
    }
}

/// Whether a table entry, possibly with a trailing `*`, covers a crate name.
fn matches(entry: &str, name: &str) -> bool {
    entry.strip_suffix('*').map_or(entry == name, |prefix| name.starts_with(prefix))
}

/// The dependency graph by crate name. Two versions of an outside crate are one vertex here, which
/// can only make a closure larger.
struct Graph {
    /// Members of the workspace.
    ours: BTreeSet<String>,
    /// What each member's manifest names for the build proper, on any platform, optional or not.
    declared: BTreeMap<String, BTreeSet<String>>,
    /// Resolved normal edges on this platform.
    normal: BTreeMap<String, BTreeSet<String>>,
    /// Every edge of any kind, with the manifests' own, for the fences.
    any: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn of_workspace() -> Self {
        let metadata = metadata();
        let mut names = BTreeMap::new();
        let mut graph = Self {
            ours: BTreeSet::new(),
            declared: BTreeMap::new(),
            normal: BTreeMap::new(),
            any: BTreeMap::new(),
        };
        let members: BTreeSet<&str> = list(&metadata["workspace_members"]).map(text).collect();
        for package in list(&metadata["packages"]) {
            let name = text(&package["name"]);
            names.insert(text(&package["id"]), name);
            if members.contains(text(&package["id"])) {
                graph.add_member(name, package);
            }
        }
        for node in list(&metadata["resolve"]["nodes"]) {
            let name = names[text(&node["id"])];
            for edge in list(&node["deps"]) {
                let target = names[text(&edge["pkg"])];
                graph.any.entry(name.to_owned()).or_default().insert(target.to_owned());
                if list(&edge["dep_kinds"]).any(|kind| kind["kind"].is_null()) {
                    graph.normal.entry(name.to_owned()).or_default().insert(target.to_owned());
                }
            }
        }
        graph
    }

    fn add_member(&mut self, name: &str, package: &Value) {
        self.ours.insert(name.to_owned());
        for dependency in list(&package["dependencies"]) {
            let target = text(&dependency["name"]).to_owned();
            self.any.entry(name.to_owned()).or_default().insert(target.clone());
            if dependency["kind"] != "dev" {
                self.declared.entry(name.to_owned()).or_default().insert(target);
            }
        }
    }

    /// The crates of ours that a manifest names.
    fn declared_of_ours(&self, name: &str) -> impl Iterator<Item = String> {
        let named = self.declared.get(name).into_iter().flatten();
        named.filter(|target| self.ours.contains(*target)).cloned().collect::<Vec<_>>().into_iter()
    }

    /// A shortest path to each crate that is reachable over normal edges.
    fn closure(&self, from: &str) -> Vec<Vec<String>> {
        let mut seen = BTreeSet::from([from.to_owned()]);
        let mut paths = vec![vec![from.to_owned()]];
        let mut next = 0;
        while let Some(path) = paths.get(next).cloned() {
            next += 1;
            let end = path.last().expect("a path has an end");
            for target in self.normal.get(end).into_iter().flatten() {
                if seen.insert(target.clone()) {
                    paths.push(path.iter().cloned().chain([target.clone()]).collect());
                }
            }
        }
        paths.split_off(1)
    }

    /// Who names a crate, for whatever purpose.
    fn parents(&self, target: &str) -> BTreeSet<String> {
        self.any
            .iter()
            .filter(|(_, to)| to.contains(target))
            .map(|(from, _)| from.clone())
            .collect()
    }
}

/// The full graph on this platform, without network.
fn metadata() -> Value {
    let version = run(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo -vV");
    // Unfiltered, cargo wants the sources of every other platform's crates too.
    let json = run(&[
        "metadata",
        "--format-version=1",
        "--locked",
        "--offline",
        "--filter-platform",
        host,
    ]);
    serde_json::from_str(&json).expect("cargo metadata prints JSON")
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}
