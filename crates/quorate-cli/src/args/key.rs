//! `quorate key`: making keys, what is known of them, and their ends.

use super::{KeyRotate, KeyScheduleRotation, OrderOut, seconds};
use clap::{Args, Subcommand, ValueEnum};
use quorate_types::{Purpose, Suite};
use std::path::PathBuf;

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
