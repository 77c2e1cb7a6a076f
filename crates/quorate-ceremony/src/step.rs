//! The node's side: one request in, one ordered [`Step`] out.

use crate::{
    Fault, activate, deal,
    message::{
        ActivateRequest, DealRequest, PrepareRequest, ReceiveRequest, RetireRequest, SurveyRequest,
    },
    prepare, receive, retire,
    state::{Change, Changes, VersionState},
    survey,
};
use quorate_crypto::{
    IdentityKey,
    hash::{Label, hash32},
};
pub use quorate_types::Subject;
use quorate_types::{CeremonyStep, Cluster, Event, Format, Hash, Millis, NodeIndex, Order, Terms};
use rand_core::CryptoRng;

/// Who this node is.
#[derive(Clone, Copy)]
pub struct Me<'a> {
    /// The verified roster chain.
    pub cluster: &'a Cluster,
    /// This node's index.
    pub index: NodeIndex,
    /// Its identity.
    pub identity: &'a IdentityKey,
}

/// The five steps of a ceremony, and what comes before a reshare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepKind {
    /// Show what there is.
    Survey,
    /// Make a ceremony key.
    Prepare,
    /// Deal.
    Deal,
    /// Receive the share.
    Receive,
    /// Serve the epoch.
    Activate,
    /// Keep the proof, erase what it ends.
    Retire,
}

impl StepKind {
    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Survey => "survey",
            Self::Prepare => "prepare",
            Self::Deal => "deal",
            Self::Receive => "receive",
            Self::Activate => "activate",
            Self::Retire => "retire",
        }
    }
}

impl std::fmt::Display for StepKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A parsed request of any step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on its way through a step")]
pub enum Request {
    /// Before a reshare.
    Survey(SurveyRequest),
    /// Step 1.
    Prepare(PrepareRequest),
    /// Step 2.
    Deal(DealRequest),
    /// Step 3.
    Receive(ReceiveRequest),
    /// Step 4.
    Activate(ActivateRequest),
    /// Step 5.
    Retire(RetireRequest),
}

impl Request {
    /// Parses the canonical bytes of a step's request, and finds what it is about.
    ///
    /// # Errors
    /// [`Fault::Malformed`]; [`Fault::WrongAction`] for an order that makes no epoch.
    pub fn parse(step: StepKind, bytes: &[u8]) -> Result<(Subject, Self), Fault> {
        let request = match step {
            StepKind::Survey => Self::Survey(Format::from_bytes(bytes)?),
            StepKind::Prepare => Self::Prepare(Format::from_bytes(bytes)?),
            StepKind::Deal => Self::Deal(Format::from_bytes(bytes)?),
            StepKind::Receive => Self::Receive(Format::from_bytes(bytes)?),
            StepKind::Activate => Self::Activate(Format::from_bytes(bytes)?),
            StepKind::Retire => Self::Retire(Format::from_bytes(bytes)?),
        };
        Ok((request.subject()?, request))
    }

    /// What the request is about. Nothing is verified yet.
    ///
    /// # Errors
    /// [`Fault::Malformed`], [`Fault::WrongAction`].
    pub fn subject(&self) -> Result<Subject, Fault> {
        let of = |public: &quorate_types::EpochPublic| Subject {
            key: public.key.clone(),
            version: public.version,
            number: public.epoch.number,
        };
        match self {
            Self::Prepare(r) => {
                let order = Order::from_bytes(&r.order.0.body)?;
                let terms = match r.scheduled {
                    Some(version) => Terms::of_version(&order.action, version),
                    None => Terms::of(&order.action),
                };
                let terms = terms.ok_or(Fault::WrongAction)?;
                let (key, version) = (terms.name.clone(), terms.version);
                Ok(Subject { key, version, number: r.number })
            }
            Self::Survey(r) => {
                Ok(Subject { key: r.key.clone(), version: r.version, number: r.bundle })
            }
            Self::Deal(r) => Ok(r.subject.clone()),
            Self::Receive(r) => Ok(r.subject.clone()),
            Self::Activate(r) => Ok(of(&r.certificate.public)),
            Self::Retire(r) => Ok(of(&r.record.certificate.public)),
        }
    }
}

/// What a step does, to be obeyed in this order: make the changes durable, append the
/// events to the audit log durably, send the answer. A crash in between loses nothing:
/// the same request gives the same answer again.
pub struct Step {
    /// First.
    pub persist: Changes,
    /// Second.
    pub audit: Vec<Event>,
    /// Last: the answer's canonical bytes, or why there is none.
    pub send: Result<Vec<u8>, Fault>,
}

/// Does one step on the state of the request's subject.
///
/// A fault leaves the state untouched, but for [`Fault::Impersonated`], which freezes the
/// key. Panics on no input.
pub fn perform(
    me: &Me<'_>,
    subject: &Subject,
    state: &VersionState,
    request: &Request,
    now: Millis,
    rng: &mut impl CryptoRng,
) -> Step {
    let done = match (&state.frozen, request) {
        (_, Request::Survey(r)) => survey::survey(state, r),
        (Some(_), _) => Err(Fault::Frozen),
        (None, Request::Prepare(r)) => prepare::prepare(me, subject, state, r, now, rng),
        (None, Request::Deal(r)) => deal::deal(me, state, r, rng),
        (None, Request::Receive(r)) => receive::receive(me, state, r, rng),
        (None, Request::Activate(r)) => activate::activate(me, subject, state, r),
        (None, Request::Retire(r)) => retire::retire(me, subject, state, r, now),
    };
    let (list, audit, send) = match done {
        Ok(Done { persist, audit, send }) => (persist, audit, Ok(send)),
        Err(Fault::Impersonated(frozen)) => {
            let freeze = vec![Change::Freeze(frozen.clone())];
            (freeze, Vec::new(), Err(Fault::Impersonated(frozen)))
        }
        Err(fault) => (Vec::new(), Vec::new(), Err(fault)),
    };
    let persist = Changes { key: subject.key.clone(), version: subject.version, list };
    Step { persist, audit, send }
}

/// A step that was done.
pub(crate) struct Done {
    pub(crate) persist: Vec<Change>,
    pub(crate) audit: Vec<Event>,
    pub(crate) send: Vec<u8>,
}

impl Done {
    /// Changes, then an answer that is logged. A repeated step is logged again: after a
    /// crash nobody knows whether it was, and the entry must be there before the answer.
    pub(crate) fn new(
        me: &Me<'_>,
        step: CeremonyStep,
        subject: &Subject,
        persist: Vec<Change>,
        answer: &impl Format,
    ) -> Self {
        let send = answer.to_bytes();
        let fingerprint = me.cluster.fingerprint().as_bytes();
        let statement = Hash(hash32(Label::STATEMENT_HASH, &[fingerprint, &send]));
        let event = Event::Ceremony {
            step,
            key: subject.key.clone(),
            version: subject.version,
            number: subject.number,
            statement,
        };
        Self { persist, audit: vec![event], send }
    }

    /// Events that come before the step's own.
    pub(crate) fn after(mut self, mut events: Vec<Event>) -> Self {
        events.append(&mut self.audit);
        self.audit = events;
        self
    }
}
