//! `quorate operator` and `quorate client`: who has a key of their own.

use super::OrderOut;
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
