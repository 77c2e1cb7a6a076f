//! Why a node does not do a step, sorted by whose fault it is. Its state is untouched
//! then, but for [`Fault::Impersonated`], which freezes the key.

use crate::{bundle::BundleFault, chain::ChainFault, prepare_list::ListFault, state::Frozen};
use quorate_types::{CertificateError, CodecError, NodeIndex, OrderError};
use thiserror::Error;

/// Why a node does not do a step.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    // The conductor's.
    /// Bytes that are no request.
    #[error(transparent)]
    Malformed(#[from] CodecError),
    /// The order is refused.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The order makes no epoch, or not in this way.
    #[error("the order makes no key and moves no shares, or the request is not of its kind")]
    WrongAction,
    /// Key, version or number are not those of the order or of the state at hand.
    #[error("key, version or number are not those that the order states")]
    Subject,
    /// The number is not the order's.
    #[error("the order allows epoch numbers {first} to {last}, got {got}")]
    NumberRange {
        /// First allowed.
        first: u64,
        /// Last allowed.
        last: u64,
        /// Asked for.
        got: u64,
    },
    /// The node takes part once for each number.
    #[error("this node has used epoch number {number} for something else; take the next")]
    NumberUsed {
        /// Which.
        number: u64,
        /// Members that signed two different answers for this number.
        equivocators: Vec<NodeIndex>,
    },
    /// The order is not the newest of its chain, or not the next.
    #[error(transparent)]
    Chain(#[from] ChainFault),
    /// The order was signed under another roster than the newest known here.
    #[error("the order names roster version {order}, the newest here is {here}; make a new order")]
    Roster {
        /// Newest known here.
        here: u32,
        /// The order's.
        order: u32,
    },
    /// The committee does not have this node with this identity.
    #[error("this node is not in the order's committee with its identity")]
    NotMember,
    /// The node has not prepared, or dealt, in this attempt.
    #[error("this node has not done the {missing} step of this attempt; begin there")]
    TooEarly {
        /// "prepare" or "deal".
        missing: &'static str,
    },
    /// The attempt was ended by a birth or retire certificate.
    #[error("this attempt is over: another epoch is in force")]
    Closed,
    /// Too many attempts wait at this node.
    #[error("more than {max} attempts for this key version are open here; make a new version")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// Not the node's own prepare answer or dealing, and not signed by it either.
    #[error("the {what} in this node's name is not its own")]
    NotMine {
        /// "prepare answer" or "dealing".
        what: &'static str,
    },
    /// The certificate or record does not verify.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The record is of another epoch than the one that was born here.
    #[error("another epoch of this key version was born here")]
    OtherBirth,

    /// The parent is not of the order's key, was made by the same order, is not below the
    /// number, or is not the one on which the node has prepared.
    #[error("the parent epoch is not one that this order and attempt can deal on")]
    Parent,
    /// A schedule: it is too early for the next move, or too late.
    #[error("the schedule allows the next move between {from} and {until} (ms since 1970)")]
    NotDue {
        /// Not before.
        from: u64,
        /// Not after.
        until: u64,
    },
    /// The node was not chosen to deal, or has no share of the parent epoch.
    #[error("this node does not deal in this attempt")]
    NotDealer,
    /// The node's prepare answer is not in the list, so nothing was sealed to it.
    #[error(
        "nothing is sealed to this node in this attempt: its prepare answer is not in the list"
    )]
    NotReceiver,

    // A peer's or the conductor's: see `culprits`.
    /// The list of prepare answers is refused.
    #[error(transparent)]
    List(#[from] ListFault),
    /// The bundle is refused.
    #[error(transparent)]
    Bundle(#[from] BundleFault),

    // Ours.
    /// Somebody signs with this node's identity. The key is frozen here from now on.
    #[error("somebody else signs with this node's identity ({}): the key is frozen here; \
             replace the node", .0.what)]
    Impersonated(Box<Frozen>),
    /// The key was frozen here earlier.
    #[error("the key is frozen on this node: somebody else has signed with its identity")]
    Frozen,
    /// A secret that the state says is here is not.
    #[error("alarm: the {0} of this attempt is missing in this node's store")]
    SecretMissing(&'static str),
    /// What cannot happen.
    #[error("alarm: {0}")]
    Alarm(&'static str),
}

/// Whose fault a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The conductor asked for what it may not.
    Conductor,
    /// A committee member broke the rules, and its signature shows it.
    Peer,
    /// The node itself cannot go on.
    Ours,
}

/// What a conductor does about a fault, by its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The same request may succeed later.
    Retry,
    /// The same order may succeed under the next number.
    NextNumber,
    /// This node will not do it.
    Stop,
}

impl Advice {
    /// By a fault's code; what is not known here may pass.
    #[must_use]
    pub fn of(code: u16) -> Self {
        match code {
            NUMBER_USED | TOO_EARLY | CLOSED | PARENT => Self::NextNumber,
            1..=95 => Self::Stop,
            _ => Self::Retry,
        }
    }
}

/// The code that a driver answers when its store or its time fails: the step was not
/// done, and may be asked for again.
pub const UNAVAILABLE: u16 = 96;
/// The code that a driver answers in quarantine: to a conductor the node is away, and may
/// come back.
pub const QUARANTINED: u16 = 97;
/// The code that a driver answers when the key was deleted: the node has destroyed what it held.
pub const DESTROYED: u16 = 68;
/// The code that a driver answers when the name of a new key is another one's alias.
pub const NAME_TAKEN: u16 = 22;
/// The code that a driver answers while an export of the key is open: no new epoch then.
pub const EXPORTING: u16 = 20;
/// The code with which a coordinator tells that the owner of a key that is imported is not there.
pub const NO_OWNER: u16 = 21;
const NUMBER_USED: u16 = 6;
const TOO_EARLY: u16 = 10;
const CLOSED: u16 = 11;
const PARENT: u16 = 16;
/// Why an order is refused that names another public key than its key has.
pub const OTHER_PUBLIC_KEY: &str = "the order is about another public key than the key has: it \
    moves nothing, and was not applied. Make it again (`quorate share refresh`), from what the \
    cluster knows";
/// The code of [`Fault::NotDue`]: nothing is wrong, it is not the time.
pub const NOT_DUE: u16 = 18;

impl Fault {
    /// For the wire. Stable; 1 to 63 the conductor's or a peer's, 64 to 95 ours.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Malformed(_) => 1,
            Self::Order(_) => 2,
            Self::WrongAction => 3,
            Self::Subject => 4,
            Self::NumberRange { .. } => 5,
            Self::NumberUsed { .. } => NUMBER_USED,
            Self::Chain(_) => 7,
            Self::Roster { .. } => 8,
            Self::NotMember => 9,
            Self::TooEarly { .. } => TOO_EARLY,
            Self::Closed => CLOSED,
            Self::TooMany { .. } => 12,
            Self::NotMine { .. } => 13,
            Self::Certificate(_) => 14,
            Self::OtherBirth => 15,
            Self::Parent => PARENT,
            Self::NotDealer => 17,
            Self::NotDue { .. } => NOT_DUE,
            Self::NotReceiver => 19,
            Self::List(_) => 32,
            Self::Bundle(_) => 33,
            Self::Impersonated(_) => 64,
            Self::Frozen => 65,
            Self::SecretMissing(_) => 66,
            Self::Alarm(_) => 67,
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn whose(&self) -> Whose {
        match self.code() {
            64.. => Whose::Ours,
            _ if self.culprits().is_empty() => Whose::Conductor,
            _ => Whose::Peer,
        }
    }

    /// Members whose own signatures show that they broke the rules.
    #[must_use]
    pub fn culprits(&self) -> Vec<NodeIndex> {
        match self {
            Self::NumberUsed { equivocators, .. } => equivocators.clone(),
            Self::List(fault) => fault.culprit().into_iter().collect(),
            Self::Bundle(BundleFault::Lie { dealer, .. }) => vec![*dealer],
            _ => Vec::new(),
        }
    }
}
