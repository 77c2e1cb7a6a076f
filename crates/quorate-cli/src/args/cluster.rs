//! `quorate cluster`: a roster, and moving keys to it.

use super::{Many, ShareHow};
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
