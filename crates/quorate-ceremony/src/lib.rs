//! Sans-IO ceremonies that change shares: the node's steps and the conductor's.
//!
//! Pure: no clock, no I/O, no async; time and randomness are arguments. A ceremony has
//! five steps, each one message to each node and one answer: *prepare*, *deal*,
//! *receive*, *activate*, *retire* (`docs/protocol/ceremonies.md`). A *genesis* makes a
//! key without a dealer; an *import* makes one out of its owner's, who deals once, from a
//! machine of their own (`quorate-client` does that); a *reshare* moves its shares to a new epoch, for a refresh, other
//! members, another threshold or a repair. Before a reshare the conductor asks what there
//! is (*survey*).
//!
//! * A node's driver parses a [`Request`], loads the [`VersionState`] of its
//!   [`Subject`], calls [`perform`] and obeys the [`Step`] in its order: persist, audit,
//!   send. Between loading and persisting nothing else may touch that key.
//! * A coordinator's driver asks a [`Conductor`] what to send, and tells it what came
//!   back. The conductor has no memory that it could lose: a new one collects from the
//!   nodes what the old one had, because each step answers a repeated request with the
//!   same bytes.

/// Whether a bug is planted here: never, but in the simulator's own test.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($bug:ident) => {
        crate::planted::is(crate::planted::Bug::$bug)
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($bug:ident) => {
        crate::no_bug()
    };
}

/// A call, so that conditions read as they are meant; it costs nothing.
#[cfg(not(feature = "planted-bugs"))]
#[inline]
const fn no_bug() -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub mod planted;

pub mod attempt;
pub mod bundle;
pub mod chain;
pub mod conductor;
pub mod fault;
pub mod message;
pub mod prepare_list;
pub mod state;
pub mod step;

mod activate;
mod current;
mod deal;
mod prepare;
mod receive;
mod retire;
mod survey;

pub use attempt::{Plan, may_follow};
pub use bundle::{Bundle, BundleFault, DealingLie};
pub use chain::{ChainFault, Follow};
pub use conductor::{
    Blame, Conductor, Culprit, FailReason, Failure, Outcome, Pace, Progress, Send, Ticket,
};
pub use fault::{Advice, Fault, Whose};
pub use message::{
    ActivateAnswer, ActivateRequest, Certified, DealRequest, Descent, PrepareAnswer, PrepareReply,
    PrepareRequest, Receipt, ReceiveAnswer, ReceiveRequest, RetireAnswer, RetireRequest,
    SignedComplaint, SignedDealing, SurveyAnswer, SurveyRequest,
};
pub use prepare_list::{ListFault, PrepareList};
pub use quorate_types::AttemptId;
pub use state::{
    Activation, Attempt, Change, Changes, Dealt, End, Forgery, Frozen, Live, Named, Proof,
    Receiving, SecretKind, Secrets, Standing, VersionState,
};
pub use step::{Me, Request, Step, StepKind, Subject, perform};
