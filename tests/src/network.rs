//! A network of its own for a cluster's processes: each node in a network namespace, coordinator,
//! operators and clients in another, joined by a bridge in one more. What a node sends or gets can
//! be dropped, in one direction or both, without a word to anybody: a partition.
//!
//! The namespaces have no names. Each is held by a process that ends when it can no longer read
//! from the test (so also when the test is killed) or after [`LONGEST`], and goes with the last
//! process inside. The machine's own network is not touched.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Where coordinator, operators and clients are; nodes are at their indices.
pub const CENTRE: u16 = 0;
/// The port that everybody listens on, each at an address of its own.
const PORT: u16 = 7400;
/// No test takes longer; its namespaces do not outlive it by more.
const LONGEST: &str = "1800";
/// Programs that this needs, beside root.
const PROGRAMS: [&str; 6] = ["ip", "nft", "nsenter", "setpriv", "timeout", "unshare"];

/// Which packets are dropped, as a node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// What others send to it.
    Inbound,
    /// What it sends.
    Outbound,
    /// Both.
    Both,
}

/// A bridge and the places that are plugged into it.
#[derive(Debug)]
pub struct Network {
    places: Vec<Namespace>,
    // Goes last: the others' cables end in it.
    _hub: Namespace,
}

impl Network {
    /// A network for so many nodes; on a machine that has none to give, one line on stderr.
    #[must_use]
    pub fn of(nodes: u16) -> Option<Self> {
        Self::build(nodes).inspect_err(|missing| eprintln!("skipped: {missing}")).ok()
    }

    fn build(nodes: u16) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".into());
        }
        for program in PROGRAMS {
            // `ip` knows no --version; that it runs is enough.
            let found = Command::new(program).arg("--version").output();
            found.map_err(|e| format!("`{program}` does not run: {e}"))?;
        }
        let hub = Namespace::new()?;
        hub.run("ip link add name br0 type bridge forward_delay 0")?;
        hub.run("ip link set br0 up")?;
        let mut places = Vec::new();
        for at in CENTRE..=nodes {
            let place = Namespace::new()?;
            let pid = place.pid();
            hub.run(&format!("ip link add name p{at} type veth peer name eth0 netns {pid}"))?;
            hub.run(&format!("ip link set p{at} master br0 up"))?;
            place.run(&format!("ip address add {}/24 dev eth0", address(at).ip()))?;
            place.run("ip link set lo up")?;
            place.run("ip link set eth0 up")?;
            place.run("nft add table inet cut")?;
            for (chain, hook) in [("inbound", "input"), ("outbound", "output")] {
                let chain = format!("add chain inet cut {chain}");
                place.nft(&format!("{chain} {{ type filter hook {hook} priority 0; }}"))?;
            }
            places.push(place);
        }
        Ok(Self { places, _hub: hub })
    }

    /// Drops what a node sends, gets, or both, from now on.
    ///
    /// # Panics
    /// If the rules cannot be set.
    pub fn cut(&self, node: u16, cut: Cut) {
        let place = self.place(node);
        let (inbound, outbound) = ("inbound iifname", "outbound oifname");
        let rules: &[&str] = match cut {
            Cut::Inbound => &[inbound],
            Cut::Outbound => &[outbound],
            Cut::Both => &[inbound, outbound],
        };
        for rule in rules {
            place.nft(&format!("add rule inet cut {rule} eth0 drop")).expect("a rule can be set");
        }
    }

    /// Lets everything of a node through again.
    ///
    /// # Panics
    /// If the rules cannot be taken away.
    pub fn heal(&self, node: u16) {
        self.place(node).nft("flush table inet cut").expect("rules can be taken away");
    }

    /// The same program, in a place; it does not outlive the thread that starts it.
    #[must_use]
    pub fn inside(&self, at: u16, program: Command) -> Command {
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL", "nsenter"]).arg(self.place(at).argument());
        wrapped.arg("--").arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        wrapped
    }

    /// Runs `work` on a thread in a place: whatever it connects to, it reaches from there.
    ///
    /// # Panics
    /// As `work` does.
    pub fn at<T: Send>(&self, at: u16, work: impl FnOnce() -> T + Send) -> T {
        let namespace = self.place(at).path();
        let entered = move || {
            let file = File::open(namespace).expect("the namespace is held");
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(file.as_fd(), kind).expect("root may enter it");
            work()
        };
        std::thread::scope(|scope| match scope.spawn(entered).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    fn place(&self, at: u16) -> &Namespace {
        self.places.get(usize::from(at)).expect("a place of this network")
    }
}

/// Where who is at a place listens.
#[must_use]
pub(crate) fn address(at: u16) -> SocketAddr {
    let host = 10 + u8::try_from(at).expect("few nodes");
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 77, 0, host)), PORT)
}

/// A network namespace, and the process that holds it.
#[derive(Debug)]
struct Namespace {
    holder: Child,
}

impl Namespace {
    fn new() -> Result<Self, String> {
        let holder = Command::new("unshare")
            .args(["--net", "timeout", LONGEST, "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("`unshare` does not run: {e}"))?;
        let mut made = Self { holder };
        let own = fs::read_link("/proc/self/ns/net").map_err(|e| format!("no namespaces: {e}"))?;
        let begun = Instant::now();
        // Until it is in one of its own.
        while fs::read_link(made.path()).is_ok_and(|theirs| theirs == own) {
            if made.holder.try_wait().is_ok_and(|ended| ended.is_some())
                || begun.elapsed() > Duration::from_secs(10)
            {
                return Err("no network namespace can be made here".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(made)
    }

    fn pid(&self) -> u32 {
        self.holder.id()
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.pid()))
    }

    fn argument(&self) -> String {
        format!("--net={}", self.path().display())
    }

    fn run(&self, command: &str) -> Result<(), String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        self.enter(&words, command)
    }

    fn nft(&self, rule: &str) -> Result<(), String> {
        self.enter(&["nft", rule], rule)
    }

    fn enter(&self, words: &[&str], told: &str) -> Result<(), String> {
        let out = Command::new("nsenter").arg(self.argument()).arg("--").args(words).output();
        let out = out.map_err(|e| format!("`nsenter` does not run: {e}"))?;
        match out.status.success() {
            true => Ok(()),
            false => Err(format!("`{told}`: {}", String::from_utf8_lossy(&out.stderr).trim())),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It ends by itself if it cannot be killed.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
