//! How an operation of the SDK fails.

use crate::{ciphertext::CiphertextError, home::HomeError, pins::PinError};
use quorate_rpc::Fault;
use quorate_types::{
    CertificateError, CodecError, Jurisdiction, KeyFileError, KeyName, KeyVersion, NodeIndex,
    Operation, OrderError, PartyName, Purpose, RefusalReason, Roster, RosterError,
};
use std::{fmt, io};
use thiserror::Error;

/// A node, as people know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeRef {
    /// Its index.
    pub index: NodeIndex,
    /// Its name; `None` if it has left the roster.
    pub name: Option<PartyName>,
    /// Who can compel it: location and provider's home.
    pub jurisdictions: Vec<Jurisdiction>,
}

impl NodeRef {
    /// Looks a node up in a roster.
    #[must_use]
    pub fn of(roster: &Roster, index: NodeIndex) -> Self {
        let node = roster.node(index);
        Self {
            index,
            name: node.map(|n| n.name.clone()),
            jurisdictions: node
                .map(|n| n.jurisdictions().into_iter().cloned().collect())
                .unwrap_or_default(),
        }
    }
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}")?,
            None => write!(f, "node {}", self.index)?,
        }
        for (at, jurisdiction) in self.jurisdictions.iter().enumerate() {
            write!(f, "{}{jurisdiction}", if at == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.jurisdictions.is_empty() { "" } else { ")" })
    }
}

/// A node that gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub node: NodeRef,
    /// Why, in a few words: "unreachable", "timed out", a refusal, "not asked".
    pub reason: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.node, self.reason)
    }
}

/// Who is to blame for something that does not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// The party that relayed it: it, or whoever stands behind it, changed or withheld.
    Coordinator(String),
    /// Nodes, by what they themselves sent.
    Nodes(Vec<NodeRef>),
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator(name) => f.write_str(name),
            Self::Nodes(nodes) => f.write_str(&join(nodes)),
        }
    }
}

/// Why an operation failed, by whose fault it is. One line for people each.
#[derive(Debug, Error)]
pub enum Error {
    /// So many nodes have decided against the request, and signed it, that a quorum is
    /// out of reach.
    #[error("refused: {reason} ({}{})", join(nodes), on_item(*.item))]
    Refused {
        /// The rule, as most of the nodes state it.
        reason: RefusalReason,
        /// Who refused.
        nodes: Vec<NodeRef>,
        /// The item of a batch that it is about, from 0.
        item: Option<usize>,
    },
    /// The key is for something else; every node would refuse.
    #[error("refused: key {name} is to {purpose} and nothing else; it cannot {operation}")]
    WrongPurpose {
        /// The key.
        name: KeyName,
        /// What it is for.
        purpose: Purpose,
        /// What was asked of it.
        operation: Operation,
    },
    /// Too few nodes answer.
    #[error("no quorum: {got} of the {needed} nodes needed answered; missing: {}", join(missing))]
    NoQuorum {
        /// Nodes without an answer.
        missing: Vec<Missing>,
        /// `t`.
        needed: usize,
        /// Answers of one epoch.
        got: usize,
    },
    /// Something does not verify, and somebody is to blame.
    #[error("verification failed: {culprit} {what}")]
    Verification {
        /// Who.
        culprit: Culprit,
        /// Did what.
        what: String,
    },
    /// The ciphertext at hand is not what was sealed.
    #[error(transparent)]
    Ciphertext(#[from] CiphertextError),
    /// A signature at hand is not the key's over this message.
    #[error("verification failed: under key {name} version {version}: {reason}")]
    Signature {
        /// The key.
        name: KeyName,
        /// Its version.
        version: KeyVersion,
        /// What is wrong.
        reason: String,
    },
    /// The roster chain at hand does not verify.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// No such key.
    #[error("the cluster has no key {name}{}", version.map_or(String::new(), |v| format!(" version {v}")))]
    UnknownKey {
        /// Its name.
        name: KeyName,
        /// The version asked for; `None` for the newest.
        version: Option<KeyVersion>,
    },
    /// Coordinator or node could not be asked, or would not listen.
    #[error("{party}: {fault}")]
    Party {
        /// Who was asked.
        party: String,
        /// What came of it.
        fault: Fault,
    },
    /// The order does not stand.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The owner of a key that is imported does not deal it.
    #[error("nothing was dealt: {0}")]
    Import(#[from] crate::import::ImportError),
    /// The order was delivered and its ceremony came to no end.
    #[error("the order was not carried out: {0}")]
    Ceremony(String),
    /// The home directory is unusable.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The identity key does not open.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// A pin cannot be read or kept.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The caller's argument.
    #[error("{0}")]
    Invalid(String),
    /// Reading or writing a stream, or the network's set-up.
    #[error("{what}: {error}")]
    Io {
        /// What was done.
        what: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

impl Error {
    /// The exit code of `quorate`: 3 refused by policy, 4 no quorum, 5 verification
    /// failed, 1 else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::WrongPurpose { .. } => 3,
            Self::NoQuorum { .. } => 4,
            Self::Verification { .. }
            | Self::Ciphertext(_)
            | Self::Signature { .. }
            | Self::Roster(_) => 5,
            Self::Home(error) if error.is_verification() => 5,
            _ => 1,
        }
    }

    /// Whether another coordinator could do better.
    pub(crate) fn is_elsewhere(&self) -> bool {
        match self {
            // Also "no such key": nobody can be believed to know that.
            Self::NoQuorum { .. } | Self::UnknownKey { .. } => true,
            Self::Verification { culprit, .. } => matches!(culprit, Culprit::Coordinator(_)),
            Self::Party { fault, .. } => fault.retry() != quorate_rpc::Retry::Never,
            _ => false,
        }
    }

    /// Of several coordinators' failures the one that tells most is reported.
    pub(crate) fn weight(&self) -> u8 {
        match self {
            Self::Verification { .. } => 3,
            Self::NoQuorum { .. } => 2,
            Self::Party { .. } => 0,
            _ => 1,
        }
    }

    pub(crate) fn party(party: &str, fault: Fault) -> Self {
        Self::Party { party: party.to_owned(), fault }
    }

    pub(crate) fn coordinator(party: &str, what: impl Into<String>) -> Self {
        Self::Verification { culprit: Culprit::Coordinator(party.to_owned()), what: what.into() }
    }
}

impl From<CodecError> for Error {
    fn from(error: CodecError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// A certificate that came from `party` and does not verify.
pub(crate) fn bad_record(party: &str, name: &KeyName, error: &CertificateError) -> Error {
    Error::coordinator(party, format!("sent a record of key {name} that does not verify: {error}"))
}

/// `a, b and c`.
fn join<T: fmt::Display>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(T::to_string).collect();
    match texts.split_last() {
        None => "nobody".into(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

fn on_item(item: Option<usize>) -> String {
    item.map_or(String::new(), |i| format!("; item {i}"))
}
