//! Harness: whole clusters of real processes on loopback, built in one line.
//!
//! ```no_run
//! let mut cluster = quorate_tests::Cluster::of(5).threshold(3).start();
//! cluster.key("demo");
//! let sealed = cluster.encrypt("demo", b"secret");
//! cluster.kill(1);
//! assert_eq!(cluster.decrypt(&sealed).stdout, b"secret");
//! ```

mod network;
mod tail;

pub use network::{CENTRE, Cut, Network};
pub use tail::LogTail;

use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a process may take to serve.
const START: Duration = Duration::from_secs(20);

/// One of the project's binaries. `cargo test --workspace` has built them; run alone,
/// they are built once if they are missing.
///
/// # Panics
/// If they cannot be built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let exe = std::env::current_exe().expect("a test has an executable");
        // target/PROFILE/deps/test-hash
        let dir = exe.ancestors().nth(2).expect("tests run below the target folder").to_owned();
        let missing = ["quorate", "quorate-node", "quorate-coordinator"]
            .iter()
            .any(|b| !dir.join(b).exists());
        if missing {
            let packages = ["-p", "quorate-cli", "-p", "quorate-node", "-p", "quorate-coordinator"];
            let built = Command::new(env!("CARGO")).arg("build").args(packages).status();
            assert!(built.is_ok_and(|s| s.success()), "cargo build failed");
        }
        dir
    });
    dir.join(name)
}

/// What a cluster will be.
#[derive(Debug)]
pub struct Plan {
    nodes: u16,
    threshold: u16,
    operators: u16,
    binaries: Option<PathBuf>,
}

impl Plan {
    /// How many nodes use a key.
    #[must_use]
    pub fn threshold(mut self, t: u16) -> Self {
        self.threshold = t;
        self
    }

    /// How many operators there are; more than half make an order.
    #[must_use]
    pub fn operators(mut self, k: u16) -> Self {
        self.operators = k;
        self
    }

    /// Another release's programs, in this folder, lay the cluster out and run it.
    #[must_use]
    pub fn binaries(mut self, dir: &Path) -> Self {
        self.binaries = Some(dir.to_owned());
        self
    }

    fn program(&self, name: &str) -> Command {
        program(self.binaries.as_deref(), name)
    }

    /// Lays the cluster out and starts every process.
    ///
    /// # Panics
    /// If anything does not start.
    #[must_use]
    pub fn start(self) -> Cluster {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().join("c");
        let out = self
            .program("quorate")
            .args(["cluster", "init", "--local", &self.nodes.to_string()])
            .args(["--threshold", &self.threshold.to_string()])
            .args(["--operators", &self.operators.to_string()])
            .arg("--dir")
            .arg(&root)
            .output()
            .expect("quorate runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        self.run(dir, root, None)
    }

    /// The same, each node at a place of its own in a network. (Operators: one.)
    ///
    /// # Panics
    /// If anything does not start.
    #[must_use]
    pub fn start_in(self, network: Network) -> Cluster {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().join("c");
        let mut init = self.program("quorate");
        init.args(["cluster", "init", "--threshold", &self.threshold.to_string(), "--dir"]);
        init.arg(&root).arg("--roster-out").arg(root.join("roster.json"));
        init.arg("--orders-out").arg(root.join("orders"));
        for index in 1..=self.nodes {
            let card = root.join(format!("node-{index}.card"));
            let mut node = self.program("quorate-node");
            node.args(["init", "--name", &format!("node-{index}"), "--index", &index.to_string()]);
            node.args(["--provider", &format!("Provider {index}")]);
            let place = ["NZ", "CH", "IS", "DE", "NO", "CA", "JP"][usize::from(index) % 7];
            node.args(["--home-jurisdiction", place, "--location", place]);
            lay_out(node, &root.join(format!("node-{index}")), index, &card);
            init.arg("--node-file").arg(card);
        }
        let card = root.join("coordinator.card");
        let mut coordinator = self.program("quorate-coordinator");
        coordinator.args(["init", "--name", "coordinator"]);
        lay_out(coordinator, &root.join("coordinator"), CENTRE, &card);
        done(init.arg("--coordinator-file").arg(card));
        for home in (1..=self.nodes).map(|i| format!("node-{i}")).chain(["coordinator".into()]) {
            let home = root.join(home);
            fs::copy(root.join("roster.json"), home.join("roster.json")).expect("it is copied");
            fs::create_dir_all(home.join("orders")).expect("a directory");
            for order in fs::read_dir(root.join("orders")).expect("first orders") {
                let order = order.expect("an entry");
                let to = home.join("orders").join(order.file_name());
                fs::copy(order.path(), to).expect("it is copied");
            }
        }
        self.run(dir, root, Some(network))
    }

    fn run(self, dir: TempDir, root: PathBuf, network: Option<Network>) -> Cluster {
        let (nodes, coordinator) = (BTreeMap::new(), None);
        let binaries = self.binaries;
        let mut cluster = Cluster { _dir: dir, root, nodes, coordinator, network, binaries };
        for index in 1..=self.nodes {
            cluster.start_node(index);
        }
        cluster.start_coordinator();
        cluster.wait_until_serving();
        cluster
    }
}

/// Makes a home that listens at a place of a network.
fn lay_out(mut init: Command, home: &Path, at: u16, card: &Path) {
    let address = network::address(at).to_string();
    fs::create_dir_all(home.parent().expect("a cluster's root")).expect("a directory");
    init.args(["--endpoint", &address, "--listen", &address, "--home"]).arg(home);
    done(init.arg("--public-out").arg(card));
}

fn program(binaries: Option<&Path>, name: &str) -> Command {
    Command::new(binaries.map_or_else(|| binary(name), |dir| dir.join(name)))
}

fn done(command: &mut Command) {
    let out = command.output().expect("it runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// A cluster of real processes; they end with it.
#[derive(Debug)]
pub struct Cluster {
    _dir: TempDir,
    root: PathBuf,
    nodes: BTreeMap<u16, Child>,
    coordinator: Option<Child>,
    // Goes after the processes in it.
    network: Option<Network>,
    binaries: Option<PathBuf>,
}

impl Cluster {
    /// A cluster of `nodes`, 3 of which use a key, with one operator.
    #[must_use]
    pub fn of(nodes: u16) -> Plan {
        Plan { nodes, threshold: 3, operators: 1, binaries: None }
    }

    /// The network that the cluster was started in.
    ///
    /// # Panics
    /// If it has none of its own.
    #[must_use]
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("a cluster with a network of its own")
    }

    fn program(&self, name: &str) -> Command {
        program(self.binaries.as_deref(), name)
    }

    fn at(&self, place: u16, program: Command) -> Command {
        match &self.network {
            Some(network) => network.inside(place, program),
            None => program,
        }
    }

    /// A directory of the cluster: "node-1", "client", "operator-1", …
    #[must_use]
    pub fn home(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Makes the home of a node that is in no roster yet, on a free port; gives the file with
    /// its public part. It is called `node-INDEX` unless it gets another name; so is its home.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new_node(&self, index: u16, name: &str) -> PathBuf {
        self.new_node_with(index, name, &[])
    }

    /// The same, with more arguments for `quorate-node init`.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new_node_with(&self, index: u16, name: &str, more: &[&str]) -> PathBuf {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let address = port.expect("a free port").to_string();
        let name = if name.is_empty() { format!("node-{index}") } else { name.to_owned() };
        let card = self.home(&format!("{name}.card"));
        let out = Command::new(binary("quorate-node"))
            .args(["init", "--name", &name, "--endpoint", &address, "--listen", &address])
            .args(["--index", &index.to_string(), "--provider", "Neuland"])
            .args(["--home-jurisdiction", "NZ", "--location", "NZ"])
            .args(more)
            .arg("--public-out")
            .arg(&card)
            .arg("--home")
            .arg(self.home(&name))
            .output()
            .expect("quorate-node runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        card
    }

    /// Gives a new node the newest roster that the operator's home has.
    ///
    /// # Panics
    /// If the file cannot be copied.
    pub fn give_roster(&self, home: &str) {
        self.give_roster_of("operator-1", home);
    }

    /// The same, from another home.
    ///
    /// # Panics
    /// If the file cannot be copied.
    pub fn give_roster_of(&self, from: &str, home: &str) {
        let from = self.home(from).join("roster.json");
        std::fs::copy(from, self.home(home).join("roster.json")).expect("the roster is copied");
    }

    /// Starts a node's process in a home of another name than its index tells.
    ///
    /// # Panics
    /// If the process cannot be started.
    pub fn start_node_in(&mut self, index: u16, home: &str) {
        let child = self.spawn(self.program("quorate-node"), home, index);
        self.nodes.insert(index, child);
    }

    /// Starts a node's process; its log goes to a file beside its home.
    ///
    /// # Panics
    /// If the process cannot be started.
    pub fn start_node(&mut self, index: u16) {
        self.start_node_with(index, &[]);
    }

    /// Starts a node's process with these variables in its environment.
    ///
    /// # Panics
    /// If the process cannot be started.
    pub fn start_node_with(&mut self, index: u16, env: &[(&str, &str)]) {
        let mut node = self.program("quorate-node");
        node.envs(env.iter().copied());
        self.start_node_as(index, node);
    }

    /// Has a node log all that it can, from its next start on. (A coordinator does so always.)
    ///
    /// # Panics
    /// If its configuration cannot be written.
    pub fn trace(&self, index: u16) {
        let file = self.home(&format!("node-{index}")).join("node.toml");
        let toml = fs::read_to_string(&file).expect("a node has a configuration");
        fs::write(file, format!("log_filter = \"trace\"\n{toml}")).expect("it can be written");
    }

    /// Starts a node's process by another program, which hands on its own arguments.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn start_node_as(&mut self, index: u16, program: Command) {
        let child = self.spawn(program, &format!("node-{index}"), index);
        self.nodes.insert(index, child);
    }

    /// Starts the coordinator.
    ///
    /// # Panics
    /// If the process cannot be started.
    pub fn start_coordinator(&mut self) {
        let program = self.program("quorate-coordinator");
        self.coordinator = Some(self.spawn(program, "coordinator", CENTRE));
    }

    fn spawn(&self, program: Command, home: &str, place: u16) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(home))
            .expect("the log can be written");
        self.at(place, program)
            .args(["run", "--home"])
            .arg(self.home(home))
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "0") // tests read what a process says last
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the process starts")
    }

    /// The log file of a process.
    #[must_use]
    pub fn log(&self, home: &str) -> PathBuf {
        self.root.join(format!("{home}.log"))
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// If the node does not run.
    pub fn kill(&mut self, index: u16) {
        let mut child = self.nodes.remove(&index).expect("the node runs");
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// If the node does not run, or does not end.
    pub fn stop(&mut self, index: u16) -> ExitStatus {
        let child = self.nodes.remove(&index).expect("the node runs");
        terminate(child)
    }

    /// SIGSTOP: it keeps its connections, and answers nothing.
    ///
    /// # Panics
    /// If the node does not run.
    pub fn freeze(&self, index: u16) {
        kill_process(self.pid(index), Signal::STOP).expect("it can be told");
    }

    /// SIGCONT.
    ///
    /// # Panics
    /// If the node does not run.
    pub fn thaw(&self, index: u16) {
        kill_process(self.pid(index), Signal::CONT).expect("it can be told");
    }

    /// The process of a node.
    ///
    /// # Panics
    /// If it was not started.
    #[must_use]
    pub fn pid(&self, index: u16) -> Pid {
        Pid::from_child(&self.nodes[&index])
    }

    /// How a node has ended by itself, if it has.
    ///
    /// # Panics
    /// If it was not started.
    pub fn ended(&mut self, index: u16) -> Option<ExitStatus> {
        let child = self.nodes.get_mut(&index).expect("the node was started");
        let status = child.try_wait().expect("a child can be waited for")?;
        self.nodes.remove(&index);
        Some(status)
    }

    /// Waits until a node ends by itself; nobody tells it to.
    ///
    /// # Panics
    /// If it was not started, or lives longer than `limit`.
    pub fn wait_for_end(&mut self, index: u16, limit: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended(index) {
                return status;
            }
            assert!(begun.elapsed() < limit, "node {index} goes on living");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether a supervisor would leave a node alone: it serves, or waits for its peers' word.
    ///
    /// # Panics
    /// If it cannot be asked.
    #[must_use]
    pub fn is_healthy(&self, index: u16) -> bool {
        let mut check = Command::new(binary("quorate-node"));
        check.args(["healthcheck", "--home"]).arg(self.home(&format!("node-{index}")));
        check.output().expect("quorate-node runs").status.success()
    }

    /// Whether a node says of itself that it serves, and is not in quarantine any more.
    ///
    /// # Panics
    /// If it cannot be asked.
    #[must_use]
    pub fn is_serving(&self, index: u16) -> bool {
        let mut ask = Command::new(binary("quorate-node"));
        ask.args(["status", "--home"]).arg(self.home(&format!("node-{index}")));
        let out = ask.output().expect("quorate-node runs");
        out.status.success() && String::from_utf8_lossy(&out.stdout).contains("): serving")
    }

    /// SIGTERM to the coordinator, and waits for the end.
    ///
    /// # Panics
    /// If it does not run, or does not end.
    pub fn stop_coordinator(&mut self) -> ExitStatus {
        terminate(self.coordinator.take().expect("the coordinator runs"))
    }

    /// SIGKILL to the coordinator.
    ///
    /// # Panics
    /// If it does not run.
    pub fn stop_coordinator_hard(&mut self) {
        let mut child = self.coordinator.take().expect("the coordinator runs");
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
    }

    /// Waits until coordinator and all started nodes answer.
    ///
    /// # Panics
    /// If they do not within twenty seconds.
    pub fn wait_until_serving(&self) {
        let begun = Instant::now();
        loop {
            let out = self.operator(&["--output", "json", "cluster", "status"]);
            let json: serde_json::Value =
                serde_json::from_slice(&out.stdout).unwrap_or(serde_json::Value::Null);
            if json["serving"].as_u64() == Some(self.nodes.len() as u64) {
                return;
            }
            let stderr = String::from_utf8_lossy(&out.stderr);
            assert!(begun.elapsed() < START, "not all serve: {json} {stderr}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// `quorate --home operator-1 …`
    #[must_use]
    pub fn operator(&self, args: &[&str]) -> Output {
        self.quorate("operator-1", args, &[])
    }

    /// `quorate --home client …`
    #[must_use]
    pub fn client(&self, args: &[&str], input: &[u8]) -> Output {
        self.quorate("client", args, input)
    }

    /// `quorate --home HOME …`
    ///
    /// # Panics
    /// If the program cannot be run.
    #[must_use]
    pub fn quorate(&self, home: &str, args: &[&str], input: &[u8]) -> Output {
        run_as(self.at(CENTRE, Command::new(binary("quorate"))), &self.home(home), args, input)
    }

    /// Starts `quorate --home HOME …`, to go on beside the test; what it says is piped.
    ///
    /// # Panics
    /// If the program cannot be started.
    #[must_use]
    pub fn start_quorate(&self, home: &str, args: &[&str]) -> Child {
        self.at(CENTRE, Command::new(binary("quorate")))
            .arg("--home")
            .arg(self.home(home))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("quorate starts")
    }

    /// What a process logs from now on.
    ///
    /// # Panics
    /// If its log cannot be read.
    #[must_use]
    pub fn tail(&self, home: &str) -> LogTail {
        LogTail::of(&self.log(home))
    }

    /// Makes a key that all clients may use.
    ///
    /// # Panics
    /// If it is not born.
    pub fn key(&self, name: &str) {
        let out = self.operator(&["key", "create", name]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    /// Encrypts as the client.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn encrypt(&self, key: &str, plaintext: &[u8]) -> Vec<u8> {
        let out = self.client(&["encrypt", "--key", key], plaintext);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    }

    /// Decrypts as the client.
    #[must_use]
    pub fn decrypt(&self, ciphertext: &[u8]) -> Output {
        self.client(&["decrypt"], ciphertext)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.nodes.values_mut().chain(self.coordinator.as_mut()) {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs `quorate` with a home and input.
///
/// # Panics
/// If the program cannot be run.
#[must_use]
pub fn run(home: &Path, args: &[&str], input: &[u8]) -> Output {
    run_as(Command::new(binary("quorate")), home, args, input)
}

fn run_as(mut program: Command, home: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = program
        .arg("--home")
        .arg(home)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("quorate runs");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that ends early closes the pipe.
        let _ = stdin.write_all(&input);
    });
    let out = child.wait_with_output().expect("quorate ends");
    writer.join().expect("the writer ends");
    out
}

fn terminate(mut child: Child) -> ExitStatus {
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it can be told");
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        assert!(begun.elapsed() < START, "the process does not end on SIGTERM");
        std::thread::sleep(Duration::from_millis(20));
    }
}
