//! The command line: what can be said, and its help.

#![allow(missing_docs, reason = "doc comments here are the help text that people read")]

mod bench;
mod cluster;
mod crypt;
mod derive;
mod key;
mod order;
mod parties;
mod rotate;
mod share;
mod sign;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

pub use bench::{Bench, Workload};
pub use cluster::{Cluster, ClusterApply, ClusterInit, Losing, NodeFile, RosterOut};
pub use crypt::{Crypt, DataKey, Encrypt, Reencrypt};
pub use derive::{Derive, Encoding};
pub use key::{
    Key, KeyAble, KeyCombine, KeyCreate, KeyDelete, KeyDescribe, KeyExport, KeyImport, KeyList,
    KeyNamed, KeyShow, KeyWord,
};
pub use order::Order;
pub use parties::{Client, Keygen, Operator};
pub use rotate::{KeyRotate, KeyScheduleRotation, NewVersion, When};
pub use share::{
    Many, Share, ShareDrain, ShareHow, ShareRefresh, ShareRepair, ShareReshare, ShareSchedule,
    ShareStatus,
};
pub use sign::{Message, Sign, SignatureForm, Verify};

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

/// `90s`, `15m`, `12h`, `30d`.
fn seconds(text: &str) -> Result<u32, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let unit = units.iter().find_map(|(u, n)| Some((text.strip_suffix(*u)?, n)));
    unit.and_then(|(number, n)| number.parse::<u32>().ok()?.checked_mul(*n))
        .ok_or_else(|| "say a number with s, m, h or d, such as 30d".into())
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
