//! The command line: what can be said, and its help.

#![allow(missing_docs, reason = "doc comments here are the help text that people read")]

use crate::time::date;
use clap::{Args, Parser, Subcommand, ValueEnum};
use quorate_types::{Millis, Purpose, Suite};
use std::path::{Path, PathBuf};

/// Distributed threshold key service: keys that no single party holds, uses or can be
/// made to hand over.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What every command knows.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage, 3 refused by policy, \
    4 no quorum, 5 verification failed";

/// What every command knows.
#[derive(Debug, Args)]
pub struct Global {
    /// Home directory: identity, pinned cluster, configuration
    #[arg(long, global = true, env = "QUORATE_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Ask this coordinator (host:port from the roster) instead of any of them
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub coordinator: Option<String>,
    /// Ask the nodes directly, past every coordinator
    #[arg(long, global = true, conflicts_with = "coordinator")]
    pub direct: bool,
    /// Bring orders to this node (host:port from the roster), past every coordinator
    #[arg(long, global = true, value_name = "HOST:PORT", conflicts_with = "coordinator")]
    pub node: Option<String>,
    /// How to print results
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Say more on stderr (-v, -vv)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON document for programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole story on five nodes in this process; exits 0 only if every check held
    Demo(Demo),
    /// A cluster in the foreground, with a client and a key ready to use
    Dev(Dev),
    /// Lay out, inspect and check a cluster
    #[command(subcommand)]
    Cluster(Cluster),
    /// Operators' keys
    #[command(subcommand)]
    Operator(Operator),
    /// Clients: who may be granted keys
    #[command(subcommand)]
    Client(Client),
    /// Keys
    #[command(subcommand)]
    Key(Key),
    /// Move the shares of keys: refresh, other nodes, another threshold, repair
    #[command(subcommand)]
    Share(Share),
    /// Orders: what operators sign and nodes obey
    #[command(subcommand)]
    Order(Order),
    /// Encrypt stdin or a file; needs no node, but for a key that wraps
    Encrypt(Encrypt),
    /// Decrypt stdin or a file; needs a quorum of nodes
    Decrypt(Crypt),
    /// Decrypt under one key and encrypt under another, or under a newer version
    ///
    /// The plaintext is nowhere but in this process.
    Reencrypt(Reencrypt),
    /// Make data keys of 32 bytes, in the clear and encrypted (`decrypt` gives them back)
    Datakey(DataKey),
    /// Derive a secret of 64 bytes from stdin or a file; needs a quorum of nodes
    ///
    /// The same key, version, input and context give the same secret for ever, and no node sees
    /// input or secret. Every byte of the input counts, a newline at its end too.
    Derive(Derive),
    /// Sign stdin or a file (Ed25519); needs a quorum of nodes
    ///
    /// Any Ed25519 verifier accepts the signature. As it is, a message has at most 1024 bytes; in
    /// the formats of SSH and minisign a file of any size is hashed here and its hash signed.
    Sign(Sign),
    /// Verify a signature under a key of this cluster; needs no node
    Verify(Verify),
    /// Who holds a key, and which coalitions could use it
    WhoOwns {
        /// The key's name
        key: String,
    },
    /// What the nodes have written down: the newest entries of a node's audit log
    #[command(subcommand)]
    Audit(Audit),
    /// Measure a cluster under open-loop load, beside the floor that the mathematics sets
    Bench(Bench),
}

#[derive(Debug, Args)]
pub struct Demo {
    /// The file to encrypt and decrypt (default: this project's README)
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// Keep the cluster's directory and print where it is
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Args)]
pub struct Dev {
    /// How many nodes
    #[arg(long, default_value_t = 5)]
    pub nodes: u16,
    /// How many of them use a key
    #[arg(long, default_value_t = 3)]
    pub threshold: u16,
}

#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Make a roster: a whole cluster on this machine, or one of given nodes
    Init(Box<ClusterInit>),
    /// Print the roster
    Show,
    /// Which providers and jurisdictions could use a key of these nodes together
    Check {
        /// How many nodes use a key (default: the operator's)
        #[arg(long)]
        threshold: Option<u16>,
        /// Node indices (default: all)
        #[arg(long, value_delimiter = ',')]
        committee: Vec<u16>,
    },
    /// Health of every node, and how many more may be lost
    Status,
    /// Roster: one more node; it holds nothing until keys are moved to it
    Add {
        #[command(flatten)]
        node: NodeFile,
        #[command(flatten)]
        out: RosterOut,
    },
    /// Roster: one node less; `share drain` it first
    Remove {
        /// Node index
        #[arg(value_name = "NODE")]
        index: u16,
        #[command(flatten)]
        losing: Losing,
        #[command(flatten)]
        out: RosterOut,
    },
    /// Roster: a new identity in the place of a node that is lost, or was copied
    Replace {
        /// Node index
        #[arg(value_name = "NODE")]
        index: u16,
        #[command(flatten)]
        node: NodeFile,
        #[command(flatten)]
        losing: Losing,
        #[command(flatten)]
        out: RosterOut,
    },
    /// Roster: another address of a node
    Endpoint {
        /// Node index
        #[arg(value_name = "NODE")]
        index: u16,
        /// Where others dial
        #[arg(value_name = "HOST:PORT")]
        endpoint: String,
        #[command(flatten)]
        out: RosterOut,
    },
    /// Add this operator's signature to a roster that another one has written
    Sign {
        /// The roster's file; changed in place
        file: PathBuf,
        /// Sign without being asked
        #[arg(long)]
        yes: bool,
    },
    /// Bring a signed roster to the cluster
    Submit {
        /// The roster's file
        file: PathBuf,
    },
    /// The keys that the newest roster touches, each with its committee before and after
    Plan,
    /// Orders: move the keys that the newest roster touches to its nodes; goes on where it
    /// was interrupted
    Apply(Box<ClusterApply>),
}

/// A node's public part.
#[derive(Debug, Args)]
pub struct NodeFile {
    /// The node's public part, from `quorate-node init --public-out`
    #[arg(long, value_name = "FILE")]
    pub node_file: PathBuf,
}

/// Whether a node may leave that a key cannot do without.
#[derive(Debug, Args)]
pub struct Losing {
    /// Go on although keys are LOST FOR GOOD by it: fewer nodes than they need still hold a share
    #[arg(long)]
    pub accept_lost_keys: bool,
}

/// Where a roster goes that needs more operators.
#[derive(Debug, Args)]
pub struct RosterOut {
    /// Write the roster to this file, signed by this operator, instead of submitting it
    #[arg(long, value_name = "FILE")]
    pub roster_out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ClusterApply {
    #[command(flatten)]
    pub many: Many,
    #[command(flatten)]
    pub how: ShareHow,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("kind").required(true).args(["local", "node_file"]))]
pub struct ClusterInit {
    /// Lay out a cluster of N nodes on this machine, on free loopback ports
    #[arg(long, value_name = "N")]
    pub local: Option<u16>,
    /// A node's public part, from `quorate-node init --public-out` (repeat)
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub node_file: Vec<PathBuf>,
    /// A coordinator's public part, from `quorate-coordinator init --public-out` (repeat)
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "node_file")]
    pub coordinator_file: Vec<PathBuf>,
    /// An operator's public key as NAME=KEY, from `quorate operator keygen` (repeat);
    /// without any, one operator is made under --dir
    #[arg(long, value_name = "NAME=KEY", requires = "node_file")]
    pub operator: Vec<String>,
    /// How many operators to make, for a local cluster
    #[arg(long, value_name = "K", requires = "local", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub operators: Option<u16>,
    /// How many operators make an order (default: more than half)
    #[arg(long, value_name = "M")]
    pub quorum: Option<u16>,
    /// How many nodes use a key, where a command does not say
    #[arg(long, value_name = "T")]
    pub threshold: u16,
    /// Where homes are made
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The cluster's name
    #[arg(long, default_value = "quorate")]
    pub name: String,
    /// Name of the operator made under --dir
    #[arg(long, default_value = "operator-1")]
    pub operator_name: String,
    /// Name of the client made under --dir
    #[arg(long, default_value = "client")]
    pub client_name: String,
    /// Also write the roster here, for the nodes and coordinators
    #[arg(long, value_name = "FILE")]
    pub roster_out: Option<PathBuf>,
    /// Also write the first orders into this directory, for the nodes
    #[arg(long, value_name = "DIR")]
    pub orders_out: Option<PathBuf>,
}

impl ClusterInit {
    /// A cluster of `n` nodes on this machine, with one operator and one client.
    #[must_use]
    pub fn local(dir: PathBuf, n: u16, threshold: u16) -> Self {
        Self {
            local: Some(n),
            node_file: Vec::new(),
            coordinator_file: Vec::new(),
            operator: Vec::new(),
            operators: None,
            quorum: None,
            threshold,
            dir,
            name: "local".into(),
            operator_name: "operator-1".into(),
            client_name: "client".into(),
            roster_out: None,
            orders_out: None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Operator {
    /// Make an operator's key in a new home; prints the public key
    Keygen(Keygen),
}

#[derive(Debug, Args)]
pub struct Keygen {
    /// The new home
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The party's name
    #[arg(long)]
    pub name: String,
    /// The cluster's roster file; its fingerprint is printed and pinned
    #[arg(long, value_name = "FILE")]
    pub roster: Option<PathBuf>,
    /// The fingerprint that the operators gave you; the roster must match it
    #[arg(long, value_name = "HEX", requires = "roster")]
    pub fingerprint: Option<String>,
    /// Seal the key under a passphrase (asked for, or in QUORATE_PASSPHRASE_FILE)
    #[arg(long)]
    pub passphrase: bool,
}

#[derive(Debug, Subcommand)]
pub enum Client {
    /// Make a client's key in a new home; prints the public key
    Keygen(Keygen),
    /// Order: make a client known
    Add {
        /// The client's name
        name: String,
        /// Its public key, 64 hexadecimal digits
        key: String,
        #[command(flatten)]
        order: OrderOut,
    },
    /// Order: end all that a client may do, at once and for ever
    Revoke {
        /// The client's name or public key
        client: String,
        #[command(flatten)]
        order: OrderOut,
    },
    /// Clients that the nodes know
    List,
}

/// Where an order goes that needs more operators.
#[derive(Debug, Default, Args)]
pub struct OrderOut {
    /// Write the order to this file, signed by this operator, instead of submitting it
    #[arg(long, value_name = "FILE")]
    pub order_out: Option<PathBuf>,
    /// Days until an order that is not applied dies
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=30))]
    pub order_days: u64,
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Order: make a key, born split among the nodes
    Create(KeyCreate),
    /// Order: make a new version of a key, with key material of its own
    ///
    /// From its birth on clients encrypt and sign with it. What the older versions made they still
    /// decrypt, derive and verify; their shares move with the key's.
    Rotate(KeyRotate),
    /// Standing order: new versions again and again, by the coordinators, until it ends
    ///
    /// Each is born at its date, by each node's own clock; a version that is made by hand meanwhile
    /// counts. After a change of the roster it must be given again. Another one of the same key
    /// takes its place; --end ends it.
    ScheduleRotation(Box<KeyScheduleRotation>),
    /// Order: the key, or one version of it, refuses every use until it is enabled
    Disable(KeyAble),
    /// Order: the end of `key disable`
    Enable(KeyAble),
    /// Order: description, tags and aliases of a key
    Describe(KeyDescribe),
    /// Order: the key refuses every use, and after a waiting time every node destroys its shares
    ///
    /// Of all versions, for good: what was encrypted under it can then never be decrypted.
    ScheduleDeletion(KeyDelete),
    /// Order: the end of `key schedule-deletion`, while there is time
    CancelDeletion(KeyNamed),
    /// Order: make a key out of one that you have already; it is split on this machine
    Import(Box<KeyImport>),
    /// Keys that the nodes know
    List(KeyList),
    /// What is proven about a key
    Show(KeyShow),
    /// Order: hand a key out to a recipient, in sealed shares (break glass)
    Export(KeyExport),
    /// Make a recipient's key pair for an export
    ExportKeygen {
        /// Where the private half goes, as a new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Put an exported key together, as its recipient
    Combine(KeyCombine),
}

#[derive(Debug, Args)]
pub struct KeyImport {
    #[command(flatten)]
    pub create: KeyCreate,
    /// The key: a scalar (32 bytes little-endian, or 64 hexadecimal digits), or an Ed25519 private
    /// key as PKCS#8 PEM or as OpenSSH writes it, not encrypted. It never leaves this machine
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// Deal the key under this order, which was made by this home with --order-out and which
    /// operators have signed since
    #[arg(
        long = "order",
        value_name = "FILE",
        conflicts_with_all = [
            "purpose", "suite", "threshold", "committee", "allow_absent", "client", "grant_days",
            "version", "danger_concentrated", "acknowledge_fragile", "exportable",
            "quick_deletion", "order_out", "order_days",
        ]
    )]
    pub signed: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct KeyExport {
    /// The key's name
    pub name: String,
    /// The version (default: the newest)
    #[arg(long)]
    pub version: Option<u32>,
    /// The recipient's public key, as export-keygen prints it
    #[arg(long, value_name = "KEY", conflicts_with = "close")]
    pub recipient: Option<String>,
    /// Say that nobody gets time to object: there is none yet
    #[arg(long)]
    pub danger_no_cooling_off: bool,
    /// End the export that this order opened (its hash, as order list prints it with --output json)
    #[arg(long, value_name = "ORDER")]
    pub close: Option<String>,
    #[command(flatten)]
    pub order: OrderOut,
}

#[derive(Debug, Args)]
pub struct KeyCombine {
    /// The key's name
    pub name: String,
    /// The export order (default: the newest that exports the key to this recipient)
    #[arg(long, value_name = "FILE")]
    pub order: Option<PathBuf>,
    /// The recipient's private key, as export-keygen wrote it
    #[arg(long, value_name = "FILE")]
    pub recipient_key: PathBuf,
    /// Where the key goes, as a new file that only you can read
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct KeyShow {
    /// The key's name
    pub name: String,
    /// The key's version (default: the newest)
    #[arg(long, value_name = "N")]
    pub version: Option<u32>,
    /// Only the public key of a key that signs, as PEM (SubjectPublicKeyInfo, RFC 8410)
    #[arg(long, group = "form")]
    pub pem: bool,
    /// The same as a line for authorized_keys
    #[arg(long, group = "form")]
    pub ssh: bool,
    /// The same as a minisign public key file
    #[arg(long, group = "form")]
    pub minisign: bool,
    /// The same as its 32 bytes
    #[arg(long, group = "form")]
    pub raw: bool,
}

#[derive(Debug, Args)]
pub struct KeyCreate {
    /// The key's name
    pub name: String,
    /// What it is for, once and for all: decrypt, sign, derive or wrap
    #[arg(long, default_value_t = Purpose::Decrypt)]
    pub purpose: Purpose,
    /// The same by its scheme: tdh2-ristretto255, frost-ed25519 or voprf-ristretto255 (to derive)
    #[arg(long, conflicts_with = "purpose")]
    pub suite: Option<Suite>,
    /// How many nodes use it (default: the operator's)
    #[arg(long)]
    pub threshold: Option<u16>,
    /// Node indices (default: all of the roster)
    #[arg(long, value_delimiter = ',')]
    pub committee: Vec<u16>,
    /// How many nodes may be absent when it is born
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub allow_absent: u16,
    /// A client that may use it, by name (repeat; default: all clients known)
    #[arg(long, value_name = "NAME")]
    pub client: Vec<String>,
    /// Days until the grants expire
    #[arg(long, default_value_t = 90)]
    pub grant_days: u64,
    /// The version to make: higher than 1 after a birth that failed for good
    #[arg(long, default_value_t = 1)]
    pub version: u32,
    /// Let one provider or jurisdiction hold enough shares to use the key. Development only
    #[arg(long)]
    pub danger_concentrated: bool,
    /// Accept that losing one jurisdiction may put the key out of reach
    #[arg(long)]
    pub acknowledge_fragile: bool,
    /// Let a later order of m operators hand the key itself out (break glass)
    #[arg(long)]
    pub exportable: bool,
    /// Let a later order delete it sooner than after seven days
    #[arg(long)]
    pub quick_deletion: bool,
    /// Go on although the order tolerates fewer liars than t - 1
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub order: OrderOut,
}

#[derive(Debug, Args)]
pub struct KeyList {
    /// Only keys whose names begin so
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub prefix: String,
    /// Only keys that are so
    #[arg(long, value_enum)]
    pub state: Option<KeyWord>,
    /// Only keys for this purpose
    #[arg(long)]
    pub purpose: Option<Purpose>,
    /// Only keys with this tag (repeat: with all of them)
    #[arg(long, value_name = "NAME=VALUE")]
    pub tag: Vec<String>,
    /// At most so many (default: all)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Go on after this name
    #[arg(long, value_name = "NAME", default_value = "")]
    pub after: String,
}

/// How a key is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyWord {
    /// Born, and used.
    Active,
    /// Ordered, and not born yet.
    Pending,
    /// Refuses every use.
    Disabled,
    /// Waits for its deletion.
    PendingDeletion,
    /// Deleted: every node has destroyed its shares.
    Destroyed,
}

impl KeyWord {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Disabled => "disabled",
            Self::PendingDeletion => "pending-deletion",
            Self::Destroyed => "destroyed",
        }
    }
}

#[derive(Debug, Args)]
pub struct KeyAble {
    /// The key's name
    pub name: String,
    /// Only this version (default: all, also those to come)
    #[arg(long, value_name = "N")]
    pub version: Option<u32>,
    #[command(flatten)]
    pub order: OrderOut,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true)
    .args(["description", "tag", "untag", "alias", "unalias"]))]
pub struct KeyDescribe {
    /// The key's name
    pub name: String,
    /// For people, at most 1024 bytes; "" for none
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Set a tag (repeat)
    #[arg(long, value_name = "NAME=VALUE")]
    pub tag: Vec<String>,
    /// Take a tag away (repeat)
    #[arg(long, value_name = "NAME")]
    pub untag: Vec<String>,
    /// Another name under which clients find the key (repeat)
    #[arg(long, value_name = "NAME")]
    pub alias: Vec<String>,
    /// Take an alias away (repeat)
    #[arg(long, value_name = "NAME")]
    pub unalias: Vec<String>,
    #[command(flatten)]
    pub order: OrderOut,
}

#[derive(Debug, Args)]
pub struct KeyDelete {
    /// The key's name
    pub name: String,
    /// Days until its shares are destroyed
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(7..=30))]
    pub days: u32,
    /// A shorter time, as a number with s, m, h or d: for a key that was made with that right
    #[arg(long, value_name = "TIME", value_parser = seconds, conflicts_with = "days")]
    pub after: Option<u32>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub order: OrderOut,
}

#[derive(Debug, Args)]
pub struct KeyNamed {
    /// The key's name
    pub name: String,
    #[command(flatten)]
    pub order: OrderOut,
}

#[derive(Debug, Args)]
pub struct KeyRotate {
    /// The key's name
    pub name: String,
    /// Begin another version after one whose birth failed for good, instead of finishing that
    #[arg(long)]
    pub past_failed: bool,
    #[command(flatten)]
    pub new: NewVersion,
    #[command(flatten)]
    pub order: OrderOut,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["every", "end"]))]
pub struct KeyScheduleRotation {
    /// The key's name
    pub name: String,
    /// Between two versions: a number with s, m, h or d
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub every: Option<u32>,
    /// When the first one is due: a date (2027-01-01, from midnight UTC on), or a time from now as
    /// a number with s, m, h or d (default: as long from now as between two)
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub from: Option<When>,
    /// At most so many versions (default: as many as come due before it ends)
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub times: Option<u16>,
    /// Days after which it ends
    #[arg(long, default_value_t = 366, value_parser = clap::value_parser!(u64).range(1..=3660))]
    pub days: u64,
    /// End the schedule; what is born stays
    #[arg(long, conflicts_with_all = [
        "from", "times", "days", "threshold", "committee", "allow_absent", "client", "grant_days",
    ])]
    pub end: bool,
    #[command(flatten)]
    pub new: NewVersion,
    #[command(flatten)]
    pub order: OrderOut,
}

/// What a new version is made with.
#[derive(Debug, Args)]
pub struct NewVersion {
    /// How many nodes use the new version (default: as the newest)
    #[arg(long)]
    pub threshold: Option<u16>,
    /// Node indices (default: as the newest)
    #[arg(long, value_delimiter = ',')]
    pub committee: Vec<u16>,
    /// How many nodes may be absent when it is born
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub allow_absent: u16,
    /// A client that may use it, by name (repeat; default: those of the newest version)
    #[arg(long, value_name = "NAME")]
    pub client: Vec<String>,
    /// Days until the grants expire (default: when those of the newest version do; under a
    /// schedule one interval after it ends)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3660))]
    pub grant_days: Option<u64>,
    /// Let one provider or jurisdiction hold enough shares to use the key. Development only
    #[arg(long)]
    pub danger_concentrated: bool,
    /// Accept that losing one jurisdiction may put the key out of reach
    #[arg(long)]
    pub acknowledge_fragile: bool,
    /// Go on although the order tolerates fewer liars than t - 1
    #[arg(long)]
    pub yes: bool,
}

/// A point in time, as a command line says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So many seconds from now.
    In(u32),
    /// Then.
    At(Millis),
}

/// `30d`, or `2027-01-01`.
fn when(text: &str) -> Result<When, String> {
    match date(text) {
        Some(at) => Ok(When::At(at)),
        None => seconds(text).map(When::In).map_err(|_| {
            "say a date such as 2027-01-01, or a number with s, m, h or d, such as 30d".into()
        }),
    }
}

#[derive(Debug, Subcommand)]
pub enum Share {
    /// Order: new shares for the same nodes; the old ones become worthless
    Refresh(Box<ShareRefresh>),
    /// Order: move a key to other nodes, or to another threshold; the key stays the same
    Reshare(Box<ShareReshare>),
    /// Standing order: refresh again and again, by the coordinators, until it ends
    Schedule(Box<ShareSchedule>),
    /// Order: give a node back the shares that it lost, by refreshing every key of its
    Repair(Box<ShareRepair>),
    /// Order: move every key off a node, before it is switched off
    Drain(Box<ShareDrain>),
    /// Which epoch each node serves, what is pending, and how many more nodes may be lost
    Status(ShareStatus),
}

#[derive(Debug, Args)]
pub struct ShareStatus {
    /// The key's name (default: all keys, one line each; of many, those that need attention)
    pub key: Option<String>,
    /// All keys, however many there are
    #[arg(long, conflicts_with = "key")]
    pub all: bool,
    /// Keys that need attention and are asked about one by one, at most
    #[arg(long, default_value_t = 100, value_name = "N", conflicts_with = "key",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["key", "all"]))]
pub struct ShareRefresh {
    /// The key's name
    pub key: Option<String>,
    /// Every key
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub many: Many,
    #[command(flatten)]
    pub how: ShareHow,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["key", "all", "ended"]))]
pub struct ShareSchedule {
    /// The key's name
    pub key: Option<String>,
    /// Every key
    #[arg(long)]
    pub all: bool,
    /// Every key whose schedule a change of the roster has ended: give it again as it was, but for
    /// the time that has passed
    #[arg(long, conflicts_with_all = ["every", "times", "days"])]
    pub ended: bool,
    /// Between two refreshes: a number with s, m, h or d
    #[arg(long, value_name = "TIME", value_parser = seconds, required_unless_present = "ended")]
    pub every: Option<u32>,
    /// At most so many attempts, the first one included (it begins at once)
    #[arg(long, default_value_t = 366, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub times: u16,
    /// Days after which it ends
    #[arg(long, default_value_t = 366, value_parser = clap::value_parser!(u64).range(1..=3660))]
    pub days: u64,
    #[command(flatten)]
    pub many: Many,
    #[command(flatten)]
    pub how: ShareHow,
}

/// `90s`, `15m`, `12h`, `30d`.
fn seconds(text: &str) -> Result<u32, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let unit = units.iter().find_map(|(u, n)| Some((text.strip_suffix(*u)?, n)));
    unit.and_then(|(number, n)| number.parse::<u32>().ok()?.checked_mul(*n))
        .ok_or_else(|| "say a number with s, m, h or d, such as 30d".into())
}

#[derive(Debug, Args)]
pub struct ShareReshare {
    /// The key's name
    pub key: String,
    /// Node indices of the new committee (default: as it is)
    #[arg(long, value_delimiter = ',')]
    pub committee: Vec<u16>,
    /// How many nodes use the key from now on (default: as it is)
    #[arg(long)]
    pub threshold: Option<u16>,
    #[command(flatten)]
    pub how: ShareHow,
}

#[derive(Debug, Args)]
pub struct ShareRepair {
    /// Node index
    #[arg(value_name = "NODE")]
    pub index: u16,
    #[command(flatten)]
    pub many: Many,
    #[command(flatten)]
    pub how: ShareHow,
}

#[derive(Debug, Args)]
pub struct ShareDrain {
    /// Node index
    #[arg(value_name = "NODE")]
    pub index: u16,
    /// The node that takes its place (default: none; committees get smaller)
    #[arg(long, value_name = "NODE")]
    pub to: Option<u16>,
    #[command(flatten)]
    pub many: Many,
    #[command(flatten)]
    pub how: ShareHow,
}

/// Many keys, one after the other and some at once.
#[derive(Debug, Args)]
pub struct Many {
    /// Leave out keys whose shares moved in the last MINUTES: goes on where it was interrupted
    #[arg(long, value_name = "MINUTES")]
    pub skip_moved_within: Option<u64>,
    /// Keys under way at once
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub at_once: u16,
}

/// How shares move.
#[derive(Debug, Default, Args)]
pub struct ShareHow {
    /// How many nodes of the new committee may be absent
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub allow_absent: u16,
    /// Seconds for which the old epoch is served beside the new one
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub grace: u32,
    /// Only this version of the key (default: every one, the newest last)
    #[arg(long, value_name = "N")]
    pub version: Option<u32>,
    /// End the key's schedule; without this the new order carries it on
    #[arg(long)]
    pub end_schedule: bool,
    /// Let one provider or jurisdiction hold enough shares to use the key. Development only
    #[arg(long)]
    pub danger_concentrated: bool,
    /// Accept that losing one jurisdiction may put the key out of reach
    #[arg(long)]
    pub acknowledge_fragile: bool,
    /// Go on although the order tolerates fewer liars than t - 1
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub order: OrderOut,
}

#[derive(Debug, Subcommand)]
pub enum Order {
    /// Print exactly what an order says and changes, and who has signed it
    ///
    /// Of shares that move: who joins and leaves, and who could use the key before and after, by
    /// the epoch in force as the nodes prove it.
    Show {
        /// The order's file; or a directory of NAME.order files, for what all of them change
        file: PathBuf,
    },
    /// Add this operator's signature
    Sign {
        /// The order's file, changed in place; or a directory of NAME.order files, all signed after
        /// one question
        file: PathBuf,
        /// Sign without being asked
        #[arg(long)]
        yes: bool,
    },
    /// Bring a signed order to the cluster
    Submit {
        /// The order's file; or a directory of NAME.order files. What has been carried out is
        /// skipped, so the same command goes on where it was interrupted
        file: PathBuf,
        /// Of a directory: keys under way at once
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
        at_once: u16,
    },
    /// Order: of two orders that follow the same one, say which stays
    ///
    /// Nodes that have seen both take no further order of their chain until then.
    Resolve {
        /// The order that stays: its hash, the beginning of it, or its file
        stays: String,
        /// The order that falls, with all that was chained after it
        falls: String,
        #[command(flatten)]
        order: OrderOut,
    },
    /// Orders that the cluster knows
    List,
}

#[derive(Debug, Args)]
pub struct Encrypt {
    #[command(flatten)]
    pub crypt: Crypt,
    /// Insist on a key that wraps: one-time keys from a quorum, and no public key
    #[arg(long)]
    pub symmetric: bool,
}

#[derive(Debug, Args)]
pub struct Reencrypt {
    /// The key to encrypt to, in its newest version
    #[arg(long)]
    pub key: String,
    /// Encryption context of the input as NAME=VALUE (repeat)
    #[arg(long, value_name = "NAME=VALUE")]
    pub context: Vec<String>,
    /// Encryption context of the output (repeat; default: that of the input)
    #[arg(long, value_name = "NAME=VALUE")]
    pub to_context: Vec<String>,
    /// Input file (default: stdin)
    #[arg(long = "in", value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Output file (default: stdout)
    #[arg(long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Many at once: lines of {"ciphertext": base64} in and out, with an "id" if you like; lines of
    /// `datakey` are taken too
    #[arg(long)]
    pub jsonl: bool,
}

#[derive(Debug, Args)]
pub struct DataKey {
    /// The key that they are encrypted to: one that decrypts or wraps
    #[arg(long)]
    pub key: String,
    /// Encryption context as NAME=VALUE (repeat); the same is needed to decrypt
    #[arg(long, value_name = "NAME=VALUE")]
    pub context: Vec<String>,
    /// How many
    #[arg(long, default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub count: u32,
    /// Do not give them out in the clear: for whoever is to store and never to use them
    #[arg(long)]
    pub wrapped_only: bool,
    /// Output file, lines of {"plaintext", "wrapped"} in base64 (default: stdout); `decrypt --jsonl`
    /// and `reencrypt --jsonl` take them
    #[arg(long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Crypt {
    /// The key's name (decrypt finds it in the ciphertext)
    #[arg(long)]
    pub key: Option<String>,
    /// Encryption context as NAME=VALUE (repeat); the same is needed to decrypt
    #[arg(long, value_name = "NAME=VALUE")]
    pub context: Vec<String>,
    /// Input file (default: stdin)
    #[arg(long = "in", value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Output file (default: stdout)
    #[arg(long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Many at once: lines of {"plaintext": base64} to {"ciphertext": base64} and back, with an
    /// "id" if you like; decrypt takes lines of `datakey` too
    #[arg(long)]
    pub jsonl: bool,
}

#[derive(Debug, Args)]
pub struct Derive {
    /// The key's name
    #[arg(long)]
    pub key: String,
    /// The key's version; another one derives other secrets (default: the newest)
    #[arg(long, value_name = "N")]
    pub key_version: Option<u32>,
    /// Context as NAME=VALUE (repeat); part of the input, and nodes see it
    #[arg(long, value_name = "NAME=VALUE")]
    pub context: Vec<String>,
    /// Input file, at most 64 KiB (default: stdin)
    #[arg(long = "in", value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Output file (default: stdout)
    #[arg(long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Form of the secret (default: hex on a terminal and in JSON, else raw)
    #[arg(long, value_enum)]
    pub encoding: Option<Encoding>,
    /// Many at once: lines of {"input": base64} to {"secret": base64}, with an "id" if you like
    #[arg(long, conflicts_with = "encoding")]
    pub jsonl: bool,
}

#[derive(Debug, Args)]
pub struct Sign {
    /// The key's name
    #[arg(long)]
    pub key: String,
    /// The key's version, which must be the newest: no other one signs (default: the newest)
    #[arg(long, value_name = "N")]
    pub key_version: Option<u32>,
    /// Context as NAME=VALUE (repeat); nodes see and log it, it is not signed
    #[arg(long, value_name = "NAME=VALUE")]
    pub context: Vec<String>,
    #[command(flatten)]
    pub message: Message,
    /// Output file (default: stdout)
    #[arg(long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// raw: 64 bytes over the message itself; ssh: for ssh-keygen -Y verify; minisign
    #[arg(long, value_enum, default_value_t = SignatureForm::Raw)]
    pub format: SignatureForm,
    /// What an SSH signature is for: verifiers ask for the same
    #[arg(long, default_value = "file")]
    pub namespace: String,
    /// What a minisign signature vouches for beside the file (default: time and file name)
    #[arg(long, value_name = "TEXT")]
    pub trusted_comment: Option<String>,
    /// Many at once: lines of {"message": base64} to {"signature": base64}, with an "id" if you
    /// like; the file holds them
    #[arg(long, conflicts_with_all = ["format", "namespace", "trusted_comment"])]
    pub jsonl: bool,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// The key's name
    #[arg(long)]
    pub key: String,
    /// The key's version (default: the newest)
    #[arg(long, value_name = "N")]
    pub key_version: Option<u32>,
    /// The signature: raw, SSH or minisign
    #[arg(long, value_name = "FILE", required_unless_present = "jsonl", conflicts_with = "jsonl")]
    pub signature: Option<PathBuf>,
    #[command(flatten)]
    pub message: Message,
    /// What an SSH signature must be for
    #[arg(long, default_value = "file")]
    pub namespace: String,
    /// Many at once: lines of {"message": base64, "signature": base64} to {"good": true} or an
    /// error, with an "id" if you like; the file holds them
    #[arg(long)]
    pub jsonl: bool,
}

/// What is signed.
#[derive(Debug, Args)]
pub struct Message {
    /// The file that is signed (default: stdin)
    #[arg(value_name = "FILE", conflicts_with = "input")]
    positional: Option<PathBuf>,
    /// The same file, named as other commands name it
    #[arg(long = "in", visible_alias = "file", value_name = "FILE")]
    input: Option<PathBuf>,
}

impl Message {
    /// The file, named either way; `None` for stdin.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.positional.as_deref().or(self.input.as_deref())
    }
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SignatureForm {
    /// 64 bytes.
    Raw,
    /// SSHSIG, in its armour.
    Ssh,
    /// Four lines.
    Minisign,
}

impl SignatureForm {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Ssh => "ssh",
            Self::Minisign => "minisign",
        }
    }
}

/// How a secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Encoding {
    /// 128 digits and a newline.
    Hex,
    /// 64 bytes.
    Raw,
    /// With padding and a newline.
    Base64,
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// The newest entries of one node's log
    Tail {
        /// Node index
        #[arg(value_name = "NODE")]
        index: u16,
        /// How many
        #[arg(long, short = 'n', default_value_t = 20)]
        count: u32,
    },
}

#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure
    #[arg(value_enum, default_value_t = Workload::Decrypt)]
    pub workload: Workload,
    /// The key
    #[arg(long)]
    pub key: String,
    /// Requests per second, arriving at random (open loop); 0: one after the other
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Seconds to measure, after one of warm-up
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Items in a request (batch decrypt)
    #[arg(long, default_value_t = 256)]
    pub batch: usize,
    /// Bytes of plaintext
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// The most requests under way at once
    #[arg(long, default_value_t = 256)]
    pub in_flight: usize,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Local encryption.
    Encrypt,
    /// One ciphertext a request.
    Decrypt,
    /// Many ciphertexts a request.
    BatchDecrypt,
    /// One secret a request.
    Derive,
    /// One signature of --size bytes a request, with nonces drawn ahead.
    Sign,
    /// A stream of --size bytes, encrypted and decrypted chunk by chunk.
    Stream,
    /// New shares for the key, one order after the other (an operator's home). The key keeps
    /// its newest epoch, and its chain grows by as many orders.
    Refresh,
}
