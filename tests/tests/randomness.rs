//! A machine whose source of randomness fails: nothing weak is made, nothing is made at all.

use quorate_tests::{Cluster, binary};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A library that lies before the system's: `getrandom` fails. The C compiler is the one that
/// builds the TLS library.
fn broken_randomness(dir: &Path) -> PathBuf {
    let (source, library) = (dir.join("broken.c"), dir.join("broken.so"));
    let text = "#include <errno.h>\n#include <sys/types.h>\n\
                ssize_t getrandom(void *b, size_t n, unsigned f) {\n\
                (void)b; (void)n; (void)f; errno = EIO; return -1; }\n";
    fs::write(&source, text).expect("a directory to write to");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).args([&library, &source]);
    assert!(cc.status().expect("a C compiler").success());
    library
}

fn quorate(broken: Option<&Path>, args: &[&str]) -> Output {
    let mut command = Command::new(binary("quorate"));
    if let Some(library) = broken {
        command.env("LD_PRELOAD", library);
    }
    command.args(args).output().expect("it runs")
}

#[test]
fn without_randomness_no_key_is_made_and_nothing_is_encrypted() {
    let cluster = Cluster::of(3).threshold(2).start();
    cluster.key("demo");
    let dir = cluster.home("broken");
    fs::create_dir(&dir).unwrap();
    let broken = broken_randomness(&dir);
    let (home, roster) = (cluster.home("client"), cluster.home("client").join("roster.json"));
    let (home, roster) = (home.to_str().unwrap(), roster.to_str().unwrap());
    let text = dir.join("text");
    fs::write(&text, "some text").unwrap();
    let text = text.to_str().unwrap();

    for (broken, works) in [(Some(&broken), false), (None, true)] {
        let new = dir.join(format!("new-{works}"));
        let keygen = ["client", "keygen", "--name", "new", "--roster", roster, "--dir"];
        let out = quorate(
            broken.map(PathBuf::as_path),
            &[&keygen[..], &[new.to_str().unwrap()]].concat(),
        );
        assert_eq!((out.status.success(), new.join("identity.key").exists()), (works, works));

        let encrypt = ["--home", home, "encrypt", "--key", "demo", "--in", text];
        let out = quorate(broken.map(PathBuf::as_path), &encrypt);
        assert_eq!((out.status.success(), out.stdout.is_empty()), (works, !works));
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!said.contains("some text"), "{said}");
    }
}

#[test]
fn a_node_without_randomness_does_not_start() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    let broken = broken_randomness(&cluster.home("client"));
    assert!(cluster.stop(3).success());
    let mut node = Command::new(binary("quorate-node"));
    node.args(["run", "--home"]).arg(cluster.home("node-3")).env("LD_PRELOAD", &broken);
    let out = node.output().expect("it runs and ends");
    assert!(!out.status.success());
    cluster.start_node(3);
    cluster.wait_until_serving();
}
