//! `quorate share`: moving the shares of keys.

use super::{OrderOut, seconds};
use clap::{Args, Subcommand};

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
