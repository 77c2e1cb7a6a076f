//! Errors on the wire: the only place that maps to and from gRPC status.
//!
//! No decision hangs on one code: a server's refusal of a TLS certificate arrives as
//! `UNKNOWN`, a lost connection as any of three. So what is listed is what *is* an answer
//! (asking elsewhere would not change it); everything else is an outage.

use crate::{channel::DialError, fields::FieldError};
use std::{error::Error, fmt, time::Duration};
use tonic::{Code, Status, metadata::MetadataValue};

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The caller's message is wrong, whatever the state.
    InvalidArgument,
    /// Signature or key is missing or wrong.
    Unauthenticated,
    /// The caller may not.
    PermissionDenied,
    /// No such thing.
    NotFound,
    /// It is there already, and different.
    AlreadyExists,
    /// Not in this state, version or order.
    FailedPrecondition,
    /// A message above its limit.
    OutOfRange,
    /// The peer has no such method: it is older or plays another part.
    Unimplemented,
    /// Too much for now: load or quota.
    ResourceExhausted,
    /// Not serving, or not reachable.
    Unavailable,
    /// No answer in time.
    DeadlineExceeded,
    /// A bug of the peer or of the transport.
    Internal,
    /// The peer's store is damaged.
    DataLoss,
    /// Somebody else answers at the peer's address. Only seen by the one who dials.
    WrongPeer,
    /// The node has not been told yet what its peers last saw of it, or is behind that.
    /// Only known to the node: to the one who asks it is not serving.
    Quarantined,
}

impl FaultKind {
    /// A constant word for logs, metrics and `NodeFailure.reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "denied",
            Self::NotFound => "not found",
            Self::AlreadyExists => "exists",
            Self::FailedPrecondition => "precondition",
            Self::OutOfRange => "too large",
            Self::Unimplemented => "unimplemented",
            Self::ResourceExhausted => "overloaded",
            Self::Unavailable => "unreachable",
            Self::DeadlineExceeded => "timed out",
            Self::Internal => "internal",
            Self::DataLoss => "damaged",
            Self::WrongPeer => "wrong peer",
            Self::Quarantined => "quarantined",
        }
    }

    /// Whether the peer has decided: the same call gets the same answer from it.
    #[must_use]
    pub const fn is_decision(self) -> bool {
        matches!(
            self,
            Self::InvalidArgument
                | Self::Unauthenticated
                | Self::PermissionDenied
                | Self::NotFound
                | Self::AlreadyExists
                | Self::FailedPrecondition
                | Self::OutOfRange
                | Self::Unimplemented
        )
    }

    const fn code(self) -> Code {
        match self {
            Self::InvalidArgument => Code::InvalidArgument,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::PermissionDenied => Code::PermissionDenied,
            Self::NotFound => Code::NotFound,
            Self::AlreadyExists => Code::AlreadyExists,
            Self::FailedPrecondition => Code::FailedPrecondition,
            Self::OutOfRange => Code::OutOfRange,
            Self::Unimplemented => Code::Unimplemented,
            Self::ResourceExhausted => Code::ResourceExhausted,
            Self::Unavailable | Self::WrongPeer | Self::Quarantined => Code::Unavailable,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Internal => Code::Internal,
            Self::DataLoss => Code::DataLoss,
        }
    }

    const fn from_code(code: Code) -> Self {
        match code {
            Code::InvalidArgument => Self::InvalidArgument,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::PermissionDenied => Self::PermissionDenied,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyExists,
            Code::FailedPrecondition => Self::FailedPrecondition,
            Code::OutOfRange => Self::OutOfRange,
            Code::Unimplemented => Self::Unimplemented,
            Code::ResourceExhausted => Self::ResourceExhausted,
            // tonic reports its own time limits as cancelled.
            Code::DeadlineExceeded | Code::Cancelled => Self::DeadlineExceeded,
            Code::DataLoss => Self::DataLoss,
            Code::Internal => Self::Internal,
            // A handshake refused by the server, a connection cut in the middle.
            Code::Unavailable | Code::Unknown | Code::Aborted | Code::Ok => Self::Unavailable,
        }
    }
}

/// What a caller may do after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Nothing: it was an answer.
    Never,
    /// Ask another peer, or this one later; requests are idempotent by their id.
    Elsewhere,
    /// The same, and the peer asks for this pause first.
    After(Duration),
}

/// A failed call, to be sent or as received. The text is for people: constant words and
/// names, never a secret and never the caller's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What failed.
    pub kind: FaultKind,
    /// One line for people: the rule, what was expected, what to do.
    pub message: String,
    /// A pause that the server asks for.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault of this kind.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }

    /// The caller's message is wrong.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FaultKind::InvalidArgument, message)
    }

    /// The caller may not.
    #[must_use]
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(FaultKind::PermissionDenied, message)
    }

    /// Not serving now.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Unavailable, message)
    }

    /// Too much for now; come back after a pause.
    #[must_use]
    pub fn overloaded(message: impl Into<String>, pause: Duration) -> Self {
        Self { retry_after: Some(pause), ..Self::new(FaultKind::ResourceExhausted, message) }
    }

    /// What the caller may do.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match (self.kind.is_decision(), self.retry_after) {
            (true, _) => Retry::Never,
            (false, None) => Retry::Elsewhere,
            (false, Some(pause)) => Retry::After(pause),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

impl Error for Fault {}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        let kind = match error {
            FieldError::Version { .. } => FaultKind::FailedPrecondition,
            _ => FaultKind::InvalidArgument,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<FieldError> for Status {
    fn from(error: FieldError) -> Self {
        Fault::from(error).into()
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let mut status = Self::new(fault.kind.code(), fault.message);
        if let Some(pause) = fault.retry_after {
            let millis = u64::try_from(pause.as_millis()).unwrap_or(MAX_PAUSE_MILLIS);
            status.metadata_mut().insert(PUSHBACK, MetadataValue::from(millis));
        }
        status
    }
}

impl From<&Status> for Fault {
    fn from(status: &Status) -> Self {
        if let Some(dial) = source_of::<DialError>(status) {
            return Self::new(dial.kind(), dial.to_string());
        }
        let pause = status.metadata().get(PUSHBACK).and_then(|v| v.to_str().ok()?.parse().ok());
        Self {
            kind: FaultKind::from_code(status.code()),
            message: printable(status.message()),
            retry_after: pause.map(|ms: u64| Duration::from_millis(ms.min(MAX_PAUSE_MILLIS))),
        }
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::from(&status)
    }
}

/// gRPC's own name for it (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// No peer may silence us for longer.
const MAX_PAUSE_MILLIS: u64 = 10_000;
/// Bytes of a peer's message that are kept; it lands in logs and on terminals.
const MAX_MESSAGE: usize = 512;

/// A peer's text, cut and without control characters.
fn printable(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(MAX_MESSAGE).map(clean).collect()
}

fn source_of<E: Error + 'static>(status: &Status) -> Option<&E> {
    let mut next = status.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [FaultKind; 13] = [
        FaultKind::InvalidArgument,
        FaultKind::Unauthenticated,
        FaultKind::PermissionDenied,
        FaultKind::NotFound,
        FaultKind::AlreadyExists,
        FaultKind::FailedPrecondition,
        FaultKind::OutOfRange,
        FaultKind::Unimplemented,
        FaultKind::ResourceExhausted,
        FaultKind::Unavailable,
        FaultKind::DeadlineExceeded,
        FaultKind::Internal,
        FaultKind::DataLoss,
    ];

    #[test]
    fn every_kind_survives_the_wire() {
        for kind in ALL {
            let fault = Fault::new(kind, "because");
            assert_eq!(Fault::from(Status::from(fault.clone())), fault);
        }
    }

    #[test]
    fn a_pause_survives_and_is_capped() {
        let fault = Fault::overloaded("class requests is full", Duration::from_millis(50));
        let back = Fault::from(Status::from(fault));
        assert_eq!(back.retry(), Retry::After(Duration::from_millis(50)));
        let greedy = Fault::overloaded("go away", Duration::from_secs(86_400));
        let back = Fault::from(Status::from(greedy));
        assert_eq!(back.retry(), Retry::After(Duration::from_secs(10)));
    }

    #[test]
    fn decisions_are_never_retried_and_outages_are() {
        for code in (0..=16).map(Code::from).filter(|c| *c != Code::Ok) {
            let retry = Fault::from(Status::new(code, "")).retry();
            let decided = matches!(
                code,
                Code::InvalidArgument
                    | Code::NotFound
                    | Code::AlreadyExists
                    | Code::PermissionDenied
                    | Code::FailedPrecondition
                    | Code::OutOfRange
                    | Code::Unimplemented
                    | Code::Unauthenticated
            );
            assert_eq!(retry == Retry::Never, decided, "{code:?}");
        }
    }

    #[test]
    fn a_peers_text_cannot_drive_the_terminal() {
        let status = Status::internal(format!("\u{1b}[2Jgone\n{}", "x".repeat(10_000)));
        let fault = Fault::from(status);
        assert!(!fault.message.contains(['\u{1b}', '\n']));
        assert_eq!(fault.message.chars().count(), MAX_MESSAGE);
    }
}
