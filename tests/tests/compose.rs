//! The Compose cluster as a user starts it: images built, keys made in their volumes, files opened
//! by three of five, the loss of nodes, and walls between the containers.
//!
//! The image is built by `deploy/Dockerfile` itself, with base images made on this machine and a
//! build stage that hands out the programs of this test run (`tests/docker/base-images.sh`).

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of `#[test]` functions")]

use quorate_tests::binary;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

const NODES: [&str; 5] = ["node-1", "node-2", "node-3", "node-4", "node-5"];
/// For all containers to turn healthy on a slow machine.
const HEALTHY: Duration = Duration::from_secs(120);
const SECRET: &[u8] = b"the quarterly figures, before anybody may know them\n";

/// What answers here: `docker compose` or `docker-compose`. `None` where no engine does.
fn compose_command() -> Option<Vec<&'static str>> {
    let runs = |args: &[&str]| {
        let mut command = Command::new(args[0]);
        command.args(&args[1..]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|s| s.success())
    };
    if !runs(&["docker", "info"]) {
        return None;
    }
    [vec!["docker", "compose"], vec!["docker-compose"]]
        .into_iter()
        .find(|c| runs(&[c, &["version"][..]].concat()))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Makes a base image and gives its name; `None` where it cannot be made.
fn base_image(args: &[&str]) -> Option<String> {
    let script = repository().join("tests/docker/base-images.sh");
    let made = Command::new("bash").arg(script).args(args).output().ok()?;
    if !made.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&made.stderr));
        return None;
    }
    String::from_utf8(made.stdout).ok()?.lines().last().map(str::to_owned)
}

/// A Compose project of its own name; its containers and volumes go with it.
struct Compose {
    command: Vec<&'static str>,
    project: String,
    images: [(&'static str, String); 2],
}

impl Compose {
    fn run(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(self.command[0])
            .args(&self.command[1..])
            .args(["-p", &self.project, "-f", "docker-compose.yml"])
            .args(args)
            .current_dir(repository())
            .envs(self.images.iter().map(|(k, v)| (*k, v.as_str())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    fn must(&self, args: &[&str]) -> String {
        let done = self.run(args, b"");
        let (out, err) =
            (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "compose {args:?}: {out}{err}");
        out.trim().to_owned()
    }

    /// `quorate` in the container for commands.
    fn quorate(&self, args: &[&str], input: &[u8]) -> Output {
        self.run(&[&["run", "--rm", "--no-deps", "-T", "cli", "quorate"], args].concat(), input)
    }

    fn decrypt(&self, sealed: &[u8]) -> Output {
        self.quorate(&["--home", "/operator/client", "decrypt"], sealed)
    }

    /// Runs a program in a service's container.
    fn exec(&self, service: &str, program: &[&str]) -> Output {
        let id = self.must(&["ps", "-q", service]);
        Command::new("docker").args(["exec", &id]).args(program).output().unwrap()
    }

    fn health(&self, service: &str) -> String {
        let id = self.must(&["ps", "-q", service]);
        let args = ["inspect", "-f", "{{.State.Health.Status}}", &id];
        let out = Command::new("docker").args(args).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    fn wait_until_healthy(&self, services: &[&str]) {
        let until = Instant::now() + HEALTHY;
        for service in services {
            while self.health(service) != "healthy" {
                assert!(
                    Instant::now() < until,
                    "{service} is {}:\n{}",
                    self.health(service),
                    self.must(&["logs", "--tail=30", service])
                );
                std::thread::sleep(Duration::from_millis(500));
            }
        }
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        let gone = self.run(&["down", "--volumes", "--remove-orphans", "--timeout", "5"], b"");
        if !gone.status.success() {
            eprintln!("compose down: {}", String::from_utf8_lossy(&gone.stderr));
        }
    }
}

#[test]
fn five_containers_keep_a_key_and_three_of_them_open_a_file() {
    let Some(command) = compose_command() else {
        println!("skipped: no Docker engine with Compose answers here");
        return;
    };
    let programs = binary("quorate").parent().unwrap().to_owned();
    let (Some(runtime), Some(build)) =
        (base_image(&["runtime"]), base_image(&["prebuilt", programs.to_str().unwrap()]))
    else {
        println!("skipped: the base images cannot be made here (debootstrap, or no mirror)");
        return;
    };
    let compose = Compose {
        command,
        project: format!("quoratetest{}", std::process::id()),
        images: [("QUORATE_BUILD_IMAGE", build), ("QUORATE_RUNTIME_IMAGE", runtime)],
    };
    compose.must(&["up", "--build", "--detach"]);
    compose.wait_until_healthy(&[&NODES[..], &["coordinator"]].concat());
    walls_stand(&compose);
    a_file_needs_three(&compose);
}

/// No container is root or writes to its own file system, and nodes reach nobody.
fn walls_stand(compose: &Compose) {
    for service in [NODES[0], NODES[4], "coordinator"] {
        let user = compose.exec(service, &["id", "-u"]);
        assert_eq!(String::from_utf8_lossy(&user.stdout).trim(), "10001", "{service}");
        let written = compose.exec(service, &["sh", "-c", "echo x > /usr/local/bin/x"]);
        let error = String::from_utf8_lossy(&written.stderr).into_owned();
        assert!(!written.status.success(), "{service} wrote to its image");
        assert!(error.contains("Read-only file system"), "{service}: {error}");
    }
    let reach = |from: &str, to: &str| {
        let open = format!("exec 3<>/dev/tcp/{to}");
        compose.exec(from, &["timeout", "3", "bash", "-c", &open]).status.success()
    };
    for node in NODES {
        assert!(reach("coordinator", &format!("{node}/7400")), "the coordinator reaches {node}");
    }
    let second = compose.exec("node-2", &["hostname", "-i"]);
    let second = String::from_utf8_lossy(&second.stdout).trim().to_owned();
    assert!(!reach("node-1", "node-2/7400"), "by name");
    assert!(!second.is_empty() && !reach("node-1", &format!("{second}/7400")), "by address");
}

fn a_file_needs_three(compose: &Compose) {
    let born = compose.quorate(&["--home", "/operator/operator-1", "key", "create", "demo"], b"");
    let said = String::from_utf8_lossy(&born.stdout).into_owned();
    assert!(born.status.success(), "{said}{}", String::from_utf8_lossy(&born.stderr));
    assert!(said.contains("demo version 1 is born: 3 of 5 nodes use it"), "{said}");
    let sealed =
        compose.quorate(&["--home", "/operator/client", "encrypt", "--key", "demo"], SECRET);
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
    let sealed = sealed.stdout;
    assert_eq!(compose.decrypt(&sealed).stdout, SECRET);

    compose.must(&["stop", "node-1", "node-2"]);
    assert_eq!(compose.decrypt(&sealed).stdout, SECRET, "three are left");
    compose.must(&["stop", "node-3"]);
    let refused = compose.decrypt(&sealed);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{error}");
    assert!(refused.stdout.is_empty());
    for missing in ["node-1 (DE)", "node-2 (FR)", "node-3 (CH)"] {
        assert!(error.contains(missing), "{error}");
    }

    compose.must(&["start", "node-1", "node-2", "node-3"]);
    compose.wait_until_healthy(&NODES);
    assert_eq!(compose.decrypt(&sealed).stdout, SECRET, "what was stopped is back");
}
